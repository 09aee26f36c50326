package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
)

// inheritedLock is the file descriptor on which a runner gets its lock.
const inheritedLock = 3

// Options are what a Launcher is made of.
type Options struct {
	// Executable is the command that starts a runner; the folder is added:
	// {"/usr/bin/reeve", "run-job"}. When its program is the one that runs, then
	// on Linux just that is started, even if the file has been replaced since: a
	// daemon and its runners always speak the same words.
	Executable []string
	// Spare keeps one runner started ahead of its work while there is work, which
	// takes a program's start out of each phase. The executable must pass the
	// folder on to [Main] as it is.
	Spare bool
}

// Launcher starts runners and finds those of an earlier daemon. It keeps nothing
// in memory that it could not find again in the folders, but for a spare runner.
type Launcher struct {
	command []string
	spares  *spares // nil for a launcher without
}

var _ engine.Launcher = (*Launcher)(nil)

// NewLauncher returns a launcher.
func NewLauncher(o Options) *Launcher {
	command := slices.Clone(o.Executable)
	if self, err := os.Executable(); err == nil && runtime.GOOS == "linux" && len(command) > 0 && command[0] == self {
		command[0] = "/proc/self/exe"
	}
	l := &Launcher{command: command}
	if o.Spare && len(command) > 0 {
		l.spares = &spares{command: command}
	}
	return l
}

// Close lets a spare runner go. Runners that have work go on.
func (l *Launcher) Close() {
	if l.spares != nil {
		l.spares.close()
	}
}

// Start writes the task into folder, which must not be there, and starts a runner
// for it. When it returns an error nothing was started and the folder is gone.
func (l *Launcher) Start(ctx context.Context, folder string, t engine.Task) (engine.Run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := l.start(folder, t)
	if err != nil {
		return nil, fmt.Errorf("start a runner in %s: %w", folder, err)
	}
	return r, nil
}

func (l *Launcher) start(folder string, t engine.Task) (r *run, err error) {
	if len(l.command) == 0 {
		return nil, errors.New("no executable is named")
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	if err := makeFolder(folder); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	if err := writeNew(folder, taskFile, b); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// The runner has it from birth. Closing it here leaves it locked.
	defer lock.Close()
	if err := flock(lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	cmd, err := l.handOver(folder, lock)
	if err != nil {
		return nil, err
	}
	r = &run{folder: folder, gone: make(chan struct{}), spares: l.spares}
	go func() {
		_ = cmd.Wait() // how it ended is in the folder
		close(r.gone)
	}()
	return r, nil
}

// handOver gives the folder to a spare runner, or to a new one.
func (l *Launcher) handOver(folder string, lock *os.File) (*exec.Cmd, error) {
	out, err := os.OpenFile(filepath.Join(folder, outputFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if l.spares != nil {
		if sp := l.spares.take(); sp != nil {
			if err := writeHolder(lock, holder{Run: sp.id}); err != nil {
				sp.dismiss()
				return nil, err
			}
			if err := sp.give(folder, lock, out); err == nil {
				return sp.cmd, nil
			}
			sp.dismiss() // somebody killed it
		}
	}
	id := rand.Text()
	if err := writeHolder(lock, holder{Run: id}); err != nil {
		return nil, err
	}
	return l.spawn(folder, id, lock, out)
}

// spawn starts the process. Nothing of the daemon goes with it: no environment, no
// open file, no controlling terminal, no pipe that breaks when the daemon dies.
func (l *Launcher) spawn(folder, id string, lock, out *os.File) (*exec.Cmd, error) {
	cmd := exec.Command(l.command[0], append(slices.Clone(l.command[1:]), folder)...)
	cmd.Args[0] = "reeve"
	cmd.Dir = folder
	cmd.Env = []string{sweep.Variable + "=" + id}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{lock} // becomes inheritedLock
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

func writeNew(folder, name string, content []byte) error {
	f, err := os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close()) // not synced: who reads it does not outlive a power cut either
}

// Attach finds what became of the phase in folder. That the folder is not there,
// though the one above it is, means that Start never came to make it.
func (l *Launcher) Attach(ctx context.Context, folder string) (engine.Run, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	held, err := isHeld(folder)
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", folder, err)
	}
	if held {
		return &run{folder: folder, leader: readHolder(folder).PID}, nil
	}
	e, err := giveUp(ctx, folder, 0)
	switch {
	case errors.Is(err, errHeld): // it started in this moment
		return &run{folder: folder, leader: readHolder(folder).PID}, nil
	case err != nil:
		return nil, fmt.Errorf("attach to %s: %w", folder, err)
	}
	switch e {
	case endedWithResult:
		return &run{folder: folder}, nil
	case endedUnbegun:
		return nil, fmt.Errorf("attach to %s: %w", folder, engine.ErrNotStarted)
	}
	return &run{folder: folder}, fmt.Errorf("attach to %s: %w", folder, engine.ErrLost)
}

// ending is what a phase without a runner came to.
type ending int

const (
	endedWithResult ending = iota
	endedUnbegun           // no operation ever started
	endedLost
)

// giveUp makes sure that no runner works in the folder, now or later, that nothing
// of it is left running, and that no secret stays in clear. leader is the runner's
// pid when it was seen alive a moment ago. It returns [errHeld] when a runner
// lives.
func giveUp(ctx context.Context, folder string, leader int) (ending, error) {
	lock, err := takeLock(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return giveUpUnmade(folder)
	}
	if err != nil {
		return 0, err
	}
	defer release(lock)
	e := endedWithResult
	r, err := readResult(folder)
	if err != nil {
		return 0, err
	}
	if r == nil {
		if err := replace(folder, abandonedFile, nil); err != nil {
			return 0, err
		}
		e = endedUnbegun
		if was, err := began(folder); err != nil {
			return 0, err
		} else if was {
			e = endedLost
		}
	}
	left := readHolder(folder).run()
	left.Session = leader
	if err := sweep.Kill(ctx, left); err != nil {
		return 0, err
	}
	if r == nil {
		if err := keepLastWords(folder); err != nil {
			return 0, err
		}
	}
	return e, tidy(folder)
}

// giveUpUnmade gives up a folder in which no runner was ever started.
func giveUpUnmade(folder string) (ending, error) {
	if r, err := readResult(folder); err != nil {
		return 0, err
	} else if r != nil {
		return endedWithResult, nil // cleaned up
	}
	if _, err := os.Stat(filepath.Dir(folder)); err != nil {
		// Not even the job's own folder: this is not the data that the phase was
		// started with, and nobody knows what it did.
		return endedLost, nil
	}
	was, err := began(folder)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, err
	}
	if err := errors.Join(replace(folder, abandonedFile, nil), syncFolder(filepath.Dir(folder)), tidy(folder)); err != nil {
		return 0, err
	}
	if was {
		return endedLost, nil
	}
	return endedUnbegun, nil
}

// maxLastWords is how much of a crash is kept.
const maxLastWords = 64 << 10

// keepLastWords puts what a runner printed when it crashed into the log, secrets
// masked. Nobody masked it when it was printed; the task tells what to mask.
func keepLastWords(folder string) error {
	path := filepath.Join(folder, outputFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLastWords))
	if err = errors.Join(err, f.Close()); err != nil || len(b) == 0 {
		return err
	}
	t, err := readTask(folder)
	if err != nil {
		return os.Remove(path) // what cannot be masked is not kept
	}
	log, err := os.OpenFile(filepath.Join(folder, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = log.WriteString("\nreeve: the runner crashed; its last words were:\n" + maskerOf(t).Text(string(b)))
	return errors.Join(err, log.Close(), os.Remove(path))
}
