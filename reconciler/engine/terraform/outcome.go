package terraform

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// readOutcome reads outputs, serial and lineage. The local state file tells all;
// elsewhere the apply's own stream tells the outputs, but for sensitive ones,
// which cost one more process.
func (p *phase) readOutcome(ctx context.Context, out *stackjob.Outcome, h *applyHearing) error {
	if p.isLocal() {
		p.hideState() // the reason of a failure is masked with it
		s, err := readState(p.task.StateFile)
		if err != nil {
			return fmt.Errorf("read the state after the apply: %w", err)
		}
		if s == nil {
			out.Outputs = []stackjob.Output{}
			return nil
		}
		out.StateSerial, out.StateLineage = s.Serial, s.Lineage
		resources := s.holdsResources()
		if err := p.recordBackend(&resources); err != nil {
			return err
		}
		if len(s.Encrypted) > 0 {
			return p.askForOutputs(ctx, out)
		}
		return p.takeOutputs(out, s.Outputs)
	}
	resources := p.task.Action == stackjob.Apply || !h.complete
	if err := p.recordBackend(&resources); err != nil {
		return err
	}
	if !h.complete {
		return nil // what is known is little; the next plan reads the state
	}
	given := map[string]facts.Output{}
	for name, o := range h.outputs {
		if o.Sensitive {
			return p.askForOutputs(ctx, out)
		}
		given[name] = facts.Output{Value: o.Value}
	}
	return p.takeOutputs(out, given)
}

// askForOutputs runs `output -json`.
func (p *phase) askForOutputs(ctx context.Context, out *stackjob.Outcome) error {
	v := p.voice(stackjob.OpApply, nil)
	var got map[string]tfexec.OutputMeta
	err := p.engine.run(ctx, v, []string{"output", "-json"}, func(ctx context.Context) error {
		p.engine.quiet(io.Discard) // values in clear
		var err error
		got, err = p.engine.tf.Output(ctx)
		return err
	})
	if err != nil {
		return errors.New("read the outputs: " + v.failureText())
	}
	given := map[string]facts.Output{}
	for name, o := range got {
		given[name] = facts.Output{Value: o.Value, Sensitive: o.Sensitive}
	}
	return p.takeOutputs(out, given)
}

// takeOutputs takes outputs as the task's daemon may keep them.
func (p *phase) takeOutputs(out *stackjob.Outcome, given map[string]facts.Output) error {
	p.hideOutputs(given)
	taken, err := p.hider().Outputs(given, p.task.Recipient)
	if err == nil {
		out.Outputs = taken
	}
	return err
}

// currentOutputs are the outputs of the state as it is, for a plan that changes
// nothing.
func (p *phase) currentOutputs(ctx context.Context) ([]stackjob.Output, error) {
	var out stackjob.Outcome
	if p.isLocal() {
		s, err := readState(p.task.StateFile)
		if err != nil {
			return nil, fmt.Errorf("read the outputs: %w", err)
		}
		if s == nil {
			return []stackjob.Output{}, nil
		}
		if len(s.Encrypted) == 0 {
			err := p.takeOutputs(&out, s.Outputs)
			return out.Outputs, err
		}
	}
	err := p.askForOutputs(ctx, &out)
	return out.Outputs, err
}
