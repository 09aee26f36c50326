package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema/schematest"
)

// TestSchemaBombsAreCounted holds deep documents against schemas that double the work at
// each level: if the validator saw them, the test would not end.
func TestSchemaBombsAreCounted(t *testing.T) {
	t.Parallel()
	const depth = 60
	deep := strings.Repeat("{a: ", depth) + "5" + strings.Repeat("}", depth)
	chain := `{$defs: {l0: {type: string}`
	for i := range 40 {
		chain += fmt.Sprintf(`, l%d: {anyOf: [{$ref: "#/$defs/l%d"}, {$ref: "#/$defs/l%d"}]}`, i+1, i, i)
	}
	for name, c := range map[string]struct {
		schema, spec string
		want         []string
	}{
		"recursion in anyOf":     {`{$defs: {n: {type: object, properties: {a: {anyOf: [{$ref: "#/$defs/n"}, {$ref: "#/$defs/n"}]}}}}, $ref: "#/$defs/n"}`, deep, []string{"schema-too-costly at acme/dev/x.yaml:4:1"}},
		"recursion in not":       {`{not: {properties: {a: {$ref: "#"}}}, if: {properties: {a: {$ref: "#"}}}}`, deep, []string{"schema-too-costly at acme/dev/x.yaml:4:1"}},
		"recursion by an anchor": {`{$anchor: top, additionalProperties: {allOf: [{$ref: "#top"}, {$ref: "#top"}]}}`, deep, []string{"schema-too-costly at acme/dev/x.yaml:4:1"}},
		"a chain":                {chain + `}, type: object, additionalProperties: {$ref: "#/$defs/l40"}}`, "{a: 5}", []string{"schema-too-costly at acme/dev/x.yaml:4:1"}},
		"honest recursion": {`{$defs: {n: {oneOf: [{type: string}, {type: object, additionalProperties: {$ref: "#/$defs/n"}}, {type: array, items: {$ref: "#/$defs/n"}}]}}, $ref: "#/$defs/n"}`,
			strings.Replace(deep, "5", "[x, y]", 1), nil},
		"a recursion that goes nowhere": {`{$defs: {n: {allOf: [{$ref: "#/$defs/n"}]}}, type: object, additionalProperties: true}`, "{a: 5}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := schematest.LoadAny(t, map[string]string{
				"acme/components/x.yaml": "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: x}\nspec:\n  apiVersion: a.planton.dev/v1\n  kind: X\n  schema: " + c.schema + "\n  modules: {terraform: /m}\n",
				"m/main.tf":              "",
				"acme/dev/x.yaml":        "apiVersion: a.planton.dev/v1\nkind: X\nmetadata: {name: x}\nspec: " + c.spec + "\n",
			})
			if diff := cmp.Diff(c.want, codes(tree.Diagnostics())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
