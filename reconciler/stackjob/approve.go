package stackjob

import "strings"

// Approve records a person's yes. For the apply gate it must name the digest of
// the job's plan (the short form, at least twelve characters, will do), or it
// fails with ErrStaleApproval. Where the policy counts persons, a job that is ready takes
// further ones: of two who approve at once, both are heard.
func Approve(a Approval) Move {
	if a.Gate == GateStart {
		return Move{event: EvAllowStart, at: a.At, reason: Reason{Code: ReasonApproved, Detail: "by " + a.Actor.Name}, actor: a.Actor,
			change: func(j *Job) error {
				a.DesiredDigest = j.DesiredDigest
				j.Approvals = append(j.Approvals, a)
				return nil
			}}
	}
	return Move{event: EvAllowApply, at: a.At, reason: Reason{Code: ReasonApproved, Detail: "by " + a.Actor.Name}, actor: a.Actor,
		change: func(j *Job) error {
			counted := j.State == Ready && j.Policy != nil && j.Policy.Approvals != nil
			if j.State != WaitingApply && !counted {
				return &IllegalMove{State: j.State, Event: EvAllowApply}
			}
			if !matchesDigest(j, a.PlanDigest) {
				return ErrStaleApproval
			}
			a.PlanDigest = j.Plan.Digest
			j.Approvals = append(j.Approvals, a)
			return nil
		}}
}

// Judging binds a move to the approvals that it was judged by: how many the job had. A job
// that has others by now does not move, as if somebody had been quicker: a verdict
// that says who is missing must not undo what was said since.
func (m Move) Judging(approvals int) Move {
	change := m.change
	m.change = func(j *Job) error {
		if len(j.Approvals) != approvals {
			return &IllegalMove{State: j.State, Event: m.event}
		}
		if change != nil {
			return change(j)
		}
		return nil
	}
	return m
}

// Reject records a person's no and ends the job.
func Reject(a Approval) Move {
	a.Rejected = true
	return Move{event: EvReject, at: a.At, reason: Reason{Code: ReasonRejected, Detail: "by " + a.Actor.Name}, actor: a.Actor,
		change: func(j *Job) error {
			if j.State.IsRunning() {
				return &IllegalMove{State: j.State, Event: EvReject}
			}
			if j.Plan != nil && a.PlanDigest != "" && !matchesDigest(j, a.PlanDigest) {
				return ErrStaleApproval
			}
			if j.Plan != nil {
				a.PlanDigest = j.Plan.Digest
			}
			j.Approvals = append(j.Approvals, a)
			return nil
		}}
}

func matchesDigest(j *Job, given string) bool {
	if j.Plan == nil {
		return false
	}
	full := j.Plan.Digest
	_, hex, _ := strings.Cut(full, ":")
	given = strings.TrimPrefix(given, "sha256:")
	return given == full || len(given) >= shortDigest && strings.HasPrefix(hex, given)
}
