package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

var enqueueTests = []namedTest{
	{"EveryFieldOfAJobComesBack", func(t *testing.T, s *subject) {
		j := s.job("net", "1")
		j.Hold = &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of 20"}
		j.RerunOf = "sj_old"
		j.Actor = stackjob.Actor{Name: "ada", Via: "token"}
		s.equal("ids", s.enqueue(j), []stackjob.JobID{j.ID})
		s.equal("job", s.get(j.ID), j)
	}},
	{"TheSameJobAgainIsLeftOut", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		s.equal("ids", s.enqueue(s.job("net", "1")), []stackjob.JobID(nil))
		s.equal("the first one", s.get(j.ID).State, stackjob.Queued)
		s.equal("history", len(s.events("")), 1)
	}},
	{"TheSameEnqueueAgainChangesNothing", func(t *testing.T, s *subject) {
		a := s.job("a", "1")
		b := s.job("b", "1", a.ID)
		e := store.Enqueue{Revision: store.RevisionRecord{Repository: "config", Commit: "c1"}, Jobs: []stackjob.Job{a, b}}
		if _, err := s.Enqueue(s.ctx(), e); err != nil {
			t.Fatal(err)
		}
		ids, err := s.Enqueue(s.ctx(), e)
		s.equal("error", err, nil)
		s.equal("ids", ids, []stackjob.JobID(nil))
		s.equal("b", s.get(b.ID).WaitsFor, []stackjob.JobID{a.ID})
	}},
	{"AJobThatRunsIsLeftAlone", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		s.planning(j.ID)
		next := s.enqueued("net", "2")
		s.equal("running", s.get(j.ID).State, stackjob.Planning)
		s.equal("next", next.State, stackjob.Queued)
	}},
	{"ANewerStateSupersedesWhatHasNotStarted", func(t *testing.T, s *subject) {
		queued := s.enqueued("net", "1")
		next := s.enqueued("net", "2")
		old := s.get(queued.ID)
		s.equal("state", old.State, stackjob.Superseded)
		s.equal("reason", old.Reason, stackjob.Reason{Code: stackjob.ReasonNewerRevision, Detail: string(next.ID)})
		if !old.EndedAt.Equal(s.now) {
			t.Errorf("ended at %v, want %v", old.EndedAt, s.now)
		}
		st, err := s.Stack(s.ctx(), key("net"))
		s.equal("error", err, nil)
		s.equal("open", st.Open.ID, next.ID)
		if st.Last != nil {
			t.Errorf("a superseded job is recorded as the stack's last: %+v", st.Last)
		}
	}},
	{"AJobThatWaitsForApprovalIsSuperseded", func(t *testing.T, s *subject) {
		j := s.planning(s.enqueued("net", "1").ID)
		s.move(j.ID, stackjob.Planned(s.now, lease(j), s.plan("a"), wait()))
		s.enqueued("net", "2")
		s.equal("state", s.get(j.ID).State, stackjob.Superseded)
	}},
	{"GoingBackSupersedesWhatCameBetween", func(t *testing.T, s *subject) {
		// One applies, two waits behind it, and then one is wanted again: two must
		// not be applied, although a job that makes "1" is open.
		one := s.applying(s.enqueued("net", "1").ID)
		two := s.enqueued("net", "2")
		again := s.enqueued("net", "1")
		s.equal("one", s.get(one.ID).State, stackjob.Applying)
		s.equal("two", s.get(two.ID).State, stackjob.Superseded)
		s.equal("again", again.State, stackjob.Queued)
		s.equal("a third time", s.enqueue(s.job("net", "1")), []stackjob.JobID(nil))
	}},
	{"AnotherCauseIsAnotherJob", func(t *testing.T, s *subject) {
		s.enqueued("net", "1")
		j := s.job("net", "1")
		j.Because = []stackjob.Because{{Cause: stackjob.CauseOutput, Detail: "acme/dev/Vpc/v status.outputs.id"}}
		s.equal("ids", s.enqueue(j), []stackjob.JobID{j.ID})
	}},
	{"AHeldJobIsNeverReplacedByOneThatIsNotHeld", func(t *testing.T, s *subject) {
		hold := &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of the 20"}
		destroy := func(inputs string, hold *stackjob.Reason, because ...stackjob.Because) stackjob.Job {
			j := s.job("net", inputs)
			j.Action, j.Hold = stackjob.Destroy, hold
			j.Because = append([]stackjob.Because{{Cause: stackjob.CauseRemoved}}, because...)
			return j
		}
		held := destroy("1", hold)
		s.equal("ids", s.enqueue(held), []stackjob.JobID{held.ID})
		s.reopen()
		s.equal("the same without the hold", s.enqueue(destroy("1", nil)), []stackjob.JobID(nil))
		again := destroy("1", nil, stackjob.Because{Cause: stackjob.CauseRerun, Detail: "by ada"})
		s.equal("a rerun", s.enqueue(again), []stackjob.JobID{again.ID})
		s.equal("the first", s.get(held.ID).State, stackjob.Superseded)
		s.equal("its hold", s.get(again.ID).Hold, hold)
		other := destroy("2", nil)
		s.equal("of another state", s.enqueue(other), []stackjob.JobID{other.ID})
		s.equal("its hold", s.get(other.ID).Hold, hold)
		j := s.planning(other.ID)
		s.move(j.ID, stackjob.Planned(s.now, lease(j), s.plan("a"), wait()))
		s.equal("with its plan", s.enqueue(destroy("2", nil)), []stackjob.JobID(nil))
		// The document is back: what is held is the removal.
		back := s.enqueued("net", "3")
		s.equal("the removal", s.get(other.ID).State, stackjob.Superseded)
		if back.Hold != nil {
			t.Errorf("the apply is held: %v", back.Hold)
		}
	}},
	{"APlanOfAPullRequestTakesNobodysPlace", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		p := s.job("net", "2")
		p.Purpose = stackjob.PlanOnly
		s.equal("ids", s.enqueue(p), []stackjob.JobID{p.ID})
		s.equal("state", s.get(j.ID).State, stackjob.Queued)
		s.enqueued("net", "3")
		s.equal("plan", s.get(p.ID).State, stackjob.Queued)
	}},
	{"WaitsForAJobThatWasLeftOutNameTheOneThatIsThere", func(t *testing.T, s *subject) {
		a := s.enqueued("a", "1")
		left := s.job("a", "1")
		b := s.job("b", "1", left.ID)
		s.equal("ids", s.enqueue(left, b), []stackjob.JobID{b.ID})
		s.equal("b waits for", s.get(b.ID).WaitsFor, []stackjob.JobID{a.ID})
	}},
	{"WaitsMoveToTheJobThatTookThePlace", func(t *testing.T, s *subject) {
		a := s.enqueued("a", "1")
		b := s.enqueued("b", "1", a.ID)
		a2 := s.enqueued("a", "2")
		s.equal("b waits for", s.get(b.ID).WaitsFor, []stackjob.JobID{a2.ID})
		looks := s.work(4)
		looks.none(b.ID, func() { s.planning(a2.ID) })
		looks.some(b.ID, func() {
			j := s.get(a2.ID)
			s.move(j.ID, stackjob.Fail(s.now, leaseOf(j), stackjob.Reason{Code: stackjob.ReasonEngine}))
		})
	}},
	{"AnOrderThatWasTurnedRoundMakesNoCircle", func(t *testing.T, s *subject) {
		a := s.enqueued("a", "1")
		b := s.enqueued("b", "1", a.ID)
		// Now a follows b: b stays as it is, and a's new job waits for it.
		a2 := s.job("a", "2", b.ID)
		s.equal("ids", s.enqueue(a2), []stackjob.JobID{a2.ID})
		s.equal("a waits for", s.get(a2.ID).WaitsFor, []stackjob.JobID{b.ID})
		s.equal("b waits for", s.get(b.ID).WaitsFor, []stackjob.JobID(nil))
	}},
	{"WhatNeedsNothingAnyMoreEnds", func(t *testing.T, s *subject) {
		queued, running := s.enqueued("a", "1"), s.enqueued("b", "1")
		s.planning(running.ID)
		_, err := s.Enqueue(s.ctx(), store.Enqueue{Supersede: []stackjob.JobID{queued.ID, running.ID, "sj_unknown"}})
		s.equal("error", err, nil)
		s.equal("queued", s.get(queued.ID).State, stackjob.Superseded)
		s.equal("reason", s.get(queued.ID).Reason.Code, stackjob.ReasonNothingToDo)
		s.equal("running", s.get(running.ID).State, stackjob.Planning)
	}},
	{"AJobThatWaitsForNobodyKnownIsRefused", func(t *testing.T, s *subject) {
		a, b := s.job("a", "1"), s.job("b", "1", "sj_nobody")
		e := store.Enqueue{Revision: store.RevisionRecord{Repository: "config", Commit: "c1"}, Jobs: []stackjob.Job{a, b}}
		if _, err := s.Enqueue(s.ctx(), e); err == nil {
			t.Fatal("it was written")
		}
		// All or nothing: neither the other job nor the revision is there.
		if _, err := s.Job(s.ctx(), a.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the other job: %v", err)
		}
		if _, err := s.LastRevision(s.ctx(), "config"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the revision: %v", err)
		}
	}},
	{"MalformedJobsAreRefused", func(t *testing.T, s *subject) {
		noID, noStack, running := s.job("a", "1"), s.job("b", "1"), s.job("c", "1")
		noID.ID = ""
		noStack.Desired.Key.Org, noStack.Desired.Key.Env, noStack.Desired.Key.Kind, noStack.Desired.Key.Name = "", "", "", ""
		running.State = stackjob.Planning
		two := s.job("d", "1")
		taken := s.enqueued("e", "1")
		double := s.job("f", "1")
		double.ID = taken.ID
		for name, jobs := range map[string][]stackjob.Job{"no id": {noID}, "no stack": {noStack}, "running": {running},
			"one stack twice": {two, s.job("d", "2")}, "an id in use": {double}} {
			if _, err := s.Enqueue(s.ctx(), store.Enqueue{Jobs: jobs}); err == nil {
				t.Errorf("%s: it was written", name)
			}
		}
		s.equal("history", len(s.events("")), 1)
	}},
	{"TheRevisionIsRecordedWithItsJobs", func(t *testing.T, s *subject) {
		r := store.RevisionRecord{Repository: "config", Commit: "c1", Subject: "Add the network", TreeHash: "t1", Errors: 1, Warnings: 2,
			Report: "a.yaml:1:1: error", Changes: 1, CommittedAt: epoch.Add(-time.Hour), ComparedAt: epoch}
		if _, err := s.Enqueue(s.ctx(), store.Enqueue{Revision: r, Jobs: []stackjob.Job{s.job("net", "1")}}); err != nil {
			t.Fatal(err)
		}
		got, err := s.LastRevision(s.ctx(), "config")
		s.equal("error", err, nil)
		s.equal("revision", got, r)
	}},
	{"TheNewestRevisionIsTheOneComparedLast", func(t *testing.T, s *subject) {
		for _, c := range []string{"c1", "c2", "c1"} { // the branch was moved back
			s.now = s.now.Add(time.Minute)
			if err := s.RecordRevision(s.ctx(), store.RevisionRecord{Repository: "config", Commit: c, ComparedAt: s.now}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.LastRevision(s.ctx(), "config")
		s.equal("error", err, nil)
		s.equal("revision", got, store.RevisionRecord{Repository: "config", Commit: "c1", ComparedAt: s.now})
		if _, err := s.LastRevision(s.ctx(), "other"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another repository: %v", err)
		}
	}},
}
