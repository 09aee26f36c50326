package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

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
