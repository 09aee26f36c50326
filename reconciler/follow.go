package reconciler

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
)

// compareAgainEvery bounds how often the same tree is compared because outputs
// moved: many jobs ending together lead to one comparison.
const compareAgainEvery = 500 * time.Millisecond

// maxBackOff is the longest pause after polls that failed in a row.
const maxBackOff = 5 * time.Minute

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
		err := r.look(ctx, repo)
		repo.answer(err)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
		} else {
			failures = 0
		}
		comparedAt = time.Now()
		due = pause(repo.o.PollInterval, failures, err)
	}
}

// pause is how long to wait before the next look: the interval, longer after
// failures, with a tenth of jitter so that many daemons do not ask in step.
func pause(interval time.Duration, failures int, err error) time.Duration {
	d := interval
	if failures > 0 {
		d = min(interval<<min(failures-1, 6), max(maxBackOff, interval))
		var fe *gitsource.FetchError
		if errors.As(err, &fe) {
			if fe.Class == gitsource.ClassPerson {
				d = max(d, min(10*interval, maxBackOff))
			}
			d = max(d, fe.RetryAfter)
		}
	}
	return d + time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // jitter is no secret
}

func (repo *repository) answer(err error) {
	repo.waitMu.Lock()
	waiters := repo.waiters
	repo.waiters = nil
	repo.waitMu.Unlock()
	for _, w := range waiters {
		w <- err
	}
}

// watch turns file changes into nudges. When watching fails polling goes on:
// watching only makes it quicker.
func (r *Reconciler) watch(ctx context.Context, repo *repository) {
	if err := repo.o.Source.Watch(ctx, func() { poke(repo.nudge) }); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("cannot watch the repository; polling goes on", "repository", repo.o.Source.Name(), "error", err)
	}
}

// look polls once and compares what is new.
func (r *Reconciler) look(ctx context.Context, repo *repository) error {
	name := repo.o.Source.Name()
	rev, _, err := repo.o.Source.Poll(ctx)
	was := repo.status.Load()
	repo.status.Store(&pollStatus{at: r.o.Now(), err: err})
	if err != nil {
		if ctx.Err() == nil && (was == nil || was.err == nil || was.err.Error() != err.Error()) {
			r.o.Log.Warn("poll failed; the last good state stays in force", "repository", name, "error", err)
		}
		return err
	}
	if was != nil && was.err != nil {
		r.o.Log.Info("poll works again", "repository", name)
	}
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
		poke(repo.again)
	}
}
