// Package enginetest is the conformance suite of the engine port: the same
// scenarios for every driver, comparing the values that come out.
//
//	func TestConformance(t *testing.T) {
//		enginetest.Run(t, enginetest.Harness{Driver: driver, Task: newTask, Write: writeModule})
//	}
//
// It runs real engines. It knows no engine's language: a Harness writes a
// [Program] as a module.
package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Harness is a driver with what the suite needs to use it.
type Harness struct {
	Driver engine.Driver
	// Task returns a task for a new stack below dir, complete but for phase,
	// action, inputs and module.
	Task func(t *testing.T, dir string) engine.Task
	// Write writes a program as a module into dir, which is empty.
	Write func(t *testing.T, dir string, p Program)
	// Open decrypts a sealed output.
	Open func(t *testing.T, sealed []byte) string
	// LoseState does to a stack's state what a kill in the middle of its first
	// write does, at worst. nil when the engine's state cannot be damaged so.
	LoseState func(t *testing.T, task engine.Task)
	// LeavesLock tells that an engine that is killed leaves its lock behind.
	LeavesLock bool
	// KeepsStateWhenKilled tells that the state of what was done outlives a kill.
	KeepsStateWhenKilled bool
}

// Run runs every scenario.
func Run(t *testing.T, h Harness) {
	for _, s := range []struct {
		name string
		run  func(*stack)
	}{
		{"create, change, no change, replace, delete and destroy", lifecycle},
		{"equal plans have equal digests", equalDigests},
		{"drift is shown and undone", drift},
		{"a partial failure tells what exists", partialFailure},
		{"a cancelled apply tells how far it came", cancelledApply},
		{"a cancelled plan", cancelledPlan},
		{"an engine killed before its first state write is interrupted", killedEngine},
		{"an engine killed in the middle is recovered", crashInTheMiddle},
		{"a state lost before its first write is found and told", lostState},
		{"secrets come out sealed or not at all", secrets},
		{"a secret inside an output", nestedSecret},
		{"a secret that moved", movedSecret},
		{"what forces a replacement", forcedReplace},
		{"a stale plan is refused", stalePlan},
		{"a plan of a state that moved is refused", movedState},
		{"a plan that is another file is refused", changedPlan},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s.run(&stack{T: t, h: h, dir: dir, task: h.Task(t, dir), sink: NewSink(), file: filepath.Join(dir, "saved-plan")})
		})
	}
}

// stack is one stack under test.
type stack struct {
	*testing.T
	h         Harness
	dir       string
	task      engine.Task
	sink      *Sink
	file      string
	revisions int
}

// write makes a program the stack's module, as a new revision.
func (s *stack) write(p Program) {
	s.Helper()
	s.revisions++
	s.task.ModuleRevision = strings.Repeat("r", s.revisions)
	s.task.ModuleRoot, s.task.ModulePath = filepath.Join(s.dir, "module-"+s.task.ModuleRevision), ""
	if err := os.Mkdir(s.task.ModuleRoot, 0o700); err != nil {
		s.Fatal(err)
	}
	s.h.Write(s.T, s.task.ModuleRoot, p)
}

func (s *stack) inputs(v map[string]any) {
	s.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		s.Fatal(err)
	}
	s.task.Inputs = b
}

func (s *stack) plan(ctx context.Context, action stackjob.Action) engine.Result {
	s.Helper()
	s.task.Phase, s.task.Action = engine.PhasePlan, action
	r := s.h.Driver.Plan(ctx, s.task, s.file, s.sink)
	if (r.Plan == nil) == (r.Failure == nil) || r.Outcome != nil || r.Phase != engine.PhasePlan {
		s.Fatalf("a plan phase has a plan or a failure: %+v", r)
	}
	return r
}

