package schema

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// referenceFields are the fields of a valueFrom.
var referenceFields = []string{"kind", "env", "name", "fieldPath", "key"}

// isReference tells whether a map is {valueFrom: {…}}. Where a schema declares the
// fields of the map, or valueFrom holds other fields than a reference has (as in the
// env of a Kubernetes container), it is data. A reference in which most fields are
// right is one with a slip in it: as data, its text would reach the module.
func (w *walker) isReference(v *value, s *shape) (*field, bool) {
	f, ok := soleField(v, "valueFrom", "value_from")
	if !ok || f.val.kind != mapValue {
		return nil, false
	}
	if _, own := s.props["valueFrom"]; own && !s.isRefOrValue() {
		return nil, false
	}
	if s.isFree() && !s.scalar && !mostlyReference(&f.val) {
		return nil, false
	}
	return f, true
}

// mostlyReference tells whether more than half of a map's fields are a reference's.
func mostlyReference(v *value) bool {
	known := 0
	for _, g := range v.fields {
		if isReferenceField(g.key) {
			known++
		}
	}
	return len(v.fields) == 0 || 2*known > len(v.fields)
}

// accompanied finds a reference that has other fields beside it, where nothing else says
// what such a map is: neither the reference's value nor the map can be meant.
func accompanied(v *value, s *shape) (reference, beside *field, ok bool) {
	if s.scalar || !s.isFree() && !s.isRefOrValue() {
		return nil, nil, false
	}
	for i := range v.fields {
		switch f := &v.fields[i]; {
		case f.key != "valueFrom" && f.key != "value_from":
			beside = f
		case f.val.kind == mapValue && len(f.val.fields) > 0 && mostlyReference(&f.val):
			reference = f
		}
	}
	return reference, beside, reference != nil && beside != nil
}

func isReferenceField(key string) bool {
	for _, n := range referenceFields {
		if key == n || key == snakeCase(n) {
			return true
		}
	}
	return false
}

// reference reads one valueFrom, records its edge and returns it normalised.
func (w *walker) reference(v value, f *field, at *fieldPath) value {
	read := map[string]*field{}
	for i := range f.val.fields {
		g := &f.val.fields[i]
		name := camelCase(g.key)
		if !isReferenceField(g.key) {
			w.bad = true
			w.report(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in %s", g.key, at.field("valueFrom")),
				Expected: oneOf(referenceFields[:4]), Hint: didYouMean(g.key, referenceFields[:4])}, g.keyAt)
			continue
		}
		if g.val.kind != stringValue || g.val.text == "" {
			w.bad = true
			w.report(diag.Diagnostic{Code: diag.WrongType, Detail: at.field("valueFrom").field(name).String(),
				Found: quoted(&g.val, nil), Expected: "a string that is not empty"}, g.val.at)
			continue
		}
		read[name] = g
	}
	var r Reference
	if len(read) == len(f.val.fields) {
		var ok bool
		if r, ok = w.completeReference(f, read, at); ok {
			w.refs = append(w.refs, r)
		} else {
			w.bad = true
		}
	}
	// A wrong reference is written out like a right one, so that the validator does not
	// complain about it again.
	str := func(key, s string) field {
		return field{key: key, keyAt: f.keyAt, val: value{at: f.val.at, kind: stringValue, text: s}}
	}
	inner := value{at: f.val.at, kind: mapValue, fields: []field{
		str("kind", r.To.Kind), str("env", r.To.Env), str("name", r.To.Name), str("fieldPath", r.FieldPath)}}
	return value{at: v.at, kind: mapValue, fields: []field{{key: "valueFrom", keyAt: f.keyAt, val: inner}}}
}

// completeReference checks the fields of a reference and fills in what may be left out.
func (w *walker) completeReference(f *field, read map[string]*field, at *fieldPath) (Reference, bool) {
	r := Reference{Kind: ValueFrom, From: w.key, Path: at.String(), Pos: w.text.position(f.keyAt)}
	r.To = ResourceKey{Org: w.key.Org, Env: w.key.Env}
	text := func(name string) string {
		if g := read[name]; g != nil {
			return g.val.text
		}
		return ""
	}
	if e := text("env"); e != "" {
		r.To.Env = e
	}
	r.To.Kind, r.To.Name, r.FieldPath = text("kind"), Slug(text("name")), text("fieldPath")
	if r.To.Kind == "ConfigMap" || read["key"] != nil {
		w.report(diag.Diagnostic{Code: diag.NotSupportedYet, Detail: "references to a ConfigMap's keys", Found: at.String()}, f.keyAt)
		return r, false
	}
	for _, name := range []string{"name", "fieldPath"} {
		if read[name] == nil {
			w.report(diag.Diagnostic{Code: diag.IncompleteReference, Detail: fmt.Sprintf("%s has no %s", at, name),
				Expected: "kind, name and fieldPath"}, f.keyAt)
			return r, false
		}
	}
	if r.To.Name == "" {
		w.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: at.field("valueFrom").field("name").String(),
			Found: quoted(&read["name"].val, nil), Expected: "a name with at least one letter or digit"}, read["name"].val.at)
		return r, false
	}
	root := r.FieldPath
	if !strings.HasPrefix(root, "status.outputs.") && !strings.HasPrefix(root, "spec.") && root != "metadata.name" ||
		strings.HasSuffix(root, ".") || strings.Contains(root, "..") {
		hint := ""
		if rest, ok := strings.CutPrefix(root, "outputs."); ok {
			hint = fmt.Sprintf("did you mean %q?", "status.outputs."+rest)
		}
		w.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: at.field("valueFrom").field("fieldPath").String(),
			Found: quoted(&read["fieldPath"].val, nil), Expected: "status.outputs.…, spec.… or metadata.name", Hint: hint}, read["fieldPath"].val.at)
		return r, false
	}
	// A reference without a kind is completed with a hint once all resources are known.
	return r, true
}
