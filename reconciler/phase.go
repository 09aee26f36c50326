package reconciler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// plan claims a queued job and carries its plan phase through.
func (w *Worker) plan(ctx context.Context, job stackjob.Job, view *View, choice stackjob.PolicyChoice) (bool, error) {
	now := w.r.o.Now()
	vals, missing, err := w.values(ctx, job, view.Tree)
	if err != nil {
		return false, err
	}
	if !missing.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, missing))
		return false, err
	}
	program, err := w.o.Program(ctx, job.Desired.Provisioner)
	if err != nil {
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, stackjob.Reason{Code: stackjob.ReasonEngineMissing, Detail: err.Error()}))
		return false, err
	}
	d := job.Desired
	code, err := w.o.Modules.Checkout(ctx, d.Repository, d.Commit, d.Module, d.ModuleRevision)
	if ctx.Err() != nil {
		return false, ctx.Err()
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
	t := w.task(job, engine.PhasePlan, program)
	t.ModuleRoot, t.ModulePath, t.ModuleRevision = code.Root, code.Path, d.ModuleRevision
	t.Inputs, t.VarFiles = vals.inputs, d.VarFiles
	t.Secrets = slices.Concat(t.Secrets, vals.secrets)
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

// task is what both phases of a job have in common.
func (w *Worker) task(job stackjob.Job, phase engine.Phase, program engine.Program) engine.Task {
	s := w.r.Settings()
	k := job.Desired.Key
	t := engine.Task{
		Job: job.ID, Attempt: job.Attempt, Phase: phase, Action: job.Action, Key: k, Program: program,
		Workspace: w.o.Layout.Workspace(k), Backend: job.Desired.Backend,
		Env: s.Environ, ProviderCache: s.ProviderCache, Timeouts: s.Timeouts, Grace: s.Grace,
		Recipient: w.o.Sealer.Recipient(), HashKey: w.o.Sealer.HashKey(), Limits: s.Limits, Secrets: s.Secrets,
	}
	if b := job.Desired.Backend.Type; b == "" || b == "local" {
		t.StateFile, t.StateBackups = w.o.Layout.State(k), w.o.Layout.StateBackups(k)
	}
	return t
}

// notStarted ends a phase whose runner could not be started: nothing ran.
func (w *Worker) notStarted(ctx context.Context, job stackjob.Job, cause error) error {
	l := leaseOf(job)
	why := stackjob.Reason{Code: stackjob.ReasonRunnerNotStarted, Detail: cause.Error()}
	if errors.Is(cause, store.ErrFull) || errors.Is(cause, syscall.ENOSPC) {
		why.Code = stackjob.ReasonDiskFull
	}
	if job.State == stackjob.Applying {
		_, err := w.move(ctx, job.ID, stackjob.Applied(w.r.o.Now(), l, stackjob.Outcome{Result: stackjob.ResultFailed, Reason: why}, w.unfinished(ctx, job)))
		return err
	}
	_, err := w.move(ctx, job.ID, stackjob.Fail(w.r.o.Now(), &l, why))
	return err
}

func leaseOf(j stackjob.Job) stackjob.Lease { return stackjob.Lease{Owner: j.Owner, Fence: j.Fence} }

// attach takes over a phase that was running when an earlier daemon died, or that
// this one lost sight of.
func (w *Worker) attach(ctx context.Context, job stackjob.Job, phase engine.Phase) (bool, error) {
	w.mu.Lock()
	_, watched := w.running[job.ID]
	w.mu.Unlock()
	if watched {
		return false, nil
	}
	now := w.r.o.Now()
	job, err := w.move(ctx, job.ID, stackjob.TakeOver(now, w.r.o.Owner, now.Add(lease)))
	if errors.Is(err, stackjob.ErrFenced) {
		return false, w.r.o.Records.Wake(ctx, job.ID, job.LeaseUntil.Add(time.Second))
	}
	if err != nil {
		return false, err
	}
	run, err := w.o.Launcher.Attach(ctx, w.o.Layout.Phase(job.ID, job.Attempt, phase))
	if errors.Is(err, engine.ErrLost) || errors.Is(err, engine.ErrNotStarted) {
		return w.lost(ctx, job, phase, err)
	}
	if err != nil {
		return false, err
	}
	w.log.Info("attached to a runner", "job", job.ID, "resource", job.Desired.Key.String(), "phase", phase)
	return w.supervise(ctx, job, run, phase)
}

// lost ends a phase whose runner was killed. A plan is made again; an apply is
// interrupted: nobody knows how far it came.
func (w *Worker) lost(ctx context.Context, job stackjob.Job, phase engine.Phase, cause error) (bool, error) {
	now, l := w.r.o.Now(), leaseOf(job)
	why := stackjob.Reason{Code: stackjob.ReasonRunnerLost}
	if errors.Is(cause, engine.ErrNotStarted) {
		why.Code = stackjob.ReasonRunnerNotStarted
	}
	if err := w.endOpenOperations(ctx, job, why); err != nil {
		return false, err
	}
	if phase == engine.PhasePlan {
		if job.CancelledBy != nil {
			_, err := w.move(ctx, job.ID, stackjob.Cancel(now, &l, *job.CancelledBy))
			return false, err
		}
		_, err := w.move(ctx, job.ID, stackjob.ReplanLost(now, l, why))
		return true, err
	}
	why.Detail = "what it did before must be looked at; a fresh plan waits for a person"
	if why.Code == stackjob.ReasonRunnerNotStarted {
		why.Detail = "the engine was never started; a fresh plan waits for a person"
	}
	_, err := w.move(ctx, job.ID, stackjob.Applied(now, l, stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: why}, w.unfinished(ctx, job)))
	if err == nil {
		w.r.CompareAgain(job.Desired.Repository)
	}
	return false, err
}

