package reconciler

import (
	"context"
	"errors"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// plan claims a queued job and carries its plan phase through.
func (w *Worker) plan(ctx context.Context, job stackjob.Job, view *View, choice stackjob.PolicyChoice) (bool, error) {
	now := w.r.o.Now()
	tree := w.r.treeOf(job, view)
	if tree == nil {
		return false, nil // woken when the pull request has been looked at again
	}
	vals, missing, err := w.values(ctx, job, tree)
	if err != nil {
		return false, err
	}
	if !missing.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, missing))
		return false, err
	}
	program, err := w.o.Program(ctx, engine.Wanted{Provisioner: job.Desired.Provisioner, Version: job.Desired.EngineVersion})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		why := stackjob.Reason{Code: stackjob.ReasonEngineMissing, Detail: err.Error()}
		if errors.Is(err, engine.ErrVersion) {
			why.Code = stackjob.ReasonEngineVersion
		}
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, why))
		return false, err
	}
	d := job.Desired
	code, err := w.o.Modules.Checkout(ctx, d.Repository, d.Commit, d.Module, d.ModuleRevision)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil && w.r.View(d.Repository) == nil {
		return false, nil // the repository was left meanwhile; woken when it is followed again
	}
	if err != nil {
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, stackjob.Reason{Code: stackjob.ReasonModule, Detail: err.Error()}))
		return false, err
	}
	st, err := w.r.o.Records.Stack(ctx, d.Key)
	if err != nil {
		return false, err
	}
	release := lockToRelease(job)
	job, err = w.move(ctx, job.ID, stackjob.StartPlan(now, w.r.o.Owner, now.Add(lease), choice).Reading(vals.references))
	if errors.Is(err, store.ErrStackBusy) {
		return false, w.postpone(ctx, job, stackjob.Reason{Code: stackjob.ReasonStackBusy})
	}
	if err != nil {
		return false, err
	}
	t, err := w.task(job, engine.PhasePlan, program, vals)
	if err != nil {
		return false, w.notStarted(ctx, job, err)
	}
	t.ModuleRoot, t.ModulePath, t.ModuleRevision = code.Root, code.Path, d.ModuleRevision
	t.SkipRefresh = choice.Controls.SkipRefresh
	if st.Observed == nil || !st.Observed.Complete {
		t.Outputs = engine.OutputsMissing
	}
	t.ReleaseLock = release
	run, err := w.o.Launcher.Start(ctx, w.o.Layout.Phase(job.ID, job.Attempt, engine.PhasePlan), t)
	if err != nil {
		return false, w.notStarted(ctx, job, err)
	}
	return w.supervise(ctx, job, run, engine.PhasePlan)
}

