package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
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
		holds   bool
	}{
		"below both":      {"brake: {count: 2, share: 50%}\n", many[:2], false},
		"above the count": {"brake: {count: 1, share: 100%}\n", many[:2], true},
		"above the share": {"brake: {count: 100, share: 20%}\n", many[:2], true},
		"one of many":     {"brake: {count: 1, share: 1%}\n", many[:1], false},
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
				if !c.holds {
					w.until(n+" is gone", func() bool { return len(w.jobs(key)) == 2 && w.newest(key).State == stackjob.Succeeded })
					continue
				}
				j := w.await(key, stackjob.WaitingApply)
				if j.Reason.Code != stackjob.ReasonMassDeletion || !strings.Contains(j.Reason.Detail, "2 of the 8") {
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
