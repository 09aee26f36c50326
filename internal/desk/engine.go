package desk

import (
	"cmp"
	"context"
	"errors"
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
	c, _, err := d.engine(ctx, k)
	return c, err
}

// engine is Engine. refused tells that the engine may not change, so that there is no job.
func (d *Desk) engine(ctx context.Context, k schema.ResourceKey) (c api.EngineChoice, refused bool, err error) {
	c.Key = k
	st, err := d.o.Records.Stack(ctx, k)
	if err != nil {
		return c, false, err
	}
	var want stackjob.Desired
	runtime := ""
	switch r, tree := d.document(k); {
	case r != nil:
		c.EngineFrom = "documents"
		if r.Provisioner == "" {
			c.EngineFrom = "default"
			if st.Observed != nil {
				c.EngineFrom = "recorded"
			}
		}
		want = wanted(r, st, d.o.Reconciler.Settings().DefaultProvisioner)
		runtime = tree.PulumiRuntime(r)
		if why := diff.EngineRefused(r, want, st); why != nil {
			c.Problem, refused = why.String(), true
		}
	case st.Observed != nil:
		want, c.EngineFrom = st.Observed.Desired, "recorded"
	default:
		return c, false, fmt.Errorf("resource %s: %w", k, store.ErrNotFound)
	}
	c.Engine, c.Constraint = want.Provisioner, want.EngineVersion.Constraint
	if c.Constraint != "" {
		c.ConstraintAt = want.EngineVersion.Pos.String()
	}
	if st.Observed != nil {
		c.Recorded = st.Observed.Engine
	}
	p, origin, err := d.o.Program(ctx, engine.Wanted{Provisioner: want.Provisioner, Version: want.EngineVersion, Runtime: runtime})
	if ctx.Err() != nil {
		return c, refused, ctx.Err()
	}
	if err != nil {
		if c.Problem == "" {
			c.Problem = err.Error()
		}
		return c, refused, nil
	}
	c.Version, c.Path, c.Origin = p.Version, p.Path, origin
	return c, refused, nil
}

// wanted is what a document asks to be run with; preferred is the engine where it names none.
func wanted(r *schema.Resource, st stackjob.Stack, preferred schema.Provisioner) stackjob.Desired {
	return diff.EngineOf(r, stackjob.Desired{Provisioner: cmp.Or(r.Provisioner, preferred)}, st)
}

// noEngine says why the next job of a resource would find no program; "" when it would find
// one, and where another engine is refused: then there is no job.
func (d *Desk) noEngine(ctx context.Context, k schema.ResourceKey) (string, error) {
	c, refused, err := d.engine(ctx, k)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	case err != nil || c.Path != "" || refused:
		return "", err
	}
	return c.Problem, nil
}

// document finds the resource of a key in the newest trees, and its tree; nil when there is
// none.
func (d *Desk) document(k schema.ResourceKey) (*schema.Resource, *schema.Tree) {
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		if r, ok := repo.View.Tree.Resource(k); ok {
			return r, repo.View.Tree
		}
	}
	return nil, nil
}
