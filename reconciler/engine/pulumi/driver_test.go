package pulumi_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const simple = `
config: {text: {type: string}}
resources:
  kept: {type: "lab:Data", properties: {value: "${text}"}}
outputs: {text: "${kept.output}"}
`

// words are the commands of processes, without their flags.
func words(processes []string) []string {
	var out []string
	for _, p := range processes {
		f := strings.Fields(strings.TrimPrefix(p, "--non-interactive "))
		if f[0] == "stack" {
			f[0] += " " + f[1]
		}
		out = append(out, f[0])
	}
	return out
}

func TestAPlanAndAnApplyAreOneProcessEach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	processes := b.Counting()
	first := b.Plan(t.Context())
	if first.Failure != nil {
		t.Fatal(first.Failure.Text)
	}
	if diff := cmp.Diff([]string{"stack init", "preview"}, words(processes())); diff != "" {
		t.Errorf("processes of a first plan (-want +got):\n%s", diff)
	}
	var counted []int
	for _, op := range first.Operations {
		counted = append(counted, op.EngineProcesses)
	}
	if diff := cmp.Diff([]int{1, 0, 1}, counted); diff != "" {
		t.Errorf("processes of init, refresh and plan (-want +got):\n%s", diff)
	}
	applied := b.Apply(t.Context(), first.Plan)
	if applied.Failure != nil {
		t.Fatal(applied.Failure.Text)
	}
	if diff := cmp.Diff([]string{"up"}, words(processes())); diff != "" {
		t.Errorf("processes of an apply (-want +got):\n%s", diff)
	}
	log, _ := b.Sink.Told()
	for _, line := range []string{"kept (lab:index:Data): Plan to create\n", "Plan: 1 to create, 0 to update, 0 to replace, 0 to destroy.\n",
		"kept (lab:index:Data): Creating...\n", "Apply complete: 1 created, 0 updated, 0 replaced, 0 destroyed.\n"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log has no line %q:\n%s", line, log)
		}
	}
	b.Inputs(map[string]any{"text": "two"})
	b.MustPlan()
	if diff := cmp.Diff([]string{"preview"}, words(processes())); diff != "" {
		t.Errorf("processes of the next plan (-want +got):\n%s", diff)
	}
	b.Task.Outputs = engine.OutputsMissing
	b.Inputs(map[string]any{"text": "one"})
	if r := b.Plan(t.Context()); r.Failure != nil || len(r.Outputs) != 1 || string(r.Outputs[0].Value) != `"one"` {
		t.Errorf("outputs of a plan without changes: %+v", r)
	}
	if diff := cmp.Diff([]string{"preview"}, words(processes())); diff != "" {
		t.Errorf("processes of a plan that tells outputs (-want +got):\n%s", diff)
	}
}

// files lists a folder's files with their texts.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The program is in a folder of a repository, has another name and a file beside it; one
// has a folder of its own (main), one a plugin by a relative path. (Pulumi itself takes
// such a path once from the project's folder and once from main.)
func TestProgramSeesItsSiblingsAndKeepsItsCheckout(t *testing.T) {
	t.Parallel()
	for name, project := range map[string]string{
		"main":            "description: a project\nname: 'original' # its name\nruntime:\n  name: yaml\nmain: code\nplugins: {providers: [{name: lab, path: $PLUGINS}]}\n",
		"relative plugin": "{name: \"original\", runtime: yaml, plugins: {providers: [{name: lab, path: ../../plugins}]}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			program := "config: {text: {type: string}}\nresources:\n  kept: {type: \"lab:Data\", properties: {value: \"${text}\"}}\noutputs: {stack: \"${pulumi.project}/${pulumi.stack}\"}\n"
			b.Module(map[string]string{
				"stacks/net/Pulumi.yaml":       strings.ReplaceAll(project, "$PLUGINS", b.plugins),
				"stacks/net/code/Main.yaml":    program,
				"stacks/net/Main.yaml":         program,
				"stacks/net/Pulumi.dev.yaml":   "config: {original:text: from the repository}\n",
				"stacks/other/Pulumi.yaml":     "name: other\nruntime: yaml\n",
				"stacks/net/node_modules/x/js": "made by somebody's machine",
			})
			if err := os.Symlink(b.plugins, filepath.Join(b.Task.ModuleRoot, "plugins")); err != nil {
				t.Fatal(err)
			}
			b.Task.ModulePath = "stacks/net"
			before := files(t, b.Task.ModuleRoot)
			b.Task.Pulumi.Project = "renamed"
			b.Task.StateFile = strings.ReplaceAll(b.Task.StateFile, "demo", "renamed")
			b.Inputs(map[string]any{"text": "one"})
			out := b.MustApply()
			if len(out.Outputs) != 1 || string(out.Outputs[0].Value) != `"renamed/dev"` {
				t.Errorf("outputs = %+v", out.Outputs)
			}
			b.Task.Action = stackjob.Destroy
			if out = b.MustApply(); out.Counts != (stackjob.Counts{Delete: 1}) {
				t.Errorf("counts of the destroy = %+v", out.Counts)
			}
			if diff := cmp.Diff(before, files(t, b.Task.ModuleRoot)); diff != "" {
				t.Errorf("the checkout (-before +after):\n%s", diff)
			}
		})
	}
}

