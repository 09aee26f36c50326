package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Approve records a person's yes to whatever the job waits for. For a plan it must
// name the plan's digest.
func (r *Reconciler) Approve(ctx context.Context, id stackjob.JobID, by stackjob.Actor, digest, comment string) (stackjob.Job, error) {
	return r.Accept(ctx, id, stackjob.Approval{Actor: by, PlanDigest: digest, Comment: comment})
}

// Accept records a yes with all that is known of it: whether who gave it had proposed the
// change, and whether it is to go past the approvals. Gate and time are filled in.
func (r *Reconciler) Accept(ctx context.Context, id stackjob.JobID, a stackjob.Approval) (stackjob.Job, error) {
	job, err := r.o.Records.Job(ctx, id)
	if err != nil {
		return job, err
	}
	a.Gate, a.At = stackjob.GateApply, r.o.Now()
	if job.State == stackjob.WaitingStart {
		a.Gate = stackjob.GateStart
	}
	job, err = r.answer(ctx, job, stackjob.Approve(a))
	if err != nil {
		return job, err
	}
	return r.judged(ctx, job)
}

// judged judges a job right after an approval, as the worker will: when the approval does
// not count, or is not the last one that is needed, whoever gave it should hear so now.
// When the job has moved on in the meantime, the worker has judged it.
func (r *Reconciler) judged(ctx context.Context, job stackjob.Job) (stackjob.Job, error) {
	view := r.View(job.Desired.Repository)
	if view == nil {
		return job, nil
	}
	var back stackjob.Move
	choice := flowcontrol.Choose(view.Tree.Policies(), job.Desired.Key)
	switch job.State {
	case stackjob.Queued:
		v := flowcontrol.AtStart(job, choice)
		if v.Decision != stackjob.Wait {
			return job, nil
		}
		back = stackjob.HoldStart(r.o.Now(), v).Judging(len(job.Approvals))
	case stackjob.Ready:
		if job.Plan == nil {
			return job, nil
		}
		full, err := r.held(ctx, job, *job.Plan)
		if err != nil {
			return job, err
		}
		v := flowcontrol.AtApply(full, *full.Plan, choice)
		if v.Decision != stackjob.Wait {
			return job, nil
		}
		back = stackjob.Regate(r.o.Now(), v).Judging(len(full.Approvals))
	default:
		return job, nil
	}
	after, err := r.move(ctx, job.ID, back)
	var moved *stackjob.IllegalMove
	if errors.As(err, &moved) {
		return r.o.Records.Job(ctx, job.ID)
	}
	if err != nil {
		return after, err
	}
	r.metrics.moved(after, back)
	r.o.Log.Info("job "+string(after.State), "job", job.ID, "resource", job.Desired.Key.String(), "reason", after.Reason.String())
	return after, nil
}

// Reject records a person's no and ends the job.
func (r *Reconciler) Reject(ctx context.Context, id stackjob.JobID, by stackjob.Actor, digest, comment string) (stackjob.Job, error) {
	job, err := r.o.Records.Job(ctx, id)
	if err != nil {
		return job, err
	}
	gate := stackjob.GateApply
	if job.State == stackjob.WaitingStart || job.State == stackjob.Queued {
		gate = stackjob.GateStart
	}
	return r.answer(ctx, job, stackjob.Reject(stackjob.Approval{Actor: by, Gate: gate, PlanDigest: digest, Comment: comment, At: r.o.Now()}))
}

func (r *Reconciler) answer(ctx context.Context, job stackjob.Job, m stackjob.Move) (stackjob.Job, error) {
	after, err := r.move(ctx, job.ID, m)
	if err != nil {
		return after, err
	}
	r.metrics.answered(job.WaitingSince, m.At())
	r.metrics.moved(after, m)
	r.o.Log.Info("job "+string(after.State), "job", job.ID, "resource", job.Desired.Key.String(), "by", m.Actor().Name, "via", m.Actor().Via)
	return after, r.o.Records.Wake(ctx, job.ID, time.Time{})
}

