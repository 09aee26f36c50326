package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

var stackTests = []namedTest{
	{"AStackNobodyHeardOfHasOnlyItsKey", func(t *testing.T, s *subject) {
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("stack", st, stackjob.Stack{Key: key("net")})
	}},
	{"WhatWasAppliedIsObserved", func(t *testing.T, s *subject) {
		j := s.succeeded(s.enqueued("net", "1").ID)
		want := stackjob.Stack{Key: key("net"), Observed: s.observed(j),
			Last: &stackjob.LastJob{ID: j.ID, State: stackjob.Succeeded, Action: stackjob.Apply, DesiredDigest: j.DesiredDigest, Commit: "c0ffee", EndedAt: s.now}}
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("stack", st, want)
		all, err := s.Stacks(s.ctx(), "")
		s.equal("error", err, nil)
		s.equal("stacks", all, map[schema.ResourceKey]stackjob.Stack{key("net"): want})
	}},
	{"AFailureKeepsWhatWasObserved", func(t *testing.T, s *subject) {
		done := s.succeeded(s.enqueued("net", "1").ID)
		failed := s.failed(s.enqueued("net", "2").ID)
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("observed", st.Observed, s.observed(done))
		s.equal("last", st.Last.ID, failed.ID)
		s.equal("reason", st.Last.Reason.Code, stackjob.ReasonEngine)
	}},
	{"AWishThatIsOverIsSaidToBeSoOfTheLastJobOnly", func(t *testing.T, s *subject) {
		first := s.failed(s.enqueued("net", "1").ID)
		last := s.failed(s.enqueued("net", "2").ID)
		over := func(ids ...stackjob.JobID) bool {
			t.Helper()
			_, err := s.Enqueue(s.ctx(), store.Enqueue{Over: ids})
			s.equal("enqueue", err, nil)
			s.reopen()
			st, err := s.Stack(s.ctx(), key("net"))
			s.equal("error", err, nil)
			s.equal("last", st.Last.ID, last.ID)
			s.equal("how it ended", st.Last.State, stackjob.Failed)
			return st.Last.Over
		}
		s.equal("over", over(), false)
		s.equal("over with an older one", over(first.ID, "sj_unknown"), false)
		s.equal("over", over(last.ID), true)
		s.equal("over twice", over(last.ID), true)
		last = s.failed(s.enqueued("net", "2").ID)
		s.equal("the next one is over", over(), false)
	}},
	{"ARestoreUsesApprovalsUpAndIsTheLastJob", func(t *testing.T, s *subject) {
		was := s.observed(s.succeeded(s.enqueued("net", "1").ID))
		s.equal("record", s.RecordApproval(s.ctx(), approval("net", "d1", "ada", s.now)), nil)
		j := s.restoring("net")
		s.equal("approvals", s.approvals(key("net"), "d1"), []string(nil))
		other := s.enqueued("net", "2")
		_, err := s.Move(s.ctx(), other.ID, stackjob.StartPlan(s.now, owner, s.now.Add(time.Minute), builtIn))
		s.equal("a plan beside it", errors.Is(err, store.ErrStackBusy), true)
		was.JobID = j.ID
		s.move(j.ID, stackjob.Restored(s.now, lease(j), stackjob.Operation{Kind: stackjob.OpRestore, Result: stackjob.ResultSucceeded, StartedAt: s.now}, *j.Restore, *was))
		s.reopen()
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		was.Complete, was.Restored = false, j.Restore
		s.equal("observed", st.Observed, was)
		s.equal("last", st.Last, &stackjob.LastJob{ID: j.ID, State: stackjob.Succeeded, Action: stackjob.Restore, DesiredDigest: j.DesiredDigest, Commit: "c0ffee", EndedAt: s.now})
		events := s.events(j.ID)
		s.equal("by", events[len(events)-1].Actor, j.Restore.By)
	}},
	{"ARestoreThatFailedLeavesTheLastJob", func(t *testing.T, s *subject) {
		last := s.failed(s.enqueued("net", "1").ID)
		j := s.restoring("net")
		s.move(j.ID, stackjob.Fail(s.now, leaseOf(j), stackjob.Reason{Code: stackjob.ReasonStateNotRestored}))
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("last", st.Last.ID, last.ID)
	}},
	{"ARestoreOfWhichNothingIsKnownLeavesTheLastJobAndNoTrust", func(t *testing.T, s *subject) {
		last := s.succeeded(s.enqueued("net", "1").ID)
		was := s.observed(last)
		j := s.restoring("net")
		s.move(j.ID, stackjob.RestoreUnknown(s.now, lease(j), stackjob.Reason{Code: stackjob.ReasonRestoreUnknown}, *j.Restore, *was))
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		done := *j.Restore
		done.Unknown = true
		was.Complete, was.Restored = false, &done
		s.equal("observed", st.Observed, was)
		s.equal("last", st.Last.ID, last.ID)
	}},
	{"AnInterruptedApplyIsNotComplete", func(t *testing.T, s *subject) {
		j := s.applying(s.enqueued("net", "1").ID)
		o := s.observed(j)
		o.Complete = false
		s.move(j.ID, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultInterrupted,
			Reason: stackjob.Reason{Code: stackjob.ReasonRunnerLost}}, o))
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		o.Interrupted = true // the move says so
		s.equal("observed", st.Observed, o)
		s.equal("last", st.Last.State, stackjob.Interrupted)
	}},
	{"ADestroyedStackIsForgotten", func(t *testing.T, s *subject) {
		s.succeeded(s.enqueued("net", "1").ID)
		d := s.job("net", "1")
		d.Action, d.Because = stackjob.Destroy, []stackjob.Because{{Cause: stackjob.CauseRemoved}}
		s.enqueue(d)
		j := s.applying(d.ID)
		s.move(d.ID, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultSucceeded}, nil))
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		if st.Observed != nil {
			t.Errorf("still observed: %+v", st.Observed)
		}
		s.equal("last", st.Last.Action, stackjob.Destroy)
	}},
	{"TheNewestOpenJobIsShown", func(t *testing.T, s *subject) {
		s.planning(s.enqueued("net", "1").ID)
		next := s.enqueued("net", "2")
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("open", *st.Open, next)
	}},
	{"AnOpenJobIsShownWithoutTheLargePartsOfItsPlan", func(t *testing.T, s *subject) {
		j := s.ready(s.enqueued("net", "1").ID)
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("open", *st.Open, slim(j))
	}},
	{"APlanOfAPullRequestIsNoPartOfTheStack", func(t *testing.T, s *subject) {
		p := s.job("net", "1")
		p.Purpose = stackjob.PlanOnly
		s.enqueue(p)
		j := s.planning(p.ID)
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("while it runs", st, stackjob.Stack{Key: key("net")})
		s.move(p.ID, stackjob.PlannedOnly(s.now, lease(j), s.plan("a")))
		st, err = s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("after it", st, stackjob.Stack{Key: key("net")})
	}},
	{"AJobRecordsOnlyItsOwnStack", func(t *testing.T, s *subject) {
		j := s.applying(s.enqueued("net", "1").ID)
		o := s.observed(j)
		o.Key = key("other")
		if _, err := s.Move(s.ctx(), j.ID, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultSucceeded}, o)); err == nil {
			t.Fatal("it was written")
		}
		s.equal("job", s.get(j.ID).State, stackjob.Applying)
	}},
	{"OrganizationsAreApart", func(t *testing.T, s *subject) {
		s.succeeded(s.enqueued("net", "1").ID)
		j := s.job("net", "1")
		j.Desired.Key.Org = "umbrella"
		s.enqueue(j)
		all, err := s.Stacks(s.ctx(), "umbrella")
		s.equal("error", err, nil)
		s.equal("stacks", all, map[schema.ResourceKey]stackjob.Stack{j.Desired.Key: {Key: j.Desired.Key, Open: &j}})
	}},
}

// slim is a job as a list shows it.
func slim(j stackjob.Job) stackjob.Job {
	if j.Plan != nil {
		p := *j.Plan
		p.Resources, p.Outputs, p.Drift, p.Text = nil, nil, nil, ""
		j.Plan = &p
	}
	return j
}
