package diff_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func hash(b []byte) string { return "h(" + string(b) + ")" }

// world is a repository and what is recorded.
type world struct {
	files  map[string]string
	stacks map[schema.ResourceKey]stackjob.Stack
	input  diff.Input
}

// setup makes a world: files maps paths to documents; the modules net and app exist.
func setup(t testing.TB, files map[string]string) *world {
	t.Helper()
	w := &world{files: map[string]string{"net/main.tf": "", "app/main.tf": "", "data/main.tf": ""}, stacks: map[schema.ResourceKey]stackjob.Stack{}}
	maps.Copy(w.files, files)
	w.input = diff.Input{Repository: "infra", Commit: "c1", DefaultProvisioner: schema.OpenTofu, Brake: diff.DefaultBrake, Hash: hash, Seal: func([]byte) ([]byte, error) { return []byte("sealed"), nil }}
	w.reload(t)
	return w
}

func (w *world) reload(t testing.TB) {
	t.Helper()
	w.input.Tree = schematest.LoadAny(t, w.files)
	w.input.Revisions = map[schema.ModuleSource]string{}
	for _, r := range w.input.Tree.Resources() {
		w.input.Revisions[r.Module] = "sha1:" + strings.Repeat("a", 40)
	}
}

func (w *world) compare() diff.Result {
	w.input.Stacks = w.stacks
	return diff.Compare(w.input)
}

// apply records changes as applied, with an output "id" for each.
func (w *world) apply(changes ...diff.Change) {
	for _, c := range changes {
		if c.Action == stackjob.Destroy {
			delete(w.stacks, c.Key)
			continue
		}
		o := stackjob.Observed{Key: c.Key, Desired: c.Desired, Complete: true, JobID: "sj_" + stackjob.JobID(c.Key.Name), AppliedAt: t0, References: map[string]string{},
			Outputs: []stackjob.Output{{Name: "id", Value: []byte(`"` + c.Key.Name + `-1"`), Hash: "k:" + c.Key.Name + "-1"}}}
		r, ok := w.input.Tree.Resource(c.Key)
		if ok {
			for _, ref := range r.References {
				if ref.Kind != schema.ValueFrom {
					continue
				}
				v, missing := diff.ResolveValue(ref, w.stacks[ref.To], w.input.Tree)
				if missing != nil {
					continue
				}
				o.References[diff.ReferenceName(ref)] = v.Hash
				if v.Hash == "" {
					o.References[diff.ReferenceName(ref)] = hash(v.JSON)
				}
			}
		}
		w.stacks[c.Key] = stackjob.Stack{Key: c.Key, Observed: &o, Last: &stackjob.LastJob{ID: o.JobID, State: stackjob.Succeeded, Action: c.Action,
			DesiredDigest: c.Desired.Digest(), EndedAt: t0}}
	}
}

// converge applies until nothing is left to do.
func (w *world) converge(t testing.TB) {
	t.Helper()
	for range 10 {
		res := w.compare()
		if len(res.Changes) == 0 {
			return
		}
		w.apply(res.Changes...)
	}
	t.Fatalf("does not converge: %v", lines(w.compare()))
}

// change alters what is recorded of a stack.
func (w *world) change(k schema.ResourceKey, alter func(*stackjob.Stack)) {
	st := w.stacks[k]
	if st.Observed != nil {
		o := *st.Observed
		st.Observed = &o
	}
	if st.Last != nil {
		l := *st.Last
		st.Last = &l
	}
	alter(&st)
	w.stacks[k] = st
}

