package stackjob

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
)

var (
	at    = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	until = at.Add(time.Minute)
	ada   = Actor{Name: "ada", Via: "token"}
	held  = Lease{Owner: "d1", Fence: 3}
	full  = "sha256:" + strings.Repeat("0123456789abcdef", 4)
)

// jobIn is a job in a state, with everything set that such a job can have.
func jobIn(s State) Job {
	j := Job{ID: "sj_1", Purpose: Reconcile, Action: Apply, State: s, DesiredDigest: "sha256:d", Attempt: 1, Fence: 3,
		Because: []Because{{Cause: CauseSpec}}, WaitsFor: []JobID{"sj_0"},
		Plan:       &Plan{Digest: full, Resources: []ResourceChange{{Address: "a"}}},
		Operations: []Operation{{Kind: OpPlan, Attempt: 1, StartedAt: at}},
		Approvals:  []Approval{{Actor: ada, Gate: GateStart}}, Policy: &PolicyChoice{Name: "p"}, CreatedAt: at}
	if s.IsRunning() {
		j.Owner, j.LeaseUntil = held.Owner, until
	}
	return j
}

func verdict(d Decision) Verdict {
	return Verdict{Decision: d, Gate: GateApply, Reason: Reason{Code: ReasonNeedsApproval}, Policy: PolicyChoice{Name: "new"}}
}

// allMoves has one of every constructor, by name.
func allMoves() map[string]Move {
	plan := Plan{Digest: full, HasChanges: true}
	return map[string]Move{
		"Postpone": Postpone(at, Reason{Code: ReasonStackBusy}), "HoldStart": HoldStart(at, verdict(Wait)), "ReleaseStart": ReleaseStart(at, verdict(Proceed)),
		"StartPlan": StartPlan(at, "d2", until, PolicyChoice{Name: "new"}), "Reading": StartPlan(at, "d2", until, PolicyChoice{}).Reading(map[string]string{"r": "hmac:1"}),
		"RequestCancel": RequestCancel(at, ada), "TakeOver": TakeOver(until.Add(1), "d2", until.Add(time.Hour)), "Renew": Renew(at, held, until.Add(time.Hour)),
		"Record": Record(at, held, Operation{Kind: OpPlan, Attempt: 1, Result: ResultSucceeded}), "RecordNext": Record(at, held, Operation{Kind: OpApply, Attempt: 1}),
		"PlannedProceed": Planned(at, held, plan, verdict(Proceed)), "PlannedWait": Planned(at, held, plan, verdict(Wait)), "PlannedRefuse": Planned(at, held, plan, verdict(Refuse)),
		"RegateProceed": Regate(at, verdict(Proceed)), "RegateWait": Regate(at, verdict(Wait)), "RegateRefuse": Regate(at, verdict(Refuse)),
		"PlannedNothing": PlannedNothing(at, held, plan, &Observed{}), "PlannedOnly": PlannedOnly(at, held, plan),
		"ReplanLost": ReplanLost(at, held, Reason{Code: ReasonRunnerLost}), "PutBack": PutBack(at, held, Reason{Code: ReasonDatabaseLocked}), "Replan": Replan(at, Reason{Code: ReasonStalePlan}),
		"ApproveStart": Approve(Approval{Actor: ada, Gate: GateStart, At: at}), "ApproveApply": Approve(Approval{Actor: ada, Gate: GateApply, PlanDigest: full, At: at}),
		"Reject": Reject(Approval{Actor: ada, At: at}), "StartApply": StartApply(at, "d2", until, full),
		"AppliedSucceeded": Applied(at, held, Outcome{Result: ResultSucceeded}, &Observed{}), "AppliedFailed": Applied(at, held, Outcome{Result: ResultFailed}, nil),
		"AppliedCancelled": Applied(at, held, Outcome{Result: ResultCancelled}, nil), "AppliedInterrupted": Applied(at, held, Outcome{Result: ResultInterrupted}, &Observed{}),
		"Fail": Fail(at, nil, Reason{Code: ReasonModule}), "FailRunning": Fail(at, &held, Reason{Code: ReasonEngine}), "Cancel": Cancel(at, nil, ada), "CancelRunning": Cancel(at, &held, ada),
		"Supersede": Supersede(at, nil, "sj_2"), "Unneeded": Unneeded(at, nil, Reason{Code: ReasonNothingToDo}), "Expire": Expire(at), "Refused": Refused(at, verdict(Refuse)),
	}
}

