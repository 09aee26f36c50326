package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// pulumiWorld is a repository whose stacks are Pulumi's.
func pulumiWorld(t *testing.T) *world {
	t.Helper()
	e, plugins := tooltest.Pulumi(t)
	w := newWorld(t, e)
	w.write("acme/policies/at-once.yaml", atOnce, "modules/lab/Pulumi.yaml", pulumiProgram(plugins))
	return w
}

// pulumiProgram keeps a text and a password; it can be made to hang in keeping the text.
func pulumiProgram(plugins string) string {
	return fmt.Sprintf(`name: lab
runtime: yaml
plugins: {providers: [{name: lab, path: %q}]}
config:
  text: {type: string}
  note: {type: string}
  password: {type: string, secret: true}
  hangs: {type: boolean, default: false}
resources:
  kept: {type: "lab:Data", properties: {value: "${text}", note: "${note}", hangs: "${hangs}"}}
  sealed: {type: "lab:Data", properties: {value: "${password}"}}
outputs: {text: "${kept.output}", password: "${sealed.output}"}
`, plugins)
}

// pulumiDocument is a PulumiStack of that program.
func (w *world) pulumiDocument(name, text, password string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: %s}\nspec:\n  program: {path: /modules/lab}\n  config:\n    text: %s\n    note: %q\n    password: {secret: %s}\n",
		name, text, w.noteOf(name), password)
}

func (w *world) noteOf(name string) string { return filepath.Join(w.root, name+".note") }

// created is how often the first resource of a stack was made.
func (w *world) created(name string) int {
	b, err := os.ReadFile(w.noteOf(name))
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte("\n"))
}

// outputs are what is recorded of a stack's outputs, by name. Of secret ones that is a keyed
// hash of the value; what seals them differs each time.
func (w *world) outputs(stack string) map[string]stackjob.Output {
	w.t.Helper()
	out := map[string]stackjob.Output{}
	for _, o := range w.stack(stack).Observed.Outputs {
		if o.Sensitive != (o.Sealed != nil) || o.Sensitive == (o.Value != nil) || o.Hash == "" {
			w.t.Errorf("%s: output %+v", stack, o)
		}
		o.Sealed = nil
		out[o.Name] = o
	}
	return out
}

func TestAPulumiStackLivesAsAnyOther(t *testing.T) {
	t.Parallel()
	const stack, canary = "acme/dev/PulumiStack/a", "canary-Qm7-of-pulumi"
	w := pulumiWorld(t)
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "one", canary))
	w.commit("one")
	w.start()
	j := w.await(stack, stackjob.Succeeded)
	if j.Plan.Counts != (stackjob.Counts{Create: 2}) || j.Plan.Engine != w.engine.String() || w.created("a") != 1 {
		t.Errorf("counts %v, engine %q, made %d times", j.Plan.Counts, j.Plan.Engine, w.created("a"))
	}
	outputs := map[string]stackjob.Output{}
	for _, o := range w.stack(stack).Observed.Outputs {
		outputs[o.Name] = o
	}
	if string(outputs["text"].Value) != `"one"` || !outputs["password"].Sensitive || outputs["password"].Value != nil {
		t.Errorf("outputs = %+v", outputs)
	}

	// A plan without the daemon begins with the daemon's state, and comes out the same.
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "two", canary))
	local := w.plan()
	w.commit("two")
	if j = w.await(stack, stackjob.Succeeded); j.Plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) || w.created("a") != 1 {
		t.Errorf("a change of one input: %v, made %d times", j.Plan.Counts, w.created("a"))
	}
	if r := local.Resources; len(r) != 1 || r[0].Problem != nil || r[0].Job.Plan.Digest != j.Plan.Digest {
		t.Errorf("without the daemon: %+v, by it %s", r, j.Plan.Digest)
	}

	w.remove("acme/dev/a.yaml")
	w.commit("gone")
	if j = w.await(stack, stackjob.Succeeded); j.Action != stackjob.Destroy || j.Plan.Counts.Delete != 2 {
		t.Errorf("a removal: %s %v", j.Action, j.Plan.Counts)
	}

	var told bytes.Buffer
	for _, j := range w.jobs("") {
		if err := json.NewEncoder(&told).Encode(w.job(j.ID)); err != nil {
			t.Fatal(err)
		}
		told.WriteString(w.jobLog(j.ID))
	}
	told.WriteString(w.log.String())
	w.stop()
	if strings.Contains(told.String(), canary) {
		t.Error("the secret is in what was told")
	}
	for _, file := range filesContaining(t, filepath.Join(w.root, "data"), canary) {
		t.Errorf("the secret is in clear in %s", file)
	}
}

func TestALocalPlanUsesPluginsOfTheDaemons(t *testing.T) {
	t.Parallel()
	w := pulumiWorld(t)
	e, plugins := tooltest.Pulumi(t)
	alone := filepath.Join(w.root, "alone") // Pulumi and its host, without the provider beside them
	for _, name := range []string{"pulumi", "pulumi-language-yaml"} {
		if err := errors.Join(os.MkdirAll(alone, 0o700), os.Symlink(filepath.Join(filepath.Dir(e.Path), name), filepath.Join(alone, name))); err != nil {
			t.Fatal(err)
		}
	}
	w.engine.Path = filepath.Join(alone, "pulumi")
	// The program does not say where its provider is, and there is none to be got.
	program := pulumiProgram(plugins)
	at := strings.Index(program, "plugins:")
	w.write("modules/lab/Pulumi.yaml", program[:at]+program[at+strings.Index(program[at:], "\n")+1:], "acme/dev/a.yaml", w.pulumiDocument("a", "one", "x"))
	home := filepath.Join(w.root, "data", "pulumi", "plugins", "resource-lab-v0.1.0")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(plugins, "pulumi-resource-lab"), filepath.Join(home, "pulumi-resource-lab")); err != nil {
		t.Fatal(err)
	}
	got := w.plan()
	if len(got.Resources) != 1 || got.Resources[0].Problem != nil || got.Resources[0].Job.Plan.Counts.Create != 2 {
		t.Errorf("%+v\n%s", got.Resources, w.log)
	}
}

