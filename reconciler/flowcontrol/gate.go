package flowcontrol

import (
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// AtStart judges a job before its first operation.
//
// A plan-only job always proceeds: it changes nothing. A rule that forbids the
// destroy refuses it here already, before an engine runs. isManual waits for an
// approval at the start gate; disableOnLifecycleEvents does too, unless a person
// asked for the job.
func AtStart(job stackjob.Job, p stackjob.PolicyChoice) stackjob.Verdict {
	v := func(d stackjob.Decision, r stackjob.Reason) stackjob.Verdict {
		return stackjob.Verdict{Decision: d, Gate: stackjob.GateStart, Reason: r, Policy: p}
	}
	if r, no := rejected(job); no {
		return v(stackjob.Refuse, r)
	}
	if job.Purpose == stackjob.PlanOnly {
		return v(stackjob.Proceed, stackjob.Reason{Code: stackjob.ReasonNoGate, Detail: "it only plans"})
	}
	if r, no := forbidden(job, p); no {
		return v(stackjob.Refuse, r)
	}
	manual := p.Controls.IsManual
	pending := p.Controls.DisableOnLifecycleEvents && !askedFor(job)
	if !manual && !pending {
		return v(stackjob.Proceed, stackjob.Reason{Code: stackjob.ReasonNoGate})
	}
	t := countStart(job, p)
	if t.IsMet() {
		return v(stackjob.Proceed, opened(t))
	}
	if manual {
		return v(stackjob.Wait, missing(stackjob.Reason{Code: stackjob.ReasonManual, Detail: p.Name}, t, p))
	}
	return v(stackjob.Wait, missing(stackjob.Reason{Code: stackjob.ReasonPending, Detail: p.Name}, t, p))
}

// AtApply judges a job with its plan: when the plan is made, whenever the policy
// changes, and again right before the plan is applied, with the approvals that the job
// has by then.
//
// A plan that changes nothing proceeds whatever the policy says, unless the job was
// rejected or may not happen at all. An approval counts when it answers the apply gate
// and names the digest of this plan; and where the policy says who must approve, when it
// is one of those, who did not propose the change unless that is allowed, each person
// once. An override counts when it comes, with a reason, from one who the policy names
// for it. A rejection counts always, whoever said it.
func AtApply(job stackjob.Job, plan stackjob.Plan, p stackjob.PolicyChoice) stackjob.Verdict {
	v := func(d stackjob.Decision, r stackjob.Reason) stackjob.Verdict {
		return stackjob.Verdict{Decision: d, Gate: stackjob.GateApply, Reason: r, Policy: p}
	}
	if r, no := rejected(job); no {
		return v(stackjob.Refuse, r)
	}
	if r, no := forbidden(job, p); no {
		return v(stackjob.Refuse, r)
	}
	if !plan.HasChanges && !plan.Counts.Changes() {
		return v(stackjob.Proceed, stackjob.Reason{Code: stackjob.ReasonNoChanges})
	}
	waits, asks := gate(job, plan, p)
	if !asks {
		return v(stackjob.Proceed, stackjob.Reason{Code: stackjob.ReasonNoGate, Detail: p.Name})
	}
	t := Count(job, plan, p)
	if t.IsMet() {
		return v(stackjob.Proceed, opened(t))
	}
	return v(stackjob.Wait, missing(waits, t, p))
}

// gate tells whether somebody must approve the plan, and the weightiest reason.
func gate(job stackjob.Job, plan stackjob.Plan, p stackjob.PolicyChoice) (stackjob.Reason, bool) {
	switch {
	case job.Hold != nil:
		return *job.Hold, true
	case job.Action == stackjob.Destroy && p.Prune == schema.PruneApprove:
		return stackjob.Reason{Code: stackjob.ReasonPruneApproval, Detail: p.Name}, true
	case p.Controls.PauseBetweenPreviewAndUpdateOrDestroy, p.Approvals != nil && p.Approvals.Required > 0:
		return stackjob.Reason{Code: stackjob.ReasonNeedsApproval, Detail: p.Name + ": " + plan.Brief()}, true
	}
	return stackjob.Reason{}, false
}

// opened is why a gate that waited lets a job go on.
func opened(t Tally) stackjob.Reason {
	if t.Overridden != "" {
		return stackjob.Reason{Code: stackjob.ReasonOverridden, Detail: "by " + t.Overridden}
	}
	return stackjob.Reason{Code: stackjob.ReasonApproved, Detail: "by " + strings.Join(t.By, ", ")}
}

// missing adds to the reason of a gate that waits whose approval it waits for, when the
// policy says who, and which approvals did not count.
func missing(r stackjob.Reason, t Tally, p stackjob.PolicyChoice) stackjob.Reason {
	if p.Approvals == nil && len(t.Aside) == 0 {
		return r
	}
	if r.Detail != "" {
		r.Detail += "; "
	}
	r.Detail += t.String()
	return r
}

// forbidden is what no approval helps against.
func forbidden(job stackjob.Job, p stackjob.PolicyChoice) (stackjob.Reason, bool) {
	switch {
	case job.Action != stackjob.Destroy:
		return stackjob.Reason{}, false
	case job.Desired.PreventDestroy:
		return stackjob.Reason{Code: stackjob.ReasonPreventDestroy, Detail: job.Desired.Key.String()}, true
	case p.Prune == schema.PruneForbid:
		return stackjob.Reason{Code: stackjob.ReasonPruneForbidden, Detail: p.Name}, true
	}
	return stackjob.Reason{}, false
}

// rejected finds the newest no. A job that was rejected has ended; should it ever be
// judged again, the no still holds, for whatever plan it was said.
func rejected(job stackjob.Job) (stackjob.Reason, bool) {
	for i := len(job.Approvals) - 1; i >= 0; i-- {
		if a := job.Approvals[i]; a.Rejected {
			return stackjob.Reason{Code: stackjob.ReasonRejected, Detail: "by " + a.Actor.Name}, true
		}
	}
	return stackjob.Reason{}, false
}

// askedFor tells whether a person asked for the job, so that no lifecycle event started
// it.
func askedFor(job stackjob.Job) bool {
	if job.RerunOf != "" || job.Pull != "" { // from a pull request only when somebody says so there
		return true
	}
	for _, b := range job.Because {
		if b.Cause == stackjob.CauseRerun {
			return true
		}
	}
	return false
}
