// Package flowcontrol decides which job may go on and who must say yes: step seven
// of the way of the data.
//
//	Choose(policies, resource) ─▶ PolicyChoice     which policy is in force, and why
//	AtStart(job, choice)       ─▶ Verdict          before its first operation
//	AtApply(job, plan, choice) ─▶ Verdict          when there is a plan, and again right before it is applied
//
// One policy is in force for a resource, whole: fields of several are never mixed. It
// is the most specific one that matches: resource before environment before
// organization before platform; within a level an exact id before a glob, and of
// globs the one with the longer literal beginning; then the one whose folder is
// nearer. When no policy matches, the built-in default asks for approval of every
// plan that changes something.
//
// Every verdict says why and by which policy. Rules that nobody may break
// (prevent-destroy, prune: forbid) refuse; everything else waits for a person. An
// approval counts for the very plan that it names and for no other.
//
// Where the policy names who must approve, the choice carries those persons, found in
// the tree that it was made from: a gate is opened by who may open it when it is judged,
// not by who could when the approval was given. Without such a list everybody who may
// act at all may approve; that is checked where the approval is made.
//
// The package is pure.
package flowcontrol

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// BuiltInName is the name of the policy that is in force when none matches.
const BuiltInName = "built-in default"

// BuiltIn is the choice when no policy matches: nothing is applied that nobody looked
// at.
func BuiltIn() stackjob.PolicyChoice {
	return stackjob.PolicyChoice{
		Name:     BuiltInName,
		Controls: schema.Controls{PreviewBeforeUpdateOrDestroy: true, PauseBetweenPreviewAndUpdateOrDestroy: true},
		Prune:    schema.PruneFollow,
	}
}

// maxVisited is how many policies a choice tells about.
const maxVisited = 20

// Choose finds the policy that is in force for a resource. Visited lists every policy
// that could have been, with why it won or lost, most specific first.
func Choose(policies []*schema.Policy, key schema.ResourceKey) stackjob.PolicyChoice {
	matching, other := candidates(policies, key)
	choice := BuiltIn()
	if len(matching) > 0 {
		w := matching[0].policy
		choice = stackjob.PolicyChoice{
			Name: Name(w), File: w.Pos.File, Line: w.Pos.Line, Controls: w.Controls, Prune: cmp.Or(w.Prune, schema.PruneFollow),
			ApplyBeforeMerge: w.ApplyBeforeMerge,
		}
		people := w.PeopleIn(key.Org)
		choice.Override = people.Override
		if a := w.Approvals; a != nil {
			choice.Approvals = &stackjob.Approvals{Required: a.Required, From: people.From, Known: people.Known,
				AuthorMayApprove: a.AuthorMayApprove, ByReview: a.ByReview}
		}
	}
	for i, c := range matching {
		why := "in force"
		if i > 0 {
			why = "lost: " + c.lostTo(matching[0])
		}
		choice.Visited = append(choice.Visited, c.String()+": "+why)
	}
	for _, c := range other {
		choice.Visited = append(choice.Visited, c.String()+": does not match")
	}
	if n := len(choice.Visited); n > maxVisited {
		choice.Visited = append(choice.Visited[:maxVisited], fmt.Sprintf("and %d more", n-maxVisited))
	}
	return choice
}

// Name is how a policy is named to people: "folder/name".
func Name(p *schema.Policy) string {
	name := cmp.Or(p.Metadata.Slug, p.Metadata.Name)
	switch {
	case p.Org == "":
		return "platform/" + name
	case p.Env == "":
		return p.Org + "/" + name
	}
	return p.Org + "/" + p.Env + "/" + name
}

// candidate is a policy whose folder covers the resource.
type candidate struct {
	policy   *schema.Policy
	specific schema.Specificity
}

// candidates splits the policies whose folder covers the resource into those that
// match, most specific first, and the others.
func candidates(policies []*schema.Policy, key schema.ResourceKey) (matching, other []candidate) {
	for _, p := range policies {
		c := candidate{policy: p, specific: p.Specificity()}
		switch {
		case p.Matches(key):
			matching = append(matching, c)
		case (p.Org == "" || p.Org == key.Org) && (p.Env == "" || p.Env == key.Env):
			other = append(other, c)
		}
	}
	slices.SortFunc(matching, candidate.compare)
	slices.SortFunc(other, candidate.compare)
	return matching, other
}

// compare puts the more specific one first. Two that are equal in everything but name
// are an error of the tree; their order is still the same every time.
func (c candidate) compare(o candidate) int {
	return cmp.Or(o.specific.Compare(c.specific), cmp.Compare(Name(c.policy), Name(o.policy)), c.policy.Pos.Compare(o.policy.Pos))
}

// lostTo says why w is more specific.
func (c candidate) lostTo(w candidate) string {
	a, b := c.specific, w.specific
	switch {
	case a.Level != b.Level:
		return Name(w.policy) + " is for a more specific level (" + string(w.policy.Selector.Level) + ")"
	case a.Exact != b.Exact || a.Prefix != b.Prefix:
		return Name(w.policy) + " names it more exactly (" + idOf(w.policy.Selector) + ")"
	case a.Folder != b.Folder:
		return Name(w.policy) + " stands in a nearer folder"
	}
	return Name(w.policy) + " matches equally well and comes first by name"
}

// String names the policy and its selector.
func (c candidate) String() string {
	s := c.policy.Selector
	what := string(s.Level)
	if s.Level == schema.SelectResource {
		what = s.Kind
	}
	if s.Level != schema.SelectPlatform {
		what += " " + idOf(s)
	}
	return Name(c.policy) + " (" + what + ")"
}

func idOf(s schema.Selector) string { return strconv.Quote(cmp.Or(s.ID, "*")) }
