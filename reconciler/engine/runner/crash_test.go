package runner

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

func (b *bench) kill(pid int) {
	b.Helper()
	b.must(unix.Kill(pid, unix.SIGKILL))
	b.until("it is dead", func() bool { return !isAlive(pid) })
}

// killRunner kills the runner and waits until its last thread is gone.
func (b *bench) killRunner(pid int) {
	b.Helper()
	b.kill(pid)
	b.untilFree()
}

func (b *bench) untilFree() {
	b.Helper()
	b.until("the lock is free", func() bool { held, err := isHeld(b.folder); return err == nil && !held })
}

func (b *bench) attach() (engine.Run, error) { return b.launcher.Attach(b.Context(), b.folder) }

func TestKilledDaemonInterruptsNothing(t *testing.T) {
	b := setup(t, script{Do: "wait", Log: "hello\n"})
	d := b.daemonProcess()
	runner := b.runnerPID()
	b.kill(d.Process.Pid)
	r, err := b.attach()
	b.must(err)
	if !isAlive(runner) {
		t.Fatal("the runner died with its daemon")
	}
	b.goOn()
	res, seen := b.wait(r)
	if res.Plan == nil {
		t.Errorf("result %+v, failure %+v", res, res.Failure)
	}
	if diff := cmp.Diff([]string{"runner-started", "operation-started", "engine-started", "operation-ended", "runner-ended"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestResultIsFoundWhenTheRunnerEndedWithoutADaemon(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	d := b.daemonProcess()
	runner := b.runnerPID()
	b.kill(d.Process.Pid)
	b.goOn()
	b.until("the runner ends", func() bool { return !isAlive(runner) })
	r, err := b.attach()
	b.must(err)
	if res, _ := b.wait(r); res.Plan == nil {
		t.Errorf("result %+v", res)
	}
	if err := r.Interrupt(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("interrupt: %v", err)
	}
}

func TestAttachedRunnerIsInterrupted(t *testing.T) {
	b := setup(t, script{Do: "leave orphans and wait"})
	d := b.daemonProcess()
	b.runnerPID()
	b.kill(d.Process.Pid)
	r, err := b.attach()
	b.must(err)
	b.check(r.Interrupt())
	if res, _ := b.wait(r); !res.Cancelled {
		t.Errorf("result %+v", res)
	}
	b.nothingLives()
}

// nothingLives checks that the script's processes are gone, now.
func (b *bench) nothingLives() {
	b.Helper()
	pids := orphansIn(b.task.Workspace)
	if len(pids) < 4 {
		b.Fatalf("the script started %v", pids)
	}
	for _, pid := range pids {
		if isAlive(pid) {
			b.Errorf("process %d lives", pid)
		}
	}
}

func TestNoOrphanSurvivesAPhaseThatEnds(t *testing.T) {
	b := setup(t, script{Do: "leave orphans"})
	if res, _ := b.wait(b.start()); res.Plan == nil {
		t.Errorf("result %+v", res)
	}
	b.nothingLives()
}

func TestKilledRunnerIsLostAndLeavesNothing(t *testing.T) {
	b := setup(t, script{Do: "leave orphans and wait"})
	r := b.start()
	b.kill(b.runnerPID())
	seen := 0
	if _, err := r.Wait(t.Context(), func(engine.Event) { seen++ }); !errors.Is(err, engine.ErrLost) || errors.Is(err, engine.ErrNotStarted) || seen != 3 {
		t.Errorf("after %d events: %v", seen, err)
	}
	b.nothingLives()
	b.nothingSecret()
	again, err := b.attach()
	if !errors.Is(err, engine.ErrLost) {
		t.Fatalf("attach: %v", err)
	}
	seen = 0
	if _, err := again.Wait(t.Context(), func(engine.Event) { seen++ }); !errors.Is(err, engine.ErrLost) || seen != 3 {
		t.Errorf("a later daemon was told %d events: %v", seen, err)
	}
}

func TestKilledRunnerOfAnEarlierDaemonIsLost(t *testing.T) {
	t.Parallel()
	t.Run("killed after attaching", func(t *testing.T) {
		b := setup(t, script{Do: "leave orphans and wait"})
		d := b.daemonProcess()
		runner := b.runnerPID()
		b.kill(d.Process.Pid)
		r, err := b.attach()
		b.must(err)
		b.kill(runner)
		if _, err := r.Wait(t.Context(), nil); !errors.Is(err, engine.ErrLost) {
			t.Error(err)
		}
		b.nothingLives()
	})
	t.Run("killed with its daemon", func(t *testing.T) {
		b := setup(t, script{Do: "leave orphans and wait"})
		d := b.daemonProcess()
		runner := b.runnerPID()
		b.kill(d.Process.Pid)
		b.killRunner(runner)
		if _, err := b.attach(); !errors.Is(err, engine.ErrLost) || errors.Is(err, engine.ErrNotStarted) {
			t.Error(err)
		}
		b.nothingLives()
		b.nothingSecret()
		if there, err := exists(b.folder, abandonedFile); !there || err != nil {
			t.Errorf("it is not marked as abandoned: %v", err)
		}
	})
}

func TestRunnerKilledBeforeItBeganIsNotStarted(t *testing.T) {
	b := setup(t, script{})
	b.command(`echo $$ > pid; exec sleep 600`)
	r := b.start()
	var pid int
	b.until("the shell runs", func() bool {
		_, err := fmt.Sscan(readText(b.folder, "pid"), &pid)
		return err == nil
	})
	b.must(unix.Kill(pid, unix.SIGKILL))
	if _, err := r.Wait(t.Context(), nil); !errors.Is(err, engine.ErrLost) || !errors.Is(err, engine.ErrNotStarted) {
		t.Error(err)
	}
	b.nothingSecret()
}

func readText(folder, name string) string {
	b, _ := os.ReadFile(filepath.Join(folder, name))
	return string(b)
}

func TestRunnerThatIsSlowToStartIsNotTakenForDead(t *testing.T) {
	b := setup(t, script{})
	b.command(`while [ ! -e go ]; do :; done; exec "$0" run-job "$1"`)
	r := b.start()
	attached, err := b.attach()
	b.must(err)
	b.check(os.WriteFile(filepath.Join(b.folder, "go"), nil, 0o600))
	for _, r := range []engine.Run{r, attached} {
		if res, _ := b.wait(r); res.Plan == nil {
			t.Errorf("result %+v", res)
		}
	}
}

func TestRunnerThatStartsAfterItWasGivenUpDoesNotBegin(t *testing.T) {
	b := setup(t, script{})
	// One that has lost the lock on its way.
	b.command(`exec 3>&-; while [ ! -e go ]; do :; done; "$0" run-job "$1"; echo $? > code`)
	b.start()
	b.until("the shell has closed the lock", func() bool { held, err := isHeld(b.folder); return err == nil && !held })
	// Its mark is taken away, so that it lives on as on a machine that cannot see it.
	b.check(os.Truncate(filepath.Join(b.folder, lockFile), 0))
	if _, err := b.attach(); !errors.Is(err, engine.ErrNotStarted) {
		t.Fatalf("attach: %v", err)
	}
	b.check(os.WriteFile(filepath.Join(b.folder, "go"), nil, 0o600))
	b.until("it ends", func() bool { return readText(b.folder, "code") != "" })
	if code := readText(b.folder, "code"); code != fmt.Sprintln(exitRefused) {
		t.Errorf("exit code %s", code)
	}
	if _, err := os.Stat(filepath.Join(b.task.Workspace, "engine-ran")); err == nil {
		t.Error("the engine ran")
	}
	for range 2 {
		if _, err := b.attach(); !errors.Is(err, engine.ErrNotStarted) {
			t.Errorf("attach: %v", err)
		}
	}
}

func TestPhaseRunsOnce(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	exe, err := os.Executable()
	b.must(err)
	again := func() int {
		err := exec.Command(exe, "run-job", b.folder).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("a second runner: %v", err)
		}
		return exit.ExitCode()
	}
	b.start()
	runner := b.runnerPID()
	if code := again(); code != exitRefused {
		t.Errorf("beside one that lives: exit code %d", code)
	}
	b.kill(runner)
	b.untilFree()
	if code := again(); code != exitRefused {
		t.Errorf("after one that was killed: exit code %d", code)
	}
}

func TestFolderThatWasNeverMadeIsNotStarted(t *testing.T) {
	b := setup(t, script{})
	if _, err := b.attach(); !errors.Is(err, engine.ErrLost) {
		t.Errorf("without the job's folder: %v", err)
	}
	b.must(os.MkdirAll(filepath.Dir(b.folder), 0o700))
	if _, err := b.attach(); !errors.Is(err, engine.ErrNotStarted) {
		t.Errorf("with it: %v", err)
	}
	if _, err := b.launcher.Start(t.Context(), b.folder, b.task); !errors.Is(err, fs.ErrExist) {
		t.Errorf("it can be started still: %v", err)
	}
}

func TestTornJournalLineIsPassedOver(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	r := b.start()
	b.kill(b.runnerPID())
	f, err := os.OpenFile(filepath.Join(b.folder, journalFile), os.O_WRONLY|os.O_APPEND, 0)
	b.must(err)
	_, err = f.WriteString("\x00\x00\xff\n{\"seq\":4,\"type\":\"oper")
	b.must(errors.Join(err, f.Close()))
	var seen []string
	_, err = r.Wait(t.Context(), func(e engine.Event) { seen = append(seen, string(e.Type)) })
	if !errors.Is(err, engine.ErrLost) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"runner-started", "operation-started", "engine-started"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRunnerKilledAfterItsResultHasAResult(t *testing.T) {
	b := setup(t, script{})
	res, _ := b.wait(b.start())
	b.untilFree()
	// As if it had been killed between the result and all that follows.
	b.must(os.WriteFile(filepath.Join(b.folder, taskFile), []byte(`{"secrets":["`+secret+`"]}`), 0o600))
	text := readText(b.folder, journalFile)
	b.must(os.WriteFile(filepath.Join(b.folder, journalFile), []byte(text[:strings.Index(text, `{"seq":5`)]), 0o600))
	r, err := b.attach()
	b.must(err)
	got, seen := b.wait(r)
	if diff := cmp.Diff(res, got); diff != "" || len(seen) != 4 {
		t.Errorf("%d events, result (-want +got):\n%s", len(seen), diff)
	}
	b.nothingSecret()
}

func TestCrashedRunnersLastWordsAreKeptWithoutSecrets(t *testing.T) {
	b := setup(t, script{Do: "crash"})
	if _, err := b.start().Wait(t.Context(), nil); !errors.Is(err, engine.ErrLost) {
		t.Error(err)
	}
	if log := b.log(); !strings.Contains(log, "a crash with (sensitive)") {
		t.Errorf("log %s", log)
	}
	b.nothingSecret()
}

// nothingSecret looks for the secret, and the daemon's keys, in every file of the
// job and on every command line.
func (b *bench) nothingSecret() {
	b.Helper()
	canaries := map[string][]byte{
		"secret": []byte(secret), "secret in base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(secret)))[:16],
		"identity": []byte(b.key.Identity()), "hash key": []byte(base64.StdEncoding.EncodeToString(b.key.HashKey())),
	}
	look := func(where string, content []byte) {
		for what, canary := range canaries {
			if bytes.Contains(content, canary) {
				b.Errorf("%s: %s in clear", where, what)
			}
		}
	}
	b.check(filepath.WalkDir(filepath.Dir(b.folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		look(path, content)
		return err
	}))
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	b.check(err)
	for _, line := range lines {
		content, _ := os.ReadFile(line) // it may have ended
		look(line, content)
	}
}

func TestNoSecretStaysInAFolder(t *testing.T) {
	t.Parallel()
	for name, sc := range map[string]script{
		"well":      {Log: "it is " + secret + " and " + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n", Times: 3},
		"failed":    {Log: secret, Fail: "the password " + secret + " is wrong"},
		"panicked":  {Do: "panic"},
		"orphaned":  {Do: "leave orphans", Log: secret},
		"in pieces": {Log: secret[:7], Do: "wait"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, sc)
			r := b.start()
			if sc.Do == "wait" {
				b.untilMarked("waits")
				// While it runs, the task is the only place.
				st, err := os.Stat(filepath.Join(b.folder, taskFile))
				if b.check(err); st.Mode() != 0o600 {
					t.Errorf("the task has mode %v", st.Mode())
				}
				b.goOn()
			}
			res, _ := b.wait(r)
			b.nothingSecret()
			if res.Plan == nil {
				return
			}
			b.planned2(sc)
			b.wait(b.start())
			b.nothingSecret()
		})
	}
}

// planned2 makes the apply phase of a plan phase that has ended the next to be
// started.
func (b *bench) planned2(sc script) {
	b.Helper()
	res, err := readResult(b.folder)
	b.must(err)
	b.task.Phase, b.task.PlanFileDigest, b.task.Identity = engine.PhaseApply, res.Plan.FileDigest, b.key.Identity()
	b.task.PlanFile = filepath.Join(b.folder, engine.SealedPlan)
	b.task.Inputs = b.script(sc)
	b.folder = filepath.Join(b.dir, "jobs", "sj_1", "1-apply")
}

// The driver goes on only when what it said before has arrived.
func TestEventsArriveWhileTheDriverWorks(t *testing.T) {
	b := setup(t, script{Do: "wait", Times: 3})
	r := b.start()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	arrived := 0
	res, err := r.Wait(ctx, func(e engine.Event) {
		if e.Type != engine.ResourceProgress {
			return
		}
		if arrived++; arrived == 3 {
			b.goOn()
		}
	})
	if err != nil || res.Plan == nil {
		t.Fatalf("%d events arrived, then %v, %+v", arrived, err, res.Failure)
	}
}

func BenchmarkPhaseThatDoesNothing(b *testing.B) {
	dir := b.TempDir()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	key := newKey(b, dir)
	l := NewLauncher(Options{Executable: []string{exe, "run-job"}})
	for i := 0; b.Loop(); i++ {
		r, err := l.Start(b.Context(), filepath.Join(dir, "jobs", fmt.Sprint(i), "1-plan"), taskFor(dir, key))
		if err != nil {
			b.Fatal(err)
		}
		if res, err := r.Wait(b.Context(), nil); err != nil || res.Plan == nil {
			b.Fatal(res.Failure, err)
		}
	}
}

// BenchmarkExec is what the machine takes for a process that does nothing.
func BenchmarkExec(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = exec.Command(exe, "run-job", "relative").Run() // refused at once
	}
}
