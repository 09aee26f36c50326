package terraform

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// plan is the plan phase.
func (p *phase) plan(ctx context.Context, planFile string) (*stackjob.Plan, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if err := p.repair(); err != nil {
		return nil, err
	}
	if err := p.initialise(ctx, recordAlways); err != nil {
		return nil, p.tellLock(ctx, err)
	}
	plan, err := p.planOnce(ctx, planFile)
	if lock := p.task.ReleaseLock; lock != nil && !p.isLocal() {
		// Only the very lock that was recognised as our own: between the two, a
		// person may have taken it.
		if f := lockOf(err); f != nil && f.ID == lock.ID {
			p.Say("Releasing the lock " + lock.ID + " of a run of this stack that was killed.")
			if err := p.unlock(ctx, *lock); err != nil {
				return nil, err
			}
			plan, err = p.planOnce(ctx, planFile)
		}
	}
	return plan, p.tellLock(ctx, err)
}

// planOnce runs plan, and show when there is something to show.
func (p *phase) planOnce(ctx context.Context, planFile string) (*stackjob.Plan, error) {
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[stackjob.OpPlan])
	defer cancel()
	h := p.hearPlan()
	p.engine.processes = 0
	plan, err := p.planAndShow(ctx, planFile, h)
	p.secureState()
	if err != nil {
		h.Fail(err, p.engine.processes)
		return nil, err
	}
	why := stackjob.Reason{}
	if p.damage != "" {
		why = telling.Reason(stackjob.ReasonStateDamaged, p.damage)
	}
	h.Plan.Record.EngineProcesses, h.Plan.Record.Counts = p.engine.processes, plan.Counts
	h.Plan.End(stackjob.ResultSucceeded, why)
	return plan, nil
}

func (p *phase) planAndShow(ctx context.Context, planFile string, h *planHearing) (*stackjob.Plan, error) {
	opts := []tfexec.PlanOption{tfexec.Out(planFile), tfexec.Refresh(!p.task.SkipRefresh)}
	if t := p.lockPatience(); t != "" {
		opts = append(opts, tfexec.LockTimeout(t))
	}
	files, err := p.varFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		opts = append(opts, tfexec.VarFile(f))
	}
	words := []string{"plan", "-json"}
	if p.task.Action == stackjob.Destroy {
		opts, words = append(opts, tfexec.Destroy(true)), append(words, "-destroy")
	}
	v := p.voice(stackjob.OpPlan, h.hear)
	changed := false
	err = p.engine.run(ctx, v, words, func(ctx context.Context) error {
		var err error
		changed, err = p.engine.tf.PlanJSON(ctx, v.stdout(), opts...)
		return err
	})
	if err != nil {
		return nil, engineProblem(ctx, err, "plan", v)
	}
	if err := os.Chmod(planFile, 0o600); err != nil {
		return nil, err
	}
	h.Planned()
	var saved *tfjson.Plan
	if changed || h.changes {
		if saved, err = p.show(ctx, planFile); err != nil {
			return nil, err
		}
	}
	place, err := p.statePlace()
	if err != nil {
		return nil, err
	}
	code := &localReader{root: p.at.module, data: p.at.data}
	c := converter{Hider: p.hider(), revision: p.task.ModuleRevision, inputs: p.inputDigest(),
		place: place, locals: code.refersTo, changed: changed}
	plan, err := c.convert(saved)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	plan.StatePlace = place
	if err := carry(planFile, p.hidePlan(saved)); err != nil {
		return nil, fmt.Errorf("keep what the apply has to mask: %w", err)
	}
	if saved == nil {
		plan.Counts.NoOp = p.unchanged(h)
	}
	if plan.FileDigest, err = fileDigest(planFile); err != nil {
		return nil, err
	}
	plan.InputDigest = p.inputDigest()
	plan.Engine = p.task.Program.String()
	plan.MadeAt = p.driver.now().UTC()
	slices.Sort(p.Warnings) // engines work in parallel; what is shown must not flap
	plan.Warnings = p.Warnings
	plan.Text = facts.Render(*plan, reasons)
	return plan, nil
}

