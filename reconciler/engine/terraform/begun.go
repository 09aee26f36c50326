package terraform

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func (p *phase) begunFile() string {
	dir := p.task.StateBackups
	if dir == "" {
		dir = p.at.workspace
	}
	return filepath.Join(dir, begun.File)
}

// planName names a saved plan. Its digest is not enough: two plans made within one
// second from the same state are the same bytes.
func (p *phase) planName() string {
	return fmt.Sprintf("%s %s/%d", p.task.PlanFileDigest, p.task.Job, p.task.Attempt)
}

// refuseAgain refuses a plan whose apply was killed. The daemon's intent refuses
// it before us; but an engine killed before its first state write would run it
// again, with every side effect, so this is said twice.
func (p *phase) refuseAgain() error {
	b, err := begun.Read(p.begunFile())
	if err != nil || b == nil || b.Plan != p.planName() {
		return err
	}
	text := "This plan was being applied when its engine was killed, and a plan runs once.\nNothing was applied now."
	if len(b.Order) > 0 {
		text += " What it had begun may exist: " + strings.Join(b.Order, ", ") + "."
	}
	return telling.Person(stackjob.ReasonAfterInterrupt, "the same plan", text+"\nLook at it, then run the job again for a fresh plan.")
}