// TestEveryMoveInEveryState pins which constructor works where, beyond what the
// machine allows, and checks the laws of Apply on the way.
func TestEveryMoveInEveryState(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, name := range keysSorted(allMoves()) {
		m := allMoves()[name]
		for _, s := range States() {
			before := jobIn(s)
			after, err := m.Apply(before)
			if d := cmp.Diff(jobIn(s), before); d != "" {
				t.Errorf("%s changes its argument (-was +is):\n%s", name, d)
			}
			if err != nil {
				if d := cmp.Diff(before, after); d != "" {
					t.Errorf("%s of a %s job fails and returns another job:\n%s", name, s, d)
				}
				continue
			}
			fmt.Fprintf(&b, "%-18s %-14s %s\n", name, s, after.State)
			if after.State.IsRunning() != (after.Owner != "") || after.State.IsRunning() == after.LeaseUntil.IsZero() {
				t.Errorf("%s: a %s job has the owner %q until %v", name, after.State, after.Owner, after.LeaseUntil)
			}
			if after.State.IsFinal() == after.EndedAt.IsZero() {
				t.Errorf("%s: a %s job ended at %v", name, after.State, after.EndedAt)
			}
			if after.Fence < before.Fence {
				t.Errorf("%s: the fence went back", name)
			}
		}
	}
	golden(t, "moves.txt", b.String())
}

func keysSorted(m map[string]Move) []string {
	out := keysOf(m)
	for i := range out {
		for k := i + 1; k < len(out); k++ {
			if out[k] < out[i] {
				out[i], out[k] = out[k], out[i]
			}
		}
	}
	return out
}

func TestARunningJobIsMovedOnlyUnderItsLease(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Move{
		"an older fence": Planned(at, Lease{Owner: "d1", Fence: 2}, Plan{}, verdict(Proceed)), "another owner": Renew(at, Lease{Owner: "d2", Fence: 3}, until),
		"no lease to fail": Fail(at, nil, Reason{}), "no lease to cancel": Cancel(at, nil, ada), "no lease to supersede": Supersede(at, nil, "sj_2"),
		"unneeded": Unneeded(at, nil, Reason{Code: ReasonNothingToDo}), "a lease that still holds": TakeOver(at, "d2", until),
	} {
		if _, err := m.Apply(jobIn(Planning)); !errors.Is(err, ErrFenced) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	after, err := TakeOver(until, "d2", until.Add(time.Minute)).Apply(jobIn(Applying))
	if err != nil || after.Fence != 4 || after.Owner != "d2" {
		t.Errorf("taking over after the lease: %v, %+v", err, after)
	}
}

// A worker reads who asked to stop, judges the plan, and then moves the job.
func TestAPlanThatSomebodyStoppedGoesNoFurther(t *testing.T) {
	t.Parallel()
	asked, err := RequestCancel(at, ada).Apply(jobIn(Planning))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Decision{Proceed, Wait, Refuse} {
		var illegal *IllegalMove
		if after, err := Planned(at, held, Plan{Digest: full}, verdict(d)).Apply(asked); !errors.As(err, &illegal) || after.State != Planning {
			t.Errorf("%s: %s, %v", d, after.State, err)
		}
	}
	if after, err := Cancel(at, &held, *asked.CancelledBy).Apply(asked); err != nil || after.State != Cancelled {
		t.Errorf("%s, %v", after.State, err)
	}
}

func TestAnApprovalBindsToThePlanItNames(t *testing.T) {
	t.Parallel()
	hex := strings.TrimPrefix(full, "sha256:")
	for given, want := range map[string]bool{
		full: true, hex: true, hex[:12]: true, "sha256:" + hex[:12]: true, hex[:20]: true,
		hex[:11]: false, "": false, "sha256:": false, hex[:12] + "ffff": false, full + "0": false, strings.ToUpper(hex[:12]): false,
	} {
		after, err := Approve(Approval{Actor: ada, Gate: GateApply, PlanDigest: given, At: at}).Apply(jobIn(WaitingApply))
		if want != (err == nil) || !want && !errors.Is(err, ErrStaleApproval) {
			t.Errorf("%q: got %v", given, err)
		}
		if want && after.Approvals[1].PlanDigest != full {
			t.Errorf("%q is recorded as an approval of %q", given, after.Approvals[1].PlanDigest)
		}
	}
	j := jobIn(WaitingApply)
	j.Plan = nil
	if _, err := Approve(Approval{Gate: GateApply, PlanDigest: full}).Apply(j); !errors.Is(err, ErrStaleApproval) {
		t.Errorf("without a plan: %v", err)
	}
}

func TestThePlanThatIsAppliedIsTheOneThatIsNamedAndOnlyOnce(t *testing.T) {
	t.Parallel()
	if _, err := StartApply(at, "d1", until, "sha256:other").Apply(jobIn(Ready)); !errors.Is(err, ErrStaleApproval) {
		t.Errorf("another digest: %v", err)
	}
	used := jobIn(Ready)
	used.Plan.Consumed = true
	if _, err := StartApply(at, "d1", until, full).Apply(used); !errors.Is(err, ErrStaleApproval) {
		t.Errorf("a consumed plan: %v", err)
	}
	planOnly := jobIn(Ready)
	planOnly.Purpose = PlanOnly
	var illegal *IllegalMove
	if _, err := StartApply(at, "d1", until, full).Apply(planOnly); !errors.As(err, &illegal) {
		t.Errorf("a plan-only job: %v", err)
	}
	after, err := StartApply(at, "d1", until, full).Apply(jobIn(Ready))
	if err != nil || !after.Plan.Consumed || after.Fence != 4 {
		t.Errorf("got %v, %+v", err, after)
	}
}

func TestADestroyThatSucceededForgetsItsStack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result Result
		o      *Observed
		want   bool
	}{{ResultSucceeded, nil, true}, {ResultSucceeded, &Observed{}, false}, {ResultFailed, nil, false}, {ResultInterrupted, nil, false}} {
		if got := Applied(at, held, Outcome{Result: c.result}, c.o).Forgets(); got != c.want {
			t.Errorf("%s with %v: forgets %v", c.result, c.o, got)
		}
	}
}

