package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// policy is a policy for the whole organization.
func policy(controls, rest string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: only}\nspec:\n"+
		"  selector: {kind: organization, id: acme}\n  flowControl: {%s}\n%s", controls, rest)
}

// begin starts a daemon on stacks of dev that are applied at once.
func (w *world) begin(names ...string) {
	w.t.Helper()
	w.write("modules/counter/main.tf", counter, "acme/policies/only.yaml", policy("", ""))
	for _, n := range names {
		w.write("acme/dev/"+n+".yaml", w.stackDocument(n, "one"))
	}
	w.commit("the beginning")
	w.start()
	for _, n := range names {
		w.await("acme/dev/TerraformStack/"+n, stackjob.Succeeded)
	}
	w.quiet()
}

func TestTheBrakeHoldsByCountAndByShare(t *testing.T) {
	t.Parallel()
	many := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for name, c := range map[string]struct {
		brake   string
		removed []string
		holds   stackjob.ReasonCode // "" for none
	}{
		"below both":      {"brake: {count: 2, share: 50%}\n", many[:2], ""},
		"above the count": {"brake: {count: 1, share: 100%}\n", many[:2], stackjob.ReasonMassRemoval},
		"above the share": {"brake: {count: 100, share: 20%}\n", many[:2], stackjob.ReasonMassDeletion},
		"one of many":     {"brake: {count: 1, share: 1%}\n", many[:1], ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onOneEngine(t)
			w.yaml = c.brake
			w.begin(many...)
			for _, n := range c.removed {
				w.remove("acme/dev/" + n + ".yaml")
			}
			w.commit("some are gone")
			for _, n := range c.removed {
				key := "acme/dev/TerraformStack/" + n
				if c.holds == "" {
					w.until(n+" is gone", func() bool { return len(w.jobs(key)) == 2 && w.newest(key).State == stackjob.Succeeded })
					continue
				}
				j := w.await(key, stackjob.WaitingApply)
				if j.Reason.Code != c.holds || !strings.Contains(j.Reason.Detail, "2 of the 8") {
					t.Errorf("%s waits because %s", n, j.Reason)
				}
			}
		})
	}
}

func TestAnEnvironmentThatVanishesAsAWholeWaitsForAPerson(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("acme/prod/c.yaml", w.stackDocument("c", "one"))
	w.begin("a", "b")
	w.remove("acme/dev")
	w.commit("dev is gone")
	for _, key := range []string{devA, devB} {
		if j := w.await(key, stackjob.WaitingApply); j.Action != stackjob.Destroy || j.Reason.Code != stackjob.ReasonMassDeletion {
			t.Errorf("%s: %s, because %s", key, j.Action, j.Reason)
		}
	}
	// It was a mistake.
	w.git("revert", "--no-edit", "HEAD")
	w.look()
	w.until("the destroys are called off", func() bool {
		return w.newest(devA).State == stackjob.Superseded && w.newest(devB).State == stackjob.Superseded
	})
	w.quiet()
	for _, key := range []string{devA, devB} {
		if st := w.stack(key); st.Resource.Status != "applied" || st.Observed == nil || !st.Observed.Complete {
			t.Errorf("%s is %s (%s)", key, st.Resource.Status, st.Resource.Reason)
		}
	}
	if w.effects("a") != 1 || w.effects("b") != 1 {
		t.Errorf("side effects: %d and %d", w.effects("a"), w.effects("b"))
	}
}

// destroyedNothing fails when a destroy was carried out, or could have been.
func (w *world) destroyedNothing(when string) {
	w.t.Helper()
	for _, j := range w.jobs("") {
		for _, op := range w.job(j.ID).Operations {
			if op.Kind == stackjob.OpDestroy {
				w.t.Fatalf("%s: %s of %s began a destroy (%s)", when, j.ID, j.Desired.Key, j.Reason)
			}
		}
	}
}

