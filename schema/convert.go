package schema

import (
	"fmt"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// converter turns the library's nodes of one document into values.
type converter struct {
	*parser
	at      func(line, col int) place
	anchors map[*yaml.Node]*anchored
	// expanded counts the nodes that aliases stand for.
	expanded int
	// failed says that the document must be left out.
	failed bool
}

func (c *converter) fail(d diag.Diagnostic, at place) {
	c.failed = true
	c.report(d, at)
}

// convert gives a node's value, how many nodes it stands for and how deep it is.
func (c *converter) convert(n *yaml.Node, depth int) (v value, size, height int) {
	if n.Anchor != "" {
		a := &anchored{}
		c.anchors[n] = a
		defer func() { a.val, a.size, a.depth, a.done = v, size, height, true }()
	}
	v.at = c.at(n.Line, n.Column)
	switch n.Kind {
	case yaml.ScalarNode:
		c.scalar(&v, n)
		return v, 1, 1
	case yaml.AliasNode:
		return c.alias(n, depth)
	case yaml.SequenceNode:
		c.checkTag(n, "!!seq")
		v.kind = listValue
		v.fields = make([]field, 0, len(n.Content))
		size = 1
		for _, e := range n.Content {
			ev, s, h := c.convert(e, depth+1)
			v.fields = append(v.fields, field{val: ev})
			size, height = size+s, max(height, h)
		}
		return v, size, height + 1
	case yaml.MappingNode:
		c.checkTag(n, "!!map")
		return c.mapping(v, n, depth)
	}
	return v, 1, 1
}

func (c *converter) scalar(v *value, n *yaml.Node) {
	kind, text, badTag := resolveScalar(n)
	v.kind, v.text = kind, text
	plain := n.Style == 0 || n.Style == yaml.FlowStyle
	if plain && n.Anchor == "" {
		v.at.width = int32(utf8.RuneCountInString(n.Value))
	}
	switch {
	case badTag != "":
		c.fail(diag.Diagnostic{Code: diag.UnsupportedTag, Detail: fmt.Sprintf("the tag %s cannot be used here", badTag),
			Hint: "write the value without a tag"}, v.at)
	case plain && isNotANumber(n.Value):
		c.fail(diag.Diagnostic{Code: diag.InvalidValue, Found: n.Value, Expected: "a number that JSON can write",
			Hint: "quote it if it is text"}, v.at)
	case kind == numberValue && hugeExponent(text):
		c.fail(diag.Diagnostic{Code: diag.InvalidValue, Found: quoted(v, nil), Expected: fmt.Sprintf("an exponent of at most %d", maxExponent),
			Hint: "quote it if it is text"}, v.at)
	case plain && looksOctal(n.Value):
		c.report(diag.Diagnostic{Code: diag.AmbiguousScalar, Severity: diag.Warning,
			Detail: fmt.Sprintf("%s is the number %s, not an octal one", n.Value, text),
			Hint:   fmt.Sprintf("write 0o%s for octal, or quote it to keep the zeros", n.Value[1:])}, v.at)
	}
}

func (c *converter) checkTag(n *yaml.Node, want string) {
	if n.Style&yaml.TaggedStyle != 0 && n.Tag != want {
		c.fail(diag.Diagnostic{Code: diag.UnsupportedTag, Detail: fmt.Sprintf("the tag %s cannot be used here", n.Tag),
			Hint: "write the value without a tag"}, c.at(n.Line, n.Column))
	}
}

// alias gives the anchor's value, counting what it stands for: a few lines of
// aliases can stand for billions of nodes.
func (c *converter) alias(n *yaml.Node, depth int) (value, int, int) {
	a := c.anchors[n.Alias]
	at := c.at(n.Line, n.Column)
	at.width = int32(utf8.RuneCountInString(n.Value) + 1)
	if a == nil || !a.done {
		c.fail(diag.Diagnostic{Code: diag.AliasBomb, Detail: fmt.Sprintf("the alias *%s stands inside its own anchor", n.Value)}, at)
		return value{at: at}, 1, 1
	}
	if depth+a.depth > maxDepth {
		if !c.failed {
			c.fail(diag.Diagnostic{Code: diag.TooDeep, Detail: fmt.Sprintf("with its aliases the document nests deeper than %d levels", maxDepth)}, at)
		}
		return value{at: at}, 1, 1
	}
	if c.expanded += a.size; c.expanded > c.opts.MaxAliasNodes {
		if !c.failed {
			c.fail(diag.Diagnostic{Code: diag.AliasBomb,
				Detail: fmt.Sprintf("they stand for more than %d values", c.opts.MaxAliasNodes)}, at)
		}
		return value{at: at}, 1, 1
	}
	return a.val, a.size, a.depth
}

// mapping converts a map: string keys only, each once, with merge keys filled in.
func (c *converter) mapping(v value, n *yaml.Node, depth int) (value, int, int) {
	v.kind = mapValue
	v.fields = make([]field, 0, len(n.Content)/2)
	size, height := 1, 0
	var merges []*yaml.Node
	seen := make(map[string]place, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		kn, vn := n.Content[i], n.Content[i+1]
		keyAt := c.at(kn.Line, kn.Column)
		key, isKey := c.key(kn, &keyAt)
		merge := kn.Kind == yaml.ScalarNode && kn.Style == 0 && kn.Value == "<<"
		first, twice := seen[key]
		if isKey && twice {
			c.fail(diag.Diagnostic{Code: diag.DuplicateKey, Detail: fmt.Sprintf("%q", key),
				Related: []diag.Related{{Pos: c.text.position(first), Message: "first defined here"}}}, keyAt)
		}
		if isKey && !twice {
			seen[key] = keyAt
		}
		if merge {
			merges = append(merges, vn)
			continue
		}
		ev, s, h := c.convert(vn, depth+1)
		size, height = size+s+1, max(height, h)
		if isKey && !twice {
			v.fields = append(v.fields, field{key: key, keyAt: keyAt, val: ev})
		}
	}
	for _, m := range merges {
		s, h := c.merge(&v, m, depth)
		size, height = size+s, max(height, h)
	}
	return v, size, height + 1
}

// key reads a map's key; the place gets its width.
func (c *converter) key(n *yaml.Node, at *place) (string, bool) {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode {
		kind, text, badTag := resolveScalar(n)
		if n.Style == 0 && n.Anchor == "" {
			at.width = int32(utf8.RuneCountInString(n.Value))
		}
		if kind == stringValue && badTag == "" {
			return text, true
		}
		c.fail(diag.Diagnostic{Code: diag.NonStringKey, Found: kind.String(), Expected: "a string",
			Hint: fmt.Sprintf("quote it: %q", n.Value)}, *at)
		return "", false
	}
	what := "a map"
	if n.Kind == yaml.SequenceNode {
		what = "a list"
	}
	c.fail(diag.Diagnostic{Code: diag.NonStringKey, Found: what, Expected: "a string"}, *at)
	return "", false
}

// merge fills in the entries of a "<<" map or list of maps; what is written wins,
// and of several maps the first.
func (c *converter) merge(v *value, n *yaml.Node, depth int) (size, height int) {
	mv, size, height := c.convert(n, depth+1)
	sources := []field{{val: mv}}
	if mv.kind == listValue {
		sources = mv.fields
	}
	have := make(map[string]bool, len(v.fields))
	for i := range v.fields {
		have[v.fields[i].key] = true
	}
	for _, s := range sources {
		if s.val.kind != mapValue {
			if !c.failed {
				c.fail(diag.Diagnostic{Code: diag.WrongType, Found: s.val.kind.String(), Expected: "a map, or a list of maps, to merge"}, c.at(n.Line, n.Column))
			}
			continue
		}
		for _, f := range s.val.fields {
			if !have[f.key] {
				have[f.key] = true
				v.fields = append(v.fields, f)
			}
		}
	}
	return size, height
}
