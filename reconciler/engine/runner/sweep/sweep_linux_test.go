package sweep_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
)

func TestAProcessThatNobodyHasWaitedForIsNotThere(t *testing.T) {
	t.Parallel()
	if !sweep.IsThere(os.Getpid(), time.Now()) || !sweep.IsThere(1, time.Now()) {
		t.Error("this process or the first is not there")
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if !sweep.IsThere(pid, time.Now()) {
		t.Error("a process that sleeps is not there")
	}
	if sweep.IsThere(pid, time.Now().Add(-time.Hour)) {
		t.Error("a process that began later is the one that had its number")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	tooLong := time.After(2 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sweep.IsThere(pid, time.Now()) {
		select {
		case <-tooLong:
			t.Fatal("a process that was killed is there until somebody waits for it")
		case <-tick.C:
		}
	}
	_ = cmd.Wait() // it was killed
	if sweep.IsThere(pid, time.Now()) {
		t.Error("a process that is over is there")
	}
}