// held waits until exactly these stacks of dev have an open destroy, each planned and
// held by the brake.
func (w *world) held(when string, names ...string) {
	w.t.Helper()
	for _, n := range names {
		j := w.await("acme/dev/TerraformStack/"+n, stackjob.WaitingApply)
		if j.Action != stackjob.Destroy || j.Reason.Code != stackjob.ReasonMassRemoval || j.Hold == nil {
			w.t.Fatalf("%s: %s waits to %s because %s", when, n, j.Action, j.Reason)
		}
	}
	w.quiet()
	if open, err := w.app.Backend().Jobs(context.Background(), store.JobQuery{Open: true}); err != nil || len(open) != len(names) {
		w.t.Fatalf("%s: %d jobs are open, expected %d (%v)%s", when, len(open), len(names), err, w.describe())
	}
	w.destroyedNothing(when)
}

func TestNothingThatTheBrakeHoldsIsDestroyedUntilAPersonApproves(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.yaml = "brake: {count: 3, share: 100%}\n"
	all := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	w.begin(all...)
	document := func(n string) string { return "acme/dev/" + n + ".yaml" }
	for _, n := range all[:5] {
		w.remove(document(n))
	}
	w.commit("five are gone")
	w.held("at once", all[:5]...)

	w.write("README.md", "hello\n")
	w.commit("another file")
	w.held("after another file", all[:5]...)

	w.write(document("d"), w.stackDocument("d", "one"), document("e"), w.stackDocument("e", "one"))
	w.commit("two are back: the rest is below the limit")
	w.held("after a part came back", "a", "b", "c")

	w.remove(document("f"))
	w.remove(document("c"))
	w.write(document("c"), w.stackDocument("c", "one"))
	w.commit("one more is back, and another is gone")
	w.held("after another removal", "a", "b", "f")

	w.git("mv", "acme/dev/g.yaml", "acme/dev/renamed.yaml")
	w.write("modules/counter/more.tf", "# the module has moved\n")
	w.write("acme/policies/only.yaml", policy("previewBeforeUpdateOrDestroy: false", ""))
	w.commit("a file has another name, the module has moved, the policy has changed")
	w.until("the others are applied with the new module", func() bool {
		for _, n := range []string{"c", "d", "e", "g", "h"} {
			if j := w.newest("acme/dev/TerraformStack/" + n); j.Action != stackjob.Apply || j.State != stackjob.Succeeded || j.Desired.File == "" || len(w.jobs("acme/dev/TerraformStack/"+n)) < 2 {
				return false
			}
		}
		return true
	})
	w.held("after the policy and the module have moved", "a", "b", "f")

	w.stop()
	w.start()
	w.look()
	w.held("after a restart", "a", "b", "f")
	first := w.newest(devA)
	w.rerun(first)
	w.until("the rerun takes its place", func() bool { return w.newest(devA).ID != first.ID })
	w.held("after a rerun", "a", "b", "f")
	w.stop()
	w.start()
	w.look()
	w.held("after a rerun and a restart", "a", "b", "f")

	w.approve(w.await(devA, stackjob.WaitingApply))
	w.until("a is destroyed", func() bool { return w.newest(devA).State == stackjob.Succeeded })
	w.look()
	w.quiet()
	for _, n := range []string{"b", "f"} {
		if j := w.newest("acme/dev/TerraformStack/" + n); j.State != stackjob.WaitingApply {
			t.Errorf("%s is %s (%s): the approval was for another", n, j.State, j.Reason)
		}
	}
	w.write(document("b"), w.stackDocument("b", "one"), document("f"), w.stackDocument("f", "one"))
	w.commit("the rest is back")
	w.until("the destroys are called off", func() bool {
		open, err := w.app.Backend().Jobs(context.Background(), store.JobQuery{Open: true})
		return err == nil && len(open) == 0
	})
	for _, j := range w.jobs("") {
		if j.Action == stackjob.Destroy && j.State != stackjob.Superseded && j.Desired.Key != w.key(devA) {
			t.Errorf("the destroy of %s is %s", j.Desired.Key, j.State)
		}
	}
	for _, n := range []string{"b", "f"} {
		if st := w.stack("acme/dev/TerraformStack/" + n); st.Observed == nil || !st.Observed.Complete {
			t.Errorf("%s is recorded as %+v", n, st.Observed)
		}
	}
}

