package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"filippo.io/age"
	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// readOutcome reads outputs, serial and lineage. The local state file tells all;
// elsewhere the apply's own stream tells the outputs, but for sensitive ones,
// which cost one more process.
func (p *phase) readOutcome(ctx context.Context, out *stackjob.Outcome, h *applyHearing) error {
	if p.isLocal() {
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
	given := map[string]stateOutput{}
	for name, o := range h.outputs {
		if o.Sensitive {
			return p.askForOutputs(ctx, out)
		}
		given[name] = stateOutput{Value: o.Value}
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
	given := map[string]stateOutput{}
	for name, o := range got {
		given[name] = stateOutput{Value: o.Value, Sensitive: o.Sensitive}
	}
	return p.takeOutputs(out, given)
}

// takeOutputs sorts outputs by name and seals the sensitive ones. One that holds a
// secret of the task is sensitive whatever the module declares.
func (p *phase) takeOutputs(out *stackjob.Outcome, given map[string]stateOutput) error {
	c := converter{key: p.task.HashKey, mask: p.mask}
	taken := []stackjob.Output{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		g := given[name]
		value, err := canonicalText(g.Value)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		o := stackjob.Output{Name: name, Hash: keyedHash(p.task.HashKey, value), Sensitive: g.Sensitive || c.textHoldsSecret(value)}
		if !o.Sensitive {
			o.Value = value
		} else if o.Sealed, err = seal(p.task.Recipient, value); err != nil {
			return fmt.Errorf("seal output %s: %w", name, err)
		}
		taken = append(taken, o)
	}
	out.Outputs = taken
	return nil
}

func (c converter) textHoldsSecret(value json.RawMessage) bool {
	var v any
	return json.Unmarshal(value, &v) == nil && c.holdsSecret(v)
}

// seal encrypts for the daemon's key file.
func seal(recipient string, value []byte) ([]byte, error) {
	r, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(value); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
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
