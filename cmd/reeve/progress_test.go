package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// recorded is a backend with one event, which is recorded in the moment in which the wait
// for it ends.
type recorded struct {
	api.Backend
	end context.CancelFunc
}

func (r recorded) Watch(context.Context) <-chan struct{} {
	r.end()
	return nil
}

func (r recorded) Events(ctx context.Context, _ stackjob.JobID, after int64, _ int) ([]store.JobEvent, error) {
	if ctx.Err() != nil || after > 0 {
		return nil, ctx.Err()
	}
	return []store.JobEvent{{Seq: 1, Job: "sj_1", Event: stackjob.EvRecord, State: stackjob.Planning, Operation: stackjob.OpPlan, Result: stackjob.ResultSucceeded, At: time.Unix(0, 0)}}, nil
}

func (r recorded) Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	return stackjob.Job{ID: id, Desired: stackjob.Desired{Key: schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: "a"}}}, ctx.Err()
}

func TestProgressShowsWhatWasRecordedWhenTheWaitEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	(&progress{out: &out, backend: recorded{end: cancel}}).follow(ctx)
	if !strings.HasSuffix(out.String(), " plan succeeded\n") {
		t.Errorf("it shows %q", out.String())
	}
}
