package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

const program = "name: web\nruntime: yaml\n"

// pulumiStack is a PulumiStack with these entries of metadata, and lines under spec.
func pulumiStack(name, metadata string, spec ...string) string {
	s := fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: %s%s}\nspec:\n  program: /modules/web\n", name, metadata)
	for _, l := range spec {
		s += "  " + l + "\n"
	}
	return s
}

func TestPulumiStackIsReadWhole(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"modules/web/Pulumi.yaml": program, "m/main.tf": "",
		"acme/organization.yaml":    "apiVersion: stackreeve.dev/v1\nkind: Organization\nspec: {provisioner: tofu}\n",
		"acme/dev/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\nspec: {provisioner: terraform}\n",
		"acme/dev/vpc.yaml":         schematest.Stack("vpc", "/m"),
		"acme/dev/web.yaml": pulumiStack("Web Shop", "", "config:", "  region: eu-west", "  aws:region: eu-west-1", "  nothing: null", "  empty: {secret: null}", "  count: 3",
			"  vpcId: {valueFrom: {kind: TerraformStack, name: vpc, fieldPath: status.outputs.id}}",
			"  db: {secret: {user: web, password: {valueFrom: {kind: TerraformStack, name: vpc, fieldPath: status.outputs.password}}}}",
			"  api:key: {secret: 's3cret'}",
			"  tree: [{deep: {valueFrom: {kind: TerraformStack, name: vpc, fieldPath: metadata.name}}}, {secret: a, name: b}]",
			"backend: {url: 'postgres://reeve@db.example/states?sslmode=require'}", "secrets_provider: 'awskms://alias/reeve?region=eu-west-1'",
			"stack: {project: shop, name: live}", "preventDestroy: true"),
	})
	key := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "PulumiStack", Name: "web-shop"}
	r, ok := tree.Resource(key)
	if !ok {
		t.Fatal("the resource is missing")
	}
	vpc := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "vpc"}
	reference := func(field string) string {
		return `{"valueFrom":{"env":"dev","fieldPath":"` + field + `","kind":"TerraformStack","name":"vpc"}}`
	}
	at := func(line, column int) diag.Position {
		return diag.Position{File: "acme/dev/web.yaml", Line: line, Column: column}
	}
	open := `"aws:region":"eu-west-1","count":3`
	rest := `"region":"eu-west","tree":[{"deep":` + reference("metadata.name") + `},{"name":"b","secret":"a"}],"vpcId":` + reference("status.outputs.id")
	want := schema.Resource{
		Document: r.Document, Key: key, Module: schema.ModuleSource{Path: "modules/web"}, Provisioner: schema.Pulumi, PreventDestroy: true,
		Pulumi: &schema.PulumiSettings{Project: "shop", Stack: "live", BackendURL: "postgres://reeve@db.example/states?sslmode=require",
			SecretsProvider: "awskms://alias/reeve?region=eu-west-1", SecretConfig: []string{"api:key", "db"}},
		Inputs: json.RawMessage(`{"api:key":"s3cret","aws:region":"eu-west-1","count":3,"db":{"password":` + reference("status.outputs.password") + `,"user":"web"},` + rest + `}`),
		Spec: json.RawMessage(`{"backend":{"url":"postgres://reeve@db.example/states?sslmode=require"},"config":{` + open + `,` + rest +
			`},"preventDestroy":true,"program":"/modules/web","secretsProvider":"awskms://alias/reeve?region=eu-west-1","stack":{"name":"live","project":"shop"}}`),
		References: []schema.Reference{
			{Kind: schema.ValueFrom, From: key, To: vpc, FieldPath: "status.outputs.id", Path: "spec.config.vpcId", Pos: at(12, 13)},
			{Kind: schema.ValueFrom, From: key, To: vpc, FieldPath: "status.outputs.password", Path: "spec.config.db.secret.password", Pos: at(13, 41)},
			{Kind: schema.ValueFrom, From: key, To: vpc, FieldPath: "metadata.name", Path: "spec.config.tree[0].deep", Pos: at(15, 20)},
		},
	}
	if diff := cmp.Diff(want, *r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, ref := range r.References {
		if pos, ok := tree.Position(key, ref.Path+".valueFrom"); !ok || pos.Line != ref.Pos.Line {
			t.Errorf("%s is at %s, %t", ref.Path, pos, ok)
		}
	}
	resolved, err := schema.Resolve(r.Inputs, func(ref schema.Reference) (json.RawMessage, error) {
		return json.RawMessage(`"<` + ref.FieldPath + `>"`), nil
	})
	const wantResolved = `{"api:key":"s3cret","aws:region":"eu-west-1","count":3,"db":{"password":"<status.outputs.password>","user":"web"},` +
		`"region":"eu-west","tree":[{"deep":"<metadata.name>"},{"name":"b","secret":"a"}],"vpcId":"<status.outputs.id>"}`
	if err != nil || string(resolved) != wantResolved {
		t.Errorf("resolved to %s, %v", resolved, err)
	}
}

