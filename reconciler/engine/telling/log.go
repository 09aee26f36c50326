// Package telling is how drivers tell what happens in a phase, alike for every engine:
// words for people, operations and how they ended, failures and whose they are, and an
// engine's output line by line. What an engine's own words mean is its driver's to say.
package telling

import (
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Log is what is told of one phase. Secrets are masked in all of it.
type Log struct {
	// Attempt is that of the phase's task.
	Attempt int
	Sink    engine.Sink
	Mask    facts.Masker
	Now     func() time.Time
	// Killed tells whether the last engine process was killed.
	Killed func() bool
	// Operations are those that ended, in order.
	Operations []stackjob.Operation
	// Warnings are the engine's and the driver's own, in order, each once.
	Warnings []string
}

// Say tells a person something that is not the engine's, in log and journal.
func (l *Log) Say(text string) {
	text = l.Mask.Text(text)
	l.Sink.Log([]byte(text + "\n"))
	l.Sink.Emit(engine.Event{Type: engine.Message, Message: text})
}

// Warn adds a warning.
func (l *Log) Warn(text string) {
	if text = l.Mask.Text(text); !slices.Contains(l.Warnings, text) {
		l.Warnings = append(l.Warnings, text)
	}
}

// Failure turns what a phase returned into what its result says, and whether the phase
// was cancelled.
func (l *Log) Failure(err error) (*engine.Failure, bool) {
	pr := ProblemOf(err)
	f := pr.Failure
	f.Text = l.Mask.Text(f.Text)
	f.Reason.Detail = l.Mask.Text(f.Reason.Detail)
	return &f, pr.Cancelled
}

// Unread tells that what an apply left could not be read: it may have succeeded, and its
// outcome is not known. It returns what the phase failed with: failed, when that is
// something already.
func (l *Log) Unread(out *stackjob.Outcome, failed, err error, damaged bool) error {
	l.Warn("Warning: " + err.Error())
	l.Say("Warning: " + err.Error())
	if failed != nil {
		return failed
	}
	out.Result, out.Reason = stackjob.ResultFailed, Reason(stackjob.ReasonInternal, err.Error())
	if damaged {
		out.Result, out.Reason = stackjob.ResultInterrupted, Reason(stackjob.ReasonStateDamaged, "")
	}
	return err
}

// Operation is one step of a phase, from its beginning.
type Operation struct {
	// Record is completed by End.
	Record stackjob.Operation

	log   *Log
	ended bool
}

// Begin records that an operation starts.
func (l *Log) Begin(kind stackjob.OperationKind) *Operation {
	o := &Operation{log: l, Record: stackjob.Operation{Kind: kind, Attempt: l.Attempt, StartedAt: l.Now().UTC(), LogFrom: l.Sink.LogOffset()}}
	l.Sink.Emit(engine.Event{Type: engine.OperationStarted, Operation: kind})
	return o
}

// Skip records an operation that was not needed.
func (l *Log) Skip(kind stackjob.OperationKind) {
	l.Begin(kind).End(stackjob.ResultSkipped, stackjob.Reason{})
}

// End records how it ended; the first call counts.
func (o *Operation) End(result stackjob.Result, why stackjob.Reason) {
	if o.ended {
		return
	}
	o.ended = true
	o.Record.Result, o.Record.Reason = result, why
	o.Record.Reason.Detail = o.log.Mask.Text(why.Detail)
	o.Record.EndedAt, o.Record.LogTo = o.log.Now().UTC(), o.log.Sink.LogOffset()
	o.log.Operations = append(o.log.Operations, o.Record)
	rec := o.Record
	o.log.Sink.Emit(engine.Event{Type: engine.OperationEnded, Operation: rec.Kind, Ended: &rec})
}

// Fail records how it ended when it did not end well.
func (o *Operation) Fail(err error) {
	pr := ProblemOf(err)
	// A killed engine's lock may be held still, whatever the reason.
	o.Record.Killed = o.log.Killed()
	result := stackjob.ResultFailed
	switch {
	case pr.Cancelled:
		result = stackjob.ResultCancelled
	case pr.Failure.Reason.Code == stackjob.ReasonDatabaseLocked:
		result = stackjob.ResultSkipped // it did not come to its work, and is done later
	case errors.Is(pr, ErrKilled):
		result = stackjob.ResultInterrupted
	}
	o.End(result, pr.Failure.Reason)
}

// Planning is the refresh and the plan of one engine process, told as an operation each.
type Planning struct {
	// Plan is nil until the refresh is over.
	Plan *Operation
	// Began tells that the refresh of a resource began.
	Began bool

	log     *Log
	refresh *Operation
}

// Planning records that a refresh starts, or that there is none and the plan starts.
func (l *Log) Planning(skipRefresh bool) *Planning {
	p := &Planning{log: l}
	if skipRefresh {
		l.Skip(stackjob.OpRefresh)
		p.Plan = l.Begin(stackjob.OpPlan)
		return p
	}
	p.refresh = l.Begin(stackjob.OpRefresh)
	return p
}

// Planned is the end of the refresh and the beginning of the plan proper.
func (p *Planning) Planned() {
	if p.Plan != nil {
		return
	}
	p.refresh.End(stackjob.ResultSucceeded, stackjob.Reason{})
	p.Plan = p.log.Begin(stackjob.OpPlan)
}

// Fail ends what was at work, for which so many processes were started. A process that
// fails before it planned anything failed in the refresh if one began, and else never
// came to it.
func (p *Planning) Fail(err error, processes int) {
	switch {
	case p.Plan != nil:
		p.Plan.Record.EngineProcesses = processes
		p.Plan.Fail(err)
	case p.Began:
		p.refresh.Record.EngineProcesses = processes
		p.refresh.Fail(err)
		p.log.Skip(stackjob.OpPlan)
	default:
		p.refresh.End(stackjob.ResultSkipped, stackjob.Reason{})
		op := p.log.Begin(stackjob.OpPlan)
		op.Record.EngineProcesses = processes
		op.Fail(err)
	}
}
