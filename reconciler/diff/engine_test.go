package diff_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// engineStack is a stack with an engine and, perhaps, how its state moves.
func engineStack(lines ...string) map[string]string {
	return map[string]string{"acme/dev/a.yaml": schematest.Stack("a", "/net", lines...)}
}

func TestAChangeOfEngineIsRefusedUnlessTheDocumentSaysHowItsStateMoves(t *testing.T) {
	t.Parallel()
	w := setup(t, engineStack("provisioner: terraform"))
	w.converge(t)
	w.files = setup(t, engineStack("provisioner: tofu")).files
	w.reload(t)
	expect(t, w.compare(), `apply dev/a [provisioner: terraform → tofu] REFUSED engine-move (terraform → tofu; `+
		`to go on with the same state, say so with "engineMove: state-from-terraform" in its spec; or name terraform again)`)

	// A move that is left over from another change is no leave for this one.
	w.files = setup(t, engineStack("provisioner: tofu", "engineMove: state-from-tofu")).files
	w.reload(t)
	expect(t, w.compare(), `apply dev/a [provisioner: terraform → tofu] REFUSED engine-move (terraform → tofu; `+
		`to go on with the same state, say so with "engineMove: state-from-terraform" in its spec; or name terraform again; it says state-from-tofu)`)

	w.files = setup(t, engineStack("provisioner: tofu", "engineMove: state-from-terraform")).files
	w.reload(t)
	expect(t, w.compare(), "apply dev/a [provisioner: terraform → tofu]")
	w.converge(t)
	if got := w.stacks[key("dev", "a")].Observed.Desired.Provisioner; got != schema.OpenTofu {
		t.Errorf("it was made with %s", got)
	}

	// What waits for it waits, and says for what.
	w.files = setup(t, engineStack("provisioner: terraform", "variables: {x: y}")).files
	w.files["acme/dev/b.yaml"] = stack("b", "app", "id: {valueFrom: {kind: TerraformStack, name: a, fieldPath: status.outputs.id}}")
	w.reload(t)
	got := w.compare().Changes
	if len(got) != 2 || got[0].Refused == nil || got[1].Refused == nil || got[1].Refused.Code != stackjob.ReasonBlocked {
		t.Errorf("%v", lines(w.compare()))
	}
}

func TestAStackThatWasDestroyedBeginsWithAnyEngine(t *testing.T) {
	t.Parallel()
	w := setup(t, engineStack("provisioner: terraform"))
	w.converge(t)
	delete(w.files, "acme/dev/a.yaml")
	w.reload(t)
	w.converge(t)
	w.files = setup(t, engineStack("provisioner: tofu")).files
	w.reload(t)
	expect(t, w.compare(), "apply dev/a [new]")
}

// netKind is a kind with a module for Terraform and OpenTofu and one for Pulumi.
func netKind(labels string) map[string]string {
	return map[string]string{
		"pulumi/Pulumi.yaml": "name: x\nruntime: yaml\n",
		"acme/net.yaml": "apiVersion: stackreeve.dev/v1\nkind: DeploymentComponent\nmetadata: {name: net}\nspec:\n  apiVersion: example.dev/v1\n" +
			"  kind: Net\n  modules: {tofu: /net, pulumi: /pulumi}\n",
		"acme/dev/a.yaml": "apiVersion: example.dev/v1\nkind: Net\nmetadata: {name: a, annotations: {" + labels + "}}\nspec: {}\n",
	}
}

