package diff_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

func TestARemovedDocumentIsDestroyedAsItWasLastApplied(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	was := w.stacks[key("dev", "app")].Observed.Desired
	delete(w.files, "acme/dev/app.yaml")
	w.input.Commit = "c2"
	w.reload(t)
	res := w.compare()
	expect(t, res, "destroy dev/app [removed: acme/dev/app.yaml]")
	if d := cmp.Diff(was, res.Changes[0].Desired); d != "" {
		t.Error(d)
	}
}

func TestDestroysRunBackwards(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.files = map[string]string{}
	w.input.Brake = diff.Brake{Count: -1, Share: -1}
	w.reload(t)
	expect(t, w.compare(), "destroy dev/app [removed: acme/dev/app.yaml]", "destroy dev/data [removed: acme/dev/data.yaml] after dev/app",
		"destroy dev/net [removed: acme/dev/net.yaml] after dev/data")
}

func TestAProducerGoesOnlyAfterItsConsumerHasLetGoOfIt(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	delete(w.files, "acme/dev/net.yaml")
	w.files["acme/dev/net2.yaml"] = stack("net2", "net")
	w.files["acme/dev/data.yaml"] = stack("data", "data", "net: {valueFrom: {kind: TerraformStack, name: net2, fieldPath: status.outputs.id}}")
	w.reload(t)
	expect(t, w.compare(), "apply dev/net2 [new]", "apply dev/data [spec: net] after dev/net2", "destroy dev/net [removed: acme/dev/net.yaml] after dev/data")
}

func TestAStackThatWasNeverAppliedNeedsNoDestroy(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	w.stacks[key("dev", "net")] = stackjob.Stack{Key: key("dev", "net"), Last: &stackjob.LastJob{ID: "sj_1", State: stackjob.Failed}}
	expect(t, w.compare())
}

func TestAHalfMadeStackWithoutADocumentIsDestroyed(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.change(key("dev", "app"), func(s *stackjob.Stack) { s.Observed.Complete = false })
	delete(w.files, "acme/dev/app.yaml")
	w.reload(t)
	expect(t, w.compare(), "destroy dev/app [removed: acme/dev/app.yaml] [unfinished: sj_app]")
}

func TestStacksOfAnotherRepositoryAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.input.Repository = "other"
	w.input.Tree = schematest.LoadAny(t, map[string]string{"net/main.tf": "", "acme/dev/net.yaml": stack("net", "net", "cidr: other")})
	expect(t, w.compare(), `apply dev/net ERROR other-repository ("infra", not "other")`)
}

func TestAFolderWithErrorsChangesNothingAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	files := threeTier()
	files["acme/prod/net.yaml"] = stack("net", "net")
	files["acme/prod/old.yaml"] = stack("old", "net")
	files["acme/stage/app.yaml"] = stack("app", "app", "net: {valueFrom: {kind: TerraformStack, env: prod, name: net, fieldPath: status.outputs.id}}")
	w := setup(t, files)
	w.converge(t)
	delete(w.files, "acme/prod/old.yaml")
	w.files["acme/prod/net.yaml"] = stack("net", "net", "cidr: moved")
	w.files["acme/prod/broken.yaml"] = "kind: [\n"
	w.files["acme/stage/app.yaml"] = stack("app", "app", "size: 2", "net: {valueFrom: {kind: TerraformStack, env: prod, name: net, fieldPath: status.outputs.id}}")
	w.reload(t)
	expect(t, w.compare(), "apply stage/app [spec: size]", "frozen acme/prod yaml-syntax")
}

func TestAProducerStaysWhileAFrozenFolderStillReadsIt(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"acme/dev/net.yaml":   stack("net", "net"),
		"acme/stage/app.yaml": stack("app", "app", "net: {valueFrom: {kind: TerraformStack, env: dev, name: net, fieldPath: status.outputs.id}}"),
	}
	w := setup(t, files)
	w.converge(t)
	delete(w.files, "acme/dev/net.yaml")
	w.reload(t) // the reference of stage/app leads nowhere now
	expect(t, w.compare(), "destroy dev/net [removed: acme/dev/net.yaml] REFUSED still-needed (acme/stage/TerraformStack/app)", "frozen acme/stage dangling-reference")
}

func TestPreventDestroyRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{
		"acme/dev/net.yaml":          schematest.Stack("net", "/net", "preventDestroy: true"),
		"acme/dev/app.yaml":          stack("app", "app"),
		"acme/prod/environment.yaml": "apiVersion: stackreeve.dev/v1\nkind: Environment\nmetadata: {name: prod}\nspec: {protected: true}\n",
		"acme/prod/net.yaml":         stack("net", "net"),
	})
	w.converge(t)
	// As it would be recorded before the environment was protected.
	w.change(key("prod", "net"), func(s *stackjob.Stack) { s.Observed.Desired.PreventDestroy = false })
	delete(w.files, "acme/dev/net.yaml")
	delete(w.files, "acme/prod/net.yaml")
	w.reload(t)
	expect(t, w.compare(),
		"destroy dev/net [removed: acme/dev/net.yaml] REFUSED prevent-destroy (put the document back, take prevent-destroy (or its environment's protection) away, let that be applied, then remove it)",
		"destroy prod/net [removed: acme/prod/net.yaml] REFUSED prevent-destroy (the environment acme/prod is protected)")
}

func TestWhatARefusedDestroyNeedsStaysToo(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.change(key("dev", "app"), func(s *stackjob.Stack) { s.Observed.Desired.PreventDestroy = true })
	w.files = map[string]string{}
	w.reload(t)
	var refused []string
	for _, c := range w.compare().Changes {
		if c.Refused != nil {
			refused = append(refused, c.Key.Name+" "+string(c.Refused.Code)+" "+c.Refused.Detail)
		}
	}
	by := "acme/dev/TerraformStack/app (prevent-destroy)"
	slices.Sort(refused)
	want := []string{"app prevent-destroy put the document back, take prevent-destroy (or its environment's protection) away, let that be applied, then remove it", "data blocked-by " + by, "net blocked-by " + by}
	if d := cmp.Diff(want, refused); d != "" {
		t.Error(d)
	}
}
