package telling

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

var (
	// ErrTimeout is the cause of a context that an operation's own time limit ended.
	ErrTimeout = errors.New("the operation's time is over")
	// ErrKilled tells that the engine was killed, by nobody in this program.
	ErrKilled = errors.New("the engine was killed")
)

// Problem is a failure on its way up.
type Problem struct {
	Failure engine.Failure
	// Cancelled tells that somebody asked for it.
	Cancelled bool
	Cause     error
}

func (e *Problem) Error() string { return e.Failure.Reason.String() }
func (e *Problem) Unwrap() error { return e.Cause }

// Result is what an apply came to that ended with the problem.
func (e *Problem) Result(killed bool) stackjob.Result {
	switch {
	case killed:
		// Whoever did it and why: what it was at when it died is in no state.
		return stackjob.ResultInterrupted
	case e.Cancelled:
		return stackjob.ResultCancelled
	}
	return stackjob.ResultFailed
}

// Reason is a reason with a detail.
func Reason(code stackjob.ReasonCode, detail string) stackjob.Reason {
	return stackjob.Reason{Code: code, Detail: detail}
}

// Author is a mistake in what the author wrote.
func Author(code stackjob.ReasonCode, detail, text string) *Problem {
	return problem(engine.ClassAuthor, code, detail, text)
}

// Person is something that a person must decide.
func Person(code stackjob.ReasonCode, detail, text string) *Problem {
	return problem(engine.ClassPerson, code, detail, text)
}

// Wait is something that another run may find otherwise.
func Wait(code stackjob.ReasonCode, detail, text string) *Problem {
	return problem(engine.ClassWait, code, detail, text)
}

func problem(c engine.Class, code stackjob.ReasonCode, detail, text string) *Problem {
	return &Problem{Failure: engine.Failure{Class: c, Reason: Reason(code, detail), Text: text}}
}

// ProblemOf is the problem that an error is, or else one of our own work: with files and
// folders.
func ProblemOf(err error) *Problem {
	var pr *Problem
	if errors.As(err, &pr) {
		return pr
	}
	f := engine.Failure{Class: engine.ClassBug, Reason: Reason(stackjob.ReasonInternal, ""), Text: err.Error()}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{Cancelled: true, Cause: err, Failure: engine.Failure{
			Class: engine.ClassPerson, Reason: Reason(stackjob.ReasonCancelled, ""), Text: "Interrupted before the engine was started."}}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Class, f.Reason.Code = engine.ClassWait, stackjob.ReasonDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		f.Class = engine.ClassPerson
	}
	return &Problem{Failure: f, Cause: err}
}

// Stopped is the problem of an engine that did not come to say what was wrong: it was
// interrupted, took too long, was killed or could not be started. nil for all others. what
// is the operation, said the diagnostics for a person.
func Stopped(ctx context.Context, err error, what, said string) *Problem {
	cause := context.Cause(ctx)
	if ctx.Err() != nil && !errors.Is(cause, ErrTimeout) {
		return &Problem{Cancelled: true, Cause: cause, Failure: engine.Failure{
			Class: engine.ClassPerson, Reason: Reason(stackjob.ReasonCancelled, ""),
			Text: strings.TrimSpace(fmt.Sprintf("The %s was interrupted.\n\n%s", what, said)),
		}}
	}
	if ctx.Err() != nil {
		return &Problem{Cause: cause, Failure: engine.Failure{
			Class: engine.ClassPerson, Reason: Reason(stackjob.ReasonTimeout, what+", "+cause.Error()),
			Text: strings.TrimSpace(fmt.Sprintf("The %s took longer than allowed and was stopped.\n\n%s", what, said)),
		}}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return &Problem{Cause: ErrKilled, Failure: engine.Failure{
				Class: engine.ClassWait, Reason: Reason(stackjob.ReasonEngine, "killed by "+unix.SignalName(ws.Signal())),
				Text: strings.TrimSpace(fmt.Sprintf("The engine was killed by a signal (%s) during %s. When nobody did it by hand, the machine may be short of memory.\n\n%s",
					unix.SignalName(ws.Signal()), what, said)),
			}}
		}
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOEXEC) {
		return &Problem{Cause: err, Failure: engine.Failure{
			Class: engine.ClassPerson, Reason: Reason(stackjob.ReasonEngineMissing, ""),
			Text: fmt.Sprintf("The engine could not be started for %s: %v.", what, err),
		}}
	}
	return nil
}

// Trouble is one line of a table that tells what an engine's words mean.
type Trouble struct {
	Class  engine.Class
	Reason stackjob.ReasonCode
	Signs  []string // lower case; any of them
}

// What backends, providers and the machine say of themselves, whatever engine ran them.
var (
	DiskFull    = Trouble{engine.ClassWait, stackjob.ReasonDiskFull, []string{"no space left on device", "disk quota exceeded"}}
	Credentials = Trouble{engine.ClassPerson, stackjob.ReasonEngine, []string{
		"no valid credential sources", "could not find default credentials", "unable to locate credentials", "expiredtoken",
		"invalidclienttokenid", "signaturedoesnotmatch", "accessdenied", "access denied", "authorizationfailed",
		"authentication failed", "401 unauthorized", "403 forbidden", "status code: 403", "status code: 401", "invalid_grant",
	}}
	Network = Trouble{engine.ClassWait, stackjob.ReasonEngine, []string{
		"no such host", "temporary failure in name resolution", "connection refused", "connection reset by peer", "i/o timeout",
		"tls handshake timeout", "client.timeout exceeded", "network is unreachable", "no route to host", "connection timed out",
		"could not connect to", "429 too many requests", "too many requests", "status code: 429", "requestlimitexceeded", "throttlingexception",
		"rate exceeded", "502 bad gateway", "503 service unavailable", "504 gateway timeout", "status code: 503", "unexpected eof",
		"too many clients already", "remaining connection slots are reserved", "the database system is starting up", "the database system is shutting down",
	}}
)

// Troubles are tried in order, so the surest signs come first.
type Troubles []Trouble

// Of tells what an engine's diagnostics mean. said is all of them and what came on
// standard error. What nothing fits is the author's.
func (t Troubles) Of(said string) (engine.Class, stackjob.ReasonCode) {
	low := strings.ToLower(said)
	for _, k := range t {
		for _, sign := range k.Signs {
			if strings.Contains(low, sign) {
				return k.Class, k.Reason
			}
		}
	}
	return engine.ClassAuthor, stackjob.ReasonEngine
}

// Unframed are the words of an engine on one line, without the frame that it draws around
// them and the line ends that it wraps them with.
func Unframed(said string) string {
	return strings.Join(strings.FieldsFunc(said, func(r rune) bool { return strings.ContainsRune(" \t\r\n│|", r) }), " ")
}

// WithTimeout limits an operation by the task's timeout for it; zero is no limit.
func WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, &overdue{limit})
}

// overdue is the ErrTimeout of an operation, with the time that it was allowed.
type overdue struct{ limit time.Duration }

func (o *overdue) Error() string { return "more than " + o.limit.String() }

func (o *overdue) Unwrap() error { return ErrTimeout }
