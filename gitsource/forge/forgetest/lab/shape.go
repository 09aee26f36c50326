package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// shapes are what others published of GitLab's answers.
type shapes struct {
	// payloads are the recorded payloads of webhooks by kind.
	payloads map[string]any
	openapi  *description // nil when it is not at hand
}

// Recorded is the folder of the answers and payloads that were recorded from GitLab: the
// testdata of the library.
func Recorded(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/xanzy/go-gitlab").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Fatalf("find the module github.com/xanzy/go-gitlab: %v", err)
	}
	return filepath.Join(dir, "testdata")
}

func loadShapes(t testing.TB) *shapes {
	t.Helper()
	s := &shapes{payloads: map[string]any{}}
	dir := filepath.Join(Recorded(t), "webhooks")
	for kind, file := range map[string]string{"push": "push.json", "merge_request": "merge_request.json", "note": "note_merge_request.json"} {
		data, err := os.ReadFile(filepath.Join(dir, file)) //nolint:gosec // of a module
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		s.payloads[kind] = v
	}
	if file := os.Getenv("REEVE_GITLAB_OPENAPI"); file != "" {
		d, err := readDescription(file)
		if err != nil {
			t.Fatal(err)
		}
		s.openapi = d
	}
	return s
}

// answer says what is wrong with an exchange.
func (s *shapes) answer(op *operation, r *http.Request, asked []byte, status int, body []byte) (wrong []string) {
	var v any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &v); err != nil {
			return []string{"no JSON: " + err.Error()}
		}
	}
	if s.openapi != nil {
		wrong = append(wrong, s.openapi.exchange(op, r, asked, status, v)...)
	}
	if status >= 300 || status == http.StatusAccepted || op.answer == nil {
		return wrong
	}
	t := op.answer
	if op.list {
		t = reflect.SliceOf(t)
	}
	return append(wrong, fits(v, t, "answer")...)
}

// fits says where a value is not what the library reads into a type.
func fits(v any, t reflect.Type, where string) []string {
	if v == nil {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	bad := func(want string) []string {
		return []string{fmt.Sprintf("%s is a %T and should be %s", where, v, want)}
	}
	if t == reflect.TypeFor[time.Time]() {
		if text, ok := v.(string); !ok {
			return bad("a time")
		} else if _, err := time.Parse(time.RFC3339, text); err != nil {
			return bad("a time")
		}
		return nil
	}
	switch t.Kind() { //nolint:exhaustive // the others do not occur, and are refused below
	case reflect.Interface:
		return nil
	case reflect.String:
		if _, ok := v.(string); !ok {
			return bad("a text")
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return bad("true or false")
		}
	case reflect.Int, reflect.Int64:
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			return bad("a whole number")
		}
	case reflect.Float64:
		if _, ok := v.(float64); !ok {
			return bad("a number")
		}
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return bad("a list")
		}
		var wrong []string
		for i, x := range list {
			wrong = append(wrong, fits(x, t.Elem(), fmt.Sprintf("%s[%d]", where, i))...)
		}
		return wrong
	case reflect.Struct:
		object, ok := v.(map[string]any)
		if !ok {
			return bad("an object")
		}
		fields := map[string]reflect.Type{}
		fieldsOf(t, fields)
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if f, known := fields[name]; known {
				wrong = append(wrong, fits(object[name], f, where+"."+name)...)
			} else if !slices.Contains(strings.Fields(newer[t.Name()]), name) {
				wrong = append(wrong, fmt.Sprintf("%s has no field %q (%s)", where, name, t.Name()))
			}
		}
		return wrong
	default:
		return bad("a " + t.String())
	}
	return nil
}

func fieldsOf(t reflect.Type, into map[string]reflect.Type) {
	for f := range fieldsIn(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fieldsOf(f.Type, into)
		case name == "":
			into[strings.ToLower(f.Name)] = f.Type // as encoding/json finds it
		case name != "-":
			into[name] = f.Type
		}
	}
}

func fieldsIn(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// payload says where a webhook's payload is not like the recorded one.
func (s *shapes) payload(kind string, data []byte) []string {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return []string{err.Error()}
	}
	return like(v, s.payloads[kind], "payload")
}

// unrecorded are parts of payloads that GitLab documents and that were not recorded.
var unrecorded = map[string]bool{
	"payload.object_attributes.oldrev": true, // of an update by a push
	"payload.changes.title":            true,
	"payload.project.id":               true,
}

func like(v, recorded any, where string) []string {
	if v == nil || recorded == nil {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		want, ok := recorded.(map[string]any)
		if !ok {
			return []string{where + " should be no object"}
		}
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := where + "." + name
			if _, known := want[name]; !known && !unrecorded[at] && !strings.HasSuffix(at, "source.id") && !strings.HasSuffix(at, "target.id") {
				wrong = append(wrong, at+" was never recorded")
				continue
			}
			wrong = append(wrong, like(v[name], want[name], at)...)
		}
		return wrong
	case []any:
		want, ok := recorded.([]any)
		if !ok {
			return []string{where + " should be no list"}
		}
		var wrong []string
		for i, x := range v {
			if len(want) > 0 {
				wrong = append(wrong, like(x, want[0], fmt.Sprintf("%s[%d]", where, i))...)
			}
		}
		return wrong
	}
	if reflect.TypeOf(v) != reflect.TypeOf(recorded) {
		return []string{fmt.Sprintf("%s is a %T and was recorded as a %T", where, v, recorded)}
	}
	return nil
}
