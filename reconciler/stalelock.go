package reconciler

import (
	"context"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// maxLockReleases bounds how often one job may try to release a stale lock: a lock
// that comes back is somebody's.
const maxLockReleases = 3

const (
	// clockSlack is how far the engine's clock may be from ours.
	clockSlack = 2 * time.Second
	// lockTaking is how long an engine may run before it asks for its lock: it
	// sets up the backend first and nothing else.
	lockTaking = time.Minute
	// lockMemory is how many of a stack's jobs are looked through for the run that
	// left a lock behind. Each of them has met the lock since and failed.
	lockMemory = 50
)

// staleLock is why a phase begins again that could not begin because of a lock: the lock
// is surely one that a run of ours left behind, and the next plan releases it. Zero when
// it is not. A plan meets it where plans take the lock or find it; elsewhere only an apply
// does, and it has touched nothing then.
func (w *Worker) staleLock(ctx context.Context, job stackjob.Job, f *engine.Failure) (stackjob.Reason, error) {
	ours, err := w.isOurStaleLock(ctx, job, f)
	if err != nil || !ours {
		return stackjob.Reason{}, err
	}
	return stackjob.Reason{Code: stackjob.ReasonStaleLock, Detail: f.Lock.ID}, nil
}

// isOurStaleLock tells whether the lock that stopped a phase was left behind by a
// run of ours that was killed. All that a lock says must fit one operation of this
// stack whose engine was killed or lost with its runner: the same account and machine, the same kind of
// operation by the same version of the engine, taken as that operation began. Pulumi's say
// which process took it instead of what for: that process must be gone. Only
// such a lock is ever released; any other is a person's matter.
func (w *Worker) isOurStaleLock(ctx context.Context, job stackjob.Job, f *engine.Failure) (bool, error) {
	if f == nil || f.Lock == nil || f.Lock.ID == "" || w.o.LockOwner == "" || f.Lock.Who != w.o.LockOwner || job.Attempt > maxLockReleases {
		return false, nil
	}
	k := job.Desired.Key
	jobs, err := w.r.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Limit: lockMemory})
	if err != nil {
		return false, err
	}
	for _, j := range jobs {
		if tookLock(j, *f.Lock, w.o.IsThere) {
			return true, nil
		}
	}
	return false, nil
}

// tookLock tells whether a lock was taken by an engine process of the job that was
// killed.
func tookLock(job stackjob.Job, l engine.StateLock, isThere func(pid int, at time.Time) bool) bool {
	for _, run := range killedRuns(job) {
		last := run.from.Add(lockTaking)
		if run.to.Before(last) {
			last = run.to
		}
		same := l.Operation == run.operation && (run.version == "" || l.Version == run.version)
		if run.pulumi { // whose plans take no lock
			same = l.Operation == "" && l.PID > 0 && !isThere(l.PID, l.CreatedAt)
		}
		if same && !l.CreatedAt.Before(run.from.Add(-clockSlack)) && !l.CreatedAt.After(last.Add(clockSlack)) {
			return true
		}
	}
	return false
}

// killedRun is an engine process that held a lock when it was killed.
type killedRun struct {
	// operation is what engines call it in a lock.
	operation string
	version   string // "" when it is not on record
	pulumi    bool
	from, to  time.Time
}

// killedRuns are the processes of a job that were killed. Refresh and plan are the
// same process, which takes its lock before the refresh.
func killedRuns(job stackjob.Job) []killedRun {
	var out []killedRun
	refreshed := map[int]time.Time{} // attempt → when its process began
	for _, op := range job.Operations {
		if op.Kind == stackjob.OpRefresh {
			refreshed[op.Attempt] = op.StartedAt
		}
	}
	for _, op := range job.Operations {
		if !op.Killed && op.Result != stackjob.ResultInterrupted {
			continue
		}
		r := killedRun{from: op.StartedAt, to: op.EndedAt}
		switch op.Kind {
		case stackjob.OpRefresh, stackjob.OpPlan:
			r.operation = "OperationTypePlan"
			if at, ok := refreshed[op.Attempt]; ok {
				r.from = at
			}
		case stackjob.OpApply, stackjob.OpDestroy:
			r.operation = "OperationTypeApply" // a destroy is a plan that is applied
			if job.Plan != nil {
				var name string
				name, r.version, _ = strings.Cut(job.Plan.Engine, " ")
				r.pulumi = name == string(schema.Pulumi)
			}
		case stackjob.OpRestore: // of a state that a backend keeps
			r.pulumi = true
		default:
			continue // init takes no lock
		}
		out = append(out, r)
	}
	return out
}

// lockToRelease is the lock that the job's last attempt found to be ours.
func lockToRelease(job stackjob.Job) *engine.StateLock {
	if job.Reason.Code != stackjob.ReasonStaleLock {
		return nil
	}
	return &engine.StateLock{ID: job.Reason.Detail}
}
