package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// aLogin is what a login looks like, for a sentence.
const aLogin = "a forge and a login, such as github:ada, gitlab:ada or gitea:ada"

// aNumber is what stands behind # in a login, for a sentence.
const aNumber = "the account's number on the forge after #, as in github:ada#123 (`reeve forge logins` tells it)"

// account reads an IdentityAccount.
func (r *reader) account(e *envelope, out *ownDocuments) {
	var spec accountSpec
	v := r.spec(e, &spec)
	if v == nil {
		out.hidesPeople = true
		return
	}
	b := &boundAccount{IdentityAccount: &IdentityAccount{Document: e.Document, Org: r.layout.scope.org,
		DisplayName: strings.TrimSpace(spec.DisplayName)}}
	b.nameAt = r.text.show(diag.Diagnostic{}, e.metaAt["name"])
	if b.DisplayName == "" {
		b.DisplayName = strings.TrimSpace(spec.FirstName + " " + spec.LastName)
	}
	for _, email := range append([]string{spec.Email}, spec.Emails...) {
		if email = strings.TrimSpace(email); email != "" && !slices.Contains(b.Emails, email) {
			b.Emails = append(b.Emails, email)
		}
	}
	const aName = "a login as the forge shows it, without @"
	wrong := func(detail, found, expected string, at place) {
		if _, id, ok := strings.Cut(strings.TrimSuffix(found, `"`), "#"); ok && !isAccountNumber(id) {
			expected = aNumber
		}
		e.bad = true
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: detail, Found: found, Expected: expected}, at)
	}
	add := func(detail string, l Login, val *value) {
		if l.Name == "" {
			return
		}
		i := slices.IndexFunc(b.Logins, l.sameName)
		switch {
		case i < 0:
			b.Logins = append(b.Logins, l)
			b.loginAt = append(b.loginAt, r.text.show(diag.Diagnostic{}, val.at))
		case l.ID == "" || l.ID == b.Logins[i].ID:
		case b.Logins[i].ID == "":
			b.Logins[i].ID, b.loginAt[i] = l.ID, r.text.show(diag.Diagnostic{}, val.at)
		default:
			e.bad = true
			r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: detail, Found: quoted(val, nil),
				Expected: fmt.Sprintf("one number of one login; above it is %s", b.Logins[i])}, val.at)
		}
	}
	if f, ok := v.get("githubUsername"); ok && spec.GithubUsername != "" {
		l, ok := loginOf("github", spec.GithubUsername)
		if !ok {
			wrong("spec.githubUsername", quoted(&f.val, nil), aName, f.val.at)
		}
		add("spec.githubUsername", l, &f.val)
	}
	if f, ok := v.get("logins"); ok {
		for i, l := range spec.Logins {
			item, expected := &f.val.fields[i].val, aLogin
			if g, ok := item.get("login"); ok {
				item, expected = &g.val, aName
			}
			detail := fmt.Sprintf("spec.logins[%d]", i)
			is, ok := loginOf(l.Forge, l.Login)
			if l.Forge == "" || !ok {
				wrong(detail, quoted(item, nil), expected, item.at)
				continue
			}
			add(detail, is, item)
		}
	}
	for _, l := range []struct{ field, via, name string }{{"operatingSystemUser", ViaSocket, spec.OperatingSystemUser}, {"tokenName", ViaToken, spec.TokenName}} {
		if f, ok := v.get(l.field); ok {
			add("spec."+l.field, Login{Via: l.via, Name: l.name}, &f.val)
		}
	}
	if e.bad {
		out.hidesPeople = true
		return
	}
	out.accounts = append(out.accounts, b)
}

// team reads a Team.
func (r *reader) team(e *envelope, out *ownDocuments) {
	var spec teamSpec
	v := r.spec(e, &spec)
	if v == nil {
		out.hidesPeople = true
		return
	}
	b := &boundTeam{Team: &Team{Document: e.Document, Org: r.layout.scope.org, Description: spec.Description}}
	b.nameAt = r.text.show(diag.Diagnostic{}, e.metaAt["name"])
	b.at = r.text.show(diag.Diagnostic{}, e.kindAt)
	f, ok := v.get("members")
	if ok {
		b.at = r.text.show(diag.Diagnostic{}, f.keyAt)
	}
	for i, m := range spec.Members {
		item := &f.val.fields[i].val
		at := r.text.show(diag.Diagnostic{}, item.at)
		if m.Text == "" {
			b.members = append(b.members, r.plantonMember(m, item, i))
			continue
		}
		if d, wrong := notAPerson(m.Text, "a team cannot be a member of a team"); wrong {
			e.bad = true
			d.Detail = fmt.Sprintf("spec.members[%d]", i)
			r.report(d, item.at)
			continue
		}
		b.members = append(b.members, boundMember{entry: m.Text, at: at})
	}
	if e.bad {
		out.hidesPeople = true
		return
	}
	out.teams = append(out.teams, b)
}

