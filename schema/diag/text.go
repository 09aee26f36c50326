package diag

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// TextOptions say how Text writes.
type TextOptions struct {
	// Color adds ANSI colours.
	Color bool
	// Width is how many columns a source line may take; 0 means 120. A longer line is
	// shortened around the caret.
	Width int
}

const (
	defaultWidth = 120
	tabWidth     = 4
	ellipsis     = "…"
)

// Text renders a list for people, one paragraph for each diagnostic, in the order of
// the list. Control characters of the source, and with them any escape sequence, are
// shown as pictures, so that a file cannot write to the terminal.
func Text(l List, o TextOptions) string {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	w := &textWriter{o: o}
	for i, d := range l {
		if i > 0 {
			w.b.WriteByte('\n')
		}
		w.diagnostic(d)
	}
	return w.b.String()
}

// Count says how many there are: "2 errors, 1 warning"; "no findings" for none.
func Count(l List) string {
	n := map[Severity]int{}
	for _, d := range l {
		n[d.Severity]++
	}
	var parts []string
	for _, s := range []Severity{Error, Warning, Note} {
		switch {
		case n[s] == 1:
			parts = append(parts, "1 "+s.String())
		case n[s] > 1:
			parts = append(parts, strconv.Itoa(n[s])+" "+s.String()+"s")
		}
	}
	if len(parts) == 0 {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

// condition measures text the same way whatever the locale of the machine.
var condition = &runewidth.Condition{StrictEmojiNeutral: true}

type textWriter struct {
	o TextOptions
	b strings.Builder
}

const (
	bold   = "1"
	red    = "1;31"
	yellow = "1;33"
	blue   = "1;34"
	dim    = "2"
)

func (w *textWriter) paint(color, s string) string {
	if !w.o.Color || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func severityColor(s Severity) string {
	return [...]string{red, yellow, blue}[min(max(int(s), 0), 2)]
}

func (w *textWriter) diagnostic(d Diagnostic) {
	color := severityColor(d.Severity)
	fmt.Fprintf(&w.b, "%s %s %s", w.paint(bold, visible(d.Pos.String())+":"), w.paint(color, d.Severity.String()+":"), w.paint(bold, d.Summary()))
	if d.Detail != "" {
		w.b.WriteString(": " + visible(d.Detail))
	}
	w.b.WriteString(" " + w.paint(dim, "["+string(d.Code)+"]") + "\n")
	if d.Line != "" && d.Pos.Line > 0 {
		w.source(d, color)
	}
	switch {
	case d.Found != "" && d.Expected != "":
		w.b.WriteString("  found " + visible(d.Found) + ", expected " + visible(d.Expected) + "\n")
	case d.Found != "":
		w.b.WriteString("  found " + visible(d.Found) + "\n")
	case d.Expected != "":
		w.b.WriteString("  expected " + visible(d.Expected) + "\n")
	}
	if d.Hint != "" {
		w.b.WriteString("  " + w.paint(blue, "hint:") + " " + visible(d.Hint) + "\n")
	}
	for _, r := range d.Related {
		w.b.WriteString("  " + visible(r.Pos.String()) + ": " + visible(r.Message) + "\n")
	}
}

// source shows the line and, below, the caret. Columns of the terminal are not
// characters: a tab takes several, 漢 takes two, a combining accent none.
func (w *textWriter) source(d Diagnostic, color string) {
	runes := []rune(d.Line)
	from := min(max(d.Pos.Column-1, 0), len(runes))
	to := min(from+max(d.Width, 1), len(runes))
	before, marked, after := spread(string(runes[:from]), 0), "", ""
	col := condition.StringWidth(before)
	marked = spread(string(runes[from:to]), col)
	after = spread(string(runes[to:]), col+condition.StringWidth(marked))
	before, marked, after = shorten(before, marked, after, w.o.Width)
	number := strconv.Itoa(d.Pos.Line)
	margin := strings.Repeat(" ", max(0, 4-len(number)))
	line := strings.TrimRight(before+marked+after, " ")
	fmt.Fprintf(&w.b, "%s | %s\n", w.paint(dim, margin+number), line)
	if d.Pos.Column == 0 {
		return
	}
	caret := strings.Repeat("^", max(1, condition.StringWidth(marked)))
	fmt.Fprintf(&w.b, "%s | %s%s\n", strings.Repeat(" ", len(margin)+len(number)), strings.Repeat(" ", condition.StringWidth(before)), w.paint(color, caret))
}

// spread replaces tabs by spaces up to the next stop and makes everything visible.
func spread(s string, col int) string {
	if strings.IndexFunc(s, isHidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r == '\t' {
			n := tabWidth - (col+condition.StringWidth(b.String()))%tabWidth
			b.WriteString(strings.Repeat(" ", n))
			continue
		}
		b.WriteString(picture(r))
	}
	return b.String()
}

// shorten cuts what does not fit, keeping the marked text and what stands around it.
func shorten(before, marked, after string, width int) (string, string, string) {
	if condition.StringWidth(before)+condition.StringWidth(marked)+condition.StringWidth(after) <= width {
		return before, marked, after
	}
	if condition.StringWidth(marked) > width*2/3 {
		marked = condition.Truncate(marked, width*2/3, ellipsis)
		after = ""
	}
	free := max(0, width-condition.StringWidth(marked))
	left := min(condition.StringWidth(before), max(free/2, free-condition.StringWidth(after)))
	if w := condition.StringWidth(before); w > left {
		before = ellipsis + condition.TruncateLeft(before, w-max(0, left-1), "")
	}
	if right := free - condition.StringWidth(before); condition.StringWidth(after) > right {
		after = condition.Truncate(after, max(1, right), ellipsis)
	}
	return before, marked, after
}

// isHidden tells whether a character would do something other than show itself.
func isHidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

// picture is a character that shows what r is, where r itself would act.
func picture(r rune) string {
	switch {
	case !isHidden(r):
		return string(r)
	case r < 0x20:
		return string(rune(0x2400) + r)
	case r == 0x7f:
		return "\u2421"
	}
	return fmt.Sprintf("<U+%04X>", r)
}

// visible makes every character of a text show itself. Line ends become pictures too:
// all texts are single lines.
func visible(s string) string {
	if strings.IndexFunc(s, isHidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteString(picture(r))
	}
	return b.String()
}
