package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// gatherPeople takes the people of a file, those that are repeated left out.
func (t *ownTogether) gatherPeople(e *entry) {
	o := &e.file.own
	for _, d := range o.accounts {
		if t.firstOfName(e, d.Document, d.nameAt) {
			t.accounts = append(t.accounts, d)
		}
	}
	for _, d := range o.teams {
		if t.firstOfName(e, d.Document, d.nameAt) {
			t.teams = append(t.teams, d)
		}
	}
}

// firstOfName reports a person or team whose slug the organization has already.
func (t *ownTogether) firstOfName(e *entry, d Document, at diag.Diagnostic) bool {
	k := ResourceKey{Org: e.layout.scope.org, Kind: d.Kind, Name: d.Metadata.Slug}
	if first, twice := t.named[k]; twice {
		t.again(e, diag.DuplicateDocument, at, first, d.Kind+" "+d.Metadata.Slug)
		return false
	}
	t.named[k] = at
	return true
}

// people makes the directory of each organization, and says what is wrong with its
// accounts and teams together.
func (a *assembly) people() {
	t := &a.out.tree
	t.directories = map[string]*directory{}
	of := func(org string) *directory {
		d := t.directories[org]
		if d == nil {
			d = &directory{byLogin: map[Login]*IdentityAccount{}, byNumber: map[Login]*IdentityAccount{}, pins: map[Login]pin{},
				accountOf: map[string]*IdentityAccount{}, teamOf: map[string]*Team{}}
			t.directories[org] = d
		}
		return d
	}
	a.pins(of)
	type placed struct {
		account *boundAccount
		at      diag.Diagnostic
	}
	first := map[string]map[Login]placed{}
	for _, b := range a.own.accounts {
		d := of(b.Org)
		account := *b.IdentityAccount // the document is shared with other trees, the numbers are this one's
		account.Logins = slices.Clone(account.Logins)
		d.accounts = append(d.accounts, &account)
		d.accountOf[b.Metadata.Slug] = &account
		t.accounts = append(t.accounts, &account)
		if first[b.Org] == nil {
			first[b.Org] = map[Login]placed{}
		}
		for i, l := range b.Logins {
			l = d.pinned(l)
			account.Logins[i] = l
			f, twice := first[b.Org][l.bare()]
			if n, taken := first[b.Org][l.number()]; !twice && l.ID != "" && taken && n.account != b {
				f, twice = n, true
			}
			if twice {
				at := b.loginAt[i]
				at.Code, at.Detail = diag.DuplicateLogin, fmt.Sprintf("%s, of %s and %s", l, f.account.Metadata.Slug, b.Metadata.Slug)
				at.Related = []diag.Related{{Pos: f.at.Pos, Message: "the other account"}}
				a.findings = append(a.findings, finding{Diagnostic: at, freezes: []scope{{org: b.Org}}})
				continue
			}
			first[b.Org][l.bare()] = placed{b, b.loginAt[i]}
			d.byLogin[l.bare()] = &account
			if l.ID != "" {
				first[b.Org][l.number()] = placed{b, b.loginAt[i]}
				d.byNumber[l.number()] = &account
			}
		}
	}
	for _, b := range a.own.teams {
		team := *b.Team // the document is shared with other trees, its members are this one's
		team.Members = a.members(b, of(b.Org))
		d := of(b.Org)
		d.teamOf[b.Metadata.Slug] = &team
		t.teams = append(t.teams, &team)
	}
	slices.SortFunc(t.accounts, func(x, y *IdentityAccount) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.Metadata.Slug, y.Metadata.Slug))
	})
	slices.SortFunc(t.teams, func(x, y *Team) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.Metadata.Slug, y.Metadata.Slug))
	})
	for _, d := range t.directories {
		slices.SortFunc(d.accounts, func(x, y *IdentityAccount) int { return cmp.Compare(x.Metadata.Slug, y.Metadata.Slug) })
	}
}

