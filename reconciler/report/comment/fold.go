package comment

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const (
	// openLines is how many lines of differences all folds may have together to be open
	// from the start.
	openLines = 12
	// cutLines is how many lines of a long difference are kept when there is little
	// room.
	cutLines = 60
)

// fold is what can be opened below the table for one row. What is in it is written
// once; what of it stands in the body is chosen by how much room there is.
type fold struct {
	row *row
	// lines are the attribute differences.
	lines []string
	// whole, cut, raw and log are blocks that are ready; "" for none.
	whole, cut, raw, log string
	// tooLong tells that the raw plan alone is longer than a body.
	tooLong bool
	open    bool

	chosen
	// texts remembers what was written.
	texts map[chosen]string
}

// chosen is what of a fold stands in the body.
type chosen struct {
	form foldForm
	// hasRaw tells that the raw plan is in it.
	hasRaw bool
}

// foldForm is how much of a fold's differences is shown.
type foldForm int

// The forms of a fold.
const (
	foldWhole foldForm = iota
	foldCut            // long differences are cut
	foldBare           // no differences
	foldGone           // the table's link is all there is
)

// folds are made for the rows that change something, or failed with a log.
func (p arranged) folds(l Limits) []*fold {
	var out []*fold
	total, failed := 0, 0
	for i := range p.rows {
		r := &p.rows[i]
		log := report.Lines(r.Log)
		if !r.changes() && len(log) == 0 {
			continue
		}
		f := &fold{row: r, texts: map[chosen]string{}}
		if len(log) > 0 {
			f.log = fence("", lastLines(log, report.LogLines))
			failed++
		}
		if r.changes() {
			f.lines = r.differences()
			total += len(f.lines)
			f.blocks(l)
		}
		out = append(out, f)
	}
	for _, f := range out {
		f.open = p.State != Planning && total <= openLines && f.whole != "" || failed == 1 && f.log != ""
	}
	return out
}

// blocks writes the differences and the raw plan.
func (f *fold) blocks(l Limits) {
	if len(f.lines) > 0 {
		f.whole = fence("diff", f.lines)
		f.cut = f.whole
	}
	if more := len(f.lines) - cutLines; more > 0 {
		f.cut = fence("diff", append(append([]string{}, f.lines[:cutLines]...), fmt.Sprintf("# … %s", report.Plural(more, "more line"))))
	}
	if l.Bytes > 0 && len(f.row.Plan.Text) > l.Bytes {
		f.tooLong = true
		return
	}
	if raw := report.Lines(f.row.Plan.Text); len(raw) > 0 {
		f.raw, f.hasRaw = fence("", raw), true
	}
}

// lastLines keeps the end of a log.
func lastLines(lines []string, most int) []string {
	more := len(lines) - most
	if more <= 0 {
		return shortLines(lines)
	}
	return append([]string{fmt.Sprintf("… %s before", report.Plural(more, "line"))}, shortLines(lines[more:])...)
}

// maxLine is how many columns of a line of a log or a report are shown.
const maxLine = 200

func shortLines(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = report.Shorten(l, maxLine)
	}
	return out
}

// text is the fold as it stands in the body.
func (f *fold) text(l Limits) string {
	if f.form == foldGone {
		return ""
	}
	text, ok := f.texts[f.chosen]
	if !ok {
		text = f.write(l)
		f.texts[f.chosen] = text
	}
	return text
}

func (f *fold) write(l Limits) string {
	var b strings.Builder
	b.WriteString(foldHead(l, f.summary(l), f.open))
	why := proses(f.row.Because)
	for _, w := range proses(f.row.view.Warnings) {
		why = append(why, "engine's warning: "+w)
	}
	b.WriteString(bullets(why, full.list))
	if f.log != "" {
		b.WriteString(f.log + "\n")
	}
	switch {
	case f.form == foldWhole && f.whole != "":
		b.WriteString(f.whole + "\n")
	case f.form == foldCut && f.cut != "":
		b.WriteString(f.cut + "\n")
	case f.form == foldBare && f.whole != "":
		b.WriteString("The differences are left out here" + f.row.seeJob() + ".\n\n")
	}
	switch {
	case f.hasRaw:
		b.WriteString(foldHead(l, "Raw plan", false) + f.raw + "\n" + foldEnd(l))
	case f.form != foldBare && (f.raw != "" || f.tooLong):
		b.WriteString("The raw plan is left out here" + f.row.seeJob() + ".\n\n")
	}
	b.WriteString(foldEnd(l))
	return b.String()
}

// seeJob says where all of a row's plan can be seen; "" when nobody knows.
func (r row) seeJob() string {
	if text := link("see the job", r.Link); strings.HasPrefix(text, "[") {
		return "; " + text
	}
	if r.Job == "" {
		return ""
	}
	return "; in a terminal, " + code("reeve logs "+r.Job) + " prints the raw plan"
}

