package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// progress prints what happens to jobs, one line each.
type progress struct {
	out     io.Writer
	backend api.Backend
	after   int64
}

// follow prints until ctx ends, and then what was recorded before that: the end of the last
// job is also what ends the wait for it.
func (p *progress) follow(ctx context.Context) {
	wake := p.backend.Watch(ctx)
	for ended := false; ; {
		n, err := p.catchUp(context.WithoutCancel(ctx))
		switch {
		case err != nil:
			return // the command itself will meet the same error
		case n > 0:
			continue
		case ended:
			return
		}
		select {
		case <-ctx.Done():
			ended = true
		case <-wake:
		}
	}
}

// catchUp prints what has happened since the last call and tells how much it was.
func (p *progress) catchUp(ctx context.Context) (int, error) {
	events, err := p.backend.Events(ctx, "", p.after, 200)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		p.after = e.Seq
		if err := p.show(ctx, e); err != nil {
			return 0, err
		}
	}
	return len(events), nil
}

func (p *progress) show(ctx context.Context, e store.JobEvent) error {
	switch e.Event {
	case stackjob.EvPostpone, stackjob.EvRenew:
		return nil
	case stackjob.EvRecord:
		if e.Result == stackjob.ResultNone || e.Operation == stackjob.OpRefresh || e.Operation == "" {
			return nil
		}
	}
	if e.State == stackjob.Queued && e.Event != stackjob.EvRequeue {
		return nil // what waits for its turn will have it
	}
	j, err := p.backend.Job(ctx, e.Job)
	if err != nil {
		return err
	}
	what := e.State.Sentence()
	switch {
	case e.Event == stackjob.EvRecord:
		what = string(e.Operation) + " " + string(e.Result)
	case j.Plan != nil && (e.State == stackjob.WaitingApply || e.State == stackjob.Ready):
		what += " (" + j.Plan.Brief() + ")"
	case e.State == stackjob.Failed || e.State == stackjob.Interrupted:
		what += ": " + e.Reason.String()
	}
	_, err = fmt.Fprintf(p.out, "%s  %-44s %s\n", e.At.Local().Format(time.TimeOnly), j.Desired.Key, what)
	return err
}