// pins gathers the numbers of logins. One that is written once holds for its login in the
// whole organization: else a name without number beside it would let in whom the number
// keeps out. Two numbers of one login are two accounts, of which nobody knows which is meant.
func (a *assembly) pins(of func(org string) *directory) {
	add := func(org string, l Login, at diag.Diagnostic) {
		if l.ID == "" {
			return
		}
		d := of(org)
		first, known := d.pins[l.bare()]
		switch {
		case !known:
			d.pins[l.bare()] = pin{l.ID, at}
		case first.id != l.ID:
			at.Code, at.Detail = diag.DuplicateLogin, fmt.Sprintf("%s and %s", l, Login{l.Via, l.Name, first.id})
			at.Related = []diag.Related{{Pos: first.at.Pos, Message: "the other number"}}
			a.findings = append(a.findings, finding{Diagnostic: at, freezes: []scope{{org: org}}})
		}
	}
	text := func(org, entry string, at diag.Diagnostic) {
		if l, ok := parseLogin(entry); ok {
			add(org, l, at)
		}
	}
	for _, b := range a.own.accounts {
		for i, l := range b.Logins {
			if d := of(b.Org); l.ID != "" && d.pins[l.bare()].id == "" { // else it is of two accounts, which is told of them
				add(b.Org, l, b.loginAt[i])
			}
		}
	}
	for _, b := range a.own.teams {
		for _, m := range b.members {
			text(b.Org, m.entry, m.at)
		}
	}
	for _, b := range a.own.policies {
		for _, o := range a.out.organizations {
			if b.Org != "" && b.Org != o.Slug {
				continue
			}
			if b.Approvals != nil {
				for i, entry := range b.Approvals.From {
					text(o.Slug, entry, b.places.from[i])
				}
			}
			for i, entry := range b.Override {
				text(o.Slug, entry, b.places.override[i])
			}
		}
	}
}

// hidesPeople tells whether an account or a team of an organization may be hidden by an
// error: then nobody is said to be missing, as the error is reported and freezes all.
func (a *assembly) hidesPeople(org string) bool {
	if a.own.unreadable[scope{org: org}] {
		return true
	}
	return slices.ContainsFunc(a.entries, func(e *entry) bool { return e.layout.scope == scope{org: org} && e.file.own.hidesPeople })
}

