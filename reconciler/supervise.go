package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// task is what both phases of a job have in common.
func (w *Worker) task(job stackjob.Job, phase engine.Phase, program engine.Program, vals resolved) (engine.Task, error) {
	s := w.r.Settings()
	k := job.Desired.Key
	t := engine.Task{
		Job: job.ID, Attempt: job.Attempt, Phase: phase, Action: job.Action, Key: k, Program: program,
		Workspace: w.o.Layout.Workspace(k), Backend: job.Desired.Backend,
		Env: s.Environ, ProviderCache: s.ProviderCache, Timeouts: s.Timeouts, Grace: s.Grace,
		Recipient: w.o.Sealer.Recipient(), HashKey: w.o.Sealer.HashKey(), Limits: s.Limits, Secrets: slices.Concat(s.Secrets, vals.secrets),
		Inputs: vals.inputs, VarFiles: job.Desired.VarFiles,
	}
	if p := job.Desired.Pulumi; p != nil {
		t.StateBackups = w.o.Layout.StateBackups(k)
		t.Pulumi = &engine.PulumiStack{Organization: p.Organization, Project: p.Project, Stack: p.Stack, BackendURL: p.BackendURL,
			SecretsProvider: p.SecretsProvider, SecretConfig: vals.secretKeys, StackInput: p.StackInput, SecretInput: vals.secretParts, Home: w.o.Layout.PulumiHome()}
		if p.BackendURL == "" {
			t.Pulumi.BackendURL, t.StateFile = "file://"+w.o.Layout.PulumiState(k), w.o.Layout.PulumiCheckpoint(k, *p)
		}
		if p.SecretsProvider != schema.PassphraseProvider {
			return t, nil
		}
		var err error
		if t.Pulumi.Passphrase, err = StackPassphrase(w.o.Sealer, k); err != nil {
			return t, err
		}
		t.Secrets = append(t.Secrets, t.Pulumi.Passphrase)
		return t, nil
	}
	if b := job.Desired.Backend.Type; b == "" || b == "local" {
		t.StateFile, t.StateBackups = w.o.Layout.State(k), w.o.Layout.StateBackups(k)
	}
	return t, nil
}

// StackPassphrase is the passphrase with which Pulumi encrypts the secrets of a stack whose
// provider is [schema.PassphraseProvider]. Every stack has its own, and it changes with the
// stack's name.
func StackPassphrase(from interface {
	Passphrase(use string) (string, error)
}, k schema.ResourceKey) (string, error) {
	return from.Passphrase("the Pulumi stack " + k.String())
}

// notStarted ends a phase whose runner could not be started: nothing ran, and what is
// recorded of the stack is as true as before.
func (w *Worker) notStarted(ctx context.Context, job stackjob.Job, cause error) error {
	l := leaseOf(job)
	why := stackjob.Reason{Code: stackjob.ReasonRunnerNotStarted, Detail: cause.Error()}
	if errors.Is(cause, store.ErrFull) || errors.Is(cause, syscall.ENOSPC) {
		why.Code = stackjob.ReasonDiskFull
	}
	_, err := w.move(ctx, job.ID, stackjob.Fail(w.r.o.Now(), &l, why))
	return err
}

// isPassing tells whether a phase could not begin because of something that passes by
// itself, so that the job is put off and nothing of it has failed.
func isPassing(f *engine.Failure) bool {
	return f != nil && f.Reason.Code == stackjob.ReasonDatabaseLocked
}

// The first and the longest wait of a job that was put off; each is twice as long as the
// one before.
const (
	firstPutOff   = 5 * time.Second
	longestPutOff = 5 * time.Minute
)

// putOff puts a running job back into the queue and has it looked at again in a while.
func (w *Worker) putOff(ctx context.Context, job stackjob.Job, back stackjob.Move) error {
	if _, err := w.move(ctx, job.ID, back); err != nil {
		return err
	}
	return w.r.o.Records.Wake(ctx, job.ID, back.At().Add(putOffFor(job.Attempt)))
}

// putOffFor is how long a job waits after an attempt.
func putOffFor(attempt int) time.Duration {
	return min(firstPutOff<<min(max(attempt, 1)-1, 10), longestPutOff)
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
	if errors.Is(err, engine.ErrLost) && run != nil {
		// What its runner had begun is in its journal, though the daemon that
		// should have recorded it died with it.
		return w.supervise(ctx, job, run, phase)
	}
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
	st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
	if err != nil {
		return false, err
	}
	observed := unfinished(job, st, now)
	if why.Code == stackjob.ReasonRunnerNotStarted {
		why.Detail = "the engine was never started; a fresh plan waits for a person"
		observed = nil // what is recorded of the stack is as true as before
	}
	_, err = w.move(ctx, job.ID, stackjob.Applied(now, l, stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: why}, observed))
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
	result, recorder, err := w.watch(ctx, job, run)
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

// watch waits for a phase to end, renews the job's lease meanwhile, and records its
// operations.
func (w *Worker) watch(ctx context.Context, job stackjob.Job, run engine.Run) (engine.Result, *operationRecorder, error) {
	renewCtx, stopRenewing := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() { defer close(renewed); w.renew(renewCtx, job) }()
	recorder := &operationRecorder{w: w, job: job}
	result, err := run.Wait(ctx, func(e engine.Event) { recorder.observe(ctx, e) })
	stopRenewing()
	<-renewed
	return result, recorder, err
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
