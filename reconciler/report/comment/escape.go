package comment

import (
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/stackreeve/stackreeve/reconciler/report"
)

// Text from outside stands in one of four places, and each has its own way out that
// must be shut:
//
//	code     a code span: forges look for nothing in it
//	prose    running text: words that could mean something to a forge become code spans
//	fence    a block of lines
//	tagged   <code> inside a <summary>, where Markdown is not read
//
// None of them can hold a line end, and no line of ours begins with what they hold, so
// that nothing in them is a quick action ("/approve"), a heading or a list.

// The columns that are shown of what comes from outside.
const (
	maxCode  = 160
	maxProse = 300
)

// code is a code span. A pipe is written as an escape, since tables end a cell at a
// pipe even there, and forges do not agree on what a backslash before it does.
func code(s string) string { return codeSpan(report.Shorten(report.Clean(s), maxCode)) }

// codeSpan is a code span of text that is clean.
func codeSpan(s string) string {
	if strings.Trim(s, " ") == "" {
		return "(empty)"
	}
	s = strings.ReplaceAll(s, "|", `\x7c`)
	ticks := strings.Repeat("`", longestRun(s, '`')+1)
	if len(ticks) > maxTicks {
		s, ticks = strings.ReplaceAll(s, "`", `\x60`), "`"
	}
	if s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ' {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// maxTicks is the longest run of back-ticks that a code span is made with: three of them
// at the beginning of a line look like a fence to those who do not parse.
const maxTicks = 2

// longestRun is the length of the longest run of a byte.
func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// prose is running text from outside. A word of letters and digits stays as it is;
// every other word, which could be a mention, a reference, a link, an emoji or
// formatting on one of the forges, becomes a code span. What stands between two back-ticks is one.
func prose(s string) string {
	var out []string
	for _, w := range proseWords(report.Shorten(report.Clean(s), maxProse)) {
		before, quoted, ok := cutQuoted(w)
		if !ok {
			out = append(out, proseWord(strings.ReplaceAll(w, "`", "'")))
			continue
		}
		after := w[len(before)+len(quoted)+2:]
		if strings.TrimLeft(after, quietAfter) != "" || strings.TrimLeft(before, quietBefore) != "" { // it is glued to something
			out = append(out, codeSpan(strings.ReplaceAll(w, "`", "'")))
			continue
		}
		out = append(out, before+codeSpan(quoted)+after)
	}
	return strings.Join(out, " ")
}

// proseWords are the words of a text; spaces between two back-ticks part none.
func proseWords(s string) []string {
	var out []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		end := strings.IndexByte(s, ' ')
		if end < 0 {
			end = len(s)
		}
		if before, quoted, ok := cutQuoted(s); ok && len(before) < end {
			end = len(before) + len(quoted) + 2
			if rest := strings.IndexByte(s[end:], ' '); rest >= 0 {
				end += rest
			} else {
				end = len(s)
			}
		}
		out, s = append(out, s[:end]), s[end:]
	}
	return out
}

// cutQuoted finds the first text between two back-ticks, and what stands before it.
func cutQuoted(s string) (before, quoted string, ok bool) {
	before, after, _ := strings.Cut(s, "`")
	quoted, _, ok = strings.Cut(after, "`")
	return before, quoted, ok && quoted != ""
}

