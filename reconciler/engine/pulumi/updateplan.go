package pulumi

import (
	"encoding/json"
	"strings"
)

// savedPlan is what we read of a saved update plan (apitype.DeploymentPlanV1).
type savedPlan struct {
	ResourcePlans map[string]resourcePlan `json:"resourcePlans"`
}

type resourcePlan struct {
	Goal struct {
		InputDiff  planDiff `json:"inputDiff"`
		OutputDiff planDiff `json:"outputDiff"`
	} `json:"goal"`
	Steps []string       `json:"steps"`
	State map[string]any `json:"state"`

	// raw is all of it.
	raw map[string]any
}

// UnmarshalJSON keeps numbers as they were written.
func (r *resourcePlan) UnmarshalJSON(b []byte) error {
	v, err := decodeJSON(b)
	if err != nil {
		return err
	}
	r.raw, _ = v.(map[string]any)
	type plain resourcePlan
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	return dec.Decode((*plain)(r))
}

type planDiff struct {
	Adds    map[string]any `json:"adds"`
	Deletes []string       `json:"deletes"`
	Updates map[string]any `json:"updates"`
}

func (d planDiff) moves(key string) bool {
	_, added := d.Adds[key]
	_, updated := d.Updates[key]
	return added || updated
}

func (p savedPlan) of(urn string) resourcePlan { return p.ResourcePlans[urn] }
