package schema

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// The kinds of people.
const (
	KindIdentityAccount = "IdentityAccount"
	KindTeam            = "Team"
)

// The ways in which somebody can show up other than by a forge's login.
const (
	// ViaSocket is a user of the operating system, over the daemon's socket.
	ViaSocket = "socket"
	// ViaToken is the name of an API token.
	ViaToken = "token"
)

// Forges are the forges whose logins can be written, as Login.Via. A login is one of the
// forge that the config repository is on.
func Forges() []string { return []string{"github", "gitlab", "gitea"} }

// Login is one way in which a person can show up: an account on a forge, a user of the
// operating system, or the name of an API token.
type Login struct {
	// Via is one of Forges, ViaSocket or ViaToken.
	Via  string `json:"via"`
	Name string `json:"name"`
	// ID is the number of the account on its forge; "" where only the name is known. A
	// freed name may be given to somebody else, a number never is.
	ID string `json:"id,omitempty"`
}

// String is the login as people write it: "github:ada", with a number "github:ada#123".
func (l Login) String() string {
	if l.ID != "" {
		return l.Via + ":" + l.Name + "#" + l.ID
	}
	return l.Via + ":" + l.Name
}

// Is tells whether who shows up as o is who l names. With a number in l the number
// decides: an account stays who it is when it is renamed, and who got its name is another
// one. Without, the name does: forges do not tell upper case from lower case; operating
// systems and token names do. A login that lacks a part is nobody's.
func (l Login) Is(o Login) bool {
	if l.ID != "" {
		return l.Via != "" && l.Name != "" && o.Name != "" && l.Via == o.Via && l.ID == o.ID
	}
	return l.sameName(o)
}

// MayBe tells whether two logins can be of one account, as far as is known: where one
// lacks its number the names decide. It is for taking rights away, [Login.Is] for giving
// them.
func (l Login) MayBe(o Login) bool {
	if l.ID != "" && o.ID != "" {
		return l.Is(o)
	}
	return l.sameName(o)
}

func (l Login) sameName(o Login) bool { return l.Via != "" && l.Name != "" && l.bare() == o.bare() }

// bare is the login in the spelling that is compared, without the number.
func (l Login) bare() Login {
	l.ID = ""
	return l.folded()
}

// folded is the login in the spelling that is compared. Logins are ASCII on every forge:
// a letter that only looks like one, or folds to one, stays another letter.
func (l Login) folded() Login {
	if !slices.Contains(Forges(), l.Via) {
		return l
	}
	l.Name = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, l.Name)
	return l
}

// parseLogin reads "github:ada" and "github:ada#123". The second result is false for what
// is no login.
func parseLogin(s string) (Login, bool) {
	via, name, ok := strings.Cut(s, ":")
	l, good := loginOf(via, name)
	return l, ok && good && slices.Contains(Forges(), via)
}

// loginOf reads the part of a login after its forge: "ada", "ada#123".
func loginOf(via, text string) (Login, bool) {
	name, id, pinned := strings.Cut(text, "#")
	return Login{Via: via, Name: name, ID: id}, isLoginName(name) && (!pinned || isAccountNumber(id))
}

