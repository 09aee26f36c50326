package diff

import (
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// EngineNeed is what a stack asks of the engine that its next job runs.
type EngineNeed struct {
	Provisioner schema.Provisioner
	// Version is the constraint that counts, with its place.
	Version schema.EngineVersion
	// Runtime is the language of a Pulumi program that is a folder of the repository:
	// Pulumi needs a host for it. "" when it is not known, and for other engines.
	Runtime string
}

// EngineNeedOf is what the stack of a document asks for, as it is recorded.
func EngineNeedOf(in Input, r *schema.Resource, st stackjob.Stack) EngineNeed {
	d := stackjob.Desired{Provisioner: r.Provisioner}
	if d.Provisioner == "" {
		d.Provisioner = folderProvisioner(in, r.Key.Org, r.Key.Env)
	}
	d = EngineOf(r, d, st)
	n := EngineNeed{Provisioner: d.Provisioner, Version: d.EngineVersion}
	if n.Provisioner == schema.Pulumi {
		n.Runtime = in.Tree.PulumiRuntime(r)
	}
	return n
}

// EngineUse is a need, and those who have it.
type EngineUse struct {
	EngineNeed
	// Of are the stacks, sorted.
	Of []schema.ResourceKey
}

// EngineUses says what the stacks of a tree ask of engines, those for which want is true:
// one entry for each different need, in the order of their first stacks. Folders with errors
// are left out, as by Compare.
func EngineUses(in Input, want func(schema.ResourceKey) bool) []EngineUse {
	if in.Tree == nil {
		return nil
	}
	var out []EngineUse
	for _, r := range in.Tree.Resources() {
		if _, frozen := in.Tree.Frozen(r.Key.Org, r.Key.Env); frozen || !want(r.Key) {
			continue
		}
		out = AddEngineUse(out, EngineNeedOf(in, r, in.Stacks[r.Key]), r.Key)
	}
	for i := range out {
		slices.SortFunc(out[i].Of, schema.ResourceKey.Compare)
	}
	slices.SortStableFunc(out, func(a, b EngineUse) int { return a.Of[0].Compare(b.Of[0]) })
	return out
}

// Same tells whether two needs ask for the same engine, wherever that is written.
func (n EngineNeed) Same(o EngineNeed) bool {
	n.Version.Pos = o.Version.Pos
	return n == o
}

// AddEngineUse adds a stack to those of the same need. Of several places where the same is
// written the first is kept: they are one line to whoever gets the engine.
func AddEngineUse(list []EngineUse, n EngineNeed, k schema.ResourceKey) []EngineUse {
	if i := slices.IndexFunc(list, func(u EngineUse) bool { return u.Same(n) }); i >= 0 {
		list[i].Of = append(list[i].Of, k)
		return list
	}
	return append(list, EngineUse{EngineNeed: n, Of: []schema.ResourceKey{k}})
}
