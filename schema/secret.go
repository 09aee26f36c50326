package schema

import (
	"maps"
	"slices"
	"strconv"
)

// isSecretive tells whether a schema says of any part that it is secret. seen ends what
// refers to itself.
func (s *shape) isSecretive(seen map[*shape]bool) bool {
	if s == nil || seen[s] {
		return false
	}
	seen[s] = true
	if s.sensitive || s.values.isSecretive(seen) || s.items.isSecretive(seen) {
		return true
	}
	parts := slices.AppendSeq(slices.Clone(s.prefix), maps.Values(s.props))
	return slices.ContainsFunc(parts, func(p *shape) bool { return p.isSecretive(seen) })
}

// holdsSecret tells whether a schema says that all of a value is secret. Of {value: x} as x
// the schema speaks one level below.
func holdsSecret(v *value, s *shape) bool {
	if s.sensitive {
		return true
	}
	return s.isRefOrValue() && s.props["value"].sensitive && (v.kind != mapValue || isNormalised(v))
}

// secretPlaces are the places (JSON pointers, sorted) of what a schema says is secret in the
// value at one. Properties have been given other names by spell.
func secretPlaces(v *value, s *specSchema, at string, spell func(name string) string) []string {
	if !s.secretive {
		return nil
	}
	places := secretParts(nil, v, s.shape, at, spell)
	slices.Sort(places)
	return places
}

func secretParts(places []string, v *value, s *shape, at string, spell func(name string) string) []string {
	if v.kind == nullValue {
		return places
	}
	if holdsSecret(v, s) {
		return append(places, at)
	}
	if isNormalised(v) {
		return places // what it becomes is known when it is resolved
	}
	for i := range v.fields {
		f := &v.fields[i]
		key, part := f.key, s.value()
		if p, ok := s.props[f.key]; ok {
			key, part = spell(f.key), p
		}
		if v.kind == listValue {
			key, part = strconv.Itoa(i), s.item(i)
		}
		places = secretParts(places, &f.val, part, Pointer(at, key), spell)
	}
	return places
}

// openParts is a value without the parts that its schema says are secret. Items of lists are
// null then, so that the others keep their numbers.
func openParts(v value, s *shape) value {
	if holdsSecret(&v, s) {
		return value{kind: nullValue, at: v.at}
	}
	if isNormalised(&v) {
		return v
	}
	out := withParts(v, s, openParts)
	if v.kind != mapValue {
		return out
	}
	kept := out.fields[:0]
	for i, f := range out.fields {
		if f.val.kind != nullValue || v.fields[i].val.kind == nullValue {
			kept = append(kept, f)
		}
	}
	out.fields = kept
	return out
}
