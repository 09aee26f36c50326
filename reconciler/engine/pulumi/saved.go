package pulumi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/google/renameio/v2"
)

// saved is a saved plan: Pulumi's own, and what it was made of, which Pulumi does not
// check (fixed).
type saved struct {
	Format int   `json:"format"`
	Fixed  fixed `json:"fixed"`
	// Refresh tells that the plan undoes what a refresh found: the apply must refresh to
	// get there. Without drift it does not, as the other engines do not: what changes
	// between plan and apply is the next plan's matter, not a reason to stop in the middle.
	Refresh bool `json:"refresh,omitempty"`
	// Settings keep the secrets in the plan; without config.
	Settings stackSettings `json:"settings"`
	// Hidden are the secrets of state and plan where a key service keeps them, in clear as
	// they are in Plan: an apply would need one more process to know them.
	Hidden []string        `json:"hidden,omitempty"`
	Plan   json.RawMessage `json:"plan"`
}

const savedFormat = 1

func (s saved) write(file string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, b, 0o600)
}

func readSaved(b []byte) (saved, error) {
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return s, errors.New("the saved plan cannot be read") // the error could quote it
	}
	if s.Format != savedFormat {
		return s, fmt.Errorf("the saved plan has the format %d, which this version does not know", s.Format)
	}
	return s, nil
}

func fileDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	return b, nil
}
