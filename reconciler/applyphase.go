package reconciler

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// apply takes a ready job past the last gate: it asks once more whether the plan is wanted
// and allowed, and has it carried out.
func (w *Worker) apply(ctx context.Context, job stackjob.Job) (bool, error) {
	now := w.r.o.Now()
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		return false, nil
	}
	key := job.Desired.Key
	if d, frozen := view.Tree.Frozen(key.Org, key.Env); frozen && !insists(job) {
		_, err := w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: d.Pos.String()}))
		return true, err
	}
	newer, err := w.newerOpenJob(ctx, job)
	if err != nil {
		return false, err
	}
	if newer != nil {
		_, err := w.move(ctx, job.ID, stackjob.Supersede(now, nil, newer.ID))
		return false, err
	}
	if why := unwanted(view, job); !why.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.Unneeded(now, nil, why))
		return false, err
	}
	choice := flowcontrol.Choose(view.Tree.Policies(), key)
	if why, err := w.r.turnOver(ctx, job, choice); err != nil || !why.IsZero() {
		if err == nil {
			_, err = w.move(ctx, job.ID, stackjob.Unneeded(now, nil, why))
		}
		return false, err
	}
	if job, err = w.r.held(ctx, job, *job.Plan); err != nil {
		return false, err
	}
	// A no may have been said where this plan was shown, after the job counted what was
	// said of it.
	said, err := w.recorded(ctx, job, *job.Plan)
	if err != nil {
		return false, err
	}
	judged := job
	for _, a := range said {
		if a.Rejected {
			judged.Approvals = append(slices.Clone(judged.Approvals), a)
		}
	}
	if v := flowcontrol.AtApply(judged, *job.Plan, choice); v.Decision != stackjob.Proceed {
		_, err := w.move(ctx, job.ID, stackjob.Regate(now, v).Judging(len(job.Approvals)))
		return true, err
	}
	if restored, err := w.restoredProducer(ctx, job); err != nil || restored != "" {
		if err == nil {
			_, err = w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonWaitsForProducer, Detail: restored}))
		}
		return true, err
	}
	return w.carryOut(ctx, job, view)
}

// carryOut runs the plan of a job that may be applied. What was approved is what is applied:
// if a value that the plan was made of has moved since, or its engine, it is made again.
func (w *Worker) carryOut(ctx context.Context, job stackjob.Job, view *View) (bool, error) {
	now := w.r.o.Now()
	tree := w.r.treeOf(job, view)
	if tree == nil {
		return false, nil // woken when the pull request has been looked at again
	}
	vals, missing, err := w.values(ctx, job, tree)
	if err != nil {
		return false, err
	}
	if !missing.IsZero() || !sameReferences(vals.references, job.References) {
		_, err := w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: "a value that it reads moved"}))
		return true, err
	}
	program, err := w.o.Program(ctx, plannedWith(job))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || program.String() != job.Plan.Engine {
		_, err := w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: "the engine is no longer " + job.Plan.Engine}))
		return true, err
	}
	code, err := w.o.Modules.Checkout(ctx, job.Desired.Repository, job.Desired.Commit, job.Desired.Module, job.Desired.ModuleRevision)
	if err != nil {
		return false, err
	}
	t, err := w.task(job, engine.PhaseApply, program, vals)
	if err != nil {
		return false, err
	}
	t.ModuleRoot, t.ModulePath, t.ModuleRevision = code.Root, code.Path, job.Desired.ModuleRevision
	t.PlanDigest, t.PlanFileDigest, t.PlanStatePlace = job.Plan.Digest, job.Plan.FileDigest, job.Plan.StatePlace
	t.PlanFile = filepath.Join(w.o.Layout.Phase(job.ID, job.Attempt, engine.PhasePlan), engine.SealedPlan)
	t.Identity = w.o.Sealer.Identity()

	// The intent: from here on the plan is used up, whatever happens.
	job, err = w.move(ctx, job.ID, stackjob.StartApply(now, w.r.o.Owner, now.Add(lease), job.Plan.Digest))
	if errors.Is(err, store.ErrStackBusy) {
		return false, nil // woken when the other job ends
	}
	if err != nil {
		return false, err
	}
	run, err := w.o.Launcher.Start(ctx, w.o.Layout.Phase(job.ID, job.Attempt, engine.PhaseApply), t)
	if err != nil {
		return false, w.notStarted(ctx, job, err)
	}
	return w.supervise(ctx, job, run, engine.PhaseApply)
}

