package reconciler

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// hurried are records in which somebody is quicker than the next who moves a job.
type hurried struct {
	*sqlite.Store
	quicker []stackjob.Move
}

func (h *hurried) Move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	moves := h.quicker
	h.quicker = nil
	for _, q := range moves {
		if j, err := h.Store.Move(ctx, id, q); err != nil {
			return j, err
		}
	}
	return h.Store.Move(ctx, id, m)
}

// The worker moves the job between the look at it and the cancel. Whoever cancels in a pull
// request was told that it is done.
func TestACancelMeetsAJobThatIsHandedOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	stack := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "a"}
	held := stackjob.Lease{Owner: "d1", Fence: 1}
	plan := stackjob.Plan{Digest: "sha256:1", HasChanges: true}
	start := stackjob.StartPlan(now, "d1", now.Add(time.Hour), stackjob.PolicyChoice{})
	toWait := stackjob.Planned(now, held, plan, stackjob.Verdict{Decision: stackjob.Wait})
	toReady := stackjob.Planned(now, held, plan, stackjob.Verdict{Decision: stackjob.Proceed})
	apply := stackjob.StartApply(now, "d1", now.Add(time.Hour), plan.Digest)
	ended := stackjob.Applied(now, stackjob.Lease{Owner: "d1", Fence: 2}, stackjob.Outcome{Result: stackjob.ResultSucceeded}, &stackjob.Observed{Key: stack, Complete: true})
	for name, c := range map[string]struct {
		before, quicker []stackjob.Move
		want            stackjob.State
		interrupted     bool
		err             bool
	}{
		"nobody is quicker":   {nil, nil, stackjob.Cancelled, false, false},
		"queued to planning":  {nil, []stackjob.Move{start}, stackjob.Planning, true, false},
		"planning to waiting": {[]stackjob.Move{start}, []stackjob.Move{toWait}, stackjob.Cancelled, false, false},
		"planning to ready":   {[]stackjob.Move{start}, []stackjob.Move{toReady}, stackjob.Cancelled, false, false},
		"ready to applying":   {[]stackjob.Move{start, toReady}, []stackjob.Move{apply}, stackjob.Applying, true, false},
		"applying to done":    {[]stackjob.Move{start, toReady, apply}, []stackjob.Move{ended}, stackjob.Succeeded, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			job := queued(stack, now)
			st := recordsOf(t, job)
			afterMoves(t, st, job, c.before...)
			r := New(Options{Records: &hurried{Store: st, quicker: c.quicker}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			interrupted := false
			by := stackjob.Actor{Name: "ada", Via: "token"}
			_, err := r.Cancel(ctx, job.ID, by, func(stackjob.JobID) error { interrupted = true; return nil })
			var illegal *stackjob.IllegalMove
			if (err != nil) != c.err || c.err && !errors.As(err, &illegal) {
				t.Errorf("err = %v", err)
			}
			j, err := st.Job(ctx, job.ID)
			if err != nil || j.State != c.want || interrupted != c.interrupted || (j.CancelledBy != nil) != c.interrupted {
				t.Errorf("%s, interrupted: %t, asked by %v, %v", j.State, interrupted, j.CancelledBy, err)
			}
		})
	}
}
