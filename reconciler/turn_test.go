package reconciler

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// TestAnApplyThatWasAskedForTwiceIsOneJobHoweverItEnded is a daemon that was killed
// between the job and the note of it: the job may have ended before it asks again.
func TestAnApplyThatWasAskedForTwiceIsOneJobHoweverItEnded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	stack := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "a"}
	key := pull.Key{Repository: "config", Number: 7}
	planned := queued(stack, time.Now())
	planned.Purpose, planned.Pull = stackjob.PlanOnly, key.String()
	records := recordsOf(t, planned)
	r := New(Options{Records: records, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	a := pull.Apply{Stack: stack, Digest: "sha256:1", Desired: "sha256:d", By: stackjob.Actor{Name: "ada", Via: "github"}, Job: "sj_02"}
	for _, when := range []string{"first", "while it is open"} {
		if err := r.ApplyProposed(ctx, key, a, planned.ID, nil); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	if _, err := r.Stop(ctx, a.Job, stackjob.System); err != nil {
		t.Fatal(err)
	}
	if err := r.ApplyProposed(ctx, key, a, planned.ID, nil); err != nil {
		t.Fatalf("when it has ended: %v", err)
	}
	jobs, err := records.List(ctx, store.JobQuery{Limit: 10})
	if err != nil || len(jobs) != 2 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	if j, err := records.Job(ctx, a.Job); err != nil || j.State != stackjob.Cancelled {
		t.Errorf("the apply is %s, %v", j.State, err)
	}
}
