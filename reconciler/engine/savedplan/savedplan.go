// Package savedplan is what drivers refuse of a saved plan before its apply begins, alike for
// every engine: one that nobody gated, one whose apply was killed, and one that was made of a
// state elsewhere. In what else a plan differs from what is there is for its engine to find,
// or for its driver where the engine does not look.
package savedplan

import (
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Name names the saved plan of a task in the note of what its apply begins. The digest is not
// enough: two plans made within one second from the same state are the same bytes.
func Name(t engine.Task) string {
	return fmt.Sprintf("%s %s/%d", t.PlanFileDigest, t.Job, t.Attempt)
}

// CheckDigest refuses a plan that is not the one that was gated. digest is that of the file.
func CheckDigest(t engine.Task, digest string) error {
	if digest == t.PlanFileDigest {
		return nil
	}
	return telling.Person(stackjob.ReasonPlanChanged, "the saved plan's digest differs", fmt.Sprintf(
		"The saved plan is not the one that was approved: its digest is %s, expected %s.\nNothing was applied. Run the job again for a fresh plan.",
		stackjob.ShortDigest(digest), stackjob.ShortDigest(t.PlanFileDigest)))
}

// CheckNew refuses a plan whose apply was killed. The daemon's intent refuses it before us;
// but an engine killed before its first state write would run it again, with every side
// effect, so this is said twice.
func CheckNew(t engine.Task) error {
	left, err := begun.Read(begun.FileOf(t))
	if err != nil || left == nil || left.Plan != Name(t) {
		return err
	}
	text := "This plan was being applied when its engine was killed, and a plan runs once.\nNothing was applied now."
	if len(left.Order) > 0 {
		text += " What it had begun may exist: " + strings.Join(left.Order, ", ") + "."
	}
	return telling.Person(stackjob.ReasonAfterInterrupt, "the same plan", text+"\nLook at it, then run the job again for a fresh plan.")
}

// CheckPlace refuses a plan that was made of a state elsewhere. place is where the state is
// now, as in stackjob.Plan.StatePlace. An engine itself refuses a state that its plan does not
// fit, but one that is not there yet is the same everywhere.
func CheckPlace(t engine.Task, place string) error {
	if place == t.PlanStatePlace {
		return nil
	}
	return telling.Person(stackjob.ReasonPlanChanged, "the state is in another place",
		"The plan was made of the state in another place than where the stack's backend now keeps it: its settings or the job's environment were changed.\n"+
			"Nothing was applied. Run the job again for a fresh plan.")
}
