package pulumi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// plan is the plan phase.
func (p *phase) plan(ctx context.Context, planFile string) (*stackjob.Plan, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.tellKilled(); err != nil {
		return nil, err
	}
	if err := p.initialise(ctx, recordAlways); err != nil {
		return nil, p.tellLock(err)
	}
	if lock := p.task.ReleaseLock; lock != nil {
		if err := p.recover(ctx, *lock); err != nil {
			return nil, p.tellLock(err)
		}
	} else if err := p.settlePending(ctx); err != nil {
		return nil, p.tellLock(err)
	}
	plan, err := p.planOnce(ctx, planFile)
	return plan, p.tellLock(err)
}

// planOnce previews, and reads what came out.
func (p *phase) planOnce(ctx context.Context, planFile string) (*stackjob.Plan, error) {
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[stackjob.OpPlan])
	defer cancel()
	h := p.hearPlan()
	p.engine.cmd.processes = 0
	plan, err := p.preview(ctx, planFile, h)
	if err != nil {
		h.Fail(err, p.engine.cmd.processes)
		return nil, err
	}
	h.Plan.Record.EngineProcesses, h.Plan.Record.Counts = p.engine.cmd.processes, plan.Counts
	p.logPlan(plan)
	h.Plan.End(stackjob.ResultSucceeded, stackjob.Reason{})
	return plan, nil
}

// logPlan ends a plan's log with what is planned, as other engines do themselves: a preview
// tells no line of it.
func (p *phase) logPlan(plan *stackjob.Plan) {
	var b strings.Builder
	for _, r := range plan.Resources {
		fmt.Fprintf(&b, "%s (%s): Plan to %s\n", r.Name, r.Type, cmp.Or(planned[r.Action], string(r.Action)))
	}
	lines := strings.Split(strings.TrimSpace(plan.Text), "\n")
	b.WriteString(lines[len(lines)-1] + "\n")
	p.Sink.Log([]byte(p.Mask.Text(b.String())))
}

// planned are the words for actions that are not their own.
var planned = map[stackjob.ChangeAction]string{stackjob.NoOp: "move", stackjob.Delete: "destroy"}

