package pulumi

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func reasonOf(code stackjob.ReasonCode, detail string) stackjob.Reason {
	return stackjob.Reason{Code: code, Detail: detail}
}

// errTimeout is the cause of a context that an operation's own time limit ended.
var errTimeout = errors.New("the operation's time is over")

// kindOfTrouble is one line of the table that tells what an engine's words mean.
type kindOfTrouble struct {
	class  engine.Class
	reason stackjob.ReasonCode
	signs  []string // lower case; any of them
}

// troubles is tried in order, so the surest signs come first. The engine has no error
// codes: its sentences, and those of backends and providers, are all there is. What nothing fits is the author's.
var troubles = []kindOfTrouble{
	{engine.ClassPerson, stackjob.ReasonStateLocked, []string{"the stack is currently locked by", "another update is currently in progress", "conflict: another update"}},
	// What the plan was held to no longer held: another plan may.
	{engine.ClassWait, stackjob.ReasonStalePlan, []string{"violates plan:", "resource violates plan"}},
	{engine.ClassWait, stackjob.ReasonDiskFull, []string{"no space left on device", "disk quota exceeded"}},
	{engine.ClassPerson, stackjob.ReasonEngine, []string{"incorrect passphrase", "passphrase must be set", "could not create secrets manager", "could not construct cipher"}},
	{engine.ClassPerson, stackjob.ReasonEngineMissing, []string{"no language plugin '", "no language plugin \"", "failed to load language plugin", "no resource plugin '", "could not locate plugin", "failed to load plugin", "unknown provider plugin"}},
	{engine.ClassPerson, stackjob.ReasonEngine, []string{
		"no valid credential sources", "could not find default credentials", "unable to locate credentials", "expiredtoken",
		"invalidclienttokenid", "signaturedoesnotmatch", "accessdenied", "access denied", "authorizationfailed", "pulumi_access_token must be set",
		"authentication failed", "401 unauthorized", "403 forbidden", "status code: 403", "status code: 401", "invalid_grant",
	}},
	{engine.ClassWait, stackjob.ReasonEngine, []string{
		"no such host", "temporary failure in name resolution", "connection refused", "connection reset by peer", "i/o timeout",
		"tls handshake timeout", "client.timeout exceeded", "network is unreachable", "no route to host", "connection timed out",
		"could not connect to", "429 too many requests", "too many requests", "status code: 429", "requestlimitexceeded", "throttlingexception",
		"rate exceeded", "502 bad gateway", "503 service unavailable", "504 gateway timeout", "status code: 503", "unexpected eof",
	}},
	{engine.ClassBug, stackjob.ReasonEngine, []string{"panic: ", "the pulumi cli encountered a fatal error", "this is a bug"}},
}

// classify tells what the engine's diagnostics mean. said is all of them and what
// came on standard error.
func classify(said string) (engine.Class, stackjob.ReasonCode) {
	low := strings.ToLower(said)
	for _, k := range troubles {
		for _, sign := range k.signs {
			if strings.Contains(low, sign) {
				return k.class, k.reason
			}
		}
	}
	return engine.ClassAuthor, stackjob.ReasonEngine
}

// engineProblem makes a problem of an engine run that did not end well.
func engineProblem(ctx context.Context, err error, what string, v *voice) *problem {
	cause := context.Cause(ctx)
	if ctx.Err() != nil && !errors.Is(cause, errTimeout) {
		return &problem{cancelled: true, cause: cause, failure: engine.Failure{
			Class: engine.ClassPerson, Reason: reasonOf(stackjob.ReasonCancelled, ""),
			Text: strings.TrimSpace(fmt.Sprintf("The %s was interrupted.\n\n%s", what, v.failureText())),
		}}
	}
	if ctx.Err() != nil {
		return &problem{cause: cause, failure: engine.Failure{
			Class: engine.ClassPerson, Reason: reasonOf(stackjob.ReasonTimeout, what+", "+cause.Error()),
			Text: strings.TrimSpace(fmt.Sprintf("The %s took longer than allowed and was stopped.\n\n%s", what, v.failureText())),
		}}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return &problem{cause: errKilled, failure: engine.Failure{
				Class: engine.ClassWait, Reason: reasonOf(stackjob.ReasonEngine, "killed by signal "+ws.Signal().String()),
				Text: strings.TrimSpace(fmt.Sprintf("The engine was killed by a signal (%s) during %s. When nobody did it by hand, the machine may be short of memory.\n\n%s",
					ws.Signal(), what, v.failureText())),
			}}
		}
	} else if errors.Is(err, exec.ErrNotFound) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOEXEC) {
		return &problem{cause: err, failure: engine.Failure{
			Class: engine.ClassPerson, Reason: reasonOf(stackjob.ReasonEngineMissing, ""),
			Text: fmt.Sprintf("The engine could not be started for %s: %v.", what, err),
		}}
	}
	said := v.said()
	class, code := classify(said)
	f := engine.Failure{Class: class, Reason: reasonOf(code, ""), Text: v.failureText()}
	switch code {
	case stackjob.ReasonStateLocked:
		f.Lock = parseLock(said)
		f.Reason.Detail = lockDetail(f.Lock)
	case stackjob.ReasonEngine:
		f.Reason.Detail = v.firstSummary()
	}
	if f.Text == "" {
		f.Text = fmt.Sprintf("The engine failed during %s and said nothing.", what)
	}
	return &problem{cause: err, failure: f}
}

// errKilled tells that the engine was killed, by nobody in this program.
var errKilled = errors.New("the engine was killed")

// classifyLocal is for errors of our own work: files and folders.
func classifyLocal(err error) *problem {
	f := engine.Failure{Class: engine.ClassBug, Reason: reasonOf(stackjob.ReasonInternal, ""), Text: err.Error()}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{cancelled: true, cause: err, failure: engine.Failure{
			Class: engine.ClassPerson, Reason: reasonOf(stackjob.ReasonCancelled, ""), Text: "Interrupted before the engine was started."}}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Class, f.Reason.Code = engine.ClassWait, stackjob.ReasonDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		f.Class = engine.ClassPerson
	}
	return &problem{failure: f, cause: err}
}

// authorProblem is a mistake in what the author wrote.
func authorProblem(code stackjob.ReasonCode, detail, text string) *problem {
	return &problem{failure: engine.Failure{Class: engine.ClassAuthor, Reason: reasonOf(code, detail), Text: text}}
}

// personProblem is something that a person must decide.
func personProblem(code stackjob.ReasonCode, detail, text string) *problem {
	return &problem{failure: engine.Failure{Class: engine.ClassPerson, Reason: reasonOf(code, detail), Text: text}}
}

// waitProblem is something that another run may find otherwise.
func waitProblem(code stackjob.ReasonCode, detail, text string) *problem {
	return &problem{failure: engine.Failure{Class: engine.ClassWait, Reason: reasonOf(code, detail), Text: text}}
}
