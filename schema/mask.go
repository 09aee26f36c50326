package schema

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// sensitiveMark stands where a secret value was.
const sensitiveMark = "(sensitive)"

// mask is a part of a line that must not be shown: columns from up to to, or to the
// line's end when to is 0.
type mask struct{ line, from, to int32 }

// hide notes the places of a secret value's scalars. They are taken out of every source
// line that is shown, also where another value of the line is what is wrong.
func (r *reporter) hide(v *value) {
	if !v.isScalar() {
		for i := range v.fields {
			r.hide(&v.fields[i].val)
		}
		return
	}
	if v.kind == nullValue || v.at.line == 0 {
		return
	}
	endLine, endCol := r.text.tokenEnd(v.at)
	for l := v.at.line; l <= endLine; l++ {
		m := mask{line: l, from: 1}
		if l == v.at.line {
			m.from = v.at.col
		}
		if l == endLine {
			m.to = endCol
		}
		r.masks = append(r.masks, m)
	}
}

// tokenEnd finds where the scalar at a place ends: its last line, and the column after
// it there (0 for the line's end). Where it cannot be told it takes too much.
func (t *text) tokenEnd(p place) (line, col int32) {
	l := []rune(t.line(int(p.line)))
	i := int(p.col) - 1
	for i < len(l) && (l[i] == '&' || l[i] == '!') {
		for i < len(l) && l[i] != ' ' && l[i] != '\t' {
			i++
		}
		for i < len(l) && (l[i] == ' ' || l[i] == '\t') {
			i++
		}
	}
	if i >= len(l) {
		return t.moreIndented(p.line), 0
	}
	switch l[i] {
	case '"', '\'':
		quote := l[i]
		line, i = p.line, i+1
		for {
			for ; i < len(l); i++ {
				if quote == '"' && l[i] == '\\' {
					i++
				} else if l[i] == quote {
					return line, int32(i + 2)
				}
			}
			if line++; int(line) > len(t.lines()) {
				return line - 1, 0
			}
			l, i = []rune(t.line(int(line))), 0
		}
	case '|', '>':
		return t.moreIndented(p.line), 0
	}
	if p.width > 0 && i+int(p.width) <= len(l) {
		return p.line, int32(i) + p.width + 1
	}
	return t.moreIndented(p.line), 0
}

// moreIndented is the last of the lines after n that are empty or indented deeper
// than it.
func (t *text) moreIndented(n int32) int32 {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }
	own := indent(t.line(int(n)))
	for int(n) < len(t.lines()) {
		next := t.line(int(n) + 1)
		if strings.TrimSpace(next) != "" && indent(next) <= own {
			break
		}
		n++
	}
	return n
}

// secretLooking finds a value whose key says that it is a secret, for lines of
// documents that could not be understood. Without a schema the name is all there is.
var secretLooking = regexp.MustCompile(`(?i)(password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credentials?)[\w-]*["']?[ \t]*[:=][ \t]*[^ \t,}\]]`)

// startsReference tells whether the value after the first colon is a reference: it says
// where a secret is, not what it is.
func startsReference(s string) bool {
	_, v, _ := strings.Cut(s, ":")
	v = strings.TrimLeft(v, " {\t")
	return strings.HasPrefix(v, "valueFrom:") || strings.HasPrefix(v, "value_from:")
}

// withoutSecrets takes the masked parts out of a diagnostic's source line: the line ends
// where the first secret starts, and is not shown when its caret would stand behind.
func withoutSecrets(d diag.Diagnostic, masks []mask) diag.Diagnostic {
	if d.Line == "" {
		return d
	}
	first := 0
	for _, m := range masks {
		if int(m.line) == d.Pos.Line && (first == 0 || int(m.from) < first) {
			first = int(m.from)
		}
	}
	if i := secretLooking.FindStringIndex(d.Line); i != nil && !startsReference(d.Line[i[0]:]) {
		_, last := utf8.DecodeLastRuneInString(d.Line[:i[1]])
		if at := utf8.RuneCountInString(d.Line[:i[1]-last]) + 1; first == 0 || at < first {
			first = at
		}
	}
	if first == 0 {
		return d
	}
	if d.Pos.Column > first {
		d.Line, d.Width = "", 0
		return d
	}
	d.Line = string([]rune(d.Line)[:first-1]) + sensitiveMark
	d.Width = min(d.Width, first-d.Pos.Column)
	if d.Pos.Column == first {
		d.Width = len(sensitiveMark)
	}
	d.Width = max(1, d.Width)
	return d
}
