package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func lifecycle(s *stack) {
	kept := Resource{Name: "kept", Value: "text"}
	p := Program{
		Inputs:    []string{"text"},
		Resources: []Resource{kept, {Name: "replaced", ReplaceOn: "text"}},
		Outputs:   []Output{{Name: "text", Input: "text"}},
	}
	s.write(p)
	s.inputs(map[string]any{"text": "one"})
	out := s.mustApply(stackjob.Apply, stackjob.Counts{Create: 2})
	wantOutput(s, out, "text", `"one"`)

	s.inputs(map[string]any{"text": "two"})
	plan := s.mustPlan(stackjob.Apply)
	want := map[string]stackjob.ChangeAction{"kept": stackjob.Update, "replaced": stackjob.Replace}
	if diff := cmp.Diff(want, actions(plan)); diff != "" {
		s.Errorf("actions of the change (-want +got):\n%s", diff)
	}
	out = s.mustApply(stackjob.Apply, stackjob.Counts{Update: 1, Replace: 1})
	wantOutput(s, out, "text", `"two"`)

	if plan = s.mustPlan(stackjob.Apply); plan.HasChanges || plan.Counts != (stackjob.Counts{NoOp: 2}) || len(plan.Resources)+len(plan.Outputs) > 0 {
		s.Errorf("a plan that changes nothing: %+v", plan)
	}

	p.Resources = []Resource{kept}
	s.write(p)
	s.mustApply(stackjob.Apply, stackjob.Counts{Delete: 1, NoOp: 1})

	out = s.mustApply(stackjob.Destroy, stackjob.Counts{Delete: 1})
	if len(out.Outputs) != 0 {
		s.Errorf("outputs after the destroy: %+v", out.Outputs)
	}
	if plan = s.mustPlan(stackjob.Destroy); plan.HasChanges {
		s.Errorf("a second destroy has changes: %+v", plan)
	}
}

func wantOutput(s *stack, out *stackjob.Outcome, name, value string) {
	s.Helper()
	for _, o := range out.Outputs {
		if o.Name == name {
			if string(o.Value) != value || o.Sensitive || o.Hash == "" {
				s.Errorf("output %s = %+v, want %s", name, o, value)
			}
			return
		}
	}
	s.Errorf("no output %s in %+v", name, out.Outputs)
}

func equalDigests(s *stack) {
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text"}, {Name: "replaced", ReplaceOn: "text"}}})
	s.inputs(map[string]any{"text": "one"})
	first := s.mustPlan(stackjob.Apply)
	second := s.mustPlan(stackjob.Apply)
	if first.Digest != second.Digest || !strings.HasPrefix(first.Digest, "sha256:") {
		s.Errorf("equal plans have digests %s and %s", first.Digest, second.Digest)
	}
	if first.InputDigest != second.InputDigest {
		s.Error("equal inputs have different digests")
	}
	s.inputs(map[string]any{"text": "two"})
	other := s.mustPlan(stackjob.Apply)
	if other.Digest == first.Digest || other.InputDigest == first.InputDigest {
		s.Error("another plan has the same digest")
	}
}