func TestNamesAndPlacesOfPulumiStacks(t *testing.T) {
	t.Parallel()
	cloud := "backend: {url: 'https://api.pulumi.com'}"
	own := schema.PulumiSettings{Stack: "dev.PulumiStack.s", SecretsProvider: "passphrase"}
	with := func(change func(*schema.PulumiSettings)) schema.PulumiSettings {
		p := own
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		metadata string
		spec     []string
		want     schema.PulumiSettings
		warned   bool
	}{
		"nothing said":      {want: own},
		"the defaults said": {spec: []string{"secretsProvider: passphrase", "stack: {organization: organization, name: dev.PulumiStack.s}"}, want: own},
		"a whole name": {metadata: ", labels: {pulumi.planton.dev/stack.fqdn: acme/shop/dev.Web.s}", spec: []string{cloud},
			want: with(func(p *schema.PulumiSettings) {
				p.Organization, p.Project, p.Stack, p.BackendURL = "acme", "shop", "dev.Web.s", "https://api.pulumi.com"
			})},
		"a whole name before its parts": {metadata: ", labels: {pulumi.openmcf.org/stack.fqdn: organization/shop/live}, annotations: {pulumi.planton.dev/project: other, pulumi.planton.dev/stack.name: other}",
			want: with(func(p *schema.PulumiSettings) { p.Project, p.Stack = "shop", "live" })},
		"annotations before labels": {metadata: ", labels: {pulumi.planton.dev/project: label, pulumi.planton.dev/stack.name: label}, annotations: {pulumi.project-planton.org/project: annotation}",
			want: with(func(p *schema.PulumiSettings) { p.Project, p.Stack = "annotation", "label" })},
		"the spec before keys": {metadata: ", annotations: {pulumi.planton.dev/stack.fqdn: acme/shop/live, pulumi.stackreeve.dev/backend.url: 'gs://b', pulumi.stackreeve.dev/secrets-provider: 'hashivault://key'}",
			spec: []string{"backend: {url: 's3://b/p'}", "secretsProvider: 'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k'", "stack: {organization: organization, name: spec}"},
			want: with(func(p *schema.PulumiSettings) {
				p.Project, p.Stack, p.BackendURL = "shop", "spec", "s3://b/p"
				p.SecretsProvider = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
			})},
		"keys for backend and secrets": {metadata: ", annotations: {pulumi.stackreeve.dev/backend.url: 'azblob://c?storage_account=s', pulumi.stackreeve.dev/secrets-provider: 'azurekeyvault://v.vault.azure.net/keys/k'}",
			want: with(func(p *schema.PulumiSettings) {
				p.BackendURL, p.SecretsProvider = "azblob://c?storage_account=s", "azurekeyvault://v.vault.azure.net/keys/k"
			})},
		"an organization without Pulumi Cloud": {metadata: ", labels: {pulumi.planton.dev/organization: acme}", spec: []string{"backend: {url: 'file:///srv/states'}"}, warned: true,
			want: with(func(p *schema.PulumiSettings) { p.BackendURL = "file:///srv/states" })},
		"Terraform's keys": {metadata: ", labels: {terraform.planton.dev/backend.type: s3}", want: own},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := schematest.Load(t, map[string]string{"modules/web/Pulumi.yml": program, "acme/dev/s.yaml": pulumiStack("s", c.metadata, c.spec...)})
			r := tree.Resources()[0]
			if diff := cmp.Diff(&c.want, r.Pulumi); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.Provisioner != schema.Pulumi || r.Backend.Type != "" || string(r.Inputs) != "{}" {
				t.Errorf("provisioner %s, backend %v, inputs %s", r.Provisioner, r.Backend, r.Inputs)
			}
			if warned := len(tree.Diagnostics()) > 0; warned != c.warned {
				t.Errorf("findings: %v", codes(tree.Diagnostics()))
			}
		})
	}
}

