package comment

import (
	"bytes"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Difference says what moved between the plan that stood there and the one that was
// made after the merge. It is Markdown of a few paragraphs, within the limit, that
// stands by itself or in a comment.
func Difference(key schema.ResourceKey, before, after stackjob.Plan, l Limits) string {
	b, a := report.Arrange(before), report.Arrange(after)
	var out strings.Builder
	out.WriteString("**What moved in " + code(key.String()) + "** between the plan that stood here, " + planText(b) + ", and the new one, " + planText(a) + "\n\n")
	if n := newLosses(b, a); n != (losses{}) {
		out.WriteString("> [!CAUTION]\n> **The new plan does what that one did not: it " + n.text(present) + ".**\n\n")
	}
	least := out.String()
	lines := moves(b, a, sensitiveMoves(before, after))
	switch {
	case len(lines) == 0 && before.Digest == after.Digest:
		out.WriteString("Both plans do the same.\n")
	case len(lines) == 0:
		out.WriteString("Both plans make the same changes as far as they can be shown; what differs is hidden because it is sensitive, or is of the engine.\n")
	default:
		out.WriteString(fitFence(lines, l.Bytes-out.Len()))
	}
	if text := out.String(); l.Bytes <= 0 || len(text) <= l.Bytes {
		return text
	}
	return cutBody(least, l.Bytes)
}

// planText is "`1a2b3c4d5e6f` (`+1 ~0 -0 ±0`)".
func planText(v report.View) string {
	if v.Digest == "" {
		return "(" + v.Summary + ")"
	}
	return code(v.Digest) + " (" + strings.TrimSuffix(strings.TrimPrefix(v.Summary, "Plan: "), ".") + ")"
}

// fitFence is a diff block of as many lines as there is room for; room of 0 or less
// before any line is no limit.
func fitFence(lines []string, room int) string {
	text := fence("diff", lines)
	for n := len(lines); room > 0 && len(text) > room && n > 0; {
		n /= 2
		text = fence("diff", append(lines[:n:n], "# … "+report.Plural(len(lines)-n, "more line")))
	}
	return text
}

// newLosses count what only the new plan destroys or replaces; a replacement that
// became a destruction is one of them.
func newLosses(before, after report.View) (n losses) {
	for _, d := range after.Danger {
		if !slices.ContainsFunc(before.Danger, func(o report.Danger) bool { return o.Address == d.Address && o.Action == d.Action }) {
			n.add(lost{Danger: d})
		}
	}
	return n
}

// moves are the lines of a diff between two plans: what only one of them changes, what
// both change in another way.
func moves(before, after report.View, sensitive map[string][]string) []string {
	old := map[string]report.ResourceView{}
	for _, r := range before.Changes {
		old[r.Address] = r
	}
	var out []string
	for _, r := range after.Changes {
		o, both := old[r.Address]
		delete(old, r.Address)
		address := report.Shorten(r.Address, maxCode)
		if !both {
			out = append(out, "+ "+report.Word(r.Action)+" "+address)
			continue
		}
		lines := attributeMoves(o.Attributes, r.Attributes)
		for _, path := range sensitive[r.Address] {
			lines = append(lines, "!   "+report.Shorten(path, maxPath)+": (sensitive), with another value")
		}
		switch {
		case o.Action != r.Action:
			out = append(out, "! "+address+": "+report.Word(o.Action)+" became "+report.Word(r.Action))
		case len(lines) > 0:
			out = append(out, "! "+report.Word(r.Action)+" "+address)
		}
		out = append(out, lines...)
	}
	for _, r := range before.Changes {
		if _, gone := old[r.Address]; gone {
			out = append(out, "- "+report.Word(r.Action)+" "+report.Shorten(r.Address, maxCode))
		}
	}
	lines := attributeMoves(before.Outputs, after.Outputs)
	for _, name := range sensitive[""] {
		lines = append(lines, "!   "+report.Shorten(name, maxPath)+": (sensitive), with another value")
	}
	if len(lines) > 0 {
		out = append(append(out, "! outputs"), lines...)
	}
	return out
}

// sensitiveMoves names the attributes by address, and outputs under "", that are
// sensitive in both plans and get another value: their hashes differ, which a view does
// not tell.
func sensitiveMoves(before, after stackjob.Plan) map[string][]string {
	type place struct{ address, path string }
	values := func(p stackjob.Plan, each func(place, stackjob.AttributeChange)) {
		for _, r := range p.Resources {
			for _, a := range r.Attributes {
				each(place{report.Clean(r.Address), report.Clean(a.Path)}, a)
			}
		}
		for _, o := range p.Outputs {
			each(place{"", report.Clean(o.Name)}, o.AttributeChange)
		}
	}
	old := map[place]stackjob.AttributeChange{}
	values(before, func(at place, a stackjob.AttributeChange) { old[at] = a })
	out := map[string][]string{}
	values(after, func(at place, a stackjob.AttributeChange) {
		was, both := old[at]
		if both && a.Sensitive && was.Sensitive && !a.Unknown && !was.Unknown && !bytes.Equal(a.After, was.After) && len(a.After) > 0 && len(was.After) > 0 {
			out[at.address] = append(out[at.address], at.path)
		}
	})
	return out
}

func attributeMoves(before, after []report.AttributeView) []string {
	old := map[string]string{}
	for _, a := range before {
		old[a.Path] = attributeText(a)
	}
	var out []string
	for _, a := range after {
		text := attributeText(a)
		was, both := old[a.Path]
		delete(old, a.Path)
		if both && was == text {
			continue
		}
		if both {
			out = append(out, "-   "+was)
		}
		out = append(out, "+   "+text)
	}
	for _, a := range before {
		if was, gone := old[a.Path]; gone {
			out = append(out, "-   "+was)
		}
	}
	return out
}

// attributeText is one changed attribute in one line.
func attributeText(a report.AttributeView) string {
	path := report.Shorten(a.Path, maxPath) + ": "
	note := ""
	if a.Forces {
		note = "  # forces replacement"
	}
	switch {
	case len(a.Lines) > 0:
		var parts []string
		for _, l := range a.Lines {
			if l.Sign == "+" || l.Sign == "-" {
				parts = append(parts, l.Sign+l.Text)
			}
		}
		return path + report.Shorten(strings.Join(parts, " ⏎ "), maxLine) + note
	case a.Action == stackjob.Create:
		return path + a.After + note
	case a.Action == stackjob.Delete:
		return path + a.Before + " → (none)" + note
	}
	return path + a.Before + " → " + a.After + note
}
