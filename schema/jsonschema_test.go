package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func indented(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func TestOwnKindsHaveSchemas(t *testing.T) {
	t.Parallel()
	for _, kind := range schema.OwnKinds() {
		raw, ok := schema.JSONSchema(kind)
		if !ok {
			t.Fatalf("%s has no schema", kind)
		}
		goldentest.Compare(t, filepath.Join("testdata", "jsonschema", kind+".json"), indented(t, raw))
	}
	if _, ok := schema.JSONSchema("Widget"); ok {
		t.Error("a kind that is not ours has a schema")
	}
}

// TestEditorAndLoaderAgree holds documents against the schemas that editors get: what
// the loader takes in its canonical spelling, the schema takes too.
func TestEditorAndLoaderAgree(t *testing.T) {
	t.Parallel()
	documents := map[string]string{
		"acme/organization.yaml":      "apiVersion: stackreeve.dev/v1\nkind: Organization\nmetadata: {name: Acme}\nspec: {description: d, provisioner: tofu}\n",
		"acme/dev/environment.yaml":   "apiVersion: stackreeve.dev/v1\nkind: Environment\n",
		"acme/components/widget.yaml": schematest.Dedent(widget),
		"acme/modules/m.yaml":         "apiVersion: stackreeve.dev/v1\nkind: IacModule\nmetadata: {name: m}\nspec: {kind: Widget, provisioner: tofu, git: {url: 'https://example.com/m.git', ref: v1}}\n",
		"acme/policies/p.yaml":        policyText("{kind: environment, id: prod}", "{isManual: true}"),
		"acme/policies/q.yaml":        "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: q}\nspec: {selector: {kind: environment, id: dev}, flowControl: {}, approvals: {required: 2, from: [team/core, 'github:bob'], authorMayApprove: true, byReview: true}, applyBeforeMerge: true, override: {from: [ada]}}\n",
		"acme/teams/ada.yaml":         "apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: Ada}\nspec: {email: ada@example.com, logins: [{forge: gitlab, login: ada}, 'github:ada'], operatingSystemUser: ada, tokenName: ada}\n",
		"acme/teams/core.yaml":        "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: core}\nspec: {members: [ada, 'github:grace', {memberType: identity_account, slug: ada}]}\n",
		"acme/dev/s.yaml":             schematest.Stack("s", "/m", "variables: {a: [1]}", "backend: {type: s3, config: {bucket: b}}", "varFiles: [a]"),
		"acme/dev/t.yaml":             schematest.Stack("t", "{git: {url: 'https://example.com/x.git'}}"),
		"acme/dev/p.yaml": pulumiStack("p", "", "config: {region: eu, aws:region: eu, db: {secret: {user: u}}, tree: {a: {b: [1]}}, ref: {valueFrom: {kind: TerraformStack, name: s, fieldPath: status.outputs.x}}}",
			"provisioner: pulumi", "backend: {url: 'https://api.pulumi.com'}", "secretsProvider: passphrase", "stack: {organization: acme, project: p, name: n}", "preventDestroy: true"),
		"acme/dev/w.yaml": `apiVersion: test.planton.dev/v1
kind: Widget
metadata: {name: w, labels: {a: b}, relationships: [{kind: TerraformStack, name: s, type: uses}]}
spec: {cidrBlock: {valueFrom: {kind: TerraformStack, name: s, fieldPath: status.outputs.x}}, nodeCount: 1, vpcId: {value: x}}
`,
	}
	files := map[string]string{"m/main.tf": "", "modules/web/Pulumi.yaml": program, "modules/widget/main.tf": ""}
	for p, c := range documents {
		files[p] = c
	}
	tree := schematest.Load(t, files)
	schemas := tree.JSONSchemas()
	if len(schemas) != len(schema.OwnKinds())+2 {
		t.Errorf("%d schemas", len(schemas))
	}
	goldentest.Compare(t, "testdata/jsonschema/registered.json", indented(t, schemas["Widget"]))
	for _, use := range []string{"", schema.CombinedSchema} {
		for p, text := range documents {
			doc := decoded(t, text)
			kind := use
			if kind == "" {
				kind = doc.(map[string]any)["kind"].(string)
			}
			if err := compiled(t, schemas[kind]).Validate(doc); err != nil {
				t.Errorf("%s against %s: %v", p, kind, err)
			}
		}
	}
	for _, wrong := range []string{"kind: Widget\napiVersion: a/v1\nmetadata: {}\nspec: {}", "kind: Widget\napiVersion: a/v1\nmetadata: {name: a}\nspec: {nodeCount: x}",
		"kind: TerraformStack\napiVersion: a/v1\nmetadata: {name: a}\nspec: {module: [x]}",
		"kind: Team\napiVersion: a/v1\nmetadata: {name: a}\nspec: {members: [{login: x}]}", "kind: IdentityAccount\napiVersion: a/v1\nmetadata: {name: a}\nspec: {logins: [{forge: svn, login: x}]}",
		pulumiStack("p", "", "config: {a: {secret: x, b: y}}"), pulumiStack("p", "", "config: {'a:b:c': 1}"), pulumiStack("p", "", "provisioner: tofu"), pulumiStack("p", "", "backend: {}"),
		"kind: Nobody\napiVersion: a/v1\nmetadata: {name: a}\nspec: {}"} {
		if compiled(t, schemas[schema.CombinedSchema]).Validate(decoded(t, wrong)) == nil {
			t.Errorf("the combined schema takes %s", wrong)
		}
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func compiled(t *testing.T, raw json.RawMessage) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem://x.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem://x.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemasDoNotChangeBetweenRuns(t *testing.T) {
	t.Parallel()
	files := map[string]string{"acme/components/widget.yaml": widget, "modules/widget/main.tf": ""}
	if diff := cmp.Diff(schematest.Load(t, files).JSONSchemas(), schematest.Load(t, files).JSONSchemas()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat("testdata/jsonschema"); err != nil {
		t.Error(err)
	}
}