// endOpenOperations writes down that operations which had begun were interrupted.
func (w *Worker) endOpenOperations(ctx context.Context, job stackjob.Job, why stackjob.Reason) error {
	for _, op := range job.Operations {
		if op.Attempt != job.Attempt || op.Result != stackjob.ResultNone {
			continue
		}
		op.Result, op.Reason, op.EndedAt = stackjob.ResultInterrupted, why, w.r.o.Now()
		if _, err := w.r.move(ctx, job.ID, stackjob.Record(w.r.o.Now(), leaseOf(job), op)); err != nil {
			return err
		}
	}
	return nil
}

// supervise watches a phase to its end and records the outcome.
func (w *Worker) supervise(ctx context.Context, job stackjob.Job, run engine.Run, phase engine.Phase) (bool, error) {
	w.mu.Lock()
	w.running[job.ID] = run
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.running, job.ID)
		w.mu.Unlock()
	}()
	// A cancel that came between the claim and the line above finds no run.
	if fresh, err := w.r.o.Records.Job(ctx, job.ID); err == nil && fresh.CancelledBy != nil {
		_ = run.Interrupt() // the runner may have ended by itself
	}
	renewCtx, stopRenewing := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() { defer close(renewed); w.renew(renewCtx, job) }()
	recorder := &operationRecorder{w: w, job: job}
	result, err := run.Wait(ctx, func(e engine.Event) { recorder.observe(ctx, e) })
	stopRenewing()
	<-renewed
	switch {
	case ctx.Err() != nil:
		return false, nil // the daemon stops; the runner goes on
	case errors.Is(err, engine.ErrLost):
		return w.lost(ctx, recorder.job, phase, err)
	case err != nil:
		return false, err
	case recorder.err != nil:
		return false, recorder.err
	}
	if phase == engine.PhasePlan {
		return w.planned(ctx, job, result)
	}
	return true, w.applied(ctx, job, result) // an ended job is cleaned up
}

// renew keeps the lease while the phase is watched.
func (w *Worker) renew(ctx context.Context, job stackjob.Job) {
	t := time.NewTicker(lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			now := w.r.o.Now()
			if _, err := w.r.move(ctx, job.ID, stackjob.Renew(now, leaseOf(job), now.Add(lease))); err != nil && ctx.Err() == nil {
				w.log.Warn("renewing a lease failed", "job", job.ID, "error", err)
			}
		}
	}
}

// operationRecorder turns the journal's events into the job's operation records.
type operationRecorder struct {
	w   *Worker
	job stackjob.Job
	err error
}

