package diff_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// pulumiStack is a PulumiStack of the program in shop, with the rest of its spec.
func pulumiStack(name, spec string) string {
	return "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: " + name + "}\nspec: {program: /modules/shop, " + spec + "}\n"
}

func pulumiProject(name string) string { return "name: " + name + "\nruntime: yaml\n" }

func TestWhatMovedAtPulumiIsNamed(t *testing.T) {
	t.Parallel()
	const before = "backend: {url: 's3://canary'}, stack: {name: live}, config: {a: {secret: x}, b: y}"
	for spec, want := range map[string]string{
		before: "",
		"backend: {url: 's3://other-canary'}, stack: {name: live}, config: {a: {secret: x}, b: y}":                                        "[backend: backend]",
		"backend: {url: 's3://canary'}, config: {a: {secret: x}, b: y}":                                                                   "[backend: stack live → dev.PulumiStack.shop]",
		"backend: {url: 's3://canary'}, stack: {name: live, project: other}, config: {a: {secret: x}, b: y}":                              "[backend: project shop → other]",
		"backend: {url: 's3://canary'}, stack: {name: live}, config: {a: x, b: {secret: y}}":                                              "[spec: a, b, which is secret: a, b]",
		"backend: {url: 's3://canary'}, stack: {name: live}, config: {a: {secret: canary}, b: y}":                                         "[spec: a]",
		"backend: {url: 's3://canary'}, stack: {name: live}, config: {a: {secret: x}, b: y}, secretsProvider: 'hashivault://canary'":      "[backend: secrets provider]",
		"backend: {url: 'https://canary'}, stack: {name: live, organization: acme}, config: {a: {secret: x}, b: y}, preventDestroy: true": "[spec: prevent-destroy] [backend: organization none → acme, backend]",
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]string{"modules/shop/Pulumi.yaml": pulumiProject("shop"), "acme/dev/shop.yaml": pulumiStack("shop", before)})
			w.converge(t)
			w.files["acme/dev/shop.yaml"] = pulumiStack("shop", spec)
			w.reload(t)
			if want == "" {
				expect(t, w.compare())
				return
			}
			expect(t, w.compare(), "apply dev/shop "+want)
			if strings.Contains(want, "canary") || strings.Contains(strings.Join(lines(w.compare()), ""), "canary") {
				t.Error("a cause shows a value")
			}
		})
	}
}

func TestProjectOfTheProgramIsDesired(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"modules/shop/Pulumi.yaml": pulumiProject("shop"), "acme/dev/shop.yaml": pulumiStack("shop", "config: {}")})
	k := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "PulumiStack", Name: "shop"}
	desired := func() stackjob.Desired {
		r, ok := w.input.Tree.Resource(k)
		if !ok {
			t.Fatalf("no resource: %v", w.input.Tree.Diagnostics())
		}
		d, why := diff.Desire(w.input, r)
		if why != nil {
			t.Fatal(why)
		}
		return d
	}
	before := desired()
	if before.Pulumi == nil || before.Pulumi.Project != "shop" || before.StatePlace() != "" {
		t.Errorf("settings %+v, place %q", before.Pulumi, before.StatePlace())
	}
	w.converge(t)
	w.files["modules/shop/Pulumi.yaml"] = pulumiProject("store")
	w.reload(t)
	expect(t, w.compare(), "apply dev/shop [backend: project shop → store]")
	if desired().Digest() == before.Digest() {
		t.Error("another project has the same digest")
	}
}

// TestRenamedPulumiStackIsNotDestroyedFromUnderTheNewOne gives a document another name,
// while the stack at Pulumi keeps its own.
func TestRenamedPulumiStackIsNotDestroyedFromUnderTheNewOne(t *testing.T) {
	t.Parallel()
	const inUse = "destroy dev/old [removed: acme/dev/shop.yaml] REFUSED state-in-use (acme/dev/PulumiStack/new)"
	const gone = "destroy dev/old [removed: acme/dev/shop.yaml]"
	for name, c := range map[string]struct{ before, after, project, want string }{
		"the same stack":     {before: "backend: {url: 's3://b'}, stack: {name: live}", after: "backend: {url: 's3://B/'}, stack: {name: live, project: shop}", want: inUse},
		"another stack":      {before: "backend: {url: 's3://b'}, stack: {name: live}", after: "backend: {url: 's3://b'}", want: gone},
		"another project":    {before: "backend: {url: 's3://b'}, stack: {name: live}", after: "backend: {url: 's3://b'}, stack: {name: live}", project: "store", want: gone},
		"folders of its own": {before: "stack: {name: live}", after: "stack: {name: live}", want: gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]string{"modules/shop/Pulumi.yaml": pulumiProject("shop"), "acme/dev/shop.yaml": pulumiStack("old", c.before)})
			w.converge(t)
			w.files["acme/dev/shop.yaml"] = pulumiStack("new", c.after)
			if c.project != "" {
				w.files["modules/shop/Pulumi.yaml"] = pulumiProject(c.project)
			}
			w.reload(t)
			expect(t, w.compare(), "apply dev/new [new]", c.want)
		})
	}
}
