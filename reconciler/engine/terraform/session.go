package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// OldestVersion is the first engine whose stream and plans are what we read. Every
// OpenTofu is newer.
const OldestVersion = "1.1.0"

// session is a terraform-exec value for one phase.
//
// Two things it has to be helped with. It asks the program for its version before
// the first command that has conditions; but the version is known, and a process
// is a process. So the value is given a link as its program: the link points to a
// script that prints the version while terraform-exec asks, and from then on to
// the engine itself (decision 0030). And it interrupts and kills the engine alone,
// while provisioners' children go on; so every run is watched, and its whole
// process group is killed when the grace time is over or the engine has ended.
type session struct {
	tf      *tfexec.Terraform
	env     map[string]string
	version *version.Version
	phase   *phase
	grace   time.Duration
	// processes counts the engine processes of the operation at hand.
	processes int
	// askedAt is when the last process was started.
	askedAt time.Time
	// killed tells that the last process was killed, by us or by anybody: what it
	// held, a lock above all, it still holds.
	killed bool
}

func (p *phase) open() (*session, error) {
	t := p.task
	v, err := telling.CheckProgram(t.Program, OldestVersion)
	if err != nil {
		return nil, err
	}
	env, err := p.environment()
	if err != nil {
		return nil, err
	}
	link, err := p.answerVersion(v)
	if err != nil {
		return nil, err
	}
	tf, err := tfexec.NewTerraform(p.at.module, link)
	if err != nil {
		return nil, err
	}
	if err := tf.SetEnv(map[string]string{}); err != nil {
		return nil, err
	}
	if _, _, err := tf.Version(context.Background(), false); err != nil {
		return nil, fmt.Errorf("tell terraform-exec the engine's version: %w", err)
	}
	if err := pointAt(link, t.Program.Path); err != nil {
		return nil, err
	}
	if err := tf.SetEnv(env); err != nil {
		return nil, err
	}
	grace := t.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	// Ours comes first: it takes the whole group.
	if err := tf.SetWaitDelay(grace + 5*time.Second); err != nil {
		return nil, err
	}
	return &session{tf: tf, env: env, version: v, phase: p, grace: grace}, nil
}

// answerVersion makes the link, pointing to a script that answers `version -json`.
// The link is called as the program is: version switchers go by that name.
func (p *phase) answerVersion(v *version.Version) (string, error) {
	answer, err := json.Marshal(map[string]string{"terraform_version": v.String()})
	if err != nil {
		return "", err
	}
	bin := filepath.Join(p.at.private, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return "", err
	}
	script := filepath.Join(p.at.private, "version")
	// A process forked by another goroutine while the file is open would hold it
	// open too, and the kernel runs no file that somebody writes (ETXTBSY).
	syscall.ForkLock.RLock()
	err = os.WriteFile(script, []byte("#!/bin/sh\necho '"+string(answer)+"'\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", err
	}
	link := filepath.Join(bin, filepath.Base(p.task.Program.Path))
	return link, os.Symlink(script, link)
}

// pointAt moves a link.
func pointAt(link, target string) error {
	next := link + ".next"
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

// environment is the engine's: the task's, and what the driver itself must set.
func (p *phase) environment() (map[string]string, error) {
	if bad := tfexec.ProhibitedEnv(p.task.Env); len(bad) > 0 {
		slices.Sort(bad)
		return nil, telling.Author(stackjob.ReasonEngine, "environment variable "+bad[0],
			fmt.Sprintf("The environment variable %s cannot be set for the engine.\n"+
				"Give variables as inputs of the stack, and leave the engine's arguments, logging and workspace to reeve.", strings.Join(bad, ", ")))
	}
	env := maps.Clone(p.task.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["TF_DATA_DIR"] = p.at.data
	env["CHECKPOINT_DISABLE"] = "1"
	env["NO_COLOR"] = "1"
	if cache := p.providerCache(); cache != "" {
		env[cacheVariable] = cache
		// Without it an engine downloads again what the cache has, for every
		// stack without a lock file.
		env["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"] = "1"
	}
	return env, nil
}

func (s *session) atLeast(v string) bool {
	return s.version.Core().GreaterThanOrEqual(version.Must(version.NewVersion(v)))
}

// run runs one engine process: do calls terraform-exec once. It journals start
// and end, and leaves nothing of the process's group behind.
func (s *session) run(ctx context.Context, v *voice, words []string, do func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.processes++
	s.tf.SetStderr(v.errorOutput())
	command := append([]string{filepath.Base(s.phase.task.Program.Path)}, words...)
	// As the kernel will call it: the workspace may be reached through links.
	dir, err := filepath.EvalSymlinks(s.phase.at.module)
	if err != nil {
		return err
	}
	by, leave := thisThread()
	defer leave()
	w := watch(ctx, dir, by, s.grace, func(pid int) {
		s.phase.Sink.Emit(engine.Event{Type: engine.EngineStarted, Operation: v.operation, PID: pid, Command: command})
	})
	s.askedAt = time.Now()
	err = do(ctx)
	left := w.left(ctx, dir, by)
	pid := w.stop()
	s.killed = left || w.killed || endedBySignal(err)
	v.end()
	s.phase.Sink.Emit(engine.Event{Type: engine.EngineEnded, Operation: v.operation, PID: pid, Command: command, ExitCode: exitCode(ctx, err)})
	return err
}

// quiet lets no engine output out beside what do captures.
func (s *session) quiet(w io.Writer) { s.tf.SetStdout(w) }

// endedBySignal tells whether a process was ended by a signal.
func endedBySignal(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// exitCode is nil when nobody knows it: terraform-exec does not tell the code of
// an interrupted run.
func exitCode(ctx context.Context, err error) *int {
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case ctx.Err() != nil || err != nil:
		return nil
	}
	return &code
}
