package terraform

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

var symbols = map[stackjob.ChangeAction]string{
	stackjob.Create: "+", stackjob.Update: "~", stackjob.Delete: "-", stackjob.Replace: "±",
	stackjob.Read: "<=", stackjob.Forget: ".", stackjob.Import: "&", stackjob.NoOp: " ",
}

var sentences = map[stackjob.ChangeAction]string{
	stackjob.Create: "will be created", stackjob.Update: "will be updated in place", stackjob.Delete: "will be destroyed",
	stackjob.Replace: "must be replaced", stackjob.Read: "will be read during apply",
	stackjob.Forget: "will be removed from the state and not destroyed", stackjob.Import: "will be imported",
	stackjob.NoOp: "is unchanged",
}

// reasons are the engines' reasons in words; an unknown one is shown as it is.
var reasons = map[string]string{
	"replace_because_tainted":           "it is tainted",
	"replace_because_cannot_update":     "",
	"replace_by_request":                "on request",
	"replace_by_triggers":               "by replace_triggered_by",
	"delete_because_no_resource_config": "it is not in the configuration",
	"delete_because_no_module":          "its module is not in the configuration",
	"delete_because_wrong_repetition":   "its resource now uses another of count and for_each",
	"delete_because_count_index":        "its index is out of range for count",
	"delete_because_each_key":           "its key is not in for_each",
	"delete_because_no_move_target":     "it was moved to an address that is not in the configuration",
	"read_because_config_unknown":       "its configuration is known only after apply",
	"read_because_dependency_pending":   "it depends on a resource with changes pending",
	"read_because_check_nested":         "a check needs it",
}

// render writes a plan for people: what the engine would show, from the facts, so
// that it costs no process. Sensitive values are not in the facts.
func render(p stackjob.Plan) string {
	var b strings.Builder
	if len(p.Drift) > 0 {
		b.WriteString("Changed outside since the last apply:\n\n")
		for _, r := range p.Drift {
			renderResource(&b, r, "has changed")
		}
	}
	if !p.HasChanges {
		b.WriteString("No changes. The resources are as the configuration says.\n")
		return b.String()
	}
	for _, r := range p.Resources {
		renderResource(&b, r, sentences[r.Action])
	}
	if len(p.Outputs) > 0 {
		b.WriteString("Outputs:\n")
		for _, o := range p.Outputs {
			fmt.Fprintf(&b, "  %s %s = %s\n", symbols[o.Action], o.Name, renderValue(o.AttributeChange))
		}
		b.WriteString("\n")
	}
	b.WriteString(renderCounts(p.Counts))
	return b.String()
}

func renderResource(b *strings.Builder, r stackjob.ResourceChange, sentence string) {
	fmt.Fprintf(b, "  # %s %s", r.Address, sentence)
	if why, known := reasons[r.Why]; r.Why != "" && (!known || why != "") {
		if !known {
			why = r.Why
		}
		fmt.Fprintf(b, " (%s)", why)
	}
	if r.Previous != "" {
		fmt.Fprintf(b, " (moved from %s)", r.Previous)
	}
	fmt.Fprintf(b, "\n  %s %s\n", symbols[r.Action], r.Address)
	widest := 0
	for _, a := range r.Attributes {
		widest = max(widest, len([]rune(a.Path)))
	}
	for _, a := range r.Attributes {
		symbol := symbols[stackjob.Update]
		switch {
		case a.Before == nil:
			symbol = symbols[stackjob.Create]
		case a.After == nil && !a.Unknown:
			symbol = symbols[stackjob.Delete]
		}
		fmt.Fprintf(b, "      %s %s%s = %s", symbol, a.Path, strings.Repeat(" ", widest-len([]rune(a.Path))), renderValue(a))
		if a.Forces {
			b.WriteString(" # forces replacement")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func renderValue(a stackjob.AttributeChange) string {
	if a.Sensitive {
		if a.Unknown {
			return masked + " -> (known after apply)"
		}
		return masked
	}
	after := string(a.After)
	switch {
	case a.Unknown:
		after = "(known after apply)"
	case a.After == nil:
		after = "null"
	}
	if a.Before == nil {
		return after
	}
	return string(a.Before) + " -> " + after
}

func renderCounts(c stackjob.Counts) string {
	s := fmt.Sprintf("Plan: %d to create, %d to update, %d to replace, %d to destroy", c.Create, c.Update, c.Replace, c.Delete)
	for _, n := range []struct {
		count int
		what  string
	}{{c.Import, "to import"}, {c.Move, "to move in the state"}, {c.Forget, "to forget"}} {
		if n.count > 0 {
			s += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	return s + ".\n"
}
