package schema

import (
	"cmp"
	"slices"
	"sync"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// tree is what a Tree holds.
type tree struct {
	hash          string
	organizations []*Organization
	environments  []*Environment
	components    []*Component
	modules       []*Module
	policies      []*Policy
	accounts      []*IdentityAccount
	teams         []*Team
	// directories are the people of each organization.
	directories map[string]*directory
	resources   []*Resource
	byKey       map[ResourceKey]*Resource
	// freezes says for each frozen scope why.
	freezes map[scope]diag.Diagnostic
	// onCycle are the groups of resources that need each other.
	onCycle map[ResourceKey]int
	graphs  *graphs
	files   map[string]*entry
	options Options
}

func (t *tree) environment(org, env string) (*Environment, bool) {
	i, ok := slices.BinarySearchFunc(t.environments, scope{org, env}, func(e *Environment, s scope) int {
		return cmp.Or(cmp.Compare(e.Org, s.org), cmp.Compare(e.Slug, s.env))
	})
	if !ok {
		return nil, false
	}
	return t.environments[i], true
}

func (t *tree) frozen(org, env string) (diag.Diagnostic, bool) {
	for _, s := range []scope{{}, {org, ""}, {org, env}} {
		if d, ok := t.freezes[s]; ok {
			return d, true
		}
	}
	return diag.Diagnostic{}, false
}

// graphs makes the graph of each organization when it is first asked for.
type graphs struct {
	mu    sync.Mutex // guards byOrg
	byOrg map[string]*Graph
}

func (t *tree) graph(org string) *Graph {
	t.graphs.mu.Lock()
	defer t.graphs.mu.Unlock()
	if g, ok := t.graphs.byOrg[org]; ok {
		return g
	}
	g := newGraph(t, org)
	t.graphs.byOrg[org] = g
	return g
}
