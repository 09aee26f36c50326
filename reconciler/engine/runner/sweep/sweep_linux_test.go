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
	if !sweep.IsThere(os.Getpid()) || !sweep.IsThere(1) {
		t.Error("this process or the first is not there")
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if !sweep.IsThere(pid) {
		t.Error("a process that sleeps is not there")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	tooLong := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sweep.IsThere(pid) {
		select {
		case <-tooLong:
			t.Fatal("a process that was killed is there until somebody waits for it")
		case <-tick.C:
		}
	}
	_ = cmd.Wait() // it was killed
	if sweep.IsThere(pid) {
		t.Error("a process that is over is there")
	}
}
