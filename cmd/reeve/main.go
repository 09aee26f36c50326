// Command reeve is the GitOps reconciler daemon for infrastructure, and the
// command line to it. There is one file per command; what they print and with
// which code they exit is decided here, everything else elsewhere.
//
// Exit codes: 0 done, 1 findings (a diagnostic, a failed job, a difference), 2 wrong
// usage, 3 the work could not be done, or has no effect (an approval that does not count).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build.
var version = "dev"

// The exit codes.
const (
	exitOK       = 0
	exitFindings = 1
	exitUsage    = 2
	exitFailed   = 3
)

// exit is an error that knows its exit code. A nil err prints nothing.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// findings ends a command whose output has said what it found.
func findings() error { return &exit{code: exitFindings} }

// usage ends a command that was called wrongly.
func usage(format string, args ...any) error {
	return &exit{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func main() {
	// The runner is started by a daemon, with an environment of its own and no
	// configuration: it is not a command for people.
	if len(os.Args) == 3 && os.Args[1] == "run-job" {
		os.Exit(runJob(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second interrupt ends the program at once
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Environ())
	stop()
	os.Exit(code)
}

// run is the whole command line, callable from tests.
func run(ctx context.Context, args []string, s streams, environ []string) int {
	root := newRoot(s, environ)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{code: exitUsage, err: err} // from cobra: it did not understand the call
	}
	if e.err != nil {
		_, _ = fmt.Fprintln(s.err, "reeve: "+e.err.Error())
	}
	return e.code
}
