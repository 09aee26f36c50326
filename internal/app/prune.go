package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// pruneEvery is how often what is too old is removed.
const pruneEvery = time.Hour

// prune removes ended jobs with their logs, and module code that nothing uses, until
// ctx ends.
func (a *App) prune(ctx context.Context) error {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		if err := a.pruneOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("removing what is too old failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func (a *App) pruneOnce(ctx context.Context) error {
	r := a.config.Load().Jobs.Retention
	if r.Age == 0 {
		return a.pruneFolders(ctx)
	}
	pruned, err := a.store.Prune(ctx, store.PruneOptions{OlderThan: time.Now().Add(-time.Duration(r.Age)), KeepPerStack: r.Keep})
	if err != nil {
		return err
	}
	if pruned.Jobs > 0 {
		a.log.Info("removed ended jobs", "jobs", pruned.Jobs)
	}
	return a.pruneFolders(ctx)
}

// pruneFolders removes the saved plans of ended jobs, and the folders of jobs that are
// no longer on record. A folder is made after its job is recorded, so one without a
// job is left over.
func (a *App) pruneFolders(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(a.layout.Root, "jobs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		id := stackjob.JobID(e.Name())
		job, err := a.records.Job(ctx, id)
		if err == nil {
			err = a.worker.Clean(job)
		}
		if !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(a.layout.Job(id)); err != nil {
			return err
		}
	}
	return nil
}