func TestPulumiProgramsOfTheCatalogueGetTheManifest(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"acme/components/widget.yaml": strings.Replace(schematest.Dedent(widget), "modules: {terraform: /modules/widget}", "modules: {terraform: /modules/widget, pulumi: /modules/web}", 1),
		"modules/widget/main.tf":      "", "modules/web/Pulumi.yaml": program,
		"acme/prod/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\nspec: {provisioner: pulumi}\n",
		"acme/prod/w.yaml": `
			apiVersion: test.project-planton.org/v1
			kind: Widget
			metadata:
			  name: My Widget
			  group: shown
			  labels: {pulumi.planton.dev/stack.fqdn: organization/widgets/prod.Widget.mine, terraform.planton.dev/backend.type: pg}
			  relationships: [{kind: Widget, env: dev, name: other}]
			spec:
			  vpcId: {valueFrom: {kind: Widget, env: dev, name: other, fieldPath: status.outputs.vpc_id}}
			  subnet_ids: [{value: a}, b, {valueFrom: {kind: Widget, env: dev, name: other, fieldPath: status.outputs.subnet_id}}]
			  cidrBlock: {valueFrom: {kind: Widget, env: dev, name: other, fieldPath: spec.cidrBlock}}
			  isPublic: null
			  nodePool: {disk_gb: 0x10}
			  extraTags: {costCentre: x, snake_case: y}
			  freeForm: {someKey: {innerKey: [1]}, valueFrom: {secretKeyRef: {name: x}}}
			`,
		"acme/dev/w.yaml": "apiVersion: test.planton.dev/v1\nkind: Widget\nmetadata: {name: other, labels: {pulumi.planton.dev/stack.fqdn: a}}\nspec: {cidrBlock: 10.0.0.0/8, vpcId: x}\n",
	})
	r, ok := tree.Resource(schema.ResourceKey{Org: "acme", Env: "prod", Kind: "Widget", Name: "my-widget"})
	if !ok {
		t.Fatal("the resource is missing")
	}
	wantSettings := &schema.PulumiSettings{Project: "widgets", Stack: "prod.Widget.mine", SecretsProvider: "passphrase", StackInput: true}
	if diff := cmp.Diff(wantSettings, r.Pulumi); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if r.Provisioner != schema.Pulumi || r.Module.Path != "modules/web" || r.Backend.Type != "" {
		t.Errorf("provisioner %s, module %s, backend %v", r.Provisioner, r.Module, r.Backend)
	}
	input := func(vpc, subnet, cidr string) string {
		return `{"target":{"apiVersion":"test.planton.dev/v1","kind":"Widget","metadata":{"env":"prod","group":"shown","labels":{` +
			`"pulumi.planton.dev/stack.fqdn":"organization/widgets/prod.Widget.mine","terraform.planton.dev/backend.type":"pg"},` +
			`"name":"My Widget","org":"acme","slug":"my-widget"},"spec":{"cidrBlock":` + cidr + `,"extraTags":{"costCentre":"x","snake_case":"y"},` +
			`"freeForm":{"someKey":{"innerKey":[1]},"valueFrom":{"secretKeyRef":{"name":"x"}}},"isPublic":null,"nodeCount":3,` +
			`"nodePool":{"diskGb":16,"machineType":"small"},"subnetIds":[{"value":"a"},{"value":"b"},{"value":` + subnet + `}],"vpcId":{"value":` + vpc + `}}}}`
	}
	reference := func(field string) string {
		return `{"valueFrom":{"env":"dev","fieldPath":"` + field + `","kind":"Widget","name":"other"}}`
	}
	if diff := cmp.Diff(input(reference("status.outputs.vpc_id"), reference("status.outputs.subnet_id"), reference("spec.cidrBlock")), string(r.Inputs)); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	resolved, err := schema.Resolve(r.Inputs, func(ref schema.Reference) (json.RawMessage, error) {
		return json.RawMessage(`"` + ref.FieldPath + `"`), nil
	})
	if diff := cmp.Diff(input(`"status.outputs.vpc_id"`, `"status.outputs.subnet_id"`, `"spec.cidrBlock"`), string(resolved)); err != nil || diff != "" {
		t.Errorf("resolved: %v (-want +got):\n%s", err, diff)
	}
	var paths []string
	for _, ref := range r.References {
		paths = append(paths, ref.Path)
	}
	if diff := cmp.Diff([]string{"metadata.relationships", "spec.vpcId", "spec.subnet_ids[2]", "spec.cidrBlock"}, paths); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	// What others read of it does not depend on the engine.
	if got, _ := schema.Lookup(r.Spec, "subnetIds[0]"); string(got) != `"a"` {
		t.Errorf("spec %s", r.Spec)
	}
	// The same component is run by Terraform elsewhere, and Pulumi's names mean nothing there.
	other, _ := tree.Resource(schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Widget", Name: "other"})
	const wantOther = `{"metadata":{"env":"dev","labels":{"pulumi.planton.dev/stack.fqdn":"a"},"name":"other","org":"acme"},"spec":{"cidr_block":"10.0.0.0/8","node_count":3,"vpc_id":"x"}}`
	if other.Pulumi != nil || other.Module.Path != "modules/widget" || string(other.Inputs) != wantOther {
		t.Errorf("settings %v, module %s, inputs %s", other.Pulumi, other.Module, other.Inputs)
	}
}

