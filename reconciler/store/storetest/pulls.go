package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

func (s *subject) save(p pull.Pull, version int64) int64 {
	s.t.Helper()
	v, err := s.SavePull(s.ctx(), p, version)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func pr(number int) pull.Pull {
	return pull.Pull{Key: pull.Key{Repository: "infra", Number: number}, Phase: pull.Open, Proposal: pull.Proposal{Title: "change", Head: "abc"}}
}

func (s *subject) numbers(q store.PullQuery) []int {
	s.t.Helper()
	list, err := s.Pulls(s.ctx(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []int
	for _, p := range list {
		out = append(out, p.Key.Number)
	}
	return out
}

func approval(stack, digest, who string, at time.Time) pull.Approval {
	return pull.Approval{Stack: key(stack), Pull: pull.Key{Repository: "infra", Number: 7}, Approval: stackjob.Approval{
		Actor: stackjob.Actor{Name: who, Via: "gitea"}, Gate: stackjob.GateApply, PlanDigest: digest, At: at}}
}

func (s *subject) approvals(stack schema.ResourceKey, digest string) []string {
	s.t.Helper()
	list, err := s.Approvals(s.ctx(), stack, digest)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		text := a.Actor.Name
		if a.Rejected {
			text = "not " + text
		}
		out = append(out, text)
	}
	return out
}

var pullTests = []namedTest{
	{"APullRequestIsReadAsItWasWritten", func(t *testing.T, s *subject) {
		if _, _, err := s.Pull(s.ctx(), pr(7).Key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before it was written: %v", err)
		}
		p := pr(7)
		p.Round = &pull.Round{Number: 1, Head: "abc", Rows: []pull.Row{{Key: key("net"), Job: "sj_1"}}}
		v := s.save(p, 0)
		s.reopen()
		got, version, err := s.Pull(s.ctx(), p.Key)
		s.equal("error", err, nil)
		s.equal("version", version, v)
		s.equal("pull request", got, p)
	}},
	{"OnlyWhoReadTheNewestRecordWrites", func(t *testing.T, s *subject) {
		v := s.save(pr(7), 0)
		for _, old := range []int64{0, v - 1, v + 1} {
			if _, err := s.SavePull(s.ctx(), pr(7), old); !errors.Is(err, store.ErrConflict) {
				t.Errorf("at version %d: %v", old, err)
			}
		}
		s.save(pr(7), v)
	}},
	{"PullRequestsAreListed", func(t *testing.T, s *subject) {
		for n := 1; n <= 3; n++ {
			p := pr(n)
			if n == 2 {
				p.Phase = pull.Done
			}
			s.save(p, 0)
		}
		other := pr(9)
		other.Key.Repository = "other"
		s.save(other, 0)
		s.equal("all", s.numbers(store.PullQuery{}), []int{9, 3, 2, 1})
		s.equal("of one", s.numbers(store.PullQuery{Repository: "infra"}), []int{3, 2, 1})
		s.equal("unfinished", s.numbers(store.PullQuery{Repository: "infra", Unfinished: true}), []int{3, 1})
		s.equal("two", s.numbers(store.PullQuery{Limit: 2}), []int{9, 3})
	}},
	{"ADeliveryIsReceivedOnce", func(t *testing.T, s *subject) {
		d := pull.Delivery{Repository: "infra", ID: "d1", ReceivedAt: s.now, Topic: "comment", Number: 7}
		for i, want := range []bool{true, false} {
			fresh, err := s.Receive(s.ctx(), d)
			s.equal("error", err, nil)
			s.equal(fmt.Sprint("fresh ", i), fresh, want)
		}
		elsewhere := d
		elsewhere.Repository = "other"
		fresh, err := s.Receive(s.ctx(), elsewhere)
		s.equal("error", err, nil)
		s.equal("of another repository", fresh, true)
		s.reopen()
		inbox, err := s.Inbox(s.ctx(), 10)
		s.equal("error", err, nil)
		s.equal("inbox", inbox, []pull.Delivery{d, elsewhere})
		s.equal("finish", s.FinishDelivery(s.ctx(), "infra", "d1"), nil)
		inbox, err = s.Inbox(s.ctx(), 10)
		s.equal("error", err, nil)
		s.equal("inbox", inbox, []pull.Delivery{elsewhere})
		fresh, err = s.Receive(s.ctx(), d)
		s.equal("error", err, nil)
		s.equal("after it was finished", fresh, false)
	}},
	{"AnApprovalIsOfOnePlanOfOneStack", func(t *testing.T, s *subject) {
		for _, a := range []pull.Approval{approval("net", "d1", "ada", s.now), approval("net", "d1", "grace", s.now), approval("net", "d2", "ada", s.now), approval("app", "d1", "ada", s.now)} {
			s.equal("record", s.RecordApproval(s.ctx(), a), nil)
		}
		s.equal("net d1", s.approvals(key("net"), "d1"), []string{"ada", "grace"})
		s.equal("net d3", s.approvals(key("net"), "d3"), []string(nil))
		no := approval("net", "d1", "ada", s.now)
		no.Rejected = true
		s.equal("record", s.RecordApproval(s.ctx(), no), nil)
		s.equal("the newest word counts", s.approvals(key("net"), "d1"), []string{"grace", "not ada"})
		if err := s.RecordApproval(s.ctx(), approval("net", "", "ada", s.now)); err == nil {
			t.Error("an approval of no plan was recorded")
		}
	}},
	{"AnApprovalIsOfOneAccount", func(t *testing.T, s *subject) {
		say := func(name, id string, rejected bool) {
			a := approval("net", "d1", name, s.now)
			a.Actor.ID, a.Rejected = id, rejected
			s.equal("record", s.RecordApproval(s.ctx(), a), nil)
		}
		say("ada", "1", true)
		say("ada", "2", false)
		s.equal("who got the name of another", s.approvals(key("net"), "d1"), []string{"not ada", "ada"})
		say("countess", "1", false)
		s.equal("renamed", s.approvals(key("net"), "d1"), []string{"ada", "countess"})
		say("grace", "", true)
		say("grace", "3", false)
		s.equal("before and after numbers were known", s.approvals(key("net"), "d1"), []string{"ada", "countess", "grace"})
	}},
	{"AnApplyUsesApprovalsUp", func(t *testing.T, s *subject) {
		for _, stack := range []string{"net", "app"} {
			s.equal("record", s.RecordApproval(s.ctx(), approval(stack, "d1", "ada", s.now)), nil)
		}
		s.succeeded(s.enqueued("net", "1").ID)
		s.equal("net", s.approvals(key("net"), "d1"), []string(nil))
		s.equal("app", s.approvals(key("app"), "d1"), []string{"ada"})
	}},
	{"PlansOfTwoPullRequestsDoNotMeet", func(t *testing.T, s *subject) {
		var ids []stackjob.JobID
		for _, name := range []string{"infra#1", "infra#2", "infra#1"} {
			j := s.job("net", fmt.Sprint(len(ids)))
			j.Purpose, j.Pull = stackjob.PlanOnly, name
			written, err := s.Enqueue(s.ctx(), store.Enqueue{Jobs: []stackjob.Job{j}})
			s.equal("error", err, nil)
			ids = append(ids, written...)
		}
		s.equal("the first", s.get(ids[0]).State, stackjob.Superseded)
		s.equal("of the other", s.get(ids[1]).State, stackjob.Queued)
		s.equal("the newest", s.get(ids[2]).State, stackjob.Queued)
	}},
	{"OldPullRequestsAreForgotten", func(t *testing.T, s *subject) {
		done := pr(1)
		done.Phase = pull.Done
		s.save(done, 0)
		s.save(pr(2), 0)
		s.equal("record", s.RecordApproval(s.ctx(), approval("net", "d1", "ada", s.now)), nil)
		for _, id := range []string{"finished", "waiting"} {
			_, err := s.Receive(s.ctx(), pull.Delivery{Repository: "infra", ID: id, ReceivedAt: s.now})
			s.equal("error", err, nil)
		}
		s.equal("finish", s.FinishDelivery(s.ctx(), "infra", "finished"), nil)
		n, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now})
		s.equal("error", err, nil)
		s.equal("too young", n, store.Pruned{})
		s.now = s.now.Add(store.DeliveriesKept + time.Hour)
		n, err = s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now})
		s.equal("error", err, nil)
		s.equal("pruned", n, store.Pruned{Pulls: 1, Deliveries: 1, Approvals: 1})
		s.equal("left", s.numbers(store.PullQuery{}), []int{2})
	}},
}
