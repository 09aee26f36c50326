package terraform

import (
	"context"
	"fmt"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// troubles is tried in order, so the surest signs come first. The engines have no
// error codes: their sentences, and those of the backends and providers, are all
// there is.
var troubles = telling.Troubles{
	{Class: engine.ClassPerson, Reason: stackjob.ReasonStateLocked, Signs: []string{"error acquiring the state lock"}},
	{Class: engine.ClassWait, Reason: stackjob.ReasonStalePlan, Signs: []string{"saved plan is stale", "saved plan does not match the given state"}},
	telling.DiskFull,
	{Class: engine.ClassPerson, Reason: stackjob.ReasonEngine, Signs: []string{"backend configuration changed", "backend initialization required"}},
	telling.Credentials,
	telling.Network,
	{Class: engine.ClassBug, Reason: stackjob.ReasonEngine, Signs: []string{"terraform crash", "opentofu crash", "panic: ", "this is a bug in terraform", "this is a bug in opentofu"}},
}

// engineProblem makes a problem of an engine run that did not end well.
func engineProblem(ctx context.Context, err error, what string, v *voice) *telling.Problem {
	if pr := telling.Stopped(ctx, err, what, v.failureText()); pr != nil {
		return pr
	}
	said := v.said()
	class, code := troubles.Of(said)
	if code == stackjob.ReasonStateLocked && v.phase.locksWhole() && isWholeLocked(said) {
		class, code = engine.ClassWait, stackjob.ReasonDatabaseLocked
	}
	f := engine.Failure{Class: class, Reason: telling.Reason(code, ""), Text: v.failureText()}
	switch code {
	case stackjob.ReasonStateLocked:
		f.Lock = parseLock(said, v.asked())
		f.Reason.Detail = lockDetail(f.Lock)
	case stackjob.ReasonEngine:
		f.Reason.Detail = v.firstSummary()
	}
	if f.Text == "" {
		f.Text = fmt.Sprintf("The engine failed during %s and said nothing.", what)
	}
	return &telling.Problem{Cause: err, Failure: f}
}
