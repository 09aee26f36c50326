package schema

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// policies lists the policies, and reports those of which nobody could say which one
// counts.
func (a *assembly) policies() {
	t := &a.out.tree
	all := slices.Clone(a.own.policies)
	slices.SortStableFunc(all, func(x, y *boundPolicy) int {
		return cmp.Or(cmp.Compare(x.Org, y.Org), cmp.Compare(x.Env, y.Env), cmp.Compare(x.Metadata.Slug, y.Metadata.Slug), x.Pos.Compare(y.Pos))
	})
	for _, p := range all {
		t.policies = append(t.policies, a.withPeople(p))
	}
	for _, p := range all {
		a.idle(p)
	}
	groups := map[tieGroup][]*boundPolicy{}
	var order []tieGroup
	for _, p := range all {
		g := tieGroup{p.Org, p.Env, p.Selector.Kind, p.Specificity()}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], p)
	}
	for _, g := range order {
		if len(groups[g]) > 1 {
			a.ties(groups[g])
		}
	}
}

// idle warns about a policy that names something that does not exist: most likely it
// is misspelled, and guards nothing. A glob may well wait for what is to come.
func (a *assembly) idle(p *boundPolicy) {
	d := p.at
	d.Code, d.Severity, d.Detail = diag.PolicyIdle, diag.Warning, p.Selector.String()
	var known []string
	switch p.Selector.Level {
	case SelectEnvironment:
		for _, e := range a.out.environments {
			if (scope{p.Org, p.Env}).covers(scope{e.Org, e.Slug}) {
				known = append(known, e.Slug)
			}
		}
		if isGlob(p.Selector.ID) || slices.Contains(known, p.Selector.ID) {
			return
		}
		d.Hint = didYouMean(p.Selector.ID, known)
	case SelectOrganization:
		for _, o := range a.out.organizations {
			known = append(known, o.Slug)
		}
		if isGlob(p.Selector.ID) || slices.Contains(known, p.Selector.ID) {
			return
		}
		d.Hint = didYouMean(p.Selector.ID, known)
	case SelectResource:
		known = append(known, KindTerraformStack)
		for _, c := range a.own.components {
			if c.Org == "" || p.Org == "" || c.Org == p.Org {
				known = append(known, c.RegisteredKind)
			}
		}
		if slices.Contains(known, p.Selector.Kind) || a.mayHide(p.Org) {
			return
		}
		d.Detail = "kind " + p.Selector.Kind
		d.Hint = didYouMean(p.Selector.Kind, append(known, string(SelectPlatform), string(SelectOrganization), string(SelectEnvironment)))
	default:
		return
	}
	a.findings = append(a.findings, finding{Diagnostic: d})
}

// tieGroup is what policies that could tie have in common: folder, kind, specificity.
type tieGroup struct {
	org, env, kind string
	specificity    Specificity
}

// ties reports each pair of a group that selects the same: the same id, or two globs
// that both match something that exists.
func (a *assembly) ties(group []*boundPolicy) {
	told := map[[2]*boundPolicy]bool{}
	tell := func(p, q *boundPolicy, what string) {
		if pair := [2]*boundPolicy{p, q}; !told[pair] {
			told[pair] = true
			a.reportTie(p, q, what)
		}
	}
	for i, p := range group {
		for _, q := range group[i+1:] {
			if p.Selector.ID == q.Selector.ID {
				tell(p, q, p.Selector.String())
			}
		}
	}
	if group[0].Specificity().Exact {
		return
	}
	visit := func(k ResourceKey, what string) {
		var match []*boundPolicy
		for _, p := range group {
			if p.Matches(k) {
				match = append(match, p)
			}
		}
		for i, p := range match {
			for _, q := range match[i+1:] {
				tell(p, q, what)
			}
		}
	}
	if group[0].Selector.Level != SelectResource {
		for _, e := range a.out.environments {
			visit(ResourceKey{Org: e.Org, Env: e.Slug}, e.Org+"/"+e.Slug)
		}
		return
	}
	for _, r := range a.out.resources {
		visit(r.Key, r.Key.String())
	}
}

// String is the selector as a person would say it: "environment prod", "AwsVpc main".
func (s Selector) String() string {
	switch s.Level {
	case SelectPlatform:
		return "the platform"
	case SelectResource:
		return s.Kind + " " + s.ID
	}
	return string(s.Level) + " " + s.ID
}

func (a *assembly) reportTie(p, q *boundPolicy, what string) {
	first, second := p, q
	if q.at.Pos.Compare(p.at.Pos) < 0 {
		first, second = q, p
	}
	d := second.at
	d.Code, d.Detail = diag.PolicyTie, fmt.Sprintf("%s and %s both select %s", first.Metadata.Name, second.Metadata.Name, what)
	d.Hint = "make one selector more exact, or join the two policies"
	d.Related = []diag.Related{{Pos: first.at.Pos, Message: "the other policy"}}
	a.findings = append(a.findings, finding{Diagnostic: d, freezes: []scope{{p.Org, p.Env}}})
}
