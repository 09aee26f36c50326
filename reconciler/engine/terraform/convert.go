package terraform

import (
	"cmp"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// converter turns an engine's plan into ours. It is a function of its fields and
// the plan: no clock, no files.
type converter struct {
	facts.Hider
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
	c.Mask = c.Mask.With(tainted(in))
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
	slices.SortStableFunc(form.Resources, func(a, b digestResource) int { return facts.Naturally(a.Address, b.Address) })
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

func byAddress(a, b stackjob.ResourceChange) int { return facts.Naturally(a.Address, b.Address) }

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
	out.Attributes = c.Attributes(facts.Values{
		Before: rc.Change.Before, After: rc.Change.After, Unknown: rc.Change.AfterUnknown,
		BeforeSensitive: rc.Change.BeforeSensitive, AfterSensitive: rc.Change.AfterSensitive,
	}, rc.Change.ReplacePaths)
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
		v := facts.Values{Before: ch.Before, After: ch.After, Unknown: ch.AfterUnknown, BeforeSensitive: ch.BeforeSensitive, AfterSensitive: ch.AfterSensitive}
		o.AttributeChange = c.Whole(v)
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b stackjob.OutputChange) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
