package terraform

import tfjson "github.com/hashicorp/terraform-json"

// shortestTaint is the length under which a sensitive string is not looked for
// elsewhere: "admin" or "true" would hide half of every plan.
const shortestTaint = 6

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
			out = marked(out, ch.Before, ch.BeforeSensitive)
			out = marked(out, ch.After, ch.AfterSensitive)
		}
	}
	if in.Config == nil || in.Config.RootModule == nil {
		return out
	}
	for name, v := range in.Config.RootModule.Variables {
		if value := in.Variables[name]; v != nil && v.Sensitive && value != nil {
			out = marked(out, value.Value, true)
		}
	}
	return out
}

// marked adds the strings of v that lie under a mark.
func marked(out []string, v, mark any) []string {
	switch m := mark.(type) {
	case bool:
		if m {
			return allStrings(out, v)
		}
	case map[string]any:
		for k, below := range m {
			out = marked(out, child(v, k), below)
		}
	case []any:
		for i, below := range m {
			out = marked(out, child(v, i), below)
		}
	}
	return out
}

func allStrings(out []string, v any) []string {
	switch v := v.(type) {
	case string:
		if len(v) >= shortestTaint {
			return append(out, v)
		}
	case map[string]any:
		for _, e := range v {
			out = allStrings(out, e)
		}
	case []any:
		for _, e := range v {
			out = allStrings(out, e)
		}
	}
	return out
}