// summary is the line that is seen while the fold is closed.
func (f *fold) summary(l Limits) string {
	parts := []string{f.row.Key.String()}
	if f.row.Plan != nil {
		parts = append(parts, f.row.countsText())
		if d := f.row.Plan.ShortDigest(); d != "" {
			parts = append(parts, "plan "+d)
		}
	}
	for i, part := range parts {
		switch {
		case !l.Folds:
			parts[i] = code(part)
		case i == 0:
			parts[i] = "<b>" + tagged(part) + "</b>"
		default:
			parts[i] = tagged(part)
		}
	}
	return strings.Join(parts, " ")
}

// countsText is "+1 ~2 -3 ±4", or what else changes: "1 output".
func (r row) countsText() string {
	if r.Plan == nil {
		return stackjob.Counts{}.String()
	}
	if also := r.also(); also != "" && !r.Plan.Counts.Changes() {
		return also
	}
	return r.Plan.Brief()
}

// foldHead opens a fold; the summary must be safe where Markdown is not read, or, on
// forges without folds, where it is.
func foldHead(l Limits, summary string, open bool) string {
	switch {
	case !l.Folds:
		return "**" + strings.TrimSpace(summary) + "**\n\n"
	case open:
		return "<details open>\n<summary>" + summary + "</summary>\n\n"
	}
	return "<details>\n<summary>" + summary + "</summary>\n\n"
}

func foldEnd(l Limits) string {
	if !l.Folds {
		return ""
	}
	return "</details>\n\n"
}

// differences are the lines of a diff block: a head per resource, then what changes in
// it. A resource that is destroyed has only its head: the raw plan lists what it was.
func (r row) differences() []string {
	var out []string
	left := map[string]bool{} // drift that no change is about
	for _, d := range r.view.Drift {
		left[d.Address] = true
	}
	for _, c := range r.view.Changes {
		delete(left, c.Address)
		head := report.Word(c.Action) + " " + report.Shorten(c.Address, maxCode)
		switch {
		case c.DriftOnly:
			head += " (drift, not from this pull request)"
		case c.Drifted && c.Action == stackjob.Create:
			head += " (it was destroyed outside)"
		case c.Action == stackjob.NoOp && c.Previous != "":
			head += " from " + report.Shorten(c.Previous, maxCode)
		case c.Previous != "":
			head += " (moved from " + report.Shorten(c.Previous, maxCode) + ")"
		}
		out = append(out, "@@ "+head+" @@")
		if c.Action != stackjob.Delete {
			out = append(out, attributes(c.Attributes, c.DriftOnly)...)
		}
	}
	if len(r.view.Outputs) > 0 {
		out = append(append(out, "@@ outputs @@"), attributes(r.view.Outputs, false)...)
	}
	for _, d := range r.view.Drift {
		if left[d.Address] {
			out = append(out, "@@ "+word(outside, d.Action)+" "+report.Shorten(d.Address, maxCode)+" (drift; this plan leaves it so) @@")
			out = append(out, attributes(d.Attributes, true)...)
		}
	}
	return out
}

// outside are the words for what was done without us.
var outside = map[stackjob.ChangeAction]string{stackjob.Delete: "destroyed outside", stackjob.Create: "made outside"}

func word(words map[stackjob.ChangeAction]string, a stackjob.ChangeAction) string {
	if w, ok := words[a]; ok {
		return w
	}
	return "changed outside"
}

// attributes are the lines of changed attributes. Where all of them are drift, the
// head has said so.
func attributes(list []report.AttributeView, allDrift bool) []string {
	var out []string
	for _, a := range list {
		path := report.Shorten(a.Path, maxPath) + ": "
		note := ""
		switch {
		case a.Forces:
			note = "  # forces replacement"
		case a.Undoes && !allDrift:
			note = "  # puts drift back"
		}
		switch {
		case len(a.Lines) > 0:
			out = append(out, "! "+strings.TrimSuffix(path, " ")+note)
			for _, l := range a.Lines {
				sign := l.Sign
				if sign == "…" {
					sign = "#"
				}
				out = append(out, strings.TrimRight(sign+"   "+l.Text, " "))
			}
		case a.Action == stackjob.NoOp:
		case a.Action == stackjob.Create:
			out = append(out, "+ "+path+a.After+note)
		case a.Action == stackjob.Delete:
			out = append(out, "- "+path+a.Before+note)
		case a.Before == a.After:
			out = append(out, "! "+path+a.After+note)
		default:
			out = append(out, "- "+path+a.Before, "+ "+path+a.After+note)
		}
	}
	return out
}

// maxPath is how many columns of an attribute's path are shown.
const maxPath = 80
