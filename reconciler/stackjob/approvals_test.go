package stackjob_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func choice() stackjob.PolicyChoice {
	ada := schema.Person{Name: "ada", Logins: []schema.Login{{Via: "github", Name: "ada"}, {Via: "token", Name: "ada"}}}
	return stackjob.PolicyChoice{Name: "acme/p", Prune: schema.PruneFollow,
		Approvals: &stackjob.Approvals{Required: 1, From: []schema.Approver{{Name: "team/core", People: []schema.Person{ada}}}, Known: []schema.Person{ada}},
		Override:  []schema.Approver{{Name: "ada", People: []schema.Person{ada}}}}
}

// TestAChoiceIsTheSameWhileItJudgesAlike changes one thing at a time.
func TestAChoiceIsTheSameWhileItJudgesAlike(t *testing.T) {
	t.Parallel()
	changed := map[string]func(*stackjob.PolicyChoice){
		"name":                 func(c *stackjob.PolicyChoice) { c.Name = "acme/q" },
		"controls":             func(c *stackjob.PolicyChoice) { c.Controls.IsManual = true },
		"prune":                func(c *stackjob.PolicyChoice) { c.Prune = schema.PruneForbid },
		"apply before merge":   func(c *stackjob.PolicyChoice) { c.ApplyBeforeMerge = true },
		"no approvals":         func(c *stackjob.PolicyChoice) { c.Approvals = nil },
		"required":             func(c *stackjob.PolicyChoice) { c.Approvals.Required = 2 },
		"author":               func(c *stackjob.PolicyChoice) { c.Approvals.AuthorMayApprove = true },
		"review":               func(c *stackjob.PolicyChoice) { c.Approvals.ByReview = true },
		"an entry":             func(c *stackjob.PolicyChoice) { c.Approvals.From[0].Name = "team/other" },
		"who is in a team":     func(c *stackjob.PolicyChoice) { c.Approvals.From[0].People = nil },
		"a login":              func(c *stackjob.PolicyChoice) { c.Approvals.From[0].People[0].Logins[0].Name = "ada2" },
		"who is known":         func(c *stackjob.PolicyChoice) { c.Approvals.Known = nil },
		"who may override":     func(c *stackjob.PolicyChoice) { c.Override = nil },
		"a login of overrider": func(c *stackjob.PolicyChoice) { c.Override[0].People[0].Logins[1].Via = "socket" },
	}
	for name, change := range changed {
		// The persons of the fixture are shared between its lists: each side has its own.
		a, b := choice(), choice()
		change(&b)
		if a.Same(b) || b.Same(a) {
			t.Errorf("%s: the choices are said to judge alike", name)
		}
	}
	a, b := choice(), choice()
	b.File, b.Line, b.Visited = "moved.yaml", 7, []string{"another way"}
	if !a.Same(b) || !b.Same(a) {
		t.Error("where a policy stands and how it was found changes nothing")
	}
	var none stackjob.PolicyChoice
	if !none.Same(stackjob.PolicyChoice{}) || none.Same(a) || a.Same(none) {
		t.Error("a choice without persons")
	}
}

// TestAChoiceSurvivesTheStore writes it as a record does.
func TestAChoiceSurvivesTheStore(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(choice())
	if err != nil {
		t.Fatal(err)
	}
	var got stackjob.PolicyChoice
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(choice(), got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyPersonsArePersons(t *testing.T) {
	t.Parallel()
	any := stackjob.Approvals{Required: 1}
	for _, tt := range []struct {
		actor stackjob.Actor
		want  bool
	}{
		{stackjob.Actor{Name: "ada", Via: "github"}, true}, {stackjob.Actor{Name: "ada", Via: "gitlab"}, true}, {stackjob.Actor{Name: "ada", Via: "gitea"}, true},
		{stackjob.Actor{Name: "ada", Via: "socket"}, true}, {stackjob.Actor{Name: "ci", Via: "token"}, true},
		{stackjob.System, false}, {stackjob.Actor{Name: "ada"}, false}, {stackjob.Actor{Via: "github"}, false}, {stackjob.Actor{Name: "ada", Via: "bitbucket"}, false}, {stackjob.Actor{}, false},
	} {
		if _, ok := any.Person(tt.actor); ok != tt.want || tt.actor.IsPerson() != tt.want {
			t.Errorf("%+v is a person: %v", tt.actor, ok)
		}
		if _, ok := (stackjob.PolicyChoice{}).Overrider(tt.actor); ok {
			t.Errorf("%+v may override where nobody may", tt.actor)
		}
	}
}

// TestAVerdictDoesNotUndoWhatWasSaidSince has two persons approve at once: the first one's
// verdict, that another is missing, comes after the second approval.
func TestAVerdictDoesNotUndoWhatWasSaidSince(t *testing.T) {
	t.Parallel()
	const digest = "sha256:1a2b3c4d5e6f7a8b1a2b3c4d5e6f7a8b1a2b3c4d5e6f7a8b1a2b3c4d5e6f7a8b"
	yes := func(j stackjob.Job, who string) stackjob.Job {
		t.Helper()
		after, err := stackjob.Approve(stackjob.Approval{Actor: stackjob.Actor{Name: who, Via: "github"}, Gate: stackjob.GateApply, PlanDigest: digest}).Apply(j)
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	wait := stackjob.Verdict{Decision: stackjob.Wait, Gate: stackjob.GateApply, Reason: stackjob.Reason{Code: stackjob.ReasonNeedsApproval}, Policy: choice()}
	policy := choice()
	one := yes(stackjob.Job{ID: "sj_1", State: stackjob.WaitingApply, Policy: &policy, Plan: &stackjob.Plan{Digest: digest}}, "ada")
	verdict := stackjob.Regate(one.CreatedAt, wait).Judging(len(one.Approvals))
	two := yes(one, "grace")
	if two.State != stackjob.Ready || len(two.Approvals) != 2 {
		t.Fatalf("%s with %d approvals", two.State, len(two.Approvals))
	}
	var quicker *stackjob.IllegalMove
	if after, err := verdict.Apply(two); !errors.As(err, &quicker) || after.State != stackjob.Ready {
		t.Errorf("the old verdict moved the job to %s: %v", after.State, err)
	}
	if after, err := verdict.Apply(one); err != nil || after.State != stackjob.WaitingApply {
		t.Errorf("%s, %v", after.State, err)
	}
	if after, err := stackjob.HoldStart(one.CreatedAt, wait).Judging(0).Apply(stackjob.Job{State: stackjob.Queued}); err != nil || after.State != stackjob.WaitingStart {
		t.Errorf("%s, %v", after.State, err)
	}
}
