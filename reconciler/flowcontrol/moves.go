package flowcontrol

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/stackreeve/stackreeve/schema"
)

// Move is a policy that is another in one tree than in another: what it says, or who is
// meant by it.
type Move struct {
	// Policy is the policy's name as in PolicyChoice; File is where it stands now, or
	// stood before it went.
	Policy, File string
	// How is in a few words what becomes of it.
	How string
}

// Moves says which policies become others between two trees, sorted by name. A document
// that is only written otherwise, or moved within its folder, is no move.
func Moves(before, after []*schema.Policy) []Move {
	was := map[string]*schema.Policy{}
	for _, p := range before {
		was[Name(p)] = p
	}
	var out []Move
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
		out = append(out, Move{Policy: name, File: p.Pos.File, How: how})
	}
	for name, p := range was {
		out = append(out, Move{Policy: name, File: p.Pos.File, How: "is removed"})
	}
	slices.SortFunc(out, func(a, b Move) int { return cmp.Compare(a.Policy, b.Policy) })
	return out
}

// said is what a policy says: without where it stands, how it is described and who is
// meant.
func said(p *schema.Policy) schema.Policy {
	is := *p
	is.Document, is.People = schema.Document{}, nil
	return is
}
