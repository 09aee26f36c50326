package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// variablesOf loads a TerraformStack with these variables and returns its inputs.
func variablesOf(t *testing.T, variables string) string {
	t.Helper()
	tree := schematest.Load(t, map[string]string{
		"acme/dev/s.yaml":     "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s}\nspec:\n  module: /modules/m\n  variables:\n" + variables,
		"modules/m/main.tf":   "",
		"modules/m/x.yaml":    "not: [a document",
		"acme/.hidden/x.yaml": "a: [",
	})
	return string(tree.Resources()[0].Inputs)
}

func TestScalarsAreReadAsYAML12(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"no": `"no"`, "yes": `"yes"`, "on": `"on"`, "Off": `"Off"`, "y": `"y"`,
		"true": "true", "False": "false", "TRUE": "true", `"true"`: `"true"`,
		"~": "null", "null": "null", "": "null", "NULL": "null", "nUll": `"nUll"`,
		"12:30": `"12:30"`, "1_000": `"1_000"`, "2020-01-01": `"2020-01-01"`, "0b11": `"0b11"`,
		"0o17": "15", "0x1F": "31", "0xg": `"0xg"`, "+1": "1", "-0": "-0", "007": "7", "-12": "-12",
		"1.0": "1.0", ".5": "0.5", "5.": "5.0", "1e3": "1e3", "1.5E-7": "1.5E-7", "-.5e+1": "-0.5e+1", "1e": `"1e"`, ".": `"."`, "-x": `"-x"`,
		"123456789012345678901234567890":     "123456789012345678901234567890",
		"3.14159265358979323846264338327950": "3.14159265358979323846264338327950",
		"0xffffffffffffffffffff":             "1208925819614629174706175",
		"!!str 12":                           `"12"`, "! 12": `"12"`, "!!float 1": "1", `!!int "3"`: "3", "!!bool true": "true",
		`"a\u00e9\n"`: `"aé\n"`, "'it''s'": `"it's"`, "a # comment": `"a"`,
		"|\n      two\n      lines":  `"two\nlines\n"`,
		">-\n      two\n      lines": `"two lines"`,
		"[1, {b: 2, a: 1}]":          `[1,{"a":1,"b":2}]`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got, want := variablesOf(t, "    v: "+text+"\n"), `{"v":`+want+`}`; got != want {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		})
	}
}