func drift(s *stack) {
	file := filepath.Join(s.dir, "file")
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "file", Value: "text", File: file}}})
	s.inputs(map[string]any{"text": "one"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	if err := os.Remove(file); err != nil {
		s.Fatal(err)
	}
	plan := s.mustPlan(stackjob.Apply)
	if len(plan.Drift) != 1 || plan.Drift[0].Name != "file" {
		s.Errorf("drift = %+v", plan.Drift)
	}
	if diff := cmp.Diff(stackjob.Counts{Create: 1}, plan.Counts); diff != "" {
		s.Errorf("counts (-want +got):\n%s", diff)
	}
	if r := s.apply(context.Background(), plan); r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "one" {
		s.Errorf("the file was not made again: %q, %v", b, err)
	}

	s.task.SkipRefresh = true
	if err := os.Remove(file); err != nil {
		s.Fatal(err)
	}
	r := s.plan(context.Background(), stackjob.Apply)
	if r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	if r.Plan.HasChanges || len(r.Plan.Drift) > 0 {
		s.Errorf("a plan without refresh found drift: %+v", r.Plan)
	}
	if diff := cmp.Diff([]string{"init skipped", "refresh skipped", "plan succeeded"}, kinds(r.Operations)); diff != "" {
		s.Errorf("operations (-want +got):\n%s", diff)
	}
}

func partialFailure(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{
		Inputs:    []string{"text"},
		Resources: []Resource{{Name: "good", Value: "text"}, {Name: "bad", Note: note, Fails: true, After: []string{"good"}}},
		Outputs:   []Output{{Name: "text", Input: "text"}},
	})
	s.inputs(map[string]any{"text": "one"})
	r := s.apply(context.Background(), s.mustPlan(stackjob.Apply))
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultFailed || r.Failure == nil || r.Cancelled {
		s.Fatalf("result = %+v", r)
	}
	if r.Failure.Reason.Code != stackjob.ReasonEngine || r.Failure.Text == "" || r.Outcome.Reason != r.Failure.Reason {
		s.Errorf("failure = %+v, reason of the outcome = %+v", r.Failure, r.Outcome.Reason)
	}
	if diff := cmp.Diff(stackjob.Counts{Create: 1}, r.Outcome.Counts); diff != "" {
		s.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"apply failed"}, kinds(r.Operations)); diff != "" {
		s.Errorf("operations (-want +got):\n%s", diff)
	}
	// The good one exists and is not made again.
	if a := actions(s.mustPlan(stackjob.Apply)); a["good"] != "" || a["bad"] == "" {
		s.Errorf("actions of the next plan = %v", a)
	}
}

func cancelledApply(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{
		Inputs:    []string{"text"},
		Resources: []Resource{{Name: "good", Value: "text"}, {Name: "slow", Note: note, Hangs: true, After: []string{"good"}}},
	})
	s.inputs(map[string]any{"text": "one"})
	plan := s.mustPlan(stackjob.Apply)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ended := make(chan engine.Result, 1)
	go func() { ended <- s.apply(ctx, plan) }()
	s.awaitNote(note)
	cancel(errors.New("somebody asked"))
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultCancelled || !r.Cancelled || r.Failure == nil {
		s.Fatalf("result = %+v", r)
	}
	if diff := cmp.Diff(stackjob.Counts{Create: 1}, r.Outcome.Counts); diff != "" {
		s.Errorf("counts (-want +got):\n%s", diff)
	}
	if s.lines(note) != 1 {
		s.Errorf("the side effect happened %d times", s.lines(note))
	}
	// The lock is gone and the state knows what exists.
	if a := actions(s.mustPlan(stackjob.Apply)); a["good"] != "" {
		s.Errorf("actions of the next plan = %v", a)
	}
}

// awaitNote waits until the slow resource is at work.
func (s *stack) awaitNote(note string) {
	s.Helper()
	s.sink.Await(s, "the slow resource starts", func(_ string, events []engine.Event) bool {
		for _, e := range events {
			if e.Resource != nil && strings.Contains(e.Resource.Address, "slow") && e.Resource.Status == "started" {
				return s.lines(note) > 0
			}
		}
		return false
	})
}

// killedEngine kills the engine itself in the middle of its first resource: the
// state knows nothing, the side effect has happened.
func killedEngine(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "slow", Note: note, Hangs: true}}})
	s.inputs(map[string]any{"text": "one"})
	plan := s.mustPlan(stackjob.Apply)
	ended := make(chan engine.Result, 1)
	go func() { ended <- s.apply(context.Background(), plan) }()
	s.awaitNote(note)
	s.killEngine()
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted || r.Failure == nil || r.Cancelled {
		s.Fatalf("result = %+v", r)
	}
	// The engine alone would do it again.
	if r = s.apply(context.Background(), plan); r.Failure == nil || r.Outcome != nil || r.Failure.Reason.Code != stackjob.ReasonAfterInterrupt {
		s.Errorf("the same plan was applied again: %+v", r)
	}
	if s.lines(note) != 1 {
		s.Errorf("the side effect happened %d times", s.lines(note))
	}
	next := s.planAfterKill()
	if !slices.ContainsFunc(next.Warnings, func(w string) bool { return strings.Contains(w, "slow") }) {
		s.Errorf("the next plan does not say what may exist: %q", next.Warnings)
	}
}