func (o *operationRecorder) observe(ctx context.Context, e engine.Event) {
	var op stackjob.Operation
	switch {
	case e.Type == engine.OperationStarted:
		op = stackjob.Operation{Kind: e.Operation, Attempt: o.job.Attempt, StartedAt: e.At}
	case e.Type == engine.OperationEnded && e.Ended != nil:
		op = *e.Ended
		op.Attempt = o.job.Attempt
	default:
		return
	}
	known := slices.ContainsFunc(o.job.Operations, func(k stackjob.Operation) bool {
		return k.Kind == op.Kind && k.Attempt == op.Attempt && (k.Result == op.Result || op.Result == stackjob.ResultNone)
	})
	if known || o.err != nil {
		return // a daemon that died had recorded it
	}
	job, err := o.w.move(ctx, o.job.ID, stackjob.Record(o.w.r.o.Now(), leaseOf(o.job), op))
	if err != nil {
		o.err = fmt.Errorf("record %s: %w", op.Kind, err)
		return
	}
	o.job = job
	o.w.r.metrics.operationEnded(op)
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
	plan.Drifted = len(plan.Drift)
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
		st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
		if err != nil {
			return false, err
		}
		if _, err := w.move(ctx, job.ID, stackjob.PlannedNothing(now, l, plan, w.converged(job, res, st))); err != nil {
			return false, err
		}
		return false, w.afterSuccess(ctx, job, st.Observed)
	}
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		return false, fmt.Errorf("repository %q is not loaded", job.Desired.Repository)
	}
	choice := flowcontrol.Choose(view.Tree.Policies(), job.Desired.Key)
	if job, err = w.r.held(ctx, job); err != nil {
		return false, err
	}
	_, err = w.move(ctx, job.ID, stackjob.Planned(now, l, plan, flowcontrol.AtApply(job, plan, choice)))
	return true, err
}

func (w *Worker) planFailed(ctx context.Context, job stackjob.Job, res engine.Result) (bool, error) {
	now, l := w.r.o.Now(), leaseOf(job)
	if res.Cancelled && job.CancelledBy != nil {
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
		ours, err := w.isOurStaleLock(ctx, job, res.Failure)
		if err != nil {
			return false, err
		}
		if ours {
			_, err := w.move(ctx, job.ID, stackjob.ReplanLost(now, l, stackjob.Reason{Code: stackjob.ReasonStaleLock, Detail: res.Failure.Lock.ID}))
			return true, err
		}
	}
	_, err := w.move(ctx, job.ID, stackjob.Fail(now, &l, why))
	return false, err
}

// apply takes a ready job past the last gate and carries its plan out.
func (w *Worker) apply(ctx context.Context, job stackjob.Job) (bool, error) {
	now := w.r.o.Now()
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		return false, nil
	}
	key := job.Desired.Key
	if d, frozen := view.Tree.Frozen(key.Org, key.Env); frozen && !isRerun(job) {
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
	choice := flowcontrol.Choose(view.Tree.Policies(), key)
	if job, err = w.r.held(ctx, job); err != nil {
		return false, err
	}
	if v := flowcontrol.AtApply(job, *job.Plan, choice); v.Decision != stackjob.Proceed {
		_, err := w.move(ctx, job.ID, stackjob.Regate(now, v))
		return true, err
	}
	// What was approved is what is applied: if a value that the plan was made of
	// has moved since, the plan is no longer the one to apply.
	vals, missing, err := w.values(ctx, job, view.Tree)
	if err != nil {
		return false, err
	}
	if !missing.IsZero() || !sameReferences(vals.references, job.References) {
		_, err := w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: "a value that it reads moved"}))
		return true, err
	}
	program, err := w.o.Program(ctx, job.Desired.Provisioner)
	if err != nil || program.String() != job.Plan.Engine {
		_, err := w.move(ctx, job.ID, stackjob.Replan(now, stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: "the engine is no longer " + job.Plan.Engine}))
		return true, err
	}
	code, err := w.o.Modules.Checkout(ctx, job.Desired.Repository, job.Desired.Commit, job.Desired.Module, job.Desired.ModuleRevision)
	if err != nil {
		return false, err
	}
	t := w.task(job, engine.PhaseApply, program)
	t.ModuleRoot, t.ModulePath, t.ModuleRevision = code.Root, code.Path, job.Desired.ModuleRevision
	t.Inputs, t.VarFiles = vals.inputs, job.Desired.VarFiles
	t.Secrets = slices.Concat(t.Secrets, vals.secrets)
	t.PlanDigest, t.PlanFileDigest = job.Plan.Digest, job.Plan.FileDigest
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
	if out.Result == stackjob.ResultFailed && out.Reason.Code == stackjob.ReasonStalePlan && st.Observed == nil {
		// Nothing was applied by this plan, and nothing ever: no record to keep.
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, &l, out.Reason))
		return err
	}
	var observed *stackjob.Observed
	switch {
	case out.Result == stackjob.ResultSucceeded && job.Action == stackjob.Destroy:
		// forgotten
	case out.Result == stackjob.ResultSucceeded:
		observed = &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, Complete: true, JobID: job.ID, References: job.References,
			Outputs: out.Outputs, Counts: out.Counts, Engine: job.Plan.Engine, AppliedAt: now}
	default:
		observed = w.unfinished(ctx, job)
		if out.Outputs != nil && observed != nil {
			observed.Outputs = out.Outputs
		}
	}
	if _, err := w.move(ctx, job.ID, stackjob.Applied(now, l, out, observed)); err != nil {
		return err
	}
	if out.Result != stackjob.ResultSucceeded {
		w.r.CompareAgain(job.Desired.Repository)
		return nil
	}
	return w.afterSuccess(ctx, job, st.Observed)
}