// planned judges a finished plan phase.
func (w *Worker) planned(ctx context.Context, job stackjob.Job, res engine.Result) (bool, error) {
	now, l := w.r.o.Now(), leaseOf(job)
	job, err := w.r.o.Records.Job(ctx, job.ID)
	if err != nil {
		return false, err
	}
	if res.Plan == nil {
		return w.planFailed(ctx, job, res)
	}
	if job.CancelledBy != nil {
		_, err := w.move(ctx, job.ID, stackjob.Cancel(now, &l, *job.CancelledBy))
		return false, err
	}
	plan := *res.Plan
	plan.Drifted, plan.OutputsChanged = len(plan.Drift), len(plan.Outputs)
	st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
	if err != nil {
		return false, err
	}
	if warning := olderEngine(st.Observed, plan.Engine); warning != "" {
		plan.Warnings = append(slices.Clone(plan.Warnings), warning)
	}
	if job.Purpose == stackjob.PlanOnly {
		_, err := w.move(ctx, job.ID, stackjob.PlannedOnly(now, l, plan))
		return false, err
	}
	newer, err := w.newerOpenJob(ctx, job)
	if err != nil {
		return false, err
	}
	if newer != nil {
		_, err := w.move(ctx, job.ID, stackjob.Supersede(now, &l, newer.ID))
		return false, err
	}
	if !plan.HasChanges && job.Action == stackjob.Apply {
		if _, err := w.move(ctx, job.ID, stackjob.PlannedNothing(now, l, plan, w.converged(job, res, st))); err != nil {
			return false, err
		}
		if err := w.wakeReaders(ctx, job.Desired.Key, st.Observed); err != nil {
			return false, err
		}
		return false, w.afterSuccess(ctx, job, st.Observed)
	}
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		// The repository was left meanwhile: nobody can judge the plan. It is made
		// again when the repository is followed again.
		_, err := w.move(ctx, job.ID, stackjob.ReplanLost(now, l, stackjob.Reason{Code: stackjob.ReasonRepositoryLeft, Detail: job.Desired.Repository}))
		return false, err
	}
	if why := unwanted(view, job); !why.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.Unneeded(now, &l, why))
		return false, err
	}
	choice := flowcontrol.Choose(view.Tree.Policies(), job.Desired.Key)
	if why, err := w.r.turnOver(ctx, job, choice); err != nil || !why.IsZero() {
		if err == nil {
			_, err = w.move(ctx, job.ID, stackjob.Unneeded(now, &l, why))
		}
		return false, err
	}
	if job, err = w.r.held(ctx, job, plan); err != nil {
		return false, err
	}
	recorded, err := w.recorded(ctx, job, plan)
	if err != nil {
		return false, err
	}
	job.Approvals = append(slices.Clone(job.Approvals), recorded...)
	_, err = w.move(ctx, job.ID, stackjob.Planned(now, l, plan, flowcontrol.AtApply(job, plan, choice)).Counting(recorded))
	return true, err
}

// recorded is what people said of this very plan before this job made it: in a pull
// request that proposed it.
func (w *Worker) recorded(ctx context.Context, job stackjob.Job, plan stackjob.Plan) ([]stackjob.Approval, error) {
	said, err := w.r.o.Records.Approvals(ctx, job.Desired.Key, plan.Digest)
	if err != nil {
		return nil, err
	}
	var out []stackjob.Approval
	expiry := w.r.Settings().ApprovalExpiry
	for _, a := range said {
		if expiry > 0 && w.r.o.Now().Sub(a.At) > expiry {
			continue
		}
		out = append(out, a.Approval)
	}
	return out, nil
}

func (w *Worker) planFailed(ctx context.Context, job stackjob.Job, res engine.Result) (bool, error) {
	now, l := w.r.o.Now(), leaseOf(job)
	if job.CancelledBy != nil && (res.Cancelled || isPassing(res.Failure)) {
		_, err := w.move(ctx, job.ID, stackjob.Cancel(now, &l, *job.CancelledBy))
		return false, err
	}
	if res.Cancelled {
		// Stopped from outside: the machine shuts down, or somebody signalled
		// the runner. Nothing was applied, so the plan can be made again.
		_, err := w.move(ctx, job.ID, stackjob.ReplanLost(now, l, stackjob.Reason{Code: stackjob.ReasonStopping}))
		return true, err
	}
	why := stackjob.Reason{Code: stackjob.ReasonInternal, Detail: "the plan phase left neither plan nor failure"}
	if res.Failure != nil {
		why = res.Failure.Reason
	}
	stale, err := w.staleLock(ctx, job, res.Failure)
	if err != nil {
		return false, err
	}
	if !stale.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.ReplanLost(now, l, stale))
		return true, err
	}
	if isPassing(res.Failure) {
		return false, w.putOff(ctx, job, stackjob.ReplanLost(now, l, why))
	}
	_, err = w.move(ctx, job.ID, stackjob.Fail(now, &l, why))
	return false, err
}

// converged is what a stack is after a plan that changes nothing: as desired.
func (w *Worker) converged(job stackjob.Job, res engine.Result, st stackjob.Stack) *stackjob.Observed {
	o := &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, Complete: true, JobID: job.ID, Pull: job.Pull, References: job.References,
		Outputs: res.Outputs, Counts: res.Plan.Counts, Engine: res.Plan.Engine, Drifted: len(res.Plan.Drift), AppliedAt: w.r.o.Now()}
	if o.Outputs == nil && st.Observed != nil {
		o.Outputs = st.Observed.Outputs
	}
	return o
}
