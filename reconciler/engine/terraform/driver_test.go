package terraform_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestAPlanTakesThreeProcessesColdTwoWarmAndAnApplyOne(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.module(map[string]string{"main.tf": twoResources})
		processes := b.counting()

		b.inputs(map[string]any{"n": 1})
		plan := b.mustPlan()
		if diff := cmp.Diff([]string{"init", "plan", "show"}, words(processes())); diff != "" {
			t.Errorf("cold plan (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(stackjob.Counts{Create: 2}, plan.Counts); diff != "" {
			t.Errorf("counts of the first plan (-want +got):\n%s", diff)
		}
		r := b.apply(t.Context(), plan)
		if diff := cmp.Diff([]string{"apply"}, words(processes())); diff != "" {
			t.Errorf("apply (-want +got):\n%s", diff)
		}
		if r.Failure != nil {
			t.Fatal(r.Failure.Text)
		}
		if diff := cmp.Diff(stackjob.Counts{Create: 2}, r.Outcome.Counts); diff != "" {
			t.Errorf("counts of the apply (-want +got):\n%s", diff)
		}

		b.inputs(map[string]any{"n": 2})
		plan = b.mustPlan()
		if diff := cmp.Diff([]string{"plan", "show"}, words(processes())); diff != "" {
			t.Errorf("warm plan (-want +got):\n%s", diff)
		}
		r = b.apply(t.Context(), plan)
		if diff := cmp.Diff(stackjob.Counts{Update: 1, Replace: 1}, r.Outcome.Counts); diff != "" {
			t.Errorf("counts of the second apply (-want +got):\n%s", diff)
		}
		processes()

		plan = b.mustPlan()
		if diff := cmp.Diff([]string{"plan"}, words(processes())); diff != "" {
			t.Errorf("plan that changes nothing (-want +got):\n%s", diff)
		}
		if plan.HasChanges || plan.Counts != (stackjob.Counts{NoOp: 2}) {
			t.Errorf("plan that changes nothing: %+v", plan)
		}
	})
}
