// Package report renders for people what the daemon knows: plans, jobs and
// explanations.
//
// It has two halves. [View] and [Table] arrange values without saying how they look:
// what a reader must see first stands first, secrets are already gone, values are
// already shortened. Plan and String then write them as text for a terminal. Another
// rendering (Markdown for a pull request) starts from the same arrangement.
//
// Everything that comes from outside (names, addresses, values, what an engine says)
// passes through [Clean]: it cannot move the cursor, change colours, break a line or
// turn text around. Sensitive values are never shown, not even as hashes.
//
// The text is stable: equal values give equal text. Only Jobs takes a clock, to tell
// ages.
package report

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Style says how text looks. The zero Style is plain text.
type Style struct {
	// Color allows ANSI colours.
	Color bool
}

// tint is a meaning that a colour can carry; the text never depends on it alone.
type tint string

const (
	plain  tint = ""
	bold   tint = "1"
	dim    tint = "2"
	danger tint = "1;31"
	red    tint = "31"
	green  tint = "32"
	yellow tint = "33"
	blue   tint = "36"
)

func (s Style) paint(t tint, text string) string {
	if !s.Color || t == plain || text == "" {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// width counts columns as terminals do. It does not ask the environment which
// language the reader speaks, or else the same table would differ from host to host.
var width = &runewidth.Condition{}

// Width is how many terminal columns a cleaned text takes.
func Width(s string) int {
	if isClean(s) { // printable ASCII takes a column each; this is nearly all there is
		return len(s)
	}
	return width.StringWidth(s)
}

// Clean makes text from outside safe to print on one line: everything that is not a
// printable character (control characters, escape sequences, line ends, characters that
// turn or hide text, invalid UTF-8) is written as an escape that can be seen. A
// backslash stays as it is, so the result is for reading, not for decoding.
func Clean(s string) string {
	if isClean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	marks, before := 0, rune(0)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteString(`\x` + hex(rune(s[i]), 2))
			i++
			continue
		}
		i += n
		shows := unicode.IsPrint(r) && !isInvisible(r, before)
		before = 0
		if shows {
			before = r
		}
		if marks = countMarks(marks, r); shows && marks <= maxMarks {
			b.WriteRune(r)
			continue
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			b.WriteString(`\x` + hex(r, 2))
		case r <= 0xffff:
			b.WriteString(`\u` + hex(r, 4))
		default:
			b.WriteString(`\U` + hex(r, 8))
		}
	}
	return b.String()
}

// isInvisible tells of characters that count as printable and show nothing: with them two
// names look alike that are not. The mark that makes a sign an emoji is one, but behind a
// sign.
func isInvisible(r, before rune) bool {
	if r == emojiMark && unicode.Is(unicode.So, before) {
		return false
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == brailleBlank
}

const (
	emojiMark    = '\uFE0F'
	brailleBlank = '\u2800'
)

// maxMarks is how many combining marks may stand on one character: more of them run
// into the lines above and below.
const maxMarks = 4

func countMarks(marks int, r rune) int {
	if unicode.Is(unicode.M, r) {
		return marks + 1
	}
	return 0
}

// isClean tells whether Clean has nothing to do, which is nearly always so.
func isClean(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func hex(r rune, digits int) string {
	const alphabet = "0123456789abcdef"
	out := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		out[i] = alphabet[r&15]
		r >>= 4
	}
	return string(out)
}

// ansi are the sequences by which programs colour what they print: control sequences,
// operating system commands up to their end, and the short escapes.
var ansi = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-Z\\\\^-~])")

// tabWidth is how far apart a tab's stops are.
const tabWidth = 4

// LogLines is how many lines of the log of what failed are shown, from its end.
const LogLines = 40

// Lines are the lines of what a program printed, each cleaned. Colours are taken out
// rather than shown, tabs become spaces, and spaces at the end of a line and empty
// lines at the end are left out.
func Lines(s string) []string {
	if strings.ContainsRune(s, '\x1b') {
		s = ansi.ReplaceAllString(s, "")
	}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		out = append(out, strings.TrimRight(Clean(expandTabs(strings.TrimSuffix(line, "\r"))), " "))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func expandTabs(s string) string {
	if !strings.ContainsRune(s, '\t') {
		return s
	}
	var b strings.Builder
	column := 0
	for i, part := range strings.Split(s, "\t") {
		if i > 0 {
			gap := tabWidth - column%tabWidth
			b.WriteString(strings.Repeat(" ", gap))
			column += gap
		}
		b.WriteString(part)
		column += Width(part)
	}
	return b.String()
}

// Shorten cuts a cleaned text to at most columns, with an ellipsis.
func Shorten(s string, columns int) string {
	if len(s) <= columns || Width(s) <= columns { // nothing is wider than it is long
		return s
	}
	return width.Truncate(s, columns, "…")
}
