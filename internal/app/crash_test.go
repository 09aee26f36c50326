package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// crash says which processes die, with SIGKILL, right after which step was
// recorded. It happens once: Marker is made just before.
type crash struct {
	// At is a journal event of the runner ("operation-started apply",
	// "engine-started plan", "resource apply") or a move of the daemon ("move
	// start-apply", "move record apply").
	At     string
	Kill   []string // "daemon", "runner", "engine"
	Marker string
	// PIDFile holds the daemon's process id.
	PIDFile string
}

// strike kills, if this is the step and the first time.
func (c crash) strike(at string, enginePID int) {
	if at != c.At {
		return
	}
	f, err := os.OpenFile(c.Marker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = f.Close()
	var self bool
	for _, who := range c.Kill {
		switch who {
		case "daemon":
			if pid := pidIn(c.PIDFile); pid == os.Getpid() {
				self = true
			} else {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		case "engine":
			if enginePID > 0 {
				_ = syscall.Kill(enginePID, syscall.SIGKILL)
			}
		case "runner":
			self = true
		}
	}
	if self {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

func pidIn(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil || pid <= 1 {
		panic(fmt.Sprintf("%s holds no process id: %q", file, b))
	}
	return pid
}

func readCrash(file string) crash {
	var c crash
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// crashingDriver strikes after journal events.
type crashingDriver struct {
	engine.Driver
	crash crash
}

func (d crashingDriver) Plan(ctx context.Context, t engine.Task, file string, s engine.Sink) engine.Result {
	return d.Driver.Plan(ctx, t, file, &crashingSink{Sink: s, crash: d.crash})
}

func (d crashingDriver) Apply(ctx context.Context, t engine.Task, file string, s engine.Sink) engine.Result {
	return d.Driver.Apply(ctx, t, file, &crashingSink{Sink: s, crash: d.crash})
}

type crashingSink struct {
	engine.Sink
	crash crash
	op    stackjob.OperationKind
	pid   int
}

func (s *crashingSink) Emit(e engine.Event) {
	s.Sink.Emit(e)
	switch e.Type {
	case engine.OperationStarted:
		s.op = e.Operation
	case engine.EngineStarted:
		s.pid = e.PID
	}
	s.crash.strike(string(e.Type)+" "+string(s.op), s.pid)
}

// crashingRecords strikes after moves of the daemon.
type crashingRecords struct {
	reconciler.Records
	crash crash
}

func (r crashingRecords) Move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	before, err := r.Records.Job(ctx, id)
	if err != nil {
		return before, err
	}
	if before.Purpose == stackjob.RestoreState {
		r.crash.strike("before "+string(m.Event())+" of a restore", 0)
	}
	after, err := r.Records.Move(ctx, id, m)
	if err == nil {
		at := "move " + string(m.Event())
		if m.Event() == stackjob.EvRecord && len(after.Operations) > 0 {
			at += " " + string(after.Operations[len(after.Operations)-1].Kind)
		}
		if m.Event() == stackjob.EvSucceed || m.Event() == stackjob.EvFail {
			at += " from " + string(before.State)
		}
		r.crash.strike(at, 0)
	}
	return after, err
}

// runProcess is what the test binary does when a test starts it as a daemon
// ("crash-daemon FILE [CRASH]") or as a runner that strikes.
func runProcess(args []string) int {
	switch args[0] {
	case "run-job":
		return app.RunJob(args[1])
	case "run-job-striking":
		drivers := app.Drivers()
		for k, d := range drivers {
			drivers[k] = crashingDriver{Driver: d, crash: readCrash(args[1])}
		}
		return runner.Main(args[2], drivers)
	}
	cfg, found, err := config.Load(config.Options{Path: args[1], Environ: os.Environ()})
	if err != nil || found.HasErrors() {
		panic(fmt.Sprint(err, found))
	}
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(args[1]+".pid", fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		panic(err)
	}
	o := app.Options{Config: cfg, Executable: []string{exe, "run-job"}, Environ: os.Environ(), Version: "test",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if len(args) == 3 {
		c := readCrash(args[2])
		o.Executable = []string{exe, "run-job-striking", args[2]}
		o.Records = func(r reconciler.Records) reconciler.Records { return crashingRecords{r, c} }
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := app.Serve(ctx, app.ServeOptions{Options: o}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// steps are the recorded steps of a job that is applied at once, and who can be
// alive to be killed there.
func steps() map[string][][]string {
	inRunner := [][]string{{"daemon"}, {"runner"}, {"engine"}, {"daemon", "engine", "runner"}}
	beforeEngine := [][]string{{"daemon"}, {"runner"}, {"daemon", "runner"}}
	inDaemon := [][]string{{"daemon"}}
	return map[string][][]string{
		"move start-plan":            inDaemon,
		"operation-started init":     beforeEngine,
		"engine-started init":        inRunner,
		"operation-ended init":       beforeEngine,
		"move record init":           inDaemon,
		"operation-started plan":     beforeEngine,
		"engine-started plan":        inRunner,
		"operation-ended plan":       beforeEngine,
		"move record plan":           inDaemon,
		"move allow-apply":           inDaemon,
		"move start-apply":           inDaemon,
		"operation-started apply":    beforeEngine,
		"engine-started apply":       inRunner,
		"resource apply":             inRunner,
		"operation-ended apply":      beforeEngine,
		"move record apply":          inDaemon,
		"move succeed from applying": inDaemon,
	}
}

// TestCrashMatrix kills the daemon alone, the runner alone, the engine alone and all
// at once after every recorded step of a job with real engine runs, starts a new
// daemon, and checks that no side effect happened twice and that every job ended
// truthfully.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	for _, e := range tooltest.Engines(t) {
		for at, kills := range steps() {
			for _, kill := range kills {
				t.Run(fmt.Sprintf("%s/%s/%s", e.Name, strings.ReplaceAll(at, " ", "-"), strings.Join(kill, "+")), func(t *testing.T) {
					t.Parallel()
					crashAndRecover(t, e, at, kill)
				})
			}
		}
	}
}

func crashAndRecover(t *testing.T, e tooltest.Engine, at string, kill []string) {
	w := newWorld(t, e)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	cfg := w.writeConfig()
	c := crash{At: at, Kill: kill, Marker: filepath.Join(w.root, "struck"), PIDFile: cfg + ".pid"}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.root, "crash.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}

	first := w.daemon(cfg, file)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if slices.Contains(kill, "daemon") {
		first.awaitEnd(ctx)
		second := w.daemon(cfg)
		defer second.end()
	} else {
		defer first.end()
	}
	client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
	jobs := awaitQuiet(ctx, t, client)
	if _, err := os.Stat(c.Marker); err != nil {
		t.Fatalf("the step %q was never reached", at)
	}
	checkTruth(t, w, client, jobs)
}

// checkTruth checks what must hold after any crash.
func checkTruth(t *testing.T, w *world, client api.Backend, jobs []stackjob.Job) {
	t.Helper()
	effects := w.effects("a")
	if effects > 1 {
		t.Errorf("the side effect happened %d times", effects)
	}
	oldest := jobs[len(jobs)-1]
	key, err := schema.ParseResourceKey(devA)
	if err != nil {
		t.Fatal(err)
	}
	ex, err := client.Explain(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	switch oldest.State {
	case stackjob.Succeeded:
		if effects != 1 || ex.Observed == nil || !ex.Observed.Complete || len(jobs) != 1 {
			t.Errorf("succeeded, with %d side effects, %d jobs, recorded %+v", effects, len(jobs), ex.Observed)
		}
	case stackjob.Failed, stackjob.Interrupted:
		if oldest.State == stackjob.Failed && !appliedOnce(oldest) {
			// The engine died while it planned: nothing was made.
			if effects != 0 || ex.Observed != nil {
				t.Errorf("failed before any apply, with %d side effects, recorded %+v", effects, ex.Observed)
			}
			break
		}
		if !appliedOnce(oldest) {
			t.Errorf("%s (%s) and no apply was ever intended", oldest.State, oldest.Reason)
		}
		if oldest.Reason.Code == stackjob.ReasonRunnerNotStarted {
			// The daemon died between the intent and the runner: nothing ran, and what is
			// recorded of the stack is as true as before.
			if effects != 0 || ex.Observed != nil {
				t.Errorf("no engine was started, with %d side effects, recorded %+v", effects, ex.Observed)
			}
		} else if ex.Observed == nil || ex.Observed.Complete && len(jobs) == 1 {
			t.Errorf("%s, and recorded is %+v: expected an incomplete stack", oldest.State, ex.Observed)
		}
		if oldest.State == stackjob.Failed {
			break // the engine died and the runner lived to say so
		}
		if len(jobs) == 2 && jobs[0].State == stackjob.Succeeded && jobs[0].Reason.Code == stackjob.ReasonNoChanges {
			// All of it had been done: the fresh plan found nothing left to do.
			if effects != 1 || !ex.Observed.Complete || len(ex.Observed.Outputs) != 1 {
				t.Errorf("found as desired, with %d side effects and %d outputs on record", effects, len(ex.Observed.Outputs))
			}
			break
		}
		if len(jobs) != 2 || jobs[0].State != stackjob.WaitingApply || jobs[0].Hold == nil {
			t.Errorf("after an interruption a fresh plan waits for a person; jobs: %s", summary(jobs))
		}
	default:
		t.Errorf("the job is %s (%s)", oldest.State, oldest.Reason)
	}
	for _, op := range oldest.Operations {
		if op.Result == stackjob.ResultNone {
			t.Errorf("operation %s of attempt %d has no end", op.Kind, op.Attempt)
		}
	}
}

func appliedOnce(j stackjob.Job) bool { return j.Plan != nil && j.Plan.Consumed }

func summary(jobs []stackjob.Job) string {
	var b strings.Builder
	for _, j := range jobs {
		fmt.Fprintf(&b, "%s %s (%s); ", j.ID, j.State, j.Reason)
	}
	return b.String()
}

// writeConfig writes reeve.yaml and returns its path.
func (w *world) writeConfig() string {
	w.t.Helper()
	text := fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nrepositories:\n  - name: config\n    path: %q\n    pollInterval: 1s\nengine:\n  default: %s\n  %s: %q\n  pluginCache: false\n  cliConfig: %q\njobs:\n  grace: 20s\n%s",
		filepath.Join(w.root, "data"), w.repo, w.engine.Name, w.engine.Name, w.engine.Path, tooltest.EmptyCLIConfig(w.t), w.yaml)
	file := filepath.Join(w.root, "reeve.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// process is a daemon in a process of its own.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	out *lockedBuffer
}

func (w *world) daemon(args ...string) *process {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{t: w.t, cmd: exec.Command(exe, append([]string{"crash-daemon"}, args...)...), out: &lockedBuffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.WaitDelay = time.Second // a runner that lives on may hold the pipe
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("a daemon's log:\n%s", p.out)
		}
	})
	return p
}

// awaitEnd waits until the daemon was killed.
func (p *process) awaitEnd(ctx context.Context) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-done
		p.t.Fatal("the daemon was not killed: the step was never reached")
	}
}

// end stops the daemon as an operator does.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		p.t.Errorf("the daemon ended with %v", err)
	}
}

// awaitQuiet waits until there are jobs and all have ended or wait for a person, and
// a comparison after that made no new one.
func awaitQuiet(ctx context.Context, t *testing.T, client api.Backend) []stackjob.Job {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var jobs []stackjob.Job
	var err error
	calm := 0
	for calm < 3 {
		select {
		case <-ctx.Done():
			t.Fatalf("gave up waiting for quiet: %v %s", err, summary(jobs))
		case <-tick.C:
		}
		if jobs, err = client.Jobs(ctx, store.JobQuery{}); err != nil || len(jobs) == 0 {
			continue
		}
		if slices.ContainsFunc(jobs, func(j stackjob.Job) bool { return !j.State.IsFinal() && !j.State.IsWaiting() }) {
			calm = 0
			continue
		}
		if _, err = client.Poll(ctx, "config", stackjob.Actor{}); err == nil {
			calm++
		}
	}
	return jobs
}
