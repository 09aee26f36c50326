package terraform

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// masked stands for what is not to be read.
const masked = "(sensitive)"

// masker knows the task's secrets.
type masker struct {
	secrets  []string
	replacer *strings.Replacer
}

// newMasker takes the secrets; the longest win where they overlap. Secrets are
// also looked for as JSON writes them, because engines quote values in messages.
func newMasker(secrets []string) masker {
	var all []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		all = append(all, s)
		for line := range strings.SplitSeq(s, "\n") { // engines print multi-line values line by line
			if len(strings.TrimSpace(line)) >= 8 {
				all = append(all, strings.TrimSpace(line))
			}
		}
		if b, err := json.Marshal(s); err == nil {
			all = append(all, string(b[1:len(b)-1]))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	all = slices.Compact(all)
	pairs := make([]string, 0, 2*len(all))
	for _, s := range all {
		pairs = append(pairs, s, masked)
	}
	return masker{secrets: all, replacer: strings.NewReplacer(pairs...)}
}

func (m masker) text(s string) string {
	if len(m.secrets) == 0 {
		return s
	}
	return m.replacer.Replace(s)
}

// holdsSecret tells whether a secret is in a string, whatever the module declares.
func (m masker) holdsSecret(s string) bool {
	return slices.ContainsFunc(m.secrets, func(secret string) bool { return strings.Contains(s, secret) })
}
