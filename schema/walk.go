package schema

import (
	"fmt"
	"regexp"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// oldReference is what references looked like in old manuals.
var oldReference = regexp.MustCompile(`^\$\{(outputs(\.[\w-]+)+|[\w-]+(\.[\w-]+){2,})\}$`)

// configReference is how Planton writes references to its variables and secrets, in the
// newer form and in the older one. A module must not get one for a password.
var configReference = regexp.MustCompile(`^\$(var|secret|variables-group|secrets-group)/[@\w.-]+(/[\w.-]+)*$`)

// walker brings a spec into the spelling of its schema, and finds the references
// in it.
type walker struct {
	*reporter
	mode walkMode
	key  ResourceKey
	refs []Reference
	bad  bool
	// alsoCalled are other names of the fields of the spec itself.
	alsoCalled map[string]string
	// meant are the paths of fields that an unknown field was probably meant to be.
	meant map[string]bool
}

// walkMode says whether a spec may hold references.
type walkMode uint8

const (
	// literally takes every value as it stands: the own kinds.
	literally walkMode = iota
	// withReferences reads valueFrom and {value: x}.
	withReferences
)

// walk returns v with property names as the schema spells them, every reference
// normalised, and {value: x} as x where the schema wants a scalar or a
// StringValueOrRef. Unknown fields are reported and left out.
func (w *walker) walk(v value, s *shape, at *fieldPath) value {
	if s.sensitive {
		w.hide(&v)
	}
	if w.mode == withReferences && v.kind == stringValue && v.text != "" && v.text[0] == '$' && oldReference.MatchString(v.text) {
		w.bad = true
		w.report(diag.Diagnostic{Code: diag.OldReference, Detail: fmt.Sprintf("%s at %s", quoted(&v, s), at),
			Hint: "write valueFrom: {kind: …, name: …, fieldPath: status.outputs.…}"}, v.at)
		return v
	}
	if w.mode == withReferences && v.kind == stringValue && v.text != "" && v.text[0] == '$' && configReference.MatchString(v.text) {
		w.bad = true
		w.report(diag.Diagnostic{Code: diag.NotSupportedYet, Detail: "references to variables and secrets", Found: fmt.Sprintf("%s at %s", quoted(&v, s), at),
			Hint: "the module would get this text itself as the value"}, v.at)
		return v
	}
	if w.mode == withReferences && v.isScalar() && v.kind != nullValue && s.isRefOrValue() {
		// A bare scalar stands for {value: …}, as many published manifests have it.
		return value{at: v.at, kind: mapValue, fields: []field{{key: "value", keyAt: v.at, val: v}}}
	}
	switch v.kind {
	case listValue:
		out := v
		out.fields = make([]field, len(v.fields))
		for i, f := range v.fields {
			f.val = w.walk(f.val, s.item(i), at.item(i))
			out.fields[i] = f
		}
		return out
	case mapValue:
		if w.mode == literally {
			return w.walkMap(v, s, at)
		}
		if f, ok := w.isReference(&v, s); ok {
			return w.reference(v, f, at)
		}
		if f, beside, ok := accompanied(&v, s); ok {
			w.bad = true
			w.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: at.String(), Found: fmt.Sprintf("%q beside %s", beside.key, f.key),
				Expected: "a reference alone, which gives the whole value",
				Hint:     "to fill in one field of a map, write the reference as that field's value"}, beside.keyAt)
			return w.reference(v, f, at)
		}
		if f, ok := soleField(&v, "value"); ok && s.scalar && s.isFree() {
			return w.walk(f.val, anyShape, at.field("value"))
		}
		return w.walkMap(v, s, at)
	}
	return v
}

func soleField(v *value, names ...string) (*field, bool) {
	if len(v.fields) != 1 {
		return nil, false
	}
	for _, n := range names {
		if v.fields[0].key == n {
			return &v.fields[0], true
		}
	}
	return nil, false
}

