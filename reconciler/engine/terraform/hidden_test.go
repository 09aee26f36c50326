package terraform

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// As both engines write it.
const stateWithSecrets = `{
	"version": 4, "serial": 1, "lineage": "l",
	"outputs": {
		"open":   {"value": "open-output", "type": "string"},
		"closed": {"value": {"k": "closed-output"}, "type": ["object", {"k": "string"}], "sensitive": true}
	},
	"resources": [
		{"mode": "managed", "type": "terraform_data", "name": "any", "instances": [
			{"index_key": "keyed-one", "schema_version": 0, "attributes": {
				"id": "open-id",
				"input": {"value": {"a": "open-a", "b": "closed-b", "l": ["open-l", "closed-l"]}, "type": ["object", {"a": "string", "b": "string", "l": ["tuple", ["string", "string"]]}]},
				"output": {"value": "closed-any", "type": "string"}
			}, "sensitive_attributes": [
				[{"type": "get_attr", "value": "input"}, {"type": "get_attr", "value": "b"}],
				[{"type": "get_attr", "value": "input"}, {"type": "get_attr", "value": "l"}, {"type": "index", "value": {"value": 1, "type": "number"}}],
				[{"type": "get_attr", "value": "output"}],
				[{"type": "get_attr", "value": "gone"}, {"type": "index", "value": {"value": "k", "type": "string"}}]
			]}
		]},
		{"module": "module.m", "mode": "data", "type": "lab_secret", "name": "s", "instances": [
			{"attributes": {"tags": {"x": "closed-tag", "y": "open-tag"}, "own": {"type": "closed-type", "value": "closed-value"}}, "sensitive_attributes": [
				[{"type": "get_attr", "value": "tags"}, {"type": "index", "value": {"value": "x", "type": "string"}}],
				[{"type": "get_attr", "value": "own"}]
			]},
			{"attributes": 7, "sensitive_attributes": 7}
		]}
	]
}`

func TestWhatAStateMarksAsSensitiveIsFound(t *testing.T) {
	t.Parallel()
	s, err := parseState([]byte(stateWithSecrets))
	if err != nil {
		t.Fatal(err)
	}
	secrets, names := s.sensitive()
	slices.Sort(secrets)
	slices.Sort(names)
	if diff := cmp.Diff([]string{"closed-any", "closed-b", "closed-l", "closed-output", "closed-tag", "closed-type", "closed-value"}, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{".terraform_data.any[keyed-one]", "closed", "module.m.lab_secret.s", "open"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// What stands in an address is not hidden, and what stands nowhere but in what the plan was
// made of is.
func TestWhatAPlanAndItsStateHoldAsSensitiveIsHidden(t *testing.T) {
	t.Parallel()
	p, told := testPhase()
	p.names["lab_chart.spoken-name"] = true
	hidden := p.hidePlan(&tfjson.Plan{
		ResourceChanges: []*tfjson.ResourceChange{{
			Address: "lab_chart.grafana-name", Change: &tfjson.Change{
				Before: map[string]any{"a": "before-secret", "b": "before-open"}, BeforeSensitive: map[string]any{"a": true},
				After: map[string]any{"a": "after-secret", "n": "grafana-name", "s": "spoken-name"}, AfterSensitive: true,
			},
		}},
		ActionInvocations: []*tfjson.ActionInvocation{{Address: "action.a", ConfigValues: map[string]any{"k": "action-secret"}, ConfigSensitive: map[string]any{"k": true}}},
		PlannedValues:     &tfjson.StateValues{Outputs: map[string]*tfjson.StateOutput{"o": {Sensitive: true, Value: "output-secret"}, "p": {Value: "output-open"}}},
		PriorState: &tfjson.State{Values: &tfjson.StateValues{RootModule: &tfjson.StateModule{ChildModules: []*tfjson.StateModule{{Resources: []*tfjson.StateResource{
			{Address: "data.lab_secret.read-name", AttributeValues: map[string]any{"v": "data-secret", "w": "data-open", "x": "read-name"}, SensitiveValues: json.RawMessage(`{"v":true,"x":true}`)},
			{Address: "data.lab_secret.other"},
		}}}}}},
	})
	want := []string{"action-secret", "after-secret", "before-secret", "data-secret", "output-secret"}
	if diff := cmp.Diff(want, hidden); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, told.hidden); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	// A structure that is an output is secret as a whole; the names of the plan are still known.
	p.hideOutputs(map[string]facts.Output{"o": {Sensitive: true, Value: []byte(`{"a":"made-secret","b":"grafana-name"}`)}})
	if diff := cmp.Diff(append(want, "made-secret"), told.hidden); diff != "" {
		t.Errorf("of outputs (-want +got):\n%s", diff)
	}
}

func TestASavedPlanCarriesWhatItsApplyMasks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		engine string
		hidden []string
	}{
		"nothing":     {"PK plan", nil},
		"short":       {"", nil},
		"secrets":     {"PK plan", []string{"a secret", "of\ntwo lines"}},
		"empty plan":  {"", []string{"a secret"}},
		"similar end": {"PK plan with" + carriedMark[1:], nil},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "saved")
		if err := errors.Join(os.WriteFile(file, []byte(c.engine), 0o600), carry(file, c.hidden)); err != nil {
			t.Fatal(err)
		}
		s, err := openSaved(file)
		if err != nil || !slices.Equal(s.hidden, c.hidden) {
			t.Errorf("%s: %q, %v", name, s.hidden, err)
			continue
		}
		if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
			t.Fatal(err)
		}
		path, err := s.forEngine(filepath.Join(dir, "private"))
		if err != nil || (path == file) != (len(c.hidden) == 0) {
			t.Errorf("%s: %s, %v", name, path, err)
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.engine {
			t.Errorf("%s: the engine gets %q, %v", name, got, err)
		}
	}
}

func TestASavedPlanWhoseEndIsBrokenIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"PK\x00\x00\x00\x00\x00\x00\x00\xff" + carriedMark,
		"PK\xff\xff\xff\xff\xff\xff\xff\xff" + carriedMark,
		"PK{]\x00\x00\x00\x00\x00\x00\x00\x02" + carriedMark,
	} {
		file := filepath.Join(t.TempDir(), "saved")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openSaved(file); !errors.Is(err, errCarried) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
