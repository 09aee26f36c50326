package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// decodeJSON reads one JSON value, keeping numbers as written.
func decodeJSON(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var a any
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode JSON: more than one value")
	}
	return a, nil
}

// appendAny appends decoded JSON in canonical form.
func appendAny(b []byte, a any) []byte {
	switch a := a.(type) {
	case bool:
		if a {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case json.Number:
		return append(b, a...)
	case string:
		return appendJSONString(b, a)
	case []any:
		b = append(b, '[')
		for i, e := range a {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAny(b, e)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, k := range sortedKeys(a) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, k)
			b = append(b, ':')
			b = appendAny(b, a[k])
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func canonical(v json.RawMessage) (json.RawMessage, error) {
	a, err := decodeJSON(v)
	if err != nil {
		return nil, err
	}
	return appendAny(nil, a), nil
}

// referenceOf reads a normalised reference: an object whose only key is
// valueFrom and whose value has exactly the four keys that the loader writes.
// Anything else is data that happens to use the word.
func referenceOf(a any) (Reference, bool) {
	outer, ok := a.(map[string]any)
	if !ok || len(outer) != 1 {
		return Reference{}, false
	}
	m, ok := outer["valueFrom"].(map[string]any)
	if !ok || len(m) != 4 {
		return Reference{}, false
	}
	kind, ok1 := m["kind"].(string)
	env, ok2 := m["env"].(string)
	name, ok3 := m["name"].(string)
	path, ok4 := m["fieldPath"].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Reference{}, false
	}
	return Reference{Kind: ValueFrom, To: ResourceKey{Env: env, Kind: kind, Name: name}, FieldPath: path}, true
}

func resolve(inputs json.RawMessage, get func(Reference, string) (json.RawMessage, error)) (json.RawMessage, error) {
	a, err := decodeJSON(inputs)
	if err != nil {
		return nil, err
	}
	a, err = resolveAny(a, "", get)
	if err != nil {
		return nil, err
	}
	return appendAny(nil, a), nil
}

// resolveAny replaces references of the part at a pointer, depth first, in canonical order. What get returns is
// not looked into again: a value is a value, even one that looks like a reference.
func resolveAny(a any, at string, get func(Reference, string) (json.RawMessage, error)) (any, error) {
	if r, ok := referenceOf(a); ok {
		raw, err := get(r, at)
		if err != nil {
			return nil, err
		}
		v, err := decodeJSON(raw)
		if err != nil {
			return nil, fmt.Errorf("value of %s/%s %s: %w", r.To.Kind, r.To.Name, r.FieldPath, err)
		}
		return v, nil
	}
	switch a := a.(type) {
	case []any:
		for i := range a {
			v, err := resolveAny(a[i], Pointer(at, strconv.Itoa(i)), get)
			if err != nil {
				return nil, err
			}
			a[i] = v
		}
	case map[string]any:
		for _, k := range sortedKeys(a) {
			v, err := resolveAny(a[k], Pointer(at, k), get)
			if err != nil {
				return nil, err
			}
			a[k] = v
		}
	}
	return a, nil
}

func referencesIn(inputs json.RawMessage) ([]Reference, error) {
	if !bytes.Contains(inputs, []byte(`"valueFrom"`)) {
		if !json.Valid(inputs) {
			_, err := decodeJSON(inputs)
			return nil, err
		}
		return nil, nil
	}
	a, err := decodeJSON(inputs)
	if err != nil {
		return nil, err
	}
	var refs []Reference
	collectReferences(a, &refs)
	return refs, nil
}

// blank changes a.
func blank(a any) any {
	if _, ok := referenceOf(a); ok {
		return a
	}
	switch a := a.(type) {
	case []any:
		for i := range a {
			a[i] = blank(a[i])
		}
		return a
	case map[string]any:
		for k := range a {
			a[k] = blank(a[k])
		}
		return a
	}
	return nil
}

func collectReferences(a any, refs *[]Reference) {
	if r, ok := referenceOf(a); ok {
		*refs = append(*refs, r)
		return
	}
	switch a := a.(type) {
	case []any:
		for _, e := range a {
			collectReferences(e, refs)
		}
	case map[string]any:
		for _, k := range sortedKeys(a) {
			collectReferences(a[k], refs)
		}
	}
}
