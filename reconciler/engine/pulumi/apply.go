package pulumi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/savedplan"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// apply is the apply phase. The outcome is nil when the engine was not started, or could
// not have the state's lock: then nothing was touched.
func (p *phase) apply(ctx context.Context, planFile string) (*stackjob.Outcome, error) {
	s, err := p.checkPlanFile(planFile)
	if err != nil {
		return nil, err
	}
	if err := savedplan.CheckNew(p.task); err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	p.settings = s.Settings
	if err := p.initialise(ctx, recordWhenRun); err != nil {
		return nil, p.tellLock(err)
	}
	if err := p.checkFixed(s.Fixed); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // before anything is begun
		return nil, engineProblem(ctx, context.Cause(ctx), "apply", p.voice(stackjob.OpApply, nil))
	}
	var plan savedPlan
	if json.Unmarshal(s.Plan, &plan) != nil {
		return nil, errors.New("the plan that the engine saved cannot be read")
	}
	p.hide(p.before, plan)
	p.Sink.Hide(s.Hidden)
	if err := p.backUp(p.before); err != nil {
		return nil, err
	}
	return p.applyPlan(ctx, s)
}

// checkPlanFile refuses a plan that is not the one that was gated.
func (p *phase) checkPlanFile(planFile string) (saved, error) {
	b, err := readFile(planFile)
	if err != nil {
		return saved{}, err
	}
	if err := savedplan.CheckDigest(p.task, fileDigest(b)); err != nil {
		return saved{}, err
	}
	return readSaved(b)
}

func joined(names []string) string { return strings.Join(names, ", ") }

// checkFixed refuses a plan of which anything moved that it was made of, before anything
// is started: the engine would notice at the first step that differs, in the middle.
func (p *phase) checkFixed(was fixed) error {
	program, err := p.project.digest(filepath.Join(p.task.ModuleRoot, filepath.FromSlash(p.task.ModulePath)))
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	const again = "\nNothing was applied. Run the job again for a fresh plan."
	for _, place := range []string{p.statePlace(), was.Place} {
		if err := savedplan.CheckPlace(p.task, place); err != nil {
			return err
		}
	}
	switch {
	case was.Program != program:
		return telling.Person(stackjob.ReasonPlanChanged, "the program differs", "The program is not the one that the plan was made of."+again)
	case was.Inputs != p.inputDigest():
		return telling.Person(stackjob.ReasonPlanChanged, "the config differs", "The config is not the one that the plan was made of."+again)
	case was.State != p.before.mark(p.task.HashKey):
		return telling.Wait(stackjob.ReasonStalePlan, "", "The stack's state is not the one any more that the plan was made of: somebody applied something since.\nNothing was applied.")
	}
	return nil
}

func (p *phase) applyPlan(ctx context.Context, s saved) (*stackjob.Outcome, error) {
	kind := stackjob.OpApply
	if p.isDestroy() {
		kind = stackjob.OpDestroy
	}
	outer := ctx
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[kind])
	defer cancel()
	op := p.Begin(kind)
	file := filepath.Join(p.at.private, "plan.json")
	if err := os.WriteFile(file, s.Plan, 0o600); err != nil {
		op.Fail(err)
		return nil, err
	}
	note, err := begun.Open(begun.FileOf(p.task), savedplan.Name(p.task))
	if err != nil {
		op.Fail(err)
		return nil, err
	}
	h := newApplyHearing(note.Line)
	p.engine.cmd.processes = 0
	err = p.engine.up(ctx, p.voice(kind, h.hear), file, s.Refresh)
	killed := p.engine.cmd.killed
	processes := p.engine.cmd.processes
	if pr := (*telling.Problem)(nil); errors.As(err, &pr) && !killed && !h.began && pr.Failure.Reason.Code == stackjob.ReasonStateLocked {
		if err := note.Undo(); err != nil {
			p.Say("Warning: the note of the apply: " + err.Error())
		}
		op.Record.EngineProcesses = processes
		op.Fail(err)
		return nil, p.tellLock(err)
	}
	out := &stackjob.Outcome{Result: stackjob.ResultSucceeded, Counts: h.counts()}
	failed := err
	if err != nil {
		pr := telling.ProblemOf(err)
		out.Reason = pr.Failure.Reason
		out.Result = pr.Result(killed)
	}
	// Outputs are read even when the job was cancelled meanwhile: the state has
	// moved, and its readers must know.
	if rerr := p.readOutcome(context.WithoutCancel(outer), kind, out); rerr != nil {
		failed = p.Unread(out, failed, rerr, errors.Is(rerr, errDamaged))
	}
	if out.Result == stackjob.ResultInterrupted {
		err = note.Keep()
	} else {
		err = note.Remove()
	}
	if err != nil {
		p.Say("Warning: the note of the apply: " + err.Error())
	}
	// What was killed is left as it is, for whoever looks into it.
	if out.Result != stackjob.ResultInterrupted {
		if err := p.shortenHistory(); err != nil {
			p.Say("Warning: Pulumi's own history of the stack could not be shortened: " + err.Error())
		}
	}
	op.Record.Counts = out.Counts
	op.Record.EngineProcesses = p.engine.cmd.processes
	op.Record.Killed = killed
	if n := out.Counts; out.Result == stackjob.ResultSucceeded {
		text := fmt.Sprintf("%s complete: %d created, %d updated, %d replaced, %d destroyed",
			map[stackjob.OperationKind]string{stackjob.OpApply: "Apply", stackjob.OpDestroy: "Destroy"}[kind], n.Create, n.Update, n.Replace, n.Delete)
		if n.Import > 0 {
			text += fmt.Sprintf(", %d imported", n.Import)
		}
		if n.Forget > 0 {
			text += fmt.Sprintf(", %d forgotten", n.Forget)
		}
		p.Sink.Log([]byte(text + ".\n"))
	}
	op.End(out.Result, out.Reason)
	return out, failed
}