// TestProjectIsFollowed changes only the Pulumi.yaml of a program, by which two stacks
// come to have one place and lose it again.
func TestProjectIsFollowed(t *testing.T) {
	t.Parallel()
	stack := func(name, folder string) string {
		return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: %s}\nspec: {program: /modules/%s, backend: {url: 's3://b'}, stack: {name: x}}\n", name, folder)
	}
	src := newMemory(map[string]string{"modules/a/Pulumi.yaml": program, "modules/b/Pulumi.yaml": "name: other\nruntime: {name: go}\n", "modules/b/Pulumi.yml": program,
		"acme/dev/a.yaml": stack("a", "a"), "acme/dev/b.yaml": stack("b", "b")})
	l := schema.NewLoader(schema.Options{})
	for i, step := range []struct {
		edits map[string]string
		want  string
	}{
		{},
		{edits: map[string]string{"modules/b/Pulumi.yaml": program}, want: "state-shared at acme/dev/b.yaml:3:18"},
		{edits: map[string]string{"modules/b/Pulumi.yaml": "name: other\n"}, want: "invalid-program at acme/dev/b.yaml:4:17"},
		{edits: map[string]string{"modules/b/Pulumi.yaml": ""}, want: "state-shared at acme/dev/b.yaml:3:18"},
		{edits: map[string]string{"modules/b/Pulumi.yml": ""}, want: "missing-module at acme/dev/b.yaml:4:17"},
		{edits: map[string]string{"modules/b/Pulumi.yaml": "name: &n third\nruntime: *r\nx: &r go\n"}, want: "invalid-program at acme/dev/b.yaml:4:17"},
		{edits: map[string]string{"modules/b/Pulumi.yaml": "x: [&r go]\nname: third\nruntime: *r\n80: {<<: 1}\n"}},
	} {
		src = src.commit(step.edits)
		tree := mustLoad(t, l, src)
		if got := strings.Join(codes(tree.Diagnostics()), " "); got != step.want {
			t.Errorf("step %d gives %q, want %q", i, got, step.want)
		}
		for _, r := range tree.Resources() {
			if p := tree.PulumiSettings(r); r.Pulumi.Project != "" || r.Key.Name == "a" && p.Project != "web" || i == 0 && r.Key.Name == "b" && p.Project != "other" {
				t.Errorf("step %d: the project of %s is %q, with the program's %q", i, r.Key.Name, r.Pulumi.Project, p.Project)
			}
		}
	}
}

func TestRootCanBeAProgram(t *testing.T) {
	t.Parallel()
	tree := schematest.LoadAny(t, map[string]string{"Pulumi.yaml": program, "Pulumi.dev.yaml": "config: {web:a: b}\n",
		"acme/dev/s.yaml": "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: s}\nspec: {program: /}\n"})
	if got := codes(tree.Diagnostics()); len(got) > 0 || len(tree.Resources()) != 1 {
		t.Errorf("%d resources, findings %v", len(tree.Resources()), got)
	}
}

func TestLargeProjectIsNotRead(t *testing.T) {
	t.Parallel()
	src := newMemory(map[string]string{"modules/web/Pulumi.yaml": program + "#" + strings.Repeat("x", 1000), "acme/dev/s.yaml": pulumiStack("s", "")})
	tree := mustLoad(t, schema.NewLoader(schema.Options{MaxFileBytes: 500}), src)
	if diff := cmp.Diff([]string{"invalid-program at acme/dev/s.yaml:5:12"}, codes(tree.Diagnostics())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