// planAfterKill plans a stack whose engine was killed. Where an engine leaves its lock
// behind, the plan is refused, says whose the lock is, and goes on when it is told that
// this very lock is ours.
func (s *stack) planAfterKill() *stackjob.Plan {
	s.Helper()
	r := s.plan(context.Background(), stackjob.Apply)
	if !s.h.LeavesLock {
		if r.Failure != nil {
			s.Fatalf("plan after a kill: %v\n%s", r.Failure.Reason, r.Failure.Text)
		}
		return r.Plan
	}
	if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked || r.Failure.Class != engine.ClassPerson || r.Failure.Lock == nil {
		s.Fatalf("the lock that was left behind does not stop a plan: %+v", r)
	}
	lock := *r.Failure.Lock
	if lock.ID == "" || lock.Who == "" || lock.CreatedAt.IsZero() {
		s.Errorf("the lock does not say whose it is: %+v", lock)
	}
	other := lock
	other.ID = "another"
	s.task.ReleaseLock = &other
	if r = s.plan(context.Background(), stackjob.Apply); r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked {
		s.Fatalf("a lock was released that was not the one that is ours: %+v", r)
	}
	s.task.ReleaseLock = &lock
	plan := s.mustPlan(stackjob.Apply)
	s.task.ReleaseLock = nil
	return plan
}

// crashInTheMiddle kills the engine when one resource is done and another is at work:
// the next plan knows the first, tells of the second, and can be applied.
func crashInTheMiddle(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{
		Inputs:    []string{"text"},
		Resources: []Resource{{Name: "good", Value: "text"}, {Name: "slow", Note: note, Hangs: true, After: []string{"good"}}},
	})
	s.inputs(map[string]any{"text": "one"})
	plan := s.mustPlan(stackjob.Apply)
	ended := make(chan engine.Result, 1)
	go func() { ended <- s.apply(context.Background(), plan) }()
	s.awaitNote(note)
	s.killEngine()
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted || r.Failure == nil || r.Cancelled {
		s.Fatalf("result = %+v", r)
	}
	if diff := cmp.Diff(stackjob.Counts{Create: 1}, r.Outcome.Counts); diff != "" {
		s.Errorf("counts (-want +got):\n%s", diff)
	}
	if last := r.Operations[len(r.Operations)-1]; last.Result != stackjob.ResultInterrupted || !last.Killed {
		s.Errorf("operation = %+v", last)
	}
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "good", Value: "text"}, {Name: "next", Value: "text"}}})
	next := s.planAfterKill()
	if !slices.ContainsFunc(next.Warnings, func(w string) bool { return strings.Contains(w, "slow") }) {
		s.Errorf("the next plan does not say what may exist: %q", next.Warnings)
	}
	if a := actions(next); a["next"] != stackjob.Create || s.h.KeepsStateWhenKilled && a["good"] != "" {
		s.Errorf("actions of the next plan = %v", a)
	}
	if r = s.apply(context.Background(), next); r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	if after := s.mustPlan(stackjob.Apply); after.HasChanges || slices.ContainsFunc(after.Warnings, func(w string) bool { return strings.Contains(w, "slow") }) {
		s.Errorf("the plan after the recovery: %+v", after)
	}
}

// killEngine kills the engine's process as the kernel does when memory is short.
func (s *stack) killEngine() {
	s.Helper()
	_, events := s.sink.Told()
	pid := 0
	for _, e := range events {
		if e.Type == engine.EngineStarted && e.Operation == stackjob.OpApply {
			pid = e.PID
		}
	}
	if pid == 0 {
		s.Fatal("nobody was told the engine's process")
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		s.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		s.Fatal(err)
	}
}

