package terraform

import (
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// tainted collects the strings that a plan marks as sensitive anywhere. Engines
// lose the mark where a provider hands a value back: the `output` of a
// terraform_data with a sensitive `input` is shown in clear by the engines
// themselves. So what is sensitive in one place is sensitive in all.
func tainted(in *tfjson.Plan) []string {
	var out []string
	changes := make([]*tfjson.Change, 0, len(in.ResourceChanges)+len(in.ResourceDrift)+len(in.OutputChanges))
	for _, rcs := range [][]*tfjson.ResourceChange{in.ResourceChanges, in.ResourceDrift} {
		for _, rc := range rcs {
			if rc != nil {
				changes = append(changes, rc.Change)
			}
		}
	}
	for _, ch := range in.OutputChanges {
		changes = append(changes, ch)
	}
	for _, ch := range changes {
		if ch != nil {
			out = facts.Marked(out, ch.Before, ch.BeforeSensitive)
			out = facts.Marked(out, ch.After, ch.AfterSensitive)
		}
	}
	if in.Config == nil || in.Config.RootModule == nil {
		return out
	}
	for name, v := range in.Config.RootModule.Variables {
		if value := in.Variables[name]; v != nil && v.Sensitive && value != nil {
			out = facts.Marked(out, value.Value, true)
		}
	}
	return out
}
