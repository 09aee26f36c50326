package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// readings are the values that a plan shows nowhere and that settle what is done: those
// of data sources and of resources to which refer the commands, the values that are not
// known yet, and what providers are told. Each counts for what of it is named: of
// `data.http.x.response_body` the headers, with their time of day, have no part.
//
// What a provider is told in a sensitive value has none either: it is who logs in, often
// by a token of some minutes, and would make a plan equal to no other.
func (c converter) readings(in *tfjson.Plan) []string {
	if in.Config == nil || in.Config.RootModule == nil {
		return nil
	}
	r := reader{converter: c, config: in.Config.RootModule, seen: map[string]bool{}, found: map[string]bool{}}
	if in.PriorState != nil && in.PriorState.Values != nil {
		r.hold(in.PriorState.Values.RootModule)
	}
	for _, rc := range in.ResourceChanges {
		if rc == nil || rc.Change == nil || rc.Change.Actions.NoOp() {
			continue
		}
		res := configOf(in.Config.RootModule, rc)
		if res == nil {
			continue
		}
		at := moduleNames(rc.ModuleAddress)
		open := openExpressions(rc.Change, res)
		if runsCommands(rc) {
			for _, pr := range res.Provisioners {
				for _, e := range pr.Expressions {
					open = append(open, e)
				}
				if pr.Type != "local-exec" {
					r.all() // where it connects to stands in no plan
				}
			}
		}
		if len(open) > 0 {
			r.follow(at, everyValue, append(open, res.CountExpression, res.ForEachExpression)...)
		}
	}
	for name, ch := range in.OutputChanges {
		if o := in.Config.RootModule.Outputs[name]; o != nil && ch != nil && facts.AnyTrue(ch.AfterUnknown) {
			r.follow(nil, everyValue, o.Expression)
		}
	}
	for _, a := range in.ActionInvocations {
		if a != nil && facts.AnyTrue(a.ConfigUnknown) {
			r.all() // what it refers to stands in no plan
		}
	}
	for _, p := range in.Config.ProviderConfigs {
		if p == nil {
			continue
		}
		for _, e := range p.Expressions {
			r.follow(moduleNames(p.ModuleAddress), openValues, e)
		}
	}
	out := make([]string, 0, len(r.found))
	for f := range r.found {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}

// wanted says which of the values that are referred to count.
type wanted string

const (
	everyValue wanted = "every"
	openValues wanted = "open" // those that are not sensitive
)

// reader follows references to the values that they are of.
type reader struct {
	converter
	config *tfjson.ConfigModule
	held   []heldResource
	seen   map[string]bool
	found  map[string]bool
}

// heldResource is a resource instance of the state, or a data source that was read.
type heldResource struct {
	module string // names, without keys of instances
	*tfjson.StateResource
}

func (r *reader) hold(m *tfjson.StateModule) {
	if m == nil {
		return
	}
	for _, res := range m.Resources {
		if res != nil {
			r.held = append(r.held, heldResource{strings.Join(moduleNames(m.Address), "."), res})
		}
	}
	for _, child := range m.ChildModules {
		r.hold(child)
	}
}

// all counts every data source that was read, where nobody can tell which it is. What is
// sensitive is left out: a token would make a plan equal to no other.
func (r *reader) all() {
	for _, h := range r.held {
		if h.Mode == tfjson.DataResourceMode {
			r.count(h, nil, openValues)
		}
	}
}

func (r *reader) follow(module []string, w wanted, all ...*tfjson.Expression) {
	for _, e := range all {
		if e == nil || e.ExpressionData == nil {
			continue
		}
		r.refer(module, w, e.References)
		for _, block := range e.NestedBlocks {
			for _, in := range block {
				r.follow(module, w, in)
			}
		}
	}
}

// refer follows references as they stand in a plan: after each come its own beginnings,
// "data.x.y.z", "data.x.y".
func (r *reader) refer(module []string, w wanted, refs []string) {
	last := ""
	for _, ref := range refs {
		rest, is := strings.CutPrefix(last, ref)
		last = ref
		if is && rest != "" && (rest[0] == '.' || rest[0] == '[') {
			continue
		}
		where := strings.Join(module, ".")
		if key := string(w) + " " + where + " " + ref; !r.seen[key] {
			r.seen[key] = true
			r.one(module, w, steps(ref))
		}
	}
}

func (r *reader) one(module []string, w wanted, path []step) {
	if len(path) < 2 {
		return
	}
	switch path[0].name {
	case "var":
		if len(module) == 0 {
			return // the inputs have their own part
		}
		parent := module[:len(module)-1]
		if call := r.callOf(module); call != nil {
			r.follow(parent, w, call.Expressions[path[1].name], call.CountExpression, call.ForEachExpression)
		}
	case "local":
		refs, known := []string(nil), false
		if r.locals != nil {
			refs, known = r.locals(strings.Join(module, "."), path[1].name)
		}
		if !known {
			r.all()
			return
		}
		r.refer(module, w, refs)
	case "module":
		inner := append(slices.Clone(module), path[1].name)
		call := r.callOf(inner)
		if call == nil || call.Module == nil {
			return
		}
		rest := slices.DeleteFunc(slices.Clone(path[2:]), func(s step) bool { return s.key })
		for name, o := range call.Module.Outputs {
			if o != nil && (len(rest) == 0 || rest[0].name == name) {
				r.follow(inner, w, o.Expression)
			}
		}
	case "each", "count", "self", "path", "terraform", "tofu", "ephemeral", "provider":
		// An instance's own values, those of the machine, and what no plan keeps.
	case "data":
		r.resource(module, w, tfjson.DataResourceMode, path[1:])
	default:
		r.resource(module, w, tfjson.ManagedResourceMode, path)
	}
}

// callOf is the call of a module.
func (r *reader) callOf(module []string) *tfjson.ModuleCall {
	m := r.config
	var call *tfjson.ModuleCall
	for _, name := range module {
		if m == nil {
			return nil
		}
		if call = m.ModuleCalls[name]; call == nil {
			return nil
		}
		m = call.Module
	}
	return call
}

func (r *reader) resource(module []string, w wanted, mode tfjson.ResourceMode, path []step) {
	if len(path) < 2 {
		return
	}
	where, typ, name, rest := strings.Join(module, "."), path[0].name, path[1].name, path[2:]
	for _, h := range r.held {
		if h.module != where || h.Mode != mode || h.Type != typ || h.Name != name {
			continue
		}
		in := rest
		if h.Index != nil {
			switch {
			case len(rest) == 0: // all instances
			case !rest[0].key || rest[0].name != fmt.Sprint(h.Index):
				continue
			default:
				in = rest[1:]
			}
		}
		r.count(h, in, w)
	}
}

// count takes a value into the readings, as a hash: an approval that names it would tell
// a short secret.
func (r *reader) count(h heldResource, path []step, w wanted) {
	var value, mark any = map[string]any(h.AttributeValues), nil
	if len(h.SensitiveValues) > 0 {
		_ = json.Unmarshal(h.SensitiveValues, &mark) // what cannot be read marks nothing, and has its hash all the same
	}
	named := h.Address
	for _, s := range path {
		next, ok := s.of(value)
		if !ok {
			break
		}
		value = next
		if _, whole := mark.(bool); !whole {
			mark, _ = s.of(mark)
		}
		named += "." + s.name
	}
	if w == openValues {
		value = withoutMarked(value, mark)
	}
	r.found[named+" "+facts.KeyedHash(r.Key, facts.Canonical(value))] = true
}

// withoutMarked leaves out of a value what is marked in it.
func withoutMarked(v, mark any) any {
	if mark == true {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		marks, _ := mark.(map[string]any)
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = withoutMarked(e, marks[k])
		}
		return out
	case []any:
		marks, _ := mark.([]any)
		out := make([]any, len(v))
		for i, e := range v {
			var m any
			if i < len(marks) {
				m = marks[i]
			}
			out[i] = withoutMarked(e, m)
		}
		return out
	}
	return v
}

// step is one part of a reference: a name, or the key in brackets.
type step struct {
	name string
	key  bool
}

func (s step) of(v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		e, ok := v[s.name]
		return e, ok
	case []any:
		if i, err := strconv.Atoi(s.name); err == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

// steps takes `data.x.y["k"].z[0]` apart.
func steps(ref string) []step {
	var out []step
	for ref != "" {
		if ref[0] == '[' {
			rest := afterKey(ref)
			key := strings.TrimSuffix(ref[1:len(ref)-len(rest)], "]")
			if text, err := strconv.Unquote(key); err == nil {
				key = text
			}
			out, ref = append(out, step{key, true}), rest
			continue
		}
		ref = strings.TrimPrefix(ref, ".")
		end := strings.IndexAny(ref, ".[")
		if end < 0 {
			return append(out, step{name: ref})
		}
		out, ref = append(out, step{name: ref[:end]}), ref[end:]
	}
	return out
}