func TestMissingLanguageHostIsToldBeforeAnyWork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Module(map[string]string{"Pulumi.yaml": "name: demo\nruntime: cobol\n", "main.cob": "x"})
	processes := b.Counting()
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Failure.Class != engine.ClassPerson || r.Failure.Reason.Code != stackjob.ReasonEngineMissing {
		t.Fatalf("failure = %+v", r.Failure)
	}
	if want := "pulumi-language-cobol, the host for programs of the runtime cobol; `reeve engine install pulumi` gets Pulumi with its hosts, or put the host beside it; if cobol is a mistake, correct runtime in Pulumi.yaml"; r.Failure.Reason.Detail != want {
		t.Errorf("the reason is %s", r.Failure.Reason)
	}
	for _, part := range []string{"cobol", "pulumi-language-cobol", "https://www.pulumi.com/docs/install", "`reeve engine install pulumi`"} {
		if !strings.Contains(r.Failure.Text, part) {
			t.Errorf("the text does not say %q:\n%s", part, r.Failure.Text)
		}
	}
	if n := processes(); n != nil || len(r.Operations) > 0 {
		t.Errorf("processes %q, operations %+v", n, r.Operations)
	}
}

func TestAuthorsMistakesArePlainFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no project":   {map[string]string{"Main.yaml": "x: 1"}, []string{"There is no Pulumi.yaml"}},
		"no runtime":   {map[string]string{"Pulumi.yaml": "name: x\n"}, []string{"Pulumi.yaml:1:1", "runtime"}},
		"not YAML":     {map[string]string{"Pulumi.yaml": "name: [\n"}, []string{"Pulumi.yaml:", "YAML"}},
		"empty":        {map[string]string{"Pulumi.yaml": "\n"}, []string{"Pulumi.yaml:1:1", "no mapping"}},
		"bad plugins":  {map[string]string{"Pulumi.yaml": "name: x\nruntime: yaml\nplugins: 1\n"}, []string{"Pulumi.yaml:3:10", "plugins"}},
		"bad resource": {map[string]string{"Pulumi.yaml": "name: demo\nruntime: yaml\nresources: {a: {type: \"lab:Nothing\"}}\n"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Module(c.files)
			r := b.Plan(t.Context())
			if r.Failure == nil || name != "bad resource" && r.Failure.Class != engine.ClassAuthor {
				t.Fatalf("failure = %+v", r.Failure)
			}
			for _, part := range c.want {
				if !strings.Contains(r.Failure.Text, part) {
					t.Errorf("the text does not say %q:\n%s", part, r.Failure.Text)
				}
			}
		})
	}
}

