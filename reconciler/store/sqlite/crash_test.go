package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// roleVariable makes the test binary play another part; folderVariable is its data
// folder.
const (
	roleVariable   = "REEVE_TEST_ROLE"
	folderVariable = "REEVE_TEST_FOLDER"
)

// child is the life of a process that a test has started.
func child(role string) int {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Folder: os.Getenv(folderVariable)})
	if role == "open" {
		fmt.Println(err)
		return 0
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	if role == "hold" {
		fmt.Println("open")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the test ends
		return 0
	}
	return moveForEver(s)
}

// moveForEver takes jobs through their lives and says of each write that it was
// committed, after it was.
func moveForEver(s *sqlite.Store) int {
	ctx := context.Background()
	start := time.Now().UnixNano()
	for n := 0; ; n++ {
		id := stackjob.JobID(fmt.Sprintf("sj_%d_%06d", start, n))
		j := newJob(id, fmt.Sprintf("net%d", n%3), fmt.Sprint(start, n))
		say := func(state stackjob.State, err error) bool {
			if err != nil {
				fmt.Println("error", err)
				return false
			}
			fmt.Println("committed", id, state)
			return true
		}
		if _, err := s.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{j}}); !say(stackjob.Queued, err) {
			return 1
		}
		now := time.Now()
		j, err := s.Move(ctx, id, stackjob.StartPlan(now, "child", now.Add(time.Minute), stackjob.PolicyChoice{}))
		if errors.Is(err, store.ErrStackBusy) {
			continue // left running by a process that was killed
		}
		if !say(j.State, err) {
			return 1
		}
		l := stackjob.Lease{Owner: "child", Fence: j.Fence}
		plan := stackjob.Plan{Digest: "sha256:aa", Text: strings.Repeat("x", rand.IntN(20_000))}
		if j, err = s.Move(ctx, id, stackjob.Planned(now, l, plan, stackjob.Verdict{Decision: stackjob.Proceed})); !say(j.State, err) {
			return 1
		}
		if j, err = s.Move(ctx, id, stackjob.StartApply(now, "child", now.Add(time.Minute), "sha256:aa")); !say(j.State, err) {
			return 1
		}
		o := &stackjob.Observed{Key: j.Desired.Key, Desired: j.Desired, JobID: id}
		l.Fence = j.Fence
		if j, err = s.Move(ctx, id, stackjob.Applied(now, l, stackjob.Outcome{Result: stackjob.ResultSucceeded}, o)); !say(j.State, err) {
			return 1
		}
	}
}

func newJob(id stackjob.JobID, name, inputs string) stackjob.Job {
	d := stackjob.Desired{Key: schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: name},
		Inputs: []byte(fmt.Sprintf("%q", inputs)), Spec: []byte("{}"), Commit: "c1"}
	return stackjob.Job{ID: id, Purpose: stackjob.Reconcile, Action: stackjob.Apply, Desired: d, DesiredDigest: d.Digest(),
		State: stackjob.Queued, CreatedAt: time.Now()}
}