func TestNoStateIsMovedBetweenPulumiAndTheOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ was, is, move string }{
		{"tofu", "pulumi", "imported-from-tofu"},
		{"terraform", "pulumi", "imported-from-terraform"},
		{"pulumi", "terraform", "imported-from-pulumi"},
	} {
		t.Run(tt.was+" to "+tt.is, func(t *testing.T) {
			t.Parallel()
			w := setup(t, netKind("planton.dev/provisioner: "+tt.was))
			w.converge(t)
			for _, say := range []string{"", "state-from-" + tt.was} {
				if tt.was == "pulumi" && say != "" {
					continue // there is no such word
				}
				annotations := "planton.dev/provisioner: " + tt.is
				if say != "" {
					annotations += ", stackreeve.dev/engine-move: " + say
				}
				w.files = setup(t, netKind(annotations)).files
				w.reload(t)
				got := w.compare().Changes
				if len(got) != 1 || got[0].Refused == nil || got[0].Starts() {
					t.Fatalf("%q: %v", say, lines(w.compare()))
				}
				for _, part := range []string{tt.was + " → " + tt.is, "no state can be moved between them", "destroyed first", "import what there is by hand",
					`the annotation "stackreeve.dev/engine-move: ` + tt.move + `"`} {
					if got[0].Refused.Code != stackjob.ReasonEngineMove || !strings.Contains(got[0].Refused.Detail, part) {
						t.Errorf("%q is not in: %s", part, got[0].Refused)
					}
				}
			}
			w.files = setup(t, netKind("planton.dev/provisioner: "+tt.is+", planton.dev/engine-move: "+tt.move)).files
			w.reload(t)
			got := w.compare().Changes
			if len(got) != 1 || !got[0].Starts() || got[0].Desired.Provisioner != schema.Provisioner(tt.is) {
				t.Errorf("%v", lines(w.compare()))
			}
		})
	}
}

func TestAStackWhoseEngineNobodyNamesStaysWithTheOneThatMadeIt(t *testing.T) {
	t.Parallel()
	w := setup(t, engineStack("engineVersion: {terraform: ~> 1.11, tofu: ~> 1.9}"))
	w.input.DefaultProvisioner = schema.Terraform
	w.converge(t)
	w.input.DefaultProvisioner = schema.OpenTofu // another default, or one that was installed since
	expect(t, w.compare())
	w.files = setup(t, engineStack("engineVersion: {terraform: ~> 1.11, tofu: ~> 1.9}", "variables: {x: y}")).files
	w.reload(t)
	got := w.compare().Changes
	if len(got) != 1 || got[0].Desired.Provisioner != schema.Terraform || got[0].Desired.EngineVersion.Constraint != "~> 1.11" {
		t.Errorf("%v", got)
	}
}

func TestAnotherEngineVersionChangesNothingByItself(t *testing.T) {
	t.Parallel()
	w := setup(t, engineStack("engineVersion: ~> 1.9"))
	w.converge(t)
	w.files = setup(t, engineStack("engineVersion: ~> 1.12")).files
	w.reload(t)
	expect(t, w.compare())

	// The next job has it.
	w.files = setup(t, engineStack("engineVersion: ~> 1.12", "variables: {x: y}")).files
	w.reload(t)
	got := w.compare().Changes
	if len(got) != 1 || got[0].Desired.EngineVersion.Constraint != "~> 1.12" || got[0].Desired.EngineVersion.Pos.String() != "acme/dev/a.yaml:6:18" {
		t.Fatalf("%v", got)
	}

	// A job for which no program fitted is settled until another constraint asks.
	last := stackjob.LastJob{ID: "sj_2", State: stackjob.Failed, Action: stackjob.Apply, DesiredDigest: got[0].Desired.Digest(), EndedAt: t0,
		EngineVersion: "~> 1.12", Reason: stackjob.Reason{Code: stackjob.ReasonEngineVersion}}
	w.change(key("dev", "a"), func(s *stackjob.Stack) { s.Last = &last })
	if got = w.compare().Changes; len(got) != 1 || got[0].Settled == nil {
		t.Errorf("%v", got)
	}
	w.files = setup(t, engineStack("engineVersion: ~> 1.11", "variables: {x: y}")).files
	w.reload(t)
	if got = w.compare().Changes; len(got) != 1 || !got[0].Starts() {
		t.Errorf("%v", got)
	}
	last.Reason.Code = stackjob.ReasonEngine // the engine ran: its answer is not about the constraint
	if got = w.compare().Changes; len(got) != 1 || got[0].Settled == nil {
		t.Errorf("%v", got)
	}
}
