package pulumi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// command is the Automation API's PulumiCommand: it runs the engine's processes.
//
// The library's own passes the whole environment of its process on, kills the engine ten
// seconds after an interrupt and nobody else of its group, and starts a process for the
// version and three more around each update. This one gives what the task says, waits
// for the task's grace time, leaves nothing behind, and answers by itself what is known
// (answered).
type command struct {
	phase   *phase
	path    string
	version semver.Version
	env     map[string]string
	grace   time.Duration

	// operation is what the next process is for.
	operation stackjob.OperationKind
	// extra are flags of the next process that the Automation API has no option for.
	extra []string
	// heard gets what the next process says on standard error; loud tells that its
	// standard output is for people too.
	heard *voice
	loud  bool

	// processes counts those of the operation at hand.
	processes int
	// killed tells that the last process was killed, by us or by anybody: what it
	// held, a lock above all, it still holds.
	killed bool
	// failure is how the last process ended when it did not end well: the Automation
	// API's errors do not wrap it.
	failure error
}

var _ auto.PulumiCommand = (*command)(nil)

// noExitCode is what the library takes for "nobody knows".
const noExitCode = -2

// pipesMayStay is how long a plugin that outlives a killed engine may keep its pipes
// open before they are closed.
const pipesMayStay = 500 * time.Millisecond

// Version is the engine's, which the task knows.
func (c *command) Version() semver.Version { return c.version }

// answered answers what costs a process and tells nothing new. Stacks are named with
// every command, so none is selected; outputs and history, which the Automation API asks
// for after each update, are read from the state (docs/decisions/0180).
func answered(args []string) (string, bool) {
	words := wordsOf(args)
	switch {
	case len(words) < 2 || words[0] != "stack":
		return "", false
	case words[1] == "select":
		return "", true
	case words[1] == "output":
		return "{}", true
	case words[1] == "history":
		return "[]", true
	}
	return "", false
}

// wordsOf are a command's words without flags and values: what people may read of it.
func wordsOf(args []string) []string {
	var words, flags []string
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "-"):
			name, _, _ := strings.Cut(a, "=")
			flags = append(flags, name)
		case len(flags) > 0 && !slices.Equal(flags, []string{"--non-interactive"}):
			// A flag's value, or an argument after flags.
		case len(words) == 0, len(words) == 1 && (words[0] == "stack" || words[0] == "config"):
			words = append(words, a)
		}
	}
	return words
}

// shown are the words with the flags that say what is done.
func shown(args []string) []string {
	out := wordsOf(args)
	for _, a := range args {
		switch name, _, _ := strings.Cut(a, "="); name {
		case "--refresh", "--save-plan", "--plan", "--yes", "--secret":
			out = append(out, name)
		}
	}
	return out
}

// Run runs one engine process.
func (c *command) Run(ctx context.Context, workdir string, stdin io.Reader, outs, errs []io.Writer, env []string, args ...string) (string, string, int, error) {
	if answer, ok := answered(args); ok {
		return answer, "", 0, nil
	}
	if !slices.Contains(args, "--non-interactive") {
		args = append([]string{"--non-interactive"}, args...)
	}
	args = append(args, c.extra...)
	return c.start(ctx, invocation{path: c.path, dir: workdir, args: args, shown: shown(args), env: c.environment(env), stdin: stdin, outs: outs, errs: errs})
}

// invocation is one process: a program with its arguments and its whole environment.
type invocation struct {
	path, dir  string
	args       []string
	shown      []string // what people may read of the arguments
	env        []string
	stdin      io.Reader
	outs, errs []io.Writer
}

// start starts a process and waits for its end.
func (c *command) start(ctx context.Context, do invocation) (string, string, int, error) {
	if err := context.Cause(ctx); err != nil {
		return "", "", noExitCode, err
	}
	var stdout, stderr bytes.Buffer
	outs, errs := append(slices.Clone(do.outs), &stdout), append(slices.Clone(do.errs), &stderr, c.heard.errorOutput())
	if c.loud {
		outs = append(outs, c.heard.output())
	}
	// The kernel kills the engine when the thread that started it ends: it must not
	// outlive us, and must not die with a thread that the runtime gives back.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(do.path, do.args...)
	cmd.Dir, cmd.Env, cmd.Stdin = do.dir, do.env, do.stdin
	cmd.Stdout, cmd.Stderr = io.MultiWriter(outs...), io.MultiWriter(errs...)
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = pipesMayStay
	words := append([]string{filepath.Base(do.path)}, do.shown...)
	c.killed = false
	if do.path == c.path {
		c.processes++
	}
	if err := cmd.Start(); err != nil {
		c.failure = err
		return "", "", noExitCode, err
	}
	c.phase.Sink.Emit(engine.Event{Type: engine.EngineStarted, Operation: c.operation, PID: cmd.Process.Pid, Command: words})
	err := c.wait(ctx, cmd)
	code := cmd.ProcessState.ExitCode()
	if errors.Is(err, exec.ErrWaitDelay) && code == 0 {
		err = nil
	}
	c.killed = c.killed || code < 0
	c.failure = err
	c.sweep(cmd.Process.Pid, err)
	c.heard.end()
	told := &code
	if code < 0 {
		told = nil
	}
	c.phase.Sink.Emit(engine.Event{Type: engine.EngineEnded, Operation: c.operation, PID: cmd.Process.Pid, Command: words, ExitCode: told})
	return stdout.String(), stderr.String(), code, err
}

// wait waits for the engine. When ctx ends it is interrupted as by Ctrl-C, once: it
// cancels what it is at, writes the state and gives its lock back. What is still there
// after the grace time is killed.
func (c *command) wait(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-ended:
		case <-time.After(c.grace):
			c.killed = true
			killGroup(cmd.Process.Pid)
		}
	})
	err := cmd.Wait()
	close(ended)
	watcher.Wait()
	return err
}

// sweep ends what the engine left behind. It gives every plugin a process group of its
// own and ends them itself; one that was killed, or that failed, may not have.
func (c *command) sweep(pid int, err error) {
	killGroup(pid)
	if err == nil {
		return
	}
	if err := sweep.Kill(context.Background(), sweep.Run{ID: c.env[sweep.Variable]}); err != nil {
		c.phase.Say("Warning: processes of the engine could not be ended: " + err.Error())
	}
}

// environment is the whole environment of a process: the task's, and what the
// Automation API and the driver must set.
func (c *command) environment(more []string) []string {
	return environmentOf(c.env, more)
}

func environmentOf(given map[string]string, more []string) []string {
	env := maps.Clone(given)
	for _, e := range more {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	env["PULUMI_AUTOMATION_API"] = "true"
	env["PULUMI_DEBUG_COMMANDS"] = "true" // without it there is no --event-log
	env["PULUMI_SKIP_UPDATE_CHECK"] = "true"
	env["NO_COLOR"] = "1"
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
