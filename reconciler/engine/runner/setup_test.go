package runner

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// scripted is the engine of the tests: a driver that does what the task's inputs say.
const scripted = schema.Provisioner("scripted")

// The test binary is started again as a runner, and as a daemon that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		drivers := map[schema.Provisioner]engine.Driver{scripted: scriptedDriver{}}
		switch os.Args[1] {
		case "run-job":
			os.Exit(Main(os.Args[2], drivers))
		case "run-job-briskly":
			p := process{folder: os.Args[2], drivers: drivers, slack: 100 * time.Millisecond, now: time.Now}
			os.Exit(p.main())
		case "daemon":
			os.Exit(daemon(os.Args[2]))
		}
	}
	if len(os.Args) == 4 && os.Args[1] == "run-job-announced" {
		// The program has started: whoever reads the pipe may give it work.
		if err := os.WriteFile(os.Args[2], []byte{'\n'}, 0); err != nil {
			os.Exit(exitRefused)
		}
		os.Exit(Main(os.Args[3], map[schema.Provisioner]engine.Driver{scripted: scriptedDriver{}}))
	}
	os.Exit(m.Run())
}

// script is the inputs of a task.
type script struct {
	// Do names what happens in the middle.
	Do string `json:"do,omitempty"`
	// Log is logged, Times times.
	Log   string `json:"log,omitempty"`
	Times int    `json:"times,omitempty"`
	// Fail makes the phase a failure.
	Fail string `json:"fail,omitempty"`
	// Text is the text of that failure.
	Text string `json:"text,omitempty"`
}

type scriptedDriver struct{}

func (d scriptedDriver) Plan(ctx context.Context, t engine.Task, file string, s engine.Sink) engine.Result {
	r := d.run(ctx, t, stackjob.OpPlan, s)
	if r.Failure != nil {
		return r
	}
	content := []byte("plan of " + string(t.Inputs))
	if err := os.WriteFile(file, content, 0o666); err != nil {
		r.Failure = bug(err.Error())
		return r
	}
	r.Plan = &stackjob.Plan{Digest: "sha256:d", FileDigest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), HasChanges: true, Engine: t.Program.String()}
	return r
}

func (d scriptedDriver) Apply(ctx context.Context, t engine.Task, file string, s engine.Sink) engine.Result {
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o600 {
		return engine.Result{Phase: t.Phase, Failure: bug(fmt.Sprint("the plan in clear is not there or not private: ", st, err))}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return engine.Result{Phase: t.Phase, Failure: bug(err.Error())}
	}
	s.Log(append(b, '\n'))
	r := d.run(ctx, t, stackjob.OpApply, s)
	if r.Failure == nil {
		r.Outcome = &stackjob.Outcome{Result: stackjob.ResultSucceeded, Counts: stackjob.Counts{Create: 1}}
	}
	return r
}

func (scriptedDriver) Unlock(_ context.Context, _ engine.Task, lock engine.StateLock, s engine.Sink) error {
	s.Log([]byte("unlocked " + lock.ID + "\n"))
	if lock.ID == "stuck" {
		return errors.New("it is stuck")
	}
	return nil
}

func (d scriptedDriver) run(ctx context.Context, t engine.Task, kind stackjob.OperationKind, s engine.Sink) engine.Result {
	r := engine.Result{Phase: t.Phase}
	var sc script
	if err := json.Unmarshal(t.Inputs, &sc); err != nil {
		r.Failure = bug(err.Error())
		return r
	}
	if sc.Do == "panic before" {
		panic("a panic with " + strings.Join(t.Secrets, " "))
	}
	op := stackjob.Operation{Kind: kind, LogFrom: s.LogOffset()}
	s.Emit(engine.Event{Type: engine.OperationStarted, Operation: kind})
	err := d.do(ctx, t, sc, s)
	op.Result, op.LogTo = stackjob.ResultSucceeded, s.LogOffset()
	if err != nil {
		op.Result = stackjob.ResultFailed
		r.Failure = failure(engine.ClassAuthor, stackjob.ReasonEngine, err.Error(), sc.Text)
		r.Cancelled = ctx.Err() != nil
	}
	r.Operations = append(r.Operations, op)
	s.Emit(engine.Event{Type: engine.OperationEnded, Operation: kind, Ended: &op})
	return r
}

