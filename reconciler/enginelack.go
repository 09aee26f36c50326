package reconciler

import (
	"context"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/schema"
)

// engineLacks are the engines that cannot be had and that a merge asks for anew. A constraint
// that moves plans nothing (see decision 0170), so no job would tell before the next change.
// A row with a job is left out: its own plan says it.
func (r *Reconciler) engineLacks(ctx context.Context, base, merged diff.Input, round *pull.Round) ([]pull.EngineLack, error) {
	if r.o.Engine == nil || base.Tree == nil || merged.Tree == nil {
		return nil, nil
	}
	rows := make(map[schema.ResourceKey]*pull.Row, len(round.Rows))
	for i := range round.Rows {
		rows[round.Rows[i].Key] = &round.Rows[i]
	}
	var uses []diff.EngineUse
	for _, is := range merged.Tree.Resources() {
		was, there := base.Tree.Resource(is.Key)
		row := rows[is.Key]
		if row != nil && row.Job != "" || row == nil && there && was == is {
			continue
		}
		if _, frozen := merged.Tree.Frozen(is.Key.Org, is.Key.Env); frozen {
			continue
		}
		// What nobody names is the engine that made the stack, in both trees.
		st, err := r.o.Records.Stack(ctx, is.Key)
		if err != nil {
			return nil, err
		}
		need := diff.EngineNeedOf(merged, is, st)
		planned := !there || row != nil && row.Deferred != nil // it is to be, in this pull request
		if !planned && need.Same(diff.EngineNeedOf(base, was, st)) {
			continue
		}
		uses = diff.AddEngineUse(uses, need, is.Key)
	}
	return r.lacking(ctx, uses)
}

// lacking are those needs for which there is no engine.
func (r *Reconciler) lacking(ctx context.Context, uses []diff.EngineUse) ([]pull.EngineLack, error) {
	if r.o.Engine == nil {
		return nil, nil
	}
	var out []pull.EngineLack
	for _, u := range uses {
		err := r.o.Engine(ctx, engine.Wanted{Provisioner: u.Provisioner, Version: u.Version, Runtime: u.Runtime})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			out = append(out, pull.EngineLack{Of: slices.SortedFunc(slices.Values(u.Of), schema.ResourceKey.Compare), Why: err.Error()})
		}
	}
	slices.SortStableFunc(out, func(a, b pull.EngineLack) int { return a.Of[0].Compare(b.Of[0]) })
	return out, nil
}
