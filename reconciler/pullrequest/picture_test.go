package pullrequest

import (
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var seven = pull.Key{Repository: "infra", Number: 7}

// at is the key of a stack in an environment: "prod/db".
func at(name string) schema.ResourceKey {
	env, stack, named := strings.Cut(name, "/")
	if !named {
		return key(name)
	}
	k := key(stack)
	k.Env = env
	return k
}

var (
	// asks wants every plan approved, by one who may write.
	asks = stackjob.PolicyChoice{Name: "acme/ask", Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true}}
	// open lets everything through.
	open = stackjob.PolicyChoice{Name: "acme/open"}
	// first lets what it approves be applied before the merge.
	first = stackjob.PolicyChoice{Name: "acme/first", Controls: asks.Controls, ApplyBeforeMerge: true}
	// forbids lets nothing be destroyed.
	forbids = stackjob.PolicyChoice{Name: "acme/forbid", Prune: schema.PruneForbid}
)

// with is a row in which something is another way.
type with func(*subject)

// made is a row whose plan has been made and updates one resource.
func made(name string, but ...with) subject {
	k := at(name)
	s := subject{row: pull.Row{Key: k, Action: stackjob.Apply, Job: stackjob.JobID("sj_" + k.Name)}, choice: asks}
	s.job = &stackjob.Job{ID: s.row.Job, Purpose: stackjob.PlanOnly, Action: stackjob.Apply, Desired: stackjob.Desired{Key: k}, State: stackjob.Succeeded,
		Plan: &stackjob.Plan{Digest: "sha256:" + k.Name, HasChanges: true, Counts: stackjob.Counts{Update: 1}, Engine: "terraform 1.11.4"}}
	for _, b := range but {
		b(&s)
	}
	return s
}

func under(c stackjob.PolicyChoice) with { return func(s *subject) { s.choice = c } }

func in(state stackjob.State, why ...stackjob.ReasonCode) with {
	return func(s *subject) {
		s.job.State = state
		for _, code := range why {
			s.job.Reason = stackjob.Reason{Code: code}
		}
		if state == stackjob.Queued || state == stackjob.Planning || state == stackjob.Failed || state == stackjob.Interrupted {
			s.job.Plan = nil
		}
	}
}

func unchanged(s *subject) {
	s.job.Plan.HasChanges, s.job.Plan.Counts = false, stackjob.Counts{NoOp: 1}
}
func unplanned(s *subject) { s.job, s.row.Job = nil, "" }
func destroys(s *subject)  { s.row.Action, s.job.Action = stackjob.Destroy, stackjob.Destroy }

func after(names ...string) with {
	return func(s *subject) {
		for _, n := range names {
			s.row.After = append(s.row.After, at(n))
		}
	}
}

func deferredUntil(name string) with {
	return func(s *subject) {
		unplanned(s)
		k := at(name)
		s.row.Deferred = &k
	}
}

func broken(code stackjob.ReasonCode) with {
	return func(s *subject) {
		unplanned(s)
		s.row.Error = stackjob.Reason{Code: code}
	}
}

// yesOf is a person's approval of the plan that the row has.
func yesOf(name string) with {
	return func(s *subject) {
		s.said = append(s.said, pull.Approval{Stack: s.row.Key, Pull: seven, Approval: stackjob.Approval{Actor: stackjob.Actor{Name: name, Via: "github"},
			Gate: stackjob.GateApply, PlanDigest: s.job.Plan.Digest, At: noon}})
	}
}

func noOf(name string) with {
	return func(s *subject) {
		yesOf(name)(s)
		s.said[len(s.said)-1].Rejected = true
	}
}

// carriedOut makes the job one that applies.
func carriedOut(state stackjob.State) with {
	return func(s *subject) {
		s.carries, s.planned = true, s.job.Plan
		s.job.Purpose, s.job.State = stackjob.Reconcile, state
	}
}

// askedFor is an apply before the merge that goes on.
func askedFor(job stackjob.JobID) with {
	return func(s *subject) { s.apply = &pull.Apply{Stack: s.row.Key, Job: job, Enqueued: job != ""} }
}

// of is the picture of an open pull request.
func of(rows ...subject) picture {
	p := picture{rows: rows, page: func(stackjob.JobID) string { return "" }, pull: pull.Pull{Key: seven, Phase: pull.Open,
		Proposal: pull.Proposal{Head: "head", Author: "ada", BaseBranch: "main"}, Round: &pull.Round{Number: 1, Head: "head", Base: "base"}}}
	for _, s := range rows {
		p.pull.Round.Rows = append(p.pull.Round.Rows, s.row)
	}
	return p
}

func merged(in picture) picture {
	in.pull.Phase, in.pull.Proposal.Merged, in.landed = pull.Landing, true, true
	return in
}

func closed(in picture) picture {
	in.pull.Proposal.Closed = true
	return in
}

func refused(code stackjob.ReasonCode) picture {
	in := of()
	in.pull.Round.Refused = stackjob.Reason{Code: code}
	return in
}
