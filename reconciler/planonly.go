package reconciler

import (
	"context"
	"fmt"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Preview is a revision that is planned and not applied.
type Preview struct {
	Comparison
	// Jobs are the plan-only jobs, by stack.
	Jobs map[schema.ResourceKey]stackjob.JobID
	// Deferred are changes that cannot be planned before a producer is applied,
	// with that producer: planning them would mean to guess values.
	Deferred map[schema.ResourceKey]schema.ResourceKey
	// Engines are those that stacks without a job here ask for and that are not there.
	Engines []pull.EngineLack
}

// PreviewRevision compares a revision and enqueues a plan-only job for every change
// that want accepts. The revision becomes the repository's view.
func (r *Reconciler) PreviewRevision(ctx context.Context, rev gitsource.Revision, snap gitsource.Snapshot, want func(schema.ResourceKey) bool) (Preview, error) {
	repo := r.repository(rev.Repository)
	if repo == nil {
		return Preview{}, fmt.Errorf("repository %q: %w", rev.Repository, store.ErrNotFound)
	}
	c, err := r.Compare(ctx, repo.loader, rev, snap)
	if err != nil {
		return Preview{}, err
	}
	repo.view.Store(r.newView(rev, snap, c))
	p := Preview{Comparison: c, Jobs: map[schema.ResourceKey]stackjob.JobID{}, Deferred: map[schema.ResourceKey]schema.ResourceKey{}}
	e := store.Enqueue{Revision: store.RevisionRecord{Repository: rev.Repository, Commit: rev.Commit, TreeHash: c.Tree.TreeHash(),
		Changes: len(c.Result.Changes), ComparedAt: r.o.Now()}}
	for _, ch := range c.Result.Changes {
		if ch.Error != nil || isEngineMove(ch) || !want(ch.Key) {
			continue
		}
		if producer, ok := needsApplied(ch, c, p.Deferred); ok {
			p.Deferred[ch.Key] = producer
			continue
		}
		job := r.newJob(ch)
		job.Purpose, job.Hold = stackjob.PlanOnly, nil
		p.Jobs[ch.Key] = job.ID
		e.Jobs = append(e.Jobs, job)
	}
	if _, err = r.o.Records.Enqueue(ctx, e); err != nil {
		return p, err
	}
	in := diff.Input{Tree: c.Tree, Stacks: c.Stacks, DefaultProvisioner: r.Settings().DefaultProvisioner}
	p.Engines, err = r.lacking(ctx, diff.EngineUses(in, func(k schema.ResourceKey) bool {
		_, told := p.Jobs[k] // its own job tells
		return want(k) && !told
	}))
	return p, err
}

// isEngineMove tells that another engine would read the stack's state, or none, without
// leave: its plan would tell nothing true.
func isEngineMove(ch diff.Change) bool {
	return ch.Refused != nil && ch.Refused.Code == stackjob.ReasonEngineMove
}

// needsApplied finds a producer whose value a change reads and that has none yet.
func needsApplied(ch diff.Change, c Comparison, deferred map[schema.ResourceKey]schema.ResourceKey) (schema.ResourceKey, bool) {
	if ch.Action == stackjob.Destroy {
		return schema.ResourceKey{}, false
	}
	refs, err := schema.ReferencesIn(ch.Desired.Inputs)
	if err != nil {
		return schema.ResourceKey{}, false // the job will say so
	}
	for _, ref := range refs {
		ref.To.Org = ch.Key.Org
		if _, is := deferred[ref.To]; is {
			return ref.To, true
		}
		if _, missing := diff.ResolveValue(ref, c.Stacks[ref.To], c.Tree); missing != nil && c.Stacks[ref.To].Observed == nil {
			if _, inTree := c.Tree.Resource(ref.To); inTree {
				return ref.To, true
			}
		}
	}
	return schema.ResourceKey{}, false
}
