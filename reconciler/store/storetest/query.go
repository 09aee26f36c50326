package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func cancelled() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	return ctx, stop
}

func (s *subject) list(q store.JobQuery) []stackjob.JobID {
	s.t.Helper()
	jobs, err := s.List(s.ctx(), q)
	if err != nil {
		s.t.Fatalf("list: %v", err)
	}
	var ids []stackjob.JobID
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

var queryTests = []namedTest{
	{"JobsAreSelectedByEveryField", func(t *testing.T, s *subject) {
		a := s.succeeded(s.enqueued("a", "1").ID)
		b := s.ready(s.enqueued("b", "1").ID)
		c := s.job("c", "1")
		c.Desired.Key.Org, c.Desired.Key.Env, c.Desired.Key.Kind, c.Desired.Commit = "umbrella", "prod", "Bucket", "deadbeef"
		s.enqueue(c)
		ids := func(ids ...stackjob.JobID) []stackjob.JobID { return ids }
		for _, q := range []struct {
			name string
			q    store.JobQuery
			want []stackjob.JobID
		}{
			{"all, newest first", store.JobQuery{}, ids(c.ID, b.ID, a.ID)},
			{"open", store.JobQuery{Open: true}, ids(c.ID, b.ID)},
			{"org", store.JobQuery{Org: "acme"}, ids(b.ID, a.ID)},
			{"env", store.JobQuery{Env: "prod"}, ids(c.ID)},
			{"kind", store.JobQuery{Kind: "Bucket"}, ids(c.ID)},
			{"name", store.JobQuery{Name: "a"}, ids(a.ID)},
			{"commit", store.JobQuery{Commit: "deadbeef"}, ids(c.ID)},
			{"states", store.JobQuery{States: []stackjob.State{stackjob.Ready, stackjob.Succeeded}}, ids(b.ID, a.ID)},
			{"several", store.JobQuery{Org: "acme", Open: true, States: []stackjob.State{stackjob.Ready}}, ids(b.ID)},
			{"first page", store.JobQuery{Limit: 2}, ids(c.ID, b.ID)},
			{"next page", store.JobQuery{Limit: 2, Before: b.ID}, ids(a.ID)},
			{"none", store.JobQuery{Name: "zzz"}, nil},
		} {
			s.equal(q.name, s.list(q.q), q.want)
		}
	}},
	{"APageHasAHundredJobs", func(t *testing.T, s *subject) {
		for i := range 101 {
			s.enqueue(s.job("n"+string(rune('a'+i%26))+string(rune('a'+i/26)), "1"))
		}
		s.equal("jobs", len(s.list(store.JobQuery{})), 100)
	}},
	{"AListLeavesOutTheLargePartsOfPlans", func(t *testing.T, s *subject) {
		j := s.ready(s.enqueued("net", "1").ID)
		jobs, err := s.List(s.ctx(), store.JobQuery{})
		s.equal("error", err, nil)
		s.equal("jobs", jobs, []stackjob.Job{slim(j)})
	}},
	{"EventsGoOnWhereOneStopped", func(t *testing.T, s *subject) {
		a, b := s.enqueued("a", "1"), s.enqueued("b", "1")
		s.planning(a.ID)
		s.planning(b.ID)
		all := s.events("")
		page, err := s.Events(s.ctx(), "", all[1].Seq, 1)
		s.equal("error", err, nil)
		s.equal("the next one", page, all[2:3])
		s.equal("of b", s.events(b.ID), []store.JobEvent{all[1], all[3]})
		page, err = s.Events(s.ctx(), "", all[3].Seq, 10)
		s.equal("error", err, nil)
		s.equal("after the last", page, []store.JobEvent(nil))
	}},
	{"TheNewestEventIsTheLastOfTheHistory", func(t *testing.T, s *subject) {
		newest := func(what string, want int64) {
			t.Helper()
			got, err := s.NewestEvent(s.ctx())
			s.equal("error", err, nil)
			s.equal(what, got, want)
		}
		newest("of nothing", 0)
		j := s.failed(s.enqueued("net", "1").ID)
		all := s.events("")
		last := all[len(all)-1].Seq
		newest("of all", last)
		s.failed(s.enqueued("net", "2").ID)
		all = s.events("")
		last = all[len(all)-1].Seq
		newest("of more", last)
		s.now = s.now.Add(time.Hour)
		_, err := s.Prune(s.ctx(), store.PruneOptions{OlderThan: s.now, KeepPerStack: 1})
		s.equal("error", err, nil)
		s.equal("events of what was pruned", s.events(j.ID), []store.JobEvent(nil))
		newest("after a prune", last)
	}},
	{"AWatcherIsToldOfEveryChange", func(t *testing.T, s *subject) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		c := s.Watch(ctx)
		<-c // at once, for what was before
		j := s.enqueued("net", "1")
		<-c
		j = s.planning(j.ID)
		<-c
		s.move(j.ID, stackjob.Renew(s.now, lease(j), s.now)) // no event
		for range 3 {
			s.move(j.ID, stackjob.Record(s.now, lease(j), stackjob.Operation{Kind: stackjob.OpInit, Attempt: 1}))
		}
		<-c // many as one
		select {
		case <-c:
			t.Error("told without an event")
		default:
		}
		stop()
		for range c { //nolint:revive // it is closed when ctx ends
		}
	}},
	{"AWatcherOfAClosedStoreEnds", func(t *testing.T, s *subject) {
		c := s.Watch(context.Background())
		s.reopen()
		for range c { //nolint:revive // closed
		}
	}},
}
