package terraform

import (
	"context"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// ownTroubles are what an engine says of the state and the plan that it was given, and
// what other steps follow from: the job is put off, a fresh plan is made. They are looked
// for in nothing but the engine's own words ([voice.own]).
var ownTroubles = telling.Troubles{
	{Class: engine.ClassPerson, Reason: stackjob.ReasonStateLocked, Signs: []string{noLock}},
	{Class: engine.ClassWait, Reason: stackjob.ReasonStalePlan, Signs: []string{"saved plan is stale", "saved plan does not match the given state"}},
}

// noLock is what engines say when they could not have the state's lock, for whatever reason.
const noLock = "error acquiring the state lock"

// troubles is tried in order, so the surest signs come first. The engines have no
// error codes: their sentences, and those of the backends and providers, are all
// there is.
var troubles = telling.Troubles{
	telling.DiskFull,
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"backend configuration changed", "backend initialization required"}},
	telling.Credentials,
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"endpoint requires auth", "endpoint invalid auth"}}, // the http backend's
	telling.Network,
	{Class: engine.ClassBug, Reason: stackjob.ReasonEngine, Signs: []string{"terraform crash", "opentofu crash", "panic: ", "this is a bug in terraform", "this is a bug in opentofu"}},
}

// engineProblem makes a problem of an engine run that did not end well.
func engineProblem(ctx context.Context, err error, what string, v *voice) *telling.Problem {
	if pr := telling.Stopped(ctx, err, what, v.failureText()); pr != nil {
		return pr
	}
	own := v.own()
	class, code := classify(own, v.said())
	if code == stackjob.ReasonStateLocked && v.phase.locksWhole() && isWholeLocked(own) {
		class, code = engine.ClassWait, stackjob.ReasonDatabaseLocked
	}
	f := engine.Failure{Class: class, Reason: telling.Reason(code, ""), Text: v.failureText()}
	switch code {
	case stackjob.ReasonStateLocked:
		f.Lock = parseLock(own, v.asked())
		f.Reason.Detail = lockDetail(f.Lock)
	case stackjob.ReasonEngine, stackjob.ReasonDiskFull: // whose disk it is only the engine's words tell
		f.Reason.Detail = v.firstSummary()
	}
	if f.Text == "" {
		f.Text = fmt.Sprintf("The engine failed during %s and said nothing.", what)
	}
	return &telling.Problem{Cause: err, Failure: f}
}

// classify tells what an engine's words mean: own are those that are surely its own, and
// said are all.
func classify(own, said string) (engine.Class, stackjob.ReasonCode) {
	class, code := ownTroubles.Of(own)
	if code == stackjob.ReasonStateLocked {
		if c, r := slices.Concat(held, troubles, keepers).Of(own); c != engine.ClassAuthor {
			return c, r
		}
	}
	if code != stackjob.ReasonEngine {
		return class, code
	}
	return troubles.Of(said)
}

// keepers is what those say who keep locks and could not keep one, beside what they say of
// states: that there is no such table, bucket or folder, or none to write into.
var keepers = telling.Troubles{
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"permission denied", "read-only file system", "resourcenotfoundexception", "nosuchbucket"}},
}

// held is what engines, and the services that keep locks for them, say of a lock that somebody
// holds. Who does cannot always be read.
var held = telling.Troubles{
	{Class: engine.ClassPerson, Reason: stackjob.ReasonStateLocked, Signs: []string{
		"lock info:", "already locked", "resource temporarily unavailable",
		"conditionalcheckfailed", "preconditionfailed", "conditionalrequestconflict", "error 412", "leasealreadypresent",
	}},
}
