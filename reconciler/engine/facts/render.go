package facts

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

// Render writes a plan for people: what the engine would show, from the facts, so
// that it costs no process and all engines are read alike. Sensitive values are not in
// the facts. reasons are an engine's own reasons (ResourceChange.Why) in words, "" for
// one that is not worth a word; an unknown one is shown as it is.
func Render(p stackjob.Plan, reasons map[string]string) string {
	var b strings.Builder
	if len(p.Drift) > 0 {
		b.WriteString("Changed outside since the last apply:\n\n")
		for _, r := range p.Drift {
			renderResource(&b, r, "has changed", reasons)
		}
	}
	if !p.HasChanges {
		b.WriteString("No changes. The resources are as the configuration says.\n")
		return b.String()
	}
	for _, r := range p.Resources {
		renderResource(&b, r, sentences[r.Action], reasons)
	}
	if len(p.Outputs) > 0 {
		b.WriteString("Outputs:\n")
		for _, o := range p.Outputs {
			fmt.Fprintf(&b, "  %s %s = %s\n", symbols[o.Action], o.Name, renderValue(o.AttributeChange))
		}
		b.WriteString("\n")
	}
	b.WriteString(renderCounts(p))
	return b.String()
}

func renderResource(b *strings.Builder, r stackjob.ResourceChange, sentence string, reasons map[string]string) {
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
			return Masked + " -> (known after apply)"
		}
		return Masked
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

func renderCounts(p stackjob.Plan) string {
	c := p.Counts
	s := fmt.Sprintf("Plan: %d to create, %d to update, %d to replace, %d to destroy", c.Create, c.Update, c.Replace, c.Delete)
	for _, n := range []struct {
		count int
		what  string
	}{{c.Import, "to import"}, {c.Move, "to move in the state"}, {c.Forget, "to forget"}} {
		if n.count > 0 {
			s += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	if !c.Changes() { // there is something to do all the same
		s += "; " + p.Brief()
	}
	return s + ".\n"
}