// lines is a result as text, one change a line.
func lines(res diff.Result) []string {
	var out []string
	for _, c := range res.Changes {
		s := fmt.Sprintf("%s %s/%s", c.Action, c.Key.Env, c.Key.Name)
		for _, b := range c.Because {
			s += " [" + string(b.Cause)
			if b.Detail != "" {
				s += ": " + b.Detail
			}
			s += "]"
		}
		if len(c.After) > 0 {
			s += " after"
			for _, a := range c.After {
				s += " " + a.Env + "/" + a.Name
			}
		}
		for _, r := range []struct {
			word string
			why  *stackjob.Reason
		}{{"HOLD", c.Hold}, {"REFUSED", c.Refused}, {"ERROR", c.Error}} {
			if r.why != nil {
				s += fmt.Sprintf(" %s %s (%s)", r.word, r.why.Code, r.why.Detail)
			}
		}
		if c.Settled != nil {
			s += fmt.Sprintf(" SETTLED %s %s", c.Settled.State, c.Settled.ID)
		}
		out = append(out, s)
	}
	for _, f := range res.Frozen {
		out = append(out, "frozen "+f.Org+"/"+f.Env+" "+string(f.Diagnostic.Code))
	}
	for _, u := range res.Unverified {
		out = append(out, "unverified "+u.Key.Env+"/"+u.Key.Name+" "+string(u.Reason.Code))
	}
	return out
}

func expect(t testing.TB, res diff.Result, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, lines(res)); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
}

func stack(name, module string, variables ...string) string {
	return schematest.Stack(name, "/"+module, "variables: {"+strings.Join(variables, ", ")+"}")
}

func key(env, name string) schema.ResourceKey {
	return schema.ResourceKey{Org: "acme", Env: env, Kind: "TerraformStack", Name: name}
}

// threeTier is net ◀ data ◀ app in dev.
func threeTier() map[string]string {
	return map[string]string{
		"acme/dev/net.yaml":  stack("net", "net", "cidr: 10.0.0.0/16"),
		"acme/dev/data.yaml": stack("data", "data", "net: {valueFrom: {kind: TerraformStack, name: net, fieldPath: status.outputs.id}}"),
		"acme/dev/app.yaml":  stack("app", "app", "db: {valueFrom: {kind: TerraformStack, name: data, fieldPath: status.outputs.id}}"),
	}
}

func TestNewResourcesStandBehindTheirProducers(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	expect(t, w.compare(), "apply dev/net [new]", "apply dev/data [new] after dev/net", "apply dev/app [new] after dev/data")
}

func TestAfterApplyingEverythingNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	res := w.compare()
	if len(res.Changes) != 0 || res.Unchanged != 3 {
		t.Errorf("unchanged %d, changes %v", res.Unchanged, lines(res))
	}
}

func TestDesiredHoldsAllThatAJobRuns(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{
		"acme/dev/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\nmetadata: {name: dev}\nspec: {provisioner: terraform}\n",
		"acme/dev/net.yaml":         stack("Main Net", "net", "cidr: 10.0.0.0/16"),
	})
	res := w.compare()
	if len(res.Changes) != 1 {
		t.Fatalf("changes %v", lines(res))
	}
	r, _ := w.input.Tree.Resource(key("dev", "main-net"))
	want := stackjob.Desired{
		Key: r.Key, Name: "Main Net", Repository: "infra", Commit: "c1", File: "acme/dev/net.yaml", Line: 1,
		Inputs: []byte(`{"cidr":"10.0.0.0/16"}`), Spec: r.Spec, Module: schema.ModuleSource{Path: "net"},
		ModuleRevision: "sha1:" + strings.Repeat("a", 40), Provisioner: schema.Terraform, Backend: schema.Backend{Type: "local"},
	}
	if d := cmp.Diff(want, res.Changes[0].Desired); d != "" {
		t.Error(d)
	}
}

