package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// RefuseClearSecrets is the last line of defence before a write: it fails with
// ErrClearSecret when a sensitive output is not sealed or a sensitive attribute of
// a plan is not a keyed hash. Its error names the place, never the value. Every
// store calls it with the job as it would be written and with what the stack would
// be; either may be empty.
func RefuseClearSecrets(j stackjob.Job, o *stackjob.Observed) error {
	if o != nil {
		for _, out := range o.Outputs {
			if out.Sensitive && (len(out.Value) > 0 || len(out.Sealed) == 0) {
				return fmt.Errorf("job %s: output %q is sensitive and not sealed: %w", j.ID, out.Name, ErrClearSecret)
			}
		}
	}
	if j.Plan == nil {
		return nil
	}
	for _, rs := range [][]stackjob.ResourceChange{j.Plan.Resources, j.Plan.Drift} {
		for _, r := range rs {
			for _, at := range r.Attributes {
				if !masked(at) {
					return fmt.Errorf("job %s: attribute %q of %s is sensitive and no keyed hash: %w", j.ID, at.Path, r.Address, ErrClearSecret)
				}
			}
		}
	}
	for _, out := range j.Plan.Outputs {
		if !masked(out.AttributeChange) {
			return fmt.Errorf("job %s: output %q of the plan is sensitive and no keyed hash: %w", j.ID, out.Name, ErrClearSecret)
		}
	}
	return nil
}

func masked(a stackjob.AttributeChange) bool {
	return !a.Sensitive || isHash(a.Before) && isHash(a.After)
}

// isHash tells whether a value is absent, null or a keyed hash.
func isHash(v json.RawMessage) bool {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || string(v) == "null" {
		return true
	}
	var s string
	return json.Unmarshal(v, &s) == nil && strings.HasPrefix(s, "hmac:")
}
