package reconciler

import (
	"context"
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/pace"
)

// compareAgainEvery bounds how often the same tree is compared because outputs
// moved: many jobs ending together lead to one comparison.
const compareAgainEvery = 500 * time.Millisecond

// follow is one repository's loop.
func (r *Reconciler) follow(ctx context.Context, repo *repository) {
	failures := 0
	var due time.Duration // the first look is at once
	var comparedAt time.Time
	for {
		timer := time.NewTimer(due)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-repo.again:
			timer.Stop()
			if wait := compareAgainEvery - time.Since(comparedAt); wait > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
			r.compareSame(ctx, repo)
			comparedAt = time.Now()
			continue
		case <-repo.nudge:
			timer.Stop()
		case <-timer.C:
		}
		waiters := repo.waiting()
		err := r.look(ctx, repo)
		for _, w := range waiters {
			w <- err
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
		} else {
			failures = 0
		}
		comparedAt = time.Now()
		due = pace.Pause(repo.o.PollInterval, failures, least(repo.o.PollInterval, err))
	}
}

// least is what a failure asks to wait before the next look.
func least(interval time.Duration, err error) time.Duration {
	var fe *gitsource.FetchError
	if !errors.As(err, &fe) {
		return 0
	}
	if fe.Class == gitsource.ClassPerson {
		return max(fe.RetryAfter, min(10*interval, pace.Longest))
	}
	return fe.RetryAfter
}

// waiting takes those who wait for the look that is about to begin. Who comes later has
// nudged for another one.
func (repo *repository) waiting() []chan error {
	repo.waitMu.Lock()
	defer repo.waitMu.Unlock()
	waiters := repo.waiters
	repo.waiters = nil
	return waiters
}

// watch turns file changes into nudges. When watching fails polling goes on:
// watching only makes it quicker.
func (r *Reconciler) watch(ctx context.Context, repo *repository) {
	if err := repo.o.Source.Watch(ctx, func() { pace.Poke(repo.nudge) }); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("cannot watch the repository; polling goes on", "repository", repo.o.Source.Name(), "error", err)
	}
}

// look polls once and compares what is new.
func (r *Reconciler) look(ctx context.Context, repo *repository) error {
	name := repo.o.Source.Name()
	rev, _, err := repo.o.Source.Poll(ctx)
	was := repo.status.Load()
	if err != nil {
		repo.status.Store(&pollStatus{at: r.o.Now(), err: err})
		if ctx.Err() == nil && (was == nil || was.err == nil || was.err.Error() != err.Error()) {
			r.o.Log.Warn("poll failed; the last good state stays in force", "repository", name, "error", err)
		}
		return err
	}
	polled := &pollStatus{at: r.o.Now()}
	if was != nil { // what was wrong may still be so: that is known when what is there now is compared
		repo.status.Store(&pollStatus{at: polled.at, err: was.err})
	}
	if err := r.compareNew(ctx, repo, rev); err != nil {
		return err
	}
	repo.status.Store(polled)
	if was != nil && was.err != nil {
		r.o.Log.Info("poll works again", "repository", name)
	}
	return nil
}

// compareNew compares a revision unless that is done.
func (r *Reconciler) compareNew(ctx context.Context, repo *repository, rev gitsource.Revision) error {
	if view := repo.view.Load(); view != nil && view.Revision.Commit == rev.Commit {
		if len(view.Result.Changes) > 0 && hasErrors(view.Result.Changes) {
			// A module that could not be had may be there now.
			return r.compareErr(ctx, repo, view.Revision, view.Snapshot)
		}
		return nil
	}
	snap, err := repo.o.Source.Snapshot(ctx, rev)
	if err != nil {
		return r.failedLook(repo, err)
	}
	if err := r.compareErr(ctx, repo, rev, snap); err != nil {
		return r.failedLook(repo, err)
	}
	return nil
}

func (r *Reconciler) failedLook(repo *repository, err error) error {
	repo.status.Store(&pollStatus{at: r.o.Now(), err: err})
	r.o.Log.Warn("comparing failed; the last good state stays in force", "repository", repo.o.Source.Name(), "error", err)
	return err
}

func (r *Reconciler) compareSame(ctx context.Context, repo *repository) {
	view := repo.view.Load()
	if view == nil {
		return
	}
	if err := r.compareErr(ctx, repo, view.Revision, view.Snapshot); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("comparing again failed", "repository", repo.o.Source.Name(), "error", err)
		pace.Poke(repo.again)
	}
}
