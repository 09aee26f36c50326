package terraform_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// stubborn is a resource whose provisioner ignores every signal that can be
// ignored, has a child, and says both process ids.
func stubborn(pids string) map[string]string {
	return map[string]string{"main.tf": `
resource "terraform_data" "first" {}
resource "terraform_data" "stubborn" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-c"]
    command     = "trap '' INT TERM HUP; sleep 600 & echo $$ $! > '` + pids + `'; wait; sleep 600"
  }
}`}
}

func readPIDs(t *testing.T, path string) []int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, w := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(w)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// hangsBy is a limit of time by which what is to hang does so, on a slow and busy machine too.
const hangsBy = 15 * time.Second

func TestEngineThatHangsIsStoppedAtItsTimeLimitWithAllItsChildren(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		pids := filepath.Join(t.TempDir(), "pids")
		b.Module(stubborn(pids))
		plan := b.MustPlan()
		b.Task.Timeouts = map[stackjob.OperationKind]time.Duration{stackjob.OpApply: hangsBy}
		r := b.Apply(t.Context(), plan)
		if r.Outcome == nil || r.Outcome.Result != stackjob.ResultFailed || r.Failure.Reason.Code != stackjob.ReasonTimeout || r.Cancelled {
			t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
		}
		enginetest.AwaitDeath(t, readPIDs(t, pids))
	})
}

func TestCancelledApplyLeavesNoOrphans(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		pids := filepath.Join(t.TempDir(), "pids")
		b.Module(stubborn(pids))
		plan := b.MustPlan()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan engine.Result, 1)
		go func() { ended <- b.Apply(ctx, plan) }()
		awaitFile(t, pids, ended)
		cancel()
		r := <-ended
		if r.Outcome == nil || r.Outcome.Result != stackjob.ResultCancelled || !r.Cancelled {
			t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
		}
		if last := r.Operations[len(r.Operations)-1]; last.Result != stackjob.ResultCancelled || last.Killed {
			t.Errorf("operation = %+v: the engine killed its provisioner, and ended by itself", last)
		}
		if r.Outcome.Counts.Create != 1 {
			t.Errorf("counts = %+v", r.Outcome.Counts)
		}
		enginetest.AwaitDeath(t, readPIDs(t, pids))
	})
}

// hangs puts a program in the place of the engine that hangs in one command, whatever
// it is asked to do. It says its own process id and its child's.
func (b *bench) hangs(t *testing.T, command string) (pids string) {
	t.Helper()
	dir := t.TempDir()
	pids = filepath.Join(dir, "pids")
	script := filepath.Join(dir, "hangs")
	text := "#!/bin/sh\ncase $1 in " + command + ") trap '' INT TERM; sleep 600 & echo $$ $! > '" + pids + "'; wait; wait; sleep 600;; esac\nexec '" + b.Task.Program.Path + "' \"$@\"\n"
	enginetest.WriteScript(t, script, text)
	b.Task.Program.Path = script
	return pids
}

// Only a program of our own can hang in init or plan on demand.
func TestProgramThatHangsInPlanIsKilled(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		pids := b.hangs(t, "plan")
		b.Task.Timeouts = map[stackjob.OperationKind]time.Duration{stackjob.OpPlan: hangsBy}
		b.Task.Grace = 200 * time.Millisecond
		r := b.Plan(t.Context())
		if r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonTimeout || r.Cancelled {
			t.Fatalf("failure = %+v", r.Failure)
		}
		enginetest.AwaitDeath(t, readPIDs(t, pids))
		last := r.Operations[len(r.Operations)-1]
		if last.Kind != stackjob.OpPlan || last.Result != stackjob.ResultFailed || !last.Killed || last.EngineProcesses != 1 {
			t.Errorf("operation = %+v", last)
		}
	})
}

// awaitFile waits until something stands in a file that a program of a phase writes.
func awaitFile(t *testing.T, file string, ended chan engine.Result) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for st, err := os.Stat(file); err != nil || st.Size() == 0; st, err = os.Stat(file) {
		select {
		case r := <-ended:
			t.Fatalf("it ended before the program ran: %+v %+v", r.Outcome, r.Failure)
		case <-tick.C:
		}
	}
}

// TestApplyThatHadToBeKilledIsInterrupted: nobody knows how far it came, whoever
// stopped it.
func TestApplyThatHadToBeKilledIsInterrupted(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		for _, cancelled := range []bool{true, false} {
			// Another one each time: two equal plans of one second are the same file, and a
			// plan that was being applied is not applied again.
			b.Module(map[string]string{"main.tf": fmt.Sprintf("resource \"terraform_data\" \"a\" { input = %t }\n", cancelled)})
			program := b.Task.Program.Path
			plan := b.MustPlan()
			pids := b.hangs(t, "apply")
			b.Task.Grace = 200 * time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			want := stackjob.ReasonTimeout
			if cancelled {
				want = stackjob.ReasonCancelled
				b.Task.Timeouts = nil
			} else {
				b.Task.Timeouts = map[stackjob.OperationKind]time.Duration{stackjob.OpApply: hangsBy}
			}
			ended := make(chan engine.Result, 1)
			go func() { ended <- b.Apply(ctx, plan) }()
			awaitFile(t, pids, ended)
			if cancelled {
				cancel()
			}
			r := <-ended
			if r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted || r.Outcome.Reason.Code != want || r.Cancelled != cancelled {
				t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
			}
			if last := r.Operations[len(r.Operations)-1]; last.Kind != stackjob.OpApply || last.Result != stackjob.ResultInterrupted || !last.Killed {
				t.Errorf("operation = %+v", last)
			}
			enginetest.AwaitDeath(t, readPIDs(t, pids))
			b.Task.Program.Path = program
		}
	})
}
