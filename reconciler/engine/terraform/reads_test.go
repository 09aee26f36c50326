package terraform

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/stackreeve/stackreeve/schema"
)

// TestPlacesOfStates compares the places that settings and environment name.
func TestPlacesOfStates(t *testing.T) {
	t.Parallel()
	type settings = map[string]string
	pg := func(conn string) schema.Backend {
		return schema.Backend{Type: "pg", Config: settings{"conn_str": conn, "schema_name": "s"}}
	}
	for name, tt := range map[string]struct {
		a, b         schema.Backend
		envA, envB   settings
		wantTheSames bool
	}{
		"another bucket":          {a: schema.Backend{Type: "s3", Config: settings{"bucket": "a", "key": "k"}}, b: schema.Backend{Type: "s3", Config: settings{"bucket": "b", "key": "k"}}},
		"another region":          {a: schema.Backend{Type: "s3", Config: settings{"bucket": "a", "key": "k", "region": "x"}}, b: schema.Backend{Type: "s3", Config: settings{"bucket": "a", "key": "k", "region": "y"}}, wantTheSames: true},
		"another endpoint":        {a: schema.Backend{Type: "s3", Config: settings{"bucket": "a", "key": "k"}}, b: schema.Backend{Type: "s3", Config: settings{"bucket": "a", "key": "k"}}, envB: settings{"AWS_ENDPOINT_URL_S3": "https://minio.internal"}},
		"another database":        {a: pg("postgres://u:p@h/a"), b: pg("postgres://u:p@h/b")},
		"another server":          {a: pg("postgres://u:p@h/a"), b: pg("postgres://u:p@g/a")},
		"another password":        {a: pg("postgres://u:p@h/a"), b: pg("postgres://u:q@h:5432/a?sslmode=disable"), wantTheSames: true},
		"in words":                {a: pg("postgres://u:p@h/a"), b: pg("host=h user=u password='it''s' dbname=a"), wantTheSames: true},
		"in the environment":      {a: pg("postgres://u:p@h/a"), b: pg(""), envB: settings{"PG_CONN_STR": "postgres://v:q@H/a"}, wantTheSames: true},
		"in PostgreSQL's own":     {a: pg("postgres://u:p@h/a"), b: pg(""), envB: settings{"PGHOST": "h", "PGDATABASE": "a"}, wantTheSames: true},
		"another schema":          {a: pg("postgres://u:p@h/a"), b: schema.Backend{Type: "pg", Config: settings{"conn_str": "postgres://u:p@h/a", "schema_name": "t"}}},
		"a workspace of another":  {a: schema.Backend{Type: "cloud", Config: settings{"organization": "a", "workspaces": `{"name":"x"}`}}, b: schema.Backend{Type: "cloud", Config: settings{"organization": "a", "workspaces": `{"name":"y"}`}}},
		"what is not set at all":  {a: schema.Backend{Type: "cloud", Config: settings{"organization": "a", "token": ""}}, b: schema.Backend{Type: "cloud", Config: settings{"organization": "a"}}, wantTheSames: true},
		"another kind of backend": {a: schema.Backend{Type: "remote"}, b: schema.Backend{Type: "cloud"}},
	} {
		if got := placeOf(tt.a, tt.envA) == placeOf(tt.b, tt.envB); got != tt.wantTheSames {
			t.Errorf("%s: the same %v: %s and %s", name, got, placeOf(tt.a, tt.envA), placeOf(tt.b, tt.envB))
		}
	}
}

func TestReferencesAreTakenApart(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string][]step{
		"data.x.y":                {{name: "data"}, {name: "x"}, {name: "y"}},
		`x.y["a.b]c\"d"].z[10].w`: {{name: "x"}, {name: "y"}, {name: `a.b]c"d`, key: true}, {name: "z"}, {name: "10", key: true}, {name: "w"}},
	} {
		if diff := cmp.Diff(want, steps(ref), cmp.AllowUnexported(step{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ref, diff)
		}
	}
}

// TestWhatCountsOfWhatIsRead changes one value of the state at a time.
func TestWhatCountsOfWhatIsRead(t *testing.T) {
	t.Parallel()
	plan := func(set map[string]string) *tfjson.Plan {
		values := map[string]string{"named": "n", "other": "o", "token": "t", "endpoint": "e", "second": "s", "kept": "k"}
		for k, v := range set {
			values[k] = v
		}
		ref := func(refs ...string) *tfjson.Expression {
			return &tfjson.Expression{ExpressionData: &tfjson.ExpressionData{References: refs, ConstantValue: tfjson.UnknownConstantValue}}
		}
		data := func(address, name string, index any, values map[string]any, marks string) *tfjson.StateResource {
			return &tfjson.StateResource{Address: address, Mode: tfjson.DataResourceMode, Type: "d", Name: name, Index: index, AttributeValues: values, SensitiveValues: json.RawMessage(marks)}
		}
		return &tfjson.Plan{
			ResourceChanges: []*tfjson.ResourceChange{{Address: "x.y", Mode: tfjson.ManagedResourceMode, Type: "x", Name: "y",
				Change: &tfjson.Change{Actions: tfjson.Actions{tfjson.ActionCreate}, After: map[string]any{}}}},
			Config: &tfjson.Config{
				ProviderConfigs: map[string]*tfjson.ProviderConfig{"p": {FullName: "p", Expressions: map[string]*tfjson.Expression{
					"host": ref("data.d.login.endpoint", "data.d.login"), "token": ref("data.d.login.token", "data.d.login")}}},
				RootModule: &tfjson.ConfigModule{Resources: []*tfjson.ConfigResource{{Mode: tfjson.ManagedResourceMode, Type: "x", Name: "y",
					Provisioners: []*tfjson.ConfigProvisioner{{Type: "local-exec", Expressions: map[string]*tfjson.Expression{
						"command": ref("data.d.read.list[0].named", "data.d.read.list[0]", "data.d.read.list", "data.d.read", `data.d.many["b"].v`, `data.d.many["b"]`, "data.d.many", "r.kept.v", "r.kept"),
					}}}}}},
			},
			PriorState: &tfjson.State{Values: &tfjson.StateValues{RootModule: &tfjson.StateModule{Resources: []*tfjson.StateResource{
				data("data.d.read", "read", nil, map[string]any{"other": values["other"], "list": []any{map[string]any{"named": values["named"], "other": values["other"]}}}, "{}"),
				data(`data.d.many["a"]`, "many", "a", map[string]any{"v": values["other"]}, "{}"),
				data(`data.d.many["b"]`, "many", "b", map[string]any{"v": values["second"]}, `{"v":true}`),
				data("data.d.login", "login", nil, map[string]any{"endpoint": values["endpoint"], "token": values["token"]}, `{"token":true}`),
				{Address: "r.kept", Mode: tfjson.ManagedResourceMode, Type: "r", Name: "kept", AttributeValues: map[string]any{"v": values["kept"], "other": values["other"]}},
			}}}},
		}
	}
	digest := func(set map[string]string) string {
		p, err := testConverter().convert(plan(set))
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	first := digest(nil)
	for value, counts := range map[string]bool{
		"named":    true,  // a command is given it
		"second":   true,  // one, of one instance, that is sensitive
		"kept":     true,  // of a resource that is not changed
		"endpoint": true,  // where a provider works
		"token":    false, // as whom: another one each time
		"other":    false, // nobody names it
	} {
		if moved := digest(map[string]string{value: "another"}) != first; moved != counts {
			t.Errorf("%s: the digest moved: %v", value, moved)
		}
	}
}
