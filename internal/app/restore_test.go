package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// stateCanary is a secret that is in the states of guarded.
const stateCanary = "canary-of-the-state-4711"

// guarded is the counter with a secret beside it.
const guarded = counter + `resource "terraform_data" "secret" { input = sensitive("` + stateCanary + `") }
output "secret" {
  value     = terraform_data.secret.output
  sensitive = true
}
`

// stateOf reads the state of a stack of dev.
func (w *world) stateOf(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(w.layout().State(w.key("acme/dev/TerraformStack/" + name)))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) layout() reconciler.Layout {
	return reconciler.Layout{Root: filepath.Join(w.root, "data")}
}

func (w *world) backupOf(key, name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.layout().StateBackups(w.key(key)), name))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) states(key string) api.States {
	w.t.Helper()
	s, err := w.app.Backend().States(context.Background(), w.key(key))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) restore(key, backup string) (stackjob.Job, error) {
	return w.app.Backend().RestoreState(context.Background(), api.StateRestore{Key: w.key(key), Actor: ada, Backup: backup, Reason: "the second was a mistake"})
}

// notRestored checks that a restore was refused with a code and words, and changed nothing.
func (w *world) notRestored(key, backup string, code api.ErrorCode, words ...string) {
	w.t.Helper()
	before := len(w.jobs(key))
	_, err := w.restore(key, backup)
	var p *api.Problem
	switch {
	case err == nil:
		w.t.Fatalf("%s was restored from %s", key, backup)
	case errors.As(err, &p) && p.Code != code, code == api.CodeNotFound && !errors.Is(err, store.ErrNotFound), code == api.CodeStackBusy && !errors.Is(err, store.ErrStackBusy):
		w.t.Errorf("refused with %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.t.Errorf("the refusal does not say %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), stateCanary) {
		w.t.Error("the refusal tells a secret of the state")
	}
	if n := len(w.jobs(key)); n != before {
		w.t.Errorf("a refusal made %d jobs", n-before)
	}
}