func TestConfigOfEveryFormReachesTheProgram(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(`
config:
  text: {type: string}
  number: {type: integer}
  yes: {type: boolean}
  list: {type: array, items: {type: string}}
  object: {type: object}
outputs:
  text: ${text}
  number: ${number}
  yes: ${yes}
  list: ${list}
  object: ${object}
`)
	b.Inputs(map[string]any{
		"text": "a \"quoted\"\nline: with ${dollar} \u00e9", "number": 1234567, "yes": true, "list": []any{"x", "y"},
		"object": map[string]any{"a": 1, "b": []any{"c"}, "d": "text"}, "demo:unused": "z", "nothing": nil,
	})
	out := b.MustApply()
	got := map[string]string{}
	for _, o := range out.Outputs {
		got[o.Name] = string(o.Value)
	}
	want := map[string]string{
		"text": `"a \"quoted\"\nline: with ${dollar} é"`, "number": "1234567", "yes": "true", "list": `["x","y"]`, "object": `{"a":1,"b":["c"],"d":"text"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestStackInputIsAFileThatGoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.Task.Env
	b.program("outputs: {fixed: x}\n")
	b.Task.Pulumi.StackInput = true
	b.Inputs(map[string]any{"target": map[string]any{"kind": "AwsVpc"}, "provider_config": map[string]any{"secret": "canary-stack-input"}})
	// What the engine's process is given.
	dir := t.TempDir()
	script, note := filepath.Join(dir, "pulumi"), filepath.Join(dir, "seen")
	e["PATH"] = filepath.Dir(b.Task.Program.Path) + ":" + e["PATH"]
	enginetest.WriteScript(t, script, "#!/bin/sh\n[ \"$2\" = preview ] && { stat -c %a \"$STACK_INPUT_YAML_FILE\"; cat \"$STACK_INPUT_YAML_FILE\"; } > '"+note+"'\nexec '"+b.Task.Program.Path+"' \"$@\"\n")
	b.Task.Program.Path = script
	b.MustPlan()
	seen, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	mode, text, _ := strings.Cut(string(seen), "\n")
	var got any
	if mode != "600" || json.Unmarshal([]byte(text), &got) != nil || !strings.Contains(text, "canary-stack-input") {
		t.Errorf("the stack input: mode %s\n%s", mode, text)
	}
	for name, text := range files(t, filepath.Dir(b.PlanFile)) {
		if strings.Contains(text, "canary-stack-input") {
			t.Errorf("the stack input stays in %s", name)
		}
	}
}

func TestOldAndMissingEnginesAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	right := b.Task.Program
	b.Task.Program.Version = "3.100.0"
	if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "too old") {
		t.Errorf("failure = %+v", r.Failure)
	}
	b.Task.Program = right
	b.Task.Env["PATH"] = filepath.Dir(right.Path)
	b.Task.Program.Path = "/nowhere/pulumi"
	if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "/nowhere/pulumi") {
		t.Errorf("failure = %+v", r.Failure)
	}
}

func TestStateThatMovedAwayIsNotMadeASecondTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	b.MustApply()
	b.Task.Pulumi.Stack = "other"
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, "stack export") {
		t.Fatalf("failure = %+v", r.Failure)
	}
	b.Task.Pulumi.Stack = "dev"
	if p := b.MustPlan(); p.HasChanges {
		t.Errorf("the state was lost: %+v", p)
	}
}

func TestAnApplyIsHeldToWhatThePlanWasMadeOf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	b.MustApply()
	b.Inputs(map[string]any{"text": "two"})
	plan := b.MustPlan()
	was := b.Task
	processes := b.Counting()
	for name, move := range map[string]func(){
		"another program": func() { b.program(simple + "variables: {a: b}\n") },
		"other config":    func() { b.Inputs(map[string]any{"text": "three"}) },
		"another place":   func() { b.Task.StateFile = "" },
	} {
		program := b.Task.Program
		b.Task = was
		b.Task.Program = program
		move()
		if r := b.Apply(t.Context(), plan); r.Failure == nil || r.Outcome != nil || r.Failure.Reason.Code != stackjob.ReasonPlanChanged || r.Failure.Class != engine.ClassPerson {
			t.Errorf("%s: %+v, %+v", name, r.Outcome, r.Failure)
		}
	}
	if n := processes(); n != nil {
		t.Errorf("engine processes: %q", n)
	}
}

func TestProtectedAndRetainedResourcesOfADestroy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program("resources:\n  held: {type: \"lab:Data\", properties: {value: x}, options: {protect: true}}\n")
	b.MustApply()
	b.Task.Action = stackjob.Destroy
	if r := b.Plan(t.Context()); r.Failure == nil || !strings.Contains(r.Failure.Text, "held") || !strings.Contains(r.Failure.Text, "protect") {
		t.Errorf("a protected resource: %+v %+v", r.Plan, r.Failure)
	}
	b.Task.Action = stackjob.Apply
	b.program("resources:\n  held: {type: \"lab:Data\", properties: {value: x}, options: {retainOnDelete: true}}\n")
	b.MustApply()
	b.Task.Action = stackjob.Destroy
	plan := b.MustPlan()
	if plan.Counts != (stackjob.Counts{Forget: 1}) {
		t.Errorf("counts of the plan = %+v", plan.Counts)
	}
	before, _ := b.Sink.Told()
	if r := b.Apply(t.Context(), plan); r.Failure != nil || r.Outcome.Counts != (stackjob.Counts{Forget: 1}) {
		t.Errorf("outcome = %+v, %+v", r.Outcome, r.Failure)
	}
	// Nothing is destroyed, and nobody is told that something is.
	log, events := b.Sink.Told()
	log = strings.TrimPrefix(log, before)
	if want := "held (lab:index:Data): Removing from the state...\nheld (lab:index:Data): Removed from the state and not destroyed, after "; !strings.Contains(log, want) ||
		!strings.HasSuffix(log, "0 destroyed, 1 forgotten.\n") || strings.Contains(log, "Destroying") {
		t.Errorf("the log:\n%s", log)
	}
	forgotten := false
	for _, e := range events {
		if e.Operation == stackjob.OpDestroy && e.Resource != nil {
			forgotten = e.Resource.Status == "done" && e.Resource.Action == stackjob.Forget
		}
	}
	if !forgotten {
		t.Errorf("the events do not end with what is forgotten: %+v", events)
	}
}

// Each stack has a passphrase of its own. Pulumi reads another stack's secrets as a text
// that is none of them, and goes on.
func TestSecretsThatAStackReferenceCannotReadAreToldInThePlan(t *testing.T) {
	t.Parallel()
	from := newBench(t)
	from.program("config: {word: {type: string, secret: true}}\noutputs: {plain: hello, secret: \"${word}\"}\n")
	from.Task.Pulumi.SecretConfig = []string{"word"}
	from.Inputs(map[string]any{"word": "canary"})
	from.MustApply()
	b := newBench(t)
	b.Task.StateFile, b.Task.Pulumi.BackendURL, b.Task.Pulumi.Stack = "", from.Task.Pulumi.BackendURL, "reader"
	b.Task.Pulumi.Passphrase = "another one"
	b.program("resources: {other: {type: \"pulumi:pulumi:StackReference\", properties: {name: organization/demo/dev}}}\noutputs: {got: \"${other.outputs.plain}\"}\n")
	plan := b.MustPlan()
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "organization/demo/dev") || !strings.Contains(plan.Warnings[0], "valueFrom") {
		t.Errorf("warnings = %q", plan.Warnings)
	}
	if len(plan.Outputs) != 1 || string(plan.Outputs[0].After) != `"hello"` {
		t.Errorf("outputs = %+v", plan.Outputs)
	}
}

// What is wrong is told by a language host or on standard error, and not always by a
// diagnostic of the engine's.
func TestReasonsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ program, detail, text string }{
		"a misspelt field": {"resources: {a: {type: \"lab:Data\", propertys: {value: x}}}\n", "Resource lab:index:Data has invalid key 'propertys' on Pulumi.yaml line 4", "Did you mean"},
		"no value":         {simple, "validating stack config: Stack 'dev' is missing configuration value 'text'", "missing configuration value"},
		"two lines":        {"resources: {}\n", `held (lab:index:Data): Preview failed: resource "urn:pulumi:dev::demo::lab:index:Data::held" cannot be deleted because it is protected`, "unprotect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if name == "two lines" {
				b.program("resources:\n  held: {type: \"lab:Data\", properties: {value: x}, options: {protect: true}}\n")
				b.MustApply()
			}
			b.program(c.program)
			r := b.Plan(t.Context())
			if r.Failure == nil || r.Failure.Class != engine.ClassAuthor || r.Failure.Reason.Detail != c.detail || !strings.Contains(r.Failure.Text, c.text) {
				t.Errorf("failure = %+v", r.Failure)
			}
		})
	}
}

// Of what a program in YAML cannot compute Pulumi says that it "errored", makes the rest,
// and exits with 0.
func TestAProgramThatReportsAnErrorHasFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program("config: {text: {type: string}}\nvariables: {read: {fn::readFile: \"${text}\"}}\nresources: {kept: {type: \"lab:Data\", properties: {value: x}}}\noutputs: {read: \"${read}\"}\n")
	b.Inputs(map[string]any{"text": filepath.Join(t.TempDir(), "nothing")})
	r := b.Plan(t.Context())
	if r.Failure == nil || r.Plan != nil || r.Failure.Class != engine.ClassAuthor || !strings.Contains(r.Failure.Reason.Detail, "Error reading file") {
		t.Errorf("plan %+v, failure %+v", r.Plan, r.Failure)
	}
	if last := r.Operations[len(r.Operations)-1]; last.Kind != stackjob.OpPlan || last.Result != stackjob.ResultFailed {
		t.Errorf("operation = %+v", last)
	}
}

// Pulumi imports and updates what is imported with other inputs than it has.
func TestAnImportThatChangesIsAnUpdateToo(t *testing.T) {
	t.Parallel()
	for content, c := range map[string]struct {
		action stackjob.ChangeAction
		counts stackjob.Counts
	}{
		"as it is": {stackjob.Import, stackjob.Counts{Import: 1}},
		"another":  {stackjob.Update, stackjob.Counts{Import: 1, Update: 1}},
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			file := filepath.Join(t.TempDir(), "there")
			if err := os.WriteFile(file, []byte("as it is"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.program(fmt.Sprintf("resources: {there: {type: \"lab:File\", properties: {path: %q, content: %q}, options: {import: %q}}}\n", file, content, file))
			plan := b.MustPlan()
			if len(plan.Resources) != 1 || plan.Resources[0].Action != c.action || plan.Counts != c.counts {
				t.Errorf("counts %+v, resources %+v", plan.Counts, plan.Resources)
			}
			if r := b.Apply(t.Context(), plan); r.Failure != nil || r.Outcome.Counts != c.counts {
				t.Errorf("outcome %+v, %+v", r.Outcome, r.Failure)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != content {
				t.Errorf("the file holds %q, %v", text, err)
			}
			if again := b.MustPlan(); again.HasChanges {
				t.Errorf("a second plan: %+v", again)
			}
		})
	}
}

// Pulumi calls each step of a saved plan that never had its turn an error.
func TestWhatAFailureKeptFromItsTurnIsNoError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program("resources:\n  bad: {type: \"lab:Data\", properties: {fails: true}}\n  next: {type: \"lab:Data\", properties: {value: x}, options: {dependsOn: [\"${bad}\"]}}\n")
	plan := b.MustPlan()
	r := b.Apply(t.Context(), plan)
	if r.Failure == nil || r.Failure.Text != "Error: bad (lab:index:Data): it was told to fail" {
		t.Errorf("failure = %+v", r.Failure)
	}
	if log, _ := b.Sink.Told(); strings.Contains(log, "none were seen") || !strings.Contains(log, "it was told to fail") {
		t.Errorf("log:\n%s", log)
	}
}

// Pulumi says "same" of a resource whose options alone changed, and of one that an alias
// moved. The state holds both, and decides by them what a later removal does.
func TestOptionsAndMovesAreAppliedWhenNothingElseChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	show := func(name, options string) {
		b.program("resources:\n  " + name + ": {type: \"lab:Data\", properties: {value: x}, options: {" + options + "}}\n")
	}
	show("kept", "")
	b.MustApply()
	const urn = "urn:pulumi:dev::demo::lab:index:Data::"
	change := func(path, before, after string) stackjob.ResourceChange {
		return stackjob.ResourceChange{Address: urn + "kept", Type: "lab:index:Data", Name: "kept", Action: stackjob.Update,
			Attributes: []stackjob.AttributeChange{{Path: path, Before: json.RawMessage(before), After: json.RawMessage(after)}}}
	}
	for _, step := range []struct {
		name, options string
		counts, done  stackjob.Counts
		change        stackjob.ResourceChange
	}{
		{"kept", "protect: true", stackjob.Counts{Update: 1}, stackjob.Counts{Update: 1}, change("options.protect", "false", "true")},
		{"kept", "", stackjob.Counts{Update: 1}, stackjob.Counts{Update: 1}, change("options.protect", "true", "false")},
		{"kept", "retainOnDelete: true", stackjob.Counts{Update: 1}, stackjob.Counts{Update: 1}, change("options.retainOnDelete", "false", "true")},
		{"moved", "retainOnDelete: true, aliases: [{name: kept}]", stackjob.Counts{NoOp: 1, Move: 1}, stackjob.Counts{},
			stackjob.ResourceChange{Address: urn + "moved", Previous: urn + "kept", Type: "lab:index:Data", Name: "moved", Action: stackjob.NoOp}},
	} {
		show(step.name, step.options)
		plan := b.MustPlan()
		if diff := cmp.Diff([]stackjob.ResourceChange{step.change}, plan.Resources); diff != "" || plan.Counts != step.counts || !plan.HasChanges {
			t.Errorf("%s {%s}: counts %+v, changes %t, resources (-want +got):\n%s", step.name, step.options, plan.Counts, plan.HasChanges, diff)
		}
		if r := b.Apply(t.Context(), plan); r.Failure != nil || r.Outcome.Counts != step.done {
			t.Errorf("%s {%s}: outcome %+v, %+v", step.name, step.options, r.Outcome, r.Failure)
		}
		if again := b.MustPlan(); again.HasChanges {
			t.Errorf("%s {%s} is not as planned: %+v", step.name, step.options, again)
		}
	}
	show("moved", "retainOnDelete: true") // the alias has done its work
	if plan := b.MustPlan(); plan.HasChanges {
		t.Errorf("without the alias: %+v", plan)
	}
	b.program("resources: {}\n")
	if plan := b.MustPlan(); plan.Counts != (stackjob.Counts{Forget: 1}) {
		t.Errorf("without the resource: %+v", plan.Counts)
	}
}

// The language host is a program of our own that can do nothing: only what comes before
// it is looked at.
func TestDependenciesAreInstalledWhenTheyMoved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bin := t.TempDir()
	for _, name := range []string{"pulumi-language-nodejs", "node"} {
		enginetest.WriteScript(t, filepath.Join(bin, name), "#!/bin/sh\nexit 1\n")
	}
	real := b.Task.Program.Path
	script, note := filepath.Join(bin, "pulumi"), filepath.Join(bin, "installs")
	enginetest.WriteScript(t, script, "#!/bin/sh\n[ \"$2\" = install ] && { pwd >> '"+note+"'; mkdir -p node_modules; [ -e package-lock.json ] || echo made > package-lock.json; exit 0; }\nexec '"+real+"' \"$@\"\n")
	b.Task.Program.Path = script
	program := map[string]string{"Pulumi.yaml": "name: demo\nruntime: nodejs\n", "package.json": "{}", "index.js": "1"}
	installs := func(want int, result stackjob.Result) {
		t.Helper()
		r := b.Plan(t.Context())
		if r.Failure == nil {
			t.Fatal("a language host that can do nothing made a plan")
		}
		text, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "\n"); got != want {
			t.Errorf("%d installs, want %d", got, want)
		}
		if op := r.Operations[0]; op.Kind != stackjob.OpInit || op.Result != result {
			t.Errorf("operation = %+v, want %s", op, result)
		}
		for _, dir := range strings.Fields(string(text)) {
			if !strings.HasPrefix(dir, b.Task.Workspace) {
				t.Errorf("it was installed in %s", dir)
			}
		}
	}
	b.Module(program)
	installs(1, stackjob.ResultSucceeded)
	installs(1, stackjob.ResultSkipped)
	program["index.js"] = "2"
	b.Module(program)
	installs(1, stackjob.ResultSkipped)
	program["package-lock.json"] = "{}"
	b.Module(program)
	installs(2, stackjob.ResultSucceeded)
	delete(program, "package-lock.json")
	program["lib/package.json"] = "{}" // of another package
	b.Module(program)
	installs(3, stackjob.ResultSucceeded)
	program["lib/package.json"] = `{"name": "other"}`
	b.Module(program)
	installs(3, stackjob.ResultSkipped)
}
