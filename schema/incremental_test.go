package schema_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// view is all that a tree says.
type view struct {
	Hash          string
	Diagnostics   diag.List
	Organizations []*schema.Organization
	Environments  []*schema.Environment
	Components    []*schema.Component
	Modules       []*schema.Module
	Policies      []*schema.Policy
	Accounts      []*schema.IdentityAccount
	Teams         []*schema.Team
	Resources     []*schema.Resource
	Frozen        map[string]diag.Diagnostic
	Nodes         map[string][]schema.ResourceKey
	Edges         map[string][]schema.Reference
}

func viewOf(t *schema.Tree) view {
	v := view{Hash: t.TreeHash(), Diagnostics: t.Diagnostics(), Organizations: t.Organizations(), Environments: t.Environments(),
		Components: t.Components(), Modules: t.Modules(), Policies: t.Policies(), Accounts: t.Accounts(), Teams: t.Teams(), Resources: t.Resources(),
		Frozen: map[string]diag.Diagnostic{}, Nodes: map[string][]schema.ResourceKey{}, Edges: map[string][]schema.Reference{}}
	for _, e := range t.Environments() {
		if d, ok := t.Frozen(e.Org, e.Slug); ok {
			v.Frozen[e.Org+"/"+e.Slug] = d
		}
	}
	for _, o := range t.Organizations() {
		v.Nodes[o.Slug], v.Edges[o.Slug] = t.Graph(o.Slug).Nodes(), t.Graph(o.Slug).Edges()
	}
	return v
}

// pieces are contents that a file of the random repository can have, right and wrong.
func pieces() []string {
	net := func(name, spec string) string {
		return fmt.Sprintf("apiVersion: test.planton.dev/v1\nkind: Network\nmetadata: {name: %s}\nspec: %s\n", name, spec)
	}
	own := func(kind, name, spec string) string {
		return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n", kind, name, spec)
	}
	return []string{
		"", "", "a: [\n", "text\n", "kind: Nothing\n",
		net("a", "{cidrBlock: x}"), net("a", "{cidrBlock: {valueFrom: {kind: Network, name: b, fieldPath: status.outputs.id}}}"),
		net("b", "{cidrBlock: {valueFrom: {kind: Network, name: a, fieldPath: spec.cidrBlock}}}"),
		net("b", "{cidrBlock: {valueFrom: {kind: Network, env: prod, name: a, fieldPath: status.outputs.id}}}"),
		net("a", "{cidrBlock: 5}") + "---\n" + net("c", "{}"), net("d", "{cidrBlok: x}"),
		own("TerraformStack", "s", "{module: ./code, variables: {a: {valueFrom: {kind: Network, name: a, fieldPath: status.outputs.id}}}}"),
		own("TerraformStack", "s", "{module: /acme/modules/network}"),
		own("PulumiStack", "p", "{program: ../sub, config: {a: {secret: {valueFrom: {kind: Network, name: a, fieldPath: status.outputs.id}}}, aws:region: x}, backend: {url: 's3://b'}, stack: {name: x}}"),
		own("PulumiStack", "q", "{program: ./sub, config: {a: {b: {secret: c}}}, backend: {url: 's3://B/'}, stack: {name: x}}"),
		own("PulumiStack", "q", "{module: ./sub, provisioner: tofu, backend: {url: 'https://u:p@x'}, secretsProvider: 'awskms://'}"),
		"apiVersion: test.planton.dev/v1\nkind: Network\nmetadata: {name: a, annotations: {planton.dev/provisioner: pulumi, pulumi.planton.dev/stack.fqdn: o/p}}\nspec: {cidrBlock: x}\n",
		own("Environment", "x", "{protected: true, provisioner: tofu}"), own("Environment", "x", "{provisioner: pulumi}"), own("Organization", "x", "{provisioner: terraform}"),
		own("FlowControlPolicy", "p", "{selector: {kind: environment, id: dev}, flowControl: {isManual: true}}"),
		own("FlowControlPolicy", "q", "{selector: {kind: Network, id: 'a*'}, flowControl: {}}") + "---\n" +
			own("FlowControlPolicy", "r", "{selector: {kind: Network, id: 'a?*'}, flowControl: {}}"),
		component("Network", "cidrBlock: {type: string}"), component("Network", "cidrBlock: {type: string, default: d}\n      size: {type: integer, default: 1}"),
		component("Network", "cidrBlock: {type: nonsense}"),
		own("IacModule", "n", "{kind: Network, provisioner: pulumi, path: /acme/dev/sub}"),
		own("IacModule", "m", "{kind: Network, provisioner: tofu, git: {url: 'https://example.com/m.git'}}"),
		own("IdentityAccount", "ada", "{logins: [github:ada]}"), own("IdentityAccount", "grace", "{logins: [github:ADA]}"),
		own("IdentityAccount", "bob", "{logins: [bob]}"), own("Team", "core", "{members: [ada, grace]}"), own("Team", "core", "{members: [github:ada]}"),
		own("FlowControlPolicy", "s", "{selector: {kind: environment, id: prod}, flowControl: {}, approvals: {required: 2, from: [team/core, ada, github:bob]}}"),
		own("FlowControlPolicy", "t", "{selector: {kind: platform}, flowControl: {}, approvals: {from: [team/core]}, override: {from: [ada]}}"),
	}
}

