// Package diag holds the one way in which Stackreeve tells an author what is
// wrong with a file: a Diagnostic, which is a value and not an error. An error
// says that the work could not be done; a diagnostic is the work's result.
//
// A diagnostic has a stable [Code]. The code fixes the summary (the same words
// every time, so that people and programs can search for them); Detail carries
// the names. Columns count characters (runes) from 1, never bytes.
//
//	acme/dev/vpc.yaml:4:9: error: unknown field [unknown-field]
//	   4 |   spec: { cidrBlok: 10.0.0.0/16 }
//	     |           ^^^^^^^^
//	  found "cidrBlok", expected one of: cidrBlock, region
//	  hint: did you mean "cidrBlock"?
//
// The package renders diagnostics as text, JSON and CI annotations; it reads no
// file and prints nothing by itself.
package diag

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says what a diagnostic does to the tree it was found in.
type Severity int

// Error keeps the folders it touches from changing anything; Warning is shown and
// changes nothing; Note explains.
const (
	Error Severity = iota
	Warning
	Note
)

// String is the word printed in text output: "error", "warning" or "note".
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Note:
		return "note"
	}
	return fmt.Sprintf("severity(%d)", int(s))
}

// MarshalText makes the severity a word in JSON and YAML.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(b []byte) error {
	for _, v := range []Severity{Error, Warning, Note} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("severity %q: expected error, warning or note", b)
}

// Position is a place in a file of the config repository. Line and Column count
// from 1; Column counts characters. The zero Line means the file as a whole.
type Position struct {
	// File is the slash-separated path from the repository's root.
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is "file:line:col", "file:line" or "file", as much as is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Compare orders positions by file, line and column.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Related is another place that explains a diagnostic, such as "first defined
// here".
type Related struct {
	Pos     Position `json:"pos"`
	Message string   `json:"message"`
}

// Diagnostic is one finding about one place. All text fields are single lines
// without a final full stop.
type Diagnostic struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Pos      Position `json:"pos"`
	// Width is how many characters the caret underlines; 0 means one.
	Width int `json:"width,omitempty"`
	// Detail carries the names that Summary leaves out.
	Detail string `json:"detail,omitempty"`
	// Found and Expected are given where a value was wrong. Secret values are
	// never quoted in them.
	Found    string `json:"found,omitempty"`
	Expected string `json:"expected,omitempty"`
	// Hint is set only when it is probably right.
	Hint    string    `json:"hint,omitempty"`
	Related []Related `json:"related,omitempty"`
	// Line is the text of the source line that Pos names, without its line
	// ending; empty when there is none to show.
	Line string `json:"sourceLine,omitempty"`
}

// Summary is the fixed sentence of the diagnostic's code.
func (d Diagnostic) Summary() string { return d.Code.Summary() }

// Compare orders diagnostics as they are shown: by place, then severity, code,
// detail, found and expected.
func (d Diagnostic) Compare(o Diagnostic) int {
	return cmp.Or(d.Pos.Compare(o.Pos), cmp.Compare(d.Severity, o.Severity), cmp.Compare(d.Code, o.Code),
		cmp.Compare(d.Detail, o.Detail), cmp.Compare(d.Found, o.Found), cmp.Compare(d.Expected, o.Expected))
}

// List is a set of diagnostics. Its methods do not change it.
type List []Diagnostic

// HasErrors tells whether any diagnostic is an Error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sorted returns the list in the order it is shown: by place, then severity,
// code and detail, with exact repeats removed.
func (l List) Sorted() List {
	out := slices.Clone(l)
	slices.SortStableFunc(out, Diagnostic.Compare)
	return slices.CompactFunc(out, func(a, b Diagnostic) bool { return a.Compare(b) == 0 })
}
