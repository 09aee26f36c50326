package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestPlanRunsToItsEndAndLeavesNothingInClear(t *testing.T) {
	b := setup(t, script{Log: "hello\n"})
	res, seen := b.wait(b.start())
	if diff := cmp.Diff([]string{"runner-started", "operation-started", "engine-started", "operation-ended", "runner-ended"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	want := engine.Result{Phase: engine.PhasePlan, Plan: &stackjob.Plan{Digest: "sha256:d", HasChanges: true, Engine: "scripted 1"},
		Operations: []stackjob.Operation{{Kind: stackjob.OpPlan, Result: stackjob.ResultSucceeded, LogTo: 6}}}
	if diff := cmp.Diff(want, res, cmpopts.IgnoreFields(stackjob.Plan{}, "FileDigest")); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if b.log() != "hello\n" {
		t.Errorf("log %q", b.log())
	}
	if diff := cmp.Diff([]string{journalFile, lockFile, logFile, engine.SealedPlan, resultFile, outputFile}, b.names()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, name := range append(b.names(), ".") {
		st, err := os.Stat(filepath.Join(b.folder, name))
		if b.check(err); st.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
	}
	b.until("the lock is free", func() bool { held, err := isHeld(b.folder); return err == nil && !held })
	b.check(Cleanup(b.folder))
	if diff := cmp.Diff([]string{journalFile, logFile, resultFile}, b.names()); diff != "" {
		t.Errorf("files after cleaning up (-want +got):\n%s", diff)
	}
	r, err := b.launcher.Attach(t.Context(), b.folder)
	b.must(err)
	if again, _ := b.wait(r); !cmp.Equal(res, again) {
		t.Errorf("another result the second time: %s", cmp.Diff(res, again))
	}
}

// planned runs a plan phase and makes the apply phase the next to be started.
func (b *bench) planned(sc script) {
	b.Helper()
	res, _ := b.wait(b.start())
	if res.Plan == nil {
		b.Fatalf("no plan: %+v", res.Failure)
	}
	b.task.Phase, b.task.PlanFileDigest, b.task.PlanDigest = engine.PhaseApply, res.Plan.FileDigest, res.Plan.Digest
	b.task.PlanFile = filepath.Join(b.folder, engine.SealedPlan)
	b.task.Identity = b.key.Identity()
	b.task.Inputs = b.script(sc)
	b.folder = filepath.Join(b.dir, "jobs", "sj_1", "1-apply")
	b.check(os.Remove(filepath.Join(b.task.Workspace, "engine-ran")))
}

func TestApplyGetsThePlanThatWasMade(t *testing.T) {
	b := setup(t, script{Log: "x"})
	b.planned(script{})
	res, _ := b.wait(b.start())
	want := engine.Result{Phase: engine.PhaseApply, Outcome: &stackjob.Outcome{Result: stackjob.ResultSucceeded, Counts: stackjob.Counts{Create: 1}},
		Operations: []stackjob.Operation{{Kind: stackjob.OpApply, Result: stackjob.ResultSucceeded, LogFrom: 20, LogTo: 20}}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if b.log() != `plan of {"log":"x"}`+"\n" {
		t.Errorf("log %q", b.log())
	}
	if _, err := os.Stat(filepath.Join(b.folder, privateFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the plan in clear: %v", err)
	}
}

func TestPlanThatIsAnotherIsNotApplied(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*bench){
		"one bit":       func(b *bench) { b.flip(b.task.PlanFile) },
		"cut off":       func(b *bench) { b.check(os.Truncate(b.task.PlanFile, 150)) },
		"gone":          func(b *bench) { b.check(os.Remove(b.task.PlanFile)) },
		"another plan":  func(b *bench) { b.task.PlanFileDigest = "sha256:" + strings.Repeat("0", 64) },
		"not even one":  func(b *bench) { b.check(os.WriteFile(b.task.PlanFile, []byte("plan"), 0o600)) },
		"no identity":   func(b *bench) { b.task.Identity = "" },
		"digest is not": func(b *bench) { b.task.PlanFileDigest = "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, script{})
			b.planned(script{})
			spoil(b)
			res, _ := b.wait(b.start())
			if res.Failure == nil || res.Failure.Reason.Code != stackjob.ReasonPlanChanged || res.Failure.Class != engine.ClassPerson || res.Outcome != nil {
				t.Errorf("result %+v, failure %+v", res, res.Failure)
			}
			if _, err := os.Stat(filepath.Join(b.task.Workspace, "engine-ran")); err == nil {
				t.Error("the engine ran")
			}
		})
	}
}

func (b *bench) flip(path string) {
	c, err := os.ReadFile(path)
	b.must(err)
	c[len(c)-5] ^= 4
	b.must(os.WriteFile(path, c, 0o600))
}

func TestInterruptReachesTheDriver(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	r := b.start()
	b.untilMarked("waits")
	b.check(r.Interrupt())
	// A second one shortens nothing; it may come when all is over.
	if err := r.Interrupt(); !errors.Is(err, os.ErrProcessDone) {
		b.check(err)
	}
	res, _ := b.wait(r)
	if !res.Cancelled || res.Failure == nil || res.Failure.Reason.Detail != errInterrupted.Error() {
		t.Errorf("result %+v, failure %+v", res, res.Failure)
	}
	b.until("it has ended", func() bool { return errors.Is(r.Interrupt(), os.ErrProcessDone) })
}

func TestInterruptBeforeTheRunnerListensIsNotLost(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	b.command(`while [ ! -e go ]; do :; done; exec "$0" run-job "$1"`)
	r := b.start()
	b.check(r.Interrupt())
	b.check(os.WriteFile(filepath.Join(b.folder, "go"), nil, 0o600))
	if res, _ := b.wait(r); !res.Cancelled {
		t.Errorf("result %+v", res)
	}
}

func TestWaitEndsWithItsContextAndTheRunnerGoesOn(t *testing.T) {
	b := setup(t, script{Do: "wait"})
	r := b.start()
	b.untilMarked("waits")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Wait(ctx, func(e engine.Event) {
		if e.Type == engine.EngineStarted {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.goOn()
	if res, _ := b.wait(r); res.Plan == nil {
		t.Errorf("result %+v", res)
	}
}

func TestHungDriverIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeouts map[stackjob.OperationKind]time.Duration
		want     stackjob.ReasonCode
	}{
		"when interrupted":      {nil, stackjob.ReasonInternal},
		"when its time is over": {map[stackjob.OperationKind]time.Duration{stackjob.OpApply: 50 * time.Millisecond}, stackjob.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, script{})
			b.planned(script{Do: "hang"})
			b.command(`exec "$0" run-job-briskly "$1"`)
			b.task.Grace, b.task.Timeouts = 50*time.Millisecond, c.timeouts
			r := b.start()
			b.untilMarked("engine-ran")
			if c.timeouts == nil {
				b.check(r.Interrupt())
			}
			res, _ := b.wait(r)
			if res.Failure == nil || res.Failure.Reason.Code != c.want || res.Outcome == nil || res.Outcome.Result != stackjob.ResultInterrupted {
				t.Errorf("result %+v, failure %+v", res, res.Failure)
			}
		})
	}
}

func TestPanicOfTheDriverIsAFailure(t *testing.T) {
	t.Parallel()
	for do, began := range map[string]bool{"panic": true, "panic before": false} {
		t.Run(do, func(t *testing.T) {
			b := setup(t, script{})
			b.planned(script{Do: do})
			res, seen := b.wait(b.start())
			if res.Failure == nil || res.Failure.Class != engine.ClassBug || (res.Outcome != nil) != began {
				t.Errorf("result %+v, failure %+v", res, res.Failure)
			}
			if began && res.Outcome.Result != stackjob.ResultInterrupted {
				t.Errorf("outcome %+v", res.Outcome)
			}
			if !strings.Contains(b.log(), "scriptedDriver") || strings.Contains(b.log(), secret) {
				t.Errorf("the log has no stack, or the secret: %s", b.log())
			}
			if seen[len(seen)-1] != string(engine.RunnerEnded) {
				t.Errorf("events %v", seen)
			}
		})
	}
}

func TestLogIsCappedAndSaysSo(t *testing.T) {
	b := setup(t, script{Log: strings.Repeat("0123456789abcde\n", 64), Times: 300})
	b.task.Limits.LogBytes = 10_000
	b.wait(b.start())
	want := "\nreeve: 297200 bytes of the log are missing: a log is kept up to 10000 bytes\n"
	if log := b.log(); !strings.HasSuffix(log, want) || len(log) != 10_000+len(want) {
		t.Errorf("%d bytes, the end is %q", len(log), log[max(0, len(log)-100):])
	}
}

// Whoever is told to look at the log must find there why the phase failed.
func TestLogSaysWhyAPhaseFailed(t *testing.T) {
	for name, c := range map[string]struct {
		script script
		limit  int64
		want   string
	}{
		"what was found before any engine":     {script{Text: "No such host.\n\nInstall it with " + secret + ".\n"}, 0, "No such host.\nInstall it with (sensitive).\n"},
		"what the engine said is not repeated": {script{Log: "Error: bad\n  on line 3", Times: 1, Text: "Interrupted.\n\nError: bad\n  on line 3\n"}, 0, "Error: bad\n  on line 3\nInterrupted.\n"},
		"beyond the limit": {script{Log: "0123456789\n", Times: 9, Text: "Error: bad"}, 11,
			"0123456789\n\nreeve: 88 bytes of the log are missing: a log is kept up to 11 bytes\nError: bad\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c.script.Fail = "it"
			b := setup(t, c.script)
			b.task.Limits.LogBytes = c.limit
			if res, _ := b.wait(b.start()); res.Failure == nil {
				t.Fatalf("result %+v", res)
			}
			if diff := cmp.Diff(c.want, b.log()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogIsText(t *testing.T) {
	b := setup(t, script{})
	b.task.Inputs = []byte(`{"log":"\u001b[31mred\u001b[0m \u0000bell\u0007 ` + "\\ufffd" + `\r\nend"}`)
	b.wait(b.start())
	if diff := cmp.Diff("red bell \ufffd\nend", b.log()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestFullDiskDoesNotStopAnEngine(t *testing.T) {
	b := setup(t, script{})
	b.planned(script{Log: strings.Repeat("x", 1023) + "\n", Times: 200})
	b.task.Limits.FileBytes = 32 << 10 // writes beyond it fail, as on a full disk
	res, _ := b.wait(b.start())
	if res.Outcome == nil || res.Outcome.Result != stackjob.ResultSucceeded || res.Failure != nil {
		t.Errorf("result %+v, failure %+v", res, res.Failure)
	}
}

func TestPlanThatCannotBeOpenedForLackOfRoomIsNotApplied(t *testing.T) {
	b := setup(t, script{})
	b.planned(script{})
	b.task.Limits.FileBytes = 1
	res, _ := b.wait(b.start())
	if res.Failure == nil || res.Failure.Reason.Code != stackjob.ReasonDiskFull || res.Failure.Class != engine.ClassWait || res.Outcome != nil {
		t.Errorf("result %+v, failure %+v", res, res.Failure)
	}
	if _, err := os.Stat(filepath.Join(b.task.Workspace, "engine-ran")); err == nil {
		t.Error("the engine ran")
	}
}

func TestOperationThatCannotBeJournaledIsNotBegun(t *testing.T) {
	b := setup(t, script{})
	b.task.Limits.FileBytes = 100 // room for runner-started, which is there, and no more
	res, seen := b.wait(b.start())
	if res.Failure == nil || res.Failure.Reason.Code != stackjob.ReasonDiskFull || res.Cancelled || res.Plan != nil {
		t.Errorf("result %+v, failure %+v", res, res.Failure)
	}
	if _, err := os.Stat(filepath.Join(b.task.Workspace, "engine-ran")); err == nil {
		t.Errorf("the engine ran: %v", seen)
	}
}

func TestResultWaitsForRoom(t *testing.T) {
	t.Parallel()
	outcome := engine.Result{Phase: engine.PhaseApply, Outcome: &stackjob.Outcome{Result: stackjob.ResultSucceeded}}
	plan := engine.Result{Phase: engine.PhasePlan, Plan: &stackjob.Plan{Text: "long"}}
	for name, c := range map[string]struct {
		result  engine.Result
		hasRoom func(dir, content string, tries int) bool
		want    string
		fails   bool
	}{
		"in what was reserved": {outcome, func(dir, _ string, _ int) bool {
			_, err := os.Stat(filepath.Join(dir, reserveFile))
			return err != nil
		}, "succeeded", false},
		"until somebody makes room":      {outcome, func(_, _ string, tries int) bool { return tries > 10 }, "succeeded", false},
		"a plan that is too large":       {plan, func(_, content string, _ int) bool { return !strings.Contains(content, "long") }, "disk-full", false},
		"an outcome, but not for ever":   {outcome, func(string, string, int) bool { return false }, "", true},
		"a plan for which is never room": {plan, func(string, string, int) bool { return false }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, reserveFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			tries := 0
			w := resultWriter{folder: dir, patience: time.Minute, pause: func(time.Duration) {}, write: func(folder, name string, content []byte) error {
				if tries++; !c.hasRoom(dir, string(content), tries) {
					return &os.PathError{Op: "write", Path: name, Err: unix.ENOSPC}
				}
				return replace(folder, name, content)
			}}
			err := w.put(c.result)
			if (err != nil) != c.fails {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(filepath.Join(dir, resultFile))
			if !strings.Contains(string(got), c.want) {
				t.Errorf("result %s", got)
			}
		})
	}
}

func TestLimitsReachTheEngineAndTheDaemonsThingsDoNot(t *testing.T) {
	b := setup(t, script{Do: "shell"})
	b.task.Limits = engine.Limits{OpenFiles: 321, FileBytes: 1 << 20, MemoryBytes: 64 << 30, Processes: 1 << 20}
	// A socket that the daemon forgot to close on exec.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	b.must(err)
	defer f.Close()
	leaked, err := unix.Dup(int(f.Fd()))
	b.must(err)
	defer func() { b.check(unix.Close(leaked)) }()
	b.wait(b.start())
	got := strings.Split(b.untilMarked("shell"), "\n")
	id := readHolder(b.folder).Run
	// ulimit -f counts in blocks of 512 bytes.
	want := []string{"321", "2048", "0077", "0", "REEVE_RUN=" + id + ";"}
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Errorf("the engine sees (-want +got):\n%s", diff)
	}
	// The signals that the runner itself handles keep their default in the engine;
	// what else is ignored comes from whoever started the test.
	var ignored uint64
	if _, err := fmt.Sscanf(got[len(got)-2], "SigIgn:\t%x", &ignored); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		if ignored&(1<<(sig-1)) != 0 {
			t.Errorf("the engine ignores %v", sig)
		}
	}
}

func TestLimitsThatTheRunnerCannotLiveWithAreRefused(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]engine.Limits{"memory": {MemoryBytes: 1 << 20}, "files": {OpenFiles: 8}} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, script{})
			b.task.Limits = l
			res, _ := b.wait(b.start())
			if res.Failure == nil || res.Failure.Class != engine.ClassPerson || !strings.Contains(res.Failure.Reason.Detail, "limit is") {
				t.Errorf("failure %+v", res.Failure)
			}
		})
	}
}

func TestStaleLockIsReleasedFirst(t *testing.T) {
	t.Parallel()
	for id, works := range map[string]bool{"l1": true, "stuck": false} {
		t.Run(id, func(t *testing.T) {
			b := setup(t, script{Log: "planned\n"})
			b.task.ReleaseLock = &engine.StateLock{ID: id}
			res, _ := b.wait(b.start())
			if (res.Plan != nil) != works || !strings.HasPrefix(b.log(), "unlocked "+id+"\n") {
				t.Errorf("result %+v, failure %+v, log %q", res, res.Failure, b.log())
			}
			if !works && (res.Failure.Reason.Code != stackjob.ReasonStateLocked || res.Failure.Lock.ID != id) {
				t.Errorf("failure %+v", res.Failure)
			}
		})
	}
}

func TestEngineThatIsNotKnownIsAFailure(t *testing.T) {
	b := setup(t, script{})
	b.task.Program.Provisioner = "other"
	res, _ := b.wait(b.start())
	if res.Failure == nil || res.Failure.Reason.Code != stackjob.ReasonEngineMissing {
		t.Errorf("failure %+v", res.Failure)
	}
}

func TestLogIsReadWhileItIsWritten(t *testing.T) {
	b := setup(t, script{Do: "wait", Log: "first\n"})
	r := b.start()
	b.untilMarked("waits")
	l, err := OpenLog(t.Context(), b.folder, 2, ToTheEnd)
	b.must(err)
	defer l.Close()
	p := make([]byte, 100)
	n, err := l.Read(p)
	if string(p[:n]) != "rst\n" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
	now, err := OpenLog(t.Context(), b.folder, 0, AsItIs)
	b.must(err)
	defer now.Close()
	if all, err := io.ReadAll(now); string(all) != "first\n" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	b.check(r.Interrupt())
	if rest, err := io.ReadAll(l); len(rest) != 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l2, err := OpenLog(ctx, b.folder, 0, ToTheEnd)
	b.must(err)
	if _, err := l2.Read(p); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	nothing, err := OpenLog(t.Context(), filepath.Join(b.dir, "nowhere"), 0, ToTheEnd)
	b.must(err)
	if all, err := io.ReadAll(nothing); len(all) != 0 || err != nil {
		t.Errorf("%q, %v", all, err)
	}
}

func TestStartLeavesNothingWhenItFails(t *testing.T) {
	b := setup(t, script{})
	b.launcher = NewLauncher(Options{Executable: []string{filepath.Join(b.dir, "nothing"), "run-job"}})
	if _, err := b.launcher.Start(t.Context(), b.folder, b.task); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
	if _, err := NewLauncher(Options{}).Start(t.Context(), b.folder, b.task); err == nil {
		t.Error("no executable, and no error")
	}
}

func TestFolderIsUsedOnce(t *testing.T) {
	b := setup(t, script{})
	b.wait(b.start())
	before := fmt.Sprint(b.names())
	if _, err := b.launcher.Start(t.Context(), b.folder, b.task); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, fmt.Sprint(b.names())); diff != "" {
		t.Errorf("the folder changed:\n%s", diff)
	}
}

