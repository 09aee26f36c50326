package terraform_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const oneInput = "variable \"n\" {}\nresource \"terraform_data\" \"a\" { input = var.n }\n"

func TestDamagedStateIsPutAsideAndTheNewestGoodBackupPutBack(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{"empty": "", "cut off": `{"version":4,"serial":`, "not a state": `{"a":1}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEngines(t, func(t *testing.T, b *bench) {
				b.Module(map[string]string{"main.tf": oneInput})
				for n := range 3 {
					b.Inputs(map[string]any{"n": n})
					b.MustApply()
				}
				if err := os.WriteFile(b.Task.StateFile, []byte(damage), 0o600); err != nil {
					t.Fatal(err)
				}
				// The newest backup is damaged too: the one before it is taken.
				backups, err := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.tfstate"))
				if err != nil || len(backups) != 2 {
					t.Fatalf("backups = %v, %v", backups, err)
				}
				if err := os.Truncate(backups[1], 10); err != nil {
					t.Fatal(err)
				}
				r := b.Plan(t.Context())
				if r.Failure != nil {
					t.Fatal(r.Failure.Text)
				}
				if r.Plan.Counts.Update != 1 || r.Plan.Counts.Create != 0 {
					t.Errorf("counts = %+v", r.Plan.Counts)
				}
				aside, err := filepath.Glob(b.Task.StateFile + ".damaged-*")
				if err != nil || len(aside) != 1 {
					t.Fatalf("put aside: %v, %v", aside, err)
				}
				if text, err := os.ReadFile(aside[0]); err != nil || string(text) != damage {
					t.Errorf("the damaged file was changed: %q, %v", text, err)
				}
				op := r.Operations[len(r.Operations)-1]
				if op.Reason.Code != stackjob.ReasonStateDamaged || len(r.Plan.Warnings) != 1 || !strings.Contains(r.Plan.Warnings[0], filepath.Base(backups[0])) {
					t.Errorf("told: %+v, %q", op.Reason, r.Plan.Warnings)
				}
			})
		})
	}
}

func TestEmptyFileOfAKilledPlanIsNoDamage(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": oneInput})
		b.Inputs(map[string]any{"n": 1})
		if err := os.MkdirAll(filepath.Dir(b.Task.StateFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b.Task.StateFile, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if p := b.MustPlan(); len(p.Warnings) != 0 || p.Counts.Create != 1 {
			t.Errorf("plan = %+v", p)
		}
	})
}

func TestTheNewestTwentyBackupsAreKept(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": oneInput})
		b.Inputs(map[string]any{"n": 0})
		b.MustApply()
		for i := range 25 {
			name := filepath.Join(b.Task.StateBackups, "20200101T0000"+string(rune('0'+i/10))+string(rune('0'+i%10))+".000000000Z-1.tfstate")
			if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.Inputs(map[string]any{"n": 1})
		b.MustApply()
		left, err := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.tfstate"))
		if err != nil || len(left) != 20 {
			t.Fatalf("%d backups are left, %v", len(left), err)
		}
		if last := filepath.Base(left[19]); strings.HasPrefix(last, "2020") {
			t.Error("the new backup is not among them")
		}
		if st, err := os.Stat(left[19]); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v, %v", st.Mode(), err)
		}
	})
}

func TestStateDamagedAfterThePlanIsNotAppliedTo(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": oneInput})
		b.Inputs(map[string]any{"n": 1})
		b.MustApply()
		b.Inputs(map[string]any{"n": 2})
		plan := b.MustPlan()
		if err := os.Truncate(b.Task.StateFile, 0); err != nil {
			t.Fatal(err)
		}
		if r := b.Apply(t.Context(), plan); r.Outcome != nil || r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateDamaged {
			t.Errorf("result = %+v", r)
		}
	})
}
