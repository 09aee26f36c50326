package app_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// pausingRecords stop the first caller who reads a job that is as at says, until goOn
// is closed.
type pausingRecords struct {
	reconciler.Records
	at            func(stackjob.Job) bool
	reached, goOn chan struct{}
	once          *sync.Once
}

func (r pausingRecords) Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	j, err := r.Records.Job(ctx, id)
	if err == nil && r.at(j) {
		r.once.Do(func() {
			close(r.reached)
			select {
			case <-r.goOn:
			case <-ctx.Done():
			}
		})
	}
	return j, err
}

// TestADocumentThatComesBackWhileItsRemovalIsPlannedKeepsItsStack is also true of a removal that
// nothing holds: it is about to be carried out when the commit arrives.
func TestADocumentThatComesBackWhileItsRemovalIsPlannedKeepsItsStack(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(w *world){
		"as it was": func(w *world) { w.write("acme/dev/a.yaml", w.stackDocument("a", "one")) },
		"with a module that cannot be had": func(w *world) {
			w.write("acme/dev/a.yaml", strings.ReplaceAll(w.stackDocument("a", "one"), "{path: /modules/counter}", `{git: {url: "http://127.0.0.1:1/there.git", ref: main}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onOneEngine(t)
			reached, goOn := make(chan struct{}), make(chan struct{})
			w.records = func(r reconciler.Records) reconciler.Records {
				return pausingRecords{Records: r, reached: reached, goOn: goOn, once: &sync.Once{}, at: func(j stackjob.Job) bool {
					return j.Action == stackjob.Destroy && j.State == stackjob.Planning && slices.ContainsFunc(j.Operations, func(op stackjob.Operation) bool {
						return op.Kind == stackjob.OpPlan && op.Result == stackjob.ResultSucceeded
					})
				}}
			}
			w.begin("a", "b")
			w.remove("acme/dev/a.yaml")
			w.commit("a is gone")
			select {
			case <-reached:
			case <-time.After(patience):
				t.Fatal("the removal was never planned")
			}
			back(w)
			w.commit("a is back")
			close(goOn)
			w.until("the removal is called off", func() bool {
				return slices.ContainsFunc(w.jobs(devA), func(j stackjob.Job) bool { return j.Action == stackjob.Destroy && j.State == stackjob.Superseded })
			})
			w.quiet()
			w.destroyedNothing("in the end")
			if st := w.stack(devA); st.Observed == nil || !st.Observed.Complete {
				t.Errorf("a is recorded as %+v", st.Observed)
			}
		})
	}
}

func TestAProtectionThatComesLateStopsWhatWaits(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a", "b")
	w.write("acme/policies/only.yaml", policy("", "  prune: approve\n"))
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone")
	j := w.await(devA, stackjob.WaitingApply)
	w.write("acme/dev/environment.yaml", "apiVersion: stackreeve.dev/v1\nkind: Environment\nmetadata: {name: dev}\nspec: {protected: true}\n")
	w.commit("dev is protected")
	w.until("the destroy is called off", func() bool { return w.newest(devA).State == stackjob.Superseded })
	if got := w.newest(devA); got.ID != j.ID || got.Reason.Code != stackjob.ReasonPreventDestroy {
		t.Errorf("%s because %s", got.ID, got.Reason)
	}
	if _, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: j.Plan.Digest}); err == nil {
		t.Error("it could still be approved")
	}
	w.quiet()
	w.destroyedNothing("in the end")
}

func TestAProtectedEnvironmentLosesNothing(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("acme/dev/environment.yaml", "apiVersion: stackreeve.dev/v1\nkind: Environment\nmetadata: {name: dev}\nspec: {protected: true}\n")
	w.begin("a", "b")
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone")
	w.quiet()
	if st := w.stack(devA).Resource; len(w.jobs(devA)) != 1 || st.Status != "removed" || st.Reason.Code != stackjob.ReasonPreventDestroy ||
		!strings.Contains(st.Reason.Detail, "acme/dev is protected") {
		t.Errorf("a is %s (%s) with %d jobs", st.Status, st.Reason, len(w.jobs(devA)))
	}
	// A protection that goes with what it protects protects still.
	w.remove("acme/dev")
	w.commit("all of it is gone, and its protection")
	w.quiet()
	for _, key := range []string{devA, devB} {
		if j := w.newest(key); j.Action == stackjob.Destroy && j.State != stackjob.WaitingApply {
			t.Errorf("%s: the destroy is %s (%s)", key, j.State, j.Reason)
		}
	}
}

func TestPruningFollowsThePolicyThatIsInForce(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a", "b", "c", "d")
	w.write("acme/policies/only.yaml", policy("", "  prune: forbid\n"))
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone, and nothing may go")
	w.until("the destroy is refused", func() bool { return w.newest(devA).State == stackjob.Rejected })
	refused := w.newest(devA)
	if refused.Reason.Code != stackjob.ReasonPruneForbidden || len(refused.Operations) != 0 {
		t.Errorf("the reason is %s, operations %v", refused.Reason, refused.Operations)
	}
	w.look()
	w.quiet()
	if n := len(w.jobs(devA)); n != 2 {
		t.Errorf("%d jobs: a refusal is not repeated", n)
	}
	w.write("acme/policies/only.yaml", policy("", "  prune: approve\n"))
	w.commit("things may go with an approval")
	j := w.await(devA, stackjob.WaitingApply)
	if j.Reason.Code != stackjob.ReasonPruneApproval {
		t.Errorf("the reason is %s", j.Reason)
	}
	// A change needs no approval under that policy.
	w.write("acme/dev/b.yaml", w.stackDocument("b", "two"))
	w.commit("b changes")
	w.until("b is applied", func() bool { return w.effects("b") == 2 && w.newest(devB).State == stackjob.Succeeded })

	// Approved, and then forbidden before it is applied: it is not applied.
	w.write("acme/policies/only.yaml", policy("", "  prune: forbid\n"))
	w.commit("nothing may go again")
	w.until("the destroy is refused", func() bool { return w.newest(devA).State == stackjob.Rejected })
	_, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: j.Plan.Digest})
	if err == nil {
		t.Error("a destroy that was refused could be approved")
	}
	if st := w.stack(devA); st.Observed == nil || !st.Observed.Complete {
		t.Errorf("a is %+v", st.Observed)
	}
	w.write("acme/policies/only.yaml", policy("", ""))
	w.commit("things go by themselves")
	w.await(devA, stackjob.Succeeded)
	if jobs := w.jobs(devA); jobs[0].Action != stackjob.Destroy {
		t.Errorf("the newest job is %s", jobs[0].Action)
	}
}

func TestMovingDocumentsChangesNothing(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a", "b")
	w.git("mv", "acme/dev/a.yaml", "acme/dev/renamed.yaml")
	w.commit("a file with another name")
	b, err := os.ReadFile(filepath.Join(w.repo, "acme/dev/b.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(filepath.Join(w.repo, "acme/dev/renamed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.remove("acme/dev/b.yaml")
	w.remove("acme/dev/renamed.yaml")
	w.write("acme/dev/deep/er/all.yaml", string(b)+"---\n# moved\n"+string(a))
	w.commit("both in one file of a sub-folder")
	w.quiet()
	if n := len(w.jobs("")); n != 2 {
		t.Errorf("%d jobs: moving documents is no change", n)
	}
	if st := w.stack(devA).Resource; st.Status != "applied" || st.File != "acme/dev/deep/er/all.yaml" {
		t.Errorf("a is %s, in %s", st.Status, st.File)
	}
}
