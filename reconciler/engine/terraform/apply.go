package terraform

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/savedplan"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// apply is the apply phase. The outcome is nil when the engine was not started, or
// could not have the state's lock: then nothing was touched.
func (p *phase) apply(ctx context.Context, planFile string) (*stackjob.Outcome, error) {
	digest, err := fileDigest(planFile)
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	if err := savedplan.CheckDigest(p.task, digest); err != nil {
		return nil, err
	}
	if err := savedplan.CheckNew(p.task); err != nil {
		return nil, err
	}
	saved, err := openSaved(planFile)
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	p.Sink.Hide(saved.hidden)
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if planFile, err = saved.forEngine(p.at.private); err != nil {
		return nil, err
	}
	if err := p.initialise(ctx, recordWhenRun); err != nil {
		return nil, p.tellLock(ctx, err)
	}
	place, err := p.statePlace()
	if err != nil {
		return nil, err
	}
	if err := savedplan.CheckPlace(p.task, place); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // before anything is begun
		return nil, engineProblem(ctx, context.Cause(ctx), "apply", p.voice(stackjob.OpApply, nil))
	}
	if err := p.backUp(); err != nil {
		return nil, err
	}
	return p.applyPlan(ctx, planFile)
}

func (p *phase) applyPlan(ctx context.Context, planFile string) (*stackjob.Outcome, error) {
	kind := stackjob.OpApply
	if p.task.Action == stackjob.Destroy {
		kind = stackjob.OpDestroy
	}
	outer := ctx
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[kind])
	defer cancel()
	op := p.Begin(kind)
	note, err := begun.Open(begun.FileOf(p.task), savedplan.Name(p.task))
	if err != nil {
		op.Fail(err)
		return nil, err
	}
	h := newApplyHearing(note.Line)
	v := p.voice(kind, h.hear)
	p.engine.processes = 0
	err = p.engine.run(ctx, v, []string{"apply", "-json"}, func(ctx context.Context) error {
		opts := []tfexec.ApplyOption{tfexec.DirOrPlan(planFile)}
		if t := p.lockPatience(); t != "" {
			opts = append(opts, tfexec.LockTimeout(t))
		}
		return p.engine.tf.ApplyJSON(ctx, v.stdout(), opts...)
	})
	killed := p.engine.killed
	p.secureState()
	if err != nil && !killed && !h.began && ctx.Err() == nil && v.hadNoLock() {
		pr := engineProblem(ctx, err, string(kind), v)
		if err := note.Undo(); err != nil {
			p.Say("Warning: the note of the apply: " + err.Error())
		}
		op.Record.EngineProcesses = p.engine.processes
		op.Fail(pr)
		return nil, p.tellLock(outer, pr)
	}
	out := &stackjob.Outcome{Result: stackjob.ResultSucceeded, Counts: h.counts()}
	var failed error
	if err != nil && !h.complete {
		// An interrupt that came when all was done changes nothing: the engine
		// has said that it was complete.
		pr := engineProblem(ctx, err, string(kind), v)
		failed = pr
		out.Reason = pr.Failure.Reason
		out.Result = pr.Result(killed)
	}
	// Outputs are read even when the job was cancelled meanwhile: the state has
	// moved, and its readers must know.
	if rerr := p.readOutcome(context.WithoutCancel(outer), out, h); rerr != nil {
		failed = p.Unread(out, failed, rerr, errors.Is(rerr, errDamaged))
	}
	if err := p.endNote(note, out.Result); err != nil {
		p.Say("Warning: the note of the apply: " + err.Error())
	}
	op.Record.Counts = out.Counts
	op.Record.EngineProcesses = p.engine.processes
	op.Record.Killed = killed
	op.End(out.Result, out.Reason)
	return out, failed
}

// endNote removes the note, unless the next plan must tell of it.
func (p *phase) endNote(n *begun.Note, r stackjob.Result) error {
	if r == stackjob.ResultInterrupted {
		return n.Keep()
	}
	if p.isLocal() {
		if _, err := readState(p.task.StateFile); err != nil {
			return n.Keep()
		}
	}
	return n.Remove()
}

// applyHearing follows an apply's stream and counts what was done.
type applyHearing struct {
	note    func(verb, address string)
	planned map[string]stackjob.ChangeAction
	done    map[string]map[string]bool // address → the stream's words for what is done
	imports int
	outputs map[string]streamOutput
	// began tells that the engine came to a resource: what is said of a lock after
	// that may be a provisioner's own words.
	began bool
	// complete tells that the engine said that all was done.
	complete bool
}

func newApplyHearing(note func(verb, address string)) *applyHearing {
	return &applyHearing{note: note, planned: map[string]stackjob.ChangeAction{}, done: map[string]map[string]bool{}}
}

func (h *applyHearing) hear(m message) {
	switch m.Type {
	case "planned_change":
		if m.Change != nil {
			h.planned[m.Change.Resource.Addr] = actionOfStream(m.Change.Action)
		}
	case "apply_start":
		h.began = true
		if m.Hook != nil && m.Hook.Action != "read" {
			h.note(begun.Began, m.Hook.Resource.Addr)
		}
	case "apply_complete":
		if m.Hook == nil || m.Hook.Action == "read" {
			return
		}
		addr := m.Hook.Resource.Addr
		if h.done[addr] == nil {
			h.done[addr] = map[string]bool{}
		}
		h.done[addr][m.Hook.Action] = true
		if h.planned[addr] != stackjob.Replace || h.done[addr]["create"] && h.done[addr]["delete"] {
			h.note(begun.Done, addr)
		}
	case "change_summary":
		if m.Changes != nil && (m.Changes.Operation == "apply" || m.Changes.Operation == "destroy") {
			h.imports, h.complete = m.Changes.Import, true
		}
	case "outputs":
		h.outputs = m.Outputs
	}
}

// counts are the resources that were really changed. A replacement is one when
// both its halves were done.
func (h *applyHearing) counts() stackjob.Counts {
	n := stackjob.Counts{Import: h.imports}
	for _, done := range h.done {
		switch {
		case done["create"] && done["delete"], done["replace"]:
			n.Replace++
		case done["create"]:
			n.Create++
		case done["delete"]:
			n.Delete++
		case done["update"]:
			n.Update++
		}
	}
	if h.complete { // what touches the state only has no hooks
		for addr, a := range h.planned {
			if h.done[addr] == nil && a == stackjob.Forget {
				n.Forget++
			}
			if a == "move" {
				n.Move++
			}
		}
	}
	return n
}
