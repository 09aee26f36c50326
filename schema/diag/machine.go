package diag

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// record is a diagnostic as programs read it: with its summary spelled out.
type record struct {
	Diagnostic
	Summary string `json:"summary"`
}

// JSON renders a list for programs:
// {"diagnostics": […], "errors": 1, "warnings": 0}.
func JSON(l List) []byte {
	out := struct {
		Diagnostics []record `json:"diagnostics"`
		Errors      int      `json:"errors"`
		Warnings    int      `json:"warnings"`
	}{Diagnostics: make([]record, 0, len(l))}
	for _, d := range l {
		out.Diagnostics = append(out.Diagnostics, record{d, d.Summary()})
		switch d.Severity {
		case Error:
			out.Errors++
		case Warning:
			out.Warnings++
		}
	}
	return encode(out)
}

// encode marshals values that always can be.
func encode(v any) []byte {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("encode diagnostics: " + err.Error())
	}
	return append(raw, '\n')
}

// AnnotationStyle is the form in which a CI system reads findings.
type AnnotationStyle string

// The styles: GitHub Actions reads workflow commands from the log, GitLab a Code
// Quality report from a file.
const (
	GitHubActions     AnnotationStyle = "github"
	GitLabCodeQuality AnnotationStyle = "gitlab"
)

// Annotations renders a list for a CI system. An unknown style is an error.
func Annotations(l List, style AnnotationStyle) ([]byte, error) {
	switch style {
	case GitHubActions:
		var b strings.Builder
		for _, d := range l {
			writeCommand(&b, d)
		}
		return []byte(b.String()), nil
	case GitLabCodeQuality:
		return encode(codeQuality(l)), nil
	}
	return nil, fmt.Errorf("annotation style %q: expected %s or %s", style, GitHubActions, GitLabCodeQuality)
}

// message is everything that a diagnostic says beyond its place, in lines.
func (d Diagnostic) message() string {
	lines := []string{d.Summary()}
	if d.Detail != "" {
		lines[0] += ": " + visible(d.Detail)
	}
	if d.Found != "" {
		lines = append(lines, "found "+visible(d.Found))
	}
	if d.Expected != "" {
		lines = append(lines, "expected "+visible(d.Expected))
	}
	if d.Hint != "" {
		lines = append(lines, "hint: "+visible(d.Hint))
	}
	for _, r := range d.Related {
		lines = append(lines, visible(r.Pos.String())+": "+visible(r.Message))
	}
	return strings.Join(lines, "\n")
}

// writeCommand writes a workflow command; the escaping is that of the actions toolkit.
func writeCommand(b *strings.Builder, d Diagnostic) {
	word := [...]string{"error", "warning", "notice"}[min(max(int(d.Severity), 0), 2)]
	props := []string{"file=" + commandProperty(d.Pos.File)}
	if d.Pos.Line > 0 {
		props = append(props, fmt.Sprintf("line=%d", d.Pos.Line))
	}
	if d.Pos.Column > 0 {
		props = append(props, fmt.Sprintf("col=%d", d.Pos.Column), fmt.Sprintf("endColumn=%d", d.Pos.Column+max(d.Width, 1)))
	}
	props = append(props, "title="+commandProperty(string(d.Code)))
	b.WriteString("::" + word + " " + strings.Join(props, ",") + "::" + commandText(d.message()) + "\n")
}

var (
	textEscapes     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func commandText(s string) string     { return textEscapes.Replace(s) }
func commandProperty(s string) string { return propertyEscapes.Replace(s) }

// issue is an entry of GitLab's Code Quality report.
type issue struct {
	Description string   `json:"description"`
	CheckName   string   `json:"check_name"`
	Fingerprint string   `json:"fingerprint"`
	Severity    string   `json:"severity"`
	Location    location `json:"location"`
}

type location struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
	} `json:"lines"`
}

// codeQuality makes the report. A fingerprint does not depend on the line, so that a
// finding that only moved is the same one; repeats in a file are numbered.
func codeQuality(l List) []issue {
	out := make([]issue, 0, len(l))
	seen := map[string]int{}
	for _, d := range l {
		text := strings.Join([]string{string(d.Code), d.Pos.File, d.Detail, d.Found}, "\x00")
		seen[text]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", text, seen[text]))
		i := issue{Description: strings.ReplaceAll(d.message(), "\n", "; "), CheckName: string(d.Code),
			Fingerprint: hex.EncodeToString(sum[:16]), Severity: [...]string{"major", "minor", "info"}[min(max(int(d.Severity), 0), 2)]}
		if !utf8.ValidString(i.Description) {
			i.Description = strings.ToValidUTF8(i.Description, "\ufffd")
		}
		i.Location.Path = d.Pos.File
		i.Location.Lines.Begin = max(1, d.Pos.Line)
		out = append(out, i)
	}
	return out
}
