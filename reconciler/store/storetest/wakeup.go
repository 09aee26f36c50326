package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

var openOnly = store.JobQuery{Open: true}

var wakeupTests = []namedTest{
	{"ANewJobIsLookedAt", func(t *testing.T, s *subject) {
		l := s.work(2)
		j := s.job("net", "1")
		l.some(j.ID, func() { s.enqueue(j) })
	}},
	{"OpenJobsAreLookedAtAtTheStart", func(t *testing.T, s *subject) {
		open := s.enqueued("a", "1")
		ended := s.failed(s.enqueued("b", "1").ID)
		l := s.work(2)
		l.end()
		s.reopen()
		l = s.work(2)
		l.flush()
		s.equal("open", l.at(open.ID) > 0, true)
		s.equal("ended", l.at(ended.ID), 0)
	}},
	{"ManyJobsAreWokenAtOnce", func(t *testing.T, s *subject) {
		var jobs []stackjob.Job
		for i := range 1200 {
			jobs = append(jobs, s.job(fmt.Sprintf("net%d", i), "1"))
		}
		ids := s.enqueue(jobs...)
		l := s.work(8)
		l.flush()
		before := map[stackjob.JobID]int{}
		for _, id := range ids {
			l.await(string(id), func() bool { return l.count[id] > 0 })
			before[id] = l.at(id)
		}
		if err := s.WakeAll(s.ctx(), ids[1:]); err != nil {
			t.Fatal(err)
		}
		l.flush()
		// Who looks at the last of them may not be through when another is.
		for _, id := range ids[1:] {
			l.await(string(id), func() bool { return l.count[id] > before[id] })
		}
		s.equal("looks at the one that was left out", l.at(ids[0]), before[ids[0]])
		if err := s.WakeAll(s.ctx(), nil); err != nil {
			t.Error(err)
		}
	}},
	{"AJobThatEndsWakesThoseThatWaitForIt", func(t *testing.T, s *subject) {
		for i, end := range []func(stackjob.Job){
			func(j stackjob.Job) { s.succeeded(j.ID) },
			func(j stackjob.Job) { s.failed(j.ID) },
			func(j stackjob.Job) { s.move(j.ID, stackjob.Cancel(s.now, nil, stackjob.System)) },
			func(j stackjob.Job) {
				s.move(j.ID, stackjob.Unneeded(s.now, nil, stackjob.Reason{Code: stackjob.ReasonNothingToDo}))
			},
		} {
			producer := s.enqueued(fmt.Sprintf("producer%d", i), "1")
			consumer := s.enqueued(fmt.Sprintf("consumer%d", i), "1", producer.ID)
			other := s.enqueued(fmt.Sprintf("other%d", i), "1")
			l := s.work(2)
			l.flush()
			others := l.at(other.ID)
			l.some(consumer.ID, func() { end(producer) })
			l.flush()
			s.equal("looks at a stranger", l.at(other.ID), others)
			l.end()
		}
	}},
	{"AStackThatBecomesFreeWakesItsNextJob", func(t *testing.T, s *subject) {
		j := s.planning(s.enqueued("net", "1").ID)
		next := s.enqueued("net", "2")
		l := s.work(2)
		l.some(next.ID, func() { s.move(j.ID, stackjob.Planned(s.now, lease(j), s.plan("a"), wait())) })
	}},
	{"AnApprovalWakesItsJob", func(t *testing.T, s *subject) {
		j := s.planning(s.enqueued("net", "1").ID)
		j = s.move(j.ID, stackjob.Planned(s.now, lease(j), s.plan("a"), wait()))
		l := s.work(2)
		l.some(j.ID, func() {
			s.move(j.ID, stackjob.Approve(stackjob.Approval{Actor: stackjob.Actor{Name: "ada"}, Gate: stackjob.GateApply, PlanDigest: j.Plan.Digest, At: s.now}))
		})
	}},
	{"AJobThatIsPostponedIsNotWoken", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		l := s.work(2)
		l.none(j.ID, func() { s.move(j.ID, stackjob.Postpone(s.now, stackjob.Reason{Code: stackjob.ReasonStackBusy})) })
	}},
	{"AMoveThatFailsWakesNobody", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		l := s.work(2)
		l.none(j.ID, func() {
			if _, err := s.Move(s.ctx(), j.ID, stackjob.Expire(s.now)); err == nil {
				t.Error("it was written")
			}
		})
	}},
	{"AWakeUpDuringACallLeadsToAnother", func(t *testing.T, s *subject) {
		// One slot: the word must get through although the slot is taken by the
		// very job.
		for _, slots := range []int{1, 4} {
			j := s.enqueued(fmt.Sprintf("net%d", slots), "1")
			var once sync.Once
			entered, leave := make(chan struct{}), make(chan struct{})
			l := s.workWith(slots, func(_ context.Context, id stackjob.JobID) error {
				if id == j.ID {
					once.Do(func() { close(entered); <-leave })
				}
				return nil
			})
			<-entered
			if err := s.Wake(s.ctx(), j.ID, time.Time{}); err != nil {
				t.Fatal(err)
			}
			close(leave)
			l.await("the second look", func() bool { return l.count[j.ID] >= 2 })
			l.end()
			s.move(j.ID, stackjob.Cancel(s.now, nil, stackjob.System))
		}
	}},
	{"NoWakeUpIsLostInAStorm", func(t *testing.T, s *subject) {
		// Each job has a number that only grows, and a look notes the number it
		// saw. Whoever raises a number wakes the job; in the end every last
		// number must have been seen.
		const jobs, rounds = 8, 60
		var mu sync.Mutex
		value, seen := map[stackjob.JobID]int{}, map[stackjob.JobID]int{}
		l := s.workWith(3, func(_ context.Context, id stackjob.JobID) error {
			mu.Lock()
			defer mu.Unlock()
			seen[id] = value[id]
			return nil
		})
		var wg sync.WaitGroup
		for i := range jobs {
			id := stackjob.JobID(fmt.Sprintf("sj_storm%d", i))
			wg.Go(func() {
				for range rounds {
					mu.Lock()
					value[id]++
					mu.Unlock()
					if err := s.Wake(s.ctx(), id, time.Time{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		l.await("every last number", func() bool {
			mu.Lock()
			defer mu.Unlock()
			for id, v := range value {
				if seen[id] != v {
					return false
				}
			}
			return len(seen) == jobs
		})
	}},
	{"NoMoreCallsThanSlots", func(t *testing.T, s *subject) {
		const slots = 3
		full, leave := make(chan struct{}), make(chan struct{})
		var mu sync.Mutex
		n := 0
		l := s.workWith(slots, func(context.Context, stackjob.JobID) error {
			mu.Lock()
			if n++; n == slots {
				close(full)
			}
			mu.Unlock()
			<-leave
			return nil
		})
		var jobs []stackjob.Job
		for i := range 12 {
			jobs = append(jobs, s.job(fmt.Sprintf("n%d", i), "1"))
		}
		s.enqueue(jobs...)
		<-full
		close(leave)
		for _, j := range jobs {
			l.await("a look at every job", func() bool { return l.count[j.ID] > 0 })
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.equal("calls at once", l.highest, slots)
	}},
	{"ACallThatFailsIsRepeated", func(t *testing.T, s *subject) {
		j := s.job("net", "1")
		failing := true
		l := s.workWith(2, nil)
		l.mu.Lock()
		l.do = func(context.Context, stackjob.JobID) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if failing {
				failing = false
				return errors.New("the disk is full")
			}
			return nil
		}
		l.mu.Unlock()
		s.enqueue(j)
		l.await("another look", func() bool { return l.count[j.ID] >= 2 })
	}},
	{"ACallThatPanicsIsRepeatedAndHarmsNobody", func(t *testing.T, s *subject) {
		bad, good := s.job("bad", "1"), s.job("good", "1")
		var once sync.Once
		l := s.workWith(1, func(_ context.Context, id stackjob.JobID) error {
			if id == bad.ID {
				once.Do(func() { panic("a bug") })
			}
			return nil
		})
		s.enqueue(bad, good)
		l.await("a look at the other and another at this one", func() bool { return l.count[good.ID] >= 1 && l.count[bad.ID] >= 2 })
	}},
	{"AWakeUpComesAtItsTime", func(t *testing.T, s *subject) {
		l := s.work(2)
		const id = stackjob.JobID("sj_later")
		from := time.Now()
		const in = 300 * time.Millisecond
		if err := s.Wake(s.ctx(), id, s.now.Add(in)); err != nil {
			t.Fatal(err)
		}
		l.await("the look", func() bool { return l.count[id] > 0 })
		if early := in - time.Since(from); early > 5*time.Millisecond {
			t.Errorf("it came %v early", early)
		}
	}},
	{"NowIsNotSwallowedByLater", func(t *testing.T, s *subject) {
		l := s.work(2)
		const id = stackjob.JobID("sj_both")
		if err := s.Wake(s.ctx(), id, s.now.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		l.some(id, func() {
			if err := s.Wake(s.ctx(), id, time.Time{}); err != nil {
				t.Fatal(err)
			}
		})
	}},
	{"StoppingEndsTheContextOfCallsAndWaitsForThem", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		entered, returned := make(chan struct{}), make(chan struct{})
		l := s.workWith(1, func(ctx context.Context, id stackjob.JobID) error {
			close(entered)
			<-ctx.Done()
			close(returned)
			return ctx.Err()
		})
		<-entered
		l.end()
		select {
		case <-returned:
		default:
			t.Error("Work returned before its call")
		}
		s.equal("looks", l.at(j.ID), 1)
	}},
	{"AStoppedWorkCanStartAgain", func(t *testing.T, s *subject) {
		j := s.enqueued("net", "1")
		for range 2 {
			l := s.work(2)
			s.equal("looked at", l.at(j.ID) > 0, true)
			l.end()
		}
	}},
	{"TwoWorksAtOnceAreRefused", func(t *testing.T, s *subject) {
		l := s.work(1)
		l.flush()
		if err := s.Work(s.ctx(), 1, func(context.Context, stackjob.JobID) error { return nil }); err == nil {
			t.Error("a second Work began")
		}
	}},
	{"WorkWithoutSlotsIsRefused", func(t *testing.T, s *subject) {
		if err := s.Work(s.ctx(), 0, func(context.Context, stackjob.JobID) error { return nil }); err == nil {
			t.Error("it worked")
		}
	}},
}
