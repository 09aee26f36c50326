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
)

// crash says which processes die, with SIGKILL, right after which step was
// recorded. It happens once, unless Always is set: Marker is made just before.
type crash struct {
	// At is a journal event of the runner ("operation-started apply",
	// "engine-started plan", "resource apply") or a move of the daemon ("move
	// start-apply", "move record apply").
	At     string
	Kill   []string // "daemon", "runner", "engine"
	Always bool
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
	if err != nil && !c.Always {
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

// crashing writes a crash for the daemon that is started with a configuration, and returns
// the file.
func (w *world) crashing(cfg string, c crash) (file string) {
	w.t.Helper()
	c.Marker, c.PIDFile = filepath.Join(w.root, "struck"), cfg+".pid"
	b, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	file = filepath.Join(w.root, "crash.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
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

func (d crashingDriver) Restore(ctx context.Context, t engine.Task, file string, s engine.Sink) engine.Result {
	return d.Driver.(engine.Restorer).Restore(ctx, t, file, &crashingSink{Sink: s, crash: d.crash})
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
	text := fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nrepositories:\n  - name: config\n    path: %q\n    pollInterval: 1s\nengine:\n%s  pluginCache: false\n  cliConfig: %q\njobs:\n  grace: 20s\n%s",
		filepath.Join(w.root, "data"), w.repo, w.programs(), tooltest.EmptyCLIConfig(w.t), w.yaml)
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
// a comparison after that made no new one. What was interrupted, and a state that was
// put back, are followed by a job: the comparison that makes it is asked for when they
// have ended.
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
		moves := slices.ContainsFunc(jobs, func(j stackjob.Job) bool { return !j.State.IsFinal() && !j.State.IsWaiting() })
		if moves || jobs[0].State == stackjob.Interrupted || jobs[0].Purpose == stackjob.RestoreState {
			calm = 0
			continue
		}
		if _, err = client.Poll(ctx, "config", stackjob.Actor{}); err == nil {
			calm++
		}
	}
	return jobs
}
