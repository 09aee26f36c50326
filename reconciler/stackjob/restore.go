package stackjob

import "time"

// Restoration is a stack's state put back from a backup: who wanted it and why, and, when
// it is done, what took the place of what. It holds nothing that is in a state.
type Restoration struct {
	// Backup is the name of the backup's file.
	Backup string `json:"backup"`
	// Why is the reason that was given.
	Why string `json:"why"`
	By  Actor  `json:"by"`
	// Forced tells that a backup of another lineage was wanted nevertheless.
	Forced bool `json:"forced,omitempty"`
	// Job is the job that restored it, Applied the one that had applied to the stack before;
	// "" when nothing was recorded as applied.
	Job     JobID `json:"job"`
	Applied JobID `json:"applied,omitempty"`
	// State is what was put back, Replaced what was there before; nil when there was no
	// state, or a damaged one.
	State    StateVersion  `json:"state,omitzero"`
	Replaced *StateVersion `json:"replaced,omitempty"`
	// Unknown tells that whoever put it back was killed each time, and that nobody knows
	// whether it took the place of what was there.
	Unknown bool `json:"unknown,omitempty"`
	// At is when it was done.
	At time.Time `json:"at,omitzero"`
}

// StateVersion names one content of a stack's state.
type StateVersion struct {
	// Serial counts the writes of a state, Lineage names the state through all of them; an
	// engine that has no such thing leaves them zero.
	Serial  int64  `json:"serial,omitempty"`
	Lineage string `json:"lineage,omitempty"`
	// Backup is the name of the backup that has this content.
	Backup string `json:"backup,omitempty"`
}

// StartRestore claims the job of a restore. It is the intent: from here on no other job of
// the stack runs until the state is restored or the job has failed, across restarts.
func StartRestore(at time.Time, owner string, until time.Time) Move {
	return Move{event: EvStartRestore, at: at, change: func(j *Job) error {
		if j.Purpose != RestoreState || j.Restore == nil {
			return &IllegalMove{State: j.State, Event: EvStartRestore}
		}
		j.Fence++
		j.Owner, j.LeaseUntil = owner, until
		j.StartedAt = at
		return nil
	}}
}

// Restored ends the job of a restore that is done: op is its last step, done what took the
// place of what, and o what is now known of the stack. It is not to be trusted any more
// (Complete is false), and who changes the stack next waits for a person (Observed.Restored).
func Restored(at time.Time, l Lease, op Operation, done Restoration, o Observed) Move {
	return endRestore(EvSucceed, at, l, Reason{}, done, o, func(j *Job) { putOperation(j, op) })
}

// RestoreUnknown ends the job of a restore of which nobody knows whether it was done: what
// is known of the stack (o) is trusted as little as after one that was.
func RestoreUnknown(at time.Time, l Lease, why Reason, done Restoration, o Observed) Move {
	done.Unknown = true
	return endRestore(EvInterrupt, at, l, why, done, o, func(*Job) {})
}

func endRestore(ev Event, at time.Time, l Lease, why Reason, done Restoration, o Observed, change func(*Job)) Move {
	o.Complete, o.Interrupted, o.Restored = false, false, &done
	return Move{event: ev, at: at, lease: &l, actor: done.By, reason: why, observed: &o, change: func(j *Job) error {
		if j.Purpose != RestoreState || j.State != Applying {
			return &IllegalMove{State: j.State, Event: ev}
		}
		change(j)
		j.Restore = &done
		return nil
	}}
}
