package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
)

const many = 10_000

func manyJobs(round int) []stackjob.Job {
	jobs := make([]stackjob.Job, many)
	for n := range jobs {
		jobs[n] = newJob(stackjob.JobID(fmt.Sprintf("sj_%04d_%06d", round, n)), fmt.Sprintf("net%d", n), fmt.Sprint(round))
		if n > 0 {
			jobs[n].WaitsFor = []stackjob.JobID{jobs[n/2].ID} // a tree of producers
		}
	}
	return jobs
}

func filled(b *testing.B) *sqlite.Store {
	b.Helper()
	s := open(b, sqlite.Options{Folder: b.TempDir()})
	b.Cleanup(func() { _ = s.Close() }) // the folder goes anyway
	if _, err := s.Enqueue(b.Context(), store.Enqueue{Jobs: manyJobs(0)}); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkFirstEnqueue10000 writes 10,000 jobs with their waits, events and
// wake-ups into empty records.
func BenchmarkFirstEnqueue10000(b *testing.B) {
	jobs := manyJobs(0)
	for b.Loop() {
		b.StopTimer()
		s := open(b, sqlite.Options{Folder: b.TempDir()})
		b.StartTimer()
		if ids, err := s.Enqueue(b.Context(), store.Enqueue{Jobs: jobs}); err != nil || len(ids) != many {
			b.Fatal(len(ids), err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkEnqueue10000 supersedes 10,000 jobs by as many new ones.
func BenchmarkEnqueue10000(b *testing.B) {
	s := filled(b)
	round := 0
	for b.Loop() {
		round++
		if ids, err := s.Enqueue(b.Context(), store.Enqueue{Jobs: manyJobs(round)}); err != nil || len(ids) != many {
			b.Fatal(len(ids), err)
		}
	}
}

// BenchmarkEnqueue10000Again is the idempotent case: nothing is new.
func BenchmarkEnqueue10000Again(b *testing.B) {
	s := filled(b)
	again := manyJobs(0)
	for b.Loop() {
		if ids, err := s.Enqueue(b.Context(), store.Enqueue{Jobs: again}); err != nil || len(ids) != 0 {
			b.Fatal(len(ids), err)
		}
	}
}

// BenchmarkMove is one committed move with its event: the flush to the disk.
func BenchmarkMove(b *testing.B) {
	s := filled(b)
	n := 0
	for b.Loop() {
		n++
		why := stackjob.Reason{Code: stackjob.ReasonStackBusy, Detail: fmt.Sprint(n)}
		if _, err := s.Move(b.Context(), "sj_0000_000000", stackjob.Postpone(time.Now(), why)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList100(b *testing.B) {
	s := filled(b)
	for b.Loop() {
		if jobs, err := s.List(b.Context(), store.JobQuery{Open: true}); err != nil || len(jobs) != 100 {
			b.Fatal(len(jobs), err)
		}
	}
}

func BenchmarkStacks10000(b *testing.B) {
	s := filled(b)
	b.ReportAllocs()
	for b.Loop() {
		if stacks, err := s.Stacks(b.Context(), ""); err != nil || len(stacks) != many {
			b.Fatal(len(stacks), err)
		}
	}
}

// BenchmarkWake10000 wakes 10,000 jobs that have no wake-up, as a first comparison does:
// each by itself, and all at once.
func BenchmarkWake10000(b *testing.B) {
	ids := make([]stackjob.JobID, many)
	for name, wake := range map[string]func(s *sqlite.Store) error{
		"one-by-one": func(s *sqlite.Store) error {
			for _, id := range ids {
				if err := s.Wake(b.Context(), id, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		},
		"at-once": func(s *sqlite.Store) error { return s.WakeAll(b.Context(), ids) },
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b, sqlite.Options{Folder: b.TempDir()})
			defer s.Close()
			round := 0
			for b.Loop() {
				round++
				for i := range ids { // of other jobs, so that none waits already
					ids[i] = stackjob.JobID(fmt.Sprintf("sj_%04d_%06d", round, i))
				}
				if err := wake(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWakeToCall is the way from a wake-up to its call, idle in between.
func BenchmarkWakeToCall(b *testing.B) {
	s := open(b, sqlite.Options{Folder: b.TempDir()})
	defer s.Close()
	looked, stop := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		workUntil(b, s, func(stackjob.JobID) error { looked <- struct{}{}; return nil }, stop)
	}()
	n := 0
	for b.Loop() {
		n++
		if err := s.Wake(b.Context(), stackjob.JobID(fmt.Sprintf("sj_%d", n)), time.Time{}); err != nil {
			b.Fatal(err)
		}
		<-looked
	}
	close(stop)
	<-ended
}
