package report

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Plan is a plan as text for a terminal: what would be lost first, then one line per
// resource, then the attributes, then outputs, drift, warnings and the counts.
func Plan(p stackjob.Plan, s Style) string {
	v := Arrange(p)
	w := &planText{style: s}
	w.danger(v)
	w.rows(v)
	w.attributes(v)
	w.outputs(v)
	w.drift(v)
	for _, text := range v.Warnings {
		w.line(s.paint(yellow, "Warning: "+text))
	}
	if len(v.Warnings) > 0 {
		w.line("")
	}
	w.line(s.paint(bold, v.Summary))
	foot := "plan " + v.Digest
	if v.Engine != "" {
		foot += ", " + v.Engine
	}
	w.line(s.paint(dim, foot))
	return w.b.String()
}

// planText writes the parts of a plan. Each part that is not empty ends with an empty
// line.
type planText struct {
	style Style
	b     strings.Builder
}

func (w *planText) line(text string) {
	w.b.WriteString(strings.TrimRight(text, " "))
	w.b.WriteByte('\n')
}

func (w *planText) danger(v View) {
	if len(v.Danger) == 0 {
		return
	}
	w.line(w.style.paint(danger, fmt.Sprintf("This plan destroys or replaces %s:", Plural(len(v.Danger), "resource"))))
	for _, d := range v.Danger {
		text := "  " + Sign(d.Action) + " " + Word(d.Action) + " " + d.Address
		if d.HoldsData {
			text += " (MAY HOLD DATA)"
		}
		w.line(w.style.paint(red, text))
		for _, why := range d.Why {
			w.line("      because " + why)
		}
	}
	w.line("")
}

func (w *planText) rows(v View) {
	for _, r := range v.Changes {
		text := fmt.Sprintf("%s %-8s %s", Sign(r.Action), Word(r.Action), r.Address)
		if r.Previous != "" {
			text += " (moved from " + r.Previous + ")"
		}
		if r.Drifted {
			text += " (had changed outside)"
		}
		w.line(w.style.paint(color(r.Action), text))
	}
	if len(v.Changes) > 0 {
		w.line("")
	}
}

func (w *planText) attributes(v View) {
	for _, r := range v.Changes {
		if len(r.Attributes) == 0 {
			continue
		}
		w.line(w.style.paint(bold, r.Address))
		w.attributeLines(r.Attributes)
		w.line("")
	}
}

func (w *planText) outputs(v View) {
	if len(v.Outputs) == 0 {
		return
	}
	w.line(w.style.paint(bold, "Outputs"))
	w.attributeLines(v.Outputs)
	w.line("")
}

func (w *planText) drift(v View) {
	if len(v.Drift) == 0 {
		return
	}
	head := fmt.Sprintf("Changed outside since the last apply: %s", Plural(len(v.Drift), "resource"))
	if v.DriftUndone > 0 {
		head += fmt.Sprintf("; this plan changes %d of them again", v.DriftUndone)
	}
	w.line(w.style.paint(yellow, head))
	for _, r := range v.Drift {
		w.line(fmt.Sprintf("  %s %s", Sign(r.Action), r.Address))
		for _, a := range r.Attributes {
			w.attribute("      ", a, len(a.Path))
		}
	}
	w.line("")
}

// maxPath is how wide the column of paths may get.
const maxPath = 40

func (w *planText) attributeLines(list []AttributeView) {
	column := 0
	for _, a := range list {
		if n := Width(a.Path); n <= maxPath {
			column = max(column, n)
		}
	}
	for _, a := range list {
		w.attribute("    ", a, column)
	}
}

func (w *planText) attribute(indent string, a AttributeView, column int) {
	text := indent + Sign(a.Action) + " " + a.Path + strings.Repeat(" ", max(column-Width(a.Path), 0))
	forces := ""
	if a.Forces {
		forces = w.style.paint(red, "  (forces replacement)")
	}
	if len(a.Lines) > 0 {
		w.line(w.style.paint(color(a.Action), strings.TrimRight(text, " ")) + forces)
		for _, l := range a.Lines {
			w.line(w.style.paint(lineColor(l.Sign), strings.TrimRight(indent+"    "+l.Sign+" "+l.Text, " ")))
		}
		return
	}
	switch a.Action {
	case stackjob.Create:
		text += "  " + a.After
	case stackjob.Delete:
		text += "  " + a.Before + " → " + absentWord
	case stackjob.NoOp:
		text += "  " + a.After
	default:
		text += "  " + a.Before + " → " + a.After
	}
	w.line(w.style.paint(color(a.Action), text) + forces)
}

// Sign is the action as one character.
func Sign(a stackjob.ChangeAction) string {
	switch a {
	case stackjob.Create:
		return "+"
	case stackjob.Update:
		return "~"
	case stackjob.Delete:
		return "-"
	case stackjob.Replace:
		return "±"
	case stackjob.Import:
		return "↓"
	case stackjob.Forget:
		return "x"
	case stackjob.Read:
		return "?"
	case stackjob.NoOp:
		return "="
	}
	return "·"
}

// Word is the action in a word.
func Word(a stackjob.ChangeAction) string {
	switch a {
	case stackjob.Delete:
		return "destroy"
	case stackjob.NoOp:
		return "move"
	}
	return string(a)
}

func color(a stackjob.ChangeAction) tint {
	switch a {
	case stackjob.Create, stackjob.Import:
		return green
	case stackjob.Update:
		return yellow
	case stackjob.Delete, stackjob.Replace:
		return red
	case stackjob.Forget:
		return blue
	}
	return plain
}

func lineColor(sign string) tint {
	switch sign {
	case "+":
		return green
	case "-":
		return red
	}
	return dim
}

// Plural is a number of things: "1 line", "2 lines".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
