package flowcontrol

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Tally is how far the approvals of one plan, or of one start, have come.
type Tally struct {
	// Required is how many persons must approve: at least one.
	Required int
	// By are those whose approval counts, each once, in the order in which they came.
	By []string
	// From are the policy's entries of who counts; empty means everybody who may act.
	From []string
	// Aside are the approvals that do not count, with why.
	Aside []string
	// Overridden is who went past the approvals, with the reason; "" when nobody did.
	Overridden string
}

// IsMet tells whether nothing is missing.
func (t Tally) IsMet() bool { return t.Overridden != "" || len(t.By) >= t.Required }

// most is how many names a sentence holds.
const most = 5

// String says what is there and what is missing: "1 of 2 approvals (ada); needs one more
// from team/platform".
func (t Tally) String() string {
	if t.Overridden != "" {
		return "by " + t.Overridden
	}
	s := fmt.Sprintf("%d of %d %s", len(t.By), t.Required, plural(t.Required, "approval"))
	if len(t.By) > 0 {
		s += " (" + names(t.By) + ")"
	}
	if missing := t.Required - len(t.By); missing > 0 {
		s += "; needs " + amount(missing)
		if len(t.By) > 0 {
			s += " more"
		}
		if len(t.From) > 0 {
			s += " from " + names(t.From)
		}
	}
	for i, a := range t.Aside {
		if i == most {
			return s + fmt.Sprintf("; and %d more do not count", len(t.Aside)-most)
		}
		s += "; " + a
	}
	return s
}

func names(list []string) string {
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

func amount(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// Count says how far the approvals of a job's plan have come, by the policy as it is now:
// who approved and has left the team since does not count.
func Count(job stackjob.Job, plan stackjob.Plan, p stackjob.PolicyChoice) Tally {
	var given []stackjob.Approval
	for _, a := range job.Approvals {
		if plan.Digest != "" && !a.Rejected && a.Gate == stackjob.GateApply && a.PlanDigest == plan.Digest {
			given = append(given, a)
		}
	}
	required := 1
	if p.Approvals != nil {
		required = max(1, p.Approvals.Required)
	}
	return tally(given, required, p)
}

// Uncounted says why the newest approval of a job that still waits does not count, by the
// policy that it was judged with; "" when it does, or there is none.
func Uncounted(job stackjob.Job) string {
	n := len(job.Approvals)
	if n == 0 || job.Policy == nil || job.Approvals[n-1].Rejected || !job.State.IsWaiting() {
		return ""
	}
	t := countStart(job, *job.Policy)
	if job.State == stackjob.WaitingApply && job.Plan != nil {
		t = Count(job, *job.Plan, *job.Policy)
	}
	for _, aside := range t.Aside {
		if strings.HasPrefix(aside, called(job.Approvals[n-1].Actor)+" ") {
			return aside
		}
	}
	return ""
}

// countStart does so for the start of a job, for which one person is enough.
func countStart(job stackjob.Job, p stackjob.PolicyChoice) Tally {
	var given []stackjob.Approval
	for _, a := range job.Approvals {
		if job.DesiredDigest != "" && !a.Rejected && a.Gate == stackjob.GateStart && a.DesiredDigest == job.DesiredDigest {
			given = append(given, a)
		}
	}
	return tally(given, 1, p)
}

// tally counts persons, not approvals. Who proposed the change is that person with every
// login: what one of them may not approve, none may.
func tally(given []stackjob.Approval, required int, p stackjob.PolicyChoice) Tally {
	t := Tally{Required: required}
	proposed := map[string]bool{} // by person, and by account
	if p.Approvals != nil {
		for _, a := range p.Approvals.From {
			t.From = append(t.From, a.Name)
		}
		for _, a := range given {
			if who, ok := p.Approvals.Person(a.Actor); ok && a.OwnProposal {
				proposed[who.Name], proposed[account(a.Actor)] = true, true
			}
		}
	}
	aside := func(a stackjob.Approval, why string) {
		if s := called(a.Actor) + " " + why; !slices.Contains(t.Aside, s) {
			t.Aside = append(t.Aside, s)
		}
	}
	seen := map[string]bool{}
	count := func(person, shown string, by stackjob.Actor) {
		if !seen[person] && !seen[account(by)] {
			t.By = append(t.By, shown)
		}
		seen[person], seen[account(by)] = true, true
	}
	for _, a := range given {
		if a.Override {
			switch _, may := p.Overrider(a.Actor); {
			case !may && len(p.Override) == 0:
				aside(a, "cannot override: the policy lets nobody")
			case !may:
				aside(a, "cannot override: not among "+namesOf(p))
			case strings.TrimSpace(a.Comment) == "":
				aside(a, "cannot override without a reason")
			case t.Overridden == "":
				t.Overridden = a.Actor.Name + ": " + oneLine(a.Comment)
			}
			continue
		}
		if p.Approvals == nil {
			if a.OwnProposal {
				aside(a, "does not count: proposed the change")
			} else {
				count(a.Actor.Name, a.Actor.Name, a.Actor)
			}
			continue
		}
		who, ok := p.Approvals.Person(a.Actor)
		switch {
		case !ok && isNamesake(p.Approvals.From, a.Actor):
			aside(a, "does not count: another account than the one that is meant")
		case !ok && len(t.From) == 0:
			aside(a, "does not count: no person")
		case !ok:
			aside(a, "does not count: not among "+names(t.From))
		case (proposed[who.Name] || proposed[account(a.Actor)]) && !p.Approvals.AuthorMayApprove:
			aside(a, "does not count: proposed the change")
		default:
			person, shown := who.Name, who.Name
			if strings.Contains(shown, ":") { // a login that no account has, with or without its number
				person, _, _ = strings.Cut(person, "#")
				shown = a.Actor.Name
			}
			count(person, shown, a.Actor)
		}
	}
	return t
}

// account is the account that an actor is, whatever its name was at the time.
func account(a stackjob.Actor) string {
	if a.ID == "" {
		return a.Via + ":" + a.Name
	}
	return a.Via + "#" + a.ID
}

func isNamesake(list []schema.Approver, by stackjob.Actor) bool {
	_, _, is := stackjob.Namesake(list, by)
	return is
}

func namesOf(p stackjob.PolicyChoice) string {
	var list []string
	for _, a := range p.Override {
		list = append(list, a.Name)
	}
	return names(list)
}

// called is an actor with the way by which it came, as the same name may be another
// person there.
func called(a stackjob.Actor) string {
	if a.Via == "" {
		return a.Name
	}
	return a.Name + " (" + a.Via + ")"
}

// maxReason is how many characters of a reason a verdict holds.
const maxReason = 200

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxReason {
		s = string(r[:maxReason-1]) + "…"
	}
	return s
}
