package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
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
	if r := a.config.Load().Jobs.Retention; r.Age > 0 {
		pruned, err := a.store.Prune(ctx, store.PruneOptions{OlderThan: time.Now().Add(-time.Duration(r.Age)), KeepPerStack: r.Keep})
		if err != nil {
			return err
		}
		if pruned.Jobs > 0 {
			a.log.Info("removed ended jobs", "jobs", pruned.Jobs)
		}
	}
	if err := a.pruneFolders(ctx); err != nil {
		return err
	}
	return a.pruneModules(ctx)
}

// pruneModules removes module code that no stack was made of, no open job needs and no
// tree names. Before every repository was compared nobody knows what the trees name. A job
// is open before it asks for its code.
func (a *App) pruneModules(ctx context.Context) error {
	if a.reconciler.Ready() != nil {
		return nil
	}
	used := map[string]bool{}
	for _, s := range a.reconciler.Repositories() {
		for _, ch := range s.View.Result.Changes {
			used[ch.Desired.ModuleRevision] = true
		}
	}
	stacks, err := a.records.Stacks(ctx, "")
	if err != nil {
		return err
	}
	for _, s := range stacks {
		if s.Observed != nil {
			used[s.Observed.Desired.ModuleRevision] = true
		}
	}
	return a.modules.Prune(ctx, func(revision string) (bool, error) {
		if used[revision] {
			return true, nil
		}
		return needsModule(ctx, a.records, revision)
	})
}

// needsModule tells whether an open job needs a revision of module code: also a plan of a
// pull request, and one that runs while a newer one of its stack waits.
func needsModule(ctx context.Context, jobs store.Jobs, revision string) (bool, error) {
	for q := (store.JobQuery{Open: true, Limit: 500}); ; {
		page, err := jobs.List(ctx, q)
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, j := range page {
			if j.Desired.ModuleRevision == revision {
				return true, nil
			}
		}
		q.Before = page[len(page)-1].ID
	}
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
		if errors.Is(err, engine.ErrAlive) {
			continue // its runner ends in this moment
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
