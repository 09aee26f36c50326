package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// refused starts a daemon in a process of its own that must end by itself, and
// returns what it said.
func (w *world) refused(as *syscall.Credential, cfg string) string {
	w.t.Helper()
	p := w.daemonAs(as, cfg)
	err := p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 3 {
		w.t.Errorf("the daemon ended with %d (%v), expected 3", code, err)
	}
	return strings.TrimSpace(p.out.String())
}

// daemonAs starts a daemon process as another user, or as this one.
func (w *world) daemonAs(as *syscall.Credential, cfg string) *process {
	w.t.Helper()
	if as == nil {
		return w.daemon(cfg)
	}
	exe := filepath.Join(w.root, "daemon")
	tooltest.CopyOwnProgram(w.t, exe)
	p := &process{t: w.t, cmd: exec.Command(exe, "crash-daemon", cfg), out: &lockedBuffer{}}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.out, p.out, "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestASecondDaemonIsToldWhoHasTheFolder(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter)
	w.commit("nothing")
	w.start()
	text := w.refused(nil, w.writeConfig())
	want := fmt.Sprintf("%s: the data folder is in use by another daemon (process %d)", filepath.Join(w.root, "data"), os.Getpid())
	if !strings.Contains(text, want) || strings.Count(text, "\n") > 0 {
		t.Errorf("it said %q, expected %q", text, want)
	}
	if w.look(); w.app.Ready(context.Background()) != nil {
		t.Error("the first daemon was disturbed")
	}
}

func TestAPortInUseIsSaidBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter)
	w.commit("nothing")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	cfg := w.writeConfig()
	b, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "127.0.0.1:0", ln.Addr().String())
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := w.refused(nil, cfg); !strings.Contains(said, ln.Addr().String()) || !strings.Contains(said, "--listen") {
		t.Errorf("it said %q", said)
	}
	if _, err := os.Stat(filepath.Join(w.root, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder was made: %v", err)
	}
}

func TestADataFolderThatCannotBeWrittenIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter)
	w.commit("nothing")
	w.start()
	w.stop()
	cfg, data := w.writeConfig(), filepath.Join(w.root, "data")
	var nobody *syscall.Credential
	if os.Geteuid() == 0 { // who may write everywhere
		nobody = &syscall.Credential{Uid: 65534, Gid: 65534}
		for dir := w.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(w.root, 0o777), os.Chmod(cfg, 0o644), os.Chmod(data, 0o755)); err != nil {
			t.Fatal(err)
		}
	} else {
		if err := errors.Join(os.Chmod(filepath.Join(data, "reeve.lock"), 0o400), os.Chmod(data, 0o500)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(data, 0o700) })
	}
	said := w.refused(nobody, cfg)
	if !strings.Contains(said, store.ErrReadOnly.Error()) || !strings.Contains(said, data) {
		t.Errorf("it said %q", said)
	}
}

