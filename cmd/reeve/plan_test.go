package main

import (
	"testing"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestTheLastLineOfAPlanSaysWhatAllDo(t *testing.T) {
	t.Parallel()
	of := func(p stackjob.Plan) app.PlannedResource { return app.PlannedResource{Job: &stackjob.Job{Plan: &p}} }
	update := of(stackjob.Plan{HasChanges: true, Counts: stackjob.Counts{Update: 1, Move: 1}})
	outputs := of(stackjob.Plan{HasChanges: true, Outputs: []stackjob.OutputChange{{Name: "n", Action: stackjob.Create}}})
	nothing := of(stackjob.Plan{})
	failed := app.PlannedResource{Problem: &stackjob.Reason{Code: stackjob.ReasonEngine}}
	deferred := app.PlannedResource{Deferred: &schema.ResourceKey{Name: "a"}}
	for _, c := range []struct {
		resources []app.PlannedResource
		unchanged int
		want      string
	}{
		{nil, 2, "0 stacks differ, 2 are as desired"},
		{[]app.PlannedResource{update, outputs}, 1, "2 stacks differ, 1 is as desired: +0 ~1 -0 ±0 (1 in state only)"},
		{[]app.PlannedResource{outputs}, 0, "1 stack differs, 0 are as desired: outputs only"},
		{[]app.PlannedResource{nothing}, 0, "1 stack differs, 0 are as desired: no changes"},
		{[]app.PlannedResource{failed, deferred}, 0, "2 stacks differ, 0 are as desired: 2 not planned"},
		{[]app.PlannedResource{outputs, failed}, 3, "2 stacks differ, 3 are as desired: outputs only, 1 not planned"},
	} {
		if got := inAll(app.LocalPlan{Resources: c.resources, Unchanged: c.unchanged}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
