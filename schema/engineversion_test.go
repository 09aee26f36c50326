package schema_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// versionTree has a constraint at every level.
func versionTree(t *testing.T, change map[string]string) *schema.Tree {
	t.Helper()
	files := map[string]string{
		"modules/net/main.tf":       "",
		"modules/pu/Pulumi.yaml":    "name: x\nruntime: yaml\n",
		"acme/organization.yaml":    "kind: Organization\napiVersion: stackreeve.dev/v1\nspec:\n  engineVersion: {terraform: '~> 1.11', tofu: '>= 1.6', pulumi: '~> 3.100'}\n",
		"acme/dev/environment.yaml": "kind: Environment\napiVersion: stackreeve.dev/v1\nspec: {provisioner: tofu, engineVersion: '~> 1.9'}\n",
		"acme/net.yaml": "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: net}\n" +
			"spec:\n  apiVersion: example.dev/v1\n  kind: Net\n  engineVersion: {tofu: '>= 1.9.2'}\n  modules: {tofu: /modules/net, pulumi: /modules/pu}\n",
		"acme/dev/plain.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: plain}\nspec: {module: /modules/net}\n",
		"acme/dev/own.yaml":   "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: own}\nspec: {module: /modules/net, engineVersion: '= 1.9.4'}\n",
		"acme/dev/twin.yaml":  "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: twin}\nspec: {module: /modules/net, provisioner: terraform}\n",
		"acme/dev/net.yaml":   "apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: net}\nspec: {}\n",
		"acme/dev/pu.yaml":    "apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: pu, labels: {planton.dev/provisioner: pulumi}}\nspec: {}\n",
		"acme/dev/key.yaml": "apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: key, labels: {planton.dev/engine-version: '1.9.3'}, " +
			"annotations: {stackreeve.dev/engine-version: '1.9.5', stackreeve.dev/engine-move: imported-from-pulumi}}\nspec: {}\n",
		"acme/prod/plain.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: plain}\nspec: {module: /modules/net}\n",
	}
	fs := fstest.MapFS{}
	for name, text := range files {
		if other, ok := change[name]; ok {
			text = other
		}
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := schema.LoadFS(t.Context(), fs)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Diagnostics()) > 0 {
		t.Fatal(tree.Diagnostics())
	}
	return tree
}

// inForce is what counts for the engine of each resource, with where it stands.
func inForce(tree *schema.Tree) map[string]string {
	out := map[string]string{}
	for _, r := range tree.Resources() {
		p := r.Provisioner
		if p == "" {
			p = schema.Terraform // the daemon's default, say
		}
		v := r.EngineVersions.For(p)
		out[r.Key.String()] = string(p) + " " + v.Constraint + " at " + v.Pos.String()
	}
	return out
}

