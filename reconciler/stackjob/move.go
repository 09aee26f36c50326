package stackjob

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrFenced means that the writer's lease is not the job's newest one: another
// daemon, or a later claim, owns the job. The writer must stop touching it.
var ErrFenced = errors.New("the job was claimed by somebody else")

// ErrStaleApproval means that an approval names another plan than the job's.
var ErrStaleApproval = errors.New("the approval is for another plan")

// Lease is a claim on a running job. Fence grows with every claim.
type Lease struct {
	Owner string
	Fence int64
}

// Move is one legal change of a job. It is made by the constructors below and
// carried out by a store: load the job, Apply, write the result with its
// consequences in the same transaction.
type Move struct {
	event  Event
	at     time.Time
	lease  *Lease
	reason Reason
	// change makes the other changes; it may refuse.
	change func(*Job) error
	// observed, when not nil, replaces what is recorded of the stack; forget
	// says that the stack is gone.
	observed *Observed
	forget   bool
	actor    Actor
}

// Event is what the move is.
func (m Move) Event() Event { return m.event }

// At is when it happened.
func (m Move) At() time.Time { return m.at }

// Reason is why.
func (m Move) Reason() Reason { return m.reason }

// Actor is who did it; the zero Actor is the daemon.
func (m Move) Actor() Actor {
	if m.actor == (Actor{}) {
		return System
	}
	return m.actor
}

// Observed is what the stack now is, to be written in the same transaction; nil
// when the move says nothing of it.
func (m Move) Observed() *Observed { return m.observed }

// Forgets tells that the stack's record is to be removed in the same transaction.
func (m Move) Forgets() bool { return m.forget }

// Apply returns the job after the move. It fails with *IllegalMove, ErrFenced or
// ErrStaleApproval and returns j as it was; then nothing may be written. j is not
// changed.
func (m Move) Apply(j Job) (Job, error) {
	to, err := Next(j.State, m.event)
	if err != nil {
		return j, fmt.Errorf("job %s: %w", j.ID, err)
	}
	if m.lease != nil && (j.Owner != m.lease.Owner || j.Fence != m.lease.Fence) {
		return j, fmt.Errorf("job %s: %w", j.ID, ErrFenced)
	}
	before := j
	j.Operations = slices.Clone(j.Operations)
	j.Approvals = slices.Clone(j.Approvals)
	if j.Plan != nil {
		p := *j.Plan
		j.Plan = &p
	}
	if m.change != nil {
		if err := m.change(&j); err != nil {
			return before, fmt.Errorf("job %s: %w", j.ID, err)
		}
	}
	j.State = to
	if m.event != EvRecord && m.event != EvRenew {
		j.Reason = m.reason
	}
	if !to.IsRunning() {
		j.Owner, j.LeaseUntil = "", time.Time{}
	}
	if to.IsWaiting() && !before.State.IsWaiting() {
		j.WaitingSince = m.at
	}
	if to.IsFinal() {
		j.EndedAt = m.at
	}
	return j, nil
}

// Postpone keeps a queued job queued and says what it waits for.
func Postpone(at time.Time, why Reason) Move { return Move{event: EvPostpone, at: at, reason: why} }

// HoldStart makes a job wait for a person before its first operation.
func HoldStart(at time.Time, v Verdict) Move {
	return Move{event: EvHoldStart, at: at, reason: v.Reason, change: func(j *Job) error {
		p := v.Policy
		j.Policy = &p
		return nil
	}}
}

// ReleaseStart puts a job that waited for its start back into the queue, because
// the policy that held it is no longer in force.
func ReleaseStart(at time.Time, v Verdict) Move {
	return Move{event: EvAllowStart, at: at, reason: Reason{Code: ReasonPolicyChanged, Detail: v.Policy.Name}}
}

// StartPlan claims a queued job and begins an attempt at its plan. Planning jobs
// can be claimed again only through TakeOver.
func StartPlan(at time.Time, owner string, until time.Time, policy PolicyChoice) Move {
	return Move{event: EvStartPlan, at: at, change: func(j *Job) error {
		if j.State != Queued || j.Purpose == RestoreState {
			return &IllegalMove{State: j.State, Event: EvStartPlan}
		}
		j.Attempt++
		j.Fence++
		j.Owner, j.LeaseUntil = owner, until
		j.Policy = &policy
		j.Plan = nil
		if j.StartedAt.IsZero() {
			j.StartedAt = at
		}
		return nil
	}}
}

// Reading returns the move with what the attempt reads: the keyed hashes of the
// values put in for references (see Observed.References). It goes with StartPlan.
func (m Move) Reading(references map[string]string) Move {
	change := m.change
	m.change = func(j *Job) error {
		if change != nil {
			if err := change(j); err != nil {
				return err
			}
		}
		j.References = references
		return nil
	}
	return m
}

