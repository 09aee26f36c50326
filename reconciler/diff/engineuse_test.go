package diff_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func TestWhatStacksAskOfEnginesIsToldOnceForEachNeed(t *testing.T) {
	t.Parallel()
	program := "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: %s}\nspec: {program: {path: %s}}\n"
	w := setup(t, map[string]string{
		"acme/organization.yaml":     "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {engineVersion: {tofu: '~> 1.9', terraform: '~> 1.11'}}\n",
		"acme/dev/a.yaml":            schematest.Stack("a", "/net"),
		"acme/dev/b.yaml":            schematest.Stack("b", "/net"),
		"acme/dev/c.yaml":            schematest.Stack("c", "/net", "provisioner: terraform"),
		"acme/dev/d.yaml":            schematest.Stack("d", "/net", "engineVersion: '> 2'"),
		"acme/dev/d2.yaml":           schematest.Stack("d2", "/net", "preventDestroy: true", "engineVersion: '> 2'"),
		"acme/dev/e.yaml":            schematest.Stack("e", "/net"),
		"acme/dev/p.yaml":            fmt.Sprintf(program, "p", "/modules/yaml"),
		"acme/dev/q.yaml":            fmt.Sprintf(program, "q", "/modules/nodejs"),
		"acme/broken/f.yaml":         "kind: [\n",
		"acme/broken/g.yaml":         schematest.Stack("g", "/net", "provisioner: terraform", "engineVersion: '> 7'"),
		"modules/yaml/Pulumi.yaml":   "name: x\nruntime: yaml\n",
		"modules/nodejs/Pulumi.yaml": "name: x\nruntime: {name: nodejs, options: {typescript: true}}\n",
	})
	// What no document names stays with the engine that made it.
	w.stacks[key("dev", "e")] = stackjob.Stack{Key: key("dev", "e"), Observed: &stackjob.Observed{Desired: stackjob.Desired{Provisioner: schema.Terraform}}}
	w.input.Stacks = w.stacks
	told := func(want func(schema.ResourceKey) bool) []string {
		var out []string
		for _, u := range diff.EngineUses(w.input, want) {
			var of []string
			for _, k := range u.Of {
				of = append(of, k.Name)
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", strings.Join(of, " "), u.Provisioner, u.Version.Constraint, u.Runtime)))
		}
		return out
	}
	all := []string{"a b: tofu ~> 1.9", "p: pulumi  yaml", "q: pulumi  nodejs", "c e: terraform ~> 1.11", "d d2: tofu > 2"}
	got := told(func(schema.ResourceKey) bool { return true })
	if d := cmp.Diff(len(all), len(got)); d != "" {
		t.Fatalf("%q", got)
	}
	for _, line := range all {
		if !strings.Contains(strings.Join(got, "\n"), line) {
			t.Errorf("%q is not in %q", line, got)
		}
	}
	if d := cmp.Diff([]string{"b: tofu ~> 1.9"}, told(func(k schema.ResourceKey) bool { return k.Name == "b" })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
