package config

import (
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/agext/levenshtein"
)

func orWhole(path string) string {
	if path == "" {
		return "the whole file"
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// quoted is for keys and words of closed sets; long text is cut.
func quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// nearest is the candidate that was probably meant, or "".
func nearest(s string, candidates []string) string {
	best, bestScore := "", 0.6
	for _, c := range candidates {
		a, b := strings.ToLower(s), strings.ToLower(c)
		score := levenshtein.Match(a, b, nil)
		if len(a) > 2 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a) || a == "opentofu" && b == "tofu") {
			score = max(score, 0.9)
		}
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if n := jsonName(f); n == name && n != "-" && n != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func fieldNames(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		if n := jsonName(f); n != "-" && n != "" {
			out = append(out, n)
		}
	}
	return out
}

// variableName is the environment variable of a field: jobs.timeouts.plan is
// REEVE_JOBS_TIMEOUTS_PLAN.
func variableName(path string) string {
	var b strings.Builder
	b.WriteString("REEVE_")
	for _, r := range path {
		switch {
		case r == '.':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}
