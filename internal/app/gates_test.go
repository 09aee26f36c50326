package app_test

import (
	"context"
	"fmt"
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
	w.stop()
	w.yaml = "" // somebody does, however long that takes
	w.start()
	w.rerun(j)
	w.approve(w.await(devA, stackjob.WaitingApply))
	w.await(devA, stackjob.Succeeded)
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