func (d scriptedDriver) do(ctx context.Context, t engine.Task, sc script, s engine.Sink) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	mark(t, "engine-ran", "")
	s.Emit(engine.Event{Type: engine.EngineStarted, PID: os.Getpid(), Command: []string{"scripted", "-x"}})
	for range max(sc.Times, min(len(sc.Log), 1)) {
		s.Log([]byte(sc.Log))
	}
	for i := range sc.Times {
		s.Emit(engine.Event{Type: engine.ResourceProgress, Resource: &engine.Progress{Address: "r[" + strconv.Itoa(i) + "]" + sc.Log, Status: "done"}})
	}
	if sc.Fail != "" {
		return errors.New(sc.Fail)
	}
	switch sc.Do {
	case "panic":
		panic("a panic with " + strings.Join(t.Secrets, " "))
	case "hang":
		select {}
	case "crash":
		go func() { panic("a crash with " + strings.Join(t.Secrets, " ")) }()
		select {}
	case "leave orphans":
		return d.orphans(ctx, t)
	case "leave orphans and wait":
		if err := d.orphans(ctx, t); err != nil {
			return err
		}
		return d.wait(ctx, t)
	case "wait":
		return d.wait(ctx, t)
	case "shell":
		cmd := exec.Command("/bin/sh", "-c", sc.Fail+sc.shell())
		cmd.Env = environ(t)
		out, err := cmd.CombinedOutput()
		mark(t, "shell", string(out))
		return err
	}
	return nil
}

func (sc script) shell() string {
	return `ulimit -n; ulimit -f; umask; ls -l /proc/self/fd | grep -c socket; cat /proc/$PPID/environ | tr '\0' ';'; echo; grep SigIgn /proc/self/status`
}

func environ(t engine.Task) []string {
	env := []string{"PATH=/usr/bin:/bin"}
	for k, v := range t.Env {
		env = append(env, k+"="+v)
	}
	return env
}

