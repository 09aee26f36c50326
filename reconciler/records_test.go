package reconciler

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// queued is a job of a stack before anything was done for it.
func queued(stack schema.ResourceKey, at time.Time) stackjob.Job {
	return stackjob.Job{ID: "sj_01", Purpose: stackjob.Reconcile, Action: stackjob.Apply, Desired: stackjob.Desired{Key: stack, Repository: "config"},
		DesiredDigest: "sha256:d", State: stackjob.Queued, CreatedAt: at}
}

// recordsOf are records that hold a job. They go with the test.
func recordsOf(t *testing.T, job stackjob.Job) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if _, err := st.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{job}}); err != nil {
		t.Fatal(err)
	}
	return st
}

// afterMoves moves a job through what happens to it.
func afterMoves(t *testing.T, st *sqlite.Store, job stackjob.Job, moves ...stackjob.Move) stackjob.Job {
	t.Helper()
	for _, m := range moves {
		var err error
		if job, err = st.Move(t.Context(), job.ID, m); err != nil {
			t.Fatal(err)
		}
	}
	return job
}