func TestMergeKeysFillInWhatIsNotWritten(t *testing.T) {
	t.Parallel()
	got := variablesOf(t, `    base: &base {a: 1, b: {c: 2}}
    more: &more {a: 9, d: 4}
    one: {<<: *base, a: 0}
    two: {<<: [*base, *more], e: 5}
    quoted: {"<<": text}
    again: *base
`)
	const want = `{"again":{"a":1,"b":{"c":2}},"base":{"a":1,"b":{"c":2}},"more":{"a":9,"d":4},` +
		`"one":{"a":0,"b":{"c":2}},"quoted":{"<<":"text"},"two":{"a":1,"b":{"c":2},"d":4,"e":5}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

const widget = `
	apiVersion: stackreeve.dev/v1
	kind: DeploymentComponent
	metadata: {name: widget}
	spec:
	  apiVersion: test.planton.dev/v1
	  kind: Widget
	  schema:
	    type: object
	    $defs:
	      ref: {type: object, properties: {value: {type: string}, valueFrom: {type: object}}, additionalProperties: false}
	    properties:
	      vpcId: {$ref: "#/$defs/ref"}
	      subnetIds: {type: array, items: {$ref: "#/$defs/ref"}}
	      cidrBlock: {type: string}
	      nodeCount: {type: integer, default: 3}
	      isPublic: {type: [boolean, "null"]}
	      nodePool:
	        type: object
	        properties:
	          machineType: {type: string, default: small}
	          diskGb: {type: integer}
	      extraTags: {type: object, additionalProperties: {type: string}}
	      freeForm: {type: object}
	      hostAliases: {type: object, additionalProperties: {type: object, properties: {hostName: {type: string}}}}
	  modules: {terraform: /modules/widget}
	`

func TestInputsOfCatalogueKindsAreSpelledForTheModule(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"acme/components/widget.yaml": widget,
		"modules/widget/main.tf":      "",
		"acme/dev/w.yaml": `
			apiVersion: test.project-planton.org/v1
			kind: Widget
			metadata:
			  name: My Widget
			  id: w_1
			  group: shown
			  labels: {camelKey: v, enabled: true}
			  annotations: {planton.dev/provisioner: OpenTofu}
			  tags: [one, 2]
			spec:
			  vpcId: vpc-1
			  subnet_ids: [{value: a}, b, {valueFrom: {kind: Widget, name: Other One, fieldPath: status.outputs.subnet_id}}]
			  cidrBlock: {value: 10.0.0.0/8}
			  isPublic: null
			  nodePool: {diskGb: 0x10}
			  extraTags: {costCentre: x, snake_case: y}
			  freeForm: {someKey: {innerKey: [1]}, valueFrom: {secretKeyRef: {name: x}}}
			  hostAliases: {myHost: {hostName: a}}
			status: {outputs: {ignored: true}}
			---
			apiVersion: test.planton.dev/v1
			kind: Widget
			metadata: {name: other-one, slug: other-one, org: acme, env: dev}
			spec: {cidrBlock: null}
			`,
	})
	r, ok := tree.Resource(schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Widget", Name: "my-widget"})
	if !ok {
		t.Fatal("the resource is missing")
	}
	const want = `{"metadata":{"annotations":{"planton.dev/provisioner":"OpenTofu"},"env":"dev","id":"w_1","labels":{"camelKey":"v","enabled":"true"},` +
		`"name":"My Widget","org":"acme","tags":["one","2"]},"spec":{"cidr_block":"10.0.0.0/8","extra_tags":{"costCentre":"x","snake_case":"y"},` +
		`"free_form":{"someKey":{"innerKey":[1]},"valueFrom":{"secretKeyRef":{"name":"x"}}},"host_aliases":{"myHost":{"host_name":"a"}},"is_public":null,` +
		`"node_count":3,"node_pool":{"disk_gb":16,"machine_type":"small"},"subnet_ids":["a","b",{"valueFrom":{"env":"dev","fieldPath":"status.outputs.subnet_id",` +
		`"kind":"Widget","name":"other-one"}}],"vpc_id":"vpc-1"}}`
	if diff := cmp.Diff(want, string(r.Inputs)); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{"nodePool.machineType": `"small"`, "node_pool.disk_gb": "16", "subnetIds[1]": `"b"`, "vpcId": `"vpc-1"`} {
		if got, ok := schema.Lookup(r.Spec, path); !ok || string(got) != want {
			t.Errorf("spec.%s is %s, want %s", path, got, want)
		}
	}
	if r.Provisioner != schema.OpenTofu || r.Metadata.Group != "shown" {
		t.Errorf("provisioner %q, group %q", r.Provisioner, r.Metadata.Group)
	}
	other := tree.Resources()[1]
	if got, want := string(other.Inputs), `{"metadata":{"env":"dev","name":"other-one","org":"acme"},"spec":{"node_count":3}}`; got != want {
		t.Errorf("inputs of a resource with nothing set: %s, want %s", got, want)
	}
	if len(tree.Diagnostics()) != 0 {
		t.Errorf("findings: %v", tree.Diagnostics())
	}
}

func TestReferencesAreNormalisedAndResolved(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"acme/components/widget.yaml": widget,
		"modules/widget/main.tf":      "",
		"acme/prod/w.yaml":            "apiVersion: test.planton.dev/v1\nkind: Widget\nmetadata: {name: base}\nspec: {cidrBlock: 10.0.0.0/8}\n",
		"acme/dev/s.yaml": schematest.Stack("s", "/modules/widget", "variables:",
			"  a: {value_from: {kind: Widget, env: prod, name: Base, field_path: spec.cidr_block}}",
			"  l: [{valueFrom: {kind: Widget, env: prod, name: base, fieldPath: metadata.name}}]",
			"  data: {valueFrom: {configMapKeyRef: {name: x}}}"),
	})
	r := tree.Resources()[0]
	base := schema.ResourceKey{Org: "acme", Env: "prod", Kind: "Widget", Name: "base"}
	want := []schema.Reference{
		{Kind: schema.ValueFrom, From: r.Key, To: base, FieldPath: "spec.cidr_block", Path: "spec.variables.a", Pos: diag.Position{File: "acme/dev/s.yaml", Line: 7, Column: 9}},
		{Kind: schema.ValueFrom, From: r.Key, To: base, FieldPath: "metadata.name", Path: "spec.variables.l[0]", Pos: diag.Position{File: "acme/dev/s.yaml", Line: 8, Column: 10}},
	}
	if diff := cmp.Diff(want, r.References); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	base.Org = ""
	got, err := schema.ReferencesIn(r.Inputs)
	wantIn := []schema.Reference{{Kind: schema.ValueFrom, To: base, FieldPath: "spec.cidr_block"}, {Kind: schema.ValueFrom, To: base, FieldPath: "metadata.name"}}
	if diff := cmp.Diff(wantIn, got); err != nil || diff != "" {
		t.Errorf("references in the inputs: %v (-want +got):\n%s", err, diff)
	}
	resolved, err := schema.Resolve(r.Inputs, func(ref schema.Reference) (json.RawMessage, error) {
		return json.RawMessage(fmt.Sprintf(`{"z":1,"a":%q}`, ref.FieldPath)), nil
	})
	const wantResolved = `{"a":{"a":"spec.cidr_block","z":1},"data":{"valueFrom":{"configMapKeyRef":{"name":"x"}}},"l":[{"a":"metadata.name","z":1}]}`
	if err != nil || string(resolved) != wantResolved {
		t.Errorf("resolved to %s, %v", resolved, err)
	}
	noValue := errors.New("no value yet")
	if _, err := schema.Resolve(r.Inputs, func(schema.Reference) (json.RawMessage, error) { return nil, noValue }); !errors.Is(err, noValue) {
		t.Errorf("a reference without a value gives %v", err)
	}
}

func TestPositionFindsAValueInEitherSpelling(t *testing.T) {
	t.Parallel()
	tree := schematest.Load(t, map[string]string{
		"modules/m/main.tf": "",
		"acme/dev/s.yaml":   "# first\n---\n" + schematest.Stack("other", "/modules/m") + "---\n" + schematest.Stack("s", "/modules/m", "var_files: [a.tfvars]", "variables: {é: 1, list: [x, {deep: y}]}"),
	})
	key := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "s"}
	for path, want := range map[string]string{
		"metadata.name": "acme/dev/s.yaml:11:18 true", "spec.varFiles[0]": "acme/dev/s.yaml:14:15 true",
		"spec.variables.list.1.deep": "acme/dev/s.yaml:15:38 true", "spec.variables.list[7]": "acme/dev/s.yaml:15:27 false", "spec.nothing.there": "acme/dev/s.yaml:13:3 false",
	} {
		at, ok := tree.Position(key, path)
		if got := fmt.Sprint(at, ok); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
	if _, ok := tree.Position(schema.ResourceKey{Org: "acme"}, "spec"); ok {
		t.Error("a resource that does not exist has a place")
	}
}

func TestLookupReadsBothSpellingsAndKeysWithDots(t *testing.T) {
	t.Parallel()
	doc := json.RawMessage(`{"vpc_id":"a","subnetIds":["x",{"id":"y"}],"tags":{"a.b/c":"d"},"n":null,"ref":{"valueFrom":{"kind":"K","env":"e","name":"n","fieldPath":"p"}}}`)
	for path, want := range map[string]string{"vpcId": `"a"`, "vpc_id": `"a"`, "subnet_ids[1].id": `"y"`, "subnetIds.0": `"x"`, "tags.a.b/c": `"d"`, "n": "null",
		"ref.anything": `{"valueFrom":{"env":"e","fieldPath":"p","kind":"K","name":"n"}}`} {
		if got, ok := schema.Lookup(doc, path); !ok || string(got) != want {
			t.Errorf("%s is %s %t, want %s", path, got, ok, want)
		}
	}
	for _, path := range []string{"x", "subnetIds[2]", "subnetIds.x", "vpcId.deeper", "subnetIds[-1]"} {
		if got, ok := schema.Lookup(doc, path); ok {
			t.Errorf("%s is %s", path, got)
		}
	}
}
