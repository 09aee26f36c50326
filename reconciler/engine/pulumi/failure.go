package pulumi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// ownTroubles are what the engine says of a state that it may not write, and what other
// steps follow from: the job is begun again, nothing was touched. The engine writes it to
// standard error before it runs anything. When there are diagnostics it ran a program, and
// the words may be that program's, which runs Pulumi itself.
var ownTroubles = telling.Troubles{
	{Class: engine.ClassPerson, Reason: stackjob.ReasonStateLocked, Signs: []string{"the stack is currently locked by", "another update is currently in progress", "conflict: another update"}},
}

// troubles is tried in order, so the surest signs come first. The engine has no error
// codes: its sentences, and those of backends and providers, are all there is.
var troubles = telling.Troubles{
	// Met at a step, when others may be done already. A program that finds another value each
	// time would be planned and half applied for ever, so no fresh plan is made by itself.
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: violates},
	telling.DiskFull,
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"incorrect passphrase", "passphrase must be set", "could not create secrets manager", "could not construct cipher"}},
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngineMissing, Signs: []string{"no language plugin '", "no language plugin \"", "failed to load language plugin", "no resource plugin '", "could not locate plugin", "failed to load plugin", "unknown provider plugin"}},
	telling.Credentials,
	// Pulumi Cloud's, which answers with the status in brackets.
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{
		"pulumi_access_token must be set", "unauthorized: no credentials", "invalid access token", "[401] ", "[403] ",
	}},
	telling.Network,
	{Class: engine.ClassWait, Reason: stackjob.ReasonEngine, Signs: []string{"[429] ", "[500] ", "[502] ", "[503] ", "[504] "}},
	// What a backend says that is there and does not let us in.
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"unable to open bucket"}},
	{Class: engine.ClassBug, Reason: stackjob.ReasonEngine, Signs: []string{"panic: ", "the pulumi cli encountered a fatal error", "this is a bug"}},
}

// violates is what the engine says of a resource that is another than its saved plan
// allows, of one that is not in it, and of one that is in it and was not asked for.
var violates = []string{"violates plan:", "is not allowed by the plan:", "no plan for resource ", " but none were seen"}

// engineProblem makes a problem of an engine run that did not end well.
func engineProblem(ctx context.Context, err error, what string, v *voice) *telling.Problem {
	if pr := telling.Stopped(ctx, err, what, v.failureText()); pr != nil {
		return pr
	}
	said := v.said()
	class, code := classify(said, v.hasDiagnostics())
	f := engine.Failure{Class: class, Reason: telling.Reason(code, ""), Text: v.failureText()}
	switch code {
	case stackjob.ReasonStateLocked:
		f.Lock = parseLock(said)
		f.Reason.Detail = lockDetail(f.Lock)
	default: // whose disk, or which plugin, only the engine's words tell
		f.Reason.Detail = v.firstSummary()
	}
	if slices.ContainsFunc(violates, func(sign string) bool { return strings.Contains(said, sign) }) {
		f.Text += "\n\nWhat the program makes now is not what was planned and approved, so the engine stopped there; what it had done before stays done. " +
			"Something that the program reads gave another value than for the plan: a file, a time, a random number, another stack, an answer from outside.\n" +
			"Rerun the job for a fresh plan. A program that finds another value each time it runs cannot be applied: keep the value in a resource or in the config."
	}
	if f.Text == "" {
		f.Text = fmt.Sprintf("The engine failed during %s and said nothing.", what)
	}
	return &telling.Problem{Cause: err, Failure: f}
}

// classify tells what the engine's words mean. ran tells that there are diagnostics among them.
func classify(said string, ran bool) (engine.Class, stackjob.ReasonCode) {
	if class, code := ownTroubles.Of(said); !ran && code != stackjob.ReasonEngine {
		return class, code
	}
	return troubles.Of(said)
}
