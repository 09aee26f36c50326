package reconciler

import (
	"context"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// maxLockReleases bounds how often one job may try to release a stale lock: a lock
// that comes back is somebody's.
const maxLockReleases = 3

// clockSlack is how far the engine's clock may be from ours.
const clockSlack = 2 * time.Second

// isOurStaleLock tells whether the lock that stopped a plan was left behind by a
// run of ours that was killed: the same account and machine, taken while an
// operation of this stack that was interrupted was under way. Only such a lock is
// ever released; any other is a person's matter.
func (w *Worker) isOurStaleLock(ctx context.Context, job stackjob.Job, f *engine.Failure) (bool, error) {
	if f.Lock == nil || f.Lock.ID == "" || f.Lock.Who != w.o.LockOwner || job.Attempt > maxLockReleases {
		return false, nil
	}
	if tookLock(job, f.Lock.CreatedAt) {
		return true, nil
	}
	st, err := w.r.o.Records.Stack(ctx, job.Desired.Key)
	if err != nil || st.Last == nil {
		return false, err
	}
	last, err := w.r.o.Records.Job(ctx, st.Last.ID)
	if err != nil {
		return false, err
	}
	return tookLock(last, f.Lock.CreatedAt), nil
}

func tookLock(job stackjob.Job, at time.Time) bool {
	for _, op := range job.Operations {
		if op.Result == stackjob.ResultInterrupted && !at.Before(op.StartedAt.Add(-clockSlack)) && !at.After(op.EndedAt.Add(clockSlack)) {
			return true
		}
	}
	return false
}

// lockToRelease is the lock that the job's last attempt found to be ours.
func lockToRelease(job stackjob.Job) *engine.StateLock {
	if job.Reason.Code != stackjob.ReasonStaleLock {
		return nil
	}
	return &engine.StateLock{ID: job.Reason.Detail}
}
