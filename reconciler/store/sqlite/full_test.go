package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// TestAFullDiskWritesNothingAndHarmsNothing makes SQLite itself find no more room, by
// the limit of its file's size, in the middle of writing a revision's jobs.
func TestAFullDiskWritesNothingAndHarmsNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	folder := t.TempDir()
	s, err := Open(ctx, Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	job := func(n int) stackjob.Job {
		d := stackjob.Desired{Key: schema.ResourceKey{Org: "a", Env: "b", Kind: "C", Name: fmt.Sprint(n)},
			Inputs: []byte(`"` + strings.Repeat("x", 8000) + `"`), Spec: []byte(`{}`)}
		return stackjob.Job{ID: stackjob.JobID(fmt.Sprintf("sj_%04d", n)), State: stackjob.Queued, Purpose: stackjob.Reconcile, Desired: d, CreatedAt: time.Now()}
	}
	if _, err := s.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{job(0)}}); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := s.write.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if _, err := s.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 8)
	var many []stackjob.Job
	for n := range 20 {
		many = append(many, job(n+1))
	}
	_, err = s.Enqueue(ctx, store.Enqueue{Revision: store.RevisionRecord{Repository: "r", Commit: "c"}, Jobs: many})
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v", err)
	}
	if jobs, err := s.List(ctx, store.JobQuery{}); err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if _, err := s.LastRevision(ctx, "r"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the revision: %v", err)
	}
	limit(1 << 30)
	if ids, err := s.Enqueue(ctx, store.Enqueue{Jobs: many}); err != nil || len(ids) != len(many) {
		t.Errorf("when there is room again: %d, %v", len(ids), err)
	}
}

// TestCommitsReachTheDisk pins the settings that a lost intent would come from.
func TestCommitsReachTheDisk(t *testing.T) {
	t.Parallel()
	s, err := Open(context.Background(), Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "fullfsync": "1", "foreign_keys": "1", "secure_delete": "1"} {
		var got string
		if err := s.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s (%v)", pragma, got, want, err)
		}
	}
	if _, err := s.read.Exec("DELETE FROM jobs"); err == nil {
		t.Error("a reader can write")
	}
}
