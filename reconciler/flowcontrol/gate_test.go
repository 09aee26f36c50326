package flowcontrol_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

var (
	changing  = stackjob.Plan{Digest: digest, HasChanges: true, Counts: stackjob.Counts{Create: 1}}
	unchanged = stackjob.Plan{Digest: digest}

	ann = stackjob.Actor{Name: "ann", Via: "token"}
	bob = stackjob.Actor{Name: "bob", Via: "socket"}

	approveThis  = stackjob.Approval{Actor: ann, Gate: stackjob.GateApply, PlanDigest: digest}
	approveOther = stackjob.Approval{Actor: ann, Gate: stackjob.GateApply, PlanDigest: "sha256:2222222222222222"}
	approveStart = stackjob.Approval{Actor: ann, Gate: stackjob.GateStart, DesiredDigest: "d1"}
	startOther   = stackjob.Approval{Actor: ann, Gate: stackjob.GateStart, DesiredDigest: "d2"}
	rejectThis   = stackjob.Approval{Actor: bob, Gate: stackjob.GateApply, PlanDigest: digest, Rejected: true}
)

// situation is one row of the table of everything that a gate looks at.
type situation struct {
	controls  int // one bit for each control
	action    stackjob.Action
	prune     schema.Prune
	hold      bool
	protected bool
	changes   bool
	rerun     bool
	planOnly  bool
	approvals []stackjob.Approval
}

func (s situation) job() stackjob.Job {
	j := stackjob.Job{Purpose: stackjob.Reconcile, Action: s.action, DesiredDigest: "d1", Approvals: s.approvals}
	j.Desired.Key = key
	j.Desired.PreventDestroy = s.protected
	if s.hold {
		j.Hold = &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of 14"}
	}
	if s.rerun {
		j.RerunOf, j.Because = "sj_old", []stackjob.Because{{Cause: stackjob.CauseRerun}}
	}
	if s.planOnly {
		j.Purpose = stackjob.PlanOnly
	}
	return j
}

func (s situation) bit(n int) bool { return s.controls&(1<<n) != 0 }

func (s situation) choice() stackjob.PolicyChoice {
	return stackjob.PolicyChoice{Name: "acme/p", Prune: s.prune, Controls: schema.Controls{
		IsManual: s.bit(0), DisableOnLifecycleEvents: s.bit(1), SkipRefresh: s.bit(2),
		PreviewBeforeUpdateOrDestroy: s.bit(3), PauseBetweenPreviewAndUpdateOrDestroy: s.bit(4),
	}}
}

func (s situation) plan() stackjob.Plan {
	if s.changes {
		return changing
	}
	return unchanged
}

var everySituation = sync.OnceValue(func() []situation {
	var out []situation
	yesNo := []bool{false, true}
	answers := [][]stackjob.Approval{nil, {approveThis}, {approveOther}, {approveStart}, {startOther}, {approveStart, approveThis}, {approveThis, rejectThis}, {rejectThis, approveThis}}
	for controls := range 32 {
		for _, action := range []stackjob.Action{stackjob.Apply, stackjob.Destroy} {
			for _, prune := range []schema.Prune{"", schema.PruneFollow, schema.PruneApprove, schema.PruneForbid} {
				for _, hold := range yesNo {
					for _, protected := range yesNo {
						for _, changes := range yesNo {
							for _, rerun := range yesNo {
								for _, approvals := range answers {
									out = append(out, situation{controls, action, prune, hold, protected, changes, rerun, false, approvals})
								}
							}
						}
					}
				}
			}
		}
	}
	return out
})

// The references are written as lists of rules in words, the first that fits decides.
type rule struct {
	when bool
	then string
}

func first(rules []rule) string {
	for _, r := range rules {
		if r.when {
			return r.then
		}
	}
	return "no rule"
}

func (s situation) says(a stackjob.Approval) bool { return slices.Contains(s.approvals, a) }

