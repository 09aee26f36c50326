package app_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// onEveryEngine runs a story with each engine that can be had.
func onEveryEngine(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	for _, e := range tooltest.Engines(t) {
		t.Run(string(e.Name), func(t *testing.T) {
			t.Parallel()
			story(t, newWorld(t, e))
		})
	}
}

// onOneEngine runs a story that is the same on every engine with the first.
func onOneEngine(t *testing.T) *world {
	t.Helper()
	return newWorld(t, tooltest.Engines(t)[0])
}

const (
	devA  = "acme/dev/TerraformStack/a"
	devB  = "acme/dev/TerraformStack/b"
	devC  = "acme/dev/TerraformStack/c"
	prodA = "acme/prod/TerraformStack/a"
)

func TestDevIsAppliedAtOnceAndProdWaitsForApproval(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce,
			"acme/prod/policy.yaml", strings.ReplaceAll(pause, "{kind: organization, id: acme}", "{kind: environment, id: prod}"),
			"acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/prod/a.yaml", strings.ReplaceAll(w.stackDocument("a", "one"), `/a"`, `/prod-a"`))
		w.commit("two environments")
		w.start()

		dev := w.await(devA, stackjob.Succeeded)
		prod := w.await(prodA, stackjob.WaitingApply)
		if got := []int{w.effects("a"), w.effects("prod-a")}; !cmp.Equal(got, []int{1, 0}) {
			t.Errorf("side effects in dev and prod before the approval: %v, expected [1 0]", got)
		}
		if got := dev.Because; len(got) != 1 || got[0].Cause != stackjob.CauseNew {
			t.Errorf("dev changed because %v, expected that it is new", got)
		}
		if prod.Reason.Code != stackjob.ReasonNeedsApproval {
			t.Errorf("prod waits because of %s", prod.Reason)
		}
		w.approve(prod)
		prod = w.await(prodA, stackjob.Succeeded)
		if w.effects("prod-a") != 1 {
			t.Errorf("the approved plan was applied %d times", w.effects("prod-a"))
		}
		if len(prod.Approvals) != 1 || prod.Approvals[0].PlanDigest != prod.Plan.Digest || prod.Approvals[0].Actor != ada {
			t.Errorf("approvals on record: %+v", prod.Approvals)
		}
		var kinds []stackjob.OperationKind
		for _, op := range prod.Operations {
			kinds = append(kinds, op.Kind)
			if op.EndedAt.IsZero() || op.Result == stackjob.ResultNone {
				t.Errorf("operation %s has no end: %+v", op.Kind, op)
			}
		}
		want := []stackjob.OperationKind{stackjob.OpInit, stackjob.OpRefresh, stackjob.OpPlan, stackjob.OpApply}
		if d := cmp.Diff(want, kinds); d != "" {
			t.Errorf("operations (-want +got):\n%s", d)
		}
		if st := w.stack(prodA); st.Observed == nil || !st.Observed.Complete || len(st.Observed.Outputs) != 1 || string(st.Observed.Outputs[0].Value) != `"one"` {
			t.Errorf("recorded of prod: %+v", st.Observed)
		}
		// Nothing new: nothing happens.
		before := len(w.jobs(""))
		w.commit("nothing")
		w.quiet()
		if after := len(w.jobs("")); after != before {
			t.Errorf("an empty commit made %d jobs", after-before)
		}
	})
}

