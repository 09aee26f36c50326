package pulumi_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// providers are the processes of plugins that carry a mark in their environment.
func providers(t *testing.T, mark string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if env, err := os.ReadFile("/proc/" + e.Name() + "/environ"); err == nil && strings.Contains(string(env), mark) {
			out = append(out, pid)
		}
	}
	return out
}

// hanging is a stack whose apply hangs; the function waits until it does.
func hanging(t *testing.T) (b *bench, plan *stackjob.Plan, hangs func(), mark string) {
	t.Helper()
	b = newBench(t)
	note := filepath.Join(t.TempDir(), "note")
	mark = "LAB_MARK=" + filepath.Base(filepath.Dir(note)) + t.Name()
	b.Task.Env["LAB_MARK"] = strings.TrimPrefix(mark, "LAB_MARK=")
	b.program("resources:\n  good: {type: \"lab:Data\", properties: {value: x}}\n  slow: {type: \"lab:Data\", properties: {hangs: true, note: \"" + note + "\"}, options: {dependsOn: [\"${good}\"]}}\n")
	plan = b.MustPlan()
	return b, plan, func() {
		b.Sink.Await(t, "the slow resource", func(string, []engine.Event) bool {
			_, err := os.Stat(note)
			return err == nil
		})
	}, mark
}

func TestCancelledApplyLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b, plan, hangs, mark := hanging(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Apply(ctx, plan) }()
	hangs()
	left := providers(t, mark)
	if len(left) < 2 {
		t.Fatalf("engine and plugin are %d processes", len(left))
	}
	cancel(errors.New("somebody asked"))
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultCancelled || !r.Cancelled || r.Outcome.Counts.Create != 1 {
		t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
	}
	if last := r.Operations[len(r.Operations)-1]; last.Result != stackjob.ResultCancelled || last.Killed {
		t.Errorf("operation = %+v", last)
	}
	enginetest.AwaitDeath(t, left)
	if locks, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(b.Task.StateFile))), "locks", "*", "*", "*", "*")); len(locks) > 0 {
		t.Errorf("locks: %q", locks)
	}
}

func TestApplyAtItsTimeLimitIsStopped(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	b, plan, _, _ := hanging(t)
	// Long enough that it hangs by then, on a busy machine too: an interrupt that comes
	// before the provider is there does not reach it.
	limit := max(10*time.Second, 5*time.Since(begin))
	b.Task.Timeouts = map[stackjob.OperationKind]time.Duration{stackjob.OpApply: limit}
	r := b.Apply(t.Context(), plan)
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultFailed || r.Failure.Reason.Code != stackjob.ReasonTimeout || r.Cancelled {
		t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
	}
}

// A program in the engine's place hangs and ignores every signal that can be ignored.
func TestEngineThatHadToBeKilledIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.Inputs(map[string]any{"text": "one"})
	plan := b.MustPlan()
	dir := t.TempDir()
	pids, script := filepath.Join(dir, "pids"), filepath.Join(dir, "pulumi")
	real := b.Task.Program.Path
	b.Task.Env["PATH"] = filepath.Dir(real) + ":" + b.Task.Env["PATH"]
	enginetest.WriteScript(t, script, "#!/bin/sh\ncase $2 in up) trap '' INT TERM; setsid sleep 600 & echo $$ $! > '"+pids+"'; wait; sleep 600;; esac\nexec '"+real+"' \"$@\"\n")
	b.Task.Program.Path = script
	b.Task.Grace = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Apply(ctx, plan) }()
	var found []int
	b.Sink.Await(t, "the script hangs", func(string, []engine.Event) bool {
		text, err := os.ReadFile(pids)
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			return false
		}
		found = found[:0]
		for _, w := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(w)
			if err != nil {
				return false
			}
			found = append(found, n)
		}
		return true
	})
	cancel()
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted || r.Outcome.Reason.Code != stackjob.ReasonCancelled || !r.Cancelled {
		t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
	}
	if last := r.Operations[len(r.Operations)-1]; last.Result != stackjob.ResultInterrupted || !last.Killed {
		t.Errorf("operation = %+v", last)
	}
	enginetest.AwaitDeath(t, found)
}

