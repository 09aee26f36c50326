package flowcontrol_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// crew is an organization with three people in it: Ada has two logins, Grace one, and
// Linus none but that.
const crew = `apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: ada}
spec: {logins: [github:ada, github:ada-work], operatingSystemUser: adal, tokenName: ada-laptop}
---
apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: grace}
spec: {githubUsername: Grace}
---
apiVersion: stackreeve.dev/v1
kind: Team
metadata: {name: platform}
spec: {members: [ada, grace, github:linus]}
`

// choiceOf loads a repository whose only policy has these lines, and chooses it.
func choiceOf(t testing.TB, lines ...string) stackjob.PolicyChoice {
	t.Helper()
	policy := "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n"
	if !strings.Contains(strings.Join(lines, ""), "flowControl") {
		policy += "  flowControl: {}\n"
	}
	for _, l := range lines {
		policy += "  " + l + "\n"
	}
	tree := schematest.Load(t, map[string]string{"acme/teams/crew.yaml": crew, "acme/policies/p.yaml": policy,
		"acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
	choice := flowcontrol.Choose(tree.Policies(), key)
	if choice.Name != "acme/p" {
		t.Fatalf("in force: %s", choice.Name)
	}
	return choice
}

func on(via, name string) stackjob.Actor { return stackjob.Actor{Name: name, Via: via} }

func numbered(name, id string) stackjob.Actor {
	return stackjob.Actor{Name: name, Via: "github", ID: id}
}

func yes(by stackjob.Actor) stackjob.Approval {
	return stackjob.Approval{Actor: by, Gate: stackjob.GateApply, PlanDigest: digest}
}

func own(a stackjob.Approval) stackjob.Approval { a.OwnProposal = true; return a }

func override(by stackjob.Actor, reason string) stackjob.Approval {
	a := yes(by)
	a.Override, a.Comment = true, reason
	return a
}

func TestWhoseApprovalsCount(t *testing.T) {
	t.Parallel()
	ada, adaWork, grace, linus := on("github", "Ada"), on("github", "ada-work"), on("github", "grace"), on("github", "linus")
	mallory := on("github", "mallory")
	const (
		two    = "approvals: {required: 2, from: [team/platform]}"
		one    = "approvals: {from: [team/platform]}"
		author = "approvals: {required: 2, from: [team/platform], authorMayApprove: true}"
		any2   = "approvals: {required: 2}"
		glass  = "override: {from: [grace]}"
	)
	for _, tt := range []struct {
		name      string
		policy    []string
		approvals []stackjob.Approval
		// want is decision, code and detail.
		want string
	}{
		{"a login that is not the account any more", []string{"approvals: {from: ['github:root#5', 'github:linus#40']}", "override: {from: ['github:root#5']}"},
			[]stackjob.Approval{yes(numbered("root", "6")), override(numbered("root", "6"), "please")},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from github:root#5, github:linus#40; root (github) does not count: another account than the one that is meant; root (github) cannot override: not among github:root#5"},
		{"an account that was renamed", []string{"approvals: {from: ['github:root#5']}"}, []stackjob.Approval{yes(numbered("admin", "5"))}, "proceed approved by admin"},
		{"an account before and after it was renamed", []string{any2}, []stackjob.Approval{yes(numbered("mallory", "3")), yes(numbered("eve", "3")), yes(on("github", "Mallory"))},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (mallory); needs one more"},
		{"two accounts of one name, one after the other", []string{any2}, []stackjob.Approval{yes(numbered("mallory", "3")), yes(numbered("mallory", "4"))},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (mallory); needs one more"},
		{"the author before it was renamed", []string{any2}, []stackjob.Approval{own(yes(numbered("mallory", "3"))), yes(numbered("eve", "3")), yes(ada)},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more; mallory (github) does not count: proposed the change; eve (github) does not count: proposed the change"},
		{"no persons, renamed", []string{"flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, []stackjob.Approval{yes(numbered("mallory", "3")), yes(numbered("eve", "3"))}, "proceed approved by mallory"},
		{"nobody", []string{two}, nil, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 2 approvals; needs 2 from team/platform"},
		{"one of two", []string{two}, []stackjob.Approval{yes(ada)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more from team/platform"},
		{"two of two", []string{two}, []stackjob.Approval{yes(ada), yes(linus)}, "proceed approved by ada, linus"},
		{"one is enough", []string{one}, []stackjob.Approval{yes(grace)}, "proceed approved by grace"},
		{"one person with two logins", []string{two}, []stackjob.Approval{yes(ada), yes(adaWork), yes(on("socket", "adal")), yes(on("token", "ada-laptop"))}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more from team/platform"},
		{"a stranger", []string{one}, []stackjob.Approval{yes(mallory)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from team/platform; mallory (github) does not count: not among team/platform"},
		{"the same name elsewhere", []string{one}, []stackjob.Approval{yes(on("gitlab", "ada")), yes(on("socket", "ada")), yes(on("token", "ada")), yes(on("", "ada"))},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from team/platform; ada (gitlab) does not count: not among team/platform; ada (socket) does not count: not among team/platform; ada (token) does not count: not among team/platform; ada does not count: not among team/platform"},
		{"the daemon", []string{any2}, []stackjob.Approval{yes(stackjob.System), yes(ada)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more; reeve (system) does not count: no person"},
		{"the author", []string{two}, []stackjob.Approval{own(yes(ada)), yes(grace)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (grace); needs one more from team/platform; Ada (github) does not count: proposed the change"},
		{"the author with the other login", []string{two}, []stackjob.Approval{yes(adaWork), own(yes(ada)), yes(grace)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (grace); needs one more from team/platform; ada-work (github) does not count: proposed the change; Ada (github) does not count: proposed the change"},
		{"the author where that is allowed", []string{author}, []stackjob.Approval{own(yes(ada)), yes(grace)}, "proceed approved by ada, grace"},
		{"anybody twice", []string{any2}, []stackjob.Approval{yes(mallory), yes(on("github", "MALLORY"))}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (mallory); needs one more"},
		{"anybody with two logins", []string{any2}, []stackjob.Approval{yes(ada), yes(on("token", "ada-laptop"))}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more"},
		{"any two", []string{any2}, []stackjob.Approval{yes(mallory), yes(ada)}, "proceed approved by mallory, ada"},
		{"the author among anybody", []string{any2}, []stackjob.Approval{own(yes(mallory)), yes(ada)}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 1 of 2 approvals (ada); needs one more; mallory (github) does not count: proposed the change"},
		{"an override", []string{two, glass}, []stackjob.Approval{override(grace, "we are\n down")}, "proceed overridden by grace: we are down"},
		{"an override by the author", []string{two, glass}, []stackjob.Approval{own(override(grace, "we are down"))}, "proceed overridden by grace: we are down"},
		{"an override without a reason", []string{two, glass}, []stackjob.Approval{override(grace, " \n")}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 2 approvals; needs 2 from team/platform; grace (github) cannot override without a reason"},
		{"an override by who may approve only", []string{one, glass}, []stackjob.Approval{override(ada, "please")}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from team/platform; Ada (github) cannot override: not among grace"},
		{"an override where nobody may", []string{one}, []stackjob.Approval{override(ada, "please")}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from team/platform; Ada (github) cannot override: the policy lets nobody"},
		{"an override that is not needed", []string{one, glass}, []stackjob.Approval{yes(ada), override(mallory, "please")}, "proceed approved by ada"},
		{"a rejection by a stranger", []string{one}, []stackjob.Approval{yes(ada), {Actor: mallory, Gate: stackjob.GateApply, PlanDigest: digest, Rejected: true}}, "refuse rejected by mallory"},
		{"a rejection against an override", []string{one, glass}, []stackjob.Approval{override(grace, "down"), {Actor: mallory, Rejected: true}}, "refuse rejected by mallory"},
		{"persons without a number", []string{"approvals: {required: 0, from: [team/platform]}"}, nil, "proceed no-gate acme/p"},
		{"persons without a number, and a pause", []string{"approvals: {required: 0, from: [team/platform]}", "flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, []stackjob.Approval{yes(mallory)},
			"wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one from team/platform; mallory (github) does not count: not among team/platform"},
		{"no persons, as ever", []string{"flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, []stackjob.Approval{yes(mallory)}, "proceed approved by mallory"},
		{"no persons, the author", []string{"flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, []stackjob.Approval{own(yes(ada))}, "wait needs-approval acme/p: +1 ~0 -0 (1 to create); 0 of 1 approval; needs one; Ada (github) does not count: proposed the change"},
		{"no persons, somebody else", []string{"flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, []stackjob.Approval{own(yes(ada)), yes(grace)}, "proceed approved by grace"},
		{"no persons, nobody", []string{"flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}"}, nil, "wait needs-approval acme/p: +1 ~0 -0 (1 to create)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			job := situation{action: stackjob.Apply, approvals: tt.approvals}.job()
			v := flowcontrol.AtApply(job, changing, choiceOf(t, tt.policy...))
			want := strings.ReplaceAll(tt.want, "+1 ~0 -0 (1 to create)", changing.Counts.String())
			if got := fmt.Sprintf("%s %s %s", v.Decision, v.Reason.Code, v.Reason.Detail); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestWhoLeftTheTeamNoLongerCounts judges one approval by two trees.
func TestWhoLeftTheTeamNoLongerCounts(t *testing.T) {
	t.Parallel()
	job := situation{action: stackjob.Apply, approvals: []stackjob.Approval{yes(on("github", "linus"))}}.job()
	if v := flowcontrol.AtApply(job, changing, choiceOf(t, "approvals: {from: [team/platform]}")); v.Decision != stackjob.Proceed {
		t.Fatalf("verdict = %+v", v)
	}
	policy := "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n  flowControl: {}\n  approvals: {from: [team/platform]}\n"
	tree := schematest.Load(t, map[string]string{"acme/teams/crew.yaml": strings.Replace(crew, ", github:linus", "", 1), "acme/policies/p.yaml": policy, "acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
	if v := flowcontrol.AtApply(job, changing, flowcontrol.Choose(tree.Policies(), key)); v.Decision != stackjob.Wait {
		t.Errorf("verdict = %+v", v)
	}
}

// TestWhatElseWaitsWantsTheSamePeople covers the gates that do not come from approvals: a
// hold, a removal, the start.
func TestWhatElseWaitsWantsTheSamePeople(t *testing.T) {
	t.Parallel()
	mallory, ada, grace := on("github", "mallory"), on("github", "ada"), on("github", "grace")
	choice := choiceOf(t, "approvals: {required: 2, from: [team/platform]}", "prune: approve", "flowControl: {isManual: true}")
	for _, tt := range []struct {
		name string
		s    situation
		want string
	}{
		{"a hold", situation{action: stackjob.Destroy, hold: true, changes: true, approvals: []stackjob.Approval{yes(mallory), yes(ada)}}, "wait mass-deletion 12 of 14; 1 of 2 approvals (ada); needs one more from team/platform; mallory (github) does not count: not among team/platform"},
		{"a hold, approved", situation{action: stackjob.Destroy, hold: true, changes: true, approvals: []stackjob.Approval{yes(grace), yes(ada)}}, "proceed approved by grace, ada"},
		{"a removal", situation{action: stackjob.Destroy, changes: true, approvals: []stackjob.Approval{yes(ada)}}, "wait prune-approval acme/p; 1 of 2 approvals (ada); needs one more from team/platform"},
		{"nothing to change", situation{action: stackjob.Apply}, "proceed no-changes "},
	} {
		v := flowcontrol.AtApply(tt.s.job(), tt.s.plan(), choice)
		if got := fmt.Sprintf("%s %s %s", v.Decision, v.Reason.Code, v.Reason.Detail); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	start := func(by ...stackjob.Actor) string {
		s := situation{action: stackjob.Apply}
		for _, a := range by {
			s.approvals = append(s.approvals, stackjob.Approval{Actor: a, Gate: stackjob.GateStart, DesiredDigest: "d1"})
		}
		v := flowcontrol.AtStart(s.job(), choice)
		return fmt.Sprintf("%s %s %s", v.Decision, v.Reason.Code, v.Reason.Detail)
	}
	if got, want := start(mallory), "wait manual acme/p; 0 of 1 approval; needs one from team/platform; mallory (github) does not count: not among team/platform"; got != want {
		t.Errorf("a stranger at the start:\ngot  %s\nwant %s", got, want)
	}
	if got, want := start(mallory, ada), "proceed approved by ada"; got != want {
		t.Errorf("Ada at the start:\ngot  %s\nwant %s", got, want)
	}
}

func TestRulesThatNobodyMayBreakHoldAgainstAnOverride(t *testing.T) {
	t.Parallel()
	job := situation{action: stackjob.Destroy, protected: true, approvals: []stackjob.Approval{override(on("github", "grace"), "down")}}.job()
	choice := choiceOf(t, "override: {from: [grace]}", "approvals: {required: 1}")
	if v := flowcontrol.AtApply(job, changing, choice); v.Decision != stackjob.Refuse || v.Reason.Code != stackjob.ReasonPreventDestroy {
		t.Errorf("verdict = %+v", v)
	}
	choice.Prune = schema.PruneForbid
	job.Desired.PreventDestroy = false
	if v := flowcontrol.AtApply(job, changing, choice); v.Decision != stackjob.Refuse || v.Reason.Code != stackjob.ReasonPruneForbidden {
		t.Errorf("verdict = %+v", v)
	}
}

// TestATreeThatForgotThePeopleOpensNothing chooses with a policy that no tree resolved.
func TestATreeThatForgotThePeopleOpensNothing(t *testing.T) {
	t.Parallel()
	p := policy("acme", "p", schema.SelectEnvironment, "prod")
	p.Approvals = &schema.ApprovalRule{Required: 1, From: []string{"team/platform", "ada"}}
	choice := flowcontrol.Choose([]*schema.Policy{p}, key)
	for _, a := range actors() {
		job := situation{action: stackjob.Apply, approvals: []stackjob.Approval{yes(a)}}.job()
		if v := flowcontrol.AtApply(job, changing, choice); v.Decision != stackjob.Wait {
			t.Errorf("%+v: %+v", a, v)
		}
	}
}

func actors() []stackjob.Actor {
	var out []stackjob.Actor
	for _, via := range []string{"github", "gitlab", "gitea", "socket", "token", "system", ""} {
		for _, name := range []string{"ada", "ADA", "ada-work", "adal", "ada-laptop", "grace", "Grace", "linus", "mallory", "platform", "team/platform", "github:ada", "reeve", ""} {
			out = append(out, on(via, name))
		}
	}
	return out
}

// qualified is the reference: who each actor is in crew, written out.
func qualified(a stackjob.Actor) string {
	switch fmt.Sprintf("%s:%s", a.Via, a.Name) {
	case "github:ada", "github:ADA", "github:ada-work", "socket:adal", "token:ada-laptop":
		return "ada"
	case "github:grace", "github:Grace":
		return "grace"
	case "github:linus":
		return "linus"
	}
	return ""
}

func drawGiven(t *rapid.T, overrides bool) []stackjob.Approval {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stackjob.Approval {
		a := drawApproval(t, false)
		a.Actor = rapid.SampledFrom(actors()).Draw(t, "who")
		a.OwnProposal = rapid.Bool().Draw(t, "own")
		if overrides && rapid.Bool().Draw(t, "override") {
			a.Override, a.Comment = true, rapid.SampledFrom([]string{"", " ", "down"}).Draw(t, "reason")
		}
		if rapid.IntRange(0, 2).Draw(t, "right") > 0 { // most answer the gate
			a.Gate, a.PlanDigest = stackjob.GateApply, digest
		}
		return a
	}), 0, 8).Draw(t, "approvals")
}

// TestNobodyElseEverOpensAGate holds the gate against a reference that counts persons by
// hand: it opens exactly when enough different persons of the list said yes who did not
// propose the change.
func TestNobodyElseEverOpensAGate(t *testing.T) {
	t.Parallel()
	choices := map[int]stackjob.PolicyChoice{}
	for n := 1; n <= 3; n++ {
		choices[n] = choiceOf(t, fmt.Sprintf("approvals: {required: %d, from: [team/platform, github:ada]}", n))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "required")
		choice := choices[n]
		own := rapid.Bool().Draw(t, "author may approve")
		approvals := *choice.Approvals
		approvals.AuthorMayApprove = own
		choice.Approvals = &approvals
		given := drawGiven(t, true)
		said, proposed := map[string]bool{}, map[string]bool{}
		for _, a := range given {
			who := qualified(a.Actor)
			if who == "" || a.Gate != stackjob.GateApply || a.PlanDigest != digest {
				continue
			}
			proposed[who] = proposed[who] || a.OwnProposal
			said[who] = said[who] || !a.Override
		}
		want := 0
		for who, yes := range said {
			if yes && (own || !proposed[who]) {
				want++
			}
		}
		job := situation{action: stackjob.Apply, approvals: given}.job()
		tally := flowcontrol.Count(job, changing, choice)
		v := flowcontrol.AtApply(job, changing, choice)
		if len(tally.By) != want || tally.IsMet() != (want >= n) || (v.Decision == stackjob.Proceed) != (want >= n) {
			t.Fatalf("%d of %d count, tally %+v, verdict %s %s", want, n, tally, v.Decision, v.Reason)
		}
	})
}

// TestAnOverrideOpensOnlyForWhoMay draws approvals and overrides of people who may do
// neither: nothing opens.
func TestAnOverrideOpensOnlyForWhoMay(t *testing.T) {
	t.Parallel()
	choice := choiceOf(t, "approvals: {from: [github:root]}", "override: {from: [grace]}")
	rapid.Check(t, func(t *rapid.T) {
		given := drawGiven(t, true)
		may := slices.ContainsFunc(given, func(a stackjob.Approval) bool {
			return a.Override && strings.TrimSpace(a.Comment) != "" && qualified(a.Actor) == "grace" && a.Gate == stackjob.GateApply && a.PlanDigest == digest
		})
		v := flowcontrol.AtApply(situation{action: stackjob.Apply, approvals: given}.job(), changing, choice)
		if (v.Decision == stackjob.Proceed) != may || may && v.Reason.Code != stackjob.ReasonOverridden {
			t.Fatalf("verdict %s %s", v.Decision, v.Reason)
		}
	})
}

func TestReasonsStayShort(t *testing.T) {
	t.Parallel()
	choice := choiceOf(t, "approvals: {required: 1, from: [team/platform, 'github:a', 'github:b', 'github:c', 'github:d', 'github:e', 'github:f']}", "override: {from: [grace]}")
	var given []stackjob.Approval
	for i := range 100 {
		given = append(given, yes(on("github", fmt.Sprintf("stranger-%d", i))))
	}
	job := situation{action: stackjob.Apply, approvals: given}.job()
	v := flowcontrol.AtApply(job, changing, choice)
	if n := len(v.Reason.Detail); n > 800 || !strings.HasSuffix(v.Reason.Detail, "; and 95 more do not count") || !strings.Contains(v.Reason.Detail, "and 2 more; stranger-0") {
		t.Errorf("%d bytes: %s", n, v.Reason.Detail)
	}
	job.Approvals = []stackjob.Approval{override(on("github", "grace"), strings.Repeat("é ", 1000))}
	if v := flowcontrol.AtApply(job, changing, choice); len([]rune(v.Reason.Detail)) > 250 || !strings.HasSuffix(v.Reason.Detail, "…") {
		t.Errorf("%q", v.Reason.Detail)
	}
}

func TestTheChoiceCarriesWhatThePolicySaysOfPeople(t *testing.T) {
	t.Parallel()
	got := choiceOf(t, "approvals: {required: 2, from: [grace, 'github:Linus'], authorMayApprove: true, byReview: true}", "applyBeforeMerge: true", "override: {from: [github:root]}")
	want := &stackjob.Approvals{Required: 2, AuthorMayApprove: true, ByReview: true, From: []schema.Approver{
		{Name: "grace", People: []schema.Person{{Name: "grace", Logins: []schema.Login{{Via: "github", Name: "Grace"}}}}},
		{Name: "github:Linus", People: []schema.Person{{Name: "github:linus", Logins: []schema.Login{{Via: "github", Name: "linus"}}}}}}}
	if diff := cmp.Diff(want, got.Approvals); diff != "" {
		t.Error(diff)
	}
	if !got.ApplyBeforeMerge || len(got.Override) != 1 || got.Override[0].Name != "github:root" {
		t.Errorf("choice = %+v", got)
	}
}
