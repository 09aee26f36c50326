package schema

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Pointer is the JSON pointer (RFC 6901) of a part below another: Pointer("/a", "b/c") is
// "/a/b~1c". The whole is "".
func Pointer(above string, keys ...string) string {
	for _, k := range keys {
		above += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
	}
	return above
}

// pointerKeys are the keys that a pointer is made of.
func pointerKeys(pointer string) []string {
	if pointer == "" {
		return nil
	}
	keys := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, k := range keys {
		keys[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(k)
	}
	return keys
}

// PointerPath is a pointer as people write the place: "/target/spec/users/0" is
// "target.spec.users[0]".
func PointerPath(pointer string) string {
	var b strings.Builder
	for _, k := range pointerKeys(pointer) {
		if _, err := strconv.ParseUint(k, 10, 32); err == nil {
			b.WriteString("[" + k + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(k)
	}
	return b.String()
}

// At is the part of a JSON value at a pointer, as canonical JSON; nil when there is none.
func At(v json.RawMessage, pointer string) (json.RawMessage, error) {
	a, err := decodeJSON(v)
	if err != nil {
		return nil, err
	}
	for _, k := range pointerKeys(pointer) {
		switch in := a.(type) {
		case map[string]any:
			below, ok := in[k]
			if !ok {
				return nil, nil
			}
			a = below
		case []any:
			i, err := strconv.ParseUint(k, 10, 32)
			if err != nil || i >= uint64(len(in)) {
				return nil, nil
			}
			a = in[i]
		default:
			return nil, nil
		}
	}
	return appendAny(nil, a), nil
}

// ReplaceAt puts what change makes of the part of a JSON value at a pointer in its place,
// and does nothing where there is none. The result is canonical JSON.
func ReplaceAt(v json.RawMessage, pointer string, change func(part json.RawMessage) (json.RawMessage, error)) (json.RawMessage, error) {
	a, err := decodeJSON(v)
	if err != nil {
		return nil, err
	}
	if a, err = replaceAny(a, pointerKeys(pointer), change); err != nil {
		return nil, err
	}
	return appendAny(nil, a), nil
}

func replaceAny(a any, keys []string, change func(json.RawMessage) (json.RawMessage, error)) (any, error) {
	if len(keys) == 0 {
		part, err := change(appendAny(nil, a))
		if err != nil {
			return nil, err
		}
		return decodeJSON(part)
	}
	var err error
	switch a := a.(type) {
	case map[string]any:
		if below, ok := a[keys[0]]; ok {
			a[keys[0]], err = replaceAny(below, keys[1:], change)
		}
	case []any:
		if i, no := strconv.ParseUint(keys[0], 10, 32); no == nil && i < uint64(len(a)) {
			a[i], err = replaceAny(a[i], keys[1:], change)
		}
	}
	return a, err
}
