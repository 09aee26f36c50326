package schema

import (
	"cmp"
	"slices"
)

// NamedLogin is a forge's login that documents of an organization name.
type NamedLogin struct {
	Org string `json:"org"`
	// Login has the number that is written somewhere in the organization.
	Login Login `json:"login"`
	// By are the documents that name it: "IdentityAccount ada", "Team platform", sorted.
	By []string `json:"by"`
}

// Logins lists the logins of a forge that the documents name, by organization and name.
func (t *Tree) Logins(via string) []NamedLogin {
	type key struct {
		org   string
		login Login
	}
	found := map[key]*NamedLogin{}
	add := func(org, kind, name string, l Login) {
		if l.Via != via {
			return
		}
		l = t.directories[org].pinned(l)
		k := key{org, l.bare()}
		if found[k] == nil {
			found[k] = &NamedLogin{Org: org, Login: l}
		}
		if by := kind + " " + name; !slices.Contains(found[k].By, by) {
			found[k].By = append(found[k].By, by)
		}
	}
	for _, a := range t.accounts {
		for _, l := range a.Logins {
			add(a.Org, a.Kind, a.Metadata.Slug, l)
		}
	}
	entries := func(org string, d Document, list []string) {
		for _, e := range list {
			if l, ok := parseLogin(e); ok {
				add(org, d.Kind, d.Metadata.Slug, l)
			}
		}
	}
	for _, team := range t.teams {
		entries(team.Org, team.Document, team.Members)
	}
	for _, p := range t.policies {
		for _, o := range t.organizations {
			if p.Org != "" && p.Org != o.Slug {
				continue
			}
			if p.Approvals != nil {
				entries(o.Slug, p.Document, p.Approvals.From)
			}
			entries(o.Slug, p.Document, p.Override)
		}
	}
	out := make([]NamedLogin, 0, len(found))
	for _, n := range found {
		slices.Sort(n.By)
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b NamedLogin) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Login.bare().Name, b.Login.bare().Name))
	})
	return out
}