// Counting adds to a Planned move what people said of the plan before it was made
// here.
func (m Move) Counting(approvals []Approval) Move {
	change := m.change
	m.change = func(j *Job) error {
		if err := change(j); err != nil {
			return err
		}
		j.Approvals = append(slices.Clone(j.Approvals), approvals...)
		return nil
	}
	return m
}

// RequestCancel records that a person wants a running job stopped. The engine is
// then interrupted; how the job ends is what the engine makes of it.
func RequestCancel(at time.Time, by Actor) Move {
	return Move{event: EvRecord, at: at, actor: by, reason: Reason{Code: ReasonCancelled, Detail: "by " + by.Name},
		change: func(j *Job) error {
			if j.Purpose == RestoreState { // no engine to interrupt, and over in a moment
				return &IllegalMove{State: j.State, Event: EvCancel}
			}
			j.CancelledBy = &by
			return nil
		}}
}

// TakeOver claims a running job whose owner is dead or late, without changing what
// it does: the new owner re-attaches to the runner.
func TakeOver(at time.Time, owner string, until time.Time) Move {
	return Move{event: EvRenew, at: at, change: func(j *Job) error {
		if j.Owner != owner && j.LeaseUntil.After(at) {
			return ErrFenced
		}
		j.Fence++
		j.Owner, j.LeaseUntil = owner, until
		return nil
	}}
}

// Renew makes a lease last longer.
func Renew(at time.Time, l Lease, until time.Time) Move {
	return Move{event: EvRenew, at: at, lease: &l, change: func(j *Job) error { j.LeaseUntil = until; return nil }}
}

// Record writes the beginning or the end of an operation: the one with the same
// kind and attempt is replaced.
func Record(at time.Time, l Lease, op Operation) Move {
	return Move{event: EvRecord, at: at, lease: &l, change: func(j *Job) error { putOperation(j, op); return nil }}
}

func putOperation(j *Job, op Operation) {
	for i, o := range j.Operations {
		if o.Kind == op.Kind && o.Attempt == op.Attempt {
			j.Operations[i] = op
			return
		}
	}
	j.Operations = append(j.Operations, op)
}

// Planned ends the plan phase as the verdict says: Proceed makes the job ready,
// Wait makes it wait for approval, Refuse rejects it. One that somebody has asked to stop
// meanwhile goes no further.
func Planned(at time.Time, l Lease, plan Plan, v Verdict) Move {
	return Move{event: gateEvent(v), at: at, lease: &l, reason: v.Reason, change: func(j *Job) error {
		if j.CancelledBy != nil {
			return &IllegalMove{State: j.State, Event: gateEvent(v)}
		}
		p, c := plan, v.Policy
		j.Plan, j.Policy = &p, &c
		return nil
	}}
}

// Regate judges a waiting or ready job again, after a policy changed.
func Regate(at time.Time, v Verdict) Move {
	return Move{event: gateEvent(v), at: at, reason: v.Reason, change: func(j *Job) error {
		if j.State != WaitingApply && j.State != Ready {
			return &IllegalMove{State: j.State, Event: gateEvent(v)}
		}
		c := v.Policy
		j.Policy = &c
		return nil
	}}
}

func gateEvent(v Verdict) Event {
	switch v.Decision {
	case Proceed:
		return EvAllowApply
	case Refuse:
		return EvReject
	}
	return EvHoldApply
}

// PlannedNothing ends a job whose plan changes nothing: it succeeded, and the
// stack is as desired.
func PlannedNothing(at time.Time, l Lease, plan Plan, o *Observed) Move {
	return Move{event: EvSucceed, at: at, lease: &l, reason: Reason{Code: ReasonNoChanges}, observed: o,
		change: func(j *Job) error {
			if j.State != Planning {
				return &IllegalMove{State: j.State, Event: EvSucceed}
			}
			p := plan
			j.Plan = &p
			return nil
		}}
}

// PlannedOnly ends a plan-only job.
func PlannedOnly(at time.Time, l Lease, plan Plan) Move {
	return Move{event: EvSucceed, at: at, lease: &l, change: func(j *Job) error {
		if j.Purpose != PlanOnly || j.State != Planning {
			return &IllegalMove{State: j.State, Event: EvSucceed}
		}
		p := plan
		j.Plan = &p
		return nil
	}}
}

// ReplanLost puts a job whose plan phase was lost back into the queue.
func ReplanLost(at time.Time, l Lease, why Reason) Move { return requeueFrom(Planning, at, l, why) }

