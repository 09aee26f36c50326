package pulumi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// converter turns what a preview told into our plan. It is a function of its fields and
// its arguments: no clock, no files.
type converter struct {
	facts.Hider
	// open opens the secrets of the state and of the saved plan.
	open decrypter
	// state is what the preview was made of; its values of secrets are the only ones
	// there are, since events hide them.
	state *deployment
	// fixed is what the digest covers beside the steps.
	fixed fixed
}

// told is what a preview told.
type told struct {
	events []apitype.EngineEvent
	plan   savedPlan
}

// convert makes the plan.
func (c converter) convert(in told) (*stackjob.Plan, error) {
	c.Mask = c.Mask.With(c.tainted(in.plan))
	plan := &stackjob.Plan{}
	drift, steps, stack := sortEvents(in.events)
	drifted := map[string]bool{}
	for _, md := range drift {
		if change, moved := c.drift(md); moved {
			drifted[md.URN] = true
			plan.Drift = append(plan.Drift, change)
		}
	}
	var providers []*step
	for _, s := range steps {
		action, known := actionOf(s)
		if isPseudo(typeOf(s.urn)) {
			if strings.HasPrefix(typeOf(s.urn), providerPrefix) && action != stackjob.NoOp {
				providers = append(providers, s)
			}
			continue
		}
		if !known {
			continue
		}
		if action == stackjob.NoOp && len(optionChanges(cmp.Or(s.before, s.after))) > 0 {
			action = stackjob.Update
		}
		count(&plan.Counts, action)
		if action == stackjob.Update && slices.Contains(s.ops, apitype.OpImport) {
			plan.Counts.Import++
		}
		if s.previous() != "" {
			plan.Counts.Move++
		} else if action == stackjob.NoOp {
			continue
		}
		plan.Resources = append(plan.Resources, c.resource(s, action, in.plan, drifted[s.urn]))
	}
	slices.SortStableFunc(plan.Resources, byAddress)
	slices.SortStableFunc(plan.Drift, byAddress)
	if stack != nil {
		plan.Outputs = c.outputs(stack, in.plan)
	}
	plan.Warnings = tellProviders(providers, len(plan.Resources) == 0 && len(plan.Outputs) == 0)
	plan.Providers = len(plan.Warnings)
	plan.HasChanges = len(plan.Resources) > 0 || len(plan.Outputs) > 0 || len(providers) > 0
	form := digestForm{}
	if plan.HasChanges {
		form.fixed = c.fixed
		form.Outputs = plan.Outputs
		var err error
		if form.Resources, err = c.steps(in.plan); err != nil {
			return nil, err
		}
	}
	plan.Digest = form.digest()
	return plan, nil
}

// tellProviders says what becomes of providers. They are no resources and in no list, but a
// plan may be about nothing else, and what they are told decides where all is made. Those
// that come and go with their resources or versions are told when they are all there is.
func tellProviders(steps []*step, alone bool) []string {
	words := map[stackjob.ChangeAction]string{stackjob.Create: "is new", stackjob.Update: "changes", stackjob.Replace: "is replaced", stackjob.Delete: "goes"}
	var out []string
	for _, s := range steps {
		action, _ := actionOf(s)
		if !alone && (action == stackjob.Create || action == stackjob.Delete) || words[action] == "" {
			continue
		}
		text := fmt.Sprintf("Warning: The provider %s (%s) %s", nameOf(s.urn), strings.TrimPrefix(typeOf(s.urn), providerPrefix), words[action])
		if md := cmp.Or(s.before, s.after); len(md.Diffs) > 0 {
			text += ": " + strings.Join(slices.Sorted(slices.Values(md.Diffs)), ", ")
		}
		out = append(out, text+".")
	}
	slices.Sort(out)
	return out
}

func byAddress(a, b stackjob.ResourceChange) int { return facts.Naturally(a.Address, b.Address) }

func count(n *stackjob.Counts, a stackjob.ChangeAction) {
	switch a {
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
	case stackjob.Import:
		n.Import++
	case stackjob.NoOp:
		n.NoOp++
	}
}

// deposed ends the address of what waits for its deletion since an earlier replacement.
const deposed = " (deposed)"

