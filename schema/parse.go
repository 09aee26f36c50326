package schema

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

const (
	byteOrderMark = "\ufeff"
	// maxDepth is how deep collections may nest, aliases included.
	maxDepth = 100
)

// parser turns one file's text into values, collecting what is wrong with it.
type parser struct {
	text     *text
	opts     Options
	findings []diag.Diagnostic
}

// anchored is a value behind an anchor with its cost.
type anchored struct {
	val         value
	size, depth int
	done        bool
}

// parse reads all documents of a file. A document with a syntax error is reported
// and skipped; the next one starts at the next "---".
func parse(t *text, o Options) ([]value, []diag.Diagnostic) {
	p := &parser{text: t, opts: o}
	if !p.checkCharacters() {
		return nil, p.findings
	}
	var docs []value
	for _, c := range splitDocuments(t.data) {
		docs = append(docs, p.parseChunk(c)...)
	}
	return docs, p.findings
}

func (p *parser) report(d diag.Diagnostic, at place) {
	p.findings = append(p.findings, p.text.show(d, at))
}

// checkCharacters finds what no YAML stream may hold, where the library would not
// say the place.
func (p *parser) checkCharacters() bool {
	s := p.text.data
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
				p.report(diag.Diagnostic{Code: diag.InvalidCharacter, Detail: fmt.Sprintf("the control character U+%04X cannot stand in YAML", c),
					Hint: controlHint(s)}, p.text.placeOf(i))
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			p.report(diag.Diagnostic{Code: diag.InvalidCharacter, Detail: fmt.Sprintf("the byte 0x%02X is not UTF-8", c),
				Hint: "save the file as UTF-8"}, p.text.placeOf(i))
			return false
		}
		if r >= 0x80 && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff || r == 0xfeff && i > 0 {
			p.report(diag.Diagnostic{Code: diag.InvalidCharacter, Detail: fmt.Sprintf("the character U+%04X cannot stand in YAML", r)}, p.text.placeOf(i))
			return false
		}
		i += n
	}
	return true
}

func controlHint(s string) string {
	if strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff") || strings.Count(s, "\x00")*3 > len(s) {
		return "the file looks like UTF-16; save it as UTF-8"
	}
	return ""
}

// chunk is one document's text with the number of lines before it.
type chunk struct {
	data string
	line int
}

// splitDocuments cuts a file at its "---" lines, which in YAML end whatever stands
// before them, even an unclosed quote. So one broken document leaves the next whole.
func splitDocuments(data string) []chunk {
	var out []chunk
	start, startLine, line := 0, 0, 0
	offset := len(data) - len(strings.TrimPrefix(data, byteOrderMark))
	directives := false
	for i := offset; i < len(data); {
		end := strings.IndexAny(data[i:], "\r\n")
		next := len(data)
		if end >= 0 {
			next = i + end + 1
			if data[i+end] == '\r' && next < len(data) && data[next] == '\n' {
				next++
			}
		}
		l := data[i:next]
		if strings.HasPrefix(l, "---") && (len(l) == 3 || strings.ContainsRune(" \t\r\n", rune(l[3]))) {
			if i > start && !directives {
				out = append(out, chunk{data: data[start:i], line: startLine})
				start, startLine = i, line
			}
			directives = false
		} else if strings.HasPrefix(l, "%") && strings.TrimSpace(stripComments(data[start:i])) == "" {
			directives = true
		}
		i = next
		line++
	}
	return append(out, chunk{data: data[start:], line: startLine})
}

// stripComments removes whole-line comments, byte order mark and document ends.
func stripComments(s string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimPrefix(s, byteOrderMark)) {
		if t := strings.TrimSpace(l); !strings.HasPrefix(t, "#") && t != "..." && !strings.HasPrefix(l, "%") {
			b.WriteString(l)
		}
	}
	return b.String()
}

// depthLimit ends the parsing of a document that nests too deep.
type depthLimit struct{}

var errTooDeep = errors.New("too deep")

func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errTooDeep
	}
	return nil
}

// CheckAlias allows all: the loader never lets the library expand an alias.
func (depthLimit) CheckAlias(int, int) error { return nil }

