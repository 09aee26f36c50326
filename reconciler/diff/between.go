package diff

import (
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Affected is a resource that a proposal touches: one whose document, module or engine
// is another in the merged tree than in the base, or one that reads such a resource.
type Affected struct {
	Key    schema.ResourceKey
	Action stackjob.Action
	// Because says what moved between the two trees; for a dependent, which of the
	// resources that it reads are affected. None for a document that only moved.
	Because []stackjob.Because
	// Desired is what the merged tree wants; for a destroy what the base wants, and the
	// caller puts in what is recorded.
	Desired stackjob.Desired
	// MovedFrom is the file that the document was in, when that is another one now.
	MovedFrom string
	// After are the affected resources that are applied before this one, sorted.
	After []schema.ResourceKey
	// Error says why it cannot be planned.
	Error *stackjob.Reason
}

// Between says which resources merging a proposal affects, those first that are
// applied first. base and merged are the trees with what was said of their modules;
// what is recorded has no part in it. Folders with errors in either tree are left out:
// nobody knows what they want.
func Between(base, merged Input) []Affected {
	if base.Tree == nil || merged.Tree == nil {
		return nil
	}
	b := &between{base: base, merged: merged, found: map[schema.ResourceKey]*Affected{}}
	for _, is := range merged.Tree.Resources() {
		b.resource(is)
	}
	for _, was := range base.Tree.Resources() {
		b.removed(was)
	}
	b.dependents()
	return b.ordered()
}

type between struct {
	base, merged Input
	found        map[schema.ResourceKey]*Affected
}

func (b *between) frozen(k schema.ResourceKey) bool {
	_, base := b.base.Tree.Frozen(k.Org, k.Env)
	_, merged := b.merged.Tree.Frozen(k.Org, k.Env)
	return base || merged
}

func (b *between) resource(is *schema.Resource) {
	was, there := b.base.Tree.Resource(is.Key)
	if there && was == is || b.frozen(is.Key) {
		return
	}
	desired, broken := Desire(b.merged, is)
	a := &Affected{Key: is.Key, Action: stackjob.Apply, Desired: desired, Error: broken}
	if !there {
		a.Because = []stackjob.Because{{Cause: stackjob.CauseNew}}
		b.found[is.Key] = a
		return
	}
	old, unknown := Desire(b.base, was)
	a.Because = desiredMoved(&old, &desired, broken != nil || unknown != nil)
	if was.Pos.File != is.Pos.File {
		a.MovedFrom = was.Pos.File
	}
	if len(a.Because) > 0 || a.MovedFrom != "" {
		b.found[is.Key] = a
	}
}

func (b *between) removed(was *schema.Resource) {
	if _, there := b.merged.Tree.Resource(was.Key); there || b.frozen(was.Key) {
		return
	}
	desired, _ := Desire(b.base, was)
	b.found[was.Key] = &Affected{Key: was.Key, Action: stackjob.Destroy, Desired: desired,
		Because: []stackjob.Because{{Cause: stackjob.CauseRemoved, Detail: was.Pos.File}}}
}

// dependents adds what reads an affected resource, and what reads that: its plan may
// become another when that one is applied.
func (b *between) dependents() {
	var queue []schema.ResourceKey
	for k, a := range b.found {
		if len(a.Because) > 0 {
			queue = append(queue, k)
		}
	}
	slices.SortFunc(queue, schema.ResourceKey.Compare)
	graphs := map[string]*schema.Graph{}
	for len(queue) > 0 {
		k := queue[0]
		queue = queue[1:]
		g := graphs[k.Org]
		if g == nil {
			g = b.merged.Tree.Graph(k.Org)
			graphs[k.Org] = g
		}
		for _, c := range g.Consumers(k) {
			because := stackjob.Because{Cause: stackjob.CauseProducer, Detail: k.String()}
			if a := b.found[c]; a != nil {
				if len(a.Because) > 0 && !slices.ContainsFunc(a.Because, isProducer) {
					continue // it is affected by itself
				}
				known := len(a.Because) > 0
				a.Because = append(a.Because, because)
				if !known { // until now its document had only moved
					queue = append(queue, c)
				}
				continue
			}
			r, there := b.merged.Tree.Resource(c)
			if !there || b.frozen(c) {
				continue
			}
			desired, broken := Desire(b.merged, r)
			b.found[c] = &Affected{Key: c, Action: stackjob.Apply, Desired: desired, Error: broken, Because: []stackjob.Because{because}}
			queue = append(queue, c)
		}
	}
}

func isProducer(b stackjob.Because) bool { return b.Cause == stackjob.CauseProducer }

// ordered puts producers before what reads them, and what is destroyed the other way
// round.
func (b *between) ordered() []Affected {
	for _, a := range b.found {
		slices.SortFunc(a.Because, func(x, y stackjob.Because) int {
			if isProducer(x) && isProducer(y) && x.Detail > y.Detail {
				return 1
			}
			return 0
		})
		for _, p := range a.Desired.Producers {
			other := b.found[p]
			switch {
			case other == nil || p == a.Key:
			case a.Action == stackjob.Apply && other.Action == stackjob.Apply:
				a.After = append(a.After, p)
			case other.Action == stackjob.Destroy: // who reads it goes, or stops reading it, first
				other.After = append(other.After, a.Key)
			}
		}
	}
	// The sheet of a comparison sorts: applies and destroys close no circle, and one
	// among destroys is broken at its smallest key.
	c := &comparison{changes: map[schema.ResourceKey]*Change{}}
	for k, a := range b.found {
		slices.SortFunc(a.After, schema.ResourceKey.Compare)
		c.changes[k] = &Change{Key: k, Action: a.Action, After: slices.Compact(a.After)}
	}
	out := make([]Affected, 0, len(b.found))
	for _, ch := range c.topological() {
		a := b.found[ch.Key]
		a.After = ch.After
		out = append(out, *a)
	}
	return out
}