// twice applies a stack of dev that nobody has to approve, twice.
func (w *world) twice() {
	w.t.Helper()
	w.write("modules/counter/main.tf", guarded, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	w.until("it is applied again", func() bool { jobs := w.jobs(devA); return len(jobs) == 2 && jobs[0].State == stackjob.Succeeded })
	w.quiet()
}

// TestAStateIsRestoredAndWhatFollowsWaitsForAPerson restores the state before the second
// apply, under a policy that asks nobody: the plan shows the difference and waits.
func TestAStateIsRestoredAndWhatFollowsWaitsForAPerson(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		w.twice()
		jobs := w.jobs(devA)
		list := w.states(devA)
		if list.State == nil || list.State.Resources != 2 || len(list.Backups) != 1 {
			t.Fatalf("states: %+v", list)
		}
		b := list.Backups[0]
		if b.Job != jobs[0].ID || b.Action != stackjob.Apply || b.Resources != 2 || b.Lineage != list.State.Lineage || b.Serial >= list.State.Serial || b.Current || b.At.IsZero() {
			t.Errorf("the backup %+v; the state %+v; the second apply was %s", b, list.State, jobs[0].ID)
		}
		was := w.stateOf("a")
		if !bytes.Contains(was, []byte(stateCanary)) {
			t.Fatal("the canary is not in the state: this test could not fail")
		}

		done, err := w.restore(devA, strings.TrimSuffix(b.Name, ".tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		if done.State != stackjob.Succeeded || done.Actor != ada || done.Restore == nil || done.Restore.Replaced == nil || done.Restore.Why != "the second was a mistake" ||
			done.Restore.State.Serial != b.Serial || done.Restore.Replaced.Serial != list.State.Serial {
			t.Fatalf("the restore: %+v %+v", done, done.Restore)
		}
		if !bytes.Equal(w.stateOf("a"), w.backupOf(devA, b.Name)) {
			t.Error("the state is not the backup")
		}
		if !bytes.Equal(w.backupOf(devA, done.Restore.Replaced.Backup), was) {
			t.Error("what was there is not kept")
		}

		waits := w.await(devA, stackjob.WaitingApply)
		if waits.Reason.Code != stackjob.ReasonStateRestored || !strings.Contains(waits.Reason.Detail, b.Name+" by ada") || waits.Because[0].Cause != stackjob.CauseRestored {
			t.Errorf("the plan waits because %s; made because %v", waits.Reason, waits.Because)
		}
		// The state says "one" and the document "two": the resource would be replaced again.
		if waits.Plan == nil || waits.Plan.Counts.Replace != 1 {
			t.Errorf("the plan: %+v", waits.Plan)
		}
		explained := w.stack(devA)
		text := strings.Join(explained.Lines, "\n")
		for _, word := range []string{"restored by ada in job " + string(done.ID), b.Name, `"the second was a mistake"`, "kept as " + done.Restore.Replaced.Backup, "applied by job " + string(jobs[0].ID)} {
			if !strings.Contains(text, word) {
				t.Errorf("explain does not say %q:\n%s", word, text)
			}
		}
		if o := explained.Observed; o == nil || o.Complete || o.Restored == nil || o.JobID != done.ID {
			t.Errorf("recorded: %+v", o)
		}

		// A restart forgets nothing of it, and a newer commit does not lead round it.
		w.stop()
		w.start()
		w.write("acme/dev/a.yaml", w.stackDocument("a", "three"))
		w.commit("three")
		w.until("the newer plan waits", func() bool { j := w.newest(devA); return j.ID != waits.ID && j.State == stackjob.WaitingApply })
		newer := w.await(devA, stackjob.WaitingApply)
		if newer.Reason.Code != stackjob.ReasonStateRestored {
			t.Errorf("the newer plan waits because %s", newer.Reason)
		}
		w.approve(newer)
		w.await(devA, stackjob.Succeeded)
		if o := w.stack(devA).Observed; o == nil || !o.Complete || o.Restored != nil {
			t.Errorf("after the apply: %+v", o)
		}
		w.write("acme/dev/a.yaml", w.stackDocument("a", "four"))
		w.commit("four")
		w.until("nothing waits any more", func() bool { j := w.newest(devA); return j.ID != newer.ID && j.State == stackjob.Succeeded })

		all, err := json.Marshal([]any{list, w.states(devA), done, explained})
		if err != nil || bytes.Contains(all, []byte(stateCanary)) || strings.Contains(w.log.String(), stateCanary) {
			t.Errorf("a secret of the state is told (%v)", err)
		}
	})
}

// TestARestoreIsUndoneByRestoringWhatWasThere goes back and forth: the second restore leaves
// nothing to do, and then nobody has to look.
func TestARestoreIsUndoneByRestoringWhatWasThere(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.twice()
	applied := w.newest(devA).ID
	was := w.stateOf("a")
	first, err := w.restore(devA, w.states(devA).Backups[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	waits := w.await(devA, stackjob.WaitingApply)
	second, err := w.restore(devA, first.Restore.Replaced.Backup)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.stateOf("a"), was) || second.Restore.Applied != applied {
		t.Errorf("back at another state, or after the job %s", second.Restore.Applied)
	}
	if j := w.job(waits.ID); j.State != stackjob.Superseded || j.Reason.Code != stackjob.ReasonStateRestored {
		t.Errorf("the plan of the state that was replaced: %s (%s)", j.State, j.Reason)
	}
	w.until("a plan finds nothing to do", func() bool {
		j := w.newest(devA)
		return j.Purpose == stackjob.Reconcile && j.ID > second.ID && j.State == stackjob.Succeeded && j.Reason.Code == stackjob.ReasonNoChanges
	})
	if o := w.stack(devA).Observed; o == nil || !o.Complete || o.Restored != nil || len(o.Outputs) != 2 {
		t.Errorf("recorded: %+v", o)
	}
	if n := w.effects("a"); n != 2 {
		t.Errorf("%d side effects, expected those of the two applies", n)
	}
}

func TestARestoreIsRefusedWhileAJobRuns(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/slow/main.tf", slow, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
	w.commit("one")
	w.letGo()
	w.start()
	w.await(devA, stackjob.Succeeded)
	if err := os.Remove(filepath.Join(w.root, "a.go")); err != nil {
		t.Fatal(err)
	}
	w.write("modules/slow/main.tf", strings.Replace(slow, "input = var.text", "input = var.text\n  triggers_replace = 2", 1))
	w.commit("two")
	w.until("the second apply is at its side effect", func() bool { return w.effects("a") == 2 })
	running := w.newest(devA)
	backup := w.states(devA).Backups[0].Name
	w.notRestored(devA, backup, api.CodeStackBusy, string(running.ID), "is being applied", "reeve cancel")
	w.letGo()
	w.await(devA, stackjob.Succeeded)
	if _, err := w.restore(devA, backup); err != nil {
		t.Errorf("after the apply: %v", err)
	}
}

func TestWhatMayNotBeRestoredIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.twice()
	w.write("acme/dev/b.yaml", strings.Replace(w.stackDocument("b", "one"), "spec:", "spec:\n  backend: {type: s3, config: {bucket: b, key: k}}", 1))
	w.commit("b is kept elsewhere")
	good := w.states(devA).Backups[0].Name
	folder := w.layout().StateBackups(w.key(devA))
	of := func(name string, content []byte) string {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	now := w.stateOf("a")
	var s map[string]any
	if err := json.Unmarshal(w.backupOf(devA, good), &s); err != nil {
		t.Fatal(err)
	}
	lineage, _ := s["lineage"].(string)
	other, err := json.Marshal(map[string]any{"version": 4, "serial": 1, "lineage": "of-another-state", "outputs": map[string]any{}, "resources": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	foreign := of("20260101T000000.000000000Z-1.tfstate", other)
	w.notRestored(devA, foreign, api.CodeNotRestored, "of-another-state", lineage, "--force")
	w.notRestored(devA, of("20260101T000001.000000000Z-1.tfstate", now[:len(now)/2]), api.CodeNotRestored, "cannot be read as a state")
	w.notRestored(devA, of("20260101T000002.000000000Z-1.tfstate", now), api.CodeNotRestored, "already")
	w.notRestored(devA, "../terraform.tfstate", api.CodeNotFound, "reeve state list "+devA)
	w.notRestored("acme/dev/TerraformStack/nobody", good, api.CodeNotFound, "no document")
	w.notRestored(devB, good, api.CodeNotRestored, "kept by the backend s3", "versions of the bucket's object")
	if _, err := w.app.Backend().RestoreState(context.Background(), api.StateRestore{Key: w.key(devA), Actor: ada, Backup: good, Reason: " "}); err == nil || !strings.Contains(err.Error(), "say why") {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := w.app.Backend().States(context.Background(), w.key(devB)); err == nil || !strings.Contains(err.Error(), "kept by the backend s3") {
		t.Errorf("the list of a remote state: %v", err)
	}
	if !bytes.Equal(w.stateOf("a"), now) {
		t.Error("a refusal changed the state")
	}
	forced, err := w.app.Backend().RestoreState(context.Background(), api.StateRestore{Key: w.key(devA), Actor: ada, Backup: foreign, Reason: "it is the right one", Force: true})
	if err != nil || !forced.Restore.Forced || !bytes.Equal(w.stateOf("a"), other) {
		t.Errorf("with force: %+v, %v", forced.Restore, err)
	}
}

// TestReadersOfARestoredStackWait has a stack read an output of one whose state is restored:
// what is recorded of it is of the state that was replaced, and nothing is made of that, also
// where the plan was made before and is approved after.
func TestReadersOfARestoredStackWait(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.twice()
	w.write("acme/policies/b.yaml", "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: b}\nspec:\n  selector: {kind: TerraformStack, id: b}\n"+
		"  flowControl: {pauseBetweenPreviewAndUpdateOrDestroy: true}\n",
		"acme/dev/b.yaml", strings.Replace(w.stackDocument("b", "x"), `text: "x"`, `text: {valueFrom: {kind: TerraformStack, name: a, fieldPath: status.outputs.text}}`, 1))
	w.commit("b reads a")
	reader := w.await(devB, stackjob.WaitingApply)
	if _, err := w.restore(devA, w.states(devA).Backups[0].Name); err != nil {
		t.Fatal(err)
	}
	producer := w.await(devA, stackjob.WaitingApply)
	w.approve(reader)
	w.until("the reader waits for the producer", func() bool {
		j := w.newest(devB)
		return j.State == stackjob.Queued && j.Reason.Code == stackjob.ReasonWaitsForProducer && j.Reason.Detail == devA
	})
	if n := w.effects("b"); n != 0 {
		t.Errorf("the reader was applied %d times with an output of the state that was replaced", n)
	}
	w.approve(producer)
	w.until("both are applied", func() bool {
		return w.newest(devA).State == stackjob.Succeeded && w.newest(devB).State == stackjob.Succeeded
	})
	if j := w.newest(devB); w.effects("b") != 1 || j.ID != reader.ID || j.Attempt != 2 {
		t.Errorf("the reader was applied %d times, by the job %s at its attempt %d", w.effects("b"), j.ID, j.Attempt)
	}
}

// TestADaemonKilledInTheMiddleOfARestoreEndsIt kills the daemon at each step of a restore. The
// state is then the old one or the new one, whole, and the next daemon ends what was begun.
func TestADaemonKilledInTheMiddleOfARestoreEndsIt(t *testing.T) {
	t.Parallel()
	e := tooltest.Engines(t)[0]
	for at, replaced := range map[string]bool{
		"move start-restore":          false,
		"move record backup":          false, // before the state is backed up
		"move record restore":         false, // after that, before it is replaced
		"before succeed of a restore": true,
		"move succeed from applying":  true,
	} {
		t.Run(strings.ReplaceAll(at, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e)
			w.twice()
			w.stop()
			was, jobs := w.stateOf("a"), 2
			names, err := filepath.Glob(filepath.Join(w.layout().StateBackups(w.key(devA)), "*.tfstate"))
			if err != nil || len(names) != 1 {
				t.Fatalf("backups: %v, %v", names, err)
			}
			backup := filepath.Base(names[0])
			wanted := w.backupOf(devA, backup)

			cfg := w.writeConfig()
			file := w.crashing(cfg, crash{At: at, Kill: []string{"daemon"}})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
			defer client.Close()
			first := w.daemon(cfg, file)
			if got := awaitQuiet(ctx, t, client); len(got) != jobs {
				t.Fatalf("before the restore: %s", summary(got))
			}
			if _, err := client.RestoreState(ctx, api.StateRestore{Key: w.key(devA), Backup: backup, Reason: "it was a mistake"}); err == nil {
				t.Fatal("a daemon that was killed answered")
			}
			first.awaitEnd(ctx)
			if now := w.stateOf("a"); replaced && !bytes.Equal(now, wanted) || !replaced && !bytes.Equal(now, was) {
				t.Errorf("killed at %q, the state is neither whole nor where it should be: %d bytes", at, len(now))
			}

			second := w.daemon(cfg)
			defer second.end()
			after := awaitQuiet(ctx, t, client)
			if len(after) != jobs+2 || after[0].State != stackjob.WaitingApply || after[0].Reason.Code != stackjob.ReasonStateRestored ||
				after[1].Purpose != stackjob.RestoreState || after[1].State != stackjob.Succeeded {
				t.Fatalf("after the next start: %s", summary(after))
			}
			if !bytes.Equal(w.stateOf("a"), wanted) {
				t.Error("the state is not the backup")
			}
			if r := after[1].Restore; r == nil || r.Replaced == nil || !bytes.Equal(w.backupOf(devA, r.Replaced.Backup), was) {
				t.Errorf("what was there is not kept: %+v", r)
			}
			if kept, err := filepath.Glob(filepath.Join(w.layout().StateBackups(w.key(devA)), "*.tfstate")); err != nil || len(kept) != 2 {
				t.Errorf("backups: %v, %v", kept, err)
			}
			if n := w.effects("a"); n != 2 {
				t.Errorf("%d side effects", n)
			}
		})
	}
}

// TestADestroyedStackGetsItsStateBackWithItsDocument restores what a destroy left a backup of,
// which nothing is recorded of any more: only a document has it planned.
func TestADestroyedStackGetsItsStateBackWithItsDocument(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", guarded, "acme/policies/pause.yaml", pause, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.approve(w.await(devA, stackjob.WaitingApply))
	w.await(devA, stackjob.Succeeded)
	w.remove("acme/dev/a.yaml")
	w.commit("a is gone")
	w.until("the destroy waits", func() bool {
		j := w.newest(devA)
		return j.Action == stackjob.Destroy && j.State == stackjob.WaitingApply
	})
	destroy := w.approve(w.await(devA, stackjob.WaitingApply))
	w.await(devA, stackjob.Succeeded)
	w.notRestored(devA, "any", api.CodeNotFound, "put its document back first")

	w.write("acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("a is back")
	w.until("it is planned anew", func() bool {
		j := w.newest(devA)
		return j.Action == stackjob.Apply && j.State == stackjob.WaitingApply
	})
	list := w.states(devA)
	if len(list.Backups) != 1 || list.Backups[0].Job != destroy.ID || list.Backups[0].Action != stackjob.Destroy || list.Backups[0].Resources != 2 || list.State == nil || list.State.Resources != 0 {
		t.Fatalf("states: %+v", list)
	}
	done, err := w.restore(devA, list.Backups[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if done.Restore.Applied != "" {
		t.Errorf("restored after the job %s, of which nothing is recorded", done.Restore.Applied)
	}
	w.until("the state is found to be as the document says", func() bool {
		j := w.newest(devA)
		return j.ID > done.ID && j.State == stackjob.Succeeded && j.Reason.Code == stackjob.ReasonNoChanges
	})
	if o := w.stack(devA).Observed; o == nil || !o.Complete || o.Restored != nil || len(o.Outputs) != 2 || w.effects("a") != 1 {
		t.Errorf("recorded: %+v, with %d side effects", o, w.effects("a"))
	}
}
