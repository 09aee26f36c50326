package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// vault is a kind with a module for each engine, which keep the password and give all that
// the document says.
func vault(plugins string) []string {
	return []string{
		"acme/components/vault.yaml", `apiVersion: stackreeve.dev/v1
kind: DeploymentComponent
metadata: {name: vault}
spec:
  apiVersion: test.example.com/v1
  kind: Vault
  schema:
    type: object
    required: [password]
    properties:
      password: {type: string}
      pin: {type: string, writeOnly: true}
      displayName: {type: string}
      sizeGb: {type: number}
      isOpen: {type: boolean, default: false}
      userNames: {type: array, items: {type: string}}
      freeForm: {type: object}
  modules: {pulumi: /modules/vault/pulumi, terraform: /modules/vault/terraform}
`,
		"modules/vault/pulumi/Pulumi.yaml", fmt.Sprintf(`name: vault
runtime: yaml
plugins: {providers: [{name: lab, path: %q}]}
variables: {spec: "${planton:stack-input.target.spec}"}
resources:
  kept: {type: "lab:Data", properties: {value: "${spec.password}"}}
outputs:
  name: ${planton:stack-input.target.metadata.name}
  display_name: ${spec.displayName}
  size: ${spec.sizeGb}
  open: ${spec.isOpen}
  users: ${spec.userNames}
  free: ${spec.freeForm}
  password: {fn::secret: "${kept.output}"}
`, plugins),
		"modules/vault/terraform/main.tf", `
variable "metadata" { type = object({ name = string }) }
variable "spec" { type = any }
resource "terraform_data" "kept" { input = var.spec.password }
output "name" { value = var.metadata.name }
output "display_name" { value = var.spec.display_name }
output "size" { value = var.spec.size_gb }
output "open" { value = var.spec.is_open }
output "users" { value = var.spec.user_names }
output "free" { value = var.spec.free_form }
output "password" {
  value     = terraform_data.kept.output
  sensitive = true
}
`}
}

// vaultDocument is a vault of that name for the engine.
func vaultDocument(provisioner, more string) string {
	return fmt.Sprintf(`apiVersion: test.example.com/v1
kind: Vault
metadata: {name: main, annotations: {stackreeve.dev/provisioner: %s}}
spec:
  displayName: "Größe, ${not} a {{reference}}\n"
  sizeGb: 12.5
  isOpen: true
  userNames: [ada, "", linus]
  freeForm: {someKey: [1, {deepKey: two}], "a.b/c": false}
  %s
`, provisioner, more)
}

// TestAComponentGivesEqualOutputsByEveryEngine runs one document by both modules of its
// component.
func TestAComponentGivesEqualOutputsByEveryEngine(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		e, plugins := tooltest.Pulumi(t)
		w.engines = []tooltest.Engine{e}
		w.write("acme/policies/at-once.yaml", atOnce,
			"acme/dev/vault.yaml", vaultDocument("pulumi", "password: open-sesame"),
			"acme/prod/vault.yaml", vaultDocument(w.engine.Name, "password: open-sesame"))
		w.write(vault(plugins)...)
		w.commit("two vaults")
		w.start()
		pulumi, terraform := w.await("acme/dev/Vault/main", stackjob.Succeeded), w.await("acme/prod/Vault/main", stackjob.Succeeded)
		if pulumi.Plan.Engine != e.String() || terraform.Plan.Engine != w.engine.String() || pulumi.Plan.Counts != terraform.Plan.Counts {
			t.Errorf("%s: %v, %s: %v", pulumi.Plan.Engine, pulumi.Plan.Counts, terraform.Plan.Engine, terraform.Plan.Counts)
		}
		got := w.outputs("acme/dev/Vault/main")
		if diff := cmp.Diff(w.outputs("acme/prod/Vault/main"), got); diff != "" {
			t.Errorf("outputs by %s (-) and %s (+):\n%s", w.engine, e, diff)
		}
		values := map[string]string{}
		for name, o := range got {
			values[name] = string(o.Value)
		}
		want := map[string]string{"name": `"main"`, "display_name": `"Größe, ${not} a {{reference}}\n"`, "size": "12.5", "open": "true",
			"users": `["ada","","linus"]`, "free": `{"a.b/c":false,"someKey":[1,{"deepKey":"two"}]}`, "password": ""}
		if diff := cmp.Diff(want, values); diff != "" {
			t.Errorf("outputs (-want +got):\n%s", diff)
		}

		// Another password is the same change by both.
		w.write("acme/dev/vault.yaml", vaultDocument("pulumi", "password: another"),
			"acme/prod/vault.yaml", vaultDocument(w.engine.Name, "password: another"))
		w.commit("another password")
		for _, stack := range []string{"acme/dev/Vault/main", "acme/prod/Vault/main"} {
			if j := w.await(stack, stackjob.Succeeded); j.Plan.Counts != (stackjob.Counts{Update: 1}) {
				t.Errorf("%s: %v", stack, j.Plan.Counts)
			}
			now := w.outputs(stack)
			if now["password"].Hash == got["password"].Hash || now["size"].Hash != got["size"].Hash {
				t.Errorf("%s: outputs %+v", stack, now)
			}
		}
	})
}

