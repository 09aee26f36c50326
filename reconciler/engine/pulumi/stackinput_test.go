package pulumi_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// manifest is a stack input with all that JSON has, and a map that Pulumi would take for
// a ciphertext.
func manifest(password string) map[string]any {
	return map[string]any{"target": map[string]any{"apiVersion": "demo.example.com/v1", "kind": "Notice", "metadata": map[string]any{"name": "n", "labels": map[string]any{"a.b/c": "v"}},
		"spec": map[string]any{"text": "${not} a reference", "count": 3, "ratio": 0.5, "yes": true, "none": nil, "list": []any{"a", "b"},
			"listener": map[string]any{"secure": "by default"}, "password": password, "port": 5432}}}
}

const readsManifest = `
variables: {spec: "${planton:stack-input.target.spec}"}
outputs:
  text: ${spec.text}
  count: ${spec.count}
  yes: ${spec.yes}
  ratio: ${planton:stack-input.target.spec.ratio}
  item: ${spec.list[1]}
  label: ${planton:stack-input.target.metadata.labels["a.b/c"]}
  listener: ${spec.listener.secure}
  password: ${spec.password}
  port: ${spec.port}
`

// outputsOf are the values of outputs, opened, and which of them are secret.
func (b *bench) outputsOf(out *stackjob.Outcome) (values map[string]string, secret []string) {
	values = map[string]string{}
	for _, o := range out.Outputs {
		values[o.Name] = string(o.Value)
		if o.Sensitive {
			values[o.Name] = b.Opened(o)
			secret = append(secret, o.Name)
		}
	}
	return values, secret
}

func TestStackInputIsConfigurationOfAProgram(t *testing.T) {
	t.Parallel()
	for name, project := range map[string]string{
		// Planton's namespace is read by any project, and is a project's own.
		"another project": "demo",
		"its own":         "planton",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			program := readsManifest
			if project == "planton" {
				program = "\nconfig: {stack-input: {type: object}}" + strings.ReplaceAll(program, "planton:stack-input", "stack-input")
			}
			b.Task.Pulumi.Project = project
			b.Task.StateFile = strings.ReplaceAll(b.Task.StateFile, "demo", project)
			// What Pulumi would take for a ciphertext makes all of it secret.
			in := manifest("open")
			delete(in["target"].(map[string]any)["spec"].(map[string]any), "listener")
			program = strings.Replace(program, "  listener: ${spec.listener.secure}\n", "", 1)
			b.Module(map[string]string{"Pulumi.yaml": b.project(project) + program})
			b.Task.Pulumi.StackInput = true
			b.Inputs(in)
			values, secret := b.outputsOf(b.MustApply())
			want := map[string]string{"text": `"${not} a reference"`, "count": "3", "yes": "true", "ratio": "0.5", "item": `"b"`, "label": `"v"`, "password": `"open"`, "port": "5432"}
			if diff := cmp.Diff(want, values); diff != "" || secret != nil {
				t.Errorf("secret %q, outputs (-want +got):\n%s", secret, diff)
			}
		})
	}
}

// TestSecretsOfAStackInputAreSealed also holds what Pulumi makes of a value of which a part
// is secret: all that a YAML program reads of it is.
func TestSecretsOfAStackInputAreSealed(t *testing.T) {
	t.Parallel()
	const password, credential, token = "canary-stack-input-password", "canary-stack-input-credential", "canary-vault-token"
	for _, provider := range []string{"passphrase", "hashivault://stacks"} {
		t.Run(strings.TrimSuffix(provider, "://stacks"), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if provider != "passphrase" {
				b.Task.Pulumi.SecretsProvider, b.Task.Pulumi.Passphrase = provider, ""
				b.Task.Env["VAULT_SERVER_URL"], b.Task.Env["VAULT_SERVER_TOKEN"] = transit(t), token
			}
			b.program(readsManifest + "  credential: ${planton:stack-input.provider_config.key}\nresources: {kept: {type: \"lab:Data\", properties: {value: \"${spec.password}\"}}}\n")
			b.Task.Pulumi.StackInput = true
			b.Task.Pulumi.SecretInput = []string{"/target/spec/password", "/target/spec/port"}
			in := manifest(password + "\n")
			in["provider_config"] = map[string]any{"key": credential}
			b.Inputs(in)
			processes := b.Counting()
			first := b.Plan(t.Context())
			if first.Failure != nil {
				t.Fatal(first.Failure.Text)
			}
			if second := b.MustPlan(); second.Digest != first.Plan.Digest {
				t.Errorf("equal plans have digests %s and %s", first.Plan.Digest, second.Digest)
			}
			out := b.MustApply()
			values, secret := b.outputsOf(out)
			want := map[string]string{"text": `"${not} a reference"`, "count": "3", "yes": "true", "ratio": "0.5", "item": `"b"`, "label": `"v"`, "listener": `"by default"`,
				"password": `"` + password + `\n"`, "port": `"5432"`, "credential": `"` + credential + `"`}
			if diff := cmp.Diff(want, values); diff != "" || len(secret) != len(want) {
				t.Errorf("secret %q, outputs (-want +got):\n%s", secret, diff)
			}
			in["target"].(map[string]any)["spec"].(map[string]any)["password"] = password + "-2"
			b.Inputs(in)
			moved := b.MustPlan()
			if moved.Counts.Update != 1 {
				t.Errorf("another secret: %v", moved.Counts)
			}
			told, err := json.Marshal([]any{first, out, moved, processes()})
			if err != nil {
				t.Fatal(err)
			}
			log, _ := b.Sink.Told()
			where := map[string]string{"what was told": string(told), "the log": log}
			for name, text := range files(t, filepath.Dir(b.Task.Workspace)) {
				if name != filepath.Join("run", "plan") { // the runner seals the plan
					where[name] = text
				}
			}
			for place, text := range where {
				for _, canary := range []string{password, credential, token} {
					if strings.Contains(text, canary) {
						t.Errorf("%s is in %s", canary, place)
					}
				}
			}
		})
	}
}

// TestAnApplyIsHeldToWhatIsSecretInTheStackInput: a part that is no longer secret would be
// written down in clear by a plan that said it is not.
func TestAnApplyIsHeldToWhatIsSecretInTheStackInput(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(readsManifest)
	b.Task.Pulumi.StackInput = true
	b.Task.Pulumi.SecretInput = []string{"/target/spec/password"}
	b.Inputs(manifest("secret"))
	plan := b.MustPlan()
	b.Task.Pulumi.SecretInput = nil
	if r := b.Apply(t.Context(), plan); r.Outcome != nil || r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonPlanChanged {
		t.Errorf("outcome %+v, failure %+v", r.Outcome, r.Failure)
	}
}

// TestADestroyNeedsNoStackInput: nothing of the author's runs in it.
func TestADestroyNeedsNoStackInput(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(readsManifest + "resources: {kept: {type: \"lab:Data\", properties: {value: \"${spec.password}\"}}}\n")
	b.Task.Pulumi.StackInput = true
	b.Task.Pulumi.SecretInput = []string{"/target/spec/password"}
	b.Inputs(manifest("secret"))
	b.MustApply()
	b.Task.Action, b.Task.Phase = stackjob.Destroy, engine.PhasePlan
	if out := b.MustApply(); out.Counts != (stackjob.Counts{Delete: 1}) {
		t.Errorf("counts = %+v", out.Counts)
	}
	// And the next apply has its configuration again.
	b.Task.Action = stackjob.Apply
	if out := b.MustApply(); out.Counts != (stackjob.Counts{Create: 1}) {
		t.Errorf("counts = %+v", out.Counts)
	}
}
