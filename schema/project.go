package schema

import (
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// pulumiProject is what a Pulumi.yaml says, as far as a stack needs it: Pulumi refuses a
// program without a name or a runtime only when it is run.
type pulumiProject struct {
	file, name, runtime string
	// wrong says why the file cannot be read.
	wrong string
	// wrongAt is where, zero for the whole file.
	wrongAt diag.Position
	// nameAt is where the name stands.
	nameAt diag.Position
}

// isProject tells whether the entry is the Pulumi.yaml of a program. What else is called
// so, in an environment's own folder, is read as a document.
func (e *entry) isProject() bool {
	return e.code != "" && e.mode == 0 && e.code == path.Dir(e.path) && (path.Base(e.path) == "Pulumi.yaml" || path.Base(e.path) == "Pulumi.yml")
}

// projectIn is what the Pulumi.yaml of a folder says; nil when it is not known. Of two
// files Pulumi takes Pulumi.yaml.
func projectIn(files map[string]*entry, folder string) *pulumiProject {
	for _, name := range []string{"Pulumi.yaml", "Pulumi.yml"} {
		if e := files[path.Join(folder, name)]; e != nil {
			return e.file.project
		}
	}
	return nil
}

// readProject reads name and runtime with as few demands as Pulumi has itself: the rest
// of the file may be a whole program in YAML.
func readProject(file, data string) (p *pulumiProject) {
	p = &pulumiProject{file: file}
	defer func() { // a panic of the library on some odd input must not end the daemon
		if r := recover(); r != nil {
			p = &pulumiProject{file: file, wrong: "it is not valid YAML"}
		}
	}()
	l, err := yaml.NewLoader(strings.NewReader(data), yaml.WithUniqueKeys(false), yaml.WithPlugin(depthLimit{}))
	var n yaml.Node
	if err == nil {
		err = l.Load(&n)
	}
	switch {
	case errors.Is(err, io.EOF):
		p.wrong = "it is empty"
		return p
	case err != nil:
		p.notYAML(err, &text{path: file, data: data})
		return p
	case n.Kind != yaml.DocumentNode || len(n.Content) == 0 || n.Content[0].Kind != yaml.MappingNode:
		p.wrong = "it is no map"
		return p
	}
	text := &text{path: file, data: data}
	p.name, p.nameAt = scalarAt(n.Content[0], "name", text)
	runtime := entryOf(n.Content[0], "runtime")
	p.runtime, _ = scalarAt(n.Content[0], "runtime", text)
	if runtime != nil && runtime.Kind == yaml.MappingNode {
		p.runtime, _ = scalarAt(runtime, "name", text)
	}
	return p
}

// notYAML says where a file stops being YAML, and why.
func (p *pulumiProject) notYAML(err error, t *text) {
	p.wrong = "it is not valid YAML"
	var le *yaml.LoadError
	if !errors.As(err, &le) || le.Mark.Line < 1 {
		return
	}
	p.wrong += ": " + strings.TrimSpace(le.Message+" "+le.ContextMsg)
	line := min(le.Mark.Line, strings.Count(t.data, "\n")+1)
	p.wrongAt = diag.Position{File: t.path, Line: line, Column: min(max(1, le.Mark.Column), utf8.RuneCountInString(t.line(line))+1)}
}

// entryOf is the value of a map's key, or nil.
func entryOf(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Kind == yaml.ScalarNode && m.Content[i].Value == key {
			v := m.Content[i+1]
			if v.Kind == yaml.AliasNode && v.Alias != nil {
				v = v.Alias
			}
			return v
		}
	}
	return nil
}

// scalarAt is the text of a map's entry and its place; "" when it is none.
func scalarAt(m *yaml.Node, key string, t *text) (string, diag.Position) {
	v := entryOf(m, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return "", diag.Position{}
	}
	if kind, _, _ := resolveScalar(v); kind == nullValue {
		return "", diag.Position{}
	}
	col := min(v.Column, utf8.RuneCountInString(t.line(v.Line))+1)
	return v.Value, diag.Position{File: t.path, Line: v.Line, Column: col}
}

// pulumiName is what Pulumi allows for projects and stacks (sdk/go/common/tokens). The
// names of folders that mean another one are left out: both become part of file names.
var pulumiName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

func isPulumiName(s string) bool { return pulumiName.MatchString(s) && s != "." && s != ".." }

const pulumiNameText = "letters, digits, hyphens, underscores and periods, at most 100 of them"

// checkProject gives the diagnostic for a program that Pulumi would refuse. One whose
// file is not known is Pulumi's to judge.
func (l *localSource) checkProject(p *pulumiProject) (diag.Diagnostic, bool) {
	d := l.missing
	if p == nil {
		return d, false
	}
	d.Code = diag.InvalidProgram
	d.Related = []diag.Related{{Pos: diag.Position{File: p.file, Line: 1, Column: 1}, Message: "the program is here"}}
	switch {
	case p.wrong != "":
		d.Detail = p.file + ": " + p.wrong
		if p.wrongAt.Line > 0 {
			d.Related[0] = diag.Related{Pos: p.wrongAt, Message: "it stops being YAML here"}
		}
	case p.runtime == "":
		d.Detail = p.file + " names no runtime"
		d.Expected = "runtime: yaml, nodejs, python, go, dotnet, java, or another one that Pulumi has a language host for"
	case p.name == "":
		d.Detail = p.file + " names no project"
		d.Expected = "name: followed by " + pulumiNameText
	case !isPulumiName(p.name):
		d.Detail = p.file + " names a project that Pulumi does not allow"
		d.Found, d.Expected = fmt.Sprintf("%q", p.name), pulumiNameText
		d.Related[0].Pos = p.nameAt
	default:
		return d, false
	}
	return d, true
}
