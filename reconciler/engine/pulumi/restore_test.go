package pulumi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// restore puts a backup back and returns what came of it.
func (b *bench) restore(file string, force bool) engine.Result {
	b.Helper()
	b.Task.Phase = engine.PhaseRestore
	b.Task.Restore = &engine.StateRestore{File: file, Force: force}
	defer func() { b.Task.Restore = nil }()
	r := b.Driver.(engine.Restorer).Restore(b.Context(), b.Task, b.PlanFile, b.Sink)
	if (r.Outcome == nil) == (r.Failure == nil) {
		b.Fatalf("a restore phase with outcome %v and failure %v", r.Outcome, r.Failure)
	}
	return r
}

func TestAnExportIsPutBackIntoItsBackend(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Task.StateFile = "" // the state is elsewhere
	b.Task.Pulumi.SecretConfig = []string{"text"}
	b.program(simple)
	b.Inputs(map[string]any{"text": "canary-one"})
	b.MustApply()
	b.Inputs(map[string]any{"text": "canary-two"})
	b.MustApply()
	first := b.exports()
	if len(first) != 1 {
		t.Fatalf("backups: %q", first)
	}
	text, err := os.ReadFile(first[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") {
		t.Error("a secret is in clear in the backup")
	}
	bad := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ file, want string }{
		"no state":          {bad("a", `{"version":3}`), "cannot be read as a state"},
		"half a state":      {bad("b", string(text[:len(text)/2])), "cannot be read as a state"},
		"of another stack":  {bad("c", strings.ReplaceAll(string(text), "urn:pulumi:dev::", "urn:pulumi:prod::")), "prod"},
		"no file, or other": {filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		if r := b.restore(c.file, false); r.Failure == nil || !strings.Contains(r.Failure.Text, c.want) {
			t.Errorf("%s: %+v", name, r.Failure)
		}
	}
	b.Task.Job = "sj_other"
	r := b.restore(first[0], false)
	if r.Failure != nil || r.Replaced == nil || !strings.Contains(r.Replaced.Backup, "sj_other") {
		t.Fatalf("%+v, %+v", r.Replaced, r.Failure)
	}
	again := b.restore(first[0], false)
	if again.Failure != nil || again.Replaced == nil || again.Replaced.Backup != r.Replaced.Backup {
		t.Errorf("the same job again kept %+v, first %+v", again.Replaced, r.Replaced)
	}
	if plan := b.MustPlan(); plan.Counts.Update != 1 {
		t.Errorf("after it: %+v", plan.Counts)
	}
	if r := b.restore(filepath.Join(b.Task.StateBackups, r.Replaced.Backup), false); r.Failure != nil {
		t.Fatalf("undo: %+v", r.Failure)
	}
	if plan := b.MustPlan(); plan.HasChanges {
		t.Errorf("after the undo: %+v", plan.Counts)
	}
	for _, o := range r.Operations {
		if o.Result != stackjob.ResultSucceeded {
			t.Errorf("operation %+v", o)
		}
	}
	if log, _ := b.Sink.Told(); strings.Contains(log, "canary") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

func (b *bench) exports() []string {
	b.Helper()
	found, err := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.export.json"))
	if err != nil {
		b.Fatal(err)
	}
	return found
}
