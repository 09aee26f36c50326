package schema

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// finding is a diagnostic with the scopes that it freezes when it is an error.
type finding struct {
	diag.Diagnostic
	freezes []scope
}

// reporter collects the findings of one file.
type reporter struct {
	text     *text
	scope    scope
	findings []finding
	masks    []mask
}

// report adds a finding at a place of the file.
func (r *reporter) report(d diag.Diagnostic, at place) {
	r.findings = append(r.findings, finding{Diagnostic: r.text.show(d, at), freezes: []scope{r.scope}})
}

// fieldPath is the way to a value within its document, built only when it is shown.
type fieldPath struct {
	parent *fieldPath
	key    string
	index  int
}

func (p *fieldPath) field(key string) *fieldPath { return &fieldPath{parent: p, key: key, index: -1} }
func (p *fieldPath) item(i int) *fieldPath       { return &fieldPath{parent: p, index: i} }

// String is "spec.subnets[0].name"; a key that is no name stands in brackets.
func (p *fieldPath) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *fieldPath) write(b *strings.Builder) {
	if p == nil {
		return
	}
	p.parent.write(b)
	switch {
	case p.index >= 0:
		b.WriteString("[" + strconv.Itoa(p.index) + "]")
	case strings.ContainsAny(p.key, ".[]\" \t\n") || p.key == "":
		b.WriteString("[" + strconv.Quote(p.key) + "]")
	default:
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p.key)
	}
}

// didYouMean is the hint for a name that was probably meant to be one of the known
// ones; "" when none is near enough.
func didYouMean(found string, known []string) string {
	if best := nearest(found, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// nearest is the known name that found is a slip of, or "".
func nearest(found string, known []string) string {
	best, bestScore := "", 0.6
	plain := strings.ToLower(strings.ReplaceAll(found, "_", ""))
	if plain == "opentofu" { // the engine's whole name; its program's stands in documents
		plain = string(OpenTofu)
	}
	for _, k := range known {
		score := levenshtein.Match(plain, strings.ToLower(strings.ReplaceAll(k, "_", "")), nil)
		if score > bestScore {
			best, bestScore = k, score
		}
	}
	if best == found {
		return ""
	}
	return best
}

// oneOf lists names for a sentence, shortened when there are many.
func oneOf(names []string) string {
	const most = 12
	if len(names) == 1 {
		return names[0]
	}
	if len(names) > most {
		return "one of: " + strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return "one of: " + strings.Join(names, ", ")
}

// quoted shows a value as found, shortened; never a secret one.
func quoted(v *value, s *shape) string {
	if s != nil && s.sensitive {
		return sensitiveMark
	}
	switch v.kind {
	case stringValue:
		t := v.text
		if r := []rune(t); len(r) > 60 {
			t = string(r[:57]) + "..."
		}
		return strconv.Quote(t)
	case numberValue, boolValue:
		return v.text
	}
	return v.kind.String()
}