func TestNamesInAPlanAreMasked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := openSink(folder, engine.Task{Secrets: []string{"canary-task"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Hide([]string{"canary-found"})
	plan := stackjob.Plan{
		Text: "canary-found", Warnings: []string{"of canary-task"}, Digest: "sha256:1",
		Resources: []stackjob.ResourceChange{{Address: "urn::canary-task", Previous: "urn::canary-found", Type: "t", Name: "canary-task",
			Attributes: []stackjob.AttributeChange{{Path: "tags.canary-found"}}}},
		Drift:   []stackjob.ResourceChange{{Address: "urn::canary-task", Name: "canary-found"}},
		Outputs: []stackjob.OutputChange{{Name: "o", AttributeChange: stackjob.AttributeChange{Path: "canary-task"}}},
	}
	before, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	got := s.maskResult(engine.Result{Plan: &plan})
	want := stackjob.Plan{
		Text: "(sensitive)", Warnings: []string{"of (sensitive)"}, Digest: "sha256:1",
		Resources: []stackjob.ResourceChange{{Address: "urn::(sensitive)", Previous: "urn::(sensitive)", Type: "t", Name: "(sensitive)",
			Attributes: []stackjob.AttributeChange{{Path: "tags.(sensitive)"}}}},
		Drift:   []stackjob.ResourceChange{{Address: "urn::(sensitive)", Name: "(sensitive)"}},
		Outputs: []stackjob.OutputChange{{Name: "o", AttributeChange: stackjob.AttributeChange{Path: "(sensitive)"}}},
	}
	if diff := cmp.Diff(&want, got.Plan); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if after, err := json.Marshal(plan); err != nil || string(after) != string(before) {
		t.Errorf("the driver's own plan was changed: %s, %v", after, err)
	}
}
