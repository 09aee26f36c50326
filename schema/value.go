package schema

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// valueKind is the JSON type of a value.
type valueKind uint8

const (
	nullValue valueKind = iota
	boolValue
	numberValue
	stringValue
	listValue
	mapValue
)

// String is the word for the type in diagnostics.
func (k valueKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "a map"}[k]
}

// place is a span of characters on one line of the file that is being read. The
// file itself is known from the context, which keeps values small.
type place struct{ line, col, width int32 }

// value is a YAML value with its place. Aliases share the slices of their anchor, so
// a value is never changed after it was made; a changed one is a copy.
type value struct {
	at   place
	kind valueKind
	// text is a string's content, a number as JSON writes it, "true" or "false".
	text string
	// fields are a map's entries in document order, or a list's items (no keys).
	fields []field
}

// field is one entry of a map or list.
type field struct {
	key   string
	keyAt place
	val   value
}

// get finds a map's entry.
func (v *value) get(key string) (*field, bool) {
	if v.kind != mapValue {
		return nil, false
	}
	for i := range v.fields {
		if v.fields[i].key == key {
			return &v.fields[i], true
		}
	}
	return nil, false
}

// getEither finds a map's entry under its canonical camelCase name or its
// snake_case spelling.
func (v *value) getEither(camel string) (*field, bool) {
	if f, ok := v.get(camel); ok {
		return f, true
	}
	if s := snakeCase(camel); s != camel {
		return v.get(s)
	}
	return nil, false
}

// isScalar tells whether v is neither list nor map.
func (v *value) isScalar() bool { return v.kind != listValue && v.kind != mapValue }

// appendJSON appends v as canonical JSON.
func (v *value) appendJSON(b []byte) []byte {
	switch v.kind {
	case nullValue:
		return append(b, "null"...)
	case boolValue, numberValue:
		return append(b, v.text...)
	case stringValue:
		return appendJSONString(b, v.text)
	case listValue:
		b = append(b, '[')
		for i := range v.fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.fields[i].val.appendJSON(b)
		}
		return append(b, ']')
	}
	order := make([]int, len(v.fields))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return strings.Compare(v.fields[i].key, v.fields[j].key) })
	b = append(b, '{')
	for n, i := range order {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, v.fields[i].key)
		b = append(b, ':')
		b = v.fields[i].val.appendJSON(b)
	}
	return append(b, '}')
}

// toAny gives v as encoding/json would decode it with UseNumber.
func (v *value) toAny() any {
	switch v.kind {
	case boolValue:
		return v.text == "true"
	case numberValue:
		return json.Number(v.text)
	case stringValue:
		return v.text
	case listValue:
		l := make([]any, len(v.fields))
		for i := range v.fields {
			l[i] = v.fields[i].val.toAny()
		}
		return l
	case mapValue:
		m := make(map[string]any, len(v.fields))
		for i := range v.fields {
			m[v.fields[i].key] = v.fields[i].val.toAny()
		}
		return m
	}
	return nil
}

// valueFromAny makes a value without places of decoded JSON.
func valueFromAny(a any, at place) value {
	v := value{at: at}
	switch a := a.(type) {
	case bool:
		v.kind, v.text = boolValue, "false"
		if a {
			v.text = "true"
		}
	case json.Number:
		v.kind, v.text = numberValue, a.String()
	case string:
		v.kind, v.text = stringValue, a
	case []any:
		v.kind = listValue
		for _, e := range a {
			v.fields = append(v.fields, field{val: valueFromAny(e, at)})
		}
	case map[string]any:
		v.kind = mapValue
		for _, k := range sortedKeys(a) {
			v.fields = append(v.fields, field{key: k, keyAt: at, val: valueFromAny(a[k], at)})
		}
	}
	return v
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string, escaping only what JSON demands, so
// that there is one way to write it. Bytes that are no UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			case c < 0x20 || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, r)
		i += n
	}
	return append(b, '"')
}

// sortedKeys lists a map's keys in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
