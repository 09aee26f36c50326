package reconciler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// mostRestores is how many runners a restore is given to, one after another was killed or
// met the lock of one that was, before it is left to a person.
const mostRestores = 6

// errAllKilled says that a restore has had all its runners.
var errAllKilled = errors.New("every runner of the restore was killed")

// restoreByEngine carries a claimed restore of a state that a backend keeps through: only the
// engine can write it. It returns its job, which has then ended; an error means that the
// records could not be written.
func (w *Worker) restoreByEngine(ctx context.Context, job stackjob.Job) (stackjob.Job, error) {
	task, err := w.restoreTask(ctx, job)
	if err != nil {
		return w.restoreFailed(ctx, job, err)
	}
	for another := false; ; another = true {
		run, err := w.restoreRun(ctx, job, task, another)
		if errors.Is(err, errAllKilled) {
			return w.restoreUnknown(ctx, job)
		}
		if err != nil {
			return w.restoreFailed(ctx, job, err)
		}
		result, recorder, err := w.watch(ctx, job, run)
		job = recorder.job
		if recorder.err != nil {
			return job, recorder.err
		}
		if errors.Is(err, engine.ErrLost) { // another runner: to restore twice is to restore once
			if err := w.endOpenOperations(ctx, job, stackjob.Reason{Code: stackjob.ReasonRunnerLost}); err != nil {
				return job, err
			}
			if job, err = w.r.o.Records.Job(ctx, job.ID); err != nil {
				return job, err
			}
			continue
		}
		if err != nil {
			return w.restoreFailed(ctx, job, err)
		}
		if task.ReleaseLock == nil {
			ours, err := w.isOurStaleLock(ctx, job, result.Failure)
			if err != nil {
				return job, err
			}
			if ours {
				task.ReleaseLock = result.Failure.Lock
				continue
			}
		}
		i := slices.IndexFunc(result.Operations, func(o stackjob.Operation) bool { return o.Kind == stackjob.OpRestore })
		if result.Failure != nil && i >= 0 && result.Operations[i].Killed {
			continue // nobody knows whether the state is back
		}
		// What the runner leaves goes when it has ended.
		if err := w.r.o.Records.Wake(ctx, job.ID, w.r.o.Now().Add(time.Second)); err != nil {
			return job, err
		}
		if result.Failure != nil || result.Outcome == nil {
			return w.restoreFailed(ctx, job, phaseError(result))
		}
		if i < 0 {
			return w.restoreFailed(ctx, job, errors.New("the engine did not say that it put the state back"))
		}
		put, done := result.Operations[i], *job.Restore
		put.Attempt, done.Replaced = job.Attempt, result.Replaced
		return w.restored(ctx, job, put, done)
	}
}

// restoreUnknown ends a restore whose runners were all killed.
func (w *Worker) restoreUnknown(ctx context.Context, job stackjob.Job) (stackjob.Job, error) {
	// A daemon that was killed with the last runner left its steps open.
	if err := w.endOpenOperations(ctx, job, stackjob.Reason{Code: stackjob.ReasonRunnerLost}); err != nil {
		return job, err
	}
	now, done := w.r.o.Now(), *job.Restore
	observed, err := w.afterRestore(ctx, job, now, &done)
	if err != nil {
		return job, err
	}
	why := stackjob.Reason{Code: stackjob.ReasonRestoreUnknown, Detail: fmt.Sprintf("%d runners or engines were killed", mostRestores)}
	return w.move(ctx, job.ID, stackjob.RestoreUnknown(now, leaseOf(job), why, done, observed))
}

func phaseError(r engine.Result) error {
	if r.Failure == nil {
		return errors.New("the runner left neither an outcome nor a failure")
	}
	return errors.New(r.Failure.Reason.String())
}

// restoreTask is what a runner must know to put a backup back.
func (w *Worker) restoreTask(ctx context.Context, job stackjob.Job) (engine.Task, error) {
	d := job.Desired
	program, err := w.o.Program(ctx, engine.Wanted{Provisioner: d.Provisioner, Version: d.EngineVersion})
	if err != nil {
		return engine.Task{}, err
	}
	code, err := w.o.Modules.Checkout(ctx, d.Repository, d.Commit, d.Module, d.ModuleRevision)
	if err != nil {
		return engine.Task{}, fmt.Errorf("get the program, whose project names the state: %w", err)
	}
	t, err := w.task(job, engine.PhaseRestore, program, resolved{})
	if err != nil {
		return engine.Task{}, err
	}
	t.ModuleRoot, t.ModulePath, t.ModuleRevision = code.Root, code.Path, d.ModuleRevision
	t.Restore = &engine.StateRestore{File: filepath.Join(w.o.Layout.StateBackups(d.Key), job.Restore.Backup), Force: job.Restore.Forced}
	return t, nil
}

// restoreRun finds the runner that has a restore, or what it came to, or starts one when
// there is none, it was killed or another one is wanted.
func (w *Worker) restoreRun(ctx context.Context, job stackjob.Job, t engine.Task, another bool) (engine.Run, error) {
	n := w.o.Layout.Restores(job.ID)
	if n > 0 && !another {
		run, err := w.o.Launcher.Attach(ctx, w.o.Layout.Phase(job.ID, n, engine.PhaseRestore))
		if !errors.Is(err, engine.ErrLost) && !errors.Is(err, engine.ErrNotStarted) {
			return run, err
		}
	}
	if n >= mostRestores {
		return nil, errAllKilled
	}
	return w.o.Launcher.Start(ctx, w.o.Layout.Phase(job.ID, n+1, engine.PhaseRestore), t)
}
