package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"filippo.io/age"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Output is an output as an engine gives it, in clear.
type Output struct {
	Value     json.RawMessage `json:"value"`
	Sensitive bool            `json:"sensitive"`
}

// Outputs sorts outputs by name and seals the sensitive ones for recipient (an age
// recipient). One that holds a secret of the task is sensitive whatever the module
// declares.
func (h Hider) Outputs(given map[string]Output, recipient string) ([]stackjob.Output, error) {
	taken := []stackjob.Output{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		g := given[name]
		value, err := CanonicalText(g.Value)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		o := stackjob.Output{Name: name, Hash: KeyedHash(h.Key, value), Sensitive: g.Sensitive || h.textHoldsSecret(value)}
		if !o.Sensitive {
			o.Value = value
		} else if o.Sealed, err = seal(recipient, value); err != nil {
			return nil, fmt.Errorf("seal output %s: %w", name, err)
		}
		taken = append(taken, o)
	}
	return taken, nil
}

func (h Hider) textHoldsSecret(value json.RawMessage) bool {
	var v any
	return json.Unmarshal(value, &v) == nil && h.Mask.HasInValue(v)
}

// seal encrypts for the daemon's key file.
func seal(recipient string, value []byte) ([]byte, error) {
	r, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(value); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
