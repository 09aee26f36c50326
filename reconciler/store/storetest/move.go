package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

var moveTests = []namedTest{
	{"TheWholeLifeOfAJobIsInItsHistory", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		j = s.planning(j.ID)
		op := stackjob.Operation{Kind: stackjob.OpPlan, Attempt: 1, StartedAt: s.now}
		s.move(j.ID, stackjob.Record(s.now, lease(j), op))
		op.Result, op.EndedAt = stackjob.ResultSucceeded, s.now
		s.move(j.ID, stackjob.Record(s.now, lease(j), op))
		j = s.move(j.ID, stackjob.Planned(s.now, lease(j), s.plan("a"), wait()))
		ada := stackjob.Actor{Name: "ada", Via: "socket"}
		j = s.move(j.ID, stackjob.Approve(stackjob.Approval{Actor: ada, Gate: stackjob.GateApply, PlanDigest: j.Plan.ShortDigest(), At: s.now}))
		j = s.move(j.ID, stackjob.StartApply(s.now, owner, s.now.Add(time.Minute), j.Plan.Digest))
		s.move(j.ID, stackjob.Renew(s.now, lease(j), s.now.Add(2*time.Minute)))
		s.move(j.ID, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultSucceeded}, s.observed(j)))

		e := func(seq int64, ev stackjob.Event, st stackjob.State, why stackjob.ReasonCode) store.JobEvent {
			return store.JobEvent{Seq: seq, Job: j.ID, At: s.now, Event: ev, State: st, Reason: stackjob.Reason{Code: why}, Actor: stackjob.System}
		}
		want := []store.JobEvent{
			e(1, stackjob.EvEnqueue, stackjob.Queued, ""), e(2, stackjob.EvStartPlan, stackjob.Planning, ""),
			e(3, stackjob.EvRecord, stackjob.Planning, ""), e(4, stackjob.EvRecord, stackjob.Planning, ""),
			e(5, stackjob.EvHoldApply, stackjob.WaitingApply, stackjob.ReasonNeedsApproval), e(6, stackjob.EvAllowApply, stackjob.Ready, stackjob.ReasonApproved),
			e(7, stackjob.EvStartApply, stackjob.Applying, ""), e(8, stackjob.EvSucceed, stackjob.Succeeded, ""),
		}
		want[2].Operation, want[3].Operation, want[3].Result = stackjob.OpPlan, stackjob.OpPlan, stackjob.ResultSucceeded
		want[5].Actor, want[5].Reason.Detail = ada, "by ada"
		s.equal("history", s.events(""), want)
		s.equal("history of the job", s.events(j.ID), want)
	}},
	{"APlanComesBackWhole", func(t *testing.T, s *subject) {
		j := s.ready(s.enqueued("net", "1").ID)
		want := s.plan("a")
		s.equal("from the move", *j.Plan, want)
		s.equal("from the store", *s.get(j.ID).Plan, want)
		j = s.move(j.ID, stackjob.StartApply(s.now, owner, s.now.Add(time.Minute), j.Plan.Digest))
		want.Consumed = true
		s.equal("consumed", *s.get(j.ID).Plan, want)
	}},
	{"AFreshPlanTakesTheOldOnesPlace", func(t *testing.T, s *subject) {
		j := s.ready(s.enqueued("net", "1").ID)
		s.move(j.ID, stackjob.Replan(s.now, stackjob.Reason{Code: stackjob.ReasonStalePlan}))
		j = s.planning(j.ID)
		if got := s.get(j.ID).Plan; got != nil {
			t.Errorf("the old plan is still there: %+v", got)
		}
		fresh := s.plan("b")
		fresh.Text = "another"
		s.move(j.ID, stackjob.Planned(s.now, lease(j), fresh, proceed()))
		s.equal("plan", *s.get(j.ID).Plan, fresh)
	}},
	{"AnIllegalMoveWritesNothing", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		got, err := s.Move(s.ctx(), j.ID, stackjob.Expire(s.now))
		s.equal("what comes with the error", got, j)
		var illegal *stackjob.IllegalMove
		if !errors.As(err, &illegal) {
			t.Fatalf("got %v", err)
		}
		s.equal("job", s.get(j.ID), j)
		s.equal("history", len(s.events("")), 1)
	}},
	{"ALateWriterIsFenced", func(t *testing.T, s *subject) {
		j := s.planning(s.enqueued("net", "1").ID)
		s.now = s.now.Add(2 * time.Minute)
		taken := s.move(j.ID, stackjob.TakeOver(s.now, "daemon-2", s.now.Add(time.Minute)))
		for _, m := range []stackjob.Move{
			stackjob.Renew(s.now, lease(j), s.now.Add(time.Minute)),
			stackjob.Planned(s.now, lease(j), s.plan("a"), proceed()),
			stackjob.Fail(s.now, leaseOf(j), stackjob.Reason{Code: stackjob.ReasonEngine}),
		} {
			if _, err := s.Move(s.ctx(), j.ID, m); !errors.Is(err, stackjob.ErrFenced) {
				t.Errorf("%s: got %v", m.Event(), err)
			}
		}
		s.equal("job", s.get(j.ID), taken)
	}},
	{"AnUnknownJobIsNotFound", func(t *testing.T, s *subject) {
		if _, err := s.Move(s.ctx(), "sj_nobody", stackjob.Expire(s.now)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("move: %v", err)
		}
		if _, err := s.Job(s.ctx(), "sj_nobody"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("job: %v", err)
		}
	}},
	{"OneJobOfAStackRuns", func(t *testing.T, s *subject) {
		first := s.planning(s.enqueued("net", "1").ID)
		second := s.enqueued("net", "2")
		got, err := s.Move(s.ctx(), second.ID, stackjob.StartPlan(s.now, owner, s.now.Add(time.Minute), builtIn))
		if !errors.Is(err, store.ErrStackBusy) {
			t.Fatalf("got %v", err)
		}
		s.equal("what comes with the error", got, second)
		s.equal("second", s.get(second.ID), second)
		s.move(first.ID, stackjob.Fail(s.now, leaseOf(first), stackjob.Reason{Code: stackjob.ReasonEngine}))
		s.equal("then", s.planning(second.ID).State, stackjob.Planning)
	}},
	{"APlanOnlyJobKeepsOthersOutToo", func(t *testing.T, s *subject) {
		p := s.job("net", "1")
		p.Purpose = stackjob.PlanOnly
		s.enqueue(p)
		s.planning(p.ID)
		j := s.enqueued("net", "2")
		if _, err := s.Move(s.ctx(), j.ID, stackjob.StartPlan(s.now, owner, s.now.Add(time.Minute), builtIn)); !errors.Is(err, store.ErrStackBusy) {
			t.Fatalf("got %v", err)
		}
	}},
	{"OfManyClaimsAtOnceOneWins", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		const rivals = 16
		errs := make([]error, rivals)
		var wg sync.WaitGroup
		for i := range rivals {
			wg.Go(func() {
				_, errs[i] = s.Move(s.ctx(), j.ID, stackjob.StartPlan(s.now, owner, s.now.Add(time.Minute), builtIn))
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			var illegal *stackjob.IllegalMove
			switch {
			case err == nil:
				won++
			case !errors.As(err, &illegal):
				t.Errorf("a loser got %v", err)
			}
		}
		s.equal("winners", won, 1)
		s.equal("fence", s.get(j.ID).Fence, int64(1))
	}},
	{"APlanRunsOnce", func(t *testing.T, s *subject) {
		j := s.applying(s.enqueued("net", "1").ID)
		if _, err := s.Move(s.ctx(), j.ID, stackjob.StartApply(s.now, owner, s.now.Add(time.Minute), j.Plan.Digest)); err == nil {
			t.Fatal("the plan was consumed twice")
		}
		s.reopen()
		if _, err := s.Move(s.ctx(), j.ID, stackjob.StartApply(s.now, owner, s.now.Add(time.Minute), j.Plan.Digest)); err == nil {
			t.Fatal("the plan was consumed again after a restart")
		}
	}},
	{"WhatIsWrittenIsThereAfterARestart", func(t *testing.T, s *subject) {
		j := s.succeeded(s.enqueued("net", "1").ID)
		other := s.ready(s.enqueued("other", "1").ID)
		history := s.events("")
		s.reopen()
		s.equal("job", s.get(j.ID), j)
		s.equal("other", s.get(other.ID), other)
		s.equal("history", s.events(""), history)
	}},
	{"AStoppedCallerWritesNothing", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		ctx, stop := cancelled()
		defer stop()
		if _, err := s.Move(ctx, j.ID, stackjob.Cancel(s.now, nil, stackjob.System)); err == nil {
			t.Fatal("it was written")
		}
		s.equal("job", s.get(j.ID), j)
	}},
}
