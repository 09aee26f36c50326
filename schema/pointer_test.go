package schema_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func TestPointerFindsItsPart(t *testing.T) {
	t.Parallel()
	const v = `{"a/b":{"m~n":[1,{"x":"y"}]},"list":[]}`
	for pointer, want := range map[string]string{
		"":                                         v,
		schema.Pointer("", "a/b", "m~n", "1"):      `{"x":"y"}`,
		schema.Pointer("/a~1b", "m~n", "0"):        `1`,
		"/a~1b/m~0n/2":                             "",
		"/a~1b/m~0n/-1":                            "",
		"/a~1b/m~0n/0/x":                           "",
		"/gone":                                    "",
		schema.Pointer("", "list"):                 `[]`,
		schema.Pointer("/a~1b/m~0n", "1", "x"):     `"y"`,
		schema.Pointer("/a~1b", "m/n"):             "",
		schema.Pointer("", strings.Repeat("l", 9)): "",
	} {
		got, err := schema.At(json.RawMessage(v), pointer)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", pointer, got, err, want)
		}
	}
	for pointer, want := range map[string]string{
		"":              `"was {\"a/b\":{\"m~n\":[1,{\"x\":\"y\"}]},\"list\":[]}"`,
		"/a~1b/m~0n/0":  `{"a/b":{"m~n":["was 1",{"x":"y"}]},"list":[]}`,
		"/a~1b/m~0n/2":  v,
		"/a~1b/gone/to": v,
	} {
		got, err := schema.ReplaceAt(json.RawMessage(v), pointer, func(part json.RawMessage) (json.RawMessage, error) {
			return json.Marshal("was " + string(part))
		})
		if err != nil || string(got) != want {
			t.Errorf("%s replaced: %s, %v; want %s", pointer, got, err, want)
		}
	}
	if _, err := schema.At(json.RawMessage("{"), "/a"); err == nil {
		t.Error("what is no JSON has parts")
	}
	if got := schema.PointerPath("/target/spec/users/0/pass~1word"); got != "target.spec.users[0].pass/word" {
		t.Errorf("path = %s", got)
	}
}

func TestResolveTellsWhereAValueGoes(t *testing.T) {
	t.Parallel()
	reference := `{"valueFrom":{"env":"dev","fieldPath":"status.outputs.id","kind":"K","name":"n"}}`
	var places []string
	got, err := schema.ResolveAt(json.RawMessage(`{"a/b":[0,`+reference+`],"c":`+reference+`}`), func(_ schema.Reference, at string) (json.RawMessage, error) {
		places = append(places, at)
		return json.RawMessage(`"` + at + `"`), nil
	})
	if err != nil || string(got) != `{"a/b":[0,"/a~1b/1"],"c":"/c"}` || !slices.Equal(places, []string{"/a~1b/1", "/c"}) {
		t.Errorf("%s at %q, %v", got, places, err)
	}
}

func TestPartsOfAStackInputThatTheSchemaCallsSecretAreNamed(t *testing.T) {
	t.Parallel()
	component := `
		apiVersion: stackreeve.dev/v1
		kind: DeploymentComponent
		metadata: {name: vault}
		spec:
		  apiVersion: test.example.com/v1
		  kind: Vault
		  schema:
		    type: object
		    properties:
		      password: {type: string, writeOnly: true}
		      unset: {type: string, writeOnly: true}
		      token: {type: object, properties: {value: {type: string, writeOnly: true}, valueFrom: {type: object}}}
		      users: {type: array, items: {type: object, properties: {name: {type: string}, key: {type: object, x-sensitive: true}}}}
		      byName: {type: object, additionalProperties: {type: string, writeOnly: true}}
		  modules: {pulumi: /modules/web, terraform: /modules/vault}
		`
	document := func(provisioner string) string {
		return `
		apiVersion: test.example.com/v1
		kind: Vault
		metadata: {name: ` + provisioner + `, annotations: {stackreeve.dev/provisioner: ` + provisioner + `}}
		spec:
		  password: canary
		  token: {valueFrom: {kind: Vault, name: other, fieldPath: status.outputs.password}}
		  users: [{name: a}, {name: b, key: {x: canary}}]
		  byName: {a/b: canary}
		`
	}
	tree := schematest.Load(t, map[string]string{
		"acme/components/vault.yaml": component, "modules/web/Pulumi.yaml": program, "modules/vault/main.tf": "",
		"acme/dev/a.yaml": document("pulumi"), "acme/dev/b.yaml": document("terraform"),
		"acme/dev/c.yaml": "apiVersion: test.example.com/v1\nkind: Vault\nmetadata: {name: other, annotations: {stackreeve.dev/provisioner: terraform}}\nspec: {password: canary}\n",
	})
	key := func(name string) schema.ResourceKey {
		return schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Vault", Name: name}
	}
	for engine, want := range map[string][]string{
		"pulumi":    {"/target/spec/byName/a~1b", "/target/spec/password", "/target/spec/token/value", "/target/spec/users/1/key"},
		"terraform": {"/spec/by_name/a~1b", "/spec/password", "/spec/token", "/spec/users/1/key"},
	} {
		r, ok := tree.Resource(key(engine))
		if !ok {
			t.Fatalf("findings %v", codes(tree.Diagnostics()))
		}
		if diff := cmp.Diff(want, r.SecretInputs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", engine, diff)
		}
		for _, place := range want {
			part, err := schema.At(r.Inputs, place)
			if err != nil || part == nil {
				t.Errorf("there is nothing at %s: %v", place, err)
			}
		}
		if got, want := string(r.Spec), `{"byName":{},"users":[{"name":"a"},{"name":"b"}]}`; got != want {
			t.Errorf("others read %s, want %s", got, want)
		}
	}
	tree = schematest.LoadAny(t, map[string]string{
		"acme/components/vault.yaml": component, "modules/web/Pulumi.yaml": program, "modules/vault/main.tf": "",
		"acme/dev/c.yaml": "apiVersion: test.example.com/v1\nkind: Vault\nmetadata: {name: one}\nspec: {password: canary}\n---\n" +
			"apiVersion: test.example.com/v1\nkind: Vault\nmetadata: {name: two}\nspec: {password: {valueFrom: {kind: Vault, name: one, fieldPath: spec.password}}}\n",
	})
	found := tree.Diagnostics()
	if len(found) != 1 || found[0].Code != diag.DanglingReference || !strings.Contains(found[0].Hint, "secret") {
		t.Errorf("a secret that another reads: %+v", found)
	}
}
