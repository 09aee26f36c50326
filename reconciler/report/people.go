package report

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Approvals is whose approvals a policy wants, in a few words for a table: "2 of
// team/platform, ada; author counts"; "-" when it does not say.
func Approvals(a *schema.ApprovalRule, override []string) string {
	var parts []string
	if a != nil {
		of := "anybody"
		if len(a.From) > 0 {
			of = strings.Join(a.From, ", ")
		}
		parts = append(parts, fmt.Sprintf("%d of %s", max(1, a.Required), of))
		if a.AuthorMayApprove {
			parts = append(parts, "author counts")
		}
		if a.ByReview {
			parts = append(parts, "reviews count")
		}
	}
	if len(override) > 0 {
		parts = append(parts, "override: "+strings.Join(override, ", "))
	}
	if len(parts) == 0 {
		return "-"
	}
	return Clean(strings.Join(parts, "; "))
}

// required is how many approvals a policy wants by itself.
func required(p stackjob.PolicyChoice) int {
	if p.Approvals == nil {
		return 0
	}
	return p.Approvals.Required
}

// people says in sentences whose approvals a policy wants, and who that is now.
func people(p stackjob.PolicyChoice) []string {
	var out []string
	if a := p.Approvals; a != nil {
		line := "It wants " + Plural(max(1, a.Required), "approval")
		switch {
		case len(a.From) == 0:
			line += " of anybody who may act"
		default:
			line += " from " + approvers(a.From)
		}
		if a.AuthorMayApprove {
			line += "; who proposed the change counts too"
		} else {
			line += "; who proposed the change does not count"
		}
		out = append(out, line+".")
		if a.ByReview {
			out = append(out, "An approving review on the forge counts for the plans that were shown when it was written.")
		}
	}
	if len(p.Override) > 0 {
		out = append(out, "Past its approvals, with a reason, may go "+approvers(p.Override)+".")
	}
	if p.ApplyBeforeMerge {
		out = append(out, "Approved plans may be applied from the pull request, before it is merged.")
	}
	return out
}

// approvers names a policy's entries with who that is: "team/platform (ada, grace)".
func approvers(list []schema.Approver) string {
	var out []string
	for i, a := range list {
		if i == maxKeys {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(list)-maxKeys)
		}
		out = append(out, a.Name+who(a))
	}
	return strings.Join(out, ", ")
}

// who says which persons an entry means, unless the entry says it already.
func who(a schema.Approver) string {
	if len(a.People) == 0 {
		return " (nobody)"
	}
	if len(a.People) == 1 && a.People[0].Name == a.Name {
		return ""
	}
	var names []string
	for i, p := range a.People {
		if i == maxKeys {
			return " (" + strings.Join(names, ", ") + fmt.Sprintf(" and %d more)", len(a.People)-maxKeys)
		}
		names = append(names, p.Name)
	}
	return " (" + strings.Join(names, ", ") + ")"
}
