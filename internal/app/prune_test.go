package app

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// Code was removed beneath plans of pull requests, and beneath an apply beside which a newer
// job of its stack waits.
func TestModuleCodeOfEveryOpenJobStays(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Now()
	st, err := sqlite.Open(ctx, sqlite.Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	stack := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "a"}
	enqueue := func(id stackjob.JobID, purpose stackjob.Purpose, pull, revision string) {
		t.Helper()
		d := stackjob.Desired{Key: stack, Repository: "config", ModuleRevision: revision}
		job := stackjob.Job{ID: id, Purpose: purpose, Action: stackjob.Apply, Pull: pull, Desired: d, DesiredDigest: d.Digest(), State: stackjob.Queued, CreatedAt: now}
		if ids, err := st.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{job}}); err != nil || len(ids) != 1 {
			t.Fatal(ids, err)
		}
	}
	move := func(id stackjob.JobID, moves ...stackjob.Move) {
		t.Helper()
		for _, m := range moves {
			if _, err := st.Move(ctx, id, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	lease, plan := stackjob.Lease{Owner: "d1", Fence: 1}, stackjob.Plan{Digest: "sha256:1", HasChanges: true}
	enqueue("sj_01", stackjob.Reconcile, "", "r-applying")
	move("sj_01", stackjob.StartPlan(now, "d1", now.Add(time.Hour), stackjob.PolicyChoice{}),
		stackjob.Planned(now, lease, plan, stackjob.Verdict{Decision: stackjob.Proceed}), stackjob.StartApply(now, "d1", now.Add(time.Hour), plan.Digest))
	enqueue("sj_02", stackjob.Reconcile, "", "r-next")
	enqueue("sj_03", stackjob.PlanOnly, "config#7", "r-pull")
	enqueue("sj_04", stackjob.PlanOnly, "config#8", "r-over")
	move("sj_04", stackjob.Cancel(now, nil, stackjob.System))
	for revision, want := range map[string]bool{"r-applying": true, "r-next": true, "r-pull": true, "r-over": false, "r-other": false} {
		if got, err := needsModule(ctx, st, revision); err != nil || got != want {
			t.Errorf("%s: %t, %v", revision, got, err)
		}
	}
}
