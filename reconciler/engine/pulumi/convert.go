package pulumi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

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

// step is all that a preview told of one resource.
type step struct {
	urn string
	old bool // it waits for its deletion since an earlier replacement
	ops []apitype.OpType
	// before and after are the metadata of the step itself and of its result.
	before, after *apitype.StepEventMetadata
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

// sortEvents tells apart what a refresh found, the steps by resource in the order in
// which they began, and what becomes of the stack's outputs.
func sortEvents(events []apitype.EngineEvent) (drift []*apitype.StepEventMetadata, steps []*step, stack *apitype.StepEventMetadata) {
	type place struct {
		urn string
		old bool
	}
	at := map[place]*step{}
	for i := range events {
		var md *apitype.StepEventMetadata
		result := false
		switch e := &events[i]; {
		case e.ResourcePreEvent != nil:
			md = &e.ResourcePreEvent.Metadata
		case e.ResOutputsEvent != nil:
			md, result = &e.ResOutputsEvent.Metadata, true
		default:
			continue
		}
		if md.Op == apitype.OpRefresh {
			if result && !isPseudo(typeOf(md.URN)) {
				drift = append(drift, md)
			}
			continue
		}
		if result && typeOf(md.URN) == stackType {
			stack = md
		}
		p := place{md.URN, md.Op == apitype.OpDelete && md.Old != nil && md.Old.Delete}
		s := at[p]
		if s == nil {
			s = &step{urn: md.URN, old: p.old}
			at[p] = s
			steps = append(steps, s)
		}
		if !slices.Contains(s.ops, md.Op) {
			s.ops = append(s.ops, md.Op)
		}
		// Of a replacement's steps, those that know old and new tell most.
		if md.Op == apitype.OpDeleteReplaced && s.before != nil {
			continue
		}
		if result {
			s.after = md
		} else if s.before == nil || md.Op != apitype.OpReplace {
			s.before = md
		}
	}
	return drift, steps, stack
}

// actionOf is what is done to a resource; false for what only reads: external resources
// are read at every run.
func actionOf(s *step) (stackjob.ChangeAction, bool) {
	has := func(ops ...apitype.OpType) bool {
		return slices.ContainsFunc(ops, func(o apitype.OpType) bool { return slices.Contains(s.ops, o) })
	}
	switch {
	case has(apitype.OpReplace, apitype.OpCreateReplacement, apitype.OpImportReplacement, apitype.OpDeleteReplaced):
		return stackjob.Replace, true
	case has(apitype.OpUpdate): // of what is imported, too: it is changed where it is
		return stackjob.Update, true
	case has(apitype.OpImport):
		return stackjob.Import, true
	case has(apitype.OpCreate):
		return stackjob.Create, true
	case has(apitype.OpDelete):
		if md := cmp.Or(s.before, s.after); md != nil && md.Old != nil && md.Old.RetainOnDelete {
			return stackjob.Forget, true
		}
		return stackjob.Delete, true
	case has(apitype.OpSame):
		return stackjob.NoOp, true
	}
	return stackjob.NoOp, false
}

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

// previous is the URN before an alias moved the resource; "" when it is the same.
func (s *step) previous() string {
	md := cmp.Or(s.before, s.after)
	if md == nil || md.Old == nil || md.New == nil || md.Old.URN == s.urn {
		return ""
	}
	return md.Old.URN
}

// optionChanges are the options of a resource that only its state holds and that decide
// what becomes of it later: the engine calls a step that changes nothing else "same", but
// without an apply a resource that is to be protected is not, and one that is to be kept
// is destroyed when the program no longer has it.
func optionChanges(md *apitype.StepEventMetadata) []stackjob.AttributeChange {
	if md == nil || md.Old == nil || md.New == nil {
		return nil
	}
	var out []stackjob.AttributeChange
	for _, o := range []struct {
		name     string
		was, now bool
	}{{"protect", md.Old.Protect, md.New.Protect}, {"retainOnDelete", md.Old.RetainOnDelete, md.New.RetainOnDelete}} {
		if o.was != o.now {
			out = append(out, stackjob.AttributeChange{Path: "options." + o.name, Before: facts.Canonical(o.was), After: facts.Canonical(o.now)})
		}
	}
	return out
}

// sides are a value before and after, with their marks.
type sides struct{ before, after property }

func (s sides) values() facts.Values {
	return facts.Values{Before: s.before.value, After: s.after.value, Unknown: s.after.unknown,
		BeforeSensitive: s.before.sensitive, AfterSensitive: s.after.sensitive}
}

// known reads properties of an event. A property that holds a secret is taken from the
// state, where it can be read.
func (c converter) known(event, recorded map[string]any) property {
	return c.read(event, func(k string) (any, bool) { v, ok := recorded[k]; return v, ok })
}

// after reads the properties that a step leads to. Those with a secret that moved are
// in the saved plan, those that stay are as they were.
func (c converter) after(event map[string]any, diff planDiff, before property) property {
	p := c.read(event, func(k string) (any, bool) {
		if v, ok := diff.Updates[k]; ok {
			return v, true
		}
		v, ok := diff.Adds[k]
		return v, ok
	})
	for k, v := range event {
		if !holdsSecret(v) || diff.moves(k) {
			continue
		}
		p.set(k, property{value: facts.Child(before.value, k), sensitive: facts.Child(before.sensitive, k)})
	}
	return p
}

func (c converter) read(event map[string]any, from func(key string) (any, bool)) property {
	if event == nil {
		return property{}
	}
	p := property{value: make(map[string]any, len(event))}
	for k, v := range event {
		if strings.HasPrefix(k, "__") { // the engine's and bridges' own
			continue
		}
		if holdsSecret(v) {
			if real, ok := from(k); ok {
				v = real
			}
		}
		below, _ := readProperty(v, c.open) // what cannot be read has its mark and no value
		p.set(k, below)
	}
	return p
}

// forcing are the paths that force a replacement.
func forcing(md *apitype.StepEventMetadata) []any {
	var out []any
	add := func(path string) {
		if steps, ok := stepsOf(path); ok {
			out = append(out, steps)
		}
	}
	for path, d := range md.DetailedDiff {
		switch d.Kind {
		case apitype.DiffAddReplace, apitype.DiffDeleteReplace, apitype.DiffUpdateReplace:
			add(path)
		}
	}
	if len(out) == 0 {
		for _, key := range md.Keys {
			add(key)
		}
	}
	return out
}

func stepsOf(path string) ([]any, bool) {
	p, err := resource.ParsePropertyPath(path)
	return []any(p), err == nil && len(p) > 0
}

// named adds the properties that the provider names as moved and whose values tell
// nothing of it: what was found outside while its input stayed.
func (c converter) named(have []stackjob.AttributeChange, md *apitype.StepEventMetadata, in, was sides, forced []any) []stackjob.AttributeChange {
	for _, path := range slices.Sorted(maps.Keys(md.DetailedDiff)) {
		steps, ok := stepsOf(path)
		if !ok || slices.ContainsFunc(have, func(a stackjob.AttributeChange) bool {
			return a.Path == facts.PathText(steps) || strings.HasPrefix(a.Path, facts.PathText(steps)+".") || strings.HasPrefix(a.Path, facts.PathText(steps)+"[")
		}) {
			continue
		}
		v := facts.Values{Before: at(was.before.value, steps), BeforeSensitive: at(was.before.sensitive, steps),
			After: at(in.after.value, steps), AfterSensitive: at(in.after.sensitive, steps), Unknown: at(in.after.unknown, steps)}
		if v.Before == nil {
			v.Before = at(in.before.value, steps)
		}
		a := c.Whole(v)
		a.Path = facts.PathText(steps)
		a.Forces = slices.ContainsFunc(forced, func(f any) bool { return facts.PathText(f.([]any)) == a.Path })
		if a.Unknown || string(a.Before) != string(a.After) || a.Sensitive {
			have = append(have, a)
		}
	}
	return have
}

func at(v any, steps []any) any {
	for _, s := range steps {
		if v == true { // a mark covers all below
			return true
		}
		v = facts.Child(v, s)
	}
	return v
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

// hideClosed takes the values of secrets out of both sides: nobody is told what a
// refresh found of a secret, so nothing can be said by comparing.
func hideClosed(s *sides) {
	m, ok := s.after.value.(map[string]any)
	if !ok {
		return
	}
	before, _ := s.before.value.(map[string]any)
	for k := range m {
		if facts.AnyTrue(facts.Child(s.after.sensitive, k)) && facts.AnyTrue(facts.Child(s.before.sensitive, k)) {
			m[k] = nil
			if before != nil {
				before[k] = nil
			}
		}
	}
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

// savedPlan is what we read of a saved update plan (apitype.DeploymentPlanV1).
type savedPlan struct {
	ResourcePlans map[string]resourcePlan `json:"resourcePlans"`
}

type resourcePlan struct {
	Goal struct {
		InputDiff  planDiff `json:"inputDiff"`
		OutputDiff planDiff `json:"outputDiff"`
	} `json:"goal"`
	Steps []string       `json:"steps"`
	State map[string]any `json:"state"`

	// raw is all of it.
	raw map[string]any
}

// UnmarshalJSON keeps numbers as they were written.
func (r *resourcePlan) UnmarshalJSON(b []byte) error {
	v, err := decodeJSON(b)
	if err != nil {
		return err
	}
	r.raw, _ = v.(map[string]any)
	type plain resourcePlan
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	return dec.Decode((*plain)(r))
}

type planDiff struct {
	Adds    map[string]any `json:"adds"`
	Deletes []string       `json:"deletes"`
	Updates map[string]any `json:"updates"`
}

func (d planDiff) moves(key string) bool {
	_, added := d.Adds[key]
	_, updated := d.Updates[key]
	return added || updated
}

func (p savedPlan) of(urn string) resourcePlan { return p.ResourcePlans[urn] }