func (s situation) expectedAtStart() string {
	removal := s.action == stackjob.Destroy
	started := s.says(approveStart)
	return first([]rule{
		{s.says(rejectThis), "refuse rejected"},
		{s.planOnly, "proceed no-gate"},
		{removal && s.protected, "refuse prevent-destroy"},
		{removal && s.prune == schema.PruneForbid, "refuse prune-forbidden"},
		{s.bit(0) && !started, "wait manual"},
		{s.bit(0), "proceed approved"},
		{s.bit(1) && s.rerun, "proceed no-gate"},
		{s.bit(1) && !started, "wait pending"},
		{s.bit(1), "proceed approved"},
		{true, "proceed no-gate"},
	})
}

func (s situation) expectedAtApply() string {
	removal := s.action == stackjob.Destroy
	yes := s.says(approveThis)
	return first([]rule{
		{s.says(rejectThis), "refuse rejected"},
		{removal && s.protected, "refuse prevent-destroy"},
		{removal && s.prune == schema.PruneForbid, "refuse prune-forbidden"},
		{!s.changes, "proceed no-changes"},
		{s.hold && yes, "proceed approved"},
		{s.hold, "wait mass-deletion"},
		{removal && s.prune == schema.PruneApprove && yes, "proceed approved"},
		{removal && s.prune == schema.PruneApprove, "wait prune-approval"},
		{s.bit(4) && yes, "proceed approved"},
		{s.bit(4), "wait needs-approval"},
		{true, "proceed no-gate"},
	})
}

func TestEverySituationAtBothGates(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, s := range everySituation() {
		start := flowcontrol.AtStart(s.job(), s.choice())
		apply := flowcontrol.AtApply(s.job(), s.plan(), s.choice())
		for _, c := range []struct {
			gate stackjob.Gate
			got  stackjob.Verdict
			want string
		}{{stackjob.GateStart, start, s.expectedAtStart()}, {stackjob.GateApply, apply, s.expectedAtApply()}} {
			got := fmt.Sprintf("%s %s", c.got.Decision, c.got.Reason.Code)
			if got != c.want {
				t.Fatalf("at %s: got %q, want %q, in %+v", c.gate, got, c.want, s)
			}
			if c.got.Gate != c.gate || !cmp.Equal(c.got.Policy, s.choice()) {
				t.Fatalf("the verdict does not carry gate and policy: %+v", c.got)
			}
			seen[string(c.gate)+" "+got]++
		}
	}
	if len(seen) != 7+9 {
		t.Errorf("the table reached %d verdicts, want 16: %v", len(seen), seen)
	}
}

func TestAPlanOnlyJobIsPlannedWhateverThePolicySays(t *testing.T) {
	t.Parallel()
	for controls := range 32 {
		s := situation{controls: controls, action: stackjob.Destroy, prune: schema.PruneForbid, protected: true, planOnly: true}
		if v := flowcontrol.AtStart(s.job(), s.choice()); v.Decision != stackjob.Proceed {
			t.Errorf("controls %05b: %+v", controls, v)
		}
	}
}

func TestAHeldJobTellsWhyItIsHeld(t *testing.T) {
	t.Parallel()
	s := situation{action: stackjob.Destroy, hold: true, changes: true}
	v := flowcontrol.AtApply(s.job(), s.plan(), s.choice())
	if diff := cmp.Diff(stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of 14"}, v.Reason); diff != "" {
		t.Error(diff)
	}
}

func TestEveryApproverIsNamedOnce(t *testing.T) {
	t.Parallel()
	again := approveThis
	again.Actor = bob
	s := situation{controls: 1 << 4, action: stackjob.Apply, changes: true, approvals: []stackjob.Approval{approveThis, again, approveThis}}
	v := flowcontrol.AtApply(s.job(), s.plan(), s.choice())
	if v.Reason != (stackjob.Reason{Code: stackjob.ReasonApproved, Detail: "by ann, bob"}) {
		t.Errorf("reason = %+v", v.Reason)
	}
}

