package access

import (
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Permission is what an account may do with the repository on the forge, in the words of
// the forge port. A word that is none of these is no permission.
type Permission string

// The permissions, least first.
const (
	None  Permission = "none"
	Read  Permission = "read"
	Write Permission = "write"
	Admin Permission = "admin"
)

// Includes tells whether a permission is at least another one.
func (p Permission) Includes(o Permission) bool {
	order := []Permission{None, Read, Write, Admin}
	return max(0, slices.Index(order, p)) >= slices.Index(order, o)
}

// Needs is the permission that a command needs when no policy names who may give it: to
// read is enough for what changes nothing and starts nothing.
func Needs(verb string) Permission {
	if verb == "help" || verb == "explain" {
		return Read
	}
	return Write
}

// MayCommand tells whether an actor may give a command for these resources at all, and
// why not in one line. The permission is the actor's on the forge.
//
// Who a policy names to approve may approve and reject, and who it names to override may
// override, with any permission: that is the policy's word. An override is for nobody
// else. For each single resource [Case.MayApprove] and [Case.MayOverride] decide.
// Actors of the daemon's own API were let in by the API.
func MayCommand(verb string, by stackjob.Actor, p Permission, cases ...Case) (ok bool, why string) {
	if !by.IsPerson() {
		return false, "only a person can give commands"
	}
	switch verb {
	case "approve", "reject":
		if slices.ContainsFunc(cases, func(c Case) bool { return c.named(by) }) {
			return true, ""
		}
	case "override":
		why := "no policy lets anybody go past its approvals here"
		for _, c := range cases {
			ok, not := c.MayOverride(by)
			if ok {
				return true, ""
			}
			why = not
		}
		return false, why
	}
	if !slices.Contains(schema.Forges(), by.Via) || p.Includes(Needs(verb)) {
		return true, ""
	}
	if verb == "approve" || verb == "reject" {
		for _, c := range cases {
			if a := c.Choice.Approvals; a != nil {
				if why := namesake(c.Choice.Name, a.From, by); why != "" {
					return false, why
				}
			}
		}
	}
	if !p.Includes(Read) {
		return false, fmt.Sprintf("%s has no permission on the repository; `reeve %s` needs the right to %s it", by.Name, verb, to(Needs(verb)))
	}
	return false, fmt.Sprintf("%s may only read the repository; `reeve %s` needs the right to %s it", by.Name, verb, to(Needs(verb)))
}

// to is a permission as a verb.
func to(p Permission) string {
	if p == Read {
		return "read"
	}
	return "write to"
}
