package facts

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// Value writes a value as canonical JSON, or, when it is sensitive, its hash.
func (h Hider) Value(v any, sensitive bool) json.RawMessage {
	if v == nil {
		return nil
	}
	b := Canonical(v)
	if !sensitive {
		return b
	}
	return Canonical(KeyedHash(h.Key, b))
}

// KeyedHash tells whether values are equal and not what they are.
func KeyedHash(key, value []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(value)
	return "hmac:" + hex.EncodeToString(h.Sum(nil))
}

// Canonical is JSON with sorted keys, numbers as they were written, and nothing
// escaped that need not be.
func Canonical(v any) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // only decoded JSON gets here
		panic("facts: write a decoded value: " + err.Error())
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// CanonicalText is the canonical form of JSON text.
func CanonicalText(text json.RawMessage) (json.RawMessage, error) {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return Canonical(v), nil
}

// AnyTrue tells whether true is anywhere in a tree of marks.
func AnyTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case map[string]any:
		for _, e := range v {
			if AnyTrue(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, AnyTrue)
	}
	return false
}

// Naturally compares names with runs of digits compared as numbers, so that
// x[2] comes before x[10].
func Naturally(a, b string) int {
	for a != "" && b != "" {
		na, ra := leadingDigits(a)
		nb, rb := leadingDigits(b)
		if na != "" && nb != "" {
			x, y := strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
			if d := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(len(na), len(nb))); d != 0 {
				return d
			}
			a, b = ra, rb
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func leadingDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
