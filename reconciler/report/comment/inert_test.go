package comment_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	xhtml "golang.org/x/net/html"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
)

// gfm reads Markdown as the forges do; raw HTML is kept, so that what forges would
// have to clean away is seen.
var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))

var (
	// slash begins a line that a bot or an older GitLab could take for a command.
	slash = regexp.MustCompile(`(?m)^\s*/`)
	// reference is what a forge would link, notify or draw, in text that is no code.
	reference = regexp.MustCompile(`(?i)@[\w-]|#\d|[!~%&$^]\w|\[\w+:|\b[a-z]+-\d+\b|:[a-z0-9_+-]+:|https?:|www\.|\b[0-9a-f]{7,}\b|\w/\D|[<>{}\\|*_` + "`" + `]`)
	// tag is the raw HTML that we write.
	tag = regexp.MustCompile(`^(?:<!-- reeve:[\w./-]* -->|<details(?: open)?>|</details>|<summary>[^\n]*</summary>|</?sub>)$`)
	// columnHeads are those of our tables.
	columnHeads = []string{"State", "Resource", "Engine", "+", "~", "-", "±", "Also", "Policy", "Approvals", "Time"}
)

// inert fails when something in a body could do anything but be read: a line that does
// not print, a mention, a reference, a link that is not ours, raw HTML, a heading, a
// table row of another width, a fold or a fence that stays open.
func inert(t testing.TB, body string, l comment.Limits) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf(format+"\nin\n%s", append(args, shorter(body))...)
	}
	if l.Bytes > 0 && len(body) > l.Bytes {
		fail("%d bytes, more than %d", len(body), l.Bytes)
	}
	if !utf8.ValidString(body) {
		fail("not UTF-8")
	}
	for _, r := range body {
		if r == '\uFE0F' { // the mark that makes a sign an emoji
			continue
		}
		if r != '\n' && !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			fail("%q does not print", r)
			break
		}
	}
	for line := range strings.Lines(body) {
		if strings.HasSuffix(strings.TrimSuffix(line, "\n"), " ") {
			fail("a space at the end of %q", line)
			break
		}
	}
	if s := slash.FindString(body); s != "" {
		fail("a line begins with a slash")
	}
	if strings.Contains(body, canary) {
		fail("a sensitive value, or its hash, is shown")
	}
	source := []byte(body)
	doc := gfm.Parser().Parse(text.NewReader(source))
	seen := reading{source: source}
	if err := ast.Walk(doc, seen.visit); err != nil {
		fail("%v", err)
	}
	for _, problem := range seen.problems {
		fail("%s", problem)
	}
	if seen.headings > 1 {
		fail("%d headings", seen.headings)
	}
	if open, shut := strings.Join(seen.html, "\n"), strings.Join(seen.html, "\n"); strings.Count(open, "<details") != strings.Count(shut, "</details>") {
		fail("folds are not closed: %q", seen.html)
	}
	if l.Folds == false && slices.ContainsFunc(seen.html, func(s string) bool { return strings.Contains(s, "<details") }) {
		fail("a fold where there are none")
	}
	if open := openFence(body); open != "" {
		fail("fence %q stays open", open)
	}
	var rendered bytes.Buffer
	if err := gfm.Renderer().Render(&rendered, source, doc); err != nil {
		fail("%v", err)
	}
	elements(rendered.Bytes(), fail)
}

// reading is what was found in a document.
type reading struct {
	source   []byte
	headings int
	html     []string
	problems []string
}

func (r *reading) problem(parts ...string) { r.problems = append(r.problems, strings.Join(parts, " ")) }

func (r *reading) visit(n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	switch n := n.(type) {
	case *ast.Heading:
		if r.headings++; n.Level != 3 {
			r.problem("a heading of another level")
		}
	case *ast.Link:
		if !strings.HasPrefix(string(n.Destination), "https://reeve.example.com/") {
			r.problem("a link to", string(n.Destination))
		}
	case *ast.AutoLink, *ast.Image, *east.TaskCheckBox, *east.Strikethrough, *ast.CodeBlock, *ast.ThematicBreak:
		r.problem("not ours:", n.Kind().String())
	case *ast.HTMLBlock:
		for i := range n.Lines().Len() {
			line := n.Lines().At(i)
			r.tag(strings.TrimSpace(string(line.Value(r.source))))
		}
		if n.HasClosure() {
			r.tag(strings.TrimSpace(string(n.ClosureLine.Value(r.source))))
		}
	case *ast.RawHTML:
		var b strings.Builder
		for i := range n.Segments.Len() {
			s := n.Segments.At(i)
			b.Write(s.Value(r.source))
		}
		r.tag(b.String())
	case *east.Table:
		r.table(n)
	case *ast.Paragraph, *ast.TextBlock, *east.TableCell:
		r.running(n)
	case *ast.List:
		if n.IsOrdered() || n.Marker != '-' {
			r.problem("a list that is not ours")
		}
	}
	return ast.WalkContinue, nil
}

