package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

func (s *subject) turn(stack string, number int) {
	s.t.Helper()
	t := pull.Turn{Stack: key(stack), Pull: pr(number).Key, By: stackjob.Actor{Name: "ada", Via: "gitea"}, At: s.now}
	if err := s.TakeTurn(s.ctx(), t); err != nil {
		s.t.Fatal(err)
	}
}

func (s *subject) turns() pull.Turns {
	s.t.Helper()
	list, err := s.Turns(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

var turnTests = []namedTest{
	{"TheFirstThatAsksHoldsAStack", func(t *testing.T, s *subject) {
		for _, n := range []int{7, 8, 9, 8} { // who asks again stays in its place
			s.turn("net", n)
		}
		s.turn("app", 8)
		s.reopen()
		holder, held := s.turns().Holder(key("net"))
		s.equal("held", held, true)
		s.equal("holder", holder, pr(7).Key)
		for n, place := range map[int]int{7: 0, 8: 1, 9: 2, 10: -1} {
			s.equal("place", s.turns().Place(key("net"), pr(n).Key), place)
		}
		s.equal("of another stack", s.turns().Place(key("app"), pr(8).Key), 0)
		if _, held := s.turns().Holder(key("nobody")); held {
			t.Error("a stack that nobody asked for is held")
		}
	}},
	{"ATurnThatEndsIsTheNextOnes", func(t *testing.T, s *subject) {
		for _, n := range []int{7, 8} {
			s.turn("net", n)
			s.turn("app", n)
		}
		ended, err := s.EndTurns(s.ctx(), pr(7).Key, key("net"), key("nobody"))
		s.equal("error", err, nil)
		s.equal("ended", ended, []schema.ResourceKey{key("net")})
		holder, _ := s.turns().Holder(key("net"))
		s.equal("the next", holder, pr(8).Key)
		s.equal("the other stays", s.turns().Place(key("app"), pr(7).Key), 0)
		s.turn("net", 7)
		s.equal("who comes back is the last", s.turns().Place(key("net"), pr(7).Key), 1)
		ended, err = s.EndTurns(s.ctx(), pr(7).Key)
		s.equal("error", err, nil)
		s.equal("all of it", ended, []schema.ResourceKey{key("app"), key("net")})
		ended, err = s.EndTurns(s.ctx(), pr(7).Key)
		s.equal("error", err, nil)
		s.equal("nothing is left", len(ended), 0)
		if err := s.TakeTurn(s.ctx(), pull.Turn{Stack: key("net")}); err == nil {
			t.Error("a turn of nobody was taken")
		}
	}},
	{"WhatWasSaidInAPullRequestIsForgotten", func(_ *testing.T, s *subject) {
		elsewhere := approval("net", "d1", "grace", s.now)
		elsewhere.Pull = pr(8).Key
		other := approval("net", "d1", "linus", s.now)
		other.Pull.Repository = "other"
		byReview := approval("app", "d3", "ada", s.now)
		byReview.Review = "31"
		for _, a := range []pull.Approval{approval("net", "d1", "ada", s.now), approval("net", "d2", "ada", s.now), byReview, elsewhere, other} {
			s.equal("record", s.RecordApproval(s.ctx(), a), nil)
		}
		stacks, err := s.ForgetApprovals(s.ctx(), pr(7).Key)
		s.equal("error", err, nil)
		s.equal("stacks", stacks, []schema.ResourceKey{key("app"), key("net")})
		s.equal("of others", s.approvals(key("net"), "d1"), []string{"grace", "linus"})
		s.equal("another plan", s.approvals(key("net"), "d2"), []string(nil))
		s.equal("a review", s.approvals(key("app"), "d3"), []string(nil))
		stacks, err = s.ForgetApprovals(s.ctx(), pr(7).Key)
		s.equal("error", err, nil)
		s.equal("nothing is left", len(stacks), 0)
	}},
	{"AnOperatorEndsATurnAndSaysWhy", func(t *testing.T, s *subject) {
		s.turn("net", 7)
		s.turn("net", 8)
		s.turn("app", 7)
		r := pull.Release{Stack: key("net"), Pull: pr(7).Key, By: stackjob.Actor{Name: "root", Via: "socket"}, At: s.now, Reason: "it was deleted", Applied: true}
		s.equal("error", s.Release(s.ctx(), r), nil)
		s.reopen()
		holder, _ := s.turns().Holder(key("net"))
		s.equal("the next", holder, pr(8).Key)
		s.equal("the other stays", s.turns().Place(key("app"), pr(7).Key), 0)
		if err := s.Release(s.ctx(), r); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("ended twice: %v", err)
		}
		second := r
		second.Pull, second.At, second.Reason, second.Applied = pr(8).Key, s.now.Add(time.Second), "so was this", false
		s.equal("error", s.Release(s.ctx(), second), nil)
		said, err := s.Releases(s.ctx(), key("net"), 10)
		s.equal("error", err, nil)
		s.equal("newest first", said, []pull.Release{second, r})
		said, err = s.Releases(s.ctx(), key("net"), 1)
		s.equal("error", err, nil)
		s.equal("as many as asked for", said, []pull.Release{second})
		for _, bad := range []pull.Release{{Stack: key("app"), Pull: pr(7).Key, Reason: "x"}, {Stack: key("app"), Pull: pr(7).Key, By: r.By}} {
			if err := s.Release(s.ctx(), bad); err == nil {
				t.Errorf("ended by nobody or for no reason: %+v", bad)
			}
		}
		s.equal("still there", s.turns().Place(key("app"), pr(7).Key), 0)
	}},
	{"AReviewIsWithdrawnAndNoWordOfAPerson", func(_ *testing.T, s *subject) {
		byReview, said := approval("net", "d1", "ada", s.now), approval("net", "d1", "grace", s.now)
		byReview.Review = "31"
		other := approval("net", "d2", "ada", s.now)
		other.Review = "32"
		for _, a := range []pull.Approval{byReview, said, other} {
			s.equal("record", s.RecordApproval(s.ctx(), a), nil)
		}
		s.equal("of another pull request", s.WithdrawReview(s.ctx(), key("net"), pr(8).Key, "31"), nil)
		s.equal("both", s.approvals(key("net"), "d1"), []string{"ada", "grace"})
		s.equal("withdraw", s.WithdrawReview(s.ctx(), key("net"), pr(7).Key, "31"), nil)
		s.equal("one", s.approvals(key("net"), "d1"), []string{"grace"})
		s.equal("another review", s.approvals(key("net"), "d2"), []string{"ada"})
		again := approval("net", "d2", "ada", s.now)
		s.equal("record", s.RecordApproval(s.ctx(), again), nil)
		s.equal("withdraw", s.WithdrawReview(s.ctx(), key("net"), pr(7).Key, "32"), nil)
		s.equal("the own word stays", s.approvals(key("net"), "d2"), []string{"ada"})
	}},
}