// readOutcome reads the outputs of the state after the apply.
func (p *phase) readOutcome(ctx context.Context, kind stackjob.OperationKind, out *stackjob.Outcome) error {
	after, err := p.readState(ctx, kind)
	if err != nil {
		return fmt.Errorf("read the state after the apply: %w", err)
	}
	if err := p.remember(after); err != nil {
		return err
	}
	if after, err = p.readable(ctx, after, kind); err != nil {
		return fmt.Errorf("read the state after the apply: %w", err)
	}
	p.hide(after, savedPlan{})
	out.Outputs, err = p.outputsOf(after)
	return errors.Join(err, p.remember(after)) // a key may have been made
}

// applyHearing follows an apply's events and counts what was done.
type applyHearing struct {
	note func(verb, address string)
	done map[string]map[apitype.OpType]bool
	// began tells that the engine came to a resource.
	began bool
}

func newApplyHearing(note func(verb, address string)) *applyHearing {
	return &applyHearing{note: note, done: map[string]map[apitype.OpType]bool{}}
}

// opForget is a delete that leaves the resource where it is: Pulumi has no word for it.
const opForget apitype.OpType = "reeve-forget"

// works tells whether a step does something outside.
func works(md apitype.StepEventMetadata) bool {
	_, known := actions[md.Op]
	return known && md.Op != apitype.OpRefresh && !isPseudo(typeOf(md.URN))
}

func (h *applyHearing) hear(e apitype.EngineEvent) {
	switch {
	case e.ResourcePreEvent != nil:
		h.began = true
		if md := e.ResourcePreEvent.Metadata; works(md) {
			h.note(begun.Began, md.URN)
		}
	case e.ResOutputsEvent != nil:
		md := e.ResOutputsEvent.Metadata
		if md.Op == apitype.OpSame && len(optionChanges(&md)) > 0 {
			md.Op = apitype.OpUpdate // as its plan said
		}
		if !works(md) {
			return
		}
		if h.done[md.URN] == nil {
			h.done[md.URN] = map[apitype.OpType]bool{}
		}
		op := md.Op
		if op == apitype.OpDelete && md.Old != nil && md.Old.RetainOnDelete {
			op = opForget
		}
		h.done[md.URN][op] = true
		if !replaces(h.done[md.URN]) || replaced(h.done[md.URN]) {
			h.note(begun.Done, md.URN)
		}
	}
}

// replaces tells whether what was done of a resource is a part of a replacement, and
// replaced whether it is a whole one.
func replaces(done map[apitype.OpType]bool) bool {
	return done[apitype.OpCreateReplacement] || done[apitype.OpImportReplacement] || done[apitype.OpDeleteReplaced]
}

func replaced(done map[apitype.OpType]bool) bool {
	return (done[apitype.OpCreateReplacement] || done[apitype.OpImportReplacement]) && done[apitype.OpDeleteReplaced]
}

// counts are the resources that were really changed. A replacement is one when both its
// halves were done.
func (h *applyHearing) counts() stackjob.Counts {
	var n stackjob.Counts
	for _, done := range h.done {
		switch {
		case replaced(done):
			n.Replace++
		case done[apitype.OpCreate], done[apitype.OpCreateReplacement]:
			n.Create++
		case done[apitype.OpImport], done[apitype.OpImportReplacement]:
			n.Import++
		case done[apitype.OpDelete], done[apitype.OpDeleteReplaced]:
			n.Delete++
		case done[opForget]:
			n.Forget++
		}
		if done[apitype.OpUpdate] { // of what was imported, too
			n.Update++
		}
	}
	return n
}