// resource converts one change.
func (c converter) resource(s *step, action stackjob.ChangeAction, plan savedPlan, drifted bool) stackjob.ResourceChange {
	out := stackjob.ResourceChange{Address: s.urn, Type: typeOf(s.urn), Name: nameOf(s.urn), Action: action}
	if s.old {
		out.Address += deposed
	}
	md := cmp.Or(s.before, s.after)
	out.Previous = s.previous()
	if md.Old != nil && md.Old.Taint && action == stackjob.Replace {
		out.Why = "tainted"
	}
	var in, was sides
	if md.Old != nil {
		r := c.state.find(md.Old.URN, s.old)
		if r == nil || drifted {
			r = &stateResource{} // what is recorded is not what is
		}
		in.before, was.before = c.known(md.Old.Inputs, r.Inputs), c.known(md.Old.Outputs, r.Outputs)
	}
	if md.New != nil && action != stackjob.Delete && action != stackjob.Forget {
		diff := plan.of(s.urn).Goal.InputDiff
		in.after = c.after(md.New.Inputs, diff, in.before)
		if s.after != nil && s.after.New != nil {
			was.after = c.after(s.after.New.Outputs, planDiff{Adds: plan.of(s.urn).State}, was.before)
		}
	}
	forced := forcing(md)
	out.Attributes = c.Attributes(in.values(), forced)
	if len(out.Attributes) == 0 && (action == stackjob.Update || action == stackjob.Replace) {
		out.Attributes = c.Attributes(was.values(), forced)
	}
	if action == stackjob.Update || action == stackjob.Replace {
		out.Attributes = c.named(out.Attributes, md, in, was, forced)
		out.Attributes = append(out.Attributes, optionChanges(md)...)
	}
	return out
}

// drift converts what a refresh found of a resource; false when it is as it was.
func (c converter) drift(md *apitype.StepEventMetadata) (stackjob.ResourceChange, bool) {
	out := stackjob.ResourceChange{Address: md.URN, Type: typeOf(md.URN), Name: nameOf(md.URN), Action: stackjob.Update}
	if md.Old == nil {
		return out, false
	}
	r := c.state.find(md.Old.URN, md.Old.Delete)
	if r == nil {
		r = &stateResource{}
	}
	if md.New == nil {
		out.Action = stackjob.Delete
		out.Attributes = c.Attributes(facts.Values{Before: c.known(md.Old.Inputs, r.Inputs).value, BeforeSensitive: c.known(md.Old.Inputs, r.Inputs).sensitive}, nil)
		return out, true
	}
	for _, s := range []sides{
		{c.known(md.Old.Outputs, r.Outputs), c.known(md.New.Outputs, nil)},
		{c.known(md.Old.Inputs, r.Inputs), c.known(md.New.Inputs, nil)},
	} {
		hideClosed(&s)
		if out.Attributes = c.Attributes(s.values(), nil); len(out.Attributes) > 0 {
			break
		}
	}
	for _, path := range slices.Sorted(maps.Keys(md.DetailedDiff)) {
		steps, ok := stepsOf(path)
		if ok && !slices.ContainsFunc(out.Attributes, func(a stackjob.AttributeChange) bool { return a.Path == facts.PathText(steps) }) && at(c.known(md.Old.Outputs, nil).sensitive, steps) != nil {
			out.Attributes = append(out.Attributes, stackjob.AttributeChange{Path: facts.PathText(steps), Sensitive: true})
		}
	}
	return out, len(out.Attributes) > 0
}

// outputs converts what changes of the stack's outputs, by name.
func (c converter) outputs(md *apitype.StepEventMetadata, plan savedPlan) []stackjob.OutputChange {
	var old, next map[string]any
	if md.Old != nil {
		old = md.Old.Outputs
	}
	if md.New != nil {
		next = md.New.Outputs
	}
	diff := plan.of(md.URN).Goal.OutputDiff
	before := c.known(old, c.state.outputs())
	after := c.after(next, diff, before)
	names := map[string]bool{}
	for k := range old {
		names[k] = true
	}
	for k := range next {
		names[k] = true
	}
	var out []stackjob.OutputChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		o := stackjob.OutputChange{Name: name, Action: stackjob.Update}
		o.AttributeChange = c.Whole(facts.Values{
			Before: facts.Child(before.value, name), After: facts.Child(after.value, name), Unknown: facts.Child(after.unknown, name),
			BeforeSensitive: facts.Child(before.sensitive, name), AfterSensitive: facts.Child(after.sensitive, name),
		})
		_, was := old[name]
		_, will := next[name]
		switch {
		case !was:
			o.Action = stackjob.Create
		case !will:
			o.Action = stackjob.Delete
		case !o.Unknown && string(o.Before) == string(o.After) && facts.AnyTrue(facts.Child(before.sensitive, name)) == facts.AnyTrue(facts.Child(after.sensitive, name)):
			continue
		}
		out = append(out, o)
	}
	return out
}

// tainted collects the secrets of state and plan: a value that is secret in one place is
// secret in all.
func (c converter) tainted(plan savedPlan) []string {
	var out []string
	add := func(props map[string]any) {
		for _, v := range props {
			if !holdsSecret(v) {
				continue
			}
			p, _ := readProperty(v, c.open)
			out = facts.Marked(out, p.value, p.sensitive)
		}
	}
	for _, r := range c.state.Resources {
		add(r.Inputs)
		add(r.Outputs)
	}
	for _, r := range plan.ResourcePlans {
		add(r.Goal.InputDiff.Adds)
		add(r.Goal.InputDiff.Updates)
		add(r.State)
	}
	return out
}
