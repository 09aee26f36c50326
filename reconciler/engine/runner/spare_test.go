package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// warm gives the bench a launcher with a spare runner that is ready.
func warm(b *bench) *spare {
	b.Helper()
	exe, err := os.Executable()
	b.must(err)
	b.launcher = NewLauncher(Options{Executable: []string{exe, "run-job"}, Spare: true})
	b.Cleanup(b.launcher.Close)
	b.launcher.spares.fill()
	return b.ready()
}

// ready is the spare that waits now; nil when there is none.
func (b *bench) ready() *spare {
	s := b.launcher.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

func TestSpareRunnerTakesThePhase(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	sp := warm(b)
	r := b.start()
	if pid := b.runnerPID(); pid != sp.cmd.Process.Pid {
		t.Errorf("runner %d has the phase, not the spare %d", pid, sp.cmd.Process.Pid)
	}
	if h := readHolder(b.folder); h.Run != sp.id || h.PID != sp.cmd.Process.Pid {
		t.Errorf("the lock file names %+v", h)
	}
	if held, err := isHeld(b.folder); err != nil || !held {
		t.Errorf("the phase's lock: held %v, %v", held, err)
	}
	go func() { _, _ = r.Wait(b.Context(), nil) }()
	b.until("there is another spare", func() bool { next := b.ready(); return next != nil && next != sp })
	b.goOn()
	if res, _ := b.wait(r); res.Plan == nil {
		t.Errorf("no plan: %+v", res.Failure)
	}
}

func TestSpareRunnerIsLikeAnyOther(t *testing.T) {
	see := func(t *testing.T, spare bool) string {
		b := setup(t, script{Do: "shell"})
		b.task.Limits = engine.Limits{OpenFiles: 200, FileBytes: 64 << 20}
		if spare {
			warm(b)
		}
		r := b.start()
		b.wait(r)
		return regexp.MustCompile(`REEVE_RUN=\w+`).ReplaceAllString(b.untilMarked("shell"), "REEVE_RUN=it")
	}
	var cold, warmed string
	t.Run("both", func(t *testing.T) {
		t.Run("cold", func(t *testing.T) { cold = see(t, false) })
		t.Run("warm", func(t *testing.T) { warmed = see(t, true) })
	})
	if cold != warmed || cold == "" {
		t.Errorf("an engine sees\n%s\nunder a spare runner, and otherwise\n%s", warmed, cold)
	}
}

func TestSpareRunnerThatDiedIsReplaced(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	sp := warm(b)
	b.must(unix.Kill(sp.cmd.Process.Pid, unix.SIGKILL))
	b.until("the spare is dead", func() bool { return !isAlive(sp.cmd.Process.Pid) })
	r := b.start()
	if pid := b.runnerPID(); pid == sp.cmd.Process.Pid {
		t.Error("a dead process has the phase")
	}
	b.goOn()
	if res, _ := b.wait(r); res.Plan == nil {
		t.Errorf("no plan: %+v", res.Failure)
	}
}

func TestSpareRunnerEndsWithItsLauncher(t *testing.T) {
	b := setup(t, script{})
	sp := warm(b)
	b.launcher.Close()
	b.until("the spare is gone", func() bool { return !isAlive(sp.cmd.Process.Pid) })
	b.launcher.spares.fill()
	if b.ready() != nil {
		t.Error("there is a spare after the launcher was closed")
	}
	r := b.start() // phases still can be started
	if res, _ := b.wait(r); res.Plan == nil {
		t.Errorf("no plan: %+v", res.Failure)
	}
}

func TestSpareRunnerThatIsKilledInThePhaseIsLost(t *testing.T) {
	b := setup(t, script{Do: "leave orphans and wait"})
	warm(b)
	r := b.start()
	b.must(unix.Kill(b.runnerPID(), unix.SIGKILL))
	if _, err := r.Wait(t.Context(), nil); !strings.Contains(fmt.Sprint(err), engine.ErrLost.Error()) {
		t.Errorf("%v", err)
	}
	for _, pid := range orphansIn(b.task.Workspace) {
		if isAlive(pid) {
			t.Errorf("%d lives", pid)
		}
	}
}

func TestSpareRunnersLastWordsAreKept(t *testing.T) {
	b := setup(t, script{Do: "crash"})
	warm(b)
	r := b.start()
	if _, err := r.Wait(t.Context(), nil); err == nil {
		t.Fatal("a runner that crashed has a result")
	}
	if log := b.log(); !strings.Contains(log, "last words") || !strings.Contains(log, "a crash with") || strings.Contains(log, secret) {
		t.Errorf("the log:\n%s", log)
	}
}

func BenchmarkPhaseWithASpareRunner(b *testing.B) {
	dir := b.TempDir()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "started")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	started, err := os.OpenFile(path, os.O_RDWR, 0) // so that no end ever waits for the other to be opened
	if err != nil {
		b.Fatal(err)
	}
	defer started.Close()
	key := newKey(b, dir)
	l := NewLauncher(Options{Executable: []string{exe, "run-job-announced", path}, Spare: true})
	defer l.Close()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		l.spares.fill() // while the engine of the phase before works
		if _, err := started.Read(make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		task := taskFor(dir, key)
		task.Job = stackjob.JobID(fmt.Sprint(i))
		r, err := l.Start(b.Context(), filepath.Join(dir, "jobs", fmt.Sprint(i), "1-plan"), task)
		if err != nil {
			b.Fatal(err)
		}
		r.(*run).spares = nil // no engine keeps this phase busy while the next spare starts
		if res, err := r.Wait(b.Context(), nil); err != nil || res.Plan == nil {
			b.Fatal(res.Failure, err)
		}
	}
}