func (p *phase) preview(ctx context.Context, planFile string, h *planHearing) (*stackjob.Plan, error) {
	if ctx.Err() != nil {
		return nil, engineProblem(ctx, context.Cause(ctx), "plan", p.voice(stackjob.OpPlan, nil))
	}
	// A preview takes no lock and looks for none; but what is made of a state that somebody
	// is at work on is good for nothing.
	if err := p.refuseLocked(); err != nil {
		return nil, err
	}
	readable, err := p.readable(ctx, p.before, stackjob.OpPlan)
	if err != nil {
		return nil, err
	}
	if p.isKMS() {
		p.hide(readable, savedPlan{})
	}
	file := filepath.Join(p.at.private, "plan.json")
	v := p.voice(stackjob.OpPlan, h.hear)
	if err := p.engine.preview(ctx, v, file); err != nil {
		return nil, err
	}
	h.Planned()
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if err := os.Remove(file); err != nil { // it goes into the saved plan
		return nil, err
	}
	program, err := p.project.digest(filepath.Join(p.task.ModuleRoot, filepath.FromSlash(p.task.ModulePath)))
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	in := told{events: h.events}
	if err := json.Unmarshal(raw, &in.plan); err != nil {
		return nil, errors.New("the plan that the engine saved cannot be read")
	}
	if urn := unheard(in); urn != "" {
		return nil, fmt.Errorf("the saved plan changes %s, and the engine's events do not tell of it: it would be applied without having been shown", urn)
	}
	hidden := p.hide(readable, in.plan)
	c := converter{Hider: p.hider(), open: p.opens(p.before), state: readable, fixed: fixed{
		State: p.before.mark(p.task.HashKey), Place: p.statePlace(), Program: program, Inputs: p.inputDigest(),
	}}
	plan, err := c.convert(in)
	if errors.Is(err, errPassphrase) {
		return nil, p.wrongPassphrase()
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	s := saved{Format: savedFormat, Fixed: c.fixed, Refresh: len(plan.Drift) > 0, Settings: p.settings, Plan: raw}
	if p.isKMS() {
		s.Hidden = hidden
	}
	if err := s.write(planFile); err != nil {
		return nil, err
	}
	b, err := readFile(planFile)
	if err != nil {
		return nil, err
	}
	plan.StatePlace = c.fixed.Place
	plan.FileDigest = fileDigest(b)
	plan.InputDigest = c.fixed.Inputs
	plan.Engine = p.task.Program.String()
	plan.MadeAt = p.driver.now().UTC()
	for _, w := range plan.Warnings {
		p.Warn(w)
	}
	slices.Sort(p.Warnings) // engines work in parallel; what is shown must not flap
	plan.Warnings = p.Warnings
	if p.task.Action == stackjob.Apply {
		sayWhy(plan.Resources)
	}
	plan.Text = facts.Render(*plan, reasons)
	return plan, p.remember(p.before)
}

// notInProgram is why an apply destroys: Pulumi gives no reason, and has no other but the one
// of an earlier replacement.
const notInProgram = "not_in_program"

// reasons are the reasons of this engine in words.
var reasons = map[string]string{notInProgram: "it is not in the program", "tainted": "it is tainted"}

// sayWhy gives what an apply would destroy its reason, as Terraform does.
func sayWhy(list []stackjob.ResourceChange) {
	for i := range list {
		if r := &list[i]; r.Action == stackjob.Delete && r.Why == "" && !strings.HasSuffix(r.Address, deposed) {
			r.Why = notInProgram
		}
	}
}

// inputDigest is keyed: inputs may be secrets with few possible values.
func (p *phase) inputDigest() string {
	s := p.task.Pulumi
	h := hmac.New(sha256.New, p.task.HashKey)
	secret := slices.Concat(s.SecretConfig, s.SecretInput)
	slices.Sort(secret)
	fmt.Fprintf(h, "%s\x00%q\x00%t\x00", p.task.ModuleRevision, secret, s.StackInput)
	h.Write(bytes.TrimSpace(p.task.Inputs))
	return "hmac:" + hex.EncodeToString(h.Sum(nil))
}

// tellKilled tells what an apply that was killed was at.
func (p *phase) tellKilled() error {
	left, err := begun.Read(begun.FileOf(p.task))
	if err != nil || left == nil {
		return err
	}
	if open := left.Unfinished(); len(open) > 0 {
		text := "Warning: The last apply was killed in the middle. What that apply had begun may exist without the state knowing it: " + joined(open) + "."
		p.Say(text)
		p.Warn(text)
	}
	return nil
}

// changes tells whether a step changes a resource: one that is journaled and not only read,
// or the replacement as a whole, which is not.
func changes(op apitype.OpType) bool {
	action, journaled := actions[op]
	return op == apitype.OpReplace || journaled && action != stackjob.Read
}

// unheard is a resource that the saved plan changes and of which no event told; "" when there
// is none. What is shown is made of events, and what is applied is the saved plan; an event
// that the engine cannot write, or that we cannot read, is lost without a word.
func unheard(in told) string {
	heard := map[string]bool{}
	for _, e := range in.events {
		switch {
		case e.ResourcePreEvent != nil && changes(e.ResourcePreEvent.Metadata.Op):
			heard[e.ResourcePreEvent.Metadata.URN] = true
		case e.ResOutputsEvent != nil && changes(e.ResOutputsEvent.Metadata.Op):
			heard[e.ResOutputsEvent.Metadata.URN] = true
		}
	}
	for _, urn := range slices.Sorted(maps.Keys(in.plan.ResourcePlans)) {
		moves := slices.ContainsFunc(in.plan.ResourcePlans[urn].Steps, func(s string) bool { return changes(apitype.OpType(s)) })
		if moves && !heard[urn] && !isPseudo(typeOf(urn)) {
			return urn
		}
	}
	return ""
}

// planHearing follows a preview's events: the refresh is the same process, and is told
// as an operation of its own.
type planHearing struct {
	*telling.Planning
	events []apitype.EngineEvent
}

func (p *phase) hearPlan() *planHearing {
	return &planHearing{Planning: p.Planning(p.task.SkipRefresh)}
}

func (h *planHearing) hear(e apitype.EngineEvent) {
	switch {
	case e.ResourcePreEvent != nil && e.ResourcePreEvent.Metadata.Op == apitype.OpRefresh:
		h.Began = true
	case e.ResourcePreEvent != nil:
		h.Planned()
	case e.ResOutputsEvent == nil:
		return
	}
	h.events = append(h.events, e)
}
