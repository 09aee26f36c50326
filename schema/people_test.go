package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// plantonPeople are an account and a team as Planton's messages have them.
const plantonPeople = `apiVersion: iam.planton.ai/v1
kind: IdentityAccount
metadata: {name: Ada Lovelace, id: ida_01jq, org: acme}
spec:
  identity_account_type: user
  idp_id: auth0|123
  email: ada@example.com
  first_name: Ada
  last_name: Lovelace
  picture: https://example.com/ada.png
  github_username: Ada
status: {audit: {}}
---
apiVersion: iam.planton.ai/v1
kind: Team
metadata: {name: Platform, id: team_01jq, org: acme}
spec:
  description: who keeps it running
  members:
    - {member_type: identity_account, member_id: ida_01jq, email: ada@example.com, name: Ada Lovelace, slug: ada-lovelace, avatar: https://example.com/ada.png}
`

func TestPlantonsAccountsAndTeamsLoadAsTheyAre(t *testing.T) {
	t.Parallel()
	tree := schematest.LoadAny(t, map[string]string{"acme/people.yaml": plantonPeople, "acme/dev/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
	if l := tree.Diagnostics(); len(l) > 0 {
		t.Fatal(diag.Text(l, diag.TextOptions{}))
	}
	a, team := tree.Accounts()[0], tree.Teams()[0]
	if a.Org != "acme" || a.Metadata.Slug != "ada-lovelace" || a.DisplayName != "Ada Lovelace" {
		t.Errorf("account = %+v", a)
	}
	if diff := cmp.Diff([]string{"ada@example.com"}, a.Emails); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]schema.Login{{Via: "github", Name: "Ada"}}, a.Logins); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ada-lovelace"}, team.Members); diff != "" {
		t.Error(diff)
	}
	if team.Description != "who keeps it running" || team.Org != "acme" {
		t.Errorf("team = %+v", team)
	}
}

// TestAMemberOfPlantonsIsFoundByWhatItHas tries each way in which Planton names a member.
func TestAMemberOfPlantonsIsFoundByWhatItHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ member, want string }{
		{"{slug: ada-lovelace}", "ada-lovelace"},
		{"{member_id: ida_01jq}", "ada-lovelace"},
		{"{email: ADA@example.com}", "ada-lovelace"},
		{"{slug: elsewhere, email: ada@example.com}", "ada-lovelace"},
		{"{member_type: IDENTITY_ACCOUNT, slug: ada-lovelace}", "ada-lovelace"},
		{"{member_type: team, slug: ada-lovelace}", ""},
		{"{name: Ada Lovelace}", ""},
		{"{member_id: ida_02}", ""},
	} {
		account, _, _ := strings.Cut(plantonPeople, "---\n")
		team := "---\napiVersion: iam.planton.ai/v1\nkind: Team\nmetadata: {name: t}\nspec: {members: [" + tt.member + "]}\n"
		tree := schematest.Load(t, map[string]string{"acme/people.yaml": account + team})
		if got := strings.Join(tree.Teams()[0].Members, " "); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.member, got, tt.want)
		}
		if warned := len(tree.Diagnostics()) > 0; warned != (tt.want == "") {
			t.Errorf("%s: %s", tt.member, diag.Text(tree.Diagnostics(), diag.TextOptions{}))
		}
	}
}

func TestLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b schema.Login
		same bool
	}{
		{schema.Login{Via: "github", Name: "Ada"}, schema.Login{Via: "github", Name: "aDA"}, true},
		{schema.Login{Via: "gitlab", Name: "ada"}, schema.Login{Via: "gitlab", Name: "ADA"}, true},
		{schema.Login{Via: "gitea", Name: "ada"}, schema.Login{Via: "gitea", Name: "Ada"}, true},
		{schema.Login{Via: "github", Name: "ada"}, schema.Login{Via: "gitlab", Name: "ada"}, false},
		{schema.Login{Via: "socket", Name: "ada"}, schema.Login{Via: "socket", Name: "Ada"}, false},
		{schema.Login{Via: "token", Name: "ci"}, schema.Login{Via: "token", Name: "CI"}, false},
		{schema.Login{Via: "token", Name: "ci"}, schema.Login{Via: "socket", Name: "ci"}, false},
		// The Kelvin sign is a k to strings.ToLower and to nobody else.
		{schema.Login{Via: "github", Name: "kim"}, schema.Login{Via: "github", Name: "\u212Aim"}, false},
		{schema.Login{Via: "github"}, schema.Login{Via: "github"}, false},
		{schema.Login{Name: "ada"}, schema.Login{Name: "ada"}, false},
	} {
		if tt.a.Is(tt.b) != tt.same || tt.b.Is(tt.a) != tt.same {
			t.Errorf("%q is %q: want %v", tt.a, tt.b, tt.same)
		}
	}
}

