package reconciler

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// named is a source of which nothing is asked but its name.
type named struct {
	gitsource.Source
	name string
}

func (n named) Name() string { return n.name }

// A policy that comes while a plan is judged finds no job that waits, and the plan is judged
// by the one before: such a job waited for ever for what nobody asks for any more.
func TestAJobThatBeginsToWaitIsJudgedByTheNewestPolicy(t *testing.T) {
	t.Parallel()
	now := time.Now()
	stack := schema.ResourceKey{Org: "acme", Env: "prod", Kind: "TerraformStack", Name: "s"}
	treeWith := func(control string) *schema.Tree {
		return schematest.Load(t, map[string]string{"acme/prod/s.yaml": schematest.Stack("s", "/m"), "m/main.tf": "", "acme/policies/p.yaml": "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\n" +
			"metadata: {name: p}\nspec:\n  selector: {kind: environment, id: prod}\n  flowControl: {" + control + "}\n"})
	}
	plan := stackjob.Plan{Digest: "sha256:1", HasChanges: true}
	for name, c := range map[string]struct {
		old, new string
		want     stackjob.State
	}{
		"start, which nobody holds any more": {"isManual: true", "", stackjob.Queued},
		"start, as before":                   {"isManual: true", "isManual: true", stackjob.WaitingStart},
		"apply, which nobody holds any more": {"pauseBetweenPreviewAndUpdateOrDestroy: true", "", stackjob.Ready},
		"apply, as before":                   {"pauseBetweenPreviewAndUpdateOrDestroy: true", "pauseBetweenPreviewAndUpdateOrDestroy: true", stackjob.WaitingApply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			job := queued(stack, now)
			st := recordsOf(t, job)
			r := New(Options{Records: st, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			r.Follow(RepositoryOptions{Source: named{name: "config"}})
			r.repository("config").view.Store(&View{Tree: treeWith(c.new), changes: map[schema.ResourceKey]*diff.Change{stack: {Key: stack, Action: stackjob.Apply}}})
			w := NewWorker(WorkerOptions{Reconciler: r})

			choice := flowcontrol.Choose(treeWith(c.old).Policies(), stack)
			moves := []stackjob.Move{stackjob.HoldStart(now, flowcontrol.AtStart(job, choice))}
			if !choice.Controls.IsManual {
				moves = []stackjob.Move{stackjob.StartPlan(now, "d1", now.Add(time.Hour), choice),
					stackjob.Planned(now, stackjob.Lease{Owner: "d1", Fence: 1}, plan, flowcontrol.AtApply(job, plan, choice))}
			}
			job = afterMoves(t, st, job, moves...)
			if !job.State.IsWaiting() {
				t.Fatalf("it is %s", job.State)
			}
			again, err := w.step(ctx, job)
			after, jerr := st.Job(ctx, job.ID)
			if err != nil || jerr != nil || after.State != c.want || again != (after.State != job.State) {
				t.Errorf("%s, again %t, %v, %v", after.State, again, err, jerr)
			}
		})
	}
}
