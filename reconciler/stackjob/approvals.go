package stackjob

import (
	"slices"

	"github.com/stackreeve/stackreeve/schema"
)

// Approvals is whose approvals a policy wants, with the persons found in the tree that the
// choice was made from.
type Approvals struct {
	// Required is how many different persons must approve; 0 leaves it to other rules
	// whether anything waits, and then one must.
	Required int `json:"required"`
	// From are who counts; empty means everybody who may act at all.
	From []schema.Approver `json:"from,omitempty"`
	// Known are the persons with several logins, when From is empty.
	Known            []schema.Person `json:"known,omitempty"`
	AuthorMayApprove bool            `json:"authorMayApprove,omitempty"`
	// ByReview counts an approving review on the forge.
	ByReview bool `json:"byReview,omitempty"`
}

// Login is the actor as a login: what an IdentityAccount can list.
func (a Actor) Login() schema.Login { return schema.Login{Via: a.Via, Name: a.Name, ID: a.ID} }

// IsPerson tells whether the actor can be a person at all: the daemon itself is none, and
// neither is who has no name or came by no known way.
func (a Actor) IsPerson() bool {
	return a.Name != "" && (a.Via == schema.ViaSocket || a.Via == schema.ViaToken || slices.Contains(schema.Forges(), a.Via))
}

// Person finds who an actor is among those who count; false when nobody of them.
func (a *Approvals) Person(by Actor) (schema.Person, bool) {
	if !by.IsPerson() {
		return schema.Person{}, false
	}
	if len(a.From) > 0 {
		return personIn(a.From, by)
	}
	if p, ok := personIn([]schema.Approver{{People: a.Known}}, by); ok {
		return p, true
	}
	return schema.Alone(by.Login()), true
}

// Namesake finds who among those that a policy names has an actor's login and is another
// account: the forge gave the login to somebody else. The policy names nobody so, or the
// actor is one of those: false.
func Namesake(list []schema.Approver, by Actor) (schema.Person, schema.Login, bool) {
	if _, is := personIn(list, by); is || !by.IsPerson() {
		return schema.Person{}, schema.Login{}, false
	}
	for _, a := range list {
		for _, p := range a.People {
			if l, other := p.Namesake(by.Login()); other {
				return p, l, true
			}
		}
	}
	return schema.Person{}, schema.Login{}, false
}

// Overrider finds who an actor is among those who may go past the approvals.
func (p PolicyChoice) Overrider(by Actor) (schema.Person, bool) {
	if !by.IsPerson() {
		return schema.Person{}, false
	}
	return personIn(p.Override, by)
}

// personIn finds an actor in a list. Who is known by the account's number comes before who
// is known by its name, which may have been another's.
func personIn(list []schema.Approver, by Actor) (schema.Person, bool) {
	var named *schema.Person
	for _, a := range list {
		for i, p := range a.People {
			switch {
			case !p.Has(by.Login()):
			case by.ID != "" && !p.Has(schema.Login{Via: by.Via, Name: by.Name}): // the number did it
				return p, true
			case named == nil:
				named = &a.People[i]
			}
		}
	}
	if named == nil {
		return schema.Person{}, false
	}
	return *named, true
}

// Same tells whether two choices judge alike: whatever was judged by one need not be
// judged again by the other. How the choice was made has no part in it.
func (p PolicyChoice) Same(o PolicyChoice) bool {
	if p.Name != o.Name || p.Controls != o.Controls || p.Prune != o.Prune || p.ApplyBeforeMerge != o.ApplyBeforeMerge ||
		!sameApprovers(p.Override, o.Override) || (p.Approvals == nil) != (o.Approvals == nil) {
		return false
	}
	a, b := p.Approvals, o.Approvals
	return a == nil || a.Required == b.Required && a.AuthorMayApprove == b.AuthorMayApprove && a.ByReview == b.ByReview &&
		sameApprovers(a.From, b.From) && slices.EqualFunc(a.Known, b.Known, samePerson)
}

func sameApprovers(a, b []schema.Approver) bool {
	return slices.EqualFunc(a, b, func(x, y schema.Approver) bool {
		return x.Name == y.Name && slices.EqualFunc(x.People, y.People, samePerson)
	})
}

func samePerson(a, b schema.Person) bool { return a.Name == b.Name && slices.Equal(a.Logins, b.Logins) }
