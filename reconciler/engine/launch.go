package engine

import (
	"context"
	"errors"
)

// ErrLost means that a phase's runner is gone and left no result.
var ErrLost = errors.New("the runner is gone and left no result")

// ErrNotStarted means that a phase's runner never began its work: the folder is
// there and the engine was never started.
var ErrNotStarted = errors.New("the runner never began")

// ErrAlive means that something cannot be done to a phase's folder while its runner
// lives.
var ErrAlive = errors.New("its runner is alive")

// Launcher starts runners and finds those of an earlier daemon. Its
// implementation is engine/runner.
type Launcher interface {
	// Start writes the task into folder and starts a runner for it.
	Start(ctx context.Context, folder string, t Task) (Run, error)
	// Attach finds what became of the phase in folder: a Run for a living or
	// an ended one, or ErrLost or ErrNotStarted after marking the folder as abandoned,
	// so that no runner can begin there any more, and killing what the runner left behind.
	// Beside ErrLost there may be a Run: its Wait tells the events that were journaled,
	// and then ErrLost.
	Attach(ctx context.Context, folder string) (Run, error)
}

// Run is one phase that was started. It may outlive the process that holds the
// value.
type Run interface {
	// Wait returns the result. It calls observe for every journal event, in
	// order, from the first; observe may be nil. When ctx ends it returns
	// ctx's error and the runner goes on. It returns ErrLost when the runner
	// was killed; then nothing of it runs any more.
	Wait(ctx context.Context, observe func(Event)) (Result, error)
	// Interrupt asks the runner to stop the engine as a person would with
	// Ctrl-C: interrupt, grace, kill of the group. It returns at once.
	Interrupt() error
}
