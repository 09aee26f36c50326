package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const (
	// shortest is the length in bytes of the shortest secret that is masked.
	shortest = 4
	// shortestLine is the length of the shortest line of a longer secret that is
	// masked alone: "{" and "end" are in every log.
	shortestLine = 8
	// shortestPart is the length of the shortest secret that is looked for inside
	// other base64: of less, too few letters are sure.
	shortestPart = 8
)

// plain are words that are no secret even where somebody says so.
var plain = []string{
	"true", "false", "null", "none", "default", "enabled", "disabled", "admin", "root", "user", "test", "info", "warn", "error",
	"apply", "plan", "destroy", "resource", "terraform", "tofu", "localhost",
}

// formsOf lists every form that is looked for.
func formsOf(secrets []string) formSet {
	var forms [][]byte
	add := func(s string) {
		var c cleaner
		clean := c.flush(c.append(nil, []byte(s))) // what it looks like after cleaning
		if clean = bytes.Trim(clean, " \t\r\n"); len(clean) >= shortest {
			forms = append(forms, clean)
		}
	}
	for _, s := range secrets {
		s = strings.Trim(s, " \t\r\n")
		if len(s) < shortest || slices.Contains(plain, strings.ToLower(s)) {
			continue
		}
		add(s)
		for _, form := range written(s) {
			add(form)
		}
		for line := range strings.SplitSeq(s, "\n") {
			line = strings.TrimSpace(line)
			if len(line) < shortestLine || line == s || strings.HasPrefix(line, "-----") {
				continue // of a key in PEM, the first and last line are no secret
			}
			add(line)
			add(quoted(line))
		}
	}
	return newFormSet(forms)
}

// written lists the forms in which programs write a text.
func written(s string) []string {
	out := []string{quoted(s), quotedForHTML(s), url.QueryEscape(s), url.PathEscape(s)}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		out = append(out, e.EncodeToString([]byte(s))) // with padding: the padding stays, and tells nothing
		if len(s) >= shortestPart {
			out = append(out, inner(e, s, 1), inner(e, s, 2))
		}
	}
	if len(s) >= shortestPart {
		h := hex.EncodeToString([]byte(s))
		out = append(out, inner(base64.RawStdEncoding, s, 0), h, strings.ToUpper(h))
	}
	return out
}

// quoted is the text as JSON writes it, without the quotes.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

// quotedForHTML is what Go's JSON writes unless told otherwise: < as \u003c.
func quotedForHTML(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(b[1 : len(b)-1])
}

// inner is what is sure of the base64 of a text in which s stands after `before`
// bytes (modulo three), whatever stands around it: the letters at the edges hold
// bits of the neighbours.
func inner(e *base64.Encoding, s string, before int) string {
	b := append(make([]byte, before), s...)
	whole := len(b) / 3 * 3
	text := e.EncodeToString(b[:whole])
	if before > 0 {
		text = text[4:]
	}
	return text
}
