package pulumi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// fixed is what a plan is made of. Pulumi holds an apply to a saved plan step by step,
// and to nothing else: it would run another program, and on another state, until the
// first step that differs. So what it was made of is part of what was approved, and an
// apply refuses before anything is started when it moved (docs/decisions/0180).
type fixed struct {
	// State is the mark of the state (deployment.mark), Place where it is (statePlace).
	State string `json:"state,omitempty"`
	Place string `json:"place,omitempty"`
	// Program is the digest of the program's folder, Inputs a keyed hash of the config.
	Program string `json:"program,omitempty"`
	Inputs  string `json:"inputs,omitempty"`
}

// digestForm is all that a plan would do, and nothing that differs between two equal
// plans: no seed, no time, no id that a preview invents, no ciphertext. Its JSON is
// hashed; a change of the form makes every approval that waits void, so the golden test
// guards it.
type digestForm struct {
	fixed
	Resources []digestStep            `json:"resources,omitempty"`
	Outputs   []stackjob.OutputChange `json:"outputs,omitempty"`
}

type digestStep struct {
	URN   string   `json:"urn"`
	Steps []string `json:"steps,omitempty"`
	// Goal is a keyed hash of the plan's own, secrets in clear: it may hold what is known
	// to be secret to nobody.
	Goal string `json:"goal,omitempty"`
}

func (f digestForm) digest() string {
	b, err := json.Marshal(f)
	if err != nil { // only our own types
		panic("pulumi: write the digest's form: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// steps are a saved plan's, by URN.
func (c converter) steps(plan savedPlan) ([]digestStep, error) {
	var out []digestStep
	for _, urn := range slices.Sorted(maps.Keys(plan.ResourcePlans)) {
		r := plan.ResourcePlans[urn]
		d := digestStep{URN: urn, Steps: r.Steps}
		if goal, ok := r.raw["goal"].(map[string]any); ok {
			v, err := c.settled(goal, "")
			if err != nil {
				return nil, err
			}
			d.Goal = facts.KeyedHash(c.Key, facts.Canonical(v))
		}
		out = append(out, d)
	}
	return out, nil
}

// settled is a part of a goal without what differs between two equal plans. key is the
// property that it is the value of.
func (c converter) settled(v any, key string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if v[signatureKey] == secretSignature {
			p, err := readProperty(v, c.open)
			if err != nil {
				return nil, err
			}
			return map[string]any{"secret": p.value, "unknown": facts.AnyTrue(p.unknown)}, nil
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			s, err := c.settled(e, k)
			if err != nil {
				return nil, err
			}
			out[k] = s
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			s, err := c.settled(e, key)
			if err != nil {
				return nil, err
			}
			out[i] = s
		}
		if allURNs(out) { // a set, in the order in which the program's threads came
			slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		return out, nil
	case string:
		if key == "provider" {
			return withoutID(v), nil
		}
	}
	return v, nil
}

func allURNs(list []any) bool {
	for _, e := range list {
		if s, ok := e.(string); !ok || !strings.HasPrefix(s, "urn:pulumi:") {
			return false
		}
	}
	return len(list) > 0
}

// withoutID cuts the id off a reference to a provider, URN::ID: a preview invents the
// ids of new ones.
func withoutID(ref string) string {
	if strings.Count(ref, "::") < 4 {
		return ref
	}
	return ref[:strings.LastIndex(ref, "::")]
}