// isAccountNumber is what a forge numbers its accounts with. One number has one spelling:
// numbers are compared as text.
func isAccountNumber(s string) bool {
	return s != "" && len(s) <= 19 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// isLoginName is what a forge's login can look like: no white space, and none of the
// characters that would make it something else.
func isLoginName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsAny(s, "@:/,#\"'`<>") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// IdentityAccount is a person, with everything by which the person can be known.
type IdentityAccount struct {
	Document
	Org string
	// DisplayName is how the person is called; "" when the document does not say.
	DisplayName string
	Emails      []string
	// Logins are in the order of the document.
	Logins []Login
}

// Team is a group of persons.
type Team struct {
	Document
	Org         string
	Description string
	// Members are slugs of IdentityAccounts and logins such as "github:ada", each once.
	Members []string
}

// Person is somebody who can be recognised: an IdentityAccount with all its logins, or a
// login that no account has.
type Person struct {
	// Name is the account's slug, or the login: "github:ada", "github:ada#123". No two
	// persons of an organization have the same.
	Name   string  `json:"name"`
	Logins []Login `json:"logins"`
}

// Alone is the person of a login that no account has. Two spellings of one login are one
// person, with one name.
func Alone(l Login) Person {
	l = l.folded()
	return Person{Name: l.String(), Logins: []Login{l}}
}

// Has tells whether who shows up as l is the person.
func (p Person) Has(l Login) bool {
	return slices.ContainsFunc(p.Logins, func(is Login) bool { return is.Is(l) })
}

// MayBe tells whether who shows up as l can be the person, as far as is known.
func (p Person) MayBe(l Login) bool { return slices.ContainsFunc(p.Logins, l.MayBe) }

// Namesake finds the login of the person that has the name of l and is another account,
// as its number tells: the name was given to somebody else.
func (p Person) Namesake(l Login) (Login, bool) {
	if i := slices.IndexFunc(p.Logins, func(is Login) bool { return is.ID != "" && is.sameName(l) && !is.Is(l) }); i >= 0 {
		return p.Logins[i], true
	}
	return Login{}, false
}

// Approver is one entry of a policy's list of persons, with who that is.
type Approver struct {
	// Name is the entry as written: "team/platform", "ada", "github:ada".
	Name string `json:"name"`
	// People are sorted by name; empty when the entry means nobody.
	People []Person `json:"people"`
}

// ApprovalRule is what a policy wants of people before a plan is applied.
type ApprovalRule struct {
	// Required is how many different persons must approve. With 0 the policy waits for
	// nobody by itself, and where something else waits one of From must approve.
	Required int `json:"required"`
	// From are the persons who count; empty means everybody who may act at all.
	From []string `json:"from,omitempty"`
	// AuthorMayApprove lets who proposed a change count.
	AuthorMayApprove bool `json:"authorMayApprove,omitempty"`
	// ByReview counts an approving review on the forge for the plans that were shown.
	ByReview bool `json:"byReview,omitempty"`
}

// PolicyPeople are the persons that a policy means in one organization.
type PolicyPeople struct {
	// From are those of Approvals.From, Override those of Policy.Override.
	From, Override []Approver
	// Known are the persons with several logins, when From is empty: whoever may approve
	// still counts once.
	Known []Person
}

// PeopleIn says who a policy means for the resources of an organization. A policy that
// was not loaded with a tree knows no accounts and teams: those are nobody then.
func (p *Policy) PeopleIn(org string) PolicyPeople {
	if people, ok := p.People[org]; ok {
		return people
	}
	return (*directory)(nil).peopleOf(p)
}

// Accounts lists the IdentityAccounts by organization and slug.
func (t *Tree) Accounts() []*IdentityAccount { return t.accounts }

// Teams lists the Teams by organization and slug.
func (t *Tree) Teams() []*Team { return t.teams }

// Person finds who a login is in an organization; without an account it is the login
// itself.
func (t *Tree) Person(org string, l Login) Person { return t.directories[org].person(l) }

// directory is who there is in one organization. A nil one is empty.
type directory struct {
	// accounts are sorted by slug.
	accounts  []*IdentityAccount
	accountOf map[string]*IdentityAccount
	teamOf    map[string]*Team
	// byLogin has no numbers; byNumber has nothing but forge and number.
	byLogin, byNumber map[Login]*IdentityAccount
	// pins are the numbers that are written behind a login anywhere in the organization:
	// it means that account in all of it.
	pins map[Login]pin
}

// pin is a number and where it is written.
type pin struct {
	id string
	at diag.Diagnostic
}

func personOf(a *IdentityAccount) Person { return Person{Name: a.Metadata.Slug, Logins: a.Logins} }

// person finds who a login is. A number finds its account under whatever name.
func (d *directory) person(l Login) Person {
	if d == nil {
		return Alone(l)
	}
	if a := d.byNumber[l.number()]; a != nil && l.ID != "" {
		return personOf(a)
	}
	if a := d.byLogin[l.bare()]; a != nil && personOf(a).Has(l) {
		return personOf(a)
	}
	return Alone(l)
}

// number is the login without its name.
func (l Login) number() Login { return Login{Via: l.Via, ID: l.ID} }

// pinned is a login as the organization means it.
func (d *directory) pinned(l Login) Login {
	if d != nil && l.ID == "" {
		l.ID = d.pins[l.bare()].id
	}
	return l
}

func (d *directory) bySlug(slug string) *IdentityAccount {
	if d == nil {
		return nil
	}
	return d.accountOf[slug]
}

func (d *directory) byEmail(email string) *IdentityAccount {
	return d.find(func(a *IdentityAccount) bool {
		return email != "" && slices.ContainsFunc(a.Emails, func(e string) bool { return strings.EqualFold(e, email) })
	})
}

func (d *directory) find(is func(*IdentityAccount) bool) *IdentityAccount {
	if d == nil {
		return nil
	}
	if i := slices.IndexFunc(d.accounts, is); i >= 0 {
		return d.accounts[i]
	}
	return nil
}

// teamPrefix marks a team in a list of persons.
const teamPrefix = "team/"

// approver finds who an entry of a policy means; false when there is no such account or
// team.
func (d *directory) approver(entry string) (Approver, bool) {
	out := Approver{Name: entry}
	if slug, ok := strings.CutPrefix(entry, teamPrefix); ok {
		t := d.team(slug)
		if t == nil {
			return out, false
		}
		for _, m := range t.Members {
			if p, ok := d.member(m); ok {
				out.People = append(out.People, p)
			}
		}
	} else {
		p, ok := d.member(entry)
		if !ok {
			return out, false
		}
		out.People = []Person{p}
	}
	slices.SortFunc(out.People, func(a, b Person) int { return cmp.Compare(a.Name, b.Name) })
	out.People = slices.CompactFunc(out.People, func(a, b Person) bool { return a.Name == b.Name })
	return out, true
}

// member finds who a slug or a login is.
func (d *directory) member(entry string) (Person, bool) {
	if l, ok := parseLogin(entry); ok {
		return d.person(d.pinned(l)), true
	}
	if a := d.bySlug(entry); a != nil {
		return personOf(a), true
	}
	return Person{}, false
}

func (d *directory) team(slug string) *Team {
	if d == nil {
		return nil
	}
	return d.teamOf[slug]
}

// peopleOf finds who a policy means. An entry that means nobody stays in the list, so
// that a list of persons never becomes everybody.
func (d *directory) peopleOf(p *Policy) PolicyPeople {
	var out PolicyPeople
	if p.Approvals != nil {
		out.From = d.approvers(p.Approvals.From)
		if len(p.Approvals.From) == 0 && d != nil {
			for _, a := range d.accounts {
				if len(a.Logins) > 1 {
					out.Known = append(out.Known, personOf(a))
				}
			}
		}
	}
	out.Override = d.approvers(p.Override)
	return out
}

func (d *directory) approvers(entries []string) []Approver {
	var out []Approver
	for _, e := range entries {
		a, _ := d.approver(e)
		out = append(out, a)
	}
	return out
}

// People lists the different persons of a list of approvers, by name.
func People(list []Approver) []Person {
	var out []Person
	for _, a := range list {
		out = append(out, a.People...)
	}
	slices.SortFunc(out, func(a, b Person) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Person) bool { return a.Name == b.Name })
}

// boundAccount, boundTeam and boundPeople are documents with the places that findings
// about them are shown at.
type boundAccount struct {
	*IdentityAccount
	nameAt  diag.Diagnostic
	loginAt []diag.Diagnostic
}

type boundTeam struct {
	*Team
	nameAt  diag.Diagnostic
	at      diag.Diagnostic
	members []boundMember
}

// boundMember is a member as written: entry for a text, the other three for Planton's
// form.
type boundMember struct {
	entry           string
	slug, id, email string
	at              diag.Diagnostic
}

// boundPeople are the places of a policy's lists of persons.
type boundPeople struct {
	from, override []diag.Diagnostic
	required       diag.Diagnostic
}
