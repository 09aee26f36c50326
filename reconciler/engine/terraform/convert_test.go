package terraform

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// planOf reads a plan with one resource change and what else is given.
func planOf(t testing.TB, resource, rest string) *tfjson.Plan {
	t.Helper()
	text := `{"format_version":"1.2","resource_changes":[{"address":"x.a","mode":"managed","type":"x","name":"a",` + resource + `}]` + rest + `}`
	var p tfjson.Plan
	p.UseJSONNumber(true)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func hashed(t testing.TB, v any) json.RawMessage {
	t.Helper()
	return testConverter().Value(v, true)
}

func TestAttributesAreFlattened(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   []stackjob.AttributeChange
	}{
		"scalar": {`"actions":["update"],"before":{"a":1,"same":true},"after":{"a":2,"same":true}`,
			[]stackjob.AttributeChange{{Path: "a", Before: []byte("1"), After: []byte("2")}}},
		"null is nothing": {`"actions":["create"],"before":null,"after":{"a":null,"b":""}`,
			[]stackjob.AttributeChange{{Path: "b", After: []byte(`""`)}}},
		"empty collections are values": {`"actions":["create"],"before":null,"after":{"l":[],"m":{}}`,
			[]stackjob.AttributeChange{{Path: "l", After: []byte(`[]`)}, {Path: "m", After: []byte(`{}`)}}},
		"another shape is one value": {`"actions":["update"],"before":{"a":[1]},"after":{"a":{"k":1}}`,
			[]stackjob.AttributeChange{{Path: "a", Before: []byte(`[1]`), After: []byte(`{"k":1}`)}}},
		"unknown inside": {`"actions":["update"],"before":{"l":[{"p":1,"q":2}]},"after":{"l":[{"q":2}]},"after_unknown":{"l":[{"p":true}]}`,
			[]stackjob.AttributeChange{{Path: "l[0].p", Before: []byte("1"), Unknown: true}}},
		"sensitive leaf": {`"actions":["update"],"before":{"o":{"s":"x","p":1}},"after":{"o":{"s":"y","p":1}},"before_sensitive":{"o":{"s":true}},"after_sensitive":{"o":{"s":true}}`,
			[]stackjob.AttributeChange{{Path: "o.s", Before: hashed(t, "x"), After: hashed(t, "y"), Sensitive: true}}},
		"sensitive object": {`"actions":["update"],"before":{"o":{"s":"x"}},"after":{"o":{"s":"y"}},"before_sensitive":{"o":true},"after_sensitive":{"o":true}`,
			[]stackjob.AttributeChange{{Path: "o", Before: hashed(t, map[string]any{"s": "x"}), After: hashed(t, map[string]any{"s": "y"}), Sensitive: true}}},
		"sensitive resource": {`"actions":["delete"],"before":{"s":"x"},"after":null,"before_sensitive":true`,
			[]stackjob.AttributeChange{{Before: hashed(t, map[string]any{"s": "x"}), Sensitive: true}}},
		"only the mark changes": {`"actions":["update"],"before":{"s":"x"},"after":{"s":"x"},"before_sensitive":{},"after_sensitive":{"s":true}`,
			[]stackjob.AttributeChange{{Path: "s", Before: hashed(t, "x"), After: hashed(t, "x"), Sensitive: true}}},
		"a secret of the task": {`"actions":["create"],"before":null,"after":{"tags":{"t":"id canary-secret"}}`,
			[]stackjob.AttributeChange{{Path: "tags.t", After: hashed(t, "id canary-secret"), Sensitive: true}}},
		"forces": {`"actions":["delete","create"],"before":{"l":[{"p":1},{"p":1}],"q":1},"after":{"l":[{"p":1},{"p":2}],"q":2},"replace_paths":[["l",1,"p"]]`,
			[]stackjob.AttributeChange{{Path: "l[1].p", Before: []byte("1"), After: []byte("2"), Forces: true}, {Path: "q", Before: []byte("1"), After: []byte("2")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := testConverter().convert(planOf(t, `"change":{`+c.change+`}`, ""))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, p.Resources[0].Attributes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestActionsAreNamedAndCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		resource string
		action   stackjob.ChangeAction
		counts   stackjob.Counts
	}{
		"destroy first":     {`"change":{"actions":["delete","create"]}`, stackjob.Replace, stackjob.Counts{Replace: 1}},
		"create first":      {`"change":{"actions":["create","delete"]}`, stackjob.Replace, stackjob.Counts{Replace: 1}},
		"forget and create": {`"change":{"actions":["forget","create"]}`, stackjob.Replace, stackjob.Counts{Replace: 1}},
		"deposed":           {`"deposed":"0a1b2c3d","change":{"actions":["delete"]}`, stackjob.Delete, stackjob.Counts{Delete: 1}},
		"import and update": {`"change":{"actions":["update"],"importing":{"id":"i"}}`, stackjob.Update, stackjob.Counts{Update: 1, Import: 1}},
		"import":            {`"change":{"actions":["no-op"],"importing":{"id":"i"}}`, stackjob.Import, stackjob.Counts{Import: 1}},
		"move":              {`"previous_address":"x.b","change":{"actions":["no-op"]}`, stackjob.NoOp, stackjob.Counts{NoOp: 1, Move: 1}},
		"forget":            {`"change":{"actions":["forget"]}`, stackjob.Forget, stackjob.Counts{Forget: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := testConverter().convert(planOf(t, c.resource, ""))
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Resources) != 1 || p.Resources[0].Action != c.action || !p.HasChanges {
				t.Errorf("plan = %+v", p)
			}
			if diff := cmp.Diff(c.counts, p.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if name == "deposed" && p.Resources[0].Address != "x.a (deposed 0a1b2c3d)" {
				t.Errorf("address = %q", p.Resources[0].Address)
			}
		})
	}
	p, err := testConverter().convert(planOf(t, `"change":{"actions":["no-op"],"before":{},"after":{}}`, ""))
	if err != nil || p.HasChanges || len(p.Resources) != 0 || p.Counts != (stackjob.Counts{NoOp: 1}) || p.Digest != (digestForm{}).digest() {
		t.Errorf("a plan that does nothing: %+v, %v", p, err)
	}
}

func TestDigestKeepsStillForWhatIsNotDone(t *testing.T) {
	t.Parallel()
	for _, path := range recordings(t) {
		first, err := testConverter().convert(recorded(t, path))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p := recorded(t, path)
			shuffle := func(rcs []*tfjson.ResourceChange) {
				rand.Shuffle(len(rcs), func(i, j int) { rcs[i], rcs[j] = rcs[j], rcs[i] })
			}
			shuffle(p.ResourceChanges)
			shuffle(p.ResourceDrift)
			p.Timestamp, p.TerraformVersion, p.FormatVersion = "2030-01-01T00:00:00Z", "1.99.0", "1.9"
			p.ResourceDrift, p.Variables, p.Checks = nil, nil, nil
			for _, rc := range p.ResourceChanges {
				rc.ActionReason = "another_sentence"
			}
			again, err := testConverter().convert(p)
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest != first.Digest {
				t.Fatalf("%s: the digest moved", path)
			}
		}
	}
}

func TestDigestMovesWithEverythingThatIsDone(t *testing.T) {
	t.Parallel()
	path := "testdata/plans/terraform-change.json"
	first, err := testConverter().convert(recorded(t, path))
	if err != nil {
		t.Fatal(err)
	}
	find := func(p *tfjson.Plan, address string) *tfjson.ResourceChange {
		i := slices.IndexFunc(p.ResourceChanges, func(rc *tfjson.ResourceChange) bool { return rc.Address == address })
		if i < 0 {
			t.Fatalf("no %s", address)
		}
		return p.ResourceChanges[i]
	}
	for name, change := range map[string]func(*tfjson.Plan){
		"value": func(p *tfjson.Plan) {
			find(p, "terraform_data.updated").Change.After.(map[string]any)["input"].(map[string]any)["text"] = "other"
		},
		"sensitive value": func(p *tfjson.Plan) {
			find(p, "terraform_data.secret").Change.After.(map[string]any)["input"].(map[string]any)["list"].([]any)[0] = "other"
		},
		"big number": func(p *tfjson.Plan) {
			find(p, "terraform_data.updated").Change.After.(map[string]any)["input"].(map[string]any)["big"] = json.Number("12345678901234567892")
		},
		"address":            func(p *tfjson.Plan) { find(p, "terraform_data.created").Address = "terraform_data.other" },
		"action":             func(p *tfjson.Plan) { find(p, "terraform_data.deleted").Change.Actions = tfjson.Actions{"forget"} },
		"order of a replace": func(p *tfjson.Plan) { slices.Reverse(find(p, "terraform_data.replaced").Change.Actions) },
		"replace path":       func(p *tfjson.Plan) { find(p, "terraform_data.replaced").Change.ReplacePaths = nil },
		"import id":          func(p *tfjson.Plan) { find(p, "terraform_data.imported").Change.Importing.ID = "other" },
		"output":             func(p *tfjson.Plan) { p.OutputChanges["new"].After = "other" },
		"sensitive output":   func(p *tfjson.Plan) { p.OutputChanges["secret"].After = "other" },
		"one resource less":  func(p *tfjson.Plan) { p.ResourceChanges = p.ResourceChanges[1:] },
		"provisioner command": func(p *tfjson.Plan) {
			p.Config.RootModule.Resources[provisioned(t, p)].Provisioners[0].Expressions["command"].ConstantValue = "rm -rf"
		},
		"where a provider works": func(p *tfjson.Plan) {
			p.Config.ProviderConfigs["local"].Expressions = map[string]*tfjson.Expression{"region": {ExpressionData: &tfjson.ExpressionData{ConstantValue: "eu-west-1"}}}
		},
		"invoked action": func(p *tfjson.Plan) {
			p.ActionInvocations = []*tfjson.ActionInvocation{{Address: "action.x.y", Type: "x", ConfigValues: map[string]any{"a": 1}}}
		},
	} {
		p := recorded(t, path)
		change(p)
		other, err := testConverter().convert(p)
		if err != nil {
			t.Fatal(err)
		}
		if other.Digest == first.Digest {
			t.Errorf("%s: the digest did not move", name)
		}
	}
	c := testConverter()
	c.revision = "r2"
	if other, err := c.convert(recorded(t, path)); err != nil || other.Digest == first.Digest {
		t.Errorf("provisioners run and the module's revision has no part in the digest: %v", err)
	}
	c = testConverter()
	c.inputs = "hmac:other"
	if other, err := c.convert(recorded(t, path)); err != nil || other.Digest == first.Digest {
		t.Errorf("provisioners run and the inputs have no part in the digest: %v", err)
	}
}

// TestWhatAPlanLeavesOpen names what the code and the inputs settle when a plan is
// applied, and what they do not.
func TestWhatAPlanLeavesOpen(t *testing.T) {
	t.Parallel()
	constant := func(v any) *tfjson.Expression {
		return &tfjson.Expression{ExpressionData: &tfjson.ExpressionData{ConstantValue: v}}
	}
	refers := &tfjson.Expression{ExpressionData: &tfjson.ExpressionData{References: []string{"var.x"}, ConstantValue: tfjson.UnknownConstantValue}}
	block := func(in map[string]*tfjson.Expression) *tfjson.Expression {
		return &tfjson.Expression{ExpressionData: &tfjson.ExpressionData{NestedBlocks: []map[string]*tfjson.Expression{in}}}
	}
	type attributes = map[string]any
	type given = map[string]*tfjson.Expression
	for name, tt := range map[string]struct {
		after, unknown attributes
		given          given
		provider       given
		want           bool
	}{
		"all is known":                      {after: attributes{"a": "x"}, given: given{"a": refers}},
		"what the provider makes up":        {after: attributes{"a": "x"}, unknown: attributes{"id": true}, given: given{"a": refers}},
		"a value of what is not known yet":  {unknown: attributes{"a": true}, given: given{"a": refers}, want: true},
		"one in a list of values":           {after: attributes{"a": []any{nil}}, unknown: attributes{"a": []any{false, true}}, given: given{"a": refers}, want: true},
		"a block's own attribute":           {after: attributes{"b": []any{attributes{}}}, unknown: attributes{"b": []any{attributes{"c": true}}}, given: given{"b": block(given{"c": refers})}, want: true},
		"what the provider makes up in one": {after: attributes{"b": []any{attributes{"c": "x"}}}, unknown: attributes{"b": []any{attributes{"id": true}}}, given: given{"b": block(given{"c": refers})}},
		"blocks whose number is not known":  {after: attributes{}, unknown: attributes{"b": true}, given: given{"b": block(given{"c": refers})}, want: true},
		"what is written and never read":    {after: attributes{"a": "x", "password": nil}, given: given{"a": refers, "password": refers}, want: true},
		"a literal that is never read":      {after: attributes{"password": nil}, given: given{"password": constant("x")}, want: true},
		"nothing, as it says":               {after: attributes{"a": nil}, given: given{"a": constant(nil)}},
		"where a provider works":            {after: attributes{"a": "x"}, provider: given{"region": refers}, want: true},
		"where it works, in a block":        {after: attributes{"a": "x"}, provider: given{"assume_role": block(given{"role": refers})}, want: true},
		"where it works, in constant words": {after: attributes{"a": "x"}, provider: given{"region": constant("eu-west-1")}},
		"what goes":                         {given: given{"a": refers}},
	} {
		ch := &tfjson.Change{Actions: tfjson.Actions{tfjson.ActionCreate}}
		if tt.after != nil {
			ch.After = tt.after
		}
		if tt.unknown != nil {
			ch.AfterUnknown = tt.unknown
		}
		in := &tfjson.Plan{
			ResourceChanges: []*tfjson.ResourceChange{{Address: "module.m[0].x.y", ModuleAddress: "module.m[0]", Mode: tfjson.ManagedResourceMode, Type: "x", Name: "y", Change: ch}},
			Config: &tfjson.Config{
				ProviderConfigs: map[string]*tfjson.ProviderConfig{"x": {FullName: "x", Expressions: tt.provider}},
				RootModule: &tfjson.ConfigModule{ModuleCalls: map[string]*tfjson.ModuleCall{"m": {Module: &tfjson.ConfigModule{
					Resources: []*tfjson.ConfigResource{{Mode: tfjson.ManagedResourceMode, Type: "x", Name: "y", Expressions: tt.given}}}}}},
			},
		}
		if got := isOpen(in, digestForm{}); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func provisioned(t *testing.T, p *tfjson.Plan) int {
	t.Helper()
	i := slices.IndexFunc(p.Config.RootModule.Resources, func(r *tfjson.ConfigResource) bool { return len(r.Provisioners) > 0 })
	if i < 0 {
		t.Fatal("no provisioner")
	}
	return i
}

func TestModuleNamesAreReadFromAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"":                                   nil,
		"module.a":                           {"a"},
		"module.a.module.b":                  {"a", "b"},
		"module.a[0].module.b":               {"a", "b"},
		`module.a["x.y\"]z"].module.b["k"]`:  {"a", "b"},
		`module.a["module.c[0]"].module.b-1`: {"a", "b-1"},
	} {
		if diff := cmp.Diff(want, moduleNames(address)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
}