func TestTheNarrowestEngineVersionCounts(t *testing.T) {
	t.Parallel()
	tree := versionTree(t, nil)
	want := map[string]string{
		"acme/dev/TerraformStack/plain":  "tofu ~> 1.9 at acme/dev/environment.yaml:3:42",
		"acme/dev/TerraformStack/own":    "tofu = 1.9.4 at acme/dev/own.yaml:4:45",
		"acme/dev/TerraformStack/twin":   "terraform ~> 1.11 at acme/organization.yaml:4:30",
		"acme/dev/Net/net":               "tofu >= 1.9.2 at acme/net.yaml:7:25",
		"acme/dev/Net/pu":                "pulumi ~> 3.100 at acme/organization.yaml:4:65",
		"acme/dev/Net/key":               "tofu 1.9.5 at acme/dev/key.yaml:3:115",
		"acme/prod/TerraformStack/plain": "terraform ~> 1.11 at acme/organization.yaml:4:30",
	}
	if diff := cmp.Diff(want, inForce(tree)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	key, err := schema.ParseResourceKey("acme/dev/Net/key")
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := tree.Resource(key); !ok || r.EngineMove != schema.ImportedFromPulumi {
		t.Errorf("engine-move is %q", r.EngineMove)
	}
}

func TestAnEngineVersionThatMovesIsSeenByTheNextLoad(t *testing.T) {
	t.Parallel()
	loader := schema.NewLoader(schema.Options{})
	load := func(text string) map[string]string {
		t.Helper()
		src, err := schema.FromFS(fstest.MapFS{
			"m/main.tf":              {},
			"acme/organization.yaml": {Data: []byte("kind: Organization\napiVersion: stackreeve.dev/v1\nspec: {" + text + "}\n")},
			"acme/dev/a.yaml":        {Data: []byte("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: a}\nspec: {module: /m}\n")},
		})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := loader.Load(t.Context(), src)
		if err != nil || len(tree.Diagnostics()) > 0 {
			t.Fatal(err, tree.Diagnostics())
		}
		return inForce(tree)
	}
	for _, step := range []struct{ text, want string }{
		{"engineVersion: '~> 1.9'", "terraform ~> 1.9 at acme/organization.yaml:3:23"},
		{"engineVersion: '~> 1.10'", "terraform ~> 1.10 at acme/organization.yaml:3:23"},
		{"description: none", "terraform  at "},
	} {
		if got := load(step.text)["acme/dev/TerraformStack/a"]; got != step.want {
			t.Errorf("%s: %q, want %q", step.text, got, step.want)
		}
	}
}

func TestAConstraintThatNoVersionCanSatisfyIsAnError(t *testing.T) {
	t.Parallel()
	for constraint, can := range map[string]bool{
		"1.9.8":                      true,
		"v1.9.8":                     true,
		"~> 1.9":                     true,
		">= 1.6, < 2":                true,
		">= 1.6, <= 1.6":             true,
		"> 1.9.8, < 1.9.10":          true,
		"< 1":                        true,
		"!= 1.9.3":                   true,
		">= 1.9.0, < 1.9.2, != 1.9":  true,
		"~> 1.9, >= 1.9.4, != 1.9.4": true,
		"> 1.9, != 1.9.1, != 1.9.2":  true,
		"~> 1.10.0-rc1":              true,
		"> 1.10.0-rc1, < 1.10.0-rc2": true,
		">= 2, < 1":                  false,
		"1.9.8, 1.9.7":               false,
		"~> 1.9.0, >= 1.10":          false,
		"> 1.9.8, < 1.9.9":           false,
		"1.9.3, != 1.9.3":            false,
		"< 0":                        false,
	} {
		src, err := schema.FromFS(fstest.MapFS{
			"m/main.tf":       {},
			"acme/dev/a.yaml": {Data: []byte("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: a}\nspec:\n  module: /m\n  engineVersion: '" + constraint + "'\n")},
		})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := schema.NewLoader(schema.Options{}).Load(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		found := diag.Text(tree.Diagnostics(), diag.TextOptions{})
		if can && found != "" || !can && !strings.Contains(found, "acme/dev/a.yaml:6:18: error: ") || !can && !strings.Contains(found, "expected a constraint that some version satisfies") {
			t.Errorf("%q:\n%s", constraint, found)
		}
	}
}

func TestWhatAConstraintAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		constraint, number string
		want               bool
	}{
		{"", "0.1.0", true},
		{"~> 1.9", "1.9.0", true},
		{"~> 1.9", "1.11.4", true},
		{"~> 1.9", "2.0.0", false},
		{"~> 1.9.0", "1.10.0", false},
		{"1.9", "1.9.0", true},
		{"1.9", "1.9.1", false},
		{">= 1.6, < 2", "1.10.0-rc1", false},
		{">= 1.10.0-alpha", "1.10.0-rc1", true},
		{"!= 1.9.3", "1.9.3", false},
	} {
		v := schema.EngineVersion{Constraint: c.constraint}
		if got := v.Allows(version.Must(version.NewVersion(c.number))); got != c.want {
			t.Errorf("%q allows %s: %t", c.constraint, c.number, got)
		}
	}
}