// A killed engine's plugins have groups of their own, and outlive it.
func TestPluginsOfAKilledEngineAreEnded(t *testing.T) {
	t.Parallel()
	b, plan, hangs, mark := hanging(t)
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Apply(t.Context(), plan) }()
	hangs()
	left := providers(t, mark)
	_, events := b.Sink.Told()
	for _, e := range events {
		if e.Type == engine.EngineStarted && e.Operation == stackjob.OpApply {
			if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := <-ended
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultInterrupted {
		t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
	}
	enginetest.AwaitDeath(t, left)

	// Unlock releases that lock, and no other.
	refused := b.Plan(t.Context())
	if refused.Failure == nil || refused.Failure.Lock == nil || refused.Failure.Lock.PID == 0 {
		t.Fatalf("failure = %+v", refused.Failure)
	}
	lock := *refused.Failure.Lock
	other := lock
	other.ID = "another"
	if err := b.Driver.Unlock(t.Context(), b.Task, other, b.Sink); err == nil {
		t.Error("another lock was released")
	}
	if _, err := os.Stat(lock.Path); err != nil {
		t.Fatalf("the lock: %v", err)
	}
	if err := b.Driver.Unlock(t.Context(), b.Task, lock, b.Sink); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lock.Path); !os.IsNotExist(err) {
		t.Errorf("the lock: %v", err)
	}
	text, err := os.ReadFile(b.Task.StateFile)
	if err != nil || strings.Contains(string(text), "pending_operations") {
		t.Errorf("pending operations stay: %v", err)
	}
	if p := b.MustPlan(); len(p.Warnings) == 0 || !strings.Contains(strings.Join(p.Warnings, " "), "slow") {
		t.Errorf("warnings = %q", p.Warnings)
	}
}

// A person releases the lock of a killed update by `pulumi cancel`, which leaves what was
// pending in the state.
func TestPendingOperationsWithoutALockAreClearedWhenTheyAreOurs(t *testing.T) {
	t.Parallel()
	b, plan, hangs, _ := hanging(t)
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Apply(t.Context(), plan) }()
	hangs()
	_, events := b.Sink.Told()
	for _, e := range events {
		if e.Type == engine.EngineStarted && e.Operation == stackjob.OpApply {
			if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-ended
	refused := b.Plan(t.Context())
	if refused.Failure == nil || refused.Failure.Lock == nil || !strings.Contains(refused.Failure.Text, "PULUMI_BACKEND_URL set to "+b.Task.Pulumi.BackendURL) {
		t.Fatalf("failure = %+v", refused.Failure)
	}
	if err := os.Remove(refused.Failure.Lock.Path); err != nil { // all that `pulumi cancel` does
		t.Fatal(err)
	}
	pending := func() bool {
		text, err := os.ReadFile(b.Task.StateFile)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "pending_operations")
	}

	// With no note of an apply of ours it is somebody else's.
	note := begun.FileOf(b.Task)
	if err := os.Rename(note, note+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p := b.MustPlan(); len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "slow (creating)") || !pending() {
			t.Errorf("somebody else's: warnings = %q, pending %t", p.Warnings, pending())
		}
	}

	if err := os.Rename(note+".away", note); err != nil {
		t.Fatal(err)
	}
	if p := b.MustPlan(); !strings.Contains(strings.Join(p.Warnings, " "), "slow (creating)") || pending() {
		t.Errorf("ours: warnings = %q, pending %t", p.Warnings, pending())
	}
	backups, err := filepath.Glob(filepath.Join(b.Task.StateBackups, "*.pulumi.json"))
	if err != nil || len(backups) == 0 {
		t.Fatalf("backups: %q, %v", backups, err)
	}
	if text, err := os.ReadFile(backups[len(backups)-1]); err != nil || !strings.Contains(string(text), "pending_operations") {
		t.Errorf("the state with them was not kept: %v", err)
	}
	// What it had begun is told until an apply comes to its end.
	if p := b.MustPlan(); len(p.Warnings) != 1 || strings.Contains(p.Warnings[0], "(creating)") {
		t.Errorf("afterwards: warnings = %q", p.Warnings)
	}
}
