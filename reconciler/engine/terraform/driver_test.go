package terraform_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const twoResources = `
variable "n" {}
resource "terraform_data" "a" { input = var.n }
resource "terraform_data" "b" { triggers_replace = var.n }
output "n" { value = var.n }
`

// words are the first words of the command lines: "init", "plan", …
func words(lines []string) []string {
	var out []string
	for _, l := range lines {
		first, _, _ := strings.Cut(l, " ")
		out = append(out, first)
	}
	return out
}

func TestOperationsAreToldInOrderWithTheirLog(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": twoResources})
		b.Inputs(map[string]any{"n": 1})
		planned := b.Plan(t.Context())
		if planned.Failure != nil {
			t.Fatal(planned.Failure.Text)
		}
		applied := b.Apply(t.Context(), planned.Plan)
		log, events := b.Sink.Told()
		var told, engines []string
		started := map[string]int{}
		for _, e := range events {
			switch e.Type {
			case engine.ResourceProgress, engine.Message:
				continue
			case engine.EngineStarted:
				started[strings.Join(e.Command[1:], " ")] = e.PID
			case engine.EngineEnded:
				if words := strings.Join(e.Command[1:], " "); started[words] != e.PID || e.ExitCode == nil {
					t.Errorf("%s started as %d and ended as %d with %v", words, started[words], e.PID, e.ExitCode)
				}
			}
			if e.Type == engine.EngineStarted || e.Type == engine.EngineEnded {
				engines = append(engines, string(e.Type)+" "+string(e.Operation))
				continue
			}
			told = append(told, string(e.Type)+" "+string(e.Operation))
		}
		want := []string{
			"operation-started init", "operation-ended init", "operation-started refresh", "operation-ended refresh",
			"operation-started plan", "operation-ended plan", "operation-started apply", "operation-ended apply",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
		want = []string{
			"engine-started init", "engine-ended init", "engine-started plan", "engine-ended plan",
			"engine-started plan", "engine-ended plan", "engine-started apply", "engine-ended apply",
		}
		if diff := cmp.Diff(want, engines); diff != "" {
			t.Errorf("processes in order (-want +got):\n%s", diff)
		}
		logs, processes, at := map[stackjob.OperationKind]string{}, map[stackjob.OperationKind]int{}, int64(0)
		for _, op := range append(planned.Operations, applied.Operations...) {
			if op.LogFrom < at || op.LogTo < op.LogFrom || op.EndedAt.Before(op.StartedAt) || op.Attempt != 1 || op.Result != stackjob.ResultSucceeded {
				t.Errorf("operation %+v", op)
			}
			at = op.LogTo
			logs[op.Kind], processes[op.Kind] = log[op.LogFrom:op.LogTo], op.EngineProcesses
		}
		for kind, line := range map[stackjob.OperationKind]string{
			stackjob.OpInit: "successfully initialized", stackjob.OpPlan: "Plan: 2 to add", stackjob.OpApply: "terraform_data.b: Creation complete",
		} {
			if !strings.Contains(logs[kind], line) {
				t.Errorf("the log of %s is %q", kind, logs[kind])
			}
		}
		if diff := cmp.Diff(map[stackjob.OperationKind]int{"init": 1, "refresh": 0, "plan": 2, "apply": 1}, processes); diff != "" {
			t.Errorf("processes (-want +got):\n%s", diff)
		}
	})
}

func TestAPlanTakesThreeProcessesColdTwoWarmAndAnApplyOne(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": twoResources})
		processes := b.Counting()

		b.Inputs(map[string]any{"n": 1})
		plan := b.MustPlan()
		if diff := cmp.Diff([]string{"init", "plan", "show"}, words(processes())); diff != "" {
			t.Errorf("cold plan (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(stackjob.Counts{Create: 2}, plan.Counts); diff != "" {
			t.Errorf("counts of the first plan (-want +got):\n%s", diff)
		}
		r := b.Apply(t.Context(), plan)
		if diff := cmp.Diff([]string{"apply"}, words(processes())); diff != "" {
			t.Errorf("apply (-want +got):\n%s", diff)
		}
		if r.Failure != nil {
			t.Fatal(r.Failure.Text)
		}
		if diff := cmp.Diff(stackjob.Counts{Create: 2}, r.Outcome.Counts); diff != "" {
			t.Errorf("counts of the apply (-want +got):\n%s", diff)
		}

		b.Inputs(map[string]any{"n": 2})
		plan = b.MustPlan()
		if diff := cmp.Diff([]string{"plan", "show"}, words(processes())); diff != "" {
			t.Errorf("warm plan (-want +got):\n%s", diff)
		}
		r = b.Apply(t.Context(), plan)
		if diff := cmp.Diff(stackjob.Counts{Update: 1, Replace: 1}, r.Outcome.Counts); diff != "" {
			t.Errorf("counts of the second apply (-want +got):\n%s", diff)
		}
		processes()

		plan = b.MustPlan()
		if diff := cmp.Diff([]string{"plan"}, words(processes())); diff != "" {
			t.Errorf("plan that changes nothing (-want +got):\n%s", diff)
		}
		if plan.HasChanges || plan.Counts != (stackjob.Counts{NoOp: 2}) {
			t.Errorf("plan that changes nothing: %+v", plan)
		}
	})
}

func TestAuthorsMistakeIsShownWithItsPlace(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"stacks/x/main.tf": "resource \"terraform_data\" \"a\" {\n  input = var.missing\n}\n"})
		b.Task.ModulePath = "stacks/x"
		r := b.Plan(t.Context())
		f := r.Failure
		if f == nil || f.Class != engine.ClassAuthor || f.Reason != (stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "Reference to undeclared input variable"}) {
			t.Fatalf("failure = %+v", f)
		}
		for _, part := range []string{"on main.tf:2:11", "2 │   input = var.missing", `"missing"`} {
			if !strings.Contains(f.Text, part) {
				t.Errorf("%q is not in:\n%s", part, f.Text)
			}
		}
		want := []string{"init succeeded", "refresh skipped", "plan failed"}
		var got []string
		for _, op := range r.Operations {
			got = append(got, string(op.Kind)+" "+string(op.Result))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
	})
}
