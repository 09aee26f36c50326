package command

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stackreeve/stackreeve/schema"
)

// Selector chooses resources. A part that is "" matches all; others may be globs.
//
//	prod                        an environment
//	prod/TerraformStack         a kind in it
//	prod/TerraformStack/web-*   resources of it
//	acme/prod                   with the organization; a kind begins with a capital
//	acme/prod/TerraformStack/web
type Selector struct{ Org, Env, Kind, Name string }

// ParseSelector reads a selector, or says in one line what is wrong with it.
func ParseSelector(text string) (s Selector, problem string) {
	parts := strings.Split(strings.Trim(text, "/"), "/")
	wrong := "`" + quoted(text) + "` chooses nothing; a selector is ENV, ENV/KIND, ENV/KIND/NAME or ORG/ENV/KIND/NAME"
	for _, p := range parts {
		if p == "" {
			return s, wrong
		}
		if _, err := path.Match(p, ""); err != nil {
			return s, "`" + quoted(text) + "` is no glob: a bracket is not closed"
		}
	}
	if len(parts) == 4 || len(parts) > 1 && !isKind(parts[1]) {
		s.Org, parts = parts[0], parts[1:]
	}
	switch len(parts) {
	case 1:
		s.Env = parts[0]
	case 2:
		s.Env, s.Kind = parts[0], parts[1]
	case 3:
		s.Env, s.Kind, s.Name = parts[0], parts[1], parts[2]
	default:
		return Selector{}, wrong
	}
	return s, ""
}

// isKind tells a kind from an environment: kinds are in PascalCase.
func isKind(part string) bool {
	r, _ := utf8.DecodeRuneInString(part)
	return unicode.IsUpper(r) || strings.ContainsRune("*?[", r)
}

// Matches tells whether the selector chooses a resource. Case does not matter.
func (s Selector) Matches(k schema.ResourceKey) bool {
	for _, p := range []struct{ glob, value string }{{s.Org, k.Org}, {s.Env, k.Env}, {s.Kind, k.Kind}, {s.Name, k.Name}} {
		if p.glob == "" {
			continue
		}
		if ok, err := path.Match(strings.ToLower(p.glob), strings.ToLower(p.value)); err != nil || !ok {
			return false
		}
	}
	return true
}

// String is the selector as it is written.
func (s Selector) String() string {
	var parts []string
	for _, p := range []string{s.Org, s.Env, s.Kind, s.Name} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}

// HelpText is the list of commands, a line each.
func HelpText() string {
	var b strings.Builder
	width := 0
	for _, v := range Verbs() {
		width = max(width, utf8.RuneCountInString(v.usage()))
	}
	for _, v := range Verbs() {
		b.WriteString(v.usage() + strings.Repeat(" ", width-utf8.RuneCountInString(v.usage())) + "  " + v.Sentence() + "\n")
	}
	b.WriteString("\nA selector is prod, prod/TerraformStack, prod/TerraformStack/web-* or acme/prod/TerraformStack/web.\n")
	return b.String()
}