func TestAPersonIsKnownByEveryLogin(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{"acme/teams/ada.yaml": `
		apiVersion: stackreeve.dev/v1
		kind: IdentityAccount
		metadata: {name: ada}
		spec:
		  emails: [ada@example.com, ada@work.example]
		  githubUsername: ada
		  logins: [github:Ada, {forge: gitlab, login: ada.l}]
		  operatingSystemUser: adal
		  tokenName: ada-laptop
	`})
	ada := schema.Person{Name: "ada", Logins: []schema.Login{{Via: "github", Name: "ada"}, {Via: "gitlab", Name: "ada.l"}, {Via: "socket", Name: "adal"}, {Via: "token", Name: "ada-laptop"}}}
	for _, l := range []schema.Login{{Via: "github", Name: "ADA"}, {Via: "gitlab", Name: "ada.l"}, {Via: "socket", Name: "adal"}, {Via: "token", Name: "ada-laptop"}} {
		if diff := cmp.Diff(ada, tree.Person("acme", l)); diff != "" {
			t.Errorf("%s: %s", l, diff)
		}
	}
	for _, l := range []schema.Login{{Via: "github", Name: "ada.l"}, {Via: "socket", Name: "ada"}, {Via: "token", Name: "adal"}} {
		if got := tree.Person("acme", l); got.Name != l.String() || len(got.Logins) != 1 {
			t.Errorf("%s is %+v", l, got)
		}
	}
	if got := tree.Person("globex", schema.Login{Via: "github", Name: "Ada"}); got.Name != "github:ada" {
		t.Errorf("in another organization she is %+v", got)
	}
	if diff := cmp.Diff([]string{"ada@example.com", "ada@work.example"}, tree.Accounts()[0].Emails); diff != "" {
		t.Error(diff)
	}
}

const people = `
apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: ada}
spec: {logins: [github:ada, github:ada-work]}
---
apiVersion: stackreeve.dev/v1
kind: IdentityAccount
metadata: {name: grace}
spec: {logins: [github:grace]}
---
apiVersion: stackreeve.dev/v1
kind: Team
metadata: {name: core}
spec: {members: [ada, github:ADA-work, grace, github:linus]}
`

func TestAPolicyKnowsWhoItMeans(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"platform.yaml":          peoplePolicy("everywhere", "{kind: platform}", "approvals: {from: [team/core, github:ada-work]}", "override: {from: [github:Root]}"),
		"acme/teams/people.yaml": people, "globex/teams/core.yaml": "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: core}\nspec: {members: [github:hank]}\n",
		"acme/p.yaml": peoplePolicy("anybody", "{kind: environment, id: dev}", "approvals: {required: 2}", "apply_before_merge: true"),
	})
	ada := schema.Person{Name: "ada", Logins: []schema.Login{{Via: "github", Name: "ada"}, {Via: "github", Name: "ada-work"}}}
	grace := schema.Person{Name: "grace", Logins: []schema.Login{{Via: "github", Name: "grace"}}}
	everywhere, anybody := tree.Policies()[0], tree.Policies()[1]
	root := []schema.Approver{{Name: "github:Root", People: []schema.Person{schema.Alone(schema.Login{Via: "github", Name: "root"})}}}
	want := schema.PolicyPeople{Override: root, From: []schema.Approver{
		{Name: "team/core", People: []schema.Person{ada, schema.Alone(schema.Login{Via: "github", Name: "linus"}), grace}},
		{Name: "github:ada-work", People: []schema.Person{ada}}}}
	if diff := cmp.Diff(want, everywhere.PeopleIn("acme")); diff != "" {
		t.Error("in acme:", diff)
	}
	want = schema.PolicyPeople{Override: root, From: []schema.Approver{
		{Name: "team/core", People: []schema.Person{schema.Alone(schema.Login{Via: "github", Name: "hank"})}},
		{Name: "github:ada-work", People: []schema.Person{schema.Alone(schema.Login{Via: "github", Name: "ada-work"})}}}}
	if diff := cmp.Diff(want, everywhere.PeopleIn("globex")); diff != "" {
		t.Error("in globex:", diff)
	}
	// In an organization that the tree no longer has, a team is nobody and not everybody.
	want.From[0].People = nil
	if diff := cmp.Diff(want, everywhere.PeopleIn("gone")); diff != "" {
		t.Error("in an organization that is gone:", diff)
	}
	if diff := cmp.Diff(schema.PolicyPeople{Known: []schema.Person{ada}}, anybody.PeopleIn("acme")); diff != "" {
		t.Error("for anybody:", diff)
	}
	if diff := cmp.Diff(&schema.ApprovalRule{Required: 1, From: []string{"team/core", "github:ada-work"}}, everywhere.Approvals); diff != "" {
		t.Error("from without required:", diff)
	}
	if !anybody.ApplyBeforeMerge || everywhere.ApplyBeforeMerge || anybody.Approvals.Required != 2 {
		t.Errorf("policy = %+v", anybody)
	}
}

