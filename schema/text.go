package schema

import (
	"strings"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// text is the content of one file with the means to show a place in it.
type text struct {
	path string
	data string
	// starts are the offsets of the lines, made when first needed.
	starts []int
}

// lines splits at \n, \r\n and a lone \r, as editors do.
func (t *text) lines() []int {
	if t.starts != nil {
		return t.starts
	}
	t.starts = append(t.starts, 0)
	for i := 0; i < len(t.data); i++ {
		switch t.data[i] {
		case '\r':
			if i+1 < len(t.data) && t.data[i+1] == '\n' {
				i++
			}
			t.starts = append(t.starts, i+1)
		case '\n':
			t.starts = append(t.starts, i+1)
		}
	}
	return t.starts
}

// line is the text of line n (from 1) without its ending and a byte order mark.
func (t *text) line(n int) string {
	s := t.lines()
	if n < 1 || n > len(s) {
		return ""
	}
	end := len(t.data)
	if n < len(s) {
		end = s[n]
	}
	l := strings.TrimRight(t.data[s[n-1]:end], "\r\n")
	if n == 1 {
		l = strings.TrimPrefix(l, byteOrderMark)
	}
	return l
}

// placeOf turns a byte offset into a place.
func (t *text) placeOf(offset int) place {
	s := t.lines()
	lo, hi := 0, len(s)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	before := t.data[s[lo]:min(offset, len(t.data))]
	if lo == 0 {
		before = strings.TrimPrefix(before, byteOrderMark)
	}
	return place{line: int32(lo + 1), col: int32(utf8.RuneCountInString(before) + 1), width: 1}
}

// position names a place of this file for a diagnostic.
func (t *text) position(p place) diag.Position {
	return diag.Position{File: t.path, Line: int(p.line), Column: int(p.col)}
}

// show fills in where a diagnostic is: position, source line and caret width. A place
// after the end of the file (an unclosed quote) moves to the last line's end.
func (t *text) show(d diag.Diagnostic, p place) diag.Diagnostic {
	if p.line == 0 {
		d.Pos = diag.Position{File: t.path}
		return d
	}
	line := t.line(int(p.line))
	if n := len(t.lines()); int(p.line) > n || int(p.line) == n && line == "" && n > 1 {
		last := n
		for last > 1 && t.line(last) == "" {
			last--
		}
		line = t.line(last)
		p = place{line: int32(last), col: int32(max(1, utf8.RuneCountInString(line)))}
	}
	length := utf8.RuneCountInString(line)
	p.col = max(1, min(p.col, int32(length)+1))
	d.Pos = t.position(p)
	d.Line = line
	d.Width = int(p.width)
	if d.Width == 0 {
		d.Width = tokenWidth(line, int(p.col))
	}
	d.Width = max(1, min(d.Width, length-int(p.col)+1))
	return d
}

// tokenWidth is how many characters the quoted or bracketed token at a column
// takes on its line.
func tokenWidth(line string, col int) int {
	r := []rune(line)
	if col > len(r) {
		return 1
	}
	r = r[col-1:]
	switch r[0] {
	case '"', '\'':
		for i := 1; i < len(r); i++ {
			if r[0] == '"' && r[i] == '\\' {
				i++
				continue
			}
			if r[i] == r[0] {
				return i + 1
			}
		}
		return len(r)
	case '[', '{':
		return bracketWidth(r)
	case '|', '>':
		return 1
	}
	return plainWidth(r)
}

// bracketWidth finds the bracket that closes the first one, on the same line.
func bracketWidth(r []rune) int {
	depth := 0
	for i, c := range r {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len([]rune(strings.TrimRight(string(r), " \t")))
}

// plainWidth ends at a colon with space, a comment or the end of the line.
func plainWidth(r []rune) int {
	for i, c := range r {
		if c == ':' && (i+1 == len(r) || r[i+1] == ' ') || c == ' ' && i+1 < len(r) && r[i+1] == '#' {
			return max(1, i)
		}
	}
	return max(1, len([]rune(strings.TrimRight(string(r), " \t"))))
}
