package sqlite_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
)

// workUntil works until a signal, and returns when Work has ended.
func workUntil(tb testing.TB, s *sqlite.Store, advance func(stackjob.JobID) error, signal <-chan struct{}) {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Work(ctx, 4, func(_ context.Context, id stackjob.JobID) error { return advance(id) })
	}()
	select {
	case <-signal:
	case <-time.After(2 * time.Minute):
		tb.Error("waited in vain")
	}
	stop()
	if err := <-done; err != nil {
		tb.Errorf("work: %v", err)
	}
}

// Falling back to polling would cost up to a second for each step of a job.
func TestAnIdleWorkerStartsWithoutAPoll(t *testing.T) {
	t.Parallel()
	s := open(t, sqlite.Options{Folder: t.TempDir(), Poll: time.Hour})
	defer s.Close()
	woken := make(chan stackjob.JobID)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Work(ctx, 2, func(_ context.Context, id stackjob.JobID) error { woken <- id; return nil })
	}()
	for i := range 21 {
		id := stackjob.JobID(fmt.Sprintf("sj_%d", i))
		if err := s.Wake(ctx, id, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, woken); got != id {
			t.Errorf("%s was woken instead of %s", got, id)
		}
	}
	stop()
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

// receive returns what a channel brings.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(2 * time.Minute):
		t.Fatal("waited in vain")
	}
	return v
}

func TestWhatADeadProcessWasDoingIsDoneAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	if _, err := s.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As kill -9 leaves it: River's row is running and its leader's term goes on.
	db := raw(t, folder)
	execute(t, db, "UPDATE river_job SET state = 'running', attempted_at = CURRENT_TIMESTAMP, attempted_by = jsonb('[\"dead\"]')")
	execute(t, db, "INSERT INTO river_leader (elected_at, expires_at, leader_id) VALUES (CURRENT_TIMESTAMP, '2099-01-01 00:00:00', 'dead')")
	s = open(t, sqlite.Options{Folder: folder})
	defer s.Close()
	looked := make(chan struct{}, 8)
	workUntil(t, s, func(stackjob.JobID) error { looked <- struct{}{}; return nil }, looked)
	var rows int
	if err := raw(t, folder).QueryRow("SELECT count(*) FROM river_leader WHERE leader_id = 'dead'").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("the dead one still leads: %d, %v", rows, err)
	}
}

func TestPendingWakeUpsOfAJobAreOne(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	defer s.Close()
	at := time.Now().Add(time.Hour)
	for range 5 {
		for _, when := range []time.Time{at.Add(time.Minute), at, {}} {
			if err := s.Wake(t.Context(), "sj_1", when); err != nil {
				t.Fatal(err)
			}
		}
	}
	var rows int
	if err := raw(t, folder).QueryRow("SELECT count(*) FROM river_job").Scan(&rows); err != nil || rows != 3 {
		t.Errorf("%d rows, want one for each time: %v", rows, err)
	}
}
