package schema

import (
	"context"
	"encoding/json"
	"io/fs"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// Tree is one commit, understood. It is immutable: every value handed out is
// shared and must not be changed.
type Tree struct {
	diagnostics diag.List
	tree
}

// TreeHash is the hash of the source that the tree was loaded from.
func (t *Tree) TreeHash() string { return t.hash }

// Organizations lists the organizations by slug.
func (t *Tree) Organizations() []*Organization { return t.organizations }

// Environments lists the environments by organization and slug.
func (t *Tree) Environments() []*Environment { return t.environments }

// Components lists the registered kinds by organization and kind.
func (t *Tree) Components() []*Component { return t.components }

// Modules lists the IacModules by organization, kind and provisioner.
func (t *Tree) Modules() []*Module { return t.modules }

// Policies lists the flow control policies by folder and name.
func (t *Tree) Policies() []*Policy { return t.policies }

// Resources lists the Cloud Resources by key. Where a document was wrong the
// resource may be missing: ask Frozen before concluding that it was removed.
func (t *Tree) Resources() []*Resource { return t.resources }

// Resource finds one Cloud Resource.
func (t *Tree) Resource(k ResourceKey) (*Resource, bool) { r, ok := t.byKey[k]; return r, ok }

// Environment finds one environment.
func (t *Tree) Environment(org, env string) (*Environment, bool) { return t.environment(org, env) }

// Frozen tells whether nothing may be changed in the folder org/env, and the
// first error that is the reason. An error in an environment's folder freezes it,
// one in an organization's folder all its environments, one in platform.yaml
// everything; a cycle freezes the environments on it. A folder that the tree no
// longer has is not frozen by itself.
func (t *Tree) Frozen(org, env string) (diag.Diagnostic, bool) { return t.frozen(org, env) }

// Graph is the graph of all resources of an organization, or of all organizations
// (org ""): references do not leave an organization.
func (t *Tree) Graph(org string) *Graph { return t.graph(org) }

// FromFS makes a Source of any fs.FS, by reading and hashing all of it. It is for
// folders, examples and tests; a commit is a better source.
func FromFS(fsys fs.FS) (Source, error) { return fromFS(fsys) }

// Resolve replaces every {"valueFrom": …} in inputs by the value that get returns
// for it (JSON). The first failing get ends it with that error, so a field is
// never dropped and never empty by accident. The result is canonical JSON.
func Resolve(inputs json.RawMessage, get func(Reference) (json.RawMessage, error)) (json.RawMessage, error) {
	return resolve(inputs, func(r Reference, _ string) (json.RawMessage, error) { return get(r) })
}

// ResolveAt is Resolve for a get that wants to know where the value goes: at is the JSON
// pointer of the reference in inputs.
func ResolveAt(inputs json.RawMessage, get func(_ Reference, at string) (json.RawMessage, error)) (json.RawMessage, error) {
	return resolve(inputs, get)
}

// ReferencesIn lists the references that inputs hold, in canonical order. Only
// To, FieldPath and Kind are set; To.Org is empty, as a reference never leaves its
// organization.
func ReferencesIn(inputs json.RawMessage) ([]Reference, error) { return referencesIn(inputs) }

// Blank is a value of inputs in which only the references stand: every scalar beside them
// is null. Who keeps a secret somewhere else keeps this in its place.
func Blank(v json.RawMessage) (json.RawMessage, error) {
	a, err := decodeJSON(v)
	if err != nil {
		return nil, err
	}
	return appendAny(nil, blank(a)), nil
}

// Canonical returns v as JSON with sorted keys, no insignificant space and
// numbers as written: equal values have equal bytes.
func Canonical(v json.RawMessage) (json.RawMessage, error) { return canonical(v) }

// LoadFS is NewLoader(Options{}).Load(FromFS(fsys)).
func LoadFS(ctx context.Context, fsys fs.FS) (*Tree, error) {
	src, err := FromFS(fsys)
	if err != nil {
		return nil, err
	}
	return NewLoader(Options{}).Load(ctx, src)
}
