package schema

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// specSchema is a compiled JSON Schema with its shape.
type specSchema struct {
	shape     *shape
	validator *jsonschema.Schema
	// work counts what validating a document would take; nil when it cannot explode.
	work *work
	// secretive says that some field may be secret, so that documents of other kinds are
	// not looked through for it.
	secretive bool
}

// noLoading refuses every schema that is not part of the document: loading a tree
// never reaches for a file or the network.
type noLoading struct{}

func (noLoading) Load(url string) (any, error) {
	return nil, errors.New("the schema refers to another document: " + url)
}

const schemaURL = "mem://component/schema.json"

// compileSchema compiles decoded JSON.
func compileSchema(doc any) (*specSchema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoading{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	sh := shapeOf(doc)
	return &specSchema{shape: sh, validator: s, work: workOf(doc), secretive: sh.isSecretive(map[*shape]bool{})}, nil
}

// validate checks a walked spec, and reports each error where the value stands.
func (w *walker) validate(v *value, s *specSchema, keyAt place, name string) {
	if s.isBomb(v) {
		w.bad = true
		w.report(diag.Diagnostic{Code: diag.SchemaTooCostly, Hint: "the schema has alternatives that hold the same again at every level; say them once"}, keyAt)
		return
	}
	err := s.validator.Validate(v.toAny())
	var ve *jsonschema.ValidationError
	if err == nil {
		return
	}
	if !errors.As(err, &ve) {
		w.bad = true
		w.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: err.Error()}, keyAt)
		return
	}
	c := &checker{walker: w, root: v, rootKey: keyAt, shape: s.shape, name: name}
	for _, l := range c.leaves(ve) {
		w.bad = true
		c.explain(l)
	}
}

// checker explains the validator's errors about one spec.
type checker struct {
	*walker
	root    *value
	rootKey place
	shape   *shape
	name    string
	// keyed is the map that findKey found.
	keyed *value
}

// spot is what an instance location names.
type spot struct {
	val   *value
	keyAt place
	shape *shape
	path  *fieldPath
	// reference says that a reference stands there or above.
	reference bool
}

func (c *checker) find(location []string) spot {
	s := spot{val: c.root, keyAt: c.rootKey, shape: c.shape, path: (*fieldPath)(nil).field(c.name)}
	for _, tok := range location {
		if isNormalised(s.val) {
			break
		}
		if s.val.kind == listValue {
			i, err := strconv.Atoi(tok)
			if err != nil || i >= len(s.val.fields) {
				return s
			}
			s.path, s.shape = s.path.item(i), s.shape.item(i)
			s.val = &s.val.fields[i].val
			s.keyAt = s.val.at
			continue
		}
		f, ok := s.val.get(tok)
		if !ok {
			return s
		}
		s.path = s.path.field(tok)
		if p, ok := s.shape.props[tok]; ok {
			s.shape = p
		} else {
			s.shape = s.shape.value()
		}
		s.val, s.keyAt = &f.val, f.keyAt
	}
	s.reference = isNormalised(s.val)
	return s
}

// leaves are the errors that are worth telling: none for what a reference stands for,
// and of alternatives those of the one that was probably meant.
func (c *checker) leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	s := c.find(e.InstanceLocation)
	if s.reference {
		return nil
	}
	whole := false
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		if len(e.Causes) > 0 {
			return c.alternatives(e)
		}
	case *kind.Contains, *kind.PropertyNames:
		whole = true // the causes say of each part why it is not the one
	}
	if len(e.Causes) > 0 && !whole {
		var out []*jsonschema.ValidationError
		for _, cause := range e.Causes {
			out = append(out, c.leaves(cause)...)
		}
		return out
	}
	if c.clouded(e, s) {
		return nil
	}
	return []*jsonschema.ValidationError{e}
}

// clouded tells whether an error may come only from a reference whose value is not
// known yet.
func (c *checker) clouded(e *jsonschema.ValidationError, s spot) bool {
	switch e.ErrorKind.(type) {
	case *kind.Not, *kind.Enum, *kind.Const, *kind.UniqueItems, *kind.Contains, *kind.MinContains, *kind.MaxContains, *kind.OneOf:
		return holdsReference(s.val)
	}
	if strings.Contains(e.SchemaURL, "/then") || strings.Contains(e.SchemaURL, "/else") {
		return holdsReference(s.val)
	}
	return false
}

func holdsReference(v *value) bool {
	if isNormalised(v) {
		return true
	}
	for i := range v.fields {
		if holdsReference(&v.fields[i].val) {
			return true
		}
	}
	return false
}

// alternatives picks from the branches of an anyOf or oneOf the one whose type fits,
// and of those the one with the fewest errors.
func (c *checker) alternatives(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	var best []*jsonschema.ValidationError
	var types []string
	for _, branch := range e.Causes {
		l := c.leaves(branch)
		if len(l) == 0 {
			return nil
		}
		if t, ok := l[0].ErrorKind.(*kind.Type); ok && len(l) == 1 && slices.Equal(l[0].InstanceLocation, e.InstanceLocation) {
			types = append(types, t.Want...)
			continue
		}
		if best == nil || len(l) < len(best) {
			best = l
		}
	}
	if best != nil {
		return best
	}
	return []*jsonschema.ValidationError{{SchemaURL: e.SchemaURL, InstanceLocation: e.InstanceLocation,
		ErrorKind: &kind.Type{Want: slices.Compact(slices.Sorted(slices.Values(types)))}}}
}