// plantonMember reads a member in Planton's form. A type that is no account is left out
// with a warning, as everything of Planton's that has no effect here.
func (r *reader) plantonMember(m memberSpec, item *value, i int) boundMember {
	b := boundMember{slug: m.Slug, id: m.MemberID, email: m.Email, at: r.text.show(diag.Diagnostic{}, item.at)}
	typ := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(m.MemberType))
	if typ != "" && typ != "identityaccount" {
		f, _ := item.get("memberType")
		r.report(diag.Diagnostic{Code: diag.FieldNotUsed, Severity: diag.Warning, Detail: fmt.Sprintf("spec.members[%d]", i),
			Found: quoted(&f.val, nil), Expected: "identity_account: only persons can be members"}, f.val.at)
		return boundMember{at: b.at, slug: notUsed}
	}
	return b
}

// notUsed is the slug of a member that was left out; no slug has a space.
const notUsed = "not used"

// notAPerson says what is wrong with how a person is written: a team where none can be,
// a login on an unknown forge, or no slug.
func notAPerson(entry, noTeams string) (diag.Diagnostic, bool) {
	d := diag.Diagnostic{Code: diag.InvalidValue, Found: fmt.Sprintf("%q", shortened(entry)), Expected: "the slug of an IdentityAccount, or " + aLogin}
	if noTeams == "" {
		d.Expected = "team/NAME, " + d.Expected
	}
	if folder, name, ok := strings.Cut(entry, "/"); ok {
		if noTeams != "" {
			d.Hint = noTeams
			return d, true
		}
		if nearest(folder+"/", []string{teamPrefix}) != "" || folder+"/" == teamPrefix {
			d.Hint = fmt.Sprintf("did you mean %q?", teamPrefix+Slug(name))
		}
		return d, folder+"/" != teamPrefix || !isSlug(name)
	}
	_, id, numbered := strings.Cut(entry, "#")
	if numbered && !isAccountNumber(id) {
		d.Expected = aNumber
	}
	via, name, ok := strings.Cut(entry, ":")
	if !ok {
		if isSlug(entry) {
			return d, false
		}
		if s := Slug(entry); s != "" && s != entry && !numbered {
			d.Hint = fmt.Sprintf("did you mean %q?", s)
		}
		if l, ok := loginOf("github", entry); ok && numbered {
			d.Hint = fmt.Sprintf("a number belongs to a forge: %q", l.String())
		}
		return d, true
	}
	if _, ok := parseLogin(entry); ok {
		return d, false
	}
	_, written := loginOf(via, strings.TrimPrefix(name, "@"))
	if best := nearest(via, Forges()); best != "" && written {
		d.Hint = fmt.Sprintf("did you mean %q?", best+":"+strings.TrimPrefix(name, "@"))
	} else if slices.Contains(Forges(), via) && written {
		d.Hint = fmt.Sprintf("did you mean %q?", via+":"+strings.TrimPrefix(name, "@"))
	}
	return d, true
}

func shortened(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

// people reads approvals and override of a policy.
func (r *reader) people(v *value, spec *policySpec, p *boundPolicy) bool {
	ok := true
	list := func(parent, field string, entries []string) []diag.Diagnostic {
		f, _ := v.get(parent)
		g, has := f.val.get(field)
		if !has {
			return nil
		}
		var at []diag.Diagnostic
		for i, entry := range entries {
			item := &g.val.fields[i].val
			if d, wrong := notAPerson(entry, ""); wrong {
				ok = false
				d.Detail = fmt.Sprintf("spec.%s.%s[%d]", parent, field, i)
				r.report(d, item.at)
			}
			at = append(at, r.text.show(diag.Diagnostic{}, item.at))
		}
		return at
	}
	if a := spec.Approvals; a != nil {
		p.Approvals = &ApprovalRule{From: a.From, AuthorMayApprove: a.AuthorMayApprove, ByReview: a.ByReview}
		f, _ := v.get("approvals")
		at := f.keyAt
		switch g, given := f.val.get("required"); {
		case given && a.Required != nil:
			p.Approvals.Required, at = *a.Required, g.val.at
		case len(a.From) > 0:
			p.Approvals.Required = 1
		}
		p.places.required = r.text.show(diag.Diagnostic{}, at)
		p.places.from = list("approvals", "from", a.From)
	}
	if o := spec.Override; o != nil {
		p.Override = o.From
		p.places.override = list("override", "from", o.From)
	}
	p.ApplyBeforeMerge = spec.ApplyBeforeMerge
	return ok
}
