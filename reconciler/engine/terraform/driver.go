package terraform

import (
	"context"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
)

// defaultGrace is how long an interrupted engine may take when the task does not
// say: OpenTofu loses its state when it is killed, so zero cannot mean "at once".
const defaultGrace = 30 * time.Second

// Options configure a Driver. The zero value is ready for use.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Driver runs Terraform and OpenTofu. It has no state of its own and may be used
// concurrently, for one phase per workspace at a time.
type Driver struct{ now func() time.Time }

var _ engine.Driver = (*Driver)(nil)

// New returns a driver.
func New(o Options) *Driver {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Driver{now: o.Now}
}

// Plan prepares the workspace, runs init when it must, plans, and reads the saved
// plan. A destroy is a plan too.
func (d *Driver) Plan(ctx context.Context, t engine.Task, planFile string, s engine.Sink) engine.Result {
	p := newPhase(d, t, planFile, s)
	defer p.close()
	plan, err := p.plan(ctx, planFile)
	r := engine.Result{Phase: engine.PhasePlan, Operations: p.Operations}
	if err == nil && t.Outputs == engine.OutputsMissing && !plan.HasChanges {
		r.Outputs, err = p.currentOutputs(ctx)
	}
	if err == nil {
		r.Plan = plan
		return r
	}
	r.Failure, r.Cancelled = p.Failure(err)
	return r
}

// Apply runs the saved plan. It has an Outcome as soon as the engine was started and
// had the state's lock; before that only a Failure.
func (d *Driver) Apply(ctx context.Context, t engine.Task, planFile string, s engine.Sink) engine.Result {
	p := newPhase(d, t, planFile, s)
	defer p.close()
	out, err := p.apply(ctx, planFile)
	r := engine.Result{Phase: engine.PhaseApply, Operations: p.Operations, Outcome: out}
	if err != nil {
		r.Failure, r.Cancelled = p.Failure(err)
	}
	return r
}

// Unlock releases a lock that an earlier run left behind. The local backend's lock
// goes with the process that held it: there is nothing to release.
//
// When the task itself names the lock, Plan does it: it meets the lock, compares
// the id and only then releases it. Engines ask no backend who holds a lock before
// they force it open, so doing it unseen could take a person's.
func (d *Driver) Unlock(ctx context.Context, t engine.Task, lock engine.StateLock, s engine.Sink) error {
	if t.ReleaseLock != nil && t.ReleaseLock.ID == lock.ID {
		return nil
	}
	p := newPhase(d, t, "", s)
	defer p.close()
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.initialise(ctx, recordWhenRun); err != nil {
		return err
	}
	return p.unlock(ctx, lock)
}

// phase is one phase at work: the task, where it is told, and what was done.
type phase struct {
	driver *Driver
	task   engine.Task
	*telling.Log

	at     layout
	engine *session
	// damage says what was done about a damaged state; "" when it was whole.
	damage string
	// names are those that are known of resources and outputs: of the state, of the plan, and
	// those that the engine has spoken of.
	names map[string]bool
	// written reads the state's file, also while the engine works.
	written statefile.Follower
}

func newPhase(d *Driver, t engine.Task, planFile string, s engine.Sink) *phase {
	p := &phase{driver: d, task: t, at: layoutOf(t, planFile), names: map[string]bool{}}
	p.Log = &telling.Log{Attempt: t.Attempt, Sink: s, Mask: facts.NewMasker(t.Secrets), Now: d.now,
		Killed: func() bool { return p.engine != nil && p.engine.killed }}
	return p
}

// hider writes values so that nobody reads a secret in them.
func (p *phase) hider() facts.Hider { return facts.Hider{Key: p.task.HashKey, Mask: p.Mask} }

// close removes what only the phase may have.
func (p *phase) close() {
	if err := p.at.clearPrivate(); err != nil {
		p.Say("the private folder could not be emptied: " + err.Error())
	}
}