func peoplePolicy(name, selector string, lines ...string) string {
	s := "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: " + name + "}\nspec:\n  selector: " + selector + "\n  flowControl: {}\n"
	for _, l := range lines {
		s += "  " + l + "\n"
	}
	return s
}

func TestApprovalsInBothSpellings(t *testing.T) {
	t.Parallel()
	load := func(lines ...string) *schema.Policy {
		return schematest.Load(t, map[string]string{"acme/p.yaml": peoplePolicy("p", "{kind: organization, id: acme}", lines...)}).Policies()[0]
	}
	camel := load("approvals: {required: 1, from: [github:ada], authorMayApprove: true, byReview: true}", "applyBeforeMerge: true")
	snake := load("approvals: {required: 1, from: [github:ada], author_may_approve: true, by_review: true}", "apply_before_merge: true")
	if diff := cmp.Diff(camel, snake); diff != "" {
		t.Error(diff)
	}
	if !camel.Approvals.AuthorMayApprove || !camel.Approvals.ByReview || !camel.ApplyBeforeMerge {
		t.Errorf("policy = %+v", camel)
	}
	if got := load("approvals: {required: 0, from: [github:ada]}").Approvals.Required; got != 0 {
		t.Errorf("required: 0 was read as %d", got)
	}
	if got := load("prune: approve"); got.Approvals != nil || got.Override != nil || got.ApplyBeforeMerge || got.People != nil {
		t.Errorf("a policy that says nothing of people: %+v", got)
	}
}

