package pulumi

import (
	"cmp"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// step is all that a preview told of one resource.
type step struct {
	urn string
	old bool // it waits for its deletion since an earlier replacement
	ops []apitype.OpType
	// before and after are the metadata of the step itself and of its result.
	before, after *apitype.StepEventMetadata
}

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
