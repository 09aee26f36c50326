package flowcontrol

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/schema"
)

// Moves says which policies become others between two trees, sorted by name. A document
// that is only written otherwise, or moved within its folder, is no move.
func Moves(before, after []*schema.Policy) []pull.PolicyMove {
	was := map[string]*schema.Policy{}
	for _, p := range before {
		was[Name(p)] = p
	}
	var out []pull.PolicyMove
	for _, p := range after {
		name := Name(p)
		old, there := was[name]
		delete(was, name)
		how := ""
		switch {
		case !there:
			how = "is new"
		case !reflect.DeepEqual(said(old), said(p)):
			how = "is changed"
		case !reflect.DeepEqual(old.People, p.People):
			how = "means other persons"
		default:
			continue
		}
		out = append(out, pull.PolicyMove{Policy: name, File: p.Pos.File, How: how})
	}
	for name, p := range was {
		out = append(out, pull.PolicyMove{Policy: name, File: p.Pos.File, How: "is removed"})
	}
	slices.SortFunc(out, func(a, b pull.PolicyMove) int { return cmp.Compare(a.Policy, b.Policy) })
	return out
}

// said is what a policy says: without where it stands, how it is described and who is
// meant.
func said(p *schema.Policy) schema.Policy {
	is := *p
	is.Document, is.People = schema.Document{}, nil
	return is
}
