// Package sweep ends the processes that a run left behind.
//
// Every process of a run inherits [Variable] with the run's id in its environment.
// What carries it belongs to the run, and so does what descends from such a process
// or shares a session with it: a child that cleared its environment is found by its
// relatives. A process id alone is never trusted: it may have been given away since.
//
// Runs are found like this on Linux. Elsewhere there is no way to read the
// environment of others, and a run is its process group.
package sweep

import "time"

// Variable is the environment variable that marks a run's processes.
const Variable = "REEVE_RUN"

// Run is what is known of a run whose processes are looked for.
type Run struct {
	// ID is the value of Variable.
	ID string
	// Session is the session of the run's leader, when it was seen alive a moment
	// ago; 0 when it may be somebody else's by now.
	Session int
}

// patience is how long a killed process may take to go: one that waits for a dead
// disk or network file system takes for ever.
const patience = 10 * time.Second