// Cancel stops a job: at once when no engine runs for it, else by interrupting the
// engine, which may take its grace time. The worker is told through interrupt.
func (r *Reconciler) Cancel(ctx context.Context, id stackjob.JobID, by stackjob.Actor, interrupt func(stackjob.JobID) error) (stackjob.Job, error) {
	for {
		job, err := r.o.Records.Job(ctx, id)
		if err != nil {
			return job, err
		}
		running := job.State.IsRunning()
		if !running {
			job, err = r.answer(ctx, job, stackjob.Cancel(r.o.Now(), nil, by))
		} else if job, err = r.move(ctx, id, stackjob.RequestCancel(r.o.Now(), by)); err == nil {
			return job, interrupt(id)
		}
		var illegal *stackjob.IllegalMove
		if !errors.As(err, &illegal) && !errors.Is(err, stackjob.ErrFenced) {
			return job, err
		}
		// A worker was quicker, and an engine runs for the job that did not, or none that did:
		// it is stopped in the other way. Whoever asked must not have to ask twice.
		now, failed := r.o.Records.Job(ctx, id)
		if failed != nil || now.State.IsFinal() || now.State.IsRunning() == running {
			return job, err
		}
	}
}

// Rerun makes a new job for the stack of an old one, from the newest desired
// state: the document as it is now, or a destroy when it is gone.
func (r *Reconciler) Rerun(ctx context.Context, id stackjob.JobID, by stackjob.Actor) (stackjob.Job, error) {
	old, err := r.o.Records.Job(ctx, id)
	if err != nil {
		return old, err
	}
	view := r.View(old.Desired.Repository)
	if view == nil {
		return old, fmt.Errorf("repository %s was not read yet", old.Desired.Repository)
	}
	change, err := r.changeFor(ctx, view, old.Desired.Key)
	if err != nil {
		return old, err
	}
	if change.Refused != nil {
		return old, fmt.Errorf("%s: %s", old.Desired.Key, change.Refused)
	}
	if change.Error != nil {
		return old, fmt.Errorf("%s: %s", old.Desired.Key, change.Error)
	}
	job := r.newJob(change)
	job.RerunOf, job.Actor = old.ID, by
	job.Because = append(slices.Clone(job.Because), stackjob.Because{Cause: stackjob.CauseRerun, Detail: "by " + by.Name})
	for _, k := range change.After {
		st, err := r.o.Records.Stack(ctx, k)
		if err != nil {
			return old, err
		}
		if st.Open != nil {
			job.WaitsFor = append(job.WaitsFor, st.Open.ID)
		} else if st.Last != nil {
			job.WaitsFor = append(job.WaitsFor, st.Last.ID)
		}
	}
	last, err := r.o.Records.LastRevision(ctx, old.Desired.Repository)
	if err != nil {
		return old, err
	}
	ids, err := r.o.Records.Enqueue(ctx, store.Enqueue{Revision: last, Jobs: []stackjob.Job{job}})
	if err != nil {
		return old, err
	}
	if len(ids) == 0 {
		st, err := r.o.Records.Stack(ctx, old.Desired.Key)
		if err != nil || st.Open == nil {
			return old, err
		}
		return *st.Open, nil
	}
	return r.o.Records.Job(ctx, ids[0])
}

// changeFor compares one repository anew and finds the change of one stack; a
// stack that is as desired is applied as it is.
func (r *Reconciler) changeFor(ctx context.Context, view *View, key schema.ResourceKey) (diff.Change, error) {
	repo := r.repository(view.Revision.Repository)
	if repo == nil {
		return diff.Change{}, fmt.Errorf("repository %q: %w", view.Revision.Repository, store.ErrNotFound)
	}
	c, err := r.Compare(ctx, repo.loader, view.Revision, view.Snapshot)
	if err != nil {
		return diff.Change{}, err
	}
	for _, ch := range c.Result.Changes {
		if ch.Key == key {
			return ch, nil
		}
	}
	if d, frozen := c.Tree.Frozen(key.Org, key.Env); frozen {
		return diff.Change{}, fmt.Errorf("%s: %s", key, stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: d.Pos.String()})
	}
	if st := c.Stacks[key]; st.Observed != nil {
		ch := diff.Change{Key: key, Action: stackjob.Apply, Desired: st.Observed.Desired}
		if r, there := c.Tree.Resource(key); there {
			// The constraint is no part of what was compared, and the document's counts.
			ch.Desired = diff.EngineOf(r, ch.Desired, st)
		}
		return ch, nil
	}
	return diff.Change{}, fmt.Errorf("%s: nothing to run, since its document is gone and nothing of it was applied: %w", key, store.ErrNotFound)
}
