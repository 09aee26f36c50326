package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Graph renders the graph of all organizations of all repositories, of one, or of what
// concerns one of its environments.
func (d *Desk) Graph(_ context.Context, f api.Filter, format string) (string, error) {
	var graphs []*schema.Graph
	known := f.Env == ""
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View != nil && HasOrganization(repo.View.Tree, f.Org) {
			graphs = append(graphs, repo.View.Tree.Graph(f.Org))
			_, ok := repo.View.Tree.Environment(f.Org, f.Env)
			known = known || ok
		}
	}
	if len(graphs) == 0 && f.Org != "" {
		return "", fmt.Errorf("organization %q: %w", f.Org, store.ErrNotFound)
	}
	if !known {
		return "", fmt.Errorf("environment %q of %s: %w", f.Env, f.Org, store.ErrNotFound)
	}
	g := schema.JoinGraphs(graphs...)
	if f.Env != "" {
		g = g.Around(f.Org, f.Env)
	}
	return RenderGraph(g, format)
}

// HasOrganization tells whether a tree has an organization; org "" means any.
func HasOrganization(t *schema.Tree, org string) bool {
	return slices.ContainsFunc(t.Organizations(), func(o *schema.Organization) bool { return org == "" || o.Slug == org })
}

// RenderGraph renders a graph as "mermaid", "dot" or "json".
func RenderGraph(g *schema.Graph, format string) (string, error) {
	switch format {
	case "", "mermaid":
		return g.Mermaid(), nil
	case "dot":
		return g.DOT(), nil
	case "json":
		b, err := json.MarshalIndent(struct {
			Nodes []schema.ResourceKey `json:"nodes"`
			Edges []schema.Reference   `json:"edges"`
		}{g.Nodes(), g.Edges()}, "", "  ")
		return string(b) + "\n", err
	}
	return "", fmt.Errorf("graph format %q: expected mermaid, dot or json", format)
}
