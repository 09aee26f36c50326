package pulumi

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// defaultGrace is how long an interrupted engine may take when the task does not say:
// one that is killed leaves its lock behind, so zero cannot mean "at once".
const defaultGrace = 30 * time.Second

// Options configure a Driver. The zero value is ready for use.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Driver runs Pulumi. It has no state of its own and may be used
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

// Plan prepares the workspace, makes the stack when there is none, and previews: refresh
// and plan are one process. A destroy is a plan too.
func (d *Driver) Plan(ctx context.Context, t engine.Task, planFile string, s engine.Sink) engine.Result {
	p := newPhase(d, t, planFile, s)
	defer p.close()
	plan, err := p.plan(ctx, planFile)
	r := engine.Result{Phase: engine.PhasePlan, Operations: p.operations}
	if err == nil && t.Outputs == engine.OutputsMissing && !plan.HasChanges {
		r.Outputs, err = p.outputsOf(p.before)
	}
	if err == nil {
		r.Plan = plan
		return r
	}
	r.Failure, r.Cancelled = p.failure(err)
	return r
}

// Apply runs the saved plan. It has an Outcome as soon as the engine was started and
// had the state's lock; before that only a Failure.
func (d *Driver) Apply(ctx context.Context, t engine.Task, planFile string, s engine.Sink) engine.Result {
	p := newPhase(d, t, planFile, s)
	defer p.close()
	out, err := p.apply(ctx, planFile)
	r := engine.Result{Phase: engine.PhaseApply, Operations: p.operations, Outcome: out}
	if err != nil {
		r.Failure, r.Cancelled = p.failure(err)
	}
	return r
}

// Unlock releases a lock that an earlier run left behind: that one, and no other.
//
// When the task itself names the lock, Plan does it: see recover.
func (d *Driver) Unlock(ctx context.Context, t engine.Task, lock engine.StateLock, s engine.Sink) error {
	if t.ReleaseLock != nil && t.ReleaseLock.ID == lock.ID {
		return nil
	}
	p := newPhase(d, t, "", s)
	defer p.close()
	if err := p.prepare(ctx); err != nil {
		return err
	}
	return p.recover(ctx, lock)
}

// phase is one phase at work: the task, where it is told, and what was done.
type phase struct {
	driver     *Driver
	task       engine.Task
	sink       engine.Sink
	at         layout
	mask       facts.Masker
	operations []stackjob.Operation
	// stack, project and settings are how the engine is run (prepare).
	stack    stackAt
	project  *project
	program  string // the folder of the program that is run
	record   record
	keys     *keyring
	settings stackSettings
	engine   *session
	// before is the state before anything was done; nil while it was not read.
	before *deployment
	// warnings are the engine's and our own, masked, in order, each once.
	warnings []string
}

func newPhase(d *Driver, t engine.Task, planFile string, s engine.Sink) *phase {
	return &phase{driver: d, task: t, sink: s, at: layoutOf(t, planFile), mask: facts.NewMasker(secretsOf(t))}
}

// secretsOf are the strings that are secret: the task's, and what keeps the stack's.
func secretsOf(t engine.Task) []string {
	out := slices.Clone(t.Secrets)
	if t.Pulumi != nil {
		out = append(out, t.Pulumi.Passphrase)
	}
	return out
}

// hider writes values so that nobody reads a secret in them.
func (p *phase) hider() facts.Hider { return facts.Hider{Key: p.task.HashKey, Mask: p.mask} }

// close removes what only the phase may have.
func (p *phase) close() {
	if err := p.at.clearPrivate(); err != nil {
		p.say("the private folder could not be emptied: " + err.Error())
	}
}

// say tells a person something that is not the engine's, in log and journal.
func (p *phase) say(text string) {
	text = p.mask.Text(text)
	p.sink.Log([]byte(text + "\n"))
	p.sink.Emit(engine.Event{Type: engine.Message, Message: text})
}

func (p *phase) warn(text string) {
	text = p.mask.Text(text)
	for _, w := range p.warnings {
		if w == text {
			return
		}
	}
	p.warnings = append(p.warnings, text)
}

// problem is a failure on its way up.
type problem struct {
	failure   engine.Failure
	cancelled bool
	cause     error
}

func (e *problem) Error() string { return e.failure.Reason.String() }
func (e *problem) Unwrap() error { return e.cause }

// failure turns what a phase returned into what the result says.
func (p *phase) failure(err error) (*engine.Failure, bool) {
	var pr *problem
	if !errors.As(err, &pr) {
		pr = classifyLocal(err)
	}
	f := pr.failure
	f.Text = p.mask.Text(f.Text)
	f.Reason.Detail = p.mask.Text(f.Reason.Detail)
	return &f, pr.cancelled
}

// begin records that an operation starts.
func (p *phase) begin(kind stackjob.OperationKind) *operation {
	o := &operation{phase: p, record: stackjob.Operation{
		Kind: kind, Attempt: p.task.Attempt, StartedAt: p.driver.now().UTC(), LogFrom: p.sink.LogOffset(),
	}}
	p.sink.Emit(engine.Event{Type: engine.OperationStarted, Operation: kind})
	return o
}

// skip records an operation that was not needed.
func (p *phase) skip(kind stackjob.OperationKind) {
	p.begin(kind).end(stackjob.ResultSkipped, stackjob.Reason{})
}

// operation is one step of the phase.
type operation struct {
	phase  *phase
	record stackjob.Operation
	ended  bool
}

// end records how it ended; the first call counts.
func (o *operation) end(result stackjob.Result, why stackjob.Reason) {
	if o.ended {
		return
	}
	o.ended = true
	o.record.Result, o.record.Reason = result, why
	o.record.Reason.Detail = o.phase.mask.Text(why.Detail)
	o.record.EndedAt, o.record.LogTo = o.phase.driver.now().UTC(), o.phase.sink.LogOffset()
	o.phase.operations = append(o.phase.operations, o.record)
	rec := o.record
	o.phase.sink.Emit(engine.Event{Type: engine.OperationEnded, Operation: rec.Kind, Ended: &rec})
}

// fail records how it ended when it did not end well.
func (o *operation) fail(err error) {
	var pr *problem
	if !errors.As(err, &pr) {
		pr = classifyLocal(err)
	}
	// A killed engine's lock may be held still, whatever the reason.
	o.record.Killed = o.phase.engine != nil && o.phase.engine.cmd.killed
	result := stackjob.ResultFailed
	switch {
	case pr.cancelled:
		result = stackjob.ResultCancelled
	case errors.Is(pr, errKilled):
		result = stackjob.ResultInterrupted
	}
	o.end(result, pr.failure.Reason)
}