func startChild(t *testing.T, role, folder string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, folderVariable+"="+folder)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // open until the child has ended
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// TestNothingCommittedIsLostToAKill kills a writer at random points and looks at what
// is left: everything that it was told is committed must be there, nothing may be
// half there, and the next process can go on.
func TestNothingCommittedIsLostToAKill(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	committed := map[stackjob.JobID][]stackjob.State{}
	for round := range rounds {
		cmd, out := startChild(t, "move", folder)
		for left := 1 + rand.IntN(60); left > 0 && out.Scan(); left-- {
			note(t, committed, out.Text())
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for out.Scan() { // what it said before it died counts too
			note(t, committed, out.Text())
		}
		_ = cmd.Wait() // it was killed
		lookAround(t, round, folder, committed)
	}
	if len(committed) == 0 {
		t.Error("no job was ever written: the test shows nothing")
	}
}

func note(t *testing.T, committed map[stackjob.JobID][]stackjob.State, line string) {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	id, state, ok := strings.Cut(rest, " ")
	if word != "committed" || !ok {
		t.Fatalf("the child says %q", line)
	}
	committed[stackjob.JobID(id)] = append(committed[stackjob.JobID(id)], stackjob.State(state))
}

func lookAround(t *testing.T, round int, folder string, committed map[stackjob.JobID][]stackjob.State) {
	t.Helper()
	s := open(t, sqlite.Options{Folder: folder})
	defer s.Close()
	ctx := t.Context()
	history := map[stackjob.JobID][]stackjob.State{}
	events, err := s.Events(ctx, "", 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range events {
		if ev.Seq != int64(i)+1 {
			t.Fatalf("round %d: event %d has number %d", round, i+1, ev.Seq)
		}
		history[ev.Job] = append(history[ev.Job], ev.State)
	}
	for id, want := range committed {
		got := history[id]
		if len(got) < len(want) {
			t.Errorf("round %d: job %s: committed %v, found %v", round, id, want, got)
		}
	}
	running := map[schema.ResourceKey]stackjob.JobID{}
	jobs, err := s.List(ctx, store.JobQuery{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) != len(history) {
		t.Errorf("round %d: %d jobs, history of %d", round, len(jobs), len(history))
	}
	for _, j := range jobs {
		if h := history[j.ID]; len(h) == 0 || h[len(h)-1] != j.State {
			t.Errorf("round %d: job %s is %s, its history says %v", round, j.ID, j.State, h)
		}
		if j.State == stackjob.Applying && !j.Plan.Consumed {
			t.Errorf("round %d: job %s applies a plan that is not consumed", round, j.ID)
		}
		if j.State.IsRunning() {
			if other, ok := running[j.Desired.Key]; ok {
				t.Errorf("round %d: %s and %s run on one stack", round, other, j.ID)
			}
			running[j.Desired.Key] = j.ID
		}
	}
	endRunning(t, s, running)
}

// endRunning does what the next daemon does with what the dead one left.
func endRunning(t *testing.T, s *sqlite.Store, running map[schema.ResourceKey]stackjob.JobID) {
	t.Helper()
	now := time.Now().Add(time.Hour) // the dead one's lease has ended
	for _, id := range running {
		j, err := s.Move(t.Context(), id, stackjob.TakeOver(now, "test", now.Add(time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		l := stackjob.Lease{Owner: "test", Fence: j.Fence}
		m := stackjob.Fail(now, &l, stackjob.Reason{Code: stackjob.ReasonRunnerLost})
		if j.State == stackjob.Applying {
			m = stackjob.Applied(now, l, stackjob.Outcome{Result: stackjob.ResultInterrupted}, &stackjob.Observed{Key: j.Desired.Key, JobID: id})
		}
		if j, err = s.Move(t.Context(), id, m); err != nil || !j.State.IsFinal() {
			t.Fatalf("%s: %v, %v", id, j.State, err)
		}
	}
}

func TestASecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cmd, out := startChild(t, "hold", folder)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("the holder says %q", out.Text())
	}
	_, err := sqlite.Open(t.Context(), sqlite.Options{Folder: folder})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("(process %d)", cmd.Process.Pid)) {
		t.Fatalf("got %v, want ErrInUse with process %d", err, cmd.Process.Pid)
	}
	// A holder that is killed holds nothing.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := open(t, sqlite.Options{Folder: folder}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderThatCannotBeWrittenIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := open(t, sqlite.Options{Folder: filepath.Join(folder, "data")}).Close(); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"missing": filepath.Join(folder, "new"), "there": filepath.Join(folder, "data")} {
		t.Run(name, func(t *testing.T) {
			got := openAsNobody(t, path)
			if !strings.Contains(got, store.ErrReadOnly.Error()) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// openAsNobody opens a folder in a process without rights on it. Root may write
// everywhere, so root's test starts it as another user.
func openAsNobody(t *testing.T, path string) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "child")
	tooltest.CopyOwnProgram(t, exe)
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = []string{roleVariable + "=open", folderVariable + "=" + path}
	if os.Geteuid() == 0 {
		for _, p := range []string{filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)), filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			if err := os.Chmod(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	} else {
		for _, p := range []string{filepath.Join(path, "reeve.lock"), path, filepath.Dir(path)} {
			fi, err := os.Stat(p)
			if err != nil {
				continue // the one that is missing
			}
			if err := os.Chmod(p, fi.Mode().Perm()&^0o222); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(p, 0o700) }) // for the folder's removal
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