func (s *stack) mustPlan(action stackjob.Action) *stackjob.Plan {
	s.Helper()
	r := s.plan(context.Background(), action)
	if r.Failure != nil {
		s.Fatalf("plan: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	return r.Plan
}

func (s *stack) apply(ctx context.Context, p *stackjob.Plan) engine.Result {
	s.Helper()
	s.task.Phase, s.task.PlanDigest, s.task.PlanFileDigest = engine.PhaseApply, p.Digest, p.FileDigest
	r := s.h.Driver.Apply(ctx, s.task, s.file, s.sink)
	if r.Plan != nil || r.Outcome == nil && r.Failure == nil || r.Phase != engine.PhaseApply {
		s.Fatalf("an apply phase has an outcome, a failure, or both: %+v", r)
	}
	return r
}

// mustApply plans, wants these counts, applies, and wants them again.
func (s *stack) mustApply(action stackjob.Action, want stackjob.Counts) *stackjob.Outcome {
	s.Helper()
	p := s.mustPlan(action)
	if diff := cmp.Diff(want, p.Counts); diff != "" {
		s.Errorf("counts of the plan (-want +got):\n%s", diff)
	}
	r := s.apply(context.Background(), p)
	if r.Failure != nil {
		s.Fatalf("apply: %v\n%s", r.Failure.Reason, r.Failure.Text)
	}
	if r.Outcome.Result != stackjob.ResultSucceeded {
		s.Errorf("result = %q", r.Outcome.Result)
	}
	want.NoOp = 0 // an apply counts what it did
	if diff := cmp.Diff(want, r.Outcome.Counts); diff != "" {
		s.Errorf("counts of the apply (-want +got):\n%s", diff)
	}
	return r.Outcome
}

// lines counts the lines of a note.
func (s *stack) lines(path string) int {
	s.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// actions are a plan's actions by resource name.
func actions(p *stackjob.Plan) map[string]stackjob.ChangeAction {
	out := map[string]stackjob.ChangeAction{}
	for _, r := range p.Resources {
		out[r.Name] = r.Action
	}
	return out
}

// kinds are the operations with how they ended.
func kinds(ops []stackjob.Operation) []string {
	var out []string
	for _, o := range ops {
		out = append(out, string(o.Kind)+" "+string(o.Result))
	}
	return out
}

// Sink is a sink in memory.
type Sink struct {
	mu      sync.Mutex
	events  []engine.Event
	log     bytes.Buffer
	hidden  []string
	changed chan struct{}
}

// NewSink returns an empty sink.
func NewSink() *Sink { return &Sink{changed: make(chan struct{})} }

// Emit keeps an event.
func (m *Sink) Emit(e engine.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.Seq = int64(len(m.events)) + 1
	m.events = append(m.events, e)
	m.tell()
}

// Log keeps text.
func (m *Sink) Log(p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.hidden {
		p = bytes.ReplaceAll(p, []byte(s), []byte("(hidden)"))
	}
	m.log.Write(p)
	m.tell()
}

// Hide keeps what was named as secret, and masks it in what is logged from here on.
func (m *Sink) Hide(secrets []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hidden = append(m.hidden, secrets...)
}

// Hidden returns what was named as secret so far.
func (m *Sink) Hidden() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.hidden)
}

// LogOffset is how much text there is.
func (m *Sink) LogOffset() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(m.log.Len())
}

func (m *Sink) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Told returns what was told so far.
func (m *Sink) Told() (log string, events []engine.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String(), slices.Clone(m.events)
}

// Await waits until ok holds of what was told.
func (m *Sink) Await(t testing.TB, what string, ok func(log string, events []engine.Event) bool) {
	t.Helper()
	tooLong := time.After(Patience)
	// What ok looks at beside the sink, such as a file, tells nobody that it moved.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		m.mu.Lock()
		changed, log, events := m.changed, m.log.String(), slices.Clone(m.events)
		m.mu.Unlock()
		if ok(log, events) {
			return
		}
		select {
		case <-changed:
		case <-again.C:
		case <-tooLong:
			t.Fatalf("%s: it never came; log:\n%s", what, log)
		}
	}
}
