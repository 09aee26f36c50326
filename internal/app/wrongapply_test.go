package app_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestAPlanWhoseProducerMovedIsMadeAgainAndAskedAgain(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	onlyB := strings.ReplaceAll(strings.ReplaceAll(pause, "{kind: organization, id: acme}", "{kind: TerraformStack, id: b}"), "name: pause", "name: b")
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/policies/b.yaml", onlyB,
		"acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/dev/b.yaml", w.consumer("b", "a"))
	w.commit("a producer and a consumer")
	w.start()
	w.await(devA, stackjob.Succeeded)
	seen := w.await(devB, stackjob.WaitingApply)

	// The output moves while the plan waits.
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("another text")
	w.until("a is applied", func() bool { return w.effects("a") == 2 && w.newest(devA).State == stackjob.Succeeded })
	if _, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: seen.ID, Actor: ada, PlanDigest: seen.Plan.Digest}); err != nil {
		t.Logf("the approval of the older plan: %v", err) // quicker than the answer: it is planned again already
	}
	w.until("b waits with another plan", func() bool {
		j := w.job(w.newest(devB).ID)
		return j.State == stackjob.WaitingApply && j.Plan != nil && j.Plan.Digest != seen.Plan.Digest
	})
	if w.effects("b") != 0 {
		t.Errorf("%d side effects of a plan that nobody approved", w.effects("b"))
	}
	w.approve(w.job(w.newest(devB).ID))
	w.await(devB, stackjob.Succeeded)
	if st := w.stack(devB); w.effects("b") != 1 || string(st.Observed.Outputs[0].Value) != `"two"` {
		t.Errorf("%d side effects, outputs %+v", w.effects("b"), st.Observed.Outputs)
	}
}

func TestAPlanFileThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
		w.commit("one")
		w.start()
		j := w.await(devA, stackjob.WaitingApply)
		file := filepath.Join(w.root, "data", "jobs", string(j.ID), "1-plan", "plan.sealed")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.approve(j)
		w.until("it failed", func() bool { return w.job(j.ID).State.IsFinal() })
		j = w.job(j.ID)
		if j.State != stackjob.Failed || j.Reason.Code != stackjob.ReasonPlanChanged {
			t.Errorf("the job %s (%s)", j.State, j.Reason)
		}
		if w.effects("a") != 0 {
			t.Errorf("%d side effects", w.effects("a"))
		}
		w.quiet()
		if n := len(w.jobs(devA)); n != 1 {
			t.Errorf("%d jobs: somebody changed a plan, and a person must look", n)
		}
		if st := w.stack(devA); st.Observed != nil {
			t.Errorf("nothing was applied, and on record is %+v", st.Observed)
		}
		w.rerun(j)
		w.approve(w.await(devA, stackjob.WaitingApply))
		w.await(devA, stackjob.Succeeded)
		if w.effects("a") != 1 {
			t.Errorf("%d side effects", w.effects("a"))
		}
	})
}

// byHand changes a stack's state behind the daemon's back, as a person with the
// engine does: it taints a resource.
func (w *world) byHand(key string) {
	w.t.Helper()
	k := w.key(key)
	cmd := exec.Command(w.engine.Path, "taint", "-state="+filepath.Join(w.root, "data", "stacks", k.Org, k.Env, k.Kind, k.Name, "state", "terraform.tfstate"), "terraform_data.this")
	cmd.Dir = w.t.TempDir()
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE=")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("taint: %v\n%s", err, out)
	}
}

func TestAPlanWhoseStateMovedIsRefusedAndMadeAgain(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
		w.commit("one")
		w.start()
		w.approve(w.await(devA, stackjob.WaitingApply))
		w.await(devA, stackjob.Succeeded)
		w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
		w.commit("two")
		stale := w.await(devA, stackjob.WaitingApply)
		w.byHand(devA)
		w.approve(stale)
		w.until("the plan is refused", func() bool { return w.job(stale.ID).State.IsFinal() })
		if j := w.job(stale.ID); j.State != stackjob.Failed || j.Reason.Code != stackjob.ReasonStalePlan {
			t.Errorf("the job %s (%s)", j.State, j.Reason)
		}
		if w.effects("a") != 1 {
			t.Errorf("%d side effects", w.effects("a"))
		}
		w.until("a fresh plan waits", func() bool { j := w.newest(devA); return j.ID != stale.ID && j.State == stackjob.WaitingApply })
		w.approve(w.job(w.newest(devA).ID))
		w.await(devA, stackjob.Succeeded)
		if st := w.stack(devA); w.effects("a") != 2 || string(st.Observed.Outputs[0].Value) != `"two"` || !st.Observed.Complete {
			t.Errorf("%d side effects, on record is %+v", w.effects("a"), st.Observed)
		}
	})
}

