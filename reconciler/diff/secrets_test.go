package diff_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

const secretStack = `apiVersion: stackreeve.dev/v1
kind: PulumiStack
metadata: {name: web}
spec:
  program: {path: /web}
  config:
    text: plain
    password: {secret: canary-one}
    both: {secret: {user: canary-two, id: {valueFrom: {kind: TerraformStack, name: net, fieldPath: status.outputs.id}}}}
`

func TestSecretConfigurationIsWrittenDownSealed(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{
		"web/Pulumi.yaml":   "name: web\nruntime: yaml\n",
		"acme/dev/web.yaml": secretStack,
		"acme/dev/net.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: net}\nspec: {module: {path: /net}}\n",
	})
	var sealed []string
	w.input.Hash = func(b []byte) string { return "hash of " + strings.Repeat("x", len(b)) }
	w.input.Seal = func(b []byte) ([]byte, error) {
		sealed = append(sealed, string(b))
		return []byte("sealed"), nil
	}
	web := func() stackjob.Desired {
		for _, c := range w.compare().Changes {
			if c.Key.Name == "web" {
				return c.Desired
			}
		}
		t.Fatal("web does not change")
		return stackjob.Desired{}
	}
	d := web()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") {
		t.Errorf("a secret is in what is written down: %s", text)
	}
	const want = `{"both":{"id":{"valueFrom":{"env":"dev","fieldPath":"status.outputs.id","kind":"TerraformStack","name":"net"}},"user":null},"password":null,"text":"plain"}`
	if string(d.Inputs) != want {
		t.Errorf("inputs = %s\nwant     %s", d.Inputs, want)
	}
	if len(sealed) < 2 || !strings.Contains(sealed[0], "canary-two") || sealed[1] != `"canary-one"` {
		t.Errorf("sealed %q", sealed)
	}
	if refs, err := schema.ReferencesIn(d.Inputs); err != nil || len(refs) != 1 {
		t.Errorf("references = %v, %v: who reads what is no longer known", refs, err)
	}

	was := d.Digest()
	w.converge(t)
	if again := w.compare(); len(again.Changes) > 0 {
		t.Errorf("what was applied is to be applied again: %+v", again.Changes)
	}
	w.files["acme/dev/web.yaml"] = strings.Replace(secretStack, "canary-one", "canary-longer", 1)
	w.reload(t)
	if d = web(); d.Digest() == was {
		t.Error("another secret is the same desired state")
	}
	if because := w.compare().Changes[0].Because; len(because) != 1 || because[0] != (stackjob.Because{Cause: stackjob.CauseSpec, Detail: "password"}) {
		t.Errorf("because = %+v", because)
	}
	w.files["acme/dev/web.yaml"] = strings.Replace(secretStack, "text: plain", "text: {secret: plain}", 1)
	w.reload(t)
	if d = web(); strings.Contains(string(d.Inputs), "plain") {
		t.Errorf("what became a secret is written down: %s", d.Inputs)
	}
}