func TestIllegalMovesSayWhatCannotHappen(t *testing.T) {
	t.Parallel()
	_, err := Expire(at).Apply(jobIn(Applying))
	if got, want := fmt.Sprint(err), "job sj_1: a job that is being applied cannot expire"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheDaemonIsTheActorOfWhatNobodyElseDid(t *testing.T) {
	t.Parallel()
	if got := Expire(at).Actor(); got != System {
		t.Errorf("got %v", got)
	}
	if got := Cancel(at, nil, ada).Actor(); got != ada {
		t.Errorf("got %v", got)
	}
}

func desired() Desired {
	return Desired{Key: schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: "main"}, Name: "Main", Repository: "config", Commit: "c1",
		File: "acme/dev/main.yaml", Line: 3, Inputs: json.RawMessage(`{"cidr":"10.0.0.0/8"}`), Spec: json.RawMessage(`{}`),
		VarFiles: []string{"dev.tfvars"}, ModuleRevision: "m1"}
}

// TestDigestsStayTheSameOverReleases guards recorded jobs and stacks: another digest
// for the same content would plan every stack again after an upgrade.
func TestDigestsStayTheSameOverReleases(t *testing.T) {
	t.Parallel()
	golden(t, "digest.txt", desired().Digest()+"\n"+Desired{}.Digest()+"\n")
}

func TestTheDigestFollowsWhatAStackIsMadeOfAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Desired)
		moves  bool
	}{
		"inputs": {func(d *Desired) { d.Inputs = json.RawMessage(`{"cidr":"10.1.0.0/16"}`) }, true}, "revision": {func(d *Desired) { d.ModuleRevision = "m2" }, true},
		"var files": {func(d *Desired) { d.VarFiles = nil }, true}, "module": {func(d *Desired) { d.Module.Path = "other" }, true},
		"commit": {func(d *Desired) { d.Commit = "c2" }, false}, "file": {func(d *Desired) { d.File, d.Line = "x.yaml", 9 }, false},
		"name": {func(d *Desired) { d.Name = "Other" }, false}, "prevent destroy": {func(d *Desired) { d.PreventDestroy = true }, false},
		"producers": {func(d *Desired) { d.Producers = []schema.ResourceKey{d.Key} }, false},
	} {
		d := desired()
		c.change(&d)
		if got := d.Digest() != desired().Digest(); got != c.moves {
			t.Errorf("%s: the digest moved: %v", name, got)
		}
	}
}

func TestCountsAreReadable(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Counts{"no changes": {NoOp: 3}, "+1 ~2 -3 ±4": {Create: 1, Update: 2, Delete: 3, Replace: 4},
		"+0 ~0 -0 ±0 (3 in state only)": {Import: 1, Move: 1, Forget: 1}} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if (Counts{NoOp: 1}).IsZero() || !(Counts{}).IsZero() {
		t.Error("IsZero")
	}
}