func TestTheMoveThatAChangeOfEngineNeeds(t *testing.T) {
	t.Parallel()
	all := []schema.Provisioner{schema.Terraform, schema.OpenTofu, schema.Pulumi}
	got := map[string]schema.EngineMove{}
	for _, was := range all {
		for _, is := range all {
			if was != is {
				got[string(was)+" to "+string(is)] = schema.MoveBetween(was, is)
			}
		}
	}
	want := map[string]schema.EngineMove{
		"terraform to tofu": schema.StateFromTerraform, "tofu to terraform": schema.StateFromOpenTofu,
		"terraform to pulumi": schema.ImportedFromTerraform, "tofu to pulumi": schema.ImportedFromOpenTofu,
		"pulumi to terraform": schema.ImportedFromPulumi, "pulumi to tofu": schema.ImportedFromPulumi,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// bothTree is a kind with modules for each engine in two environments.
func bothTree(t *testing.T, component string, kept ...string) (engines map[string]string, tree *schema.Tree) {
	t.Helper()
	files := fstest.MapFS{
		"modules/net/main.tf":        {},
		"modules/tofu/main.tf":       {},
		"modules/pu/Pulumi.yaml":     {Data: []byte("name: x\nruntime: yaml\n")},
		"acme/prod/environment.yaml": {Data: []byte("kind: Environment\napiVersion: stackreeve.dev/v1\nspec: {provisioner: tofu}\n")},
		"acme/net.yaml": {Data: []byte("apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: net}\n" +
			"spec:\n  apiVersion: example.dev/v1\n  kind: Net\n  modules: {terraform: /modules/net, tofu: /modules/tofu, pulumi: /modules/pu}\n" + component)},
		"acme/dev/plain.yaml":  {Data: []byte("apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: plain}\nspec: {}\n")},
		"acme/dev/own.yaml":    {Data: []byte("apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: own, annotations: {stackreeve.dev/provisioner: terraform}}\nspec: {}\n")},
		"acme/prod/plain.yaml": {Data: []byte("apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: plain}\nspec: {}\n")},
		"acme/prod/stack.yaml": {Data: []byte("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: stack}\nspec: {module: /modules/net}\n")},
	}
	if len(kept) > 0 {
		files["acme/net.yaml"].Data = bytes.Replace(files["acme/net.yaml"].Data, []byte("{terraform: /modules/net, tofu: /modules/tofu, pulumi: /modules/pu}"), []byte(kept[0]), 1)
	}
	tree, err := schema.LoadFS(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	engines = map[string]string{}
	for _, r := range tree.Resources() {
		engines[r.Key.Env+"/"+r.Key.Name] = strings.TrimSpace(string(r.Provisioner) + " " + r.Module.Path + " " + r.EngineVersions.For(r.Provisioner).Constraint)
	}
	return engines, tree
}

func TestAComponentNamesTheEngineOfItsKind(t *testing.T) {
	t.Parallel()
	for component, want := range map[string]map[string]string{
		"": {"dev/plain": "tofu modules/tofu", "dev/own": "terraform modules/net", "prod/plain": "tofu modules/tofu", "prod/stack": "tofu modules/net"},
		// Narrower than the environment's, wider than the resource's own; and of its kind alone.
		"  provisioner: pulumi\n  engineVersion: '~> 3.200'\n": {
			"dev/plain": "pulumi modules/pu ~> 3.200", "dev/own": "terraform modules/net", "prod/plain": "pulumi modules/pu ~> 3.200", "prod/stack": "tofu modules/net"},
		"  provisioner: terraform\n": {
			"dev/plain": "terraform modules/net", "dev/own": "terraform modules/net", "prod/plain": "terraform modules/net", "prod/stack": "tofu modules/net"},
	} {
		got, tree := bothTree(t, component)
		if diff := cmp.Diff(want, got); diff != "" || len(tree.Diagnostics()) > 0 {
			t.Errorf("%q (-want +got):\n%s\n%v", component, diff, tree.Diagnostics())
		}
	}

	_, tree := bothTree(t, "  provisioner: packer\n")
	if found := diag.Text(tree.Diagnostics(), diag.TextOptions{}); !strings.Contains(found, "acme/net.yaml:8:16: error: ") || !strings.Contains(found, "terraform, tofu, pulumi") {
		t.Errorf("another engine:\n%s", found)
	}
	_, tree = bothTree(t, "  provisioner: pulumi\n", "{terraform: /modules/net}")
	if found := diag.Text(tree.Diagnostics(), diag.TextOptions{}); !strings.Contains(found, "kind Net has no module for pulumi") ||
		!strings.Contains(found, "the engine is the one that the kind's DeploymentComponent names; the annotation stackreeve.dev/provisioner: terraform says another") {
		t.Errorf("an engine without a module:\n%s", found)
	}
}
