package savedplan_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/savedplan"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// wantRefused wants a refusal for a person, for a reason and with a word in its text.
func wantRefused(t *testing.T, err error, code stackjob.ReasonCode, word string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it is not refused; expected %s", code)
	}
	f := telling.ProblemOf(err).Failure
	if f.Class != engine.ClassPerson || f.Reason.Code != code || !strings.Contains(f.Text, word) {
		t.Errorf("%+v; expected %s with %q", f, code, word)
	}
}

func TestAPlanRunsOnceHoweverItsApplyEnded(t *testing.T) {
	t.Parallel()
	task := engine.Task{Job: "sj_1", Attempt: 2, PlanFileDigest: "sha256:0123456789", StateBackups: filepath.Join(t.TempDir(), "backups")}
	if err := savedplan.CheckNew(task); err != nil {
		t.Fatal(err)
	}
	note, err := begun.Open(begun.FileOf(task), savedplan.Name(task))
	if err != nil {
		t.Fatal(err)
	}
	note.Line(begun.Began, "a.b")
	wantRefused(t, savedplan.CheckNew(task), stackjob.ReasonAfterInterrupt, "may exist: a.b")

	// The same bytes, planned again.
	again := task
	again.Attempt = 3
	if err := savedplan.CheckNew(again); err != nil {
		t.Error(err)
	}
	if err := note.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := savedplan.CheckNew(task); err != nil {
		t.Errorf("its apply came to its end: %v", err)
	}
}

func TestAnotherPlanThanTheGatedOneIsRefused(t *testing.T) {
	t.Parallel()
	task := engine.Task{PlanFileDigest: "sha256:0123456789", PlanStatePlace: "pg hmac:1"}
	wantRefused(t, savedplan.CheckDigest(task, "sha256:9876543210"), stackjob.ReasonPlanChanged, "its digest is ")
	wantRefused(t, savedplan.CheckPlace(task, "pg hmac:2"), stackjob.ReasonPlanChanged, "in another place")
	wantRefused(t, savedplan.CheckPlace(task, ""), stackjob.ReasonPlanChanged, "in another place")
	for _, err := range []error{savedplan.CheckDigest(task, task.PlanFileDigest), savedplan.CheckPlace(task, task.PlanStatePlace)} {
		if err != nil {
			t.Error(err)
		}
	}
}
