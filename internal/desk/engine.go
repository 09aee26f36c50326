package desk

import (
	"context"
	"fmt"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Engine says which program a job for a resource would get now: for its document as it
// is in the newest tree, or, when that is gone, for the stack as it was last applied.
func (d *Desk) Engine(ctx context.Context, k schema.ResourceKey) (api.EngineChoice, error) {
	c := api.EngineChoice{Key: k}
	st, err := d.o.Records.Stack(ctx, k)
	if err != nil {
		return c, err
	}
	var want stackjob.Desired
	switch r := d.document(k); {
	case r != nil:
		c.EngineFrom = "documents"
		want.Provisioner = r.Provisioner
		if r.Provisioner == "" {
			c.EngineFrom = "default"
			want.Provisioner = d.o.Reconciler.Settings().DefaultProvisioner
			if st.Observed != nil {
				c.EngineFrom = "recorded"
			}
		}
		want = diff.EngineOf(r, want, st)
		if why := diff.EngineRefused(r, want, st); why != nil {
			c.Problem = why.String()
		}
	case st.Observed != nil:
		want, c.EngineFrom = st.Observed.Desired, "recorded"
	default:
		return c, fmt.Errorf("resource %s: %w", k, store.ErrNotFound)
	}
	c.Engine, c.Constraint = want.Provisioner, want.EngineVersion.Constraint
	if c.Constraint != "" {
		c.ConstraintAt = want.EngineVersion.Pos.String()
	}
	if st.Observed != nil {
		c.Recorded = st.Observed.Engine
	}
	p, origin, err := d.o.Program(ctx, engine.Wanted{Provisioner: want.Provisioner, Version: want.EngineVersion})
	if ctx.Err() != nil {
		return c, ctx.Err()
	}
	if err != nil {
		if c.Problem == "" {
			c.Problem = err.Error()
		}
		return c, nil
	}
	c.Version, c.Path, c.Origin = p.Version, p.Path, origin
	return c, nil
}

// document finds the resource of a key in the newest trees; nil when there is none.
func (d *Desk) document(k schema.ResourceKey) *schema.Resource {
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		if r, ok := repo.View.Tree.Resource(k); ok {
			return r
		}
	}
	return nil
}
