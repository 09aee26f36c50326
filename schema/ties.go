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
		t.policies = append(t.policies, p.Policy)
	}
	for i, p := range all {
		for _, q := range all[i+1:] {
			if p.Org != q.Org || p.Env != q.Env {
				break
			}
			if what, tie := a.tie(p.Policy, q.Policy); tie {
				a.reportTie(p, q, what)
			}
		}
	}
}

// tie tells whether two policies of one folder are equally specific for the same
// thing, and names it.
func (a *assembly) tie(p, q *Policy) (string, bool) {
	if p.Selector.Level != q.Selector.Level || p.Selector.Kind != q.Selector.Kind || p.Specificity() != q.Specificity() {
		return "", false
	}
	if p.Selector.ID == q.Selector.ID {
		return p.Selector.String(), true
	}
	if !isGlob(p.Selector.ID) {
		return "", false
	}
	for _, e := range a.out.environments {
		k := ResourceKey{Org: e.Org, Env: e.Slug}
		if p.Selector.Level != SelectResource && p.Matches(k) && q.Matches(k) {
			return e.Org + "/" + e.Slug, true
		}
	}
	if p.Selector.Level == SelectResource {
		for _, r := range a.out.resources {
			if p.Matches(r.Key) && q.Matches(r.Key) {
				return r.Key.String(), true
			}
		}
	}
	return "", false
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