// movedState plans, lets another job apply something, and applies: nothing is touched.
func movedState(s *stack) {
	note := filepath.Join(s.dir, "note")
	one := Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text"}}}
	s.write(one)
	s.inputs(map[string]any{"text": "one"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	s.write(Program{Inputs: []string{"text"}, Resources: append(one.Resources, Resource{Name: "late", Note: note})})
	stale := s.mustPlan(stackjob.Apply)
	kept, late := s.file, s.task
	s.file += "-other"
	s.write(one)
	s.inputs(map[string]any{"text": "two"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Update: 1})
	s.file = kept
	s.task.ModuleRoot, s.task.ModuleRevision, s.task.Inputs = late.ModuleRoot, late.ModuleRevision, late.Inputs
	r := s.apply(context.Background(), stale)
	if r.Failure == nil || r.Failure.Class != engine.ClassWait || r.Failure.Reason.Code != stackjob.ReasonStalePlan || r.Outcome != nil && !r.Outcome.Counts.IsZero() {
		s.Errorf("a plan was applied to a state that it was not made of: %+v", r)
	}
	if s.lines(note) != 0 {
		s.Error("the side effect happened")
	}
}

// nestedSecret has a secret inside an output: it comes out sealed as a whole, with the
// value in it, or not at all and named in a warning. Never in clear, and never as
// something else.
func nestedSecret(s *stack) {
	const secret = "canary-nested-4Kd93-value"
	s.write(Program{
		Inputs: []string{"text"}, SecretInputs: []string{"secret"},
		Resources: []Resource{{Name: "kept", Value: "secret"}},
		Outputs:   []Output{{Name: "nested", Input: "secret", Secret: true, Nested: true}, {Name: "text", Input: "text"}},
	})
	s.task.Secrets = []string{secret}
	s.inputs(map[string]any{"secret": secret, "text": "one"})
	out := s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	wantOutput(s, out, "text", `"one"`)
	for _, o := range out.Outputs {
		if o.Name == "nested" && (!o.Sensitive || o.Value != nil || s.h.Open(s.T, o.Sealed) != `{"inner":"`+secret+`","plain":"x"}`) {
			s.Errorf("output = %+v", o)
		}
	}
	if len(out.Outputs) != 2 {
		s.Errorf("outputs = %+v", out.Outputs)
	}
}

// movedSecret changes a secret: the plan says so of the resource and of the output, and
// says the value of neither.
func movedSecret(s *stack) {
	s.write(Program{
		SecretInputs: []string{"secret"},
		Resources:    []Resource{{Name: "kept", Value: "secret"}},
		Outputs:      []Output{{Name: "sealed", Input: "secret", Secret: true}},
	})
	const before, after = "canary-before-8hH2", "canary-after-8hH2"
	s.task.Secrets = []string{before}
	s.inputs(map[string]any{"secret": before})
	s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	if p := s.mustPlan(stackjob.Apply); p.HasChanges {
		s.Errorf("an equal secret is a change: %+v", p)
	}
	s.task.Secrets = []string{after}
	s.inputs(map[string]any{"secret": after})
	p := s.mustPlan(stackjob.Apply)
	if len(p.Outputs) != 1 || p.Outputs[0].Action != stackjob.Update || !p.Outputs[0].Sensitive || !p.Outputs[0].Unknown && bytes.Equal(p.Outputs[0].Before, p.Outputs[0].After) {
		s.Errorf("outputs of the plan = %+v", p.Outputs)
	}
	moved := 0
	for _, a := range p.Resources[0].Attributes {
		if a.Sensitive && len(a.Before) > 0 && len(a.After) > 0 && !bytes.Equal(a.Before, a.After) {
			moved++
		}
	}
	if moved == 0 {
		s.Errorf("attributes = %+v", p.Resources[0].Attributes)
	}
	r := s.apply(context.Background(), p)
	if r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	if got := s.h.Open(s.T, r.Outcome.Outputs[0].Sealed); got != `"`+after+`"` {
		s.Errorf("output = %s", got)
	}
	log, events := s.sink.Told()
	text, err := json.Marshal([]any{p, r, events, log})
	if err != nil {
		s.Fatal(err)
	}
	for _, secret := range []string{before, after} {
		if strings.Contains(string(text), secret) {
			s.Errorf("%s is in what was told: %s", secret, text)
		}
	}
}

// forcedReplace says which attribute forces a replacement.
func forcedReplace(s *stack) {
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "replaced", ReplaceOn: "text"}}})
	s.inputs(map[string]any{"text": "one"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	s.inputs(map[string]any{"text": "two"})
	p := s.mustPlan(stackjob.Apply)
	if len(p.Resources) != 1 || p.Resources[0].Action != stackjob.Replace {
		s.Fatalf("resources = %+v", p.Resources)
	}
	if !slices.ContainsFunc(p.Resources[0].Attributes, func(a stackjob.AttributeChange) bool {
		return a.Forces && string(a.Before) == `"one"` && string(a.After) == `"two"`
	}) {
		s.Errorf("no attribute forces the replacement: %+v", p.Resources[0].Attributes)
	}
	for _, part := range []string{"replaced", "must be replaced", "1 to replace"} {
		if !strings.Contains(p.Text, part) {
			s.Errorf("the text does not say %q:\n%s", part, p.Text)
		}
	}
}

func cancelledPlan(s *stack) {
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text"}}})
	s.inputs(map[string]any{"text": "one"})
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("somebody asked"))
	r := s.plan(ctx, stackjob.Apply)
	if r.Failure == nil || !r.Cancelled || r.Failure.Reason.Code != stackjob.ReasonCancelled {
		s.Errorf("result = %+v", r)
	}
	plan := s.mustPlan(stackjob.Apply)
	r = s.apply(ctx, plan)
	if r.Outcome != nil || r.Failure == nil || !r.Cancelled || r.Failure.Reason.Code != stackjob.ReasonCancelled {
		s.Errorf("an apply that was cancelled before it began: %+v", r)
	}
	if r = s.apply(context.Background(), plan); r.Failure != nil {
		s.Errorf("nothing had begun, and yet: %s", r.Failure.Text)
	}
}