func TestOnlyTheNewestOfManyCommitsRunsNext(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	module := strings.ReplaceAll(slow, "echo began", "echo ${var.text}")
	doc := func(text string) string { return strings.ReplaceAll(w.slowStack(), `text: "one"`, "text: "+text) }
	w.write("modules/slow/main.tf", strings.ReplaceAll(module, "input = var.text", "input = var.text\n  triggers_replace = var.text"),
		"acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", doc("one"))
	w.commit("one")
	w.start()
	w.until("the side effect began", func() bool { return w.effects("a") == 1 })
	first := w.newest(devA)
	for _, text := range []string{"two", "three", "four"} {
		w.write("acme/dev/a.yaml", doc(text))
		w.commit(text)
	}
	if j := w.job(first.ID); j.State != stackjob.Applying {
		t.Errorf("the first job is %s while its engine runs", j.State)
	}
	w.letGo()
	w.until("the newest is applied", func() bool { j := w.newest(devA); return j.ID != first.ID && j.State == stackjob.Succeeded })
	w.quiet()
	b, err := os.ReadFile(filepath.Join(w.root, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(b)); strings.Join(got, " ") != "one four" {
		t.Errorf("applied were %v, expected one and four", got)
	}
	states := map[stackjob.State]int{}
	for _, j := range w.jobs(devA) {
		states[j.State]++
		if j.State == stackjob.Superseded && len(j.Operations) > 0 {
			t.Errorf("the superseded job %s ran %v", j.ID, j.Operations)
		}
	}
	if states[stackjob.Superseded] != 2 || len(states) != 2 {
		t.Errorf("the jobs ended as %v", states)
	}
}

// crowd is a module that notes when its side effect begins and ends. The first waits for
// company.
const crowd = `variable "file" { type = string }
variable "name" { type = string }
resource "terraform_data" "this" {
  provisioner "local-exec" { command = "echo + ${var.name} >> ${var.file}; until [ $(wc -l < ${var.file}) -gt 1 ]; do sleep 0.05; done; sleep 0.3; echo - ${var.name} >> ${var.file}" }
}
`

func TestNoMoreEnginesRunThanTheConfigurationAllows(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/crowd/main.tf", crowd, "acme/policies/at-once.yaml", atOnce)
	names := strings.Split("abcdefghijkl", "")
	file := filepath.Join(w.root, "crowd")
	for _, n := range names {
		w.write("acme/dev/"+n+".yaml", "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: "+n+"}\nspec:\n  module: {path: /modules/crowd}\n  variables: {file: "+file+", name: "+n+"}\n")
	}
	w.commit("twelve")
	w.start()
	for _, n := range names {
		w.await("acme/dev/TerraformStack/"+n, stackjob.Succeeded)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	now, most := map[string]bool{}, 0
	for line := range strings.Lines(string(b)) {
		sign, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if now[name] == (sign == "+") {
			t.Errorf("%q: the stack was applied twice at once, or not at all", line)
		}
		if sign == "+" {
			now[name] = true
		} else {
			delete(now, name)
		}
		most = max(most, len(now))
	}
	if n := strings.Count(string(b), "+"); n != len(names) || most > 4 || most < 2 {
		t.Errorf("%d side effects, at most %d at once: expected 12, and 2 to 4", n, most)
	}
	// What the records say, plan phases included.
	type span struct{ from, to time.Time }
	var spans []span
	for _, j := range w.jobs("") {
		for _, op := range w.job(j.ID).Operations {
			if op.Kind != stackjob.OpRefresh { // the plan's own process does it
				spans = append(spans, span{op.StartedAt, op.EndedAt})
			}
		}
	}
	for _, s := range spans {
		n := 0
		for _, o := range spans {
			if !o.from.After(s.from) && o.to.After(s.from) {
				n++
			}
		}
		if n > 4 {
			t.Errorf("%d operations ran at %s", n, s.from)
		}
	}
}
