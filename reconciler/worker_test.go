package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
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