// parseChunk reads the documents of one chunk (more than one after a "..." line).
func (p *parser) parseChunk(c chunk) (docs []value) {
	// The version directive says nothing that we would do otherwise, and the library
	// refuses 1.2.
	data := c.data
	if strings.Contains(data, "%YAML 1.") {
		data = blankVersion(data)
	}
	// A panic of the library on some odd input must not end the daemon.
	defer func() {
		if r := recover(); r != nil {
			p.report(diag.Diagnostic{Code: diag.YAMLSyntax, Detail: fmt.Sprintf("the parser gave up: %v", r)}, place{line: int32(c.line + 1), col: 1})
			docs = nil
		}
	}()
	l, err := yaml.NewLoader(strings.NewReader(data), yaml.WithUniqueKeys(false), yaml.WithPlugin(depthLimit{}))
	if err != nil {
		p.report(diag.Diagnostic{Code: diag.YAMLSyntax, Detail: err.Error()}, place{line: int32(c.line + 1), col: 1})
		return nil
	}
	at := p.locator(c)
	for {
		var n yaml.Node
		if err := l.Load(&n); err != nil {
			if !errors.Is(err, io.EOF) {
				p.reportSyntax(err, at)
			}
			return docs
		}
		if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
			continue
		}
		root := n.Content[0]
		if root.Kind == yaml.ScalarNode && root.Value == "" && root.Style == 0 {
			continue // an empty document between two "---"
		}
		cv := &converter{parser: p, at: at, anchors: map[*yaml.Node]*anchored{}}
		if v, _, _ := cv.convert(root, 1); !cv.failed {
			docs = append(docs, v)
		}
	}
}

func blankVersion(data string) string {
	var b strings.Builder
	b.Grow(len(data))
	for l := range strings.Lines(data) {
		if strings.HasPrefix(l, "%YAML 1.") {
			l = "#" + l[1:]
		}
		b.WriteString(l)
	}
	return b.String()
}

// reportSyntax gives the library's error a place in the file.
func (p *parser) reportSyntax(err error, at func(line, col int) place) {
	d := diag.Diagnostic{Code: diag.YAMLSyntax}
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		d.Detail = err.Error()
		p.report(d, at(1, 1))
		return
	}
	where := at(max(1, le.Mark.Line), max(1, le.Mark.Column))
	if errors.Is(err, errTooDeep) || strings.Contains(le.Message, errTooDeep.Error()) {
		d.Code, d.Detail = diag.TooDeep, fmt.Sprintf("collections nest deeper than %d levels", maxDepth)
		where.width = 1
		p.report(d, where)
		return
	}
	d.Detail = le.Message
	if le.ContextMsg != "" {
		d.Detail += " " + le.ContextMsg
	}
	d.Hint = syntaxHint(le.Message, p.text.line(int(where.line)))
	switch {
	case le.ContextMark.Line > 0 && strings.Contains(le.Message, "end of stream"):
		// Where it starts is what the author must find; the end is the end of the file.
		where = at(le.ContextMark.Line, max(1, le.ContextMark.Column))
	case le.ContextMark.Line > 0 && le.ContextMark != le.Mark:
		ctx := at(le.ContextMark.Line, max(1, le.ContextMark.Column))
		d.Related = []diag.Related{{Pos: p.text.position(ctx), Message: "it starts here"}}
	}
	if where.width = 1; strings.Contains(le.Message, "unknown anchor") {
		where.width = 0
		d.Hint = "an anchor counts from where it stands to the end of its own document"
	}
	p.report(d, where)
}

func syntaxHint(message, line string) string {
	switch {
	case strings.Contains(message, "cannot start any token") && strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return "indent with spaces: YAML allows no tabs there"
	case strings.Contains(message, "mapping values are not allowed"):
		return `check the indentation, and quote a value that holds ": "`
	}
	return ""
}

// locator maps the library's line and column within a chunk to the file. The
// library also breaks lines at U+0085, U+2028 and U+2029, which no editor does.
func (p *parser) locator(c chunk) func(line, col int) place {
	if !strings.ContainsAny(c.data, "\u0085\u2028\u2029") {
		return func(line, col int) place { return place{line: int32(line + c.line), col: int32(col)} }
	}
	base := p.text.lines()[c.line]
	starts := []int{0}
	for i, r := range c.data {
		switch r {
		case '\n', '\u0085', '\u2028', '\u2029':
			starts = append(starts, i+utf8.RuneLen(r))
		case '\r':
			if !strings.HasPrefix(c.data[i+1:], "\n") {
				starts = append(starts, i+1)
			}
		}
	}
	return func(line, col int) place {
		offset := len(c.data)
		if line <= len(starts) {
			offset = starts[line-1]
			for ; col > 1 && offset < len(c.data); col-- {
				_, n := utf8.DecodeRuneInString(c.data[offset:])
				offset += n
			}
		}
		at := p.text.placeOf(base + offset)
		at.width = 0
		return at
	}
}