func (w *world) consumer(name, producer string) string {
	return fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: TerraformStack
metadata: {name: %s}
spec:
  module: {path: /modules/counter}
  variables:
    file: %q
    text: {valueFrom: {kind: TerraformStack, name: %s, fieldPath: status.outputs.text}}
`, name, filepath.Join(w.root, name), producer)
}

func TestConsumersFollowTheirProducers(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce,
		"acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/dev/b.yaml", w.consumer("b", "a"), "acme/dev/c.yaml", w.consumer("c", "b"))
	w.commit("a chain")
	w.start()
	c := w.await(devC, stackjob.Succeeded)
	a, b := w.newest(devA), w.newest(devB)
	if !c.StartedAt.After(b.StartedAt) || b.StartedAt.Before(a.EndedAt) {
		t.Errorf("b started at %v, a ended at %v, c started at %v", b.StartedAt, a.EndedAt, c.StartedAt)
	}

	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("another text")
	w.until("c has the new text", func() bool {
		st := w.stack(devC)
		return st.Observed != nil && len(st.Observed.Outputs) == 1 && string(st.Observed.Outputs[0].Value) == `"two"`
	})
	b = w.newest(devB)
	if len(b.Because) != 1 || b.Because[0].Cause != stackjob.CauseOutput || !strings.Contains(b.Because[0].Detail, devA) {
		t.Errorf("b changed because %v, expected an output of a", b.Because)
	}
	if a := w.newest(devA); a.Because[0].Cause != stackjob.CauseSpec {
		t.Errorf("a changed because %v, expected its spec", a.Because)
	}
	if got := []int{w.effects("a"), w.effects("b"), w.effects("c")}; !cmp.Equal(got, []int{2, 2, 2}) {
		t.Errorf("side effects: %v, expected two each", got)
	}

	// Destroy runs backwards.
	for _, n := range []string{"a", "b", "c"} {
		w.remove("acme/dev/" + n + ".yaml")
	}
	w.commit("all gone")
	ja := w.newest(devA)
	if ja.Action != stackjob.Destroy || ja.Because[0].Cause != stackjob.CauseRemoved {
		t.Fatalf("a: %s because %v, expected a destroy", ja.Action, ja.Because)
	}
	if ja = w.newest(devC); ja.Hold == nil || ja.Hold.Code != stackjob.ReasonMassDeletion {
		t.Fatalf("three of three are destroyed and nobody is asked: %+v", ja.Hold)
	}
	for _, k := range []string{devC, devB, devA} {
		w.approve(w.await(k, stackjob.WaitingApply))
		w.await(k, stackjob.Succeeded)
	}
	ja, jb, jc := w.newest(devA), w.newest(devB), w.newest(devC)
	if jb.StartedAt.Before(jc.EndedAt) || ja.StartedAt.Before(jb.EndedAt) {
		t.Errorf("destroyed in the wrong order")
	}
	if list, err := w.app.Backend().Resources(context.Background(), api.Filter{}); err != nil || len(list) != 0 {
		t.Errorf("still there: %+v %v", list, err)
	}
}

const failing = `variable "file" { type = string }
variable "text" { type = string }
resource "terraform_data" "this" {
  input = var.text
  provisioner "local-exec" { command = "test -e ${var.file}.ok && echo x >> ${var.file}" }
}
output "text" { value = terraform_data.this.output }
`

func TestAFailureBlocksOnlyDependentsAndARerunConverges(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "modules/failing/main.tf", failing, "acme/policies/at-once.yaml", atOnce,
		"acme/dev/a.yaml", strings.ReplaceAll(w.stackDocument("a", "one"), "/modules/counter", "/modules/failing"),
		"acme/dev/b.yaml", w.consumer("b", "a"), "acme/dev/c.yaml", w.stackDocument("c", "one"))
	w.commit("a fails")
	w.start()
	failed := w.await(devA, stackjob.Failed)
	w.await(devC, stackjob.Succeeded)
	w.until("b is blocked", func() bool { return w.newest(devB).Reason.Code == stackjob.ReasonBlocked })
	if r := w.newest(devB).Reason.String(); !strings.Contains(r, devA) {
		t.Errorf("b: %s, expected it to name a", r)
	}
	if failed.Reason.Code != stackjob.ReasonEngine {
		t.Errorf("a failed because of %s", failed.Reason)
	}
	if log := w.jobLog(failed.ID); !strings.Contains(log, "local-exec") {
		t.Errorf("the log does not say what failed:\n%s", log)
	}
	// The same failure is not repeated by itself.
	w.look()
	w.quiet()
	if n := len(w.jobs(devA)); n != 1 {
		t.Errorf("a has %d jobs, expected that a failure is not repeated", n)
	}

	if err := os.WriteFile(filepath.Join(w.root, "a.ok"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	rerun, err := w.app.Backend().Rerun(context.Background(), api.Answer{Job: failed.ID, Actor: ada})
	if err != nil {
		t.Fatal(err)
	}
	if rerun.RerunOf != failed.ID || rerun.Actor != ada {
		t.Errorf("rerun: %+v", rerun)
	}
	w.await(devA, stackjob.Succeeded)
	w.await(devB, stackjob.Succeeded)
	if w.effects("a") != 1 || w.effects("b") != 1 {
		t.Errorf("side effects: a %d, b %d", w.effects("a"), w.effects("b"))
	}
}

func TestAFolderWithErrorsIsLeftAloneAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce,
		"acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/prod/a.yaml", w.stackDocument("a", "one"))
	w.commit("fine")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.await(prodA, stackjob.Succeeded)

	w.write("acme/dev/a.yaml", "kind: [", "acme/prod/a.yaml", w.stackDocument("a", "two"))
	w.commit("dev is broken")
	w.until("prod is applied", func() bool { return len(w.jobs(prodA)) == 2 && w.newest(prodA).State == stackjob.Succeeded })
	if n := len(w.jobs(devA)); n != 1 {
		t.Errorf("dev has %d jobs: a parse error must change nothing", n)
	}
	s := w.look()
	if s.Errors != 1 || !strings.Contains(s.Report, "acme/dev/a.yaml:1:") {
		t.Errorf("%d errors reported:\n%s", s.Errors, s.Report)
	}
	st := w.stack(devA)
	if st.Resource.Status != "removed" && st.Resource.Status != "frozen" {
		t.Errorf("dev is shown as %s", st.Resource.Status)
	}

	w.write("acme/dev/a.yaml", w.stackDocument("a", "three"))
	w.commit("dev is mended")
	w.until("dev is applied", func() bool { return len(w.jobs(devA)) == 2 && w.newest(devA).State == stackjob.Succeeded })
}

func TestPreventDestroyKeepsAStack(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	doc := strings.Replace(w.stackDocument("a", "one"), "spec:", "spec:\n  preventDestroy: true", 1)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", doc, "acme/dev/c.yaml", w.stackDocument("c", "one"))
	w.commit("fine")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.remove("acme/dev/a.yaml")
	w.commit("gone")
	w.quiet()
	if n := len(w.jobs(devA)); n != 1 {
		t.Errorf("a has %d jobs", n)
	}
	if st := w.stack(devA); st.Resource.Status != "removed" || st.Resource.Reason.Code != stackjob.ReasonPreventDestroy {
		t.Errorf("a is shown as %s: %s", st.Resource.Status, st.Resource.Reason)
	}
}

// secretive makes a sensitive output whose clear text stands nowhere in its code,
// and says aloud what it gets from its environment.
const secretive = `output "token" {
  value     = join("-", ["canary", sha1("one"), "end"])
  sensitive = true
}
resource "terraform_data" "this" {
  provisioner "local-exec" { command = "echo the password is $JOB_PASSWORD" }
}
`

const secretConsumer = `variable "token" {
  type      = string
  sensitive = true
}
resource "terraform_data" "this" {
  input = var.token
  provisioner "local-exec" { command = "echo consumed ${nonsensitive(var.token)}" }
}
output "shown" {
  value     = terraform_data.this.output
  sensitive = true
}
`

func TestSecretsAreNowhereInClear(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		sum := sha1.Sum([]byte("one"))
		canary := "canary-" + hex.EncodeToString(sum[:]) + "-end"
		const password = "correct-horse-battery-staple"
		if err := os.WriteFile(filepath.Join(w.root, "password"), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.yaml = fmt.Sprintf("  environment:\n    JOB_PASSWORD: {file: %q}\n", filepath.Join(w.root, "password"))
		w.write("modules/secretive/main.tf", secretive, "modules/consumer/main.tf", secretConsumer, "acme/policies/at-once.yaml", atOnce,
			"acme/dev/a.yaml", "kind: TerraformStack\napiVersion: stackreeve.dev/v1\nmetadata: {name: a}\nspec: {module: {path: /modules/secretive}}\n",
			"acme/dev/b.yaml", "kind: TerraformStack\napiVersion: stackreeve.dev/v1\nmetadata: {name: b}\nspec:\n  module: {path: /modules/consumer}\n"+
				"  variables: {token: {valueFrom: {kind: TerraformStack, name: a, fieldPath: status.outputs.token}}}\n")
		w.commit("secrets")
		w.start()
		a, b := w.await(devA, stackjob.Succeeded), w.await(devB, stackjob.Succeeded)
		if log := w.jobLog(a.ID); !strings.Contains(log, "the password is ") || strings.Contains(log, password) {
			t.Errorf("a's log:\n%s", log)
		}
		if log := w.jobLog(b.ID); !strings.Contains(log, "consumed ") || strings.Contains(log, canary) {
			t.Errorf("b's log:\n%s", log)
		}
		var told bytes.Buffer
		for _, k := range []string{devA, devB} {
			if err := json.NewEncoder(&told).Encode(w.stack(k)); err != nil {
				t.Fatal(err)
			}
		}
		told.WriteString(w.log.String())
		w.stop()
		for _, secret := range []string{canary, password, base64.StdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(told.String(), secret) {
				t.Errorf("%q is in the API or the daemon's log", secret)
			}
			for _, file := range filesContaining(t, filepath.Join(w.root, "data"), secret) {
				if !strings.Contains(file, "/state/") { // the engine's own state file is as it makes it, mode 0600
					t.Errorf("%q is in clear in %s", secret, file)
				}
			}
		}
	})
}

// filesContaining lists the files below dir that contain text, and fails for files
// that others could read.
func filesContaining(t *testing.T, dir, text string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(text)) {
			out = append(out, path)
			if fi, err := d.Info(); err == nil && fi.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", path, fi.Mode())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestASecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter)
	w.commit("nothing")
	w.start()
	_, err := app.New(context.Background(), app.Options{Config: w.config(), Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second daemon: %v, expected that the folder is in use", err)
	}
}

// slow is a module whose apply ends when it is let go, or when the world is gone.
const slow = `variable "file" { type = string }
variable "text" { type = string }
resource "terraform_data" "this" {
  input = var.text
  provisioner "local-exec" { command = "echo began >> ${var.file}; until test -e ${var.file}.go || ! test -d ${dirname(var.file)}; do sleep 0.1; done" }
}
output "text" { value = terraform_data.this.output }
`

func (w *world) slowStack() string {
	return strings.ReplaceAll(w.stackDocument("a", "one"), "/modules/counter", "/modules/slow")
}

// letGo ends the slow stack's side effect.
func (w *world) letGo() {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, "a.go"), nil, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnApplyOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.write("modules/slow/main.tf", slow, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
		w.commit("slow")
		w.start()
		w.until("the side effect began", func() bool { return w.effects("a") == 1 })
		w.stop()
		w.letGo()
		w.start()
		j := w.await(devA, stackjob.Succeeded)
		if w.effects("a") != 1 || j.Attempt != 1 || len(w.jobs(devA)) != 1 {
			t.Errorf("%d side effects, %d attempts, %d jobs: expected one each", w.effects("a"), j.Attempt, len(w.jobs(devA)))
		}
		if st := w.stack(devA); st.Observed == nil || !st.Observed.Complete || len(st.Observed.Outputs) != 1 {
			t.Errorf("recorded: %+v", st.Observed)
		}
	})
}

func TestARunningApplyCanBeCancelled(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.grace = "5m" // it ends by itself
		w.write("modules/slow/main.tf", slow, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
		w.commit("slow")
		w.start()
		w.until("the side effect began", func() bool { return w.effects("a") == 1 })
		if _, err := w.app.Backend().Cancel(context.Background(), api.Answer{Job: w.newest(devA).ID, Actor: ada}); err != nil {
			t.Fatal(err)
		}
		j := w.await(devA, stackjob.Cancelled)
		if j.Reason.Code != stackjob.ReasonCancelled || !strings.Contains(j.Reason.Detail, "ada") {
			t.Errorf("reason: %s", j.Reason)
		}
		w.quiet()
		if n := len(w.jobs(devA)); n != 1 {
			t.Errorf("%d jobs: a cancelled one must not start again by itself", n)
		}
	})
}

func TestAnEngineThatHangsIsStopped(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.grace, w.yaml = "5m", "  timeouts: {apply: 3s}\n" // and then it ends by itself
	w.write("modules/slow/main.tf", slow, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
	w.commit("slow")
	w.start()
	j := w.await(devA, stackjob.Failed)
	if j.Reason.Code != stackjob.ReasonTimeout {
		t.Errorf("reason: %s", j.Reason)
	}
}

func TestAnApprovalIsForThePlanThatWasSeen(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	first := w.await(devA, stackjob.WaitingApply)
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	w.until("a newer plan waits", func() bool { j := w.newest(devA); return j.ID != first.ID && j.State == stackjob.WaitingApply })
	if j := w.job(first.ID); j.State != stackjob.Superseded {
		t.Errorf("the older job is %s", j.State)
	}
	second := w.job(w.newest(devA).ID)
	_, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: second.ID, Actor: ada, PlanDigest: first.Plan.Digest})
	if !errors.Is(err, stackjob.ErrStaleApproval) {
		t.Errorf("approving the newer job with the older plan: %v", err)
	}
	if _, err := w.app.Backend().Reject(context.Background(), api.Answer{Job: second.ID, Actor: ada, PlanDigest: second.Plan.Digest}); err != nil {
		t.Fatal(err)
	}
	if j := w.await(devA, stackjob.Rejected); w.effects("a") != 0 || j.Reason.Code != stackjob.ReasonRejected {
		t.Errorf("%d side effects, reason %s", w.effects("a"), j.Reason)
	}
}

func TestAReferenceWithoutAValueFailsBeforeTheEngineRuns(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"),
		"acme/dev/b.yaml", strings.ReplaceAll(w.consumer("b", "a"), "outputs.text", "outputs.txt"))
	w.commit("a typing error")
	w.start()
	j := w.await(devB, stackjob.Failed)
	if j.Reason.Code != stackjob.ReasonMissingValue || !strings.Contains(j.Reason.Detail, "text") || len(j.Operations) != 0 {
		t.Errorf("reason %s, operations %v", j.Reason, j.Operations)
	}
}
