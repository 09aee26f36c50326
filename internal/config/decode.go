package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// maxNodes bounds how much one file may expand to through aliases.
const maxNodes = 100_000

// place is where a value stands: what a later finding about it points at.
type place struct {
	pos   diag.Position
	width int
	line  string
}

// decoder reads one text (the file, a variable or a flag's value) into a config. It goes on after a
// mistake and collects all of them.
type decoder struct {
	file string
	// positioned is false for variables and flags, which have no lines.
	positioned bool
	// textual says that scalars have no type of their own: in a variable, 123 may be a name.
	textual bool
	lines   []string
	places  map[string]place
	nodes   int
	list    diag.List
}

func newDecoder(file string, src []byte, places map[string]place) *decoder {
	return &decoder{file: file, positioned: true, places: places, lines: lineBreak.Split(string(src), -1)}
}

// lineBreak is what YAML counts as the end of a line.
var lineBreak = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// parse gives the only document of src; nil when there is nothing in it.
func (d *decoder) parse(src []byte) *yaml.Node {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(src) {
		d.add(diag.Diagnostic{Code: diag.YAMLSyntax, Pos: diag.Position{File: d.file}, Detail: "the file is not UTF-8 text"})
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err)
		}
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		d.report(&second, diag.YAMLSyntax, diag.Diagnostic{Detail: "a configuration is one document; this starts a second one"})
	case !errors.Is(err, io.EOF):
		d.syntax(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func (d *decoder) syntax(err error) {
	f := diag.Diagnostic{Code: diag.YAMLSyntax, Pos: diag.Position{File: d.file}, Detail: "it cannot be parsed"}
	var le *yaml.LoadError
	if errors.As(err, &le) {
		f.Detail = le.Message
		if d.positioned && le.Mark.Line > 0 {
			f.Pos.Line, f.Pos.Column = le.Mark.Line, max(le.Mark.Column, 1)
			f.Line = d.line(le.Mark.Line)
		}
	}
	if !d.positioned {
		// The parser may quote what it saw, and a variable can hold anything.
		f.Detail = "the value is not valid YAML or JSON"
	}
	d.add(f)
}

// secretive finds lines that may hold a secret in the wrong place: a password in a URL, or beside
// a key that sounds like one. Such a line is never quoted.
var secretive = regexp.MustCompile(`(?i)://[^/\s]*@|\w*(passw|secret|token|passphrase|private.?key|credential|value)\w*["']?\s*:\s*[^\s{#]`)

func (d *decoder) line(n int) string {
	if n < 1 || n > len(d.lines) || secretive.MatchString(d.lines[n-1]) {
		return ""
	}
	return d.lines[n-1]
}

func (d *decoder) add(f diag.Diagnostic) { d.list = append(d.list, f) }

func (d *decoder) place(n *yaml.Node) place {
	p := place{pos: diag.Position{File: d.file}}
	if !d.positioned || n.Line == 0 {
		return p
	}
	p.pos.Line, p.pos.Column = n.Line, n.Column
	p.line = d.line(n.Line)
	p.width = 1
	if n.Kind == yaml.ScalarNode && !strings.ContainsAny(n.Value, "\n") {
		p.width = max(1, utf8.RuneCountInString(n.Value))
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			p.width += 2
		}
	}
	return p
}

func (d *decoder) report(n *yaml.Node, code diag.Code, f diag.Diagnostic) {
	p := d.place(n)
	f.Code, f.Pos, f.Width, f.Line = code, p.pos, p.width, p.line
	d.add(f)
}

// value reads n into v, whose path is path.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.nodes++
	if d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.report(n, diag.InvalidValue, diag.Diagnostic{Detail: fmt.Sprintf("the aliases expand to more than %d values", maxNodes)})
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		d.value(n.Alias, v, path)
		return
	}
	d.places[path] = d.place(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && !d.textual {
		return // "repositories:" with nothing after it says nothing
	}
	if m, ok := v.Addr().Interface().(measure); ok {
		d.measure(n, m, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, v, path)
	case reflect.Slice:
		d.items(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) wrongType(n *yaml.Node, path, expected, hint string) {
	d.report(n, diag.WrongType, diag.Diagnostic{Detail: path, Found: found(n), Expected: expected, Hint: hint})
}

// found names what n is without quoting it: it may be a secret that was put in the wrong place.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}

func (d *decoder) measure(n *yaml.Node, m measure, path string) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, path, m.syntax(), "")
		return
	}
	if err := m.UnmarshalText([]byte(n.Value)); err != nil {
		d.report(n, diag.InvalidValue, diag.Diagnostic{Detail: path, Found: quoted(n.Value), Expected: m.syntax()})
	}
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, orWhole(path), "a mapping", "")
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if first, ok := seen[key.Value]; ok {
			d.report(key, diag.DuplicateKey, diag.Diagnostic{Detail: quoted(key.Value),
				Related: []diag.Related{{Pos: d.place(first).pos, Message: "first written here"}}})
			continue
		}
		seen[key.Value] = key
		f, ok := fieldNamed(v.Type(), key.Value)
		if !ok {
			d.unknownField(key, v.Type())
			continue
		}
		d.value(val, v.FieldByIndex(f.Index), join(path, key.Value))
	}
}

func (d *decoder) unknownField(key *yaml.Node, t reflect.Type) {
	names := fieldNames(t)
	f := diag.Diagnostic{Found: quoted(key.Value), Expected: "one of: " + strings.Join(names, ", ")}
	if s := nearest(key.Value, names); s != "" {
		f.Hint = fmt.Sprintf("did you mean %q?", s)
	}
	d.report(key, diag.UnknownField, f)
}

func (d *decoder) items(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && d.textual && v.Type().Elem().Kind() == reflect.String {
		v.SetZero() // a variable's list of words: a,b,c
		for s := range strings.SplitSeq(n.Value, ",") {
			if s = strings.TrimSpace(s); s != "" {
				v.Set(reflect.Append(v, reflect.ValueOf(s)))
			}
		}
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, path, "a list", "put a dash and a space before it")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping", "")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		name := reflect.ValueOf(key.Value)
		if v.MapIndex(name).IsValid() {
			d.report(key, diag.DuplicateKey, diag.Diagnostic{Detail: quoted(key.Value)})
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(val, item, join(path, key.Value))
		v.SetMapIndex(name, item)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, path, scalarName(v), "")
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, v, path)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" || n.Tag == "!!str" && !d.textual {
			d.wrongType(n, path, scalarName(v), "")
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if err != nil || i < 0 {
			d.wrongType(n, path, scalarName(v), "")
			return
		}
		v.SetInt(i)
	case reflect.Uint64:
		i, err := strconv.ParseUint(n.Value, 10, 64)
		if err != nil {
			d.wrongType(n, path, scalarName(v), "")
			return
		}
		v.SetUint(i)
	default:
		panic("config: no way to decode a " + v.Type().String())
	}
}

func scalarName(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint64:
		return "a whole number, 0 or more"
	}
	return "text"
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path string) {
	if n.Tag != "!!str" && !d.textual {
		d.wrongType(n, path, "text", "put it in quotes")
		return
	}
	if w, ok := v.Interface().(word); ok && n.Value != "" {
		words := w.words()
		if !slices.Contains(words, n.Value) {
			f := diag.Diagnostic{Detail: path, Found: quoted(n.Value), Expected: "one of: " + strings.Join(words, ", ")}
			if s := nearest(n.Value, words); s != "" {
				f.Hint = fmt.Sprintf("did you mean %q?", s)
			}
			d.report(n, diag.InvalidValue, f)
			return
		}
	}
	v.SetString(n.Value)
}