// TestIncrementalLoadEqualsColdLoad makes random commits: whatever the loader keeps
// from the trees before, the result is that of a loader that knows nothing.
func TestIncrementalLoadEqualsColdLoad(t *testing.T) {
	t.Parallel()
	paths := []string{"platform.yaml", "acme/organization.yaml", "acme/components/net.yaml", "acme/components/net2.yaml", "acme/policies/p.yaml", "acme/teams/ada.yaml", "acme/teams/t.yaml",
		"acme/modules/m.yaml", "acme/dev/environment.yaml", "acme/dev/a.yaml", "acme/dev/sub/b.yaml", "acme/dev/code/c.yaml", "acme/prod/a.yaml",
		"acme/Prod/x.yaml", "other/dev/a.yaml", "stray.yaml"}
	code := []string{"acme/modules/network/main.tf", "acme/dev/code/main.tf", "acme/dev/main.tf", "acme/dev/sub/Pulumi.yaml"}
	rapid.Check(t, func(t *rapid.T) {
		texts := pieces()
		src := newMemory(map[string]string{"acme/components/net.yaml": component("Network", "cidrBlock: {type: string}"),
			"acme/modules/network/main.tf": "x", "acme/dev/a.yaml": texts[5]})
		l := schema.NewLoader(schema.Options{})
		mustLoadRapid(t, l, src)
		for range rapid.IntRange(1, 6).Draw(t, "commits") {
			edits := map[string]string{}
			for range rapid.IntRange(1, 4).Draw(t, "edits") {
				if rapid.IntRange(0, 4).Draw(t, "code") == 0 {
					edits[rapid.SampledFrom(code).Draw(t, "path")] = rapid.SampledFrom([]string{"", "x", "y", "name: a\nruntime: go\n", "name: b\nruntime: {name: yaml}\n"}).Draw(t, "text")
					continue
				}
				edits[rapid.SampledFrom(paths).Draw(t, "path")] = rapid.SampledFrom(texts).Draw(t, "text")
			}
			src = src.commit(edits)
			if rapid.IntRange(0, 5).Draw(t, "stranger") == 0 {
				src = src.stranger()
			}
			warm := viewOf(mustLoadRapid(t, l, src))
			cold := viewOf(mustLoadRapid(t, schema.NewLoader(schema.Options{}), src.stranger()))
			if diff := cmp.Diff(cold, warm); diff != "" {
				t.Fatalf("after %v (-cold +warm):\n%s", edits, diff)
			}
		}
	})
}

func mustLoadRapid(t *rapid.T, l *schema.Loader, src schema.Source) *schema.Tree {
	tree, err := l.Load(t.Context(), src)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return tree
}
