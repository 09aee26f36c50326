package diff_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

const canary = "canary-of-a-secret"

func producer() stackjob.Stack {
	return stackjob.Stack{Key: key("dev", "net"), Observed: &stackjob.Observed{Complete: true,
		Desired: stackjob.Desired{Name: "Main Net", Spec: json.RawMessage(`{"cidrBlock":"10.0.0.0/16","region":{"value":"eu"},"vpc":{"valueFrom":{"env":"dev","fieldPath":"status.outputs.id","kind":"AwsVpc","name":"v"}}}`)},
		Outputs: []stackjob.Output{
			{Name: "vpc_id", Value: json.RawMessage(`"vpc-1"`), Hash: "k1"},
			{Name: "subnets", Value: json.RawMessage(`[{"id":"s-0","zone.name":"a"},{"id":"s-1","big":12345678901234567890}]`), Hash: "k2"},
			{Name: "nothing", Value: json.RawMessage(`null`), Hash: "k3"},
			{Name: "password", Sensitive: true, Sealed: []byte("sealed"), Hash: "k4"},
		}}}
}

func TestAReferenceIsWorthWhatItsProducerHas(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]diff.Value{
		"status.outputs.vpc_id":                   {JSON: json.RawMessage(`"vpc-1"`), Hash: "k1"},
		"status.outputs.vpcId":                    {JSON: json.RawMessage(`"vpc-1"`), Hash: "k1"},
		"status.outputs.subnets[1].id":            {JSON: json.RawMessage(`"s-1"`)},
		"status.outputs.subnets.1.id":             {JSON: json.RawMessage(`"s-1"`)},
		"status.outputs.subnets[1].big":           {JSON: json.RawMessage(`12345678901234567890`)},
		`status.outputs.subnets[0]["zone.name"]`:  {JSON: json.RawMessage(`"a"`)},
		"status.outputs.subnets[0]":               {JSON: json.RawMessage(`{"id":"s-0","zone.name":"a"}`)},
		"status.outputs.password":                 {Sealed: []byte("sealed"), Hash: "k4", Sensitive: true},
		`status.outputs.password.users[0]["a.b"]`: {Sealed: []byte("sealed"), Hash: "k4", Sensitive: true, Path: `users[0]["a.b"]`},
		"spec.cidrBlock":                          {JSON: json.RawMessage(`"10.0.0.0/16"`)},
		"spec.cidr_block":                         {JSON: json.RawMessage(`"10.0.0.0/16"`)},
		"spec.region":                             {JSON: json.RawMessage(`"eu"`)},
		"metadata.name":                           {JSON: json.RawMessage(`"Main Net"`)},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			got, missing := diff.ResolveValue(schema.Reference{To: key("dev", "net"), FieldPath: path}, producer(), nil)
			if missing != nil {
				t.Fatal(missing)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAReferenceWithoutAValueSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"status.outputs.vpc_idd":        `acme/dev/TerraformStack/net has outputs: nothing, password, subnets, vpc_id; did you mean "vpc_id"?`,
		"status.outputs.zzz":            `acme/dev/TerraformStack/net has outputs: nothing, password, subnets, vpc_id`,
		"status.outputs.nothing":        `output nothing is null`,
		"status.outputs.subnets[2]":     `output subnets is a list of 2, so it has no [2]`,
		"status.outputs.subnets.first":  `output subnets is a list, so a number must follow, not "first"`,
		"status.outputs.subnets[0].idd": `output subnets at [0] has no "idd"; there is id, zone.name; did you mean "id"?`,
		"status.outputs.vpc_id.x":       `output vpc_id is a plain value and has nothing inside`,
		"status.outputs.subnets[":       `the path "subnets[" has a [ that does not end`,
		"status.outputs.a..b":           `the path "a..b" has an empty name`,
		"status.outputs.":               `the path "" is empty`,
		"status.phase":                  `expected status.outputs.…, spec.… or metadata.name`,
		"spec.cidrBlok":                 `spec has no "cidrBlok"; there is cidrBlock, region, vpc; did you mean "cidrBlock"?`,
		"spec.vpc":                      `it is itself a reference to AwsVpc/v status.outputs.id; refer to that`,
		"metadata.labels":               `expected status.outputs.…, spec.… or metadata.name`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			_, missing := diff.ResolveValue(schema.Reference{To: key("dev", "net"), FieldPath: path}, producer(), nil)
			wantReason := &stackjob.Reason{Code: stackjob.ReasonMissingValue, Detail: "acme/dev/TerraformStack/net " + path + ": " + want}
			if d := cmp.Diff(wantReason, missing); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAProducerThatWasNeverAppliedIsReadFromTheTreeWhereThatIsPossible(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net", "cidr: a")})
	never := stackjob.Stack{Key: key("dev", "net")}
	for path, want := range map[string]string{"spec.variables.cidr": `"a"`, "metadata.name": `"net"`} {
		v, missing := diff.ResolveValue(schema.Reference{To: key("dev", "net"), FieldPath: path}, never, w.input.Tree)
		if missing != nil || string(v.JSON) != want {
			t.Errorf("%s = %s, %v", path, v.JSON, missing)
		}
	}
	_, missing := diff.ResolveValue(schema.Reference{To: key("dev", "net"), FieldPath: "status.outputs.id"}, never, w.input.Tree)
	if missing == nil || !strings.Contains(missing.Detail, "was never applied") {
		t.Errorf("reason = %v", missing)
	}
	for _, path := range []string{"spec.x", "metadata.name"} {
		if _, missing := diff.ResolveValue(schema.Reference{To: key("dev", "gone"), FieldPath: path}, stackjob.Stack{}, w.input.Tree); missing == nil {
			t.Errorf("%s of a resource that does not exist has a value", path)
		}
	}
}

func TestPickTellsNothingOfWhatItLooksInto(t *testing.T) {
	t.Parallel()
	secret := json.RawMessage(`{"` + canary + `":["` + canary + `"],"user":"` + canary + `"}`)
	if v, err := diff.Pick(secret, "user"); err != nil || string(v) != `"`+canary+`"` {
		t.Errorf("user = %s, %v", v, err)
	}
	for _, path := range []string{"usr", "user.x", "user[0]", "[9", "a..b"} {
		_, err := diff.Pick(secret, path)
		if err == nil {
			t.Errorf("%q has a value", path)
			continue
		}
		if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), `"user"`) {
			t.Errorf("%q: the error tells of the value: %v", path, err)
		}
	}
	if _, err := diff.Pick(json.RawMessage(canary), ""); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("broken JSON: %v", err)
	}
}

// FuzzPick: no path makes it fail otherwise than by an error.
func FuzzPick(f *testing.F) {
	for _, p := range []string{"", "a", "a.b[0]", `a["b.c"]`, "a[", `a["`, "a.", ".a", "a[0]x", "[0]", "a[99999999999999999999]"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		v, err := diff.Pick(json.RawMessage(`{"a":{"b":[1,{"c":null}]},"0":[[]]}`), path)
		if err == nil && !json.Valid(v) {
			t.Errorf("%q gave %q", path, v)
		}
	})
}
