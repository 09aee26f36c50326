package diff_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/diff"
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

// TestWhatASchemaCallsSecretIsWrittenDownSealed holds for the modules of every engine.
func TestWhatASchemaCallsSecretIsWrittenDownSealed(t *testing.T) {
	t.Parallel()
	component := func(password string) string {
		return "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: shop}\nspec:\n  apiVersion: test.example.com/v1\n  kind: Shop\n" +
			"  schema: {type: object, properties: {userList: {type: array, items: {type: object, properties: {name: {type: string}, passWord: " + password + "}}}}}\n" +
			"  modules: {pulumi: /pulumi, terraform: /terraform}\n"
	}
	const open, secret = "{type: string}", "{type: string, writeOnly: true}"
	for provisioner, c := range map[string]struct{ inputs, place, path string }{
		"pulumi":    {`"spec":{"userList":[{"name":"a","passWord":null}]}`, "/target/spec/userList/0/passWord", "target.spec.userList[0].passWord"},
		"terraform": {`"spec":{"user_list":[{"name":"a","pass_word":null}]}`, "/spec/user_list/0/pass_word", "spec.user_list[0].pass_word"},
	} {
		t.Run(provisioner, func(t *testing.T) {
			t.Parallel()
			document := func(password string) string {
				return "apiVersion: test.example.com/v1\nkind: Shop\nmetadata: {name: shop, annotations: {stackreeve.dev/provisioner: " + provisioner + "}}\nspec: {userList: [{name: a, passWord: " + password + "}]}\n"
			}
			w := setup(t, map[string]string{"pulumi/Pulumi.yaml": pulumiProject("shop"), "terraform/main.tf": "", "acme/components/shop.yaml": component(secret), "acme/dev/shop.yaml": document("canary-one")})
			var sealed []string
			w.input.Hash = func(b []byte) string { return "hash of " + strings.Repeat("x", len(b)) }
			w.input.Seal = func(b []byte) ([]byte, error) {
				sealed = append(sealed, string(b))
				return []byte("sealed"), nil
			}
			d := w.compare().Changes[0].Desired
			text, err := json.Marshal(d)
			if err != nil || strings.Contains(string(text), "canary") {
				t.Errorf("a secret is in what is written down: %s, %v", text, err)
			}
			if !strings.Contains(string(d.Inputs), c.inputs) || len(d.Secrets) != 1 || string(d.Secrets[c.place].Sealed) != "sealed" || sealed[0] != `"canary-one"` {
				t.Errorf("inputs = %s, secrets %v, sealed %q", d.Inputs, d.Secrets, sealed)
			}
			w.converge(t)
			expect(t, w.compare())
			w.files["acme/dev/shop.yaml"] = document("canary-longer")
			w.reload(t)
			expect(t, w.compare(), "apply dev/shop [spec: "+c.path+"]")
			if w.compare().Changes[0].Desired.Digest() == d.Digest() {
				t.Error("another secret is the same desired state")
			}
			// What is no secret any more is written down as it is.
			w.converge(t)
			w.files["acme/components/shop.yaml"] = component(open)
			w.reload(t)
			expect(t, w.compare(), "apply dev/shop [spec: "+c.path+"]")

			w.files["acme/components/shop.yaml"] = component(secret)
			w.reload(t)
			w.input.Seal = func([]byte) ([]byte, error) { return nil, errors.New("no key") }
			if d, why := diff.Desire(w.input, w.input.Tree.Resources()[0]); why == nil || string(d.Inputs) != "{}" || len(d.Secrets) > 0 {
				t.Errorf("what cannot be sealed: %v, %s", why, d.Inputs)
			}
		})
	}
}

// TestWhatMovedIsNamedInOneOrder holds for the modules of every engine and for a PulumiStack:
// what is secret stands among what is not, and where it came and went.
func TestWhatMovedIsNamedInOneOrder(t *testing.T) {
	t.Parallel()
	component := "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: shop}\nspec:\n  apiVersion: test.example.com/v1\n  kind: Shop\n" +
		"  schema: {type: object, properties: {alpha: {}, beta: {writeOnly: true}, gamma: {type: array, items: {type: object, properties: {key: {writeOnly: true}, open: {}}}}, zeta: {writeOnly: true}}}\n" +
		"  modules: {pulumi: /pulumi, terraform: /terraform}\n"
	for name, c := range map[string]struct{ document, list, want string }{
		"terraform": {"apiVersion: test.example.com/v1\nkind: Shop\nmetadata: {name: shop, annotations: {stackreeve.dev/provisioner: terraform}}\nspec: ",
			"[{key: K, open: O}]", "spec.alpha, spec.beta, spec.gamma[0].key, spec.gamma[0].open, spec.zeta"},
		"pulumi": {"apiVersion: test.example.com/v1\nkind: Shop\nmetadata: {name: shop, annotations: {stackreeve.dev/provisioner: pulumi}}\nspec: ",
			"[{key: K, open: O}]", "target.spec.alpha, target.spec.beta, target.spec.gamma[0].key, target.spec.gamma[0].open, target.spec.zeta"},
		"PulumiStack": {"apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: shop}\nspec:\n  program: /pulumi\n  config: ",
			"{secret: [K, O]}", "alpha, beta, gamma, zeta"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document := func(key, open, zeta string) string {
				beta := key + "-canary"
				if name == "PulumiStack" {
					beta, zeta = "{secret: "+beta+"}", "{secret: "+zeta+"}"
				}
				return c.document + "{alpha: " + open + ", beta: " + beta + ", gamma: " + strings.NewReplacer("K", key, "O", open).Replace(c.list) + ", zeta: " + zeta + "}\n"
			}
			w := setup(t, map[string]string{"pulumi/Pulumi.yaml": pulumiProject("shop"), "terraform/main.tf": "", "acme/components/shop.yaml": component, "acme/dev/shop.yaml": document("k1", "o1", "z1")})
			w.converge(t)
			w.files["acme/dev/shop.yaml"] = document("k2", "o2", "z2")
			w.reload(t)
			expect(t, w.compare(), "apply dev/shop [spec: "+c.want+"]")
			w.files["acme/dev/shop.yaml"] = document("k1", "o1", "{a: z1}") // another shape of a secret
			w.reload(t)
			last := c.want[strings.LastIndex(c.want, " ")+1:]
			expect(t, w.compare(), "apply dev/shop [spec: "+last+"]")
		})
	}
}