func TestARemovalThatWasRejectedIsAskedAgainWhenItIsWishedAgain(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a", "b")
	for round, jobs := range []int{2, 3} {
		w.remove("acme/dev/a.yaml")
		w.remove("acme/dev/b.yaml")
		w.commit("both are gone")
		w.until("the removals wait", func() bool {
			return len(w.jobs(devA)) == jobs && w.newest(devA).State == stackjob.WaitingApply && w.newest(devB).State == stackjob.WaitingApply
		})
		for _, key := range []string{devA, devB} {
			j := w.job(w.newest(key).ID)
			if j.Action != stackjob.Destroy {
				t.Fatalf("%s: %s", key, j.Action)
			}
			if _, err := w.app.Backend().Reject(t.Context(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: j.Plan.Digest}); err != nil {
				t.Fatal(err)
			}
			w.await(key, stackjob.Rejected)
		}
		// A no is not asked again by itself, not even by a daemon that starts anew.
		w.write("README.md", fmt.Sprintf("round %d\n", round))
		w.commit("another file")
		w.stop()
		w.start()
		w.look()
		w.quiet()
		if n := len(w.jobs(devA)); n != jobs {
			t.Fatalf("%d jobs, expected %d", n, jobs)
		}
		w.write("acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/dev/b.yaml", w.stackDocument("b", "one"))
		w.commit("both are back as they were")
		w.look()
		w.quiet()
		if n := len(w.jobs(devA)); n != jobs || w.stack(devA).Resource.Status != "applied" {
			t.Fatalf("%d jobs, expected %d; a is %s (%s)", n, jobs, w.stack(devA).Resource.Status, w.stack(devA).Resource.Reason)
		}
	}
	w.destroyedNothing("after two noes")
}

// heldAfterInterrupt waits until the newest job of a is planned and held, with nothing
// applied since the interruption.
func (w *world) heldAfterInterrupt(when string, action stackjob.Action) stackjob.Job {
	w.t.Helper()
	w.quiet()
	j := w.await(devA, stackjob.WaitingApply)
	if j.Action != action || j.Reason.Code != stackjob.ReasonAfterInterrupt || w.effects("a") != 1 {
		w.t.Fatalf("%s: the newest job waits to %s because %s, with %d side effects", when, j.Action, j.Reason, w.effects("a"))
	}
	w.destroyedNothing(when)
	return j
}

