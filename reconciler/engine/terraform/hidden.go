package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// The engines mask nothing in what providers and programs say, and they lose the mark of a
// value that a provider hands back. What a plan and a state hold as sensitive is masked in
// what is said: of a plan as soon as it can be read, of a state that is a file when something
// is said that may quote it.

// hide has secrets masked from here on, but for words that stand in names.
func (p *phase) hide(secrets, names []string) []string {
	for _, name := range names {
		p.names[name] = true
	}
	secrets = facts.NotNames(secrets, slices.Collect(maps.Keys(p.names)))
	p.Sink.Hide(secrets)
	return secrets
}

// hidePlan hides what is sensitive in a plan, or in the state that it was made of, and
// returns it.
func (p *phase) hidePlan(in *tfjson.Plan) []string {
	if in == nil {
		return nil
	}
	var names []string
	for _, rcs := range [][]*tfjson.ResourceChange{in.ResourceChanges, in.ResourceDrift} {
		for _, rc := range rcs {
			if rc != nil {
				names = append(names, rc.Address, rc.PreviousAddress)
			}
		}
	}
	secrets := tainted(in)
	for _, a := range in.ActionInvocations {
		if a != nil {
			names = append(names, a.Address)
			secrets = facts.Marked(secrets, a.ConfigValues, a.ConfigSensitive)
		}
	}
	states := []*tfjson.StateValues{in.PlannedValues}
	if in.PriorState != nil {
		states = append(states, in.PriorState.Values)
	}
	for _, s := range states {
		if s == nil {
			continue
		}
		for name, o := range s.Outputs {
			names = append(names, name)
			if o != nil {
				secrets = facts.Marked(secrets, o.Value, o.Sensitive)
			}
		}
		secrets, names = sensitiveIn(s.RootModule, secrets, names)
	}
	return p.hide(secrets, names)
}

// sensitiveIn adds what is sensitive in a module of a state and those below it, and the
// addresses of its resources.
func sensitiveIn(m *tfjson.StateModule, secrets, names []string) (_, _ []string) {
	if m == nil {
		return secrets, names
	}
	for _, r := range m.Resources {
		names = append(names, r.Address)
		var marks any
		if json.Unmarshal(r.SensitiveValues, &marks) == nil {
			secrets = facts.Marked(secrets, r.AttributeValues, marks)
		}
	}
	for _, child := range m.ChildModules {
		secrets, names = sensitiveIn(child, secrets, names)
	}
	return secrets, names
}

// hideOutputs hides the sensitive ones.
func (p *phase) hideOutputs(given map[string]facts.Output) {
	var secrets []string
	for _, o := range given {
		var v any
		if o.Sensitive && json.Unmarshal(o.Value, &v) == nil {
			secrets = facts.Marked(secrets, v, true)
		}
	}
	p.hide(secrets, slices.Collect(maps.Keys(given)))
}

// hideState hides what the state holds, also while an engine is at work: before Terraform
// begins with another resource that needs a value, the maker's state is on the disk, though
// not yet when the maker's own commands run; OpenTofu writes at the
// first change, every 20 seconds, and before it tells of errors. Only of a state that is a
// file.
func (p *phase) hideState() {
	if !p.isLocal() {
		return
	}
	p.written.Read(p.task.StateFile, func(b []byte) error {
		s, err := parseState(b)
		if err == nil {
			p.hide(s.sensitive())
		}
		return err
	})
}

// stateInstance is what we read of an instance.
type stateInstance struct {
	Key        any             `json:"index_key"`
	Attributes json.RawMessage `json:"attributes"`
	Sensitive  [][]stateStep   `json:"sensitive_attributes"`
}

// stateStep is a step of a path: "get_attr" with a name, or "index" with a value and its type.
type stateStep struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// sensitive are the strings that a state marks as sensitive, and the names in it.
func (s *state) sensitive() (secrets, names []string) {
	for name, o := range s.Outputs {
		names = append(names, name)
		var v any
		if o.Sensitive && json.Unmarshal(o.Value, &v) == nil {
			secrets = facts.Marked(secrets, withoutTypes(v), true)
		}
	}
	for _, r := range s.Resources {
		for _, raw := range r.Instances {
			var i stateInstance
			if json.Unmarshal(raw, &i) != nil {
				continue // of a version that writes it otherwise
			}
			address := r.Module + "." + r.Type + "." + r.Name
			if i.Key != nil {
				address += fmt.Sprintf("[%v]", i.Key)
			}
			names = append(names, address)
			var attributes any
			if len(i.Sensitive) == 0 || json.Unmarshal(i.Attributes, &attributes) != nil {
				continue
			}
			attributes = withoutTypes(attributes)
			for _, path := range i.Sensitive {
				secrets = facts.Marked(secrets, at(attributes, path), true)
			}
		}
	}
	return secrets, names
}

// at is what a path leads to; nil for nothing.
func at(v any, path []stateStep) any {
	for _, step := range path {
		switch key := withoutTypes(step.Value).(type) {
		case float64:
			v = facts.Child(v, int(key))
		default:
			v = facts.Child(v, key)
		}
	}
	return v
}

// withoutTypes is a value without the types beside those that have none of their own: a
// state writes {"value": "x", "type": "string"} for an attribute of any type. Without this
// words like "string" would be secrets.
// (https://pkg.go.dev/github.com/zclconf/go-cty/cty/json, for cty.DynamicPseudoType)
func withoutTypes(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if value, ok := v["value"]; ok && len(v) == 2 && isType(v["type"]) {
			return withoutTypes(value)
		}
		for k, e := range v {
			v[k] = withoutTypes(e)
		}
	case []any:
		for i, e := range v {
			v[i] = withoutTypes(e)
		}
	}
	return v
}

// isType tells whether a value is how a type is written.
func isType(v any) bool {
	if l, ok := v.([]any); ok {
		return len(l) == 2 && slices.Contains([]any{"list", "set", "map", "object", "tuple"}, l[0])
	}
	return slices.Contains([]any{"string", "number", "bool", "dynamic"}, v)
}
