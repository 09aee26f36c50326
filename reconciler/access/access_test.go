package access_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/access"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

var key = schema.ResourceKey{Org: "acme", Env: "prod", Kind: "TerraformStack", Name: "s"}

const crew = `apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: ada}
spec:
  displayName: Ada Lovelace
  emails: [ada@example.com]
  logins: [github:ada, github:ada-work, gitlab:lovelace]
  operatingSystemUser: adal
  tokenName: ada-laptop
---
apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: grace}
spec: {githubUsername: Grace, email: grace@example.com}
---
apiVersion: stackreeve.dev/v1
kind: Team
metadata: {name: platform}
spec: {members: [ada, grace, github:linus]}
`

// caseOf is the case of a resource under a policy with these lines.
func caseOf(t testing.TB, authors []access.Author, lines ...string) access.Case {
	t.Helper()
	policy := "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n  flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}\n"
	for _, l := range lines {
		policy += "  " + l + "\n"
	}
	tree := schematest.Load(t, map[string]string{"acme/teams/crew.yaml": crew, "acme/policies/p.yaml": policy,
		"acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
	return access.Case{Tree: tree, Org: "acme", Choice: flowcontrol.Choose(tree.Policies(), key), Authors: authors}
}

func on(via, name string) stackjob.Actor { return stackjob.Actor{Name: name, Via: via} }

func TestEveryWayInIsTheSamePerson(t *testing.T) {
	t.Parallel()
	c := caseOf(t, nil)
	ada := access.Identify(c.Tree, "acme", on("github", "ada"))
	for _, a := range []stackjob.Actor{on("github", "ADA"), on("github", "Ada-Work"), on("gitlab", "Lovelace"), on("socket", "adal"), on("token", "ada-laptop")} {
		id := access.Identify(c.Tree, "acme", a)
		if id.Account == nil || id.Account.Metadata.Slug != "ada" || !id.MayBe(ada) || !ada.MayBe(id) || id.String() != "Ada Lovelace" {
			t.Errorf("%+v is %+v", a, id)
		}
	}
	for _, a := range []stackjob.Actor{on("gitlab", "ada"), on("gitea", "ada"), on("socket", "ada"), on("socket", "ADAL"), on("token", "Ada-Laptop"), on("token", "ada"), on("system", "ada"), on("", "ada"), on("github", ""), stackjob.System} {
		id := access.Identify(c.Tree, "acme", a)
		if id.Account != nil || id.MayBe(ada) || ada.MayBe(id) || id.String() != a.Name {
			t.Errorf("%+v is %+v", a, id)
		}
	}
	if id := access.Identify(c.Tree, "globex", on("github", "ada")); id.Account != nil || id.Person.Name != "github:ada" {
		t.Errorf("in another organization she is %+v", id)
	}
	if id := access.Identify(nil, "acme", on("github", "ada")); id.Account != nil || !id.MayBe(access.Identify(nil, "acme", on("github", "Ada"))) {
		t.Errorf("without a tree she is %+v", id)
	}
	if access.Identify(c.Tree, "acme", stackjob.System).MayBe(access.Identify(c.Tree, "acme", stackjob.System)) {
		t.Error("the daemon is a person")
	}
}

func TestWhoProposedAChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		author access.Author
		by     stackjob.Actor
		want   bool
	}{
		{"the same login", access.Author{Actor: on("github", "bob")}, on("github", "BOB"), true},
		{"another login of the account", access.Author{Actor: on("github", "ada")}, on("token", "ada-laptop"), true},
		{"a commit's e-mail", access.Author{Email: "Ada@Example.com"}, on("github", "ada-work"), true},
		{"GitHub's hidden e-mail", access.Author{Email: "123+Ada@users.noreply.github.com"}, on("github", "ada"), true},
		{"GitHub's older hidden e-mail", access.Author{Email: "bob@users.noreply.github.com"}, on("github", "bob"), true},
		{"GitLab's hidden e-mail", access.Author{Email: "7-lovelace@users.noreply.gitlab.com"}, on("github", "ada"), true},
		{"the same name on another forge", access.Author{Actor: on("gitlab", "bob")}, on("github", "bob"), false},
		{"somebody else", access.Author{Actor: on("github", "ada"), Email: "ada@example.com"}, on("github", "grace"), false},
		{"somebody else's hidden e-mail", access.Author{Email: "123+ada@users.noreply.github.com"}, on("github", "grace"), false},
		{"an e-mail of nobody", access.Author{Email: "who@example.com"}, on("github", "ada"), false},
		{"nothing known", access.Author{}, on("github", "ada"), false},
		{"the daemon", access.Author{Actor: stackjob.System}, stackjob.System, false},
	} {
		c := caseOf(t, []access.Author{{Actor: on("github", "someone")}, tt.author})
		if got := c.OwnProposal(tt.by); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// numbered is an account of GitHub's.
func numbered(name, id string) stackjob.Actor {
	return stackjob.Actor{Name: name, Via: "github", ID: id}
}

// pinned is a case in which ada, of an account, and linus, of none, are known by number.
func pinned(t testing.TB, authors ...access.Author) access.Case {
	t.Helper()
	tree := schematest.Load(t, map[string]string{
		"acme/teams/crew.yaml": strings.NewReplacer("github:ada,", "'github:ada#12',", "github:linus", "'github:linus#40'").Replace(crew),
		"acme/policies/p.yaml": "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n  flowControl: {}\n" +
			"  approvals: {required: 2, from: [team/platform]}\n  override: {from: ['github:linus', ada]}\n",
		"acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
	return access.Case{Tree: tree, Org: "acme", Choice: flowcontrol.Choose(tree.Policies(), key), Authors: authors}
}

func TestALoginThatWasGivenAwayIsSomebodyElse(t *testing.T) {
	t.Parallel()
	c := pinned(t)
	for _, tt := range []struct {
		by   stackjob.Actor
		ok   bool
		why  string
		over bool
	}{
		{numbered("ada", "12"), true, "Ada Lovelace is among team/platform", true},
		{numbered("ADA", "12"), true, "Ada Lovelace is among team/platform", true},
		{numbered("countess", "12"), true, "Ada Lovelace is among team/platform", true},
		{numbered("linus", "40"), true, "linus is among team/platform", true},
		{numbered("ada-work", "77"), true, "Ada Lovelace is among team/platform", true}, // has no number in the document
		{numbered("ada", "99"), false, "the login ada is another account (#99) than the one that IdentityAccount ada names (github:ada#12)", false},
		{numbered("linus", "99"), false, "the login linus is another account (#99) than the one that policy acme/p means (github:linus#40)", false},
		{on("github", "ada"), false, "the forge does not tell which account the login ada is, and IdentityAccount ada names one by its number: github:ada#12", false},
		{numbered("mallory", "12a"), false, "policy acme/p wants approvals from team/platform; mallory is not among them", false},
	} {
		if ok, why := c.MayApprove(tt.by); ok != tt.ok || why != tt.why {
			t.Errorf("%+v may approve: %v, %s; want %v, %s", tt.by, ok, why, tt.ok, tt.why)
		}
		ok, why := c.MayOverride(tt.by)
		if ok != tt.over || !ok && strings.Contains(tt.why, "account") && why != tt.why {
			t.Errorf("%+v may override: %v, %s; want %v", tt.by, ok, why, tt.over)
		}
		// Who may only read is told the same.
		if ok, why := access.MayCommand("approve", tt.by, access.Read, c); ok != tt.ok || !ok && strings.Contains(tt.why, "account") && why != tt.why {
			t.Errorf("%+v may write approve: %v, %s", tt.by, ok, why)
		}
	}
}

func TestTheAuthorIsKnownByTheNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		author access.Author
		by     stackjob.Actor
		want   bool
	}{
		{"renamed since", access.Author{Actor: numbered("bob", "7")}, numbered("robert", "7"), true},
		{"who got the author's name", access.Author{Actor: numbered("bob", "7")}, numbered("bob", "8"), false},
		{"an author whose number nobody wrote down", access.Author{Actor: on("github", "bob")}, numbered("bob", "8"), true},
		{"renamed, with an account", access.Author{Actor: numbered("countess", "12")}, on("token", "ada-laptop"), true},
		{"the account's other login", access.Author{Actor: numbered("ada", "12")}, numbered("ada-work", "77"), true},
		{"the name of an account, of somebody else", access.Author{Actor: numbered("ada", "99")}, numbered("ada-work", "77"), false},
		{"an account's name without its number", access.Author{Actor: on("github", "ada")}, numbered("ada-work", "77"), true},
		{"a hidden address of an older name", access.Author{Email: "7+bob@users.noreply.github.com"}, numbered("robert", "7"), true},
		{"a hidden address with another number", access.Author{Email: "8+bob@users.noreply.github.com"}, numbered("bob", "7"), true},
		{"a hidden address of an account renamed", access.Author{Email: "12+countess@users.noreply.github.com"}, on("token", "ada-laptop"), true},
		{"a hidden address of GitLab's", access.Author{Email: "12-someone@users.noreply.gitlab.com"}, numbered("bob", "12"), false},
	} {
		if got := pinned(t, tt.author).OwnProposal(tt.by); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMayApproveAndOverride(t *testing.T) {
	t.Parallel()
	byAda := []access.Author{{Actor: on("github", "ada")}}
	team, anybody := "approvals: {required: 1, from: [team/platform]}", "approvals: {required: 2}"
	for _, tt := range []struct {
		name              string
		policy            []string
		by                stackjob.Actor
		approve, override string
	}{
		{"nobody is named", nil, on("github", "bob"), "yes: policy acme/p does not say who must approve", "no: policy acme/p lets nobody go past its approvals"},
		{"nobody is named, the author", nil, on("github", "ada"), "no: Ada Lovelace proposed this change; somebody else must approve it, as policy acme/p does not let its author", "no: policy acme/p lets nobody go past its approvals"},
		{"a member", []string{team}, on("github", "GRACE"), "yes: GRACE is among team/platform", "no: policy acme/p lets nobody go past its approvals"},
		{"a stranger", []string{team}, on("github", "bob"), "no: policy acme/p wants approvals from team/platform; bob is not among them", "no: policy acme/p lets nobody go past its approvals"},
		{"the author", []string{team, "override: {from: [ada]}"}, on("token", "ada-laptop"), "no: Ada Lovelace proposed this change; somebody else must approve it, as policy acme/p does not let its author", "yes: Ada Lovelace is among ada"},
		{"the author where that is allowed", []string{"approvals: {from: [ada, team/platform], authorMayApprove: true}", "override: {from: [grace]}"}, on("socket", "adal"),
			"yes: Ada Lovelace is among ada, team/platform", "no: policy acme/p lets grace go past its approvals; Ada Lovelace is not among them"},
		{"anybody", []string{anybody}, on("github", "bob"), "yes: policy acme/p wants approvals of anybody but the author", "no: policy acme/p lets nobody go past its approvals"},
		{"anybody but the author", []string{anybody}, on("github", "ada-work"), "no: Ada Lovelace proposed this change; somebody else must approve it, as policy acme/p does not let its author", "no: policy acme/p lets nobody go past its approvals"},
		{"the daemon", []string{anybody, "override: {from: [ada]}"}, stackjob.System, "no: only a person can approve", "no: policy acme/p lets ada go past its approvals; reeve is not among them"},
	} {
		c := caseOf(t, byAda, tt.policy...)
		if got := said(c.MayApprove(tt.by)); got != tt.approve {
			t.Errorf("%s, approve:\ngot  %s\nwant %s", tt.name, got, tt.approve)
		}
		if got := said(c.MayOverride(tt.by)); got != tt.override {
			t.Errorf("%s, override:\ngot  %s\nwant %s", tt.name, got, tt.override)
		}
	}
}

func TestWhoWroteACommitIsToldWhich(t *testing.T) {
	t.Parallel()
	c := caseOf(t, []access.Author{{Actor: on("github", "ada")}, {Email: "who@example.com", Commit: "0000000"}, {Email: "grace@example.com", Commit: "0123456789abcdef"}},
		"approvals: {from: [team/platform]}")
	want := "no: Grace wrote, committed or pushed a part of this change (0123456); somebody else must approve it, as policy acme/p does not let its author"
	if got := said(c.MayApprove(on("github", "Grace"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := said(c.MayApprove(on("github", "linus"))), "yes: linus is among team/platform"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func said(ok bool, why string) string {
	if ok {
		return strings.TrimSuffix("yes: "+why, ": ")
	}
	return "no: " + why
}

// TestEveryVerbWithEveryPermission has one row for each verb: what none, read, write and
// admin may, when no policy names anybody.
func TestEveryVerbWithEveryPermission(t *testing.T) {
	t.Parallel()
	want := map[command.Verb]string{
		command.Help: "-+++", command.Explain: "-+++",
		command.Plan: "--++", command.Approve: "--++", command.Reject: "--++", command.Apply: "--++", command.Unlock: "--++", command.Cancel: "--++", command.Rerun: "--++",
		command.Override: "----",
	}
	c := caseOf(t, nil)
	for _, v := range command.Verbs() {
		got := ""
		for _, p := range []access.Permission{access.None, access.Read, access.Write, access.Admin} {
			ok, why := access.MayCommand(string(v), on("github", "bob"), p, c)
			got += map[bool]string{true: "+", false: "-"}[ok]
			if ok == (why != "") {
				t.Errorf("%s with %s: %v, %q", v, p, ok, why)
			}
		}
		if got != want[v] {
			t.Errorf("%s: %s, want %s", v, got, want[v])
		}
		if ok, _ := access.MayCommand(string(v), on("github", "bob"), "superuser", c); ok {
			t.Errorf("%s: an unknown permission is one", v)
		}
	}
}

func TestMayCommand(t *testing.T) {
	t.Parallel()
	named := caseOf(t, nil, "approvals: {from: [grace]}", "override: {from: [ada]}")
	plain := caseOf(t, nil)
	for _, tt := range []struct {
		name, verb string
		by         stackjob.Actor
		p          access.Permission
		cases      []access.Case
		want       string
	}{
		{"who may only read is told so", "plan", on("github", "mallory"), access.Read, nil, "no: mallory may only read the repository; `reeve plan` needs the right to write to it"},
		{"a stranger", "help", on("github", "mallory"), access.None, nil, "no: mallory has no permission on the repository; `reeve help` needs the right to read it"},
		{"a named person who may only read", "approve", on("github", "grace"), access.Read, []access.Case{plain, named}, "yes"},
		{"a named person who may only read, rejecting", "reject", on("github", "grace"), access.Read, []access.Case{named}, "yes"},
		{"a named person who may only read, elsewhere", "approve", on("github", "grace"), access.Read, []access.Case{plain}, "no: grace may only read the repository; `reeve approve` needs the right to write to it"},
		{"a named person is not more than that", "apply", on("github", "grace"), access.Read, []access.Case{named}, "no: grace may only read the repository; `reeve apply` needs the right to write to it"},
		{"a writer who is not named", "approve", on("github", "bob"), access.Write, []access.Case{named}, "yes"}, // the resource says why it does not count
		{"an override", "override", on("github", "ada"), access.Read, []access.Case{plain, named}, "yes"},
		{"an override by an admin", "override", on("github", "bob"), access.Admin, []access.Case{named}, "no: policy acme/p lets ada go past its approvals; bob is not among them"},
		{"an override of nothing", "override", on("github", "ada"), access.Admin, nil, "no: no policy lets anybody go past its approvals here"},
		{"over the socket", "apply", on("socket", "root"), "", nil, "yes"},
		{"over the socket, an override", "override", on("socket", "root"), "", []access.Case{named}, "no: policy acme/p lets ada go past its approvals; root is not among them"},
		{"the daemon", "plan", stackjob.System, access.Admin, nil, "no: only a person can give commands"},
		{"an unknown verb", "destroy", on("github", "mallory"), access.Read, nil, "no: mallory may only read the repository; `reeve destroy` needs the right to write to it"},
	} {
		if got := said(access.MayCommand(tt.verb, tt.by, tt.p, tt.cases...)); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestWhatIsPromisedIsKept holds the answer that people get at once against the gate: who
// may approve opens it, and who may not does not.
func TestWhatIsPromisedIsKept(t *testing.T) {
	t.Parallel()
	policies := [][]string{nil, {"approvals: {from: [team/platform]}"}, {"approvals: {required: 1}"}, {"approvals: {from: [ada, 'github:bob'], authorMayApprove: true}"},
		{"approvals: {from: ['github:linus']}", "override: {from: [grace]}"}}
	var cases []access.Case
	for _, p := range policies {
		cases = append(cases, caseOf(t, nil, p...))
	}
	var people []stackjob.Actor
	for _, via := range []string{"github", "gitlab", "socket", "token"} {
		for _, name := range []string{"ada", "Ada-Work", "lovelace", "adal", "ada-laptop", "grace", "linus", "bob"} {
			people = append(people, on(via, name))
		}
	}
	const digest = "sha256:1111"
	plan := stackjob.Plan{Digest: digest, HasChanges: true}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(cases).Draw(t, "case")
		for range rapid.IntRange(0, 2).Draw(t, "authors") {
			c.Authors = append(c.Authors, access.Author{Actor: rapid.SampledFrom(people).Draw(t, "author"), Email: rapid.SampledFrom([]string{"", "ada@example.com", "1+linus@users.noreply.github.com"}).Draw(t, "email")})
		}
		by := rapid.SampledFrom(people).Draw(t, "by")
		a := stackjob.Approval{Actor: by, Gate: stackjob.GateApply, PlanDigest: digest, OwnProposal: c.OwnProposal(by)}
		may, why := c.MayApprove(by)
		if rapid.Bool().Draw(t, "override") {
			a.Override, a.Comment = true, "down"
			may, why = c.MayOverride(by)
		}
		v := flowcontrol.AtApply(stackjob.Job{Action: stackjob.Apply, Approvals: []stackjob.Approval{a}}, plan, c.Choice)
		if (v.Decision == stackjob.Proceed) != may {
			t.Fatalf("%s: said %v (%s), the gate says %s (%s)", fmt.Sprint(by), may, why, v.Decision, v.Reason)
		}
	})
}