func TestTheEngineComesFromTheNearestPlaceThatNamesOne(t *testing.T) {
	t.Parallel()
	org := "apiVersion: stackreeve.dev/v1\nkind: Organization\nmetadata: {name: acme}\nspec: {provisioner: terraform}\n"
	env := "apiVersion: stackreeve.dev/v1\nkind: Environment\nmetadata: {name: dev}\nspec: {provisioner: tofu}\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  schema.Provisioner
	}{
		{"the resource", map[string]string{"acme/organization.yaml": org, "acme/dev/environment.yaml": env,
			"acme/dev/a.yaml": schematest.Stack("a", "/net", "provisioner: terraform")}, schema.Terraform},
		{"the environment", map[string]string{"acme/organization.yaml": org, "acme/dev/environment.yaml": env, "acme/dev/a.yaml": stack("a", "net")}, schema.OpenTofu},
		{"the organization", map[string]string{"acme/organization.yaml": org, "acme/dev/a.yaml": stack("a", "net")}, schema.Terraform},
		{"the daemon", map[string]string{"acme/dev/a.yaml": stack("a", "net")}, schema.OpenTofu},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, tt.files)
			r, ok := w.input.Tree.Resource(key("dev", "a"))
			if !ok {
				t.Fatalf("no resource: %v", w.input.Tree.Diagnostics())
			}
			if d, why := diff.Desire(w.input, r); why != nil || d.Provisioner != tt.want {
				t.Errorf("provisioner %q, want %q; reason %v", d.Provisioner, tt.want, why)
			}
		})
	}
}

func TestEveryCauseIsNamedInOrder(t *testing.T) {
	t.Parallel()
	files := threeTier()
	files["acme/dev/data.yaml"] += "  provisioner: tofu\n  engineMove: state-from-terraform\n"
	w := setup(t, files)
	w.converge(t)
	w.change(key("dev", "data"), func(s *stackjob.Stack) {
		s.Observed.Desired.Inputs = []byte(`{"net":{"valueFrom":{"env":"dev","fieldPath":"status.outputs.id","kind":"TerraformStack","name":"net"}},"size":3}`)
		s.Observed.Desired.ModuleRevision = "sha1:0123456789"
		s.Observed.Desired.Provisioner = schema.Terraform
		s.Observed.Desired.Backend = schema.Backend{Type: "s3", Config: map[string]string{"bucket": "b"}}
		s.Observed.Complete = false
	})
	w.change(key("dev", "net"), func(s *stackjob.Stack) { s.Observed.Outputs[0].Hash = "k:net-2" })
	expect(t, w.compare(), "apply dev/data [spec: size] [module: 0123456 → aaaaaaa] [provisioner: terraform → tofu] [backend: s3 → local]"+
		" [output: acme/dev/TerraformStack/net status.outputs.id] [unfinished: sj_data]")
}

func TestWhatMovedIsNamedButNotItsValue(t *testing.T) {
	t.Parallel()
	const canary = "hunter2-canary"
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net", "password: "+canary, "list: [1, 2]", "tags: {a: 1, b: 2}", "same: x")})
	w.converge(t)
	w.files["acme/dev/net.yaml"] = stack("net", "net", "password: "+canary+"2", "list: [1, 3]", "tags: {a: 1, c: 3}", "same: x")
	w.reload(t)
	res := w.compare()
	expect(t, res, "apply dev/net [spec: list[1], password, tags.b, tags.c]")
	if strings.Contains(fmt.Sprint(res.Changes[0].Because), canary) {
		t.Error("a cause shows a value")
	}
}

func TestManyMovedInputsAreCounted(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net", "a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1")})
	w.converge(t)
	w.files["acme/dev/net.yaml"] = stack("net", "net", "a: 2, b: 2, c: 2, d: 2, e: 2, f: 2, g: 2")
	w.reload(t)
	expect(t, w.compare(), "apply dev/net [spec: a, b, c, d, e and 2 more]")
}

func TestAMoveOfTheFileOrOfTheDisplayNameChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net")})
	w.converge(t)
	delete(w.files, "acme/dev/net.yaml")
	w.files["acme/dev/sub/other.yaml"] = "\n# moved\n" + stack("Net", "net")
	w.input.Commit = "c2"
	w.reload(t)
	expect(t, w.compare())
}

func TestAGuardThatIsSetLaterIsRecorded(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net")})
	w.converge(t)
	w.files["acme/dev/net.yaml"] = schematest.Stack("net", "/net", "preventDestroy: true", "variables: {}")
	w.reload(t)
	expect(t, w.compare(), "apply dev/net [spec: prevent-destroy]")
}