// tag looks at raw HTML.
func (r *reading) tag(s string) {
	if s == "" {
		return
	}
	if !tag.MatchString(s) {
		r.problem("raw HTML:", s)
	}
	r.html = append(r.html, s)
	if inside, ok := strings.CutPrefix(s, "<summary>"); ok {
		inside = strings.TrimSuffix(inside, "</summary>")
		inside = regexp.MustCompile(`<code>[^<>]*</code>`).ReplaceAllString(inside, "code")
		inside = regexp.MustCompile(`</?b>`).ReplaceAllString(inside, "")
		if m := reference.FindString(inside); m != "" {
			r.problem("in a summary:", m, "in", s)
		}
	}
}

// table compares the cells of each row with the head, and with the pipes that a
// simpler reader counts.
func (r *reading) table(n *east.Table) {
	head := n.FirstChild()
	for cell := head.FirstChild(); cell != nil; cell = cell.NextSibling() {
		if text := strings.TrimPrefix(r.text(cell), `\`); !slices.Contains(columnHeads, text) {
			r.problem("a column", text)
		}
	}
	for row := head.NextSibling(); row != nil; row = row.NextSibling() {
		if row.ChildCount() != head.ChildCount() {
			r.problem("a row of another width")
		}
		first := row.FirstChild()
		if first.Lines().Len() == 0 {
			continue
		}
		start := first.Lines().At(0).Start
		from := bytes.LastIndexByte(r.source[:start], '\n') + 1
		to := from + bytes.IndexByte(r.source[from:], '\n')
		if pipes := bytes.Count(r.source[from:to], []byte("|")); pipes != head.ChildCount()+1 {
			r.problem("a row with pipes in its cells:", string(r.source[from:to]))
		}
	}
}

// running looks at text that is no code.
func (r *reading) running(n ast.Node) {
	s := strings.NewReplacer("[!CAUTION]", "", "[!NOTE]", "", "[!WARNING]", "").Replace(r.text(n))
	for _, ours := range []string{`\+`, `\~`, `\-`} {
		if s == ours {
			return
		}
	}
	if m := reference.FindString(s); m != "" {
		r.problem("in text:", m, "in", s)
	}
}

// text is the text of a block as it is written, without code, links and tags.
func (r *reading) text(n ast.Node) string {
	var b strings.Builder
	var walk func(ast.Node)
	walk = func(n ast.Node) {
		for c := n.FirstChild(); c != nil; c = c.NextSibling() {
			switch c := c.(type) {
			case *ast.Text:
				b.Write(c.Segment.Value(r.source))
				if c.SoftLineBreak() {
					b.WriteByte(' ')
				}
			case *ast.String:
				b.Write(c.Value)
			case *ast.CodeSpan, *ast.RawHTML:
				b.WriteString(" · ")
			default:
				if c.Type() == ast.TypeInline {
					walk(c)
				}
			}
		}
	}
	walk(n)
	return b.String()
}

// openFence returns the fence that is open at the end of a body, read line by line.
func openFence(body string) string {
	open := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case open == "" && len(ticks) >= 3:
			open = ticks
		case open != "" && len(ticks) >= len(open) && line == ticks:
			open = ""
		}
	}
	return open
}

// elements looks at the HTML that a reader's browser would get.
func elements(rendered []byte, fail func(string, ...any)) {
	known := []string{
		"h3", "p", "blockquote", "ul", "li", "strong", "em", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "a",
		"details", "summary", "sub", "b",
	}
	depth := 0
	for z := xhtml.NewTokenizer(bytes.NewReader(rendered)); ; {
		switch z.Next() {
		case xhtml.ErrorToken:
			if depth != 0 {
				fail("folds are not closed in HTML")
			}
			return
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			token := z.Token()
			if !slices.Contains(known, token.Data) {
				fail("an element %s", token)
			}
			for _, a := range token.Attr {
				ok := token.Data == "a" && a.Key == "href" || token.Data == "code" && a.Key == "class" || a.Key == "style" && strings.HasPrefix(a.Val, "text-align:") ||
					token.Data == "details" && a.Key == "open"
				if !ok {
					fail("an attribute %s", token)
				}
			}
			if token.Data == "details" {
				depth++
			}
		case xhtml.EndTagToken:
			if z.Token().Data == "details" {
				if depth--; depth < 0 {
					fail("a fold is closed twice")
				}
			}
		}
	}
}

// shorter keeps an error readable.
func shorter(s string) string {
	if len(s) > 3000 {
		return s[:1500] + "\n…\n" + s[len(s)-1500:]
	}
	return s
}
