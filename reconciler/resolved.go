package reconciler

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// jsonValue is a JSON text.
type jsonValue = json.RawMessage

// resolved is what a job's references became. It is the only value in the package
// that can hold a secret; it lives as long as a phase is being started.
type resolved struct {
	inputs json.RawMessage
	// references are keyed hashes of the values, by reference.
	references map[string]string
	// secrets are the strings to mask; secretKeys the keys of a Pulumi stack's
	// configuration whose values are secret, secretParts the places (JSON pointers) of
	// what is secret in other inputs, both sorted.
	secrets     []string
	secretKeys  []string
	secretParts []string
}

// sameReferences tells whether two attempts read the same values.
func sameReferences(a, b map[string]string) bool { return maps.Equal(a, b) }

// shortestNumber is the length of the shortest number that is masked: "5" is in every text.
const shortestNumber = 4

// secretStrings lists the strings in a JSON value that must never be seen.
func secretStrings(value json.RawMessage) []string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber() // as it is written is how it is looked for
	if dec.Decode(&v) != nil {
		return []string{string(value)}
	}
	var out []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(v[k])
			}
		case json.Number:
			if text := v.String(); len(text) >= shortestNumber {
				out = append(out, text)
			}
		}
	}
	walk(v)
	return out
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
