package pulumi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	stackType      = "pulumi:pulumi:Stack"
	providerPrefix = "pulumi:providers:"
)

// deployment is what we read of a stack's state (apitype.DeploymentV3).
type deployment struct {
	SecretsProviders *struct {
		Type  string          `json:"type"`
		State json.RawMessage `json:"state"`
	} `json:"secrets_providers"`
	Resources []stateResource    `json:"resources"`
	Pending   []pendingOperation `json:"pending_operations"`

	// raw is the deployment as it was read; version is its format.
	raw     json.RawMessage
	version int
	// file is the checkpoint file and stack the stack's name in it; zero where it was
	// exported.
	file  []byte
	stack string
}

type stateResource struct {
	URN     string         `json:"urn"`
	Type    string         `json:"type"`
	ID      string         `json:"id"`
	Delete  bool           `json:"delete"`
	Inputs  map[string]any `json:"inputs"`
	Outputs map[string]any `json:"outputs"`
}

type pendingOperation struct {
	Resource struct {
		URN string `json:"urn"`
	} `json:"resource"`
	Type string `json:"type"`
}

// parseCheckpoint reads a checkpoint file of a DIY backend. A stack to which nothing was
// ever applied has an empty deployment.
func parseCheckpoint(b []byte) (*deployment, error) {
	var file struct {
		Version    int `json:"version"`
		Checkpoint struct {
			Stack  string          `json:"stack"`
			Latest json.RawMessage `json:"latest"`
		} `json:"checkpoint"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if file.Version == 0 {
		return nil, fmt.Errorf("%w: it has no version", errDamaged)
	}
	d, err := parseDeployment(file.Version, file.Checkpoint.Latest)
	if d != nil {
		d.file, d.stack = b, file.Checkpoint.Stack
	}
	return d, err
}

// parseExport reads what `stack export` prints.
func parseExport(b []byte) (*deployment, error) {
	var file struct {
		Version    int             `json:"version"`
		Deployment json.RawMessage `json:"deployment"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("read the exported state: %w", err)
	}
	return parseDeployment(file.Version, file.Deployment)
}

func parseDeployment(version int, raw json.RawMessage) (*deployment, error) {
	d := &deployment{version: version}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" {
		return d, nil
	}
	d.raw = raw
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return d, nil
}

// export writes a deployment as `stack import` takes it.
func (d *deployment) export() ([]byte, error) {
	return json.Marshal(map[string]any{"version": d.version, "deployment": d.raw})
}

// withoutPending is the deployment without its pending operations.
func (d *deployment) withoutPending() (*deployment, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(d.raw, &all); err != nil {
		return nil, err
	}
	delete(all, "pending_operations")
	raw, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return parseDeployment(d.version, raw)
}

// mark is a keyed hash of what a plan is made of: resources and pending operations, and
// not the manifest, which an update that changes nothing writes anew.
func (d *deployment) mark(key []byte) string {
	var parts struct {
		Resources json.RawMessage `json:"resources"`
		Pending   json.RawMessage `json:"pending_operations"`
	}
	if len(d.raw) > 0 {
		_ = json.Unmarshal(d.raw, &parts) // it was read as a deployment
	}
	h := hmac.New(sha256.New, key)
	for _, part := range []json.RawMessage{parts.Resources, parts.Pending} {
		var b bytes.Buffer
		if len(part) > 0 && string(part) != "null" && string(part) != "[]" {
			_ = json.Compact(&b, part) // it is JSON
		}
		fmt.Fprintf(h, "%d\n", b.Len())
		h.Write(b.Bytes())
	}
	return "hmac:" + hex.EncodeToString(h.Sum(nil))
}

// salt is the salt of the passphrase that the state's secrets are encrypted with; ""
// when they are not encrypted so.
func (d *deployment) salt() string {
	if d.SecretsProviders == nil || d.SecretsProviders.Type != "passphrase" {
		return ""
	}
	var state struct {
		Salt string `json:"salt"`
	}
	_ = json.Unmarshal(d.SecretsProviders.State, &state) // then it stays empty
	return state.Salt
}

// isPseudo tells whether a type is the engine's own: the stack itself, and providers.
// They are no resources to those who read a plan (docs/decisions/0181).
func isPseudo(typ string) bool { return typ == stackType || strings.HasPrefix(typ, providerPrefix) }

// managed counts the resources.
func (d *deployment) managed() int {
	n := 0
	for _, r := range d.Resources {
		if !isPseudo(r.Type) {
			n++
		}
	}
	return n
}

// find returns a resource as it is; nil when there is none.
func (d *deployment) find(urn string, old bool) *stateResource {
	for i := range d.Resources {
		if r := &d.Resources[i]; r.URN == urn && r.Delete == old {
			return r
		}
	}
	return nil
}

// outputs are the stack's; nil when it has none.
func (d *deployment) outputs() map[string]any {
	for _, r := range d.Resources {
		if r.Type == stackType {
			return r.Outputs
		}
	}
	return nil
}

// nameOf and typeOf take a URN apart:
// urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME.
func nameOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	return parts[len(parts)-1]
}

func typeOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2][strings.LastIndex(parts[2], "$")+1:]
}