// applied records how an apply ended.
func (w *Worker) applied(ctx context.Context, job stackjob.Job, res engine.Result) error {
	now, l := w.r.o.Now(), leaseOf(job)
	job, err := w.r.o.Records.Job(ctx, job.ID)
	if err != nil {
		return err
	}
	st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
	if err != nil {
		return err
	}
	out := outcomeOf(job, res)
	if res.Outcome == nil || out.Reason.Code == stackjob.ReasonStalePlan {
		// The engine was not started, could not have the state's lock or refused the
		// plan at once: nothing was applied, and what is recorded of the stack is as
		// true as before.
		if res.Outcome == nil && job.CancelledBy == nil && isPassing(res.Failure) {
			return w.putOff(ctx, job, stackjob.PutBack(now, l, out.Reason))
		}
		if res.Outcome == nil && job.CancelledBy == nil {
			stale, err := w.staleLock(ctx, job, res.Failure)
			if err != nil {
				return err
			}
			if !stale.IsZero() {
				_, err := w.move(ctx, job.ID, stackjob.PutBack(now, l, stale))
				return err
			}
		}
		end := stackjob.Fail(now, &l, out.Reason)
		if out.Result == stackjob.ResultCancelled {
			end = stackjob.Applied(now, l, out, nil)
		}
		if _, err := w.move(ctx, job.ID, end); err != nil {
			return err
		}
		w.r.CompareAgain(job.Desired.Repository)
		return nil
	}
	var observed *stackjob.Observed
	switch {
	case out.Result == stackjob.ResultSucceeded && job.Action == stackjob.Destroy:
		// forgotten
	case out.Result == stackjob.ResultSucceeded:
		observed = &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, Complete: true, JobID: job.ID, Pull: job.Pull, References: job.References,
			Outputs: out.Outputs, Counts: out.Counts, Engine: job.Plan.Engine, AppliedAt: now}
	default:
		observed = unfinished(job, st, now)
		if out.Outputs != nil {
			observed.Outputs = out.Outputs
		}
	}
	if _, err := w.move(ctx, job.ID, stackjob.Applied(now, l, out, observed)); err != nil {
		return err
	}
	if err := w.wakeReaders(ctx, job.Desired.Key, st.Observed); err != nil {
		return err
	}
	if out.Result != stackjob.ResultSucceeded || job.Pull != "" { // from a pull request: it is as the branch wants it no longer
		w.r.CompareAgain(job.Desired.Repository)
		return nil
	}
	return w.afterSuccess(ctx, job, st.Observed)
}

// killedInApply is what a person must know of an apply that did not end when it was
// asked to.
const killedInApply = "the engine did not end in its grace time and was killed: what it was at must be looked at"

// outcomeOf is the phase's own outcome, or what its failure amounts to.
func outcomeOf(job stackjob.Job, res engine.Result) stackjob.Outcome {
	var out stackjob.Outcome
	switch {
	case res.Outcome != nil:
		out = *res.Outcome
	case res.Failure != nil && (res.Cancelled || job.CancelledBy != nil && isPassing(res.Failure)):
		out = stackjob.Outcome{Result: stackjob.ResultCancelled, Reason: res.Failure.Reason}
	case res.Failure != nil:
		out = stackjob.Outcome{Result: stackjob.ResultFailed, Reason: res.Failure.Reason}
	default:
		out = stackjob.Outcome{Result: stackjob.ResultFailed, Reason: stackjob.Reason{Code: stackjob.ReasonInternal, Detail: "the apply phase left no outcome"}}
	}
	if out.Result == stackjob.ResultCancelled || res.Cancelled && out.Result == stackjob.ResultInterrupted {
		// Only the record knows whether a person asked for it.
		out.Reason.Code = stackjob.ReasonStopping
		if job.CancelledBy != nil {
			out.Reason = stackjob.Reason{Code: stackjob.ReasonCancelled, Detail: "by " + job.CancelledBy.Name}
		}
		if out.Result == stackjob.ResultInterrupted {
			out.Reason.Detail = strings.TrimPrefix(out.Reason.Detail+"; "+killedInApply, "; ")
		}
	}
	return out
}

// unfinished is what is known of a stack after an apply that did not succeed: it
// may hold any part of what was wanted. st is the stack as it was before.
func unfinished(job stackjob.Job, st stackjob.Stack, at time.Time) *stackjob.Observed {
	o := &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, JobID: job.ID, Pull: job.Pull, References: job.References, AppliedAt: at}
	if job.Plan != nil {
		o.Engine = job.Plan.Engine
	}
	if st.Observed != nil {
		o.Outputs, o.Counts = st.Observed.Outputs, st.Observed.Counts
	}
	return o
}

// afterSuccess has consumers compared again when an output moved, or when a stack
// that had failed is well again.
func (w *Worker) afterSuccess(ctx context.Context, job stackjob.Job, before *stackjob.Observed) error {
	st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
	if err != nil {
		return err
	}
	// What a pull request had made and this took back kept others waiting (diff).
	if before == nil || st.Observed == nil || !before.Complete || before.Pull != "" || !sameOutputs(before.Outputs, st.Observed.Outputs) || isRerun(job) {
		w.r.CompareAgain(job.Desired.Repository)
	}
	return nil
}

func sameOutputs(a, b []stackjob.Output) bool {
	return slices.EqualFunc(a, b, func(x, y stackjob.Output) bool { return x.Name == y.Name && x.Hash == y.Hash })
}
