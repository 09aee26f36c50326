package terraform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// digestForm is all that a plan would do, and nothing that differs between two
// equal plans: no time, no version of the engine, no drift that is not undone, no
// sentence for people. Its JSON is hashed; a change of the form makes every
// approval that waits void, so the golden test guards it.
type digestForm struct {
	Resources   []digestResource        `json:"resources,omitempty"`
	Outputs     []stackjob.OutputChange `json:"outputs,omitempty"`
	Invocations []stackjob.OutputChange `json:"invocations,omitempty"`
	// Provisioners are the commands that would run, by address.
	Provisioners []string `json:"provisioners,omitempty"`
	// Providers is what providers are told, when anything is changed.
	Providers []string `json:"providers,omitempty"`
	// Revision and Inputs are those of the module, where it is they that settle what is
	// done (isOpen).
	Revision string `json:"revision,omitempty"`
	Inputs   string `json:"inputs,omitempty"`
	// Readings are the values that settle it too (readings).
	Readings []string `json:"readings,omitempty"`
	// State is the place of the state (statePlace).
	State string `json:"state,omitempty"`
}

type digestResource struct {
	stackjob.ResourceChange
	// Actions keeps the order of a replacement.
	Actions      []tfjson.Action `json:"actions"`
	Provider     string          `json:"provider"`
	ReplacePaths json.RawMessage `json:"replacePaths,omitempty"`
	ImportID     string          `json:"importId,omitempty"`
}

func (f digestForm) digest() string {
	b, err := json.Marshal(f)
	if err != nil { // only our own types
		panic("terraform: write the digest's form: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (c converter) digestOf(rc *tfjson.ResourceChange, ch stackjob.ResourceChange) digestResource {
	ch.Why = "" // the engine says of it: "for display purposes only"
	d := digestResource{ResourceChange: ch, Actions: rc.Change.Actions, Provider: rc.ProviderName}
	if len(rc.Change.ReplacePaths) > 0 {
		paths := make([]string, 0, len(rc.Change.ReplacePaths))
		for _, p := range rc.Change.ReplacePaths {
			paths = append(paths, string(facts.Canonical(p)))
		}
		slices.Sort(paths)
		d.ReplacePaths = facts.Canonical(paths)
	}
	if rc.Change.Importing != nil {
		d.ImportID = string(facts.Canonical(rc.Change.Importing))
	}
	return d
}

// invocations are the actions that the plan would invoke (Terraform 1.14).
func (c converter) invocations(in []*tfjson.ActionInvocation) []stackjob.OutputChange {
	var out []stackjob.OutputChange
	for _, a := range in {
		if a == nil {
			continue
		}
		sensitive := facts.AnyTrue(a.ConfigSensitive) || c.Mask.HasInValue(a.ConfigValues)
		out = append(out, stackjob.OutputChange{Name: a.Address, Action: "invoke", AttributeChange: stackjob.AttributeChange{
			Path: a.Type, After: c.Value(a.ConfigValues, sensitive), Sensitive: sensitive, Unknown: facts.AnyTrue(a.ConfigUnknown),
		}})
	}
	return out
}

// provisioners lists the provisioners of what is created, replaced or destroyed:
// the plan's values say nothing of the commands that run then.
func provisioners(in *tfjson.Plan) []string {
	if in.Config == nil || in.Config.RootModule == nil {
		return nil
	}
	var out []string
	for _, rc := range in.ResourceChanges {
		if rc == nil || rc.Change == nil {
			continue
		}
		if !runsCommands(rc) {
			continue
		}
		r := configOf(in.Config.RootModule, rc)
		if r == nil {
			continue
		}
		for i, pr := range r.Provisioners {
			out = append(out, fmt.Sprintf("%s[%d] %s %s", rc.Address, i, pr.Type, facts.Canonical(pr.Expressions)))
		}
	}
	slices.Sort(out)
	return out
}

// runsCommands tells whether the provisioners of a resource run with a change of it.
func runsCommands(rc *tfjson.ResourceChange) bool {
	a := actionOf(rc.Change)
	return rc.Mode != tfjson.DataResourceMode && (a == stackjob.Create || a == stackjob.Replace || a == stackjob.Delete)
}

// configOf finds a resource's configuration: addresses of modules have instance
// keys, configuration has none.
func configOf(m *tfjson.ConfigModule, rc *tfjson.ResourceChange) *tfjson.ConfigResource {
	for _, name := range moduleNames(rc.ModuleAddress) {
		call := m.ModuleCalls[name]
		if call == nil || call.Module == nil {
			return nil
		}
		m = call.Module
	}
	for _, r := range m.Resources {
		if r.Type == rc.Type && r.Name == rc.Name && r.Mode == rc.Mode {
			return r
		}
	}
	return nil
}

// moduleNames are the names in `module.a["x.y"].module.b[0]`.
func moduleNames(address string) []string {
	var names []string
	for address != "" {
		address = strings.TrimPrefix(strings.TrimPrefix(address, "."), "module.")
		end := strings.IndexAny(address, ".[")
		if end < 0 {
			return append(names, address)
		}
		names = append(names, address[:end])
		address = address[end:]
		if address[0] == '[' {
			address = afterKey(address)
		}
	}
	return names
}

// afterKey cuts an instance key off; a quoted one may hold brackets.
func afterKey(s string) string {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ']':
			return s[i+1:]
		}
	}
	return ""
}
