package terraform

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terraform-exec comes back at once when it is cancelled in the moment in which it starts
// the engine, and leaves it running: whoever did not look for it would call an apply
// cancelled that goes on.
func TestAnEngineThatWasLeftRunningIsEnded(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	by, leave := thisThread()
	defer leave()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const grace = 100 * time.Millisecond
	w := watch(ctx, dir, by, grace, func(int) {})
	engine := exec.Command("/bin/sh", "-c", "trap '' INT TERM; echo; while :; do sleep 600; done")
	engine.Dir = dir
	engine.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := engine.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it ignores signals by now
		t.Fatal(err)
	}
	if w.left(ctx, dir, by) {
		t.Error("an engine at work was ended though nobody cancelled it")
	}
	cancel()
	if !w.left(ctx, dir, by) {
		t.Error("the engine that was left running was not found")
	}
	w.stop()
	if err := unix.Kill(engine.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the engine: %v", err)
	}
	if w.left(ctx, dir, by) {
		t.Error("an engine was found where none is")
	}
}