// varFiles are the module's own, then the inputs, which win.
func (p *phase) varFiles() ([]string, error) {
	var out []string
	for _, f := range p.task.VarFiles {
		if _, err := os.Stat(filepath.Join(p.at.module, filepath.FromSlash(f))); err != nil {
			return nil, telling.Author(stackjob.ReasonEngine, "var file "+f,
				fmt.Sprintf("The var file %s does not exist in the module %s.", f, orRoot(p.task.ModulePath)))
		}
		out = append(out, f)
	}
	inputs := bytes.TrimSpace(p.task.Inputs)
	if len(inputs) == 0 || bytes.Equal(inputs, []byte("null")) {
		return out, nil
	}
	if inputs[0] != '{' {
		return nil, errors.New("the inputs are not a JSON object")
	}
	// As they are: decoding would round numbers.
	path, err := p.at.writePrivate(inputsFile, inputs)
	return append(out, path), err
}

// show reads the saved plan's facts.
func (p *phase) show(ctx context.Context, planFile string) (*tfjson.Plan, error) {
	v := p.voice(stackjob.OpPlan, nil)
	var saved *tfjson.Plan
	var raw bytes.Buffer
	err := p.engine.run(ctx, v, []string{"show", "-json"}, func(ctx context.Context) error {
		p.engine.quiet(&raw)
		defer p.engine.quiet(io.Discard)
		var err error
		saved, err = p.engine.tf.ShowPlanFile(ctx, planFile, tfexec.JSONNumber(true))
		return err
	})
	if err == nil {
		return saved, nil
	}
	// An engine may print a warning about its own configuration before the JSON.
	if saved, ok := planIn(raw.Bytes()); ok && ctx.Err() == nil {
		return saved, nil
	}
	return nil, engineProblem(ctx, err, "show", v)
}

func planIn(out []byte) (*tfjson.Plan, bool) {
	i := bytes.Index(out, []byte("\n{"))
	if i < 0 {
		return nil, false
	}
	var plan tfjson.Plan
	plan.UseJSONNumber(true)
	return &plan, json.Unmarshal(out[i+1:], &plan) == nil
}

// unchanged counts the resources of a plan that changes nothing.
func (p *phase) unchanged(h *planHearing) int {
	if p.isLocal() {
		if s, err := readState(p.task.StateFile); err == nil && s != nil && len(s.Encrypted) == 0 {
			return s.managed()
		}
	}
	return len(h.refreshed)
}

// inputDigest is keyed: inputs may be secrets with few possible values.
func (p *phase) inputDigest() string {
	h := hmac.New(sha256.New, p.task.HashKey)
	fmt.Fprintf(h, "%s\x00%q\x00", p.task.ModuleRevision, p.task.VarFiles)
	h.Write(bytes.TrimSpace(p.task.Inputs))
	return "hmac:" + hex.EncodeToString(h.Sum(nil))
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// planHearing follows a plan's stream: the refresh is the plan process's own, and
// is told as an operation of its own.
type planHearing struct {
	*telling.Planning
	refreshed map[string]bool
	// changes tells that the stream spoke of a change.
	changes bool
}

func (p *phase) hearPlan() *planHearing {
	return &planHearing{Planning: p.Planning(p.task.SkipRefresh), refreshed: map[string]bool{}}
}

func (h *planHearing) hear(m message) {
	switch m.Type {
	case "refresh_start":
		h.Began = true
		if m.Hook != nil {
			h.refreshed[m.Hook.Resource.Addr] = true
		}
	case "planned_change":
		h.Planned()
		h.changes = h.changes || m.Change != nil && m.Change.Action != "noop"
	case "resource_drift":
		h.Planned()
		h.changes = true
	case "change_summary", "outputs":
		h.Planned()
	}
}