func lostState(s *stack) {
	if s.h.LoseState == nil {
		s.Skip("this engine's state cannot be lost so")
	}
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text"}}})
	s.inputs(map[string]any{"text": "one"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Create: 1})
	s.inputs(map[string]any{"text": "two"})
	s.mustApply(stackjob.Apply, stackjob.Counts{Update: 1})
	s.h.LoseState(s.T, s.task)
	r := s.plan(context.Background(), stackjob.Apply)
	if r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	if len(r.Plan.Warnings) == 0 || r.Operations[len(r.Operations)-1].Reason.Code != stackjob.ReasonStateDamaged {
		s.Errorf("nobody is told: warnings %q, operations %+v", r.Plan.Warnings, r.Operations)
	}
	if a := actions(r.Plan); a["kept"] == stackjob.Create {
		s.Error("the resource would be created a second time")
	}
}

func secrets(s *stack) {
	const secret = "canary-Ys7Qe21-value"
	s.write(Program{
		SecretInputs: []string{"secret"},
		Resources:    []Resource{{Name: "kept", Value: "secret"}},
		Outputs:      []Output{{Name: "sealed", Input: "secret", Secret: true}},
	})
	s.task.Secrets = []string{secret}
	s.inputs(map[string]any{"secret": secret})
	planned := s.plan(context.Background(), stackjob.Apply)
	if planned.Failure != nil {
		s.Fatal(planned.Failure.Text)
	}
	applied := s.apply(context.Background(), planned.Plan)
	if applied.Failure != nil {
		s.Fatal(applied.Failure.Text)
	}
	log, events := s.sink.Told()
	text, err := json.Marshal([]any{planned, applied, events, log})
	if err != nil {
		s.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		s.Errorf("the secret is in what was told: %s", text)
	}
	if len(applied.Outcome.Outputs) != 1 {
		s.Fatalf("outputs = %+v", applied.Outcome.Outputs)
	}
	o := applied.Outcome.Outputs[0]
	if o.Name != "sealed" || !o.Sensitive || o.Value != nil || s.h.Open(s.T, o.Sealed) != `"`+secret+`"` {
		s.Errorf("output = %+v", o)
	}
}

func stalePlan(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text", Note: note}}})
	s.inputs(map[string]any{"text": "one"})
	plan := s.mustPlan(stackjob.Apply)
	if r := s.apply(context.Background(), plan); r.Failure != nil {
		s.Fatal(r.Failure.Text)
	}
	r := s.apply(context.Background(), plan)
	if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStalePlan || r.Outcome != nil && !r.Outcome.Counts.IsZero() {
		s.Errorf("a plan was applied twice: %+v", r)
	}
	if s.lines(note) != 1 {
		s.Errorf("the side effect happened %d times", s.lines(note))
	}
}

func changedPlan(s *stack) {
	note := filepath.Join(s.dir, "note")
	s.write(Program{Inputs: []string{"text"}, Resources: []Resource{{Name: "kept", Value: "text", Note: note}}})
	s.inputs(map[string]any{"text": "one"})
	approved := s.mustPlan(stackjob.Apply)
	s.inputs(map[string]any{"text": "two"})
	s.mustPlan(stackjob.Apply) // takes the file's place
	r := s.apply(context.Background(), approved)
	if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonPlanChanged || r.Outcome != nil || s.lines(note) != 0 {
		s.Errorf("a plan that nobody approved was applied: %+v", r)
	}
}
