package schema

import (
	"cmp"
	"fmt"
	"strings"
)

// ResourceKey identifies a Cloud Resource and its stack: (org, env, kind, slug).
// It never changes in a resource's life; another key is another resource.
type ResourceKey struct {
	Org  string `json:"org"`
	Env  string `json:"env"`
	Kind string `json:"kind"`
	// Name is the slug (see Slug), not the display name.
	Name string `json:"name"`
}

// String is "org/env/Kind/name", as people type it and read it everywhere.
func (k ResourceKey) String() string { return k.Org + "/" + k.Env + "/" + k.Kind + "/" + k.Name }

// Compare orders keys by org, env, kind and name.
func (k ResourceKey) Compare(o ResourceKey) int {
	return cmp.Or(cmp.Compare(k.Org, o.Org), cmp.Compare(k.Env, o.Env), cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Name, o.Name))
}

// IsZero tells whether k names nothing.
func (k ResourceKey) IsZero() bool { return k == ResourceKey{} }

// ParseResourceKey reads what String writes.
func ParseResourceKey(s string) (ResourceKey, error) {
	p := strings.Split(s, "/")
	if len(p) != 4 || p[0] == "" || p[1] == "" || p[2] == "" || p[3] == "" {
		return ResourceKey{}, fmt.Errorf("resource %q: expected org/env/Kind/name", s)
	}
	return ResourceKey{Org: p[0], Env: p[1], Kind: p[2], Name: p[3]}, nil
}

// MarshalText makes the key a string in JSON object keys.
func (k ResourceKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (k *ResourceKey) UnmarshalText(b []byte) error {
	v, err := ParseResourceKey(string(b))
	if err == nil {
		*k = v
	}
	return err
}

// Slug is Planton's slug rule: lower case, every run of characters outside
// [a-z0-9] one hyphen, trimmed.
func Slug(name string) string {
	var b strings.Builder
	hyphen := false
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if hyphen && b.Len() > 0 {
				b.WriteByte('-')
			}
			hyphen = false
			b.WriteRune(r)
			continue
		}
		hyphen = true
	}
	return b.String()
}
