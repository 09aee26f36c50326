package terraform

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// deaf is a sink that nobody asks.
type deaf struct{}

func (deaf) Emit(engine.Event) {}
func (deaf) Log([]byte)        {}
func (deaf) LogOffset() int64  { return 0 }

// terraform-exec comes back at once, with the engine running, when it is cancelled in the
// moment in which the engine was started.
func TestAnEngineThatNobodyWaitsForIsEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		program string
		grace   time.Duration
	}{
		"goes on its interrupt": {"trap 'exit 0' INT; echo > trapped; while :; do sleep 0.01; done", time.Minute},
		"ignores it":            {"trap '' INT; echo > trapped; while :; do sleep 0.01; done", 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			tf, err := tfexec.NewTerraform(dir, "/bin/sh")
			if err != nil {
				t.Fatal(err)
			}
			p := newPhase(&Driver{}, engine.Task{Program: engine.Program{Path: "/bin/sh"}, Workspace: dir}, "", deaf{})
			p.at.module = dir
			s := &session{tf: tf, phase: p, grace: tt.grace}
			ctx, cancel := context.WithCancel(t.Context())
			var started *exec.Cmd
			err = s.run(ctx, p.voice(stackjob.OpApply, func(message) {}), nil, func(ctx context.Context) error {
				started = exec.Command("/bin/sh", "-c", tt.program)
				started.Dir, started.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
				if err := started.Start(); err != nil {
					return err
				}
				for !isThere(filepath.Join(dir, "trapped")) {
				}
				cancel()
				return ctx.Err()
			})
			if !errors.Is(err, context.Canceled) || !s.killed {
				t.Errorf("error %v, killed %v: nobody knows how far it was", err, s.killed)
			}
			if err := syscall.Kill(started.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
