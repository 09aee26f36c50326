package lab

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	gitlab "github.com/xanzy/go-gitlab"
)

func decode(t *testing.T, data string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWrongAnswersAreSeen makes sure that the checks check.
func TestWrongAnswersAreSeen(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"id":7,"iid":1,"sha":null,"author":{"username":"ada"}}`: "",
		`{"id":"7"}`:                   "a whole number",
		`{"id":7.5}`:                   "a whole number",
		`{"invented":1}`:               `no field "invented"`,
		`{"author":[]}`:                "an object",
		`{"author":{"invented":1}}`:    `answer.author has no field "invented"`,
		`{"created_at":"yesterday"}`:   "a time",
		`{"created_at":7}`:             "a time",
		`{"draft":"no"}`:               "true or false",
		`{"labels":"none"}`:            "a list",
		`{"labels":[7]}`:               "a text",
		`{"title":7}`:                  "a text",
		`{"head_pipeline":{"id":"7"}}`: "answer.head_pipeline.id",
		`[]`:                           "an object",
	} {
		got := strings.Join(fits(decode(t, answer), reflect.TypeFor[gitlab.MergeRequest](), "answer"), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
	s := loadShapes(t)
	for payload, want := range map[string]string{
		`{"object_kind":"push","ref":"refs/heads/x"}`: "",
		`{"object_kind":7}`:                           "recorded as a string",
		`{"invented":7}`:                              "payload.invented was never recorded",
		`{"project":{"invented":7}}`:                  "payload.project.invented was never recorded",
		`{"project":7}`:                               "recorded as a map",
		`{"commits":[{"invented":1}]}`:                "payload.commits[0].invented was never recorded",
	} {
		got := strings.Join(s.payload("push", []byte(payload)), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}

func TestWrongRequestsAreSeen(t *testing.T) {
	t.Parallel()
	op, vars := find(http.MethodPost, "/projects/acme%2Finfra/merge_requests/7/notes")
	if op == nil || vars["id"] != "acme/infra" || vars["iid"] != "7" {
		t.Fatalf("found %+v with %v", op, vars)
	}
	if other, _ := find(http.MethodPost, "/projects/acme/infra/merge_requests/7/notes"); other != nil {
		t.Errorf("a path that is not escaped is %+v", other)
	}
	for body, want := range map[string]string{
		`{"body":"x"}`:              "",
		`{"body":"x","internal":1}`: "internal is invalid",
		`{"body":7}`:                "body is invalid",
		`{}`:                        "body is missing",
		`{"body":"x","invented":1}`: `no parameter "invented"`,
		`[]`:                        "no JSON object",
	} {
		_, wrong := op.read(nil, "application/json", []byte(body))
		if got := strings.Join(wrong, "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	if _, wrong := op.read(nil, "text/plain", []byte("body=x")); len(wrong) == 0 {
		t.Error("a body of text is taken")
	}
}

// TestADescriptionIsHeldAgainstExchanges uses a small description of its own.
func TestADescriptionIsHeldAgainstExchanges(t *testing.T) {
	t.Parallel()
	text := func(s string) *schema { return &schema{Type: s} }
	d := &description{Definitions: map[string]*schema{
		"Hook": {Type: "object", Required: []string{"id"}, Properties: map[string]*schema{"id": text("integer"), "url": text("string"), "on": text("boolean")}},
		"New":  {Type: "object", Required: []string{"url"}, Properties: map[string]*schema{"url": text("string"), "kind": {Type: "string", Enum: []any{"a", "b"}}}},
	}}
	spec := `{"paths": {"/api/v4/projects/{id}/hooks": {"post": {"parameters": [{"name": "q", "in": "query"}, {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/New"}}],
		"responses": {"201": {"schema": {"$ref": "#/definitions/Hook"}}}}}}}`
	file := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readDescription(file); err == nil {
		t.Error("a file that is not GitLab's description is taken")
	}
	small, err := parseDescription([]byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	d.Paths = small.Paths
	op, _ := find(http.MethodPost, "/projects/1/hooks")
	for name, c := range map[string]struct {
		query, asked string
		status       int
		answer, want string
	}{
		"good":            {"?q=1", `{"url":"x","kind":"a"}`, 201, `{"id":7,"on":true,"url":null}`, ""},
		"query":           {"?r=1", `{"url":"x"}`, 201, `{"id":7}`, "the query has r"},
		"missing":         {"", `{}`, 201, `{"id":7}`, "request has no url"},
		"unknown":         {"", `{"url":"x","x":1}`, 201, `{"id":7}`, "request has x"},
		"enum":            {"", `{"url":"x","kind":"c"}`, 201, `{"id":7}`, "should be one of"},
		"status":          {"", `{"url":"x"}`, 204, `{"id":7}`, "never answers 204"},
		"answer lacks":    {"", `{"url":"x"}`, 201, `{}`, "answer has no id"},
		"answer type":     {"", `{"url":"x"}`, 201, `{"id":"7"}`, "answer.id is a string"},
		"answer bool":     {"", `{"url":"x"}`, 201, `{"id":7,"on":1}`, "answer.on is a float64"},
		"answer boolean":  {"", `{"url":"x"}`, 201, `{"id":true}`, "answer.id is a bool"},
		"answer invented": {"", `{"url":"x"}`, 201, `{"id":7,"y":1}`, "answer has y"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/api/v4/projects/1/hooks"+c.query, nil)
		got := strings.Join(d.exchange(op, r, []byte(c.asked), c.status, decode(t, c.answer)), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	notes, _ := find(http.MethodGet, "/projects/1/merge_requests/2/notes")
	if got := d.exchange(notes, httptest.NewRequest(http.MethodGet, "/", nil), nil, 200, nil); len(got) != 0 {
		t.Errorf("an operation that is known to be left out: %v", got)
	}
	members, _ := find(http.MethodGet, "/projects/1/members/all/2")
	if got := d.exchange(members, httptest.NewRequest(http.MethodGet, "/", nil), nil, 200, nil); len(got) != 1 {
		t.Errorf("an operation that should be described and is not: %v", got)
	}
}
