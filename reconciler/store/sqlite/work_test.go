package sqlite_test

import (
	"context"
	"fmt"
	"slices"
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
	case <-time.After(20 * time.Second):
		tb.Error("waited in vain")
	}
	stop()
	if err := <-done; err != nil {
		tb.Errorf("work: %v", err)
	}
}

// TestAnIdleWorkerStartsWithinAFewMilliseconds guards against falling back to polling,
// which would cost up to a second. The median is asked for: the machine may be busy.
func TestAnIdleWorkerStartsWithinAFewMilliseconds(t *testing.T) {
	t.Parallel()
	s := open(t, sqlite.Options{Folder: t.TempDir()})
	defer s.Close()
	looked := make(chan time.Time)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Work(ctx, 2, func(context.Context, stackjob.JobID) error { looked <- time.Now(); return nil })
	}()
	var took []time.Duration
	for i := range 21 {
		from := time.Now()
		if err := s.Wake(ctx, stackjob.JobID(fmt.Sprintf("sj_%d", i)), time.Time{}); err != nil {
			t.Fatal(err)
		}
		took = append(took, (<-looked).Sub(from))
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 200*time.Millisecond {
		t.Errorf("median %v of %v", median, took)
	}
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