// proses are lines of running text, without those that say nothing.
func proses(list []string) []string {
	var out []string
	for _, s := range list {
		if text := prose(s); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// The quiet characters that may stand around a plain word.
const (
	quietBefore = `("'“‘`
	quietAfter  = `.,;:?!)"'”’…`
)

// signs are words without a letter that mean nothing to a forge.
var signs = map[string]bool{"→": true, "–": true, "—": true, "·": true, "…": true, "±": true, "×": true}

var (
	// number is "12", "1.11.4", "30s", "50%", "1/2".
	number = regexp.MustCompile(`^\d{1,6}(?:\.\d{1,6})*(?:[a-zµ]{1,2}|%|/\d{1,6})?$`)
	// commitLike are words that forges link when there is such a commit.
	commitLike = regexp.MustCompile(`\b[0-9a-fA-F]{7,}\b`)
	// listLike would begin a list at the start of a line.
	listLike = regexp.MustCompile(`^\d+[.)]+$`)
)

func proseWord(w string) string {
	core := strings.TrimLeft(w, quietBefore)
	before := w[:len(w)-len(core)]
	core = strings.TrimRight(core, quietAfter)
	after := w[len(before)+len(core):]
	if strings.HasPrefix(after, ")") && strings.Count(core, "(") > strings.Count(core, ")") { // "call(x)"
		core, after = core+")", after[1:]
	}
	switch {
	case signs[w]:
		return w
	case core == "" || listLike.MatchString(w):
		return codeSpan(w)
	case number.MatchString(core) || isPlainWord(core):
		return before + core + after
	}
	return before + codeSpan(core) + after
}

// isPlainWord tells a word of letters, with hyphens and apostrophes inside; digits may
// be in it when it has no hyphen ("GH-1" is a reference).
func isPlainWord(w string) bool {
	hyphens, digits := false, false
	for i, r := range w {
		switch {
		case unicode.IsLetter(r), unicode.IsMark(r):
		case unicode.IsDigit(r) && r < unicode.MaxASCII:
			digits = true
		case r == '-' && i > 0 && w[len(w)-1] != '-':
			hyphens = true
		case (r == '\'' || r == '’' || r == '(' || r == ')') && i > 0: // "don't", "resource(s)"
		default:
			return false
		}
	}
	return (!hyphens || !digits) && !commitLike.MatchString(w)
}

// tagged is code where Markdown is not read, in a <summary>.
func tagged(s string) string {
	return "<code>" + html.EscapeString(report.Shorten(report.Clean(s), maxCode)) + "</code>"
}

// fence is a block of lines, which must be clean. Its fence is longer than any run of
// back-ticks in it. A slash at the beginning of a line gets a backslash: older GitLabs
// and bots look for commands without parsing, and run them out of a block.
func fence(language string, lines []string) string {
	ticks, size := 2, 0
	for _, l := range lines {
		ticks = max(ticks, longestRun(l, '`'))
		size += len(l) + 1
	}
	edge := strings.Repeat("`", ticks+1)
	var b strings.Builder
	b.Grow(size + 2*len(edge) + len(language) + 2)
	b.WriteString(edge + language + "\n")
	for _, l := range lines {
		l = strings.TrimRight(l, " ")
		rest := strings.TrimLeft(l, " ")
		b.WriteString(l[:len(l)-len(rest)])
		if strings.HasPrefix(rest, "/") {
			b.WriteByte('\\')
		}
		b.WriteString(rest)
		b.WriteByte('\n')
	}
	b.WriteString(edge + "\n")
	return b.String()
}

// link is a link with our own words; the words alone when the address is none of a
// page.
func link(words, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(address) > maxAddress {
		return words
	}
	var b strings.Builder
	for i := range len(address) {
		switch c := address[i]; {
		case c == '&':
			b.WriteString("&amp;")
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"'<>()[]{}|\\^`", c) >= 0:
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		default:
			b.WriteByte(c)
		}
	}
	return "[" + words + "](" + b.String() + ")"
}

// maxAddress is the longest address that is linked, in bytes.
const maxAddress = 1000

// mark is the hidden line by which a comment is found again.
func mark(m string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("./-_", r) {
			return r
		}
		return -1
	}, m)
	for strings.Contains(clean, "--") {
		clean = strings.ReplaceAll(clean, "--", "-")
	}
	return "<!-- reeve:" + clean[:min(len(clean), maxMark)] + " -->\n"
}

// maxMark is the longest mark, in bytes.
const maxMark = 200

// mermaidLabel is a label in quotes: all that is not a letter, a digit or harmless is
// written by its number.
func mermaidLabel(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range report.Shorten(report.Clean(s), maxLabel) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" ./-_", r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString("#" + strconv.Itoa(int(r)) + ";")
	}
	b.WriteByte('"')
	return b.String()
}

// maxLabel is how many columns of a label are shown.
const maxLabel = 60
