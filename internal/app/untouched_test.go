package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// TestAnApplyOfWhichNothingRanLeavesTheRecordOfItsStack: the lock was somebody's, or
// the runner could not be started. The job says so; the stack is what it was.
func TestAnApplyOfWhichNothingRanLeavesTheRecordOfItsStack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		code stackjob.ReasonCode
		// spoil has the apply of a job that waits for its approval come to nothing.
		spoil func(w *world, server *stateServer, j stackjob.Job) (mend func())
	}{
		{"the-state-is-locked", stackjob.ReasonStateLocked, func(_ *world, server *stateServer, _ stackjob.Job) func() {
			server.hold(&lockDocument{ID: "0a0b0c0d-2222-3333-4444-555555555555", Who: "ann@laptop", Operation: "OperationTypeApply"})
			return func() { server.hold(nil) }
		}},
		{"the-runner-never-started", stackjob.ReasonRunnerNotStarted, func(w *world, _ *stateServer, j stackjob.Job) func() {
			phase := filepath.Join(w.root, "data", "jobs", string(j.ID), "1-apply")
			if err := os.WriteFile(phase, nil, 0o600); err != nil {
				w.t.Fatal(err)
			}
			return func() {}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onEveryEngine(t, func(t *testing.T, w *world) {
				server := newStateServer(t, statePassword, http.StatusLocked)
				w.onHTTPState(server)
				w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", pause)
				w.commit("with a pause")
				w.start()
				spoiled := func(want *stackjob.Observed) stackjob.Job {
					t.Helper()
					j := w.await(devA, stackjob.WaitingApply)
					mend := tt.spoil(w, server, j)
					w.approve(j)
					failed := w.await(devA, stackjob.Failed)
					if failed.Reason.Code != tt.code {
						t.Fatalf("the reason is %s", failed.Reason)
					}
					st := w.stack(devA)
					if d := cmp.Diff(want, st.Observed); d != "" {
						t.Errorf("what is recorded of the stack (-was +is):\n%s", d)
					}
					w.quiet()
					if n := w.jobs(devA)[0]; n.ID != failed.ID {
						t.Errorf("%s came by itself", n.ID)
					}
					mend()
					return failed
				}
				// The first apply, of which there is no record yet.
				w.rerun(spoiled(nil))
				w.approve(w.await(devA, stackjob.WaitingApply))
				w.await(devA, stackjob.Succeeded)
				before := w.stack(devA).Observed
				if before == nil || !before.Complete {
					t.Fatalf("recorded: %+v", before)
				}
				// A change of it.
				document, err := os.ReadFile(filepath.Join(w.repo, "acme/dev/a.yaml"))
				if err != nil {
					t.Fatal(err)
				}
				w.write("acme/dev/a.yaml", strings.Replace(string(document), `"one"`, `"two"`, 1))
				w.commit("two")
				w.rerun(spoiled(before))
				w.approve(w.await(devA, stackjob.WaitingApply))
				w.await(devA, stackjob.Succeeded)
				if w.effects("a") != 2 {
					t.Errorf("%d side effects", w.effects("a"))
				}
			})
		})
	}
}