// wait says that it waits, until the test lets it go on or it is interrupted.
func (scriptedDriver) wait(ctx context.Context, t engine.Task) error {
	mark(t, "waits", strconv.Itoa(os.Getpid()))
	for {
		if _, err := os.Stat(filepath.Join(t.Workspace, "go")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// orphans starts processes of every stubborn kind and does not wait for them: in a
// group of their own, deaf to signals, in another session, with no environment.
func (scriptedDriver) orphans(ctx context.Context, t engine.Task) error {
	const text = `trap "" INT TERM HUP
sh -c 'trap "" INT TERM HUP; echo $$ >> orphans; sleep 600 & echo $! >> orphans; wait' &
setsid sh -c 'trap "" INT TERM HUP; echo $$ >> orphans; sleep 600' &
env -i sh -c 'echo $$ >> orphans; sleep 600' &
until [ "$(wc -l < orphans)" -ge 4 ]; do :; done
sleep 600`
	cmd := exec.Command("/bin/sh", "-c", text)
	cmd.Dir, cmd.Env = t.Workspace, environ(t)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := os.WriteFile(filepath.Join(t.Workspace, "orphans"), nil, 0o600); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for len(orphansIn(t.Workspace)) < 4 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func orphansIn(dir string) (pids []int) {
	b, _ := os.ReadFile(filepath.Join(dir, "orphans"))
	for word := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mark tells the test something, by a file in the workspace that appears whole.
func mark(t engine.Task, name, content string) {
	path := filepath.Join(t.Workspace, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err == nil {
		_ = os.Rename(path+".new", path)
	}
}

// daemon starts the task that it reads and then only watches.
func daemon(folder string) int {
	var t engine.Task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return 1
	}
	exe, _ := os.Executable()
	r, err := NewLauncher(Options{Executable: []string{exe, "run-job"}}).Start(context.Background(), folder, t)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	_, _ = r.Wait(context.Background(), func(e engine.Event) { fmt.Println(e.Type) })
	return 0
}

// bench is one phase to be tested.
type bench struct {
	*testing.T
	launcher *Launcher
	key      *seal.Key
	dir      string
	folder   string
	task     engine.Task
}

const secret = "correct-horse-battery"

func setup(t *testing.T, sc script) *bench {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, dir)
	b := &bench{T: t, launcher: NewLauncher(Options{Executable: []string{exe, "run-job"}}), key: key, dir: dir}
	b.folder = filepath.Join(dir, "jobs", "sj_1", "1-plan")
	b.task = taskFor(dir, key)
	b.task.Inputs = b.script(sc)
	b.must(os.Mkdir(b.task.Workspace, 0o700))
	// Whatever a test does, nothing of it lives on.
	t.Cleanup(func() {
		for _, lock := range b.locks() {
			h := readHolder(filepath.Dir(lock))
			b.check(sweep.Kill(context.Background(), sweep.Run{ID: h.Run, Session: h.PID}))
		}
		for _, pid := range orphansIn(b.task.Workspace) {
			if isAlive(pid) {
				t.Errorf("orphan %d lives", pid)
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	})
	return b
}

func newKey(t testing.TB, dir string) *seal.Key {
	t.Helper()
	key, err := seal.OpenOrCreate(filepath.Join(dir, "key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// taskFor is a plan that does nothing.
func taskFor(dir string, key *seal.Key) engine.Task {
	return engine.Task{
		Key: schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: "main"},
		Job: "sj_1", Attempt: 1, Phase: engine.PhasePlan, Action: stackjob.Apply, Program: engine.Program{Provisioner: scripted, Path: "/bin/true", Version: "1"},
		Workspace: filepath.Join(dir, "work"), Secrets: []string{secret}, Env: map[string]string{"TOKEN": secret}, Recipient: key.Recipient(),
		HashKey: key.HashKey(), Grace: 5 * time.Second, Inputs: json.RawMessage("{}"),
	}
}

func (b *bench) script(sc script) json.RawMessage {
	raw, err := json.Marshal(sc)
	b.must(err)
	return raw
}

func (b *bench) locks() []string {
	locks, err := filepath.Glob(filepath.Join(b.dir, "jobs", "*", "*", lockFile))
	b.check(err)
	return locks
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) check(err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

func (b *bench) start() engine.Run {
	b.Helper()
	r, err := b.launcher.Start(b.Context(), b.folder, b.task)
	b.must(err)
	return r
}

// command makes the launcher start runners through a shell.
func (b *bench) command(text string) {
	exe, err := os.Executable()
	b.must(err)
	b.launcher = NewLauncher(Options{Executable: []string{"/bin/sh", "-c", text, exe}})
}

// wait waits for the end, and returns the types of the events.
func (b *bench) wait(r engine.Run) (engine.Result, []string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	var seen []string
	res, err := r.Wait(ctx, func(e engine.Event) {
		if e.Seq != int64(len(seen)+1) {
			b.Errorf("event %d has number %d", len(seen)+1, e.Seq)
		}
		seen = append(seen, string(e.Type))
	})
	if err != nil {
		b.Fatalf("%v\n%s", err, b.everything())
	}
	return res, seen
}

// until waits for a condition.
func (b *bench) until(what string, is func() bool) {
	b.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-tooLong:
			b.Fatalf("never: %s\n%s", what, b.everything())
		}
	}
}

// untilMarked waits for a file of the driver.
func (b *bench) untilMarked(name string) string {
	b.Helper()
	var content []byte
	b.until("the driver says "+name, func() bool {
		var err error
		content, err = os.ReadFile(filepath.Join(b.task.Workspace, name))
		return err == nil
	})
	return string(content)
}

// runnerPID is the process of the runner that waits.
func (b *bench) runnerPID() int {
	b.Helper()
	pid, err := strconv.Atoi(b.untilMarked("waits"))
	b.must(err)
	return pid
}

func (b *bench) goOn() { mark(b.task, "go", "") }

func (b *bench) log() string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.folder, logFile))
	b.must(err)
	return string(text)
}

func (b *bench) names() (names []string) {
	entries, err := os.ReadDir(b.folder)
	b.must(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// everything is what the folder holds, for a test that failed.
func (b *bench) everything() string {
	var out strings.Builder
	for _, name := range []string{lockFile, journalFile, logFile, resultFile, outputFile} {
		f, err := os.Open(filepath.Join(b.folder, name))
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(io.LimitReader(f, 4000))
		_ = f.Close()
		fmt.Fprintf(&out, "--- %s\n%s\n", name, text)
	}
	return out.String()
}

// daemonProcess starts the phase in another process.
func (b *bench) daemonProcess() *exec.Cmd {
	b.Helper()
	exe, err := os.Executable()
	b.must(err)
	raw, err := json.Marshal(b.task)
	b.must(err)
	cmd := exec.Command(exe, "daemon", b.folder)
	cmd.Env = append(os.Environ(), "DAEMON_SECRET=of-the-daemon")
	cmd.Stdin = strings.NewReader(string(raw))
	out, err := cmd.StdoutPipe()
	b.must(err)
	b.must(cmd.Start())
	b.Cleanup(sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started\n" {
		b.Fatalf("daemon: %q, %v", line, err)
	}
	return cmd
}

// isAlive tells a process that runs from none and from a zombie.
func isAlive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