// TestWhoLeftATeamIsGoneWithTheNextCommit loads two commits with one loader: the policy's
// file is the same, and whom it means is not.
func TestWhoLeftATeamIsGoneWithTheNextCommit(t *testing.T) {
	t.Parallel()
	src := newMemory(map[string]string{"acme/teams/people.yaml": strings.TrimPrefix(people, "\n"),
		"acme/p.yaml": peoplePolicy("p", "{kind: organization, id: acme}", "approvals: {from: [team/core]}")})
	l := schema.NewLoader(schema.Options{})
	load := func() *schema.Policy {
		tree, err := l.Load(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		return tree.Policies()[0]
	}
	before := load()
	src = src.commit(map[string]string{"acme/teams/people.yaml": strings.Replace(strings.TrimPrefix(people, "\n"), "grace, github:linus", "grace", 1)})
	after := load()
	names := func(p *schema.Policy) (out []string) {
		for _, p := range schema.People(p.PeopleIn("acme").From) {
			out = append(out, p.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"ada", "grace"}, names(after)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ada", "github:linus", "grace"}, names(before)); diff != "" {
		t.Error("the tree before was changed:", diff)
	}
}

func TestANumberDecidesWhoALoginIs(t *testing.T) {
	t.Parallel()
	login := func(name, id string) schema.Login { return schema.Login{Via: "github", Name: name, ID: id} }
	for _, tt := range []struct {
		named, shown     schema.Login
		is, mayBe, other bool
	}{
		{login("ada", "123"), login("Ada", "123"), true, true, false},
		{login("ada", "123"), login("countess", "123"), true, true, false}, // renamed
		{login("ada", "123"), login("ADA", "999"), false, false, true},     // the name was given away
		{login("ada", "123"), login("ada", ""), false, true, true},         // nobody knows
		{login("ada", "123"), login("grace", ""), false, false, false},
		{login("ada", "123"), login("grace", "999"), false, false, false},
		{login("ada", ""), login("ada", "999"), true, true, false},
		{login("ada", ""), login("countess", "999"), false, false, false},
		{login("ada", "123"), schema.Login{Via: "gitlab", Name: "ada", ID: "123"}, false, false, false},
		{schema.Login{Via: "github", ID: "123"}, login("ada", "123"), false, false, false},
	} {
		p := schema.Person{Name: "ada", Logins: []schema.Login{login("other", "5"), tt.named}}
		_, other := p.Namesake(tt.shown)
		if p.Has(tt.shown) != tt.is || p.MayBe(tt.shown) != tt.mayBe || other != tt.other {
			t.Errorf("%s shows up as %s: is %t, may be %t, another account %t; want %t, %t, %t",
				tt.named, tt.shown, p.Has(tt.shown), p.MayBe(tt.shown), other, tt.is, tt.mayBe, tt.other)
		}
	}
}

// TestANumberThatIsWrittenOnceHoldsInTheWholeOrganization: a name without number beside it
// would let in whom the number keeps out.
func TestANumberThatIsWrittenOnceHoldsInTheWholeOrganization(t *testing.T) {
	t.Parallel()
	const account = "apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: ada}\nspec: {githubUsername: Ada, tokenName: laptop, logins: [%s]}\n---\n"
	const team = "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: core}\nspec: {members: [%s]}\n"
	const policy = "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: p}\nspec:\n  selector: {kind: environment, id: dev}\n  flowControl: {}\n  approvals: {from: [%s]}\n"
	for _, tt := range []struct{ name, login, member, from, ada, from0 string }{
		{"in the account", "'github:ada#12'", "github:ada", "team/core, github:ada", "github:Ada#12 token:laptop", "ada=github:Ada#12 token:laptop"},
		{"in the team", "github:ada", "'github:ADA#12'", "team/core, github:ada", "github:Ada#12 token:laptop", "ada=github:Ada#12 token:laptop"},
		{"in the policy", "github:ada", "github:ada", "'github:ada#12', team/core", "github:Ada#12 token:laptop", "ada=github:Ada#12 token:laptop"},
		{"under the new name", "'github:ada#12'", "github:grace", "'github:countess#12'", "github:Ada#12 token:laptop", "ada=github:Ada#12 token:laptop"},
		{"of nobody's account", "github:ada", "'github:linus#9'", "github:linus", "github:Ada token:laptop", "github:linus#9=github:linus#9"},
		{"nowhere", "github:ada", "ada", "github:ada", "github:Ada token:laptop", "ada=github:Ada token:laptop"},
	} {
		tree := schematest.LoadAny(t, map[string]string{
			"acme/teams/people.yaml": fmt.Sprintf(account, tt.login) + fmt.Sprintf(team, tt.member),
			"acme/policies/p.yaml":   fmt.Sprintf(policy, tt.from), "acme/dev/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": ""})
		if l := tree.Diagnostics(); len(l) > 0 {
			t.Fatalf("%s: %s", tt.name, diag.Text(l, diag.TextOptions{}))
		}
		spelled := func(p schema.Person) string {
			var out []string
			for _, l := range p.Logins {
				out = append(out, l.String())
			}
			return strings.Join(out, " ")
		}
		if got := spelled(schema.Person{Logins: tree.Accounts()[0].Logins}); got != tt.ada {
			t.Errorf("%s: the account is %s, want %s", tt.name, got, tt.ada)
		}
		for _, a := range tree.Policies()[0].PeopleIn("acme").From {
			for _, p := range a.People {
				if got := p.Name + "=" + spelled(p); got != tt.from0 {
					t.Errorf("%s: %s means %s, want %s", tt.name, a.Name, got, tt.from0)
				}
			}
		}
		if !strings.Contains(tt.ada, "#12") {
			continue
		}
		for shown, want := range map[schema.Login]string{
			{Via: "github", Name: "ada", ID: "12"}:      "ada",
			{Via: "github", Name: "countess", ID: "12"}: "ada",
			{Via: "github", Name: "ada", ID: "99"}:      "github:ada#99",
			{Via: "github", Name: "ada"}:                "github:ada",
		} {
			if got := tree.Person("acme", shown); got.Name != want {
				t.Errorf("%s: %s is %s, want %s", tt.name, shown, got.Name, want)
			}
		}
	}
}