func TestAnInterruptedApplyHoldsWhateverComesAfterIt(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/only.yaml", policy("", ""), "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.stop()
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	cfg := w.writeConfig()
	file := w.crashing(cfg, crash{At: "operation-started apply", Kill: []string{"daemon", "runner"}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.daemon(cfg, file).awaitEnd(ctx)

	w.start()
	w.heldAfterInterrupt("at once", stackjob.Apply)
	w.write("README.md", "hello\n")
	w.commit("another file")
	first := w.heldAfterInterrupt("after another file", stackjob.Apply)
	w.rerun(first)
	if again := w.heldAfterInterrupt("after a rerun", stackjob.Apply); again.ID == first.ID {
		t.Error("the rerun is the same job")
	}
	w.write("acme/dev/a.yaml", w.stackDocument("a", "three"))
	w.commit("another desired state")
	w.heldAfterInterrupt("after another desired state", stackjob.Apply)
	w.stop()
	w.start()
	w.look()
	w.heldAfterInterrupt("after a restart", stackjob.Apply)
	w.write("acme/policies/only.yaml", policy("previewBeforeUpdateOrDestroy: false", ""), "modules/counter/more.tf", "# moved\n")
	w.commit("another policy and another module")
	j := w.heldAfterInterrupt("after the policy and the module have moved", stackjob.Apply)
	if _, err := w.app.Backend().Cancel(ctx, api.Answer{Job: j.ID, Actor: ada}); err != nil {
		t.Fatal(err)
	}
	w.rerun(j)
	w.heldAfterInterrupt("after a cancel and a rerun", stackjob.Apply)
	w.write("acme/dev/b.yaml", w.stackDocument("b", "one"))
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone")
	w.heldAfterInterrupt("after its removal", stackjob.Destroy)
	w.write("acme/dev/a.yaml", w.stackDocument("a", "four"))
	w.commit("a is back")
	w.approve(w.heldAfterInterrupt("after its return", stackjob.Apply))
	w.await(devA, stackjob.Succeeded)

	// A person has looked: the next change goes by itself.
	w.write("acme/dev/a.yaml", w.stackDocument("a", "five"))
	w.commit("five")
	w.until("five is applied", func() bool { return w.effects("a") == 3 && w.newest(devA).State == stackjob.Succeeded })
}

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

func TestRemovalsOfTwoCommitsAreBrakedTogether(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.yaml = "brake: {count: 3, share: 100%}\n"
	w.begin("a", "b", "c", "d", "e")
	// Two of them are under the limit, and have not begun when two more follow.
	w.write("acme/policies/only.yaml", policy("isManual: true", ""))
	w.remove("acme/dev/a.yaml")
	w.remove("acme/dev/b.yaml")
	w.commit("two are gone")
	for _, key := range []string{devA, devB} {
		if j := w.await(key, stackjob.WaitingStart); j.Hold != nil {
			t.Errorf("%s is held: %s", key, j.Hold)
		}
	}
	w.remove("acme/dev/c.yaml")
	w.remove("acme/dev/d.yaml")
	w.commit("and two more")
	for _, n := range []string{"a", "b", "c", "d"} {
		w.await("acme/dev/TerraformStack/"+n, stackjob.WaitingStart)
	}
	// A yes to the start is none to the destroy.
	w.approve(w.newest(devA))
	w.write("acme/policies/only.yaml", policy("", ""))
	w.commit("everything may go on")
	w.held("when nothing but the brake holds", "a", "b", "c", "d")
}

func TestARemovalThatWasAskedForAgainIsCalledOffWithTheOthers(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a", "b")
	w.write("acme/policies/only.yaml", policy("isManual: true", ""))
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone")
	j := w.await(devA, stackjob.WaitingStart)
	w.rerun(j)
	w.until("the rerun takes its place", func() bool { return w.newest(devA).ID != j.ID })
	w.await(devA, stackjob.WaitingStart)
	w.write("acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a is back")
	w.until("the destroy is called off", func() bool { return w.newest(devA).State == stackjob.Superseded })
	w.destroyedNothing("in the end")
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

func TestAWaitingJobIsJudgedAgainWhenThePolicyChanges(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin("a")
	w.write("acme/policies/only.yaml", policy("pauseBetweenPreviewAndUpdateOrDestroy: true", ""), "acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("plans wait")
	first := w.await(devA, stackjob.WaitingApply)
	w.write("acme/policies/only.yaml", policy("", ""))
	w.commit("plans go on")
	if j := w.await(devA, stackjob.Succeeded); j.ID != first.ID || j.Plan.Digest != first.Plan.Digest || w.effects("a") != 2 {
		t.Errorf("the plan that waited was not the one that was applied: %s and %s, %d side effects", first.ID, j.ID, w.effects("a"))
	}

	// Stricter: what waits for its start is not started by a policy that pauses.
	w.write("acme/policies/only.yaml", policy("isManual: true", ""), "acme/dev/a.yaml", w.stackDocument("a", "three"))
	w.commit("starts wait")
	second := w.await(devA, stackjob.WaitingStart)
	if second.Reason.Code != stackjob.ReasonManual {
		t.Errorf("the reason is %s", second.Reason)
	}
	w.write("acme/policies/only.yaml", policy("pauseBetweenPreviewAndUpdateOrDestroy: true", ""))
	w.commit("plans wait again")
	j := w.await(devA, stackjob.WaitingApply)
	if j.ID != second.ID || w.effects("a") != 2 {
		t.Errorf("job %s instead of %s, %d side effects", j.ID, second.ID, w.effects("a"))
	}
	w.write("acme/policies/only.yaml", policy("isManual: true, pauseBetweenPreviewAndUpdateOrDestroy: true", ""))
	w.commit("and starts")
	w.quiet()
	if j := w.newest(devA); j.State != stackjob.WaitingApply {
		t.Errorf("the planned job is %s (%s)", j.State, j.Reason)
	}
}

func TestAManualJobIsStartedByAnApproval(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin()
	w.write("acme/policies/only.yaml", policy("isManual: true", ""), "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a")
	j := w.await(devA, stackjob.WaitingStart)
	if len(j.Operations) != 0 || j.Plan != nil {
		t.Errorf("something ran before the start: %v", j.Operations)
	}
	w.approve(j)
	if j = w.await(devA, stackjob.Succeeded); len(j.Approvals) != 1 || j.Approvals[0].Gate != stackjob.GateStart || w.effects("a") != 1 {
		t.Errorf("approvals %+v, %d side effects", j.Approvals, w.effects("a"))
	}
}

func TestPendingChangesStartWhenAPersonReruns(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.begin()
	w.write("acme/policies/only.yaml", policy("disableOnLifecycleEvents: true", ""), "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a")
	j := w.await(devA, stackjob.WaitingStart)
	if st := w.stack(devA).Resource; j.Reason.Code != stackjob.ReasonPending || st.Status != "pending" {
		t.Errorf("the reason is %s, the status %s", j.Reason, st.Status)
	}
	w.rerun(j)
	if again := w.await(devA, stackjob.Succeeded); again.RerunOf != j.ID || w.job(j.ID).State != stackjob.Superseded || w.effects("a") != 1 {
		t.Errorf("the rerun is of %q, the old job %s, %d side effects", again.RerunOf, w.job(j.ID).State, w.effects("a"))
	}
}

func TestAnAnswerThatNobodyGivesInTimeExpires(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.yaml = "  approvalExpiry: 2s\n"
	w.write("modules/counter/main.tf", counter, "acme/policies/only.yaml", policy("pauseBetweenPreviewAndUpdateOrDestroy: true", ""), "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a")
	w.start()
	j := w.await(devA, stackjob.Expired)
	if j.Reason.Code != stackjob.ReasonApprovalExpired || w.effects("a") != 0 {
		t.Errorf("the reason is %s, with %d side effects", j.Reason, w.effects("a"))
	}
	w.look()
	w.quiet()
	if st := w.stack(devA).Resource; st.Status != "expired" || st.Reason.Code != stackjob.ReasonApprovalExpired {
		t.Errorf("it is shown as %s: %s", st.Status, st.Reason)
	}
	if n := len(w.jobs(devA)); n != 1 {
		t.Errorf("%d jobs: what nobody wanted is not planned again by itself", n)
	}
	if _, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: j.Plan.Digest}); err == nil {
		t.Error("an expired plan was approved")
	}
	w.rerun(j)
	w.approve(w.await(devA, stackjob.WaitingApply))
	w.await(devA, stackjob.Succeeded)
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

// TestANoThatIsSaidOfAPlanStopsItUntilItIsApplied is a no in a pull request that shows
// the very plan which waits here: it is recorded with the plan, and not with the job.
func TestANoThatIsSaidOfAPlanStopsItUntilItIsApplied(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	var records store.Pulls
	w.records = func(r reconciler.Records) reconciler.Records {
		records = r.(store.Pulls)
		return r
	}
	w.write("modules/counter/main.tf", counter, "acme/policies/only.yaml", policy("pauseBetweenPreviewAndUpdateOrDestroy: true", ""),
		"acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a")
	w.start()
	j := w.job(w.await(devA, stackjob.WaitingApply).ID)
	no := stackjob.Approval{Actor: stackjob.Actor{Name: "grace", Via: "gitea"}, Gate: stackjob.GateApply, PlanDigest: j.Plan.Digest, Rejected: true, At: time.Now()}
	if err := records.RecordApproval(t.Context(), pull.Approval{Stack: w.key(devA), Pull: pull.Key{Repository: "config", Number: 7}, Approval: no}); err != nil {
		t.Fatal(err)
	}
	w.approve(j)
	w.await(devA, stackjob.Rejected)
	if n := w.effects("a"); n != 0 {
		t.Errorf("it was applied %d times", n)
	}
	if got := w.newest(devA).Reason; got.Code != stackjob.ReasonRejected || got.Detail != "by grace" {
		t.Errorf("because %s", got)
	}
}
