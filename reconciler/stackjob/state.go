package stackjob

import (
	"fmt"
	"slices"
)

// State is where a job is.
type State string

// The states.
const (
	Queued       State = "queued"        // waits for its producers, its stack and a slot
	WaitingStart State = "waiting-start" // a person must start it
	Planning     State = "planning"      // init, refresh and plan run
	WaitingApply State = "waiting-apply" // a person must approve the plan
	Ready        State = "ready"         // the plan may be applied; waits for a slot
	Applying     State = "applying"      // apply or destroy runs
	Succeeded    State = "succeeded"
	Failed       State = "failed"
	Cancelled    State = "cancelled"
	Rejected     State = "rejected"    // by a person, or by a rule that nobody may break
	Expired      State = "expired"     // nobody answered in time
	Superseded   State = "superseded"  // a newer desired state took its place
	Interrupted  State = "interrupted" // lost in the middle of an apply: nobody knows how far
)

// States lists all states in the order of a job's life.
func States() []State {
	return []State{Queued, WaitingStart, Planning, WaitingApply, Ready, Applying,
		Succeeded, Failed, Cancelled, Rejected, Expired, Superseded, Interrupted}
}

// Sentence is the state in words.
func (s State) Sentence() string {
	switch s {
	case Queued:
		return "waits for its turn"
	case WaitingStart:
		return "waits for a person to start it"
	case Planning:
		return "is being planned"
	case WaitingApply:
		return "waits for a person to approve its plan"
	case Ready:
		return "may be applied and waits for its turn"
	case Applying:
		return "is being applied"
	case Succeeded:
		return "succeeded"
	case Failed:
		return "failed"
	case Cancelled:
		return "was cancelled"
	case Rejected:
		return "was rejected"
	case Expired:
		return "expired before anybody answered"
	case Superseded:
		return "was replaced by a newer job"
	case Interrupted:
		return "was interrupted during apply; what it did must be looked at"
	}
	return string(s)
}

// IsFinal tells whether the job has ended.
func (s State) IsFinal() bool {
	return slices.Contains([]State{Succeeded, Failed, Cancelled, Rejected, Expired, Superseded, Interrupted}, s)
}

// IsRunning tells whether an engine may be running for the job. One job per stack
// can be running.
func (s State) IsRunning() bool { return s == Planning || s == Applying }

// IsWaiting tells whether the job waits for a person.
func (s State) IsWaiting() bool { return s == WaitingStart || s == WaitingApply }

// Event is what can happen to a job.
type Event string

// The events.
const (
	EvPostpone   Event = "postpone"    // still queued, with a new reason
	EvHoldStart  Event = "hold-start"  // the start gate says wait
	EvAllowStart Event = "allow-start" // a person said yes to the start
	EvStartPlan  Event = "start-plan"
	EvRequeue    Event = "requeue" // the plan was lost, is stale, or must be made again
	EvHoldApply  Event = "hold-apply"
	EvAllowApply Event = "allow-apply"
	EvStartApply Event = "start-apply" // the intent: the plan is consumed
	// EvStartRestore is the intent of a job that restores a state.
	EvStartRestore Event = "start-restore"
	EvSucceed      Event = "succeed"
	EvFail         Event = "fail"
	EvCancel       Event = "cancel"
	EvReject       Event = "reject"
	EvExpire       Event = "expire"
	EvSupersede    Event = "supersede"
	EvInterrupt    Event = "interrupt"
	EvRenew        Event = "renew"  // the lease goes on
	EvRecord       Event = "record" // an operation was recorded; the state stays

	// EvEnqueue is the first entry of a job's history. It is no move: a job
	// begins with it.
	EvEnqueue Event = "enqueue"
)

// transitions is the whole state machine: from, event, to.
var transitions = map[State]map[Event]State{
	Queued: {EvPostpone: Queued, EvHoldStart: WaitingStart, EvStartPlan: Planning, EvStartRestore: Applying, EvFail: Failed,
		EvCancel: Cancelled, EvReject: Rejected, EvSupersede: Superseded},
	WaitingStart: {EvHoldStart: WaitingStart, EvAllowStart: Queued, EvCancel: Cancelled, EvReject: Rejected,
		EvExpire: Expired, EvSupersede: Superseded},
	Planning: {EvRecord: Planning, EvRenew: Planning, EvRequeue: Queued, EvHoldApply: WaitingApply,
		EvAllowApply: Ready, EvSucceed: Succeeded, EvFail: Failed, EvCancel: Cancelled, EvReject: Rejected, EvSupersede: Superseded},
	WaitingApply: {EvHoldApply: WaitingApply, EvAllowApply: Ready, EvRequeue: Queued, EvCancel: Cancelled, EvReject: Rejected,
		EvExpire: Expired, EvSupersede: Superseded},
	Ready: {EvStartApply: Applying, EvAllowApply: Ready, EvHoldApply: WaitingApply, EvRequeue: Queued, EvFail: Failed, EvCancel: Cancelled,
		EvReject: Rejected, EvSupersede: Superseded},
	Applying: {EvRecord: Applying, EvRenew: Applying, EvRequeue: Queued, EvSucceed: Succeeded, EvFail: Failed, EvCancel: Cancelled,
		EvInterrupt: Interrupted},
}

// IllegalMove says that an event cannot happen in a state. It is a bug in the
// caller or a lost race; either way nothing was written.
type IllegalMove struct {
	State State
	Event Event
}

// Error names the state and the event.
func (e *IllegalMove) Error() string {
	return fmt.Sprintf("a job that %s cannot %s", e.State.Sentence(), e.Event)
}

// Next is the only authority for a move: the state after the event, or
// *IllegalMove. Nothing leaves a final state.
func Next(s State, e Event) (State, error) {
	if to, ok := transitions[s][e]; ok {
		return to, nil
	}
	return s, &IllegalMove{State: s, Event: e}
}