// explain turns one error into a diagnostic at the value, or at the key where the key
// is what is wrong.
func (c *checker) explain(e *jsonschema.ValidationError) {
	s := c.find(e.InstanceLocation)
	d := diag.Diagnostic{Code: diag.InvalidValue, Detail: s.path.String(), Found: quoted(s.val, s.shape)}
	at := s.val.at
	if !s.val.isScalar() {
		at = s.keyAt
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, m := range k.Missing {
			if c.meant[s.path.field(m).String()] {
				continue // the misspelled field is reported
			}
			c.report(diag.Diagnostic{Code: diag.MissingField, Detail: s.path.field(m).String()}, s.keyAt)
		}
		return
	case *kind.DependentRequired:
		for _, m := range k.Missing {
			c.report(diag.Diagnostic{Code: diag.MissingField, Detail: fmt.Sprintf("%s, which %s needs", s.path.field(m), k.Prop)}, s.keyAt)
		}
		return
	case *kind.AdditionalProperties:
		names := sortedKeys(s.shape.props)
		for _, p := range k.Properties {
			if f, ok := s.val.get(p); ok {
				c.report(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in %s", p, s.path), Expected: oneOf(names),
					Hint: didYouMean(p, names)}, f.keyAt)
			}
		}
		return
	case *kind.FalseSchema:
		d.Code, at = diag.UnknownField, s.keyAt
		d.Found = ""
	case *kind.PropertyNames:
		// The validator overwrites the location of this error with that of a later one
		// of the same depth, so the key is looked for.
		if name, ok := c.findKey(c.root, (*fieldPath)(nil).field(c.name), len(e.InstanceLocation), k.Property); ok {
			d.Detail = name.String()
			s = spot{val: c.keyed, keyAt: at}
		}
		d.Found, d.Expected = strconv.Quote(k.Property), "another name"
		if len(e.Causes) == 1 && len(e.Causes[0].Causes) == 0 {
			d.Expected = expectation(e.Causes[0].ErrorKind)
		}
		if f, ok := s.val.get(k.Property); ok {
			at = f.keyAt
		}
	case *kind.Type:
		c.wrongType(&d, k, s)
	case *kind.Enum:
		var names []string
		for _, w := range k.Want {
			names = append(names, strings.Trim(string(appendAny(nil, w)), `"`))
		}
		d.Expected = oneOf(names)
		if s.val.kind == stringValue && !s.shape.sensitive {
			d.Hint = didYouMean(s.val.text, names)
		}
	default:
		d.Expected = expectation(e.ErrorKind)
	}
	c.report(d, at)
}

// findKey finds the first map at a depth that has a key.
func (c *checker) findKey(v *value, at *fieldPath, depth int, key string) (*fieldPath, bool) {
	if depth == 0 {
		_, ok := v.get(key)
		c.keyed = v
		return at, ok
	}
	for i := range v.fields {
		next := at.item(i)
		if v.kind == mapValue {
			next = at.field(v.fields[i].key)
		}
		if found, ok := c.findKey(&v.fields[i].val, next, depth-1, key); ok {
			return found, true
		}
	}
	return nil, false
}

var typeWords = map[string]string{"string": "a string", "number": "a number", "integer": "a whole number", "boolean": "true or false",
	"object": "a map", "array": "a list", "null": "null"}

func (c *checker) wrongType(d *diag.Diagnostic, k *kind.Type, s spot) {
	d.Code = diag.WrongType
	var words []string
	for _, t := range k.Want {
		words = append(words, typeWords[t])
	}
	d.Expected = strings.Join(words, " or ")
	if s.val.isScalar() && s.val.kind != nullValue && !s.shape.sensitive {
		d.Found = quoted(s.val, s.shape)
		if s.val.kind != stringValue && slices.Contains(k.Want, "string") {
			d.Hint = fmt.Sprintf("quote it: %q", s.val.text)
		}
		if s.val.kind == stringValue {
			if kind, _ := plainScalar(s.val.text); kind == numberValue || kind == boolValue {
				d.Found += ", a string"
			}
		}
	}
}

// expectation is what the validator wanted, in words that never hold the value itself.
func expectation(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Const:
		return string(appendAny(nil, k.Want))
	case *kind.Pattern:
		return "text that matches " + k.Want
	case *kind.Format:
		return "a value of format " + k.Want
	case *kind.MinLength:
		return plural("at least", k.Want, "character")
	case *kind.MaxLength:
		return plural("at most", k.Want, "character")
	case *kind.MinItems:
		return plural("at least", k.Want, "item")
	case *kind.MaxItems:
		return plural("at most", k.Want, "item")
	case *kind.MinProperties:
		return plural("at least", k.Want, "field")
	case *kind.MaxProperties:
		return plural("at most", k.Want, "field")
	case *kind.Minimum:
		return "at least " + number(k.Want)
	case *kind.Maximum:
		return "at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "less than " + number(k.Want)
	case *kind.MultipleOf:
		return "a multiple of " + number(k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("items that differ (items %d and %d are equal)", k.Duplicates[0], k.Duplicates[1])
	case *kind.Contains, *kind.MinContains:
		return "a list that holds a certain item"
	case *kind.OneOf:
		return "a value that fits only one of the alternatives"
	}
	return "what the schema says at /" + strings.Join(k.KeywordPath(), "/")
}

func plural(how string, n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return how + " " + strconv.Itoa(n) + " " + what
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}
