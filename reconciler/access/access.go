// Package access decides who somebody is and what that person may do to a change.
//
//	Identify(tree, org, actor) ─▶ Identity         which IdentityAccount a login belongs to
//	Case.MayApprove(actor)     ─▶ ok, why          one resource, its policy, who proposed it
//	Case.MayOverride(actor)    ─▶ ok, why
//	MayCommand(verb, actor, …) ─▶ ok, why          before anything is looked at
//
// Three things give a right, and each is kept apart: the permission on the forge, for
// whatever no policy speaks of; the persons that a policy names, for approvals; and a list of
// its own for going past them. Policies, teams and accounts are those of the target
// branch: the tree that is passed in must never be that of a pull request's head, or a
// pull request could raise its own rights.
//
// An answer is what may be said to the person at once. The gate (flowcontrol) judges
// again, by the tree of that time: who may approve now may have left the team by then.
//
// The package is pure.
package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Identity is who an actor is in an organization.
type Identity struct {
	Actor stackjob.Actor
	// Person is the account with all its logins, or the actor's login alone.
	Person schema.Person
	// Account is nil when no account has the login.
	Account *schema.IdentityAccount
}

// Identify finds who an actor is. Forges do not tell upper case from lower case in a
// login; the operating system and the names of tokens do.
func Identify(tree *schema.Tree, org string, by stackjob.Actor) Identity {
	id := Identity{Actor: by, Person: schema.Alone(by.Login())}
	if tree == nil || !by.IsPerson() {
		return id
	}
	id.Person = tree.Person(org, by.Login())
	for _, a := range tree.Accounts() {
		if a.Org == org && a.Metadata.Slug == id.Person.Name { // no login is a slug
			id.Account = a
			break
		}
	}
	return id
}

// MayBe tells whether two identities are one person, as far as is known: where the number
// of an account is not, its name decides. The daemon itself is nobody.
func (i Identity) MayBe(o Identity) bool {
	return i.Actor.IsPerson() && o.Actor.IsPerson() && (i.Person.MayBe(o.Actor.Login()) || o.Person.MayBe(i.Actor.Login()))
}

// String is how the person is called: the display name, else the name that was used.
func (i Identity) String() string {
	if i.Account != nil && i.Account.DisplayName != "" {
		return i.Account.DisplayName
	}
	return i.Actor.Name
}

// Author is who proposed a change, or a part of it: the login that opened the pull
// request, or what a commit says of its author. Either part may be empty.
type Author struct {
	stackjob.Actor
	// Email is the address of a commit's author. Anybody can write any: it can take
	// somebody's approval away and never give one.
	Email string
	// Commit is the commit that says so; "" for who opened the pull request, and where
	// the forge told of an account.
	Commit string
}

// Case is one resource whose change somebody wants to judge.
type Case struct {
	// Tree is the target branch's.
	Tree *schema.Tree
	// Org is the resource's organization.
	Org string
	// Choice is the policy in force for the resource.
	Choice stackjob.PolicyChoice
	// Authors are all who proposed the change.
	Authors []Author
}

// OwnProposal tells whether an actor is one of those who proposed the change, under
// whatever login.
func (c Case) OwnProposal(by stackjob.Actor) bool { return c.part(by) >= 0 }

// part is which of the authors an actor is; -1 for none.
func (c Case) part(by stackjob.Actor) int {
	who := Identify(c.Tree, c.Org, by)
	return slices.IndexFunc(c.Authors, func(a Author) bool {
		if who.MayBe(Identify(c.Tree, c.Org, a.Actor)) {
			return true
		}
		if l, ok := loginOfEmail(a.Email); ok && by.IsPerson() && isOf(who, l) {
			return true
		}
		return a.Email != "" && who.Account != nil &&
			slices.ContainsFunc(who.Account.Emails, func(e string) bool { return strings.EqualFold(e, a.Email) })
	})
}

// isOf tells whether an address that a forge gave can be somebody's: by the number or by
// the name, since the forge may be another than the repository is on.
func isOf(who Identity, l schema.Login) bool {
	return who.Person.MayBe(l) || who.Person.MayBe(schema.Login{Via: l.Via, Name: l.Name}) ||
		l.ID != "" && l.MayBe(who.Actor.Login())
}