func TestAKeyThatIsGoneIsNotReplacedSilently(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.stop()
	key := filepath.Join(w.root, "data", "key.txt")
	if err := os.Rename(key, key+".copy"); err != nil {
		t.Fatal(err)
	}
	_, err := app.New(context.Background(), app.Options{Config: w.config(), Environ: os.Environ(), Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, app.ErrKeyMissing) || !strings.Contains(err.Error(), key) {
		t.Errorf("without its key: %v", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new key was made: %v", err)
	}
	keyCheck := func() app.Check {
		all := app.Doctor(context.Background(), w.config(), os.Environ(), "", nil)
		return all[slices.IndexFunc(all, func(c app.Check) bool { return c.Name == "key file" })]
	}
	if c := keyCheck(); c.Health != app.Missing {
		t.Errorf("the doctor does not miss the key: %+v", c)
	}
	// Nor by somebody else's, which would be made as little of: no record would open, and
	// every stack would seem to have changed.
	if _, err := seal.OpenOrCreate(key); err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(context.Background(), app.Options{Config: w.config(), Environ: os.Environ(), Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, app.ErrKeyOther) || !strings.Contains(err.Error(), key) {
		t.Errorf("with another key: %v", err)
	}
	if c := keyCheck(); c.Health != app.Missing || !strings.Contains(c.Detail, app.ErrKeyOther.Error()) {
		t.Errorf("the doctor says of another key: %+v", c)
	}
	if err := os.Rename(key+".copy", key); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.quiet()
	if n := len(w.jobs("")); n != 1 {
		t.Errorf("%d jobs: nothing has changed", n)
	}
	w.stop()

	// As the message says: without records there is a new key, the state stays, and
	// the plan finds everything as it should be.
	for _, name := range []string{"key.txt", "reeve.db", "reeve.db-wal", "reeve.db-shm"} {
		if err := os.Remove(filepath.Join(w.root, "data", name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.start()
	if j := w.await(devA, stackjob.Succeeded); j.Reason.Code != stackjob.ReasonNoChanges || w.effects("a") != 1 {
		t.Errorf("the reason is %s, with %d side effects", j.Reason, w.effects("a"))
	}
}

func TestAConfigurationWithErrorsIsRefusedWhole(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	_, found, err := config.Load(config.Options{Path: "reeve.yaml", Environ: os.Environ(),
		Bytes: fmt.Appendf(nil, "dataDir: %q\njobs: {paralel: 3, grace: soon}\n", w.root)})
	if err != nil || len(found) != 2 || !found.HasErrors() {
		t.Errorf("found %v, %v", found, err)
	}
}

// smallDisk makes the data folder a disk of its own with little room. Where this user
// may not do that, the test is told so loudly.
func (w *world) smallDisk(kilobytes int) {
	w.t.Helper()
	dir := filepath.Join(w.root, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := mountSmall(dir, kilobytes); err != nil {
		w.t.Skipf("this user may not mount a small disk (%v); full disks are also tested in reconciler/store/sqlite and reconciler/engine/runner", err)
	}
	w.t.Cleanup(func() {
		w.stop()
		if err := unmount(dir); err != nil {
			w.t.Error(err)
		}
	})
}

// fill takes all room of the disk, and returns what gives it back.
func (w *world) fill() (release func()) {
	w.t.Helper()
	name := filepath.Join(w.root, "data", "filler")
	f, err := os.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			w.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if err := os.Remove(name); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestAFullDiskStopsNewJobsAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.smallDisk(8 << 10)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	release := w.fill()
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	if s := w.look(); !strings.Contains(s.FetchError, "disk") && !strings.Contains(s.FetchError, "space") {
		t.Errorf("the status does not say that the disk is full: %+v", s)
	}
	if w.effects("a") != 1 {
		t.Errorf("%d side effects", w.effects("a"))
	}
	release()
	w.look()
	w.until("the change is applied", func() bool { return w.effects("a") == 2 })
	w.await(devA, stackjob.Succeeded)
	if s := w.look(); s.FetchError != "" {
		t.Errorf("with room again: %s", s.FetchError)
	}
}

// TestADaemonThatCanWriteNothingMoreLosesNothing is the story of the full disk for every
// user: the daemon is a process of its own that may suddenly write no file any more.
func TestADaemonThatCanWriteNothingMoreLosesNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux limits another process")
	}
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	p := w.daemon(w.writeConfig())
	ended := false
	defer func() {
		if !ended {
			p.end()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
	if jobs := awaitQuiet(ctx, t, client); len(jobs) != 1 || jobs[0].State != stackjob.Succeeded {
		t.Fatalf("jobs: %s", summary(jobs))
	}
	lift, err := limitFiles(p.cmd.Process.Pid, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lift() }() // or it could not even stop in order
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	status := func() api.RepositoryStatus {
		s, err := client.Poll(ctx, "config", stackjob.Actor{})
		if err != nil {
			t.Fatalf("it no longer answers: %v", err)
		}
		return s
	}
	s := status()
	if !strings.Contains(s.FetchError, "file too large") && !strings.Contains(s.FetchError, "disk") {
		t.Errorf("the status does not say what is wrong: %+v", s)
	}
	if strings.Contains(s.FetchError, "\n") || strings.Contains(s.FetchError, "goroutine") {
		t.Errorf("that is no message: %s", s.FetchError)
	}
	if again := status(); again.FetchError != s.FetchError {
		t.Errorf("it says %q, and then %q", s.FetchError, again.FetchError)
	}
	// What is recorded can be read, and nothing has begun.
	jobs, err := client.Jobs(ctx, store.JobQuery{})
	if err != nil || len(jobs) != 1 || jobs[0].State != stackjob.Succeeded || w.effects("a") != 1 {
		t.Errorf("jobs: %s (%v), with %d side effects", summary(jobs), err, w.effects("a"))
	}
	if err := lift(); err != nil {
		t.Fatal(err)
	}
	if s := status(); s.FetchError != "" {
		t.Errorf("with room again: %s", s.FetchError)
	}
	if jobs := awaitQuiet(ctx, t, client); len(jobs) != 2 || jobs[0].State != stackjob.Succeeded || w.effects("a") != 2 {
		t.Errorf("jobs: %s with %d side effects", summary(jobs), w.effects("a"))
	}
	ended = true
	p.end()
	if log := p.out.String(); !strings.Contains(log, s.FetchError[max(0, len(s.FetchError)-20):]) || strings.Contains(log, "panic") {
		t.Error("the log does not say it, or says too much")
	}
}

func TestADiskThatFillsDuringAnApplyLosesNoOutcome(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.smallDisk(8 << 10)
	w.write("modules/slow/main.tf", slow, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
	w.commit("slow")
	w.start()
	w.until("the side effect began", func() bool { return w.effects("a") == 1 })
	release := w.fill()
	w.letGo()
	w.until("the engine has ended", func() bool { return len(w.enginesAtWork()) == 0 })
	release()
	w.quiet()
	oldest := w.jobs(devA)[len(w.jobs(devA))-1]
	st := w.stack(devA)
	t.Logf("the job %s (%s)", oldest.State, oldest.Reason)
	switch oldest.State {
	case stackjob.Succeeded:
		if st.Observed == nil || !st.Observed.Complete {
			t.Errorf("on record is %+v", st.Observed)
		}
	case stackjob.Failed, stackjob.Interrupted:
		if st.Observed == nil {
			t.Errorf("it %s (%s) and nothing is on record", oldest.State, oldest.Reason)
		}
	default:
		t.Errorf("the job is %s (%s)", oldest.State, oldest.Reason)
	}
	if n := w.effects("a"); n != 1 {
		t.Errorf("%d side effects", n)
	}
}
