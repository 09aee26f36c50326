package pulumi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// How Pulumi writes values that are no plain JSON into states, plans and events
// (sdk/go/common/resource/sig and property_unknown).
const (
	signatureKey    = "4dabf18193072939515e22adb298388d"
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
	unknownSentinel = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
	hiddenSecret    = "[secret]"
)

// unknowns are the sentinels of values that are known only after the apply, by type.
var unknowns = map[string]bool{
	unknownSentinel:                        true,
	"1c4a061d-8072-4f0a-a4cb-0ff528b18fe7": true, // bool
	"3eeb2bf0-c639-47a8-9e75-3b44932eb421": true, // number
	"6a19a0b0-7e62-4c92-b797-7f8e31da9cc2": true, // array
	"030794c1-ac77-496b-92df-f27374a8bd58": true, // asset
	"e48ece36-62e2-4504-bad9-02848725956a": true, // archive
	"dd056dcd-154b-4c76-9bd3-c8f88648b5ff": true, // object
}

// decrypter opens a ciphertext of a state or a plan.
type decrypter func(ciphertext string) (string, error)

// errClosed means that a value is secret and cannot be read: events never tell it.
var errClosed = errors.New("the value of a secret is not told here")

// property is a value of Pulumi's with the marks on it, as facts.Values takes them.
type property struct{ value, unknown, sensitive any }

// readProperty reads a decoded value. A secret that open cannot read has no value, and
// the error is errClosed or open's; what else is there comes all the same.
func readProperty(v any, open decrypter) (property, error) {
	switch v := v.(type) {
	case string:
		if unknowns[v] {
			return property{unknown: true}, nil
		}
		return property{value: v}, nil
	case []any:
		p := property{value: make([]any, len(v))}
		var first error
		for i, e := range v {
			below, err := readProperty(e, open)
			p.put(i, len(v), below)
			if first == nil {
				first = err
			}
		}
		return p, first
	case map[string]any:
		if sig, ok := v[signatureKey].(string); ok {
			return readSigned(sig, v, open)
		}
		p := property{value: make(map[string]any, len(v))}
		var first error
		for k, e := range v {
			below, err := readProperty(e, open)
			p.set(k, below)
			if first == nil {
				first = err
			}
		}
		return p, first
	}
	return property{value: v}, nil
}

func (p *property) set(k string, below property) {
	p.value.(map[string]any)[k] = below.value
	mark := func(tree *any, m any) {
		if m == nil {
			return
		}
		if *tree == nil {
			*tree = map[string]any{}
		}
		(*tree).(map[string]any)[k] = m
	}
	mark(&p.unknown, below.unknown)
	mark(&p.sensitive, below.sensitive)
}

func (p *property) put(i, n int, below property) {
	p.value.([]any)[i] = below.value
	mark := func(tree *any, m any) {
		if m == nil {
			return
		}
		if *tree == nil {
			*tree = make([]any, n)
		}
		(*tree).([]any)[i] = m
	}
	mark(&p.unknown, below.unknown)
	mark(&p.sensitive, below.sensitive)
}

// readSigned reads what has a signature: a secret, or an asset, an archive or a
// reference, which are values like any other to us.
func readSigned(sig string, v map[string]any, open decrypter) (property, error) {
	if sig != secretSignature {
		plain := map[string]any{}
		for k, e := range v {
			if k != signatureKey {
				plain[k] = e
			}
		}
		return property{value: plain}, nil
	}
	secret := property{sensitive: true}
	text, ok := v["plaintext"].(string)
	if !ok {
		cipher, _ := v["ciphertext"].(string)
		if cipher == "" || cipher == hiddenSecret || open == nil {
			return secret, errClosed
		}
		var err error
		if text, err = open(cipher); err != nil {
			return secret, err
		}
	}
	inner, err := decodeJSON([]byte(text))
	if err != nil {
		return secret, errors.New("a secret is not what Pulumi writes") // the error would quote it
	}
	below, err := readProperty(inner, open)
	secret.value = below.value
	if below.unknown != nil {
		secret.unknown = true
	}
	return secret, err
}

// holdsSecret tells whether a secret is anywhere in a decoded value.
func holdsSecret(v any) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if holdsSecret(e) {
				return true
			}
		}
	case map[string]any:
		if v[signatureKey] == secretSignature {
			return true
		}
		for _, e := range v {
			if holdsSecret(e) {
				return true
			}
		}
	}
	return false
}

// decodeJSON decodes with numbers as they were written.
func decodeJSON(text []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode a value: %w", err)
	}
	return v, nil
}