// members finds the members of a team. Who is written by hand and does not exist is an
// error; a member in Planton's form may well be an account that is kept elsewhere.
func (a *assembly) members(b *boundTeam, d *directory) []string {
	var out []string
	unknown := func(m boundMember, what, hint string, severity diag.Severity) {
		at := m.at
		at.Code, at.Severity, at.Detail, at.Hint = diag.UnknownPerson, severity, what, hint
		if !a.hidesPeople(b.Org) {
			a.findings = append(a.findings, finding{Diagnostic: at, freezes: []scope{{org: b.Org}}})
		}
	}
	for _, m := range b.members {
		name := m.entry
		switch {
		case m.entry != "":
			if _, ok := d.member(m.entry); !ok {
				unknown(m, "the account "+m.entry, d.hint(m.entry), diag.Error)
				continue
			}
		case m.slug == notUsed:
			continue
		default:
			account := d.bySlug(m.slug)
			if account == nil && m.id != "" {
				account = d.find(func(x *IdentityAccount) bool { return x.Metadata.ID == m.id })
			}
			if account == nil {
				account = d.byEmail(m.email)
			}
			if account == nil {
				what := cmp.Or(m.slug, m.email, m.id)
				if what == "" {
					what = "without slug, e-mail and id"
				}
				unknown(m, "the member "+what, "the member counts nowhere until there is an IdentityAccount with this slug, id or e-mail", diag.Warning)
				continue
			}
			name = account.Metadata.Slug
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(b.members) == 0 {
		at := b.at
		at.Code, at.Severity, at.Detail = diag.EmptyTeam, diag.Warning, b.Metadata.Slug
		a.findings = append(a.findings, finding{Diagnostic: at})
	}
	return out
}

// hint is what an unknown entry was probably meant to be.
func (d *directory) hint(entry string) string {
	var known []string
	if d != nil {
		for _, x := range d.accounts {
			known = append(known, x.Metadata.Slug)
		}
		for _, slug := range sortedKeys(d.teamOf) {
			known = append(known, teamPrefix+slug)
		}
	}
	if slices.Contains(known, teamPrefix+entry) {
		return fmt.Sprintf("did you mean %q?", teamPrefix+entry)
	}
	if h := didYouMean(entry, known); h != "" {
		return h
	}
	if strings.HasPrefix(entry, teamPrefix) {
		return "write a Team of this name in the organization's folder"
	}
	return "write an IdentityAccount of this name in the organization's folder, or the login with its forge, such as github:" + entry
}

// withPeople is a policy with the persons that it means in this tree. The document's own
// value stays as it was: it is shared with other trees.
func (a *assembly) withPeople(b *boundPolicy) *Policy {
	if b.Approvals == nil && len(b.Override) == 0 {
		return b.Policy
	}
	p := *b.Policy
	p.People = map[string]PolicyPeople{}
	for _, o := range a.out.organizations {
		if p.Org != "" && p.Org != o.Slug {
			continue
		}
		p.People[o.Slug] = a.out.directories[o.Slug].peopleOf(&p)
		if p.Org != "" || a.reaches(&p, o.Slug) {
			a.checkPeople(b, o.Slug)
		}
	}
	return &p
}

// reaches tells whether a policy of the platform has something to say in an
// organization.
func (a *assembly) reaches(p *Policy, org string) bool {
	switch p.Selector.Level {
	case SelectPlatform, SelectOrganization:
		return p.Matches(ResourceKey{Org: org})
	case SelectEnvironment:
		return slices.ContainsFunc(a.out.environments, func(e *Environment) bool { return e.Org == org && p.Matches(ResourceKey{Org: org, Env: e.Slug}) })
	}
	return slices.ContainsFunc(a.out.resources, func(r *Resource) bool { return r.Key.Org == org && p.Matches(r.Key) })
}

// checkPeople says which persons of a policy do not exist in an organization, and when
// there are too few of them.
func (a *assembly) checkPeople(b *boundPolicy, org string) {
	if a.hidesPeople(org) {
		return
	}
	d := a.out.directories[org]
	freezes := []scope{{org: org, env: b.Env}}
	in := ""
	if b.Org == "" {
		in = " in " + org
	}
	missing := false
	check := func(entries []string, at []diag.Diagnostic) {
		for i, entry := range entries {
			if _, ok := d.approver(entry); ok {
				continue
			}
			missing = true
			f := at[i]
			what := "the account " + entry
			if strings.HasPrefix(entry, teamPrefix) {
				what = entry
			}
			f.Code, f.Detail, f.Hint = diag.UnknownPerson, what+in, d.hint(entry)
			a.findings = append(a.findings, finding{Diagnostic: f, freezes: freezes})
		}
	}
	check(b.Override, b.places.override)
	if b.Approvals == nil {
		return
	}
	missing = false
	check(b.Approvals.From, b.places.from)
	if missing || len(b.Approvals.From) == 0 {
		return
	}
	have := len(People(d.approvers(b.Approvals.From)))
	if need := max(1, b.Approvals.Required); have < need {
		f := b.places.required
		f.Code, f.Detail = diag.ApprovalsUnreachable, fmt.Sprintf("%d of %s%s", need, strings.Join(b.Approvals.From, ", "), in)
		f.Found = "nobody"
		if have > 0 {
			f.Found = counted(have, "person")
		}
		f.Expected = fmt.Sprintf("at least %d", need)
		a.findings = append(a.findings, finding{Diagnostic: f, freezes: freezes})
	}
}

// counted is "1 person", "2 persons".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