// TestSecretsOfAComponentAreEqualAndSealedByEveryEngine puts a sensitive output into both.
func TestSecretsOfAComponentAreEqualAndSealedByEveryEngine(t *testing.T) {
	t.Parallel()
	const canary, pin = "canary-Vx3-into-a-component", "canary-Pn7-of-the-schema"
	w := onOneEngine(t)
	e, plugins := tooltest.Pulumi(t)
	w.engines = []tooltest.Engine{e}
	reads := "password: {valueFrom: {kind: PulumiStack, env: dev, name: a, fieldPath: status.outputs.password}}\n  pin: " + pin
	w.write("acme/policies/at-once.yaml", atOnce, "modules/lab/Pulumi.yaml", pulumiProgram(plugins), "acme/dev/a.yaml", w.pulumiDocument("a", "one", canary),
		"acme/dev/vault.yaml", vaultDocument("pulumi", reads), "acme/prod/vault.yaml", vaultDocument(w.engine.Name, reads))
	w.write(vault(plugins)...)
	w.commit("two vaults")
	w.start()
	j := w.await("acme/dev/Vault/main", stackjob.Succeeded)
	w.await("acme/prod/Vault/main", stackjob.Succeeded)
	pulumi, terraform := w.outputs("acme/dev/Vault/main"), w.outputs("acme/prod/Vault/main")
	for _, name := range slices.Sorted(maps.Keys(terraform)) {
		if pulumi[name].Hash != terraform[name].Hash {
			t.Errorf("%s: %+v by %s, %+v by %s", name, pulumi[name], e, terraform[name], w.engine)
		}
		// To Pulumi a value with a secret in it is secret, and so is all that is read of it.
		if !pulumi[name].Sensitive || terraform[name].Sensitive != (name == "password") {
			t.Errorf("%s is sensitive: %t by %s, %t by %s", name, pulumi[name].Sensitive, e, terraform[name].Sensitive, w.engine)
		}
	}
	if len(pulumi) != 7 || len(terraform) != 7 || pulumi["password"].Hash != w.outputs("acme/dev/PulumiStack/a")["password"].Hash {
		t.Errorf("outputs %+v and %+v", pulumi, terraform)
	}
	pin2 := strings.Replace(pin, "Pn7", "Pn8", 1)
	for provisioner, env := range map[string]string{"pulumi": "dev", w.engine.Name: "prod"} {
		w.write("acme/"+env+"/vault.yaml", vaultDocument(provisioner, strings.Replace(reads, pin, pin2, 1)))
	}
	w.commit("another pin")
	told := ""
	for env, place := range map[string]string{"dev": "target.spec.pin", "prod": "spec.pin"} {
		j := w.await("acme/"+env+"/Vault/main", stackjob.Succeeded)
		if len(j.Because) != 1 || j.Because[0].Detail != place {
			t.Errorf("another secret in %s: %+v", env, j.Because)
		}
		text, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		told += w.jobLog(j.ID) + string(text)
	}
	told += w.jobLog(j.ID) + j.Plan.Text + w.log.String()
	w.stop()
	if strings.Contains(told, canary) || strings.Contains(told, pin) || strings.Contains(told, pin2) {
		t.Error("a secret is in what was told")
	}
	for _, file := range filesContaining(t, filepath.Join(w.root, "data"), canary) {
		if !strings.HasSuffix(file, "/prod/Vault/main/state/terraform.tfstate") { // which is as Terraform makes it
			t.Errorf("the secret is in clear in %s", file)
		}
	}
	// What the schema calls secret is in no record and no state; the daemon keeps no copy of a
	// repository that is a folder of this machine.
	for _, file := range filesContaining(t, filepath.Join(w.root, "data"), "-of-the-schema") {
		t.Errorf("the secret is in clear in %s", file)
	}
}
