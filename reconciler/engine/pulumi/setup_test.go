package pulumi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// bench is one stack on which phases are run.
type bench struct {
	testing.TB
	driver   *pulumi.Driver
	task     engine.Task
	plugins  string
	sink     *enginetest.Sink
	planFile string
	identity *age.X25519Identity
	revision int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	e, plugins := tooltest.Pulumi(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &bench{
		TB: t, driver: pulumi.New(pulumi.Options{}), plugins: plugins, sink: enginetest.NewSink(), identity: id,
		planFile: filepath.Join(dir, "run", "plan"),
		task: engine.Task{
			Job: "sj_test", Attempt: 1, Action: stackjob.Apply,
			Key:        schema.ResourceKey{Org: "acme", Env: "dev", Kind: "PulumiStack", Name: "x"},
			Program:    engine.Program{Provisioner: "pulumi", Path: e.Path, Version: e.Version},
			ModuleRoot: filepath.Join(dir, "module"), ModuleRevision: "r1",
			Workspace: filepath.Join(dir, "workspace"),
			StateFile: filepath.Join(state, ".pulumi", "stacks", "demo", "dev.json"), StateBackups: filepath.Join(dir, "backups"),
			Pulumi: &engine.PulumiStack{
				Project: "demo", Stack: "dev", BackendURL: "file://" + state, SecretsProvider: "passphrase", Passphrase: "correct horse battery",
				Home: filepath.Join(dir, "home"), NoPluginDownload: true,
			},
			Inputs:    json.RawMessage("{}"),
			Env:       map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir},
			Recipient: id.Recipient().String(), HashKey: []byte("0123456789abcdef0123456789abcdef"),
			Grace: 20 * time.Second,
		},
	}
}

// module writes files as the next revision of the program's checkout.
func (b *bench) module(files map[string]string) {
	b.Helper()
	b.revision++
	b.task.ModuleRevision = fmt.Sprintf("r%d", b.revision)
	b.task.ModuleRoot = filepath.Join(filepath.Dir(b.task.Workspace), "module-"+b.task.ModuleRevision)
	for name, text := range files {
		path := filepath.Join(b.task.ModuleRoot, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			b.Fatal(err)
		}
	}
}

// program makes a YAML program with the lab's provider the module.
func (b *bench) program(text string) {
	b.Helper()
	b.module(map[string]string{"Pulumi.yaml": b.project("demo") + text})
}

func (b *bench) project(name string) string {
	return fmt.Sprintf("name: %s\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\n", name, b.plugins)
}

func (b *bench) inputs(v map[string]any) {
	b.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	b.task.Inputs = text
}

func (b *bench) plan(ctx context.Context) engine.Result {
	b.Helper()
	b.task.Phase = engine.PhasePlan
	r := b.driver.Plan(ctx, b.task, b.planFile, b.sink)
	if (r.Plan == nil) == (r.Failure == nil) {
		b.Fatalf("a plan phase with plan %v and failure %v", r.Plan, r.Failure)
	}
	return r
}

func (b *bench) mustPlan() *stackjob.Plan {
	b.Helper()
	r := b.plan(context.Background())
	if r.Failure != nil {
		b.Fatalf("plan: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	return r.Plan
}

// apply applies the plan that was made last.
func (b *bench) apply(ctx context.Context, plan *stackjob.Plan) engine.Result {
	b.Helper()
	b.task.Phase = engine.PhaseApply
	b.task.PlanDigest, b.task.PlanFileDigest, b.task.PlanStatePlace = plan.Digest, plan.FileDigest, plan.StatePlace
	return b.driver.Apply(ctx, b.task, b.planFile, b.sink)
}

func (b *bench) mustApply() *stackjob.Outcome {
	b.Helper()
	r := b.apply(context.Background(), b.mustPlan())
	if r.Failure != nil {
		b.Fatalf("apply: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	return r.Outcome
}

// opened is a sealed output's value.
func (b *bench) opened(o stackjob.Output) string {
	b.Helper()
	r, err := age.Decrypt(bytes.NewReader(o.Sealed), b.identity)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		b.Fatal(err)
	}
	return out.String()
}

// writeScript writes a program while nothing is forked: a child of another test
// would hold it open, and what is open for writing cannot be run.
func writeScript(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// counting puts a program in the engine's place that notes its process's arguments and
// becomes the engine.
func (b *bench) counting() (processes func() []string) {
	b.Helper()
	dir := b.TempDir()
	real := b.task.Program.Path
	note, script := filepath.Join(dir, "processes"), filepath.Join(dir, filepath.Base(real))
	// The engine looks for language hosts beside the program that was called.
	b.task.Env["PATH"] = filepath.Dir(real) + string(filepath.ListSeparator) + b.task.Env["PATH"]
	writeScript(b, script, "#!/bin/sh\necho \"$*\" >> '"+note+"'\nexec '"+real+"' \"$@\"\n")
	b.task.Program.Path = script
	return func() []string {
		b.Helper()
		out, err := os.ReadFile(note)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(note); err != nil {
			b.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
}
