package terraform

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// converter turns an engine's plan into ours. It is a function of its fields and
// the plan: no clock, no files.
type converter struct {
	key      []byte
	mask     masker
	revision string
	// inputs is the keyed hash of the inputs.
	inputs string
	// place is where the state is.
	place string
	// locals tells what a local value of a module refers to; false when nobody knows.
	locals func(module, name string) ([]string, bool)
	// changed tells that the engine says that there is something to do.
	changed bool
}

// convert reads a plan. nil is a plan that changes nothing.
func (c converter) convert(in *tfjson.Plan) (*stackjob.Plan, error) {
	plan := &stackjob.Plan{}
	if in == nil {
		plan.Digest = digestForm{}.digest()
		return plan, nil
	}
	c.mask = newMasker(append(tainted(in), c.mask.secrets...))
	var form digestForm
	for _, rc := range in.ResourceChanges {
		if rc == nil || rc.Change == nil {
			continue
		}
		change := c.resource(rc)
		count(&plan.Counts, rc, change)
		if isNothing(rc, change) {
			continue
		}
		plan.Resources = append(plan.Resources, change)
		form.Resources = append(form.Resources, c.digestOf(rc, change))
	}
	for _, rc := range in.ResourceDrift {
		if rc != nil && rc.Change != nil {
			plan.Drift = append(plan.Drift, c.resource(rc))
		}
	}
	slices.SortStableFunc(plan.Resources, byAddress)
	slices.SortStableFunc(plan.Drift, byAddress)
	slices.SortStableFunc(form.Resources, func(a, b digestResource) int { return naturally(a.Address, b.Address) })
	plan.Outputs = c.outputs(in.OutputChanges)
	form.Outputs = plan.Outputs
	form.Invocations = c.invocations(in.ActionInvocations)
	form.Provisioners = provisioners(in)
	plan.HasChanges = len(plan.Resources) > 0 || len(plan.Outputs) > 0 || len(form.Invocations) > 0 || c.changed
	if plan.HasChanges {
		form.Providers = providers(in)
		form.State = c.place
		if isOpen(in, form) {
			form.Revision, form.Inputs = c.revision, c.inputs
			form.Readings = c.readings(in)
		}
	}
	plan.Digest = form.digest()
	return plan, nil
}

func byAddress(a, b stackjob.ResourceChange) int { return naturally(a.Address, b.Address) }

// resource converts one change.
func (c converter) resource(rc *tfjson.ResourceChange) stackjob.ResourceChange {
	out := stackjob.ResourceChange{
		Address: rc.Address, Type: rc.Type, Name: rc.Name, Action: actionOf(rc.Change), Why: string(rc.ActionReason),
	}
	if rc.DeposedKey != "" {
		out.Address += " (deposed " + rc.DeposedKey + ")"
	}
	if rc.PreviousAddress != rc.Address {
		out.Previous = rc.PreviousAddress
	}
	f := flattener{converter: c, forced: rc.Change.ReplacePaths}
	f.walk(nil, values{
		before: rc.Change.Before, after: rc.Change.After, unknown: rc.Change.AfterUnknown,
		beforeSensitive: rc.Change.BeforeSensitive, afterSensitive: rc.Change.AfterSensitive,
	})
	out.Attributes = f.out
	return out
}

// actionOf names what is done. Both orders of a replacement are one word; a
// removal from the state that something new follows is a replacement too.
func actionOf(ch *tfjson.Change) stackjob.ChangeAction {
	a := ch.Actions
	switch {
	case len(a) == 2:
		return stackjob.Replace
	case a.Create():
		return stackjob.Create
	case a.Update():
		return stackjob.Update
	case a.Delete():
		return stackjob.Delete
	case a.Read():
		return stackjob.Read
	case a.Forget():
		return stackjob.Forget
	case ch.Importing != nil:
		return stackjob.Import
	}
	return stackjob.NoOp
}

// isNothing tells whether a change is not worth a line: it does nothing, not even
// to the state.
func isNothing(rc *tfjson.ResourceChange, ch stackjob.ResourceChange) bool {
	return ch.Action == stackjob.NoOp && ch.Previous == "" || rc.Mode == tfjson.DataResourceMode && ch.Action != stackjob.Read
}

func count(n *stackjob.Counts, rc *tfjson.ResourceChange, ch stackjob.ResourceChange) {
	if rc.Mode == tfjson.DataResourceMode {
		return
	}
	switch ch.Action {
	case stackjob.Create:
		n.Create++
	case stackjob.Update:
		n.Update++
	case stackjob.Delete:
		n.Delete++
	case stackjob.Replace:
		n.Replace++
	case stackjob.Forget:
		n.Forget++
	case stackjob.NoOp:
		n.NoOp++
	}
	if rc.Change.Importing != nil {
		n.Import++
	}
	if ch.Previous != "" {
		n.Move++
	}
}

// outputs converts the output changes that change something, by name.
func (c converter) outputs(in map[string]*tfjson.Change) []stackjob.OutputChange {
	var out []stackjob.OutputChange
	for name, ch := range in {
		if ch == nil || ch.Actions.NoOp() {
			continue
		}
		o := stackjob.OutputChange{Name: name, Action: actionOf(ch)}
		// As a whole: an output is one value to those who read it.
		v := values{before: ch.Before, after: ch.After, unknown: ch.AfterUnknown, beforeSensitive: ch.BeforeSensitive, afterSensitive: ch.AfterSensitive}
		o.Sensitive = anyTrue(v.beforeSensitive) || anyTrue(v.afterSensitive) || c.holdsSecret(v.before) || c.holdsSecret(v.after)
		o.Unknown = anyTrue(v.unknown)
		o.Before = c.value(v.before, o.Sensitive)
		if !o.Unknown {
			o.After = c.value(v.after, o.Sensitive)
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b stackjob.OutputChange) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// value writes a value as canonical JSON, or, when it is sensitive, its hash.
func (c converter) value(v any, sensitive bool) json.RawMessage {
	if v == nil {
		return nil
	}
	b := canonical(v)
	if !sensitive {
		return b
	}
	return canonical(keyedHash(c.key, b))
}

// keyedHash tells whether values are equal and not what they are.
func keyedHash(key, value []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(value)
	return "hmac:" + hex.EncodeToString(h.Sum(nil))
}

// canonical is JSON with sorted keys, numbers as they were written, and nothing
// escaped that need not be.
func canonical(v any) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // only decoded JSON gets here
		panic("terraform: write a decoded value: " + err.Error())
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// canonicalText is the canonical form of JSON text.
func canonicalText(text json.RawMessage) (json.RawMessage, error) {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return canonical(v), nil
}

// holdsSecret tells whether one of the task's secrets is anywhere in a value.
func (c converter) holdsSecret(v any) bool {
	switch v := v.(type) {
	case string:
		return c.mask.holdsSecret(v)
	case map[string]any:
		for k, e := range v {
			if c.mask.holdsSecret(k) || c.holdsSecret(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, c.holdsSecret)
	}
	return false
}

// anyTrue tells whether true is anywhere in a tree of marks.
func anyTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case map[string]any:
		for _, e := range v {
			if anyTrue(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, anyTrue)
	}
	return false
}

// naturally compares names with runs of digits compared as numbers, so that
// x[2] comes before x[10].
func naturally(a, b string) int {
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