// PutBack puts a job back into the queue whose apply surely never began: nothing of
// the stack was touched. Its plan stays consumed; the fresh one is gated again, and
// approvals count for it when it is the same.
func PutBack(at time.Time, l Lease, why Reason) Move { return requeueFrom(Applying, at, l, why) }

func requeueFrom(s State, at time.Time, l Lease, why Reason) Move {
	return Move{event: EvRequeue, at: at, lease: &l, reason: why, change: func(j *Job) error {
		if j.State != s {
			return &IllegalMove{State: j.State, Event: EvRequeue}
		}
		return nil
	}}
}

// Replan puts a waiting or ready job back into the queue for a fresh plan. Its
// approvals stay on record but bind to the old plan's digest.
func Replan(at time.Time, why Reason) Move {
	return Move{event: EvRequeue, at: at, reason: why, change: func(j *Job) error {
		if j.State.IsRunning() {
			return ErrFenced
		}
		return nil
	}}
}

// StartApply is the intent: it claims a ready job and consumes its plan. It must
// be committed before the engine is started, and it can be committed once.
func StartApply(at time.Time, owner string, until time.Time, digest string) Move {
	return Move{event: EvStartApply, at: at, change: func(j *Job) error {
		if j.Purpose == PlanOnly {
			return &IllegalMove{State: j.State, Event: EvStartApply}
		}
		if j.Plan == nil || j.Plan.Consumed || j.Plan.Digest != digest {
			return ErrStaleApproval
		}
		j.Plan.Consumed = true
		j.Fence++
		j.Owner, j.LeaseUntil = owner, until
		return nil
	}}
}

// Applied ends the apply phase with its outcome: succeeded, failed, cancelled or
// interrupted. o is what the stack now is (with Complete false unless it
// succeeded); forget says that it was destroyed.
func Applied(at time.Time, l Lease, out Outcome, o *Observed) Move {
	ev := map[Result]Event{ResultSucceeded: EvSucceed, ResultCancelled: EvCancel, ResultInterrupted: EvInterrupt}[out.Result]
	if ev == "" {
		ev = EvFail
	}
	if o != nil {
		made := *o
		made.Interrupted = ev == EvInterrupt
		o = &made
	}
	return Move{event: ev, at: at, lease: &l, reason: out.Reason, observed: o, forget: o == nil && out.Result == ResultSucceeded,
		change: func(j *Job) error {
			if j.State != Applying {
				return &IllegalMove{State: j.State, Event: ev}
			}
			return nil
		}}
}

// Fail ends a job that cannot go on. A running one needs its lease; in an apply it
// says that nothing of the stack was touched (else Applied says what it now is).
func Fail(at time.Time, l *Lease, why Reason) Move {
	return Move{event: EvFail, at: at, lease: l, reason: why, change: needsLease(l)}
}

// Cancel ends a job that no engine runs for, or, with its lease, one whose plan
// phase was stopped.
func Cancel(at time.Time, l *Lease, by Actor) Move {
	return Move{event: EvCancel, at: at, lease: l, actor: by, reason: Reason{Code: ReasonCancelled, Detail: "by " + by.Name}, change: func(j *Job) error {
		if j.State == Applying { // only Applied says what the stack now is
			return &IllegalMove{State: j.State, Event: EvCancel}
		}
		return needsLease(l)(j)
	}}
}

// Supersede ends a job whose place a newer one takes.
func Supersede(at time.Time, l *Lease, by JobID) Move {
	return Move{event: EvSupersede, at: at, lease: l, reason: Reason{Code: ReasonNewerRevision, Detail: string(by)}, change: needsLease(l)}
}

// Unneeded ends a job that nothing takes the place of: its stack is as desired again
// without it, or a rule has come to forbid it (why). A running one needs its lease.
func Unneeded(at time.Time, l *Lease, why Reason) Move {
	return Move{event: EvSupersede, at: at, lease: l, reason: why, change: needsLease(l)}
}

// Expire ends a job that waited too long.
func Expire(at time.Time) Move {
	return Move{event: EvExpire, at: at, reason: Reason{Code: ReasonApprovalExpired}}
}

// Refused ends a queued job that a rule forbids.
func Refused(at time.Time, v Verdict) Move {
	return Move{event: EvReject, at: at, reason: v.Reason, change: func(j *Job) error {
		if j.State.IsRunning() {
			return &IllegalMove{State: j.State, Event: EvReject}
		}
		c := v.Policy
		j.Policy = &c
		return nil
	}}
}

func needsLease(l *Lease) func(*Job) error {
	return func(j *Job) error {
		if j.State.IsRunning() && l == nil {
			return ErrFenced
		}
		return nil
	}
}