// outcomeOf is the phase's own outcome, or what its failure amounts to.
func outcomeOf(job stackjob.Job, res engine.Result) stackjob.Outcome {
	var out stackjob.Outcome
	switch {
	case res.Outcome != nil:
		out = *res.Outcome
	case res.Failure != nil:
		out = stackjob.Outcome{Result: stackjob.ResultFailed, Reason: res.Failure.Reason}
	default:
		out = stackjob.Outcome{Result: stackjob.ResultFailed, Reason: stackjob.Reason{Code: stackjob.ReasonInternal, Detail: "the apply phase left no outcome"}}
	}
	if out.Result == stackjob.ResultCancelled {
		// Only the record knows whether a person asked for it.
		out.Reason.Code = stackjob.ReasonStopping
		if job.CancelledBy != nil {
			out.Reason = stackjob.Reason{Code: stackjob.ReasonCancelled, Detail: "by " + job.CancelledBy.Name}
		}
	}
	return out
}

// unfinished is what is known of a stack after an apply that did not succeed: it
// may hold any part of what was wanted.
func (w *Worker) unfinished(ctx context.Context, job stackjob.Job) *stackjob.Observed {
	o := &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, JobID: job.ID, References: job.References, AppliedAt: w.r.o.Now()}
	if job.Plan != nil {
		o.Engine = job.Plan.Engine
	}
	if st, err := w.r.o.Records.Stack(ctx, job.Desired.Key); err == nil && st.Observed != nil {
		o.Outputs, o.Counts = st.Observed.Outputs, st.Observed.Counts
	}
	return o
}

// converged is what a stack is after a plan that changes nothing: as desired.
func (w *Worker) converged(job stackjob.Job, res engine.Result, st stackjob.Stack) *stackjob.Observed {
	o := &stackjob.Observed{Key: job.Desired.Key, Desired: job.Desired, Complete: true, JobID: job.ID, References: job.References,
		Outputs: res.Outputs, Counts: res.Plan.Counts, Engine: res.Plan.Engine, Drifted: len(res.Plan.Drift), AppliedAt: w.r.o.Now()}
	if o.Outputs == nil && st.Observed != nil {
		o.Outputs = st.Observed.Outputs
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
	if before == nil || st.Observed == nil || !before.Complete || !sameOutputs(before.Outputs, st.Observed.Outputs) || isRerun(job) {
		w.r.CompareAgain(job.Desired.Repository)
	}
	return nil
}

func sameOutputs(a, b []stackjob.Output) bool {
	return slices.EqualFunc(a, b, func(x, y stackjob.Output) bool { return x.Name == y.Name && x.Hash == y.Hash })
}