func TestPulumiAndTerraformReadEachOther(t *testing.T) {
	t.Parallel()
	const canary = "canary-Zt4-read-by-both"
	w := pulumiWorld(t)
	tf := tooltest.Engines(t)[0]
	w.engines = []tooltest.Engine{tf}
	w.write("modules/pass/main.tf", "variable \"text\" {}\nvariable \"password\" { sensitive = true }\nresource \"terraform_data\" \"t\" { input = var.text }\n"+
		"output \"text\" { value = \"${terraform_data.t.output}-terraform\" }\noutput \"password\" {\n  value = var.password\n  sensitive = true\n}\n",
		"acme/dev/first.yaml", w.pulumiDocument("first", "one", canary),
		"acme/dev/second.yaml", fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: second}\nspec:\n  provisioner: %s\n  module: {path: /modules/pass}\n  variables:\n"+
			"    text: {valueFrom: {kind: PulumiStack, name: first, fieldPath: status.outputs.text}}\n    password: {valueFrom: {kind: PulumiStack, name: first, fieldPath: status.outputs.password}}\n", tf.Name),
		"acme/dev/third.yaml", strings.NewReplacer("text: PLACE", "text: {valueFrom: {kind: TerraformStack, name: second, fieldPath: status.outputs.text}}",
			"{secret: PLACE}", "{valueFrom: {kind: TerraformStack, name: second, fieldPath: status.outputs.password}}").Replace(w.pulumiDocument("third", "PLACE", "PLACE")))
	w.commit("three")
	w.start()
	third := w.await("acme/dev/PulumiStack/third", stackjob.Succeeded)
	for _, o := range w.stack("acme/dev/PulumiStack/third").Observed.Outputs {
		switch {
		case o.Name == "text" && string(o.Value) != `"one-terraform"`:
			t.Errorf("text = %s", o.Value)
		case o.Name == "password" && (!o.Sensitive || o.Value != nil):
			t.Errorf("what was secret two stacks before is none: %+v", o)
		}
	}
	if log := w.jobLog(third.ID); strings.Contains(log, canary) {
		t.Errorf("the secret is in the log:\n%s", log)
	}
	w.stop()
	for _, file := range filesContaining(t, filepath.Join(w.root, "data"), canary) {
		if !strings.Contains(file, "TerraformStack") { // Terraform's own state file is as it makes it
			t.Errorf("the secret is in clear in %s", file)
		}
	}
}

func TestAPullRequestOfAPulumiStackIsAsAnyOther(t *testing.T) {
	t.Parallel()
	const canary = "canary-Hd9-in-a-pull-request"
	e, plugins := tooltest.Pulumi(t)
	files := map[string]string{"modules/lab/Pulumi.yaml": pulumiProgram(plugins)}
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.engine = e
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.pulumiDocument("a", "one", canary)})
		body := w.shows(n, "acme/dev/PulumiStack/a", "+2 ~0", "lab:index:Data", e.String(), "reeve approve dev")
		if strings.Contains(body, canary) {
			t.Errorf("the secret is in the comment:\n%s", body)
		}
		w.status(head, "reeve/plan", forge.Success)
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it is applied", func() bool { return w.created("a") == 1 })
		w.sees(n, "/outcome-", "PulumiStack/a")
		w.status(head, "reeve/apply: dev", forge.Success)
		w.once(n)

		n, _ = w.proposes("Change it", map[string]string{"acme/dev/a.yaml": w.pulumiDocument("a", "two", canary)})
		w.shows(n, "+0 ~1", "value: \"one\"", "value: \"two\"", "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "PulumiStack/a")
		if got := w.created("a"); got != 1 {
			t.Errorf("it was made %d times", got)
		}
	})
}

func TestTheStateOfAPulumiStackIsRestored(t *testing.T) {
	t.Parallel()
	const stack = "acme/dev/PulumiStack/a"
	w := pulumiWorld(t)
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "one", "secret-one"))
	w.commit("one")
	w.start()
	w.await(stack, stackjob.Succeeded)
	w.write("acme/dev/a.yaml", w.pulumiDocument("a", "two", "secret-one"))
	w.commit("two")
	w.await(stack, stackjob.Succeeded)
	list := w.states(stack)
	if list.State == nil || list.State.Resources != 2 || len(list.Backups) != 1 {
		t.Fatalf("states: %+v", list)
	}
	done, err := w.restore(stack, list.Backups[0].Name)
	if err != nil || done.State != stackjob.Succeeded {
		t.Fatalf("restore: %v %+v", err, done)
	}
	// The state says "one" and the document "two".
	waits := w.await(stack, stackjob.WaitingApply)
	if waits.Reason.Code != stackjob.ReasonStateRestored || waits.Plan.Counts != (stackjob.Counts{Update: 1, NoOp: 1}) {
		t.Errorf("what follows: %s %s", waits.Reason, waits.Plan.Counts)
	}
	w.approve(waits)
	w.await(stack, stackjob.Succeeded)
}
