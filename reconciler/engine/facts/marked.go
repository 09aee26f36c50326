package facts

import (
	"slices"
	"strings"
)

// shortestTaint is the length under which a sensitive string is not looked for
// elsewhere: "admin" or "true" would hide half of every plan.
const shortestTaint = 6

// Marked adds the strings of v that lie under a mark to out: what is sensitive in one
// place is sensitive in all.
func Marked(out []string, v, mark any) []string {
	switch m := mark.(type) {
	case bool:
		if m {
			return allStrings(out, v)
		}
	case map[string]any:
		for k, below := range m {
			out = Marked(out, Child(v, k), below)
		}
	case []any:
		for i, below := range m {
			out = Marked(out, Child(v, i), below)
		}
	}
	return out
}

func allStrings(out []string, v any) []string {
	switch v := v.(type) {
	case string:
		if len(v) >= shortestTaint {
			return append(out, v)
		}
	case map[string]any:
		for _, e := range v {
			out = allStrings(out, e)
		}
	case []any:
		for _, e := range v {
			out = allStrings(out, e)
		}
	}
	return out
}

// NotNames returns secrets, sorted and each once, without those that stand in one of the
// names, such as the addresses of resources: a structure is often secret as a whole, with
// words like "kubernetes" in it, and with those masked nobody could read a log.
func NotNames(secrets, names []string) []string {
	all := strings.Join(names, "\n")
	secrets = slices.Sorted(slices.Values(secrets))
	return slices.DeleteFunc(slices.Compact(secrets), func(s string) bool { return strings.Contains(all, s) })
}
