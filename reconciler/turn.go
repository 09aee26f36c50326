package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// heldByPulls are the stacks that pull requests apply before they are merged, with the
// name of the one whose turn it is.
func (r *Reconciler) heldByPulls(ctx context.Context) (map[schema.ResourceKey]string, error) {
	turns, err := r.o.Records.Turns(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[schema.ResourceKey]string, len(turns))
	for _, t := range turns {
		if _, is := out[t.Stack]; !is {
			out[t.Stack] = t.Pull.String()
		}
	}
	return out, nil
}

// turnOver says why a job must not touch its stack: a pull request holds it, or the one
// that it is for does not, or may not, any more. It asks the records, which are newer
// than any view.
func (r *Reconciler) turnOver(ctx context.Context, j stackjob.Job, choice stackjob.PolicyChoice) (stackjob.Reason, error) {
	if j.Purpose != stackjob.Reconcile {
		return stackjob.Reason{}, nil
	}
	turns, err := r.o.Records.Turns(ctx)
	if err != nil {
		return stackjob.Reason{}, err
	}
	holder, held := turns.Holder(j.Desired.Key)
	switch {
	case j.Pull == "" && held:
		return stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: holder.String()}, nil
	case j.Pull == "":
		return stackjob.Reason{}, nil
	case !held || holder.String() != j.Pull:
		return stackjob.Reason{Code: stackjob.ReasonTurnEnded, Detail: j.Pull}, nil
	case !choice.ApplyBeforeMerge:
		return stackjob.Reason{Code: stackjob.ReasonPolicyChanged, Detail: choice.Name + " applies after the merge"}, nil
	}
	return stackjob.Reason{}, nil
}

// takesBack names the pull request that made a stack what it is, or destroyed it, and
// was not merged: whatever the branch does to it takes that back. "" when it was the
// branch, or one that was merged.
func (r *Reconciler) takesBack(ctx context.Context, key schema.ResourceKey, is *stackjob.Observed) (string, error) {
	from, at := "", time.Time{}
	if is != nil {
		from, at = is.Pull, is.AppliedAt
	} else {
		jobs, err := r.o.Records.List(ctx, store.JobQuery{Org: key.Org, Env: key.Env, Kind: key.Kind, Name: key.Name, Limit: recent})
		if err != nil {
			return "", err
		}
		for _, j := range jobs {
			if j.Purpose == stackjob.Reconcile && j.Action == stackjob.Destroy && j.State == stackjob.Succeeded {
				from, at = j.Pull, j.EndedAt
				break
			}
		}
	}
	k, ok := pull.ParseKey(from)
	if !ok {
		return "", nil
	}
	p, _, err := r.o.Records.Pull(ctx, k)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	// One that was recorded after that is another repository's, of the same number.
	if err != nil || p.Proposal.Merged && !at.Before(p.CreatedAt) {
		return "", nil // or long over
	}
	return from, nil
}

// recent is how many jobs of a stack that is gone are searched for the one that destroyed
// it.
const recent = 100

// yield ends the branch's own jobs of stacks that pull requests hold, as far as no engine
// runs for them: they are made anew when the stack is given back.
func (r *Reconciler) yield(ctx context.Context) error {
	held, err := r.heldByPulls(ctx)
	if err != nil {
		return err
	}
	for k, holder := range held {
		open, err := r.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Open: true})
		if err != nil {
			return err
		}
		for _, j := range open {
			if j.Purpose != stackjob.Reconcile || j.Pull != "" || j.State.IsRunning() {
				continue
			}
			_, err := r.move(ctx, j.ID, stackjob.Unneeded(r.o.Now(), nil, stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: holder}))
			if err != nil && !isRaced(err) {
				return err
			}
		}
	}
	return nil
}

// ApplyProposed enqueues the job that applies what a pull request has planned. It is the
// same job when it is called again with one id, which is chosen by the caller (NewJobID)
// and written down before.
func (r *Reconciler) ApplyProposed(ctx context.Context, key pull.Key, a pull.Apply, planned stackjob.JobID, after []stackjob.JobID) error {
	// It may be there and may even have ended, when a daemon was killed before it could
	// note that it is.
	if _, err := r.o.Records.Job(ctx, a.Job); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	plan, err := r.o.Records.Job(ctx, planned)
	if err != nil {
		return err
	}
	job := stackjob.Job{
		ID: a.Job, Purpose: stackjob.Reconcile, Action: plan.Action, Desired: plan.Desired, DesiredDigest: plan.DesiredDigest, Because: plan.Because,
		Pull: key.String(), Shown: a.Digest, WaitsFor: after, State: stackjob.Queued, Actor: a.By, CreatedAt: r.o.Now(),
	}
	if _, err := r.o.Records.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{job}}); err != nil {
		return fmt.Errorf("enqueue the apply of %s: %w", a.Stack, err)
	}
	return nil
}

// NewJobID makes an id.
func (r *Reconciler) NewJobID() stackjob.JobID { return r.o.NewID() }

// WakeAll has jobs looked at now.
func (r *Reconciler) WakeAll(ctx context.Context, ids []stackjob.JobID) error {
	return r.o.Records.WakeAll(ctx, ids)
}

// CompareNow compares a repository's newest tree again and returns when its jobs are
// written.
func (r *Reconciler) CompareNow(ctx context.Context, name string) error {
	repo := r.repository(name)
	if repo == nil {
		return fmt.Errorf("repository %q: %w", name, store.ErrNotFound)
	}
	repo.comparing.Lock()
	defer repo.comparing.Unlock()
	view := repo.view.Load()
	if view == nil {
		return nil // the first comparison will be of the newest records
	}
	return r.compareLocked(ctx, repo, view.Revision, view.Snapshot)
}
