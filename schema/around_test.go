package schema_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
)

// TestTheGraphAroundAnEnvironment leaves out what others have among themselves, and keeps
// the order in which a producer comes first.
func TestTheGraphAroundAnEnvironment(t *testing.T) {
	t.Parallel()
	stack := func(name, env, needs string) string {
		s := "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: " + name + "}\nspec:\n  module: {path: /modules/a}\n"
		if needs != "" {
			s += "  variables: {id: {valueFrom: {kind: TerraformStack, env: " + env + ", name: " + needs + ", fieldPath: status.outputs.id}}}\n"
		}
		return s + "---\n"
	}
	tree, err := schema.LoadFS(context.Background(), fstest.MapFS{
		"modules/a/main.tf":     {Data: []byte("output \"id\" { value = 1 }\n")},
		"acme/base/all.yaml":    {Data: []byte(stack("net", "", "") + stack("zone", "base", "net") + stack("alone", "", ""))},
		"acme/dev/all.yaml":     {Data: []byte(stack("app", "base", "zone") + stack("job", "dev", "app") + stack("lone", "", ""))},
		"acme/prod/all.yaml":    {Data: []byte(stack("app", "base", "zone") + stack("watch", "dev", "job"))},
		"zoo/dev/elsewhere.yml": {Data: []byte(stack("cage", "", ""))},
	})
	if err != nil || tree.Diagnostics().HasErrors() {
		t.Fatal(err, tree.Diagnostics())
	}
	g := tree.Graph("acme").Around("acme", "dev")
	var nodes, edges []string
	for _, n := range g.Nodes() {
		nodes = append(nodes, n.Env+"/"+n.Name)
	}
	for _, e := range g.Edges() {
		edges = append(edges, e.From.Env+"/"+e.From.Name+" needs "+e.To.Env+"/"+e.To.Name)
	}
	if d := cmp.Diff([]string{"base/zone", "dev/app", "dev/job", "dev/lone", "prod/watch"}, nodes); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"dev/app needs base/zone", "dev/job needs dev/app", "prod/watch needs dev/job"}, edges); d != "" {
		t.Errorf("edges (-want +got):\n%s", d)
	}
	for _, n := range g.Nodes() {
		for _, p := range g.Producers(n) {
			if !strings.Contains(strings.Join(edges, "\n"), n.Env+"/"+n.Name+" needs "+p.Env+"/"+p.Name) {
				t.Errorf("%s needs %s, of which there is no edge", n, p)
			}
		}
		for _, c := range g.Consumers(n) {
			if !strings.Contains(strings.Join(edges, "\n"), c.Env+"/"+c.Name+" needs "+n.Env+"/"+n.Name) {
				t.Errorf("%s is needed by %s, of which there is no edge", n, c)
			}
		}
	}
}
