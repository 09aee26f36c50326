package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Bench is one stack on which a driver's own tests run phases.
type Bench struct {
	testing.TB
	Driver   engine.Driver
	Task     engine.Task
	Sink     *Sink
	PlanFile string

	identity *age.X25519Identity
	revision int
}

// NewBench returns a bench for a stack that nothing is known of, in a folder of its own.
// What only one kind of engine has in its task is the caller's to set.
func NewBench(t testing.TB, d engine.Driver, p engine.Program, kind string) *Bench {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Bench{
		TB: t, Driver: d, Sink: NewSink(), identity: id, PlanFile: filepath.Join(dir, "run", "plan"),
		Task: engine.Task{
			Job: "sj_test", Attempt: 1, Action: stackjob.Apply, Program: p,
			Key:        schema.ResourceKey{Org: "acme", Env: "dev", Kind: kind, Name: "x"},
			ModuleRoot: filepath.Join(dir, "module"), ModuleRevision: "r1",
			Workspace:    filepath.Join(dir, "workspace"),
			StateBackups: filepath.Join(dir, "backups"),
			Inputs:       json.RawMessage("{}"),
			Env:          map[string]string{"PATH": os.Getenv("PATH")},
			Recipient:    id.Recipient().String(), HashKey: []byte("0123456789abcdef0123456789abcdef"),
			Grace: Patience, // what is to end by itself may take its time
		},
	}
}

// Module writes files as the next revision of the module's checkout.
func (b *Bench) Module(files map[string]string) {
	b.Helper()
	b.revision++
	b.Task.ModuleRevision = fmt.Sprintf("r%d", b.revision)
	b.Task.ModuleRoot = filepath.Join(filepath.Dir(b.Task.Workspace), "module-"+b.Task.ModuleRevision)
	for name, text := range files {
		path := filepath.Join(b.Task.ModuleRoot, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			b.Fatal(err)
		}
	}
}

// Inputs are the stack's from now on.
func (b *Bench) Inputs(v map[string]any) {
	b.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	b.Task.Inputs = text
}

// Plan runs the plan phase, which returns a plan or a failure.
func (b *Bench) Plan(ctx context.Context) engine.Result {
	b.Helper()
	b.Task.Phase = engine.PhasePlan
	r := b.Driver.Plan(ctx, b.Task, b.PlanFile, b.Sink)
	if (r.Plan == nil) == (r.Failure == nil) {
		b.Fatalf("a plan phase with plan %v and failure %v", r.Plan, r.Failure)
	}
	return r
}

// MustPlan is a plan phase that succeeds.
func (b *Bench) MustPlan() *stackjob.Plan {
	b.Helper()
	r := b.Plan(context.Background())
	if r.Failure != nil {
		b.Fatalf("plan: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	return r.Plan
}

// Apply applies the plan that was made last.
func (b *Bench) Apply(ctx context.Context, plan *stackjob.Plan) engine.Result {
	b.Helper()
	b.Task.Phase = engine.PhaseApply
	b.Task.PlanDigest, b.Task.PlanFileDigest, b.Task.PlanStatePlace = plan.Digest, plan.FileDigest, plan.StatePlace
	return b.Driver.Apply(ctx, b.Task, b.PlanFile, b.Sink)
}

// MustApply plans and applies, and both succeed.
func (b *Bench) MustApply() *stackjob.Outcome {
	b.Helper()
	r := b.Apply(context.Background(), b.MustPlan())
	if r.Failure != nil {
		b.Fatalf("apply: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	return r.Outcome
}

// Opened is a sealed output's value.
func (b *Bench) Opened(o stackjob.Output) string {
	b.Helper()
	return Open(b, b.identity, o.Sealed)
}

// Counting puts a program in the engine's place that notes its process's arguments and
// becomes the engine. The function returns what was noted since it was called last.
func (b *Bench) Counting() (processes func() []string) {
	b.Helper()
	dir := b.TempDir()
	real := b.Task.Program.Path
	note, script := filepath.Join(dir, "processes"), filepath.Join(dir, filepath.Base(real))
	// Engines look for their parts beside the program that was called.
	b.Task.Env["PATH"] = filepath.Dir(real) + string(filepath.ListSeparator) + b.Task.Env["PATH"]
	WriteScript(b, script, "#!/bin/sh\necho \"$*\" >> '"+note+"'\nexec '"+real+"' \"$@\"\n")
	b.Task.Program.Path = script
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

// Open decrypts what was sealed for an identity.
func Open(t testing.TB, id age.Identity, sealed []byte) string {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// WriteScript writes a script that is put in an engine's place.
func WriteScript(t testing.TB, path, text string) {
	t.Helper()
	tooltest.WriteProgram(t, path, text)
}

// Patience is how long anything may take on a slow and busy machine before a test fails.
const Patience = 10 * time.Minute

// AwaitDeath waits until processes are gone.
func AwaitDeath(t testing.TB, pids []int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(Patience)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) {
			select {
			case <-tick.C:
			case <-tooLong:
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

func isZombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}