// walkMap walks a map's entries.
func (w *walker) walkMap(v value, s *shape, at *fieldPath) value {
	out := v
	out.fields = make([]field, 0, len(v.fields))
	var seen map[string]place
	for _, f := range v.fields {
		if s.isFree() {
			f.val = w.walk(f.val, s.value(), at.field(f.key))
			out.fields = append(out.fields, f)
			continue
		}
		name, ps, ok := s.property(f.key)
		if !ok {
			if s.open {
				f.val = w.walk(f.val, s.value(), at.field(f.key))
				out.fields = append(out.fields, f)
				continue
			}
			w.unknownField(f, s, at)
			continue
		}
		if first, twice := seen[name]; twice {
			w.bad = true
			w.report(diag.Diagnostic{Code: diag.DuplicateKey, Detail: fmt.Sprintf("%q, in two spellings", name),
				Related: []diag.Related{{Pos: w.text.position(first), Message: "first defined here"}}}, f.keyAt)
			continue
		}
		if seen == nil {
			seen = make(map[string]place, len(v.fields))
		}
		seen[name] = f.keyAt
		if w.mode == withReferences && f.val.kind == nullValue && !ps.nullable {
			continue // as in protobuf's JSON, null is a field that is not set
		}
		f.val = w.walk(f.val, ps, at.field(f.key))
		f.key = name
		out.fields = append(out.fields, f)
	}
	return out
}

func (w *walker) unknownField(f field, s *shape, at *fieldPath) {
	w.bad = true
	names := sortedKeys(s.props)
	best, hint := nearest(f.key, names), didYouMean(f.key, names)
	if other := w.alsoCalled[f.key]; other != "" && at.parent == nil {
		best, hint = other, fmt.Sprintf("it is called %q here", other)
	}
	if best != "" {
		if w.meant == nil {
			w.meant = map[string]bool{}
		}
		w.meant[at.field(best).String()] = true
	}
	w.report(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in %s", f.key, at), Expected: oneOf(names), Hint: hint}, f.keyAt)
}

// unwrapped gives {value: x} as x where the schema has Planton's StringValueOrRef.
func unwrapped(v value, s *shape) value {
	if v.kind == mapValue {
		if f, ok := soleField(&v, "value"); ok && s.isRefOrValue() {
			return f.val
		}
	}
	return withParts(v, s, unwrapped)
}

// withDefaults fills in the schema's defaults of the maps that are there.
func withDefaults(v value, s *shape) value {
	if v.kind != mapValue {
		return withParts(v, s, withDefaults)
	}
	if isNormalised(&v) {
		return v
	}
	out := withParts(v, s, withDefaults)
	for _, name := range sortedKeys(s.props) {
		p := s.props[name]
		if _, ok := v.get(name); !ok && p.hasDefault {
			out.fields = append(out.fields, field{key: name, keyAt: v.at, val: valueFromAny(p.def, v.at)})
		}
	}
	return out
}

// moduleSpelling gives a spec the keys of a module's variables: the properties of the
// schema in snake_case, the keys of maps and of free-form objects untouched.
func moduleSpelling(v value, s *shape) value {
	if v.kind != mapValue {
		return withParts(v, s, moduleSpelling)
	}
	if isNormalised(&v) {
		return v
	}
	out := withParts(v, s, moduleSpelling)
	for i, f := range out.fields {
		if _, ok := s.props[f.key]; ok {
			out.fields[i].key = snakeCase(f.key)
		}
	}
	return out
}

// withParts is v with change done to each item of a list or value of a map, under the
// shape that the schema gives it. v itself stays as it was; a scalar has no parts.
func withParts(v value, s *shape, change func(value, *shape) value) value {
	if v.kind != listValue && v.kind != mapValue {
		return v
	}
	out := v
	out.fields = make([]field, len(v.fields))
	for i, f := range v.fields {
		part := s.item(i)
		if v.kind == mapValue {
			part = s.value()
			if p, ok := s.props[f.key]; ok {
				part = p
			}
		}
		f.val = change(f.val, part)
		out.fields[i] = f
	}
	return out
}

// isNormalised tells whether v is a reference as the loader writes it.
func isNormalised(v *value) bool {
	f, ok := soleField(v, "valueFrom")
	if !ok || f.val.kind != mapValue || len(f.val.fields) != 4 {
		return false
	}
	for _, k := range []string{"kind", "env", "name", "fieldPath"} {
		if g, ok := f.val.get(k); !ok || g.val.kind != stringValue {
			return false
		}
	}
	return true
}
