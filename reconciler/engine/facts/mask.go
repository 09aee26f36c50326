package facts

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Masked stands for what is not to be read.
const Masked = "(sensitive)"

// Masker knows the secrets of a task. The zero value knows none.
type Masker struct {
	secrets  []string
	replacer *strings.Replacer
}

// NewMasker takes the secrets; the longest win where they overlap. Secrets are
// also looked for as JSON writes them, because engines quote values in messages.
func NewMasker(secrets []string) Masker {
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
		pairs = append(pairs, s, Masked)
	}
	return Masker{secrets: all, replacer: strings.NewReplacer(pairs...)}
}

// Text is a text without the secrets.
func (m Masker) Text(s string) string {
	if len(m.secrets) == 0 {
		return s
	}
	return m.replacer.Replace(s)
}

// HasIn tells whether a secret is in a string, whatever the module declares.
func (m Masker) HasIn(s string) bool {
	return slices.ContainsFunc(m.secrets, func(secret string) bool { return strings.Contains(s, secret) })
}

// HasInValue tells whether a secret is anywhere in a decoded JSON value.
func (m Masker) HasInValue(v any) bool {
	switch v := v.(type) {
	case string:
		return m.HasIn(v)
	case map[string]any:
		for k, e := range v {
			if m.HasIn(k) || m.HasInValue(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, m.HasInValue)
	}
	return false
}

// With is a masker that knows more secrets.
func (m Masker) With(more []string) Masker { return NewMasker(append(more, m.secrets...)) }
