package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// told is a run that answers an interrupt with an error.
type told struct{ err error }

func (t told) Wait(context.Context, func(engine.Event)) (engine.Result, error) {
	return engine.Result{}, nil
}
func (t told) Interrupt() error { return t.err }

func TestACancelThatComesAsTheRunnerEndsIsNoError(t *testing.T) {
	t.Parallel()
	broken := errors.New("no permission")
	w := &Worker{running: map[stackjob.JobID]engine.Run{
		"ended":  told{fmt.Errorf("interrupt /jobs/ended: %w", os.ErrProcessDone)},
		"broken": told{broken},
	}}
	if err := w.Interrupt("ended"); err != nil {
		t.Error(err)
	}
	if err := w.Interrupt("unknown"); err != nil {
		t.Error(err)
	}
	if err := w.Interrupt("broken"); !errors.Is(err, broken) {
		t.Errorf("%v, expected %v", err, broken)
	}
}

// unread are records of which no stack can be read.
type unread struct {
	Records
	err   error
	moved []stackjob.Move
}

func (u *unread) Stack(context.Context, schema.ResourceKey) (stackjob.Stack, error) {
	return stackjob.Stack{}, u.err
}

func (u *unread) Move(_ context.Context, _ stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	u.moved = append(u.moved, m)
	return stackjob.Job{}, nil
}

// What is recorded of the stack goes on to be what its readers get.
func TestALostApplyIsNotRecordedWithoutWhatTheStackHadBefore(t *testing.T) {
	t.Parallel()
	records := &unread{err: errors.New("the disk is gone")}
	w := &Worker{r: &Reconciler{o: Options{Records: records, Now: time.Now}}}
	again, err := w.lost(t.Context(), stackjob.Job{ID: "sj_1", State: stackjob.Applying}, engine.PhaseApply, engine.ErrLost)
	if again || !errors.Is(err, records.err) || len(records.moved) > 0 {
		t.Errorf("again %t, error %v, moved %v", again, err, records.moved)
	}
}
