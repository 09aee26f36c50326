package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// foreign are variables that start with REEVE_ and are read by others than Load:
// the command line's own settings, and the mark of a job's processes.
var foreign = []string{"REEVE_CONFIG", "REEVE_CONTEXT", "REEVE_URL", "REEVE_TOKEN", "REEVE_OUTPUT", "REEVE_NO_COLOR", "REEVE_TOOL_CACHE", "REEVE_RUN"}

// singleRepository is the prefix of the variables that describe one repository, so that a
// container can be told by plain variables what to reconcile.
const singleRepository = "REEVE_REPOSITORY"

// variable is one field that can be set from outside the file.
type variable struct {
	name  string
	path  string
	index []int
}

// variablesOf lists the variables of a struct type: one for every scalar, list and map, at
// any depth of structs.
func variablesOf(t reflect.Type, path string, index []int) []variable {
	var out []variable
	for f := range t.Fields() {
		name := jsonName(f)
		if name == "-" || name == "" {
			continue
		}
		at, p := append(slices.Clone(index), f.Index...), join(path, name)
		if f.Type.Kind() == reflect.Struct {
			out = append(out, variablesOf(f.Type, p, at)...)
			continue
		}
		out = append(out, variable{name: variableName(p), path: p, index: at})
	}
	return out
}

// Variables lists the environment variables that Load reads for the fields of a
// configuration, by the field's path ("jobs.parallel" → "REEVE_JOBS_PARALLEL").
// Lists and maps are written as JSON or YAML, lists of words also as "a,b,c".
func Variables() map[string]string {
	out := map[string]string{}
	for _, v := range variablesOf(reflect.TypeFor[Config](), "", nil) {
		out[v.path] = v.name
	}
	return out
}

// Override is a value from the command line; it outranks file and environment.
type Override struct {
	// Flag is how it was given, for messages: "--listen".
	Flag string
	// Field is the path of the field: "listen", "jobs.parallel".
	Field string
	// Value is written as in an environment variable.
	Value string
}

// fromText reads the text of a variable or flag into the field at path.
func fromText(origin, text string, v reflect.Value, path string, places map[string]place) diag.List {
	d := &decoder{file: origin, textual: true, places: places}
	if isText(v) || v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		d.value(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, v, path)
		return d.list
	}
	if n := d.parse([]byte(text)); n != nil {
		d.value(n, v, path)
	}
	return d.list
}

func isText(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(measure); ok {
		return true
	}
	return !slices.Contains([]reflect.Kind{reflect.Slice, reflect.Map, reflect.Struct}, v.Kind())
}

// fromEnvironment reads all REEVE_ variables. An empty variable is as good as none, as composition
// files often pass empty ones on.
func fromEnvironment(environ []string, c *Config, places map[string]place) diag.List {
	var out diag.List
	known := slices.Clone(foreign)
	root := reflect.ValueOf(c).Elem()
	for _, v := range variablesOf(root.Type(), "", nil) {
		known = append(known, v.name)
		if text, ok := lookup(environ, v.name); ok && text != "" {
			out = append(out, fromText("$"+v.name, text, root.FieldByIndex(v.index), v.path, places)...)
		}
	}
	single, set, list := singleFromEnvironment(environ, places)
	out = append(out, list...)
	if set != "" {
		if text, ok := lookup(environ, "REEVE_REPOSITORIES"); ok && text != "" {
			out = append(out, diag.Diagnostic{Code: diag.InvalidValue, Pos: diag.Position{File: "$" + set},
				Detail: "REEVE_REPOSITORIES is set too", Expected: "either REEVE_REPOSITORIES or the variables of a single repository"})
		}
		c.Repositories = []Repository{single}
	}
	for _, v := range variablesOf(reflect.TypeFor[Repository](), "", nil) {
		known = append(known, singleRepository+strings.TrimPrefix(v.name, "REEVE"))
	}
	return append(out, unknownVariables(environ, known)...)
}

func singleFromEnvironment(environ []string, places map[string]place) (Repository, string, diag.List) {
	var (
		r   Repository
		set string
		out diag.List
	)
	root := reflect.ValueOf(&r).Elem()
	for _, v := range variablesOf(root.Type(), "", nil) {
		name := singleRepository + strings.TrimPrefix(v.name, "REEVE")
		text, ok := lookup(environ, name)
		if !ok || text == "" {
			continue
		}
		if set == "" {
			set = name
			places["repositories[0]"] = place{pos: diag.Position{File: "$" + name}}
		}
		out = append(out, fromText("$"+name, text, root.FieldByIndex(v.index), "repositories[0]."+v.path, places)...)
	}
	return r, set, out
}

// unknownVariables warns of variables that look like ours and are not: a misspelt name would
// otherwise be silently without effect. It is no error, for others may use the prefix; Kubernetes
// does, for services whose names begin with reeve, which is not worth a word.
func unknownVariables(environ, known []string) diag.List {
	var out diag.List
	seen := map[string]bool{}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "REEVE_") || slices.Contains(known, name) || seen[name] {
			continue
		}
		seen[name] = true
		if ofService.MatchString(name) {
			continue
		}
		d := diag.Diagnostic{Code: diag.UnknownField, Severity: diag.Warning, Pos: diag.Position{File: "$" + name}, Detail: "no such variable is read"}
		if s := nearestVariable(name, known); s != "" {
			d.Hint = fmt.Sprintf("did you mean %q?", s)
		}
		out = append(out, d)
	}
	return out
}

// ofService are the variables that Kubernetes makes of a service called reeve or reeve-….
var ofService = regexp.MustCompile(`^REEVE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z]+(_[A-Z]+)?)?)$`)

// nearestVariable is the variable that was probably meant, or "". What two names have in
// common before and after the words that differ makes them no more alike: REEVE_TYPO is
// as far from REEVE_TOKEN as TYPO is from TOKEN.
func nearestVariable(name string, known []string) string {
	best, bestScore := "", 0.7
	for _, k := range known {
		a, b := strings.Split(name, "_"), strings.Split(k, "_")
		for len(a) > 1 && len(b) > 1 && a[0] == b[0] {
			a, b = a[1:], b[1:]
		}
		for len(a) > 1 && len(b) > 1 && a[len(a)-1] == b[len(b)-1] {
			a, b = a[:len(a)-1], b[:len(b)-1]
		}
		if score := levenshtein.Match(strings.Join(a, "_"), strings.Join(b, "_"), nil); score > bestScore {
			best, bestScore = k, score
		}
	}
	return best
}

func fromOverrides(overrides []Override, c *Config, places map[string]place) diag.List {
	var out diag.List
	root := reflect.ValueOf(c).Elem()
	all := variablesOf(root.Type(), "", nil)
	for _, o := range overrides {
		i := slices.IndexFunc(all, func(v variable) bool { return v.path == o.Field })
		if i < 0 {
			out = append(out, diag.Diagnostic{Code: diag.UnknownField, Pos: diag.Position{File: o.Flag}, Found: quoted(o.Field)})
			continue
		}
		out = append(out, fromText(o.Flag, o.Value, root.FieldByIndex(all[i].index), o.Field, places)...)
	}
	return out
}