// loginOfEmail reads the addresses that forges give to who hides the own one, with the
// account's number: "123+ada@users.noreply.github.com", "123-ada@users.noreply.gitlab.com".
func loginOfEmail(email string) (schema.Login, bool) {
	local, host, _ := strings.Cut(email, "@")
	switch strings.ToLower(host) {
	case "users.noreply.github.com":
		number, login, ok := strings.Cut(local, "+")
		if !ok {
			number, login = "", local
		}
		return schema.Login{Via: "github", Name: login, ID: number}, login != ""
	case "users.noreply.gitlab.com":
		number, login, ok := strings.Cut(local, "-")
		if !ok || strings.Trim(number, "0123456789") != "" {
			number, login = "", local
		}
		return schema.Login{Via: "gitlab", Name: login, ID: number}, login != ""
	}
	return schema.Login{}, false
}

// MayApprove tells whether an actor's approval counts, and why or why not in one line.
// Where the policy names nobody, everybody who may act at all may approve, but for who
// proposed the change; who may act is [MayCommand]'s to say.
func (c Case) MayApprove(by stackjob.Actor) (ok bool, why string) {
	if !by.IsPerson() {
		return false, "only a person can approve"
	}
	a := c.Choice.Approvals
	if a != nil {
		if _, ok := a.Person(by); !ok {
			if why := namesake(c.Choice.Name, a.From, by); why != "" {
				return false, why
			}
			return false, fmt.Sprintf("policy %s wants approvals from %s; %s is not among them", c.Choice.Name, names(a.From), called(c, by))
		}
	}
	if (a == nil || !a.AuthorMayApprove) && c.OwnProposal(by) {
		did := "proposed this change"
		if commit := c.Authors[c.part(by)].Commit; commit != "" {
			did = fmt.Sprintf("wrote, committed or pushed a part of this change (%.7s)", commit)
		}
		return false, fmt.Sprintf("%s %s; somebody else must approve it, as policy %s does not let its author", called(c, by), did, c.Choice.Name)
	}
	if a == nil {
		return true, "policy " + c.Choice.Name + " does not say who must approve"
	}
	if len(a.From) == 0 {
		return true, fmt.Sprintf("policy %s wants approvals of anybody but the author", c.Choice.Name)
	}
	return true, fmt.Sprintf("%s is among %s", called(c, by), names(through(a.From, by)))
}

// MayOverride tells whether an actor may go past the approvals, and why or why not in one
// line. Who proposed the change may, when the policy names that person: it is the way
// out when nobody else is there.
func (c Case) MayOverride(by stackjob.Actor) (ok bool, why string) {
	if len(c.Choice.Override) == 0 {
		return false, fmt.Sprintf("policy %s lets nobody go past its approvals", c.Choice.Name)
	}
	if _, ok := c.Choice.Overrider(by); !ok {
		if why := namesake(c.Choice.Name, c.Choice.Override, by); why != "" {
			return false, why
		}
		return false, fmt.Sprintf("policy %s lets %s go past its approvals; %s is not among them", c.Choice.Name, names(c.Choice.Override), called(c, by))
	}
	return true, fmt.Sprintf("%s is among %s", called(c, by), names(through(c.Choice.Override, by)))
}

// namesake says of an actor whose login is that of another account which a policy means,
// that it is; "" otherwise.
func namesake(policy string, list []schema.Approver, by stackjob.Actor) string {
	p, is, ok := stackjob.Namesake(list, by)
	if !ok {
		return ""
	}
	names := "IdentityAccount " + p.Name + " names"
	if strings.Contains(p.Name, ":") { // a login that no account has
		names = "policy " + policy + " means"
	}
	if by.ID == "" {
		return fmt.Sprintf("the forge does not tell which account the login %s is, and %s one by its number: %s", by.Name, names, is)
	}
	return fmt.Sprintf("the login %s is another account (#%s) than the one that %s (%s)", by.Name, by.ID, names, is)
}

// named tells whether a policy names the actor for approvals.
func (c Case) named(by stackjob.Actor) bool {
	if c.Choice.Approvals == nil || len(c.Choice.Approvals.From) == 0 {
		return false
	}
	_, ok := c.Choice.Approvals.Person(by)
	return ok
}

// through are the entries that an actor is found in.
func through(list []schema.Approver, by stackjob.Actor) []schema.Approver {
	var out []schema.Approver
	for _, a := range list {
		if slices.ContainsFunc(a.People, func(p schema.Person) bool { return p.Has(by.Login()) }) {
			out = append(out, a)
		}
	}
	return out
}

func called(c Case, by stackjob.Actor) string { return Identify(c.Tree, c.Org, by).String() }

// most is how many entries a sentence names.
const most = 5

func names(list []schema.Approver) string {
	var out []string
	for _, a := range list[:min(len(list), most)] {
		out = append(out, a.Name)
	}
	s := strings.Join(out, ", ")
	if n := len(list) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}