func TestAPlanWithoutADigestCannotBeApproved(t *testing.T) {
	t.Parallel()
	s := situation{controls: 1 << 4, action: stackjob.Apply, approvals: []stackjob.Approval{{Actor: ann, Gate: stackjob.GateApply}}}
	if v := flowcontrol.AtApply(s.job(), stackjob.Plan{HasChanges: true}, s.choice()); v.Decision != stackjob.Wait {
		t.Errorf("verdict = %+v", v)
	}
	j := s.job()
	j.DesiredDigest = ""
	j.Approvals = []stackjob.Approval{{Actor: ann, Gate: stackjob.GateStart}}
	if v := flowcontrol.AtStart(j, situation{controls: 1}.choice()); v.Decision != stackjob.Wait {
		t.Errorf("verdict = %+v", v)
	}
}

func TestCountsAreBelievedAboveAFlagThatDeniesThem(t *testing.T) {
	t.Parallel()
	s := situation{controls: 1 << 4, action: stackjob.Apply}
	p := stackjob.Plan{Digest: digest, Counts: stackjob.Counts{Delete: 1}}
	if v := flowcontrol.AtApply(s.job(), p, s.choice()); v.Decision != stackjob.Wait {
		t.Errorf("verdict = %+v", v)
	}
}

func drawSituation(t *rapid.T) situation {
	return rapid.SampledFrom(everySituation()).Draw(t, "situation")
}

func drawApproval(t *rapid.T, rejected bool) stackjob.Approval {
	return stackjob.Approval{
		Actor:         rapid.SampledFrom([]stackjob.Actor{ann, bob, {}}).Draw(t, "actor"),
		Gate:          rapid.SampledFrom([]stackjob.Gate{stackjob.GateStart, stackjob.GateApply, ""}).Draw(t, "gate"),
		PlanDigest:    rapid.SampledFrom([]string{digest, digest[:19], "1111", "", "sha256:3"}).Draw(t, "plan"),
		DesiredDigest: rapid.SampledFrom([]string{"d1", "d2", ""}).Draw(t, "desired"),
		Rejected:      rejected,
	}
}

func TestARejectionNeverLetsAJobGoOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		no := drawApproval(t, true)
		at := rapid.IntRange(0, len(s.approvals)).Draw(t, "at")
		s.approvals = slices.Insert(slices.Clone(s.approvals), at, no)
		if v := flowcontrol.AtApply(s.job(), s.plan(), s.choice()); v.Decision != stackjob.Refuse {
			t.Fatalf("at apply: %+v", v)
		}
		if v := flowcontrol.AtStart(s.job(), s.choice()); v.Decision != stackjob.Refuse {
			t.Fatalf("at start: %+v", v)
		}
	})
}

func TestAnApprovalOfSomethingElseNeverMatters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		with := s
		yes := drawApproval(t, false)
		with.approvals = append(slices.Clone(s.approvals), yes)
		if yes.Gate != stackjob.GateApply || yes.PlanDigest != digest {
			if diff := cmp.Diff(flowcontrol.AtApply(s.job(), s.plan(), s.choice()), flowcontrol.AtApply(with.job(), s.plan(), s.choice())); diff != "" {
				t.Fatal(diff)
			}
		}
		if yes.Gate != stackjob.GateStart || yes.DesiredDigest != "d1" {
			if diff := cmp.Diff(flowcontrol.AtStart(s.job(), s.choice()), flowcontrol.AtStart(with.job(), s.choice())); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// TestJudgingChangesNothing guards against verdicts that share memory with the job.
func TestJudgingChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		job, before := s.job(), s.job()
		before.Approvals = slices.Clone(before.Approvals)
		flowcontrol.AtStart(job, s.choice())
		flowcontrol.AtApply(job, s.plan(), s.choice())
		if diff := cmp.Diff(before, job); diff != "" {
			t.Fatal(diff)
		}
	})
}
