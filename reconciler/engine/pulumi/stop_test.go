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
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// awaitDeath waits until processes are gone.
func awaitDeath(t *testing.T, pids []int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(30 * time.Second)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) {
			select {
			case <-tick.C:
			case <-tooLong:
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

func isZombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

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
	b.task.Env["LAB_MARK"] = strings.TrimPrefix(mark, "LAB_MARK=")
	b.program("resources:\n  good: {type: \"lab:Data\", properties: {value: x}}\n  slow: {type: \"lab:Data\", properties: {hangs: true, note: \"" + note + "\"}, options: {dependsOn: [\"${good}\"]}}\n")
	plan = b.mustPlan()
	return b, plan, func() {
		b.sink.Await(t, "the slow resource", func(string, []engine.Event) bool {
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
	go func() { ended <- b.apply(ctx, plan) }()
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
	awaitDeath(t, left)
	if locks, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(b.task.StateFile))), "locks", "*", "*", "*", "*")); len(locks) > 0 {
		t.Errorf("locks: %q", locks)
	}
}

func TestApplyAtItsTimeLimitIsStopped(t *testing.T) {
	t.Parallel()
	b, plan, _, _ := hanging(t)
	b.task.Timeouts = map[stackjob.OperationKind]time.Duration{stackjob.OpApply: 3 * time.Second}
	r := b.apply(t.Context(), plan)
	if r.Outcome == nil || r.Outcome.Result != stackjob.ResultFailed || r.Failure.Reason.Code != stackjob.ReasonTimeout || r.Cancelled {
		t.Errorf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
	}
}

// A program in the engine's place hangs and ignores every signal that can be ignored.
func TestEngineThatHadToBeKilledIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.program(simple)
	b.inputs(map[string]any{"text": "one"})
	plan := b.mustPlan()
	dir := t.TempDir()
	pids, script := filepath.Join(dir, "pids"), filepath.Join(dir, "pulumi")
	real := b.task.Program.Path
	b.task.Env["PATH"] = filepath.Dir(real) + ":" + b.task.Env["PATH"]
	writeScript(t, script, "#!/bin/sh\ncase $2 in up) trap '' INT TERM; setsid sleep 600 & echo $$ $! > '"+pids+"'; wait; sleep 600;; esac\nexec '"+real+"' \"$@\"\n")
	b.task.Program.Path = script
	b.task.Grace = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.apply(ctx, plan) }()
	var found []int
	b.sink.Await(t, "the script hangs", func(string, []engine.Event) bool {
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
	awaitDeath(t, found)
}

// A killed engine's plugins have groups of their own, and outlive it.
func TestPluginsOfAKilledEngineAreEnded(t *testing.T) {
	t.Parallel()
	b, plan, hangs, mark := hanging(t)
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.apply(t.Context(), plan) }()
	hangs()
	left := providers(t, mark)
	_, events := b.sink.Told()
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
	awaitDeath(t, left)

	// Unlock releases that lock, and no other.
	refused := b.plan(t.Context())
	if refused.Failure == nil || refused.Failure.Lock == nil || refused.Failure.Lock.PID == 0 {
		t.Fatalf("failure = %+v", refused.Failure)
	}
	lock := *refused.Failure.Lock
	other := lock
	other.ID = "another"
	if err := b.driver.Unlock(t.Context(), b.task, other, b.sink); err == nil {
		t.Error("another lock was released")
	}
	if _, err := os.Stat(lock.Path); err != nil {
		t.Fatalf("the lock: %v", err)
	}
	if err := b.driver.Unlock(t.Context(), b.task, lock, b.sink); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lock.Path); !os.IsNotExist(err) {
		t.Errorf("the lock: %v", err)
	}
	text, err := os.ReadFile(b.task.StateFile)
	if err != nil || strings.Contains(string(text), "pending_operations") {
		t.Errorf("pending operations stay: %v", err)
	}
	if p := b.mustPlan(); len(p.Warnings) == 0 || !strings.Contains(strings.Join(p.Warnings, " "), "slow") {
		t.Errorf("warnings = %q", p.Warnings)
	}
}
