//go:build !linux

package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kill kills the run's process group and waits until it is empty. Without a
// session that was seen alive it does nothing.
func Kill(ctx context.Context, r Run) error {
	if r.Session <= 1 {
		return nil
	}
	until := time.Now().Add(patience)
	for {
		if err := unix.Kill(-r.Session, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("process group %d does not end though killed", r.Session)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// KillDescendants does nothing: orphans do not come to this process, and drivers
// wait for what they start.
func KillDescendants(context.Context) error { return nil }

// Adopt does nothing.
func Adopt() error { return nil }

// Signal sends a signal to the process.
func Signal(pid int, _ Run, sig unix.Signal) error {
	if err := unix.Kill(pid, sig); errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	} else if err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}

// IsThere tells whether a process is there, whoever's it is and whenever it began. One that
// has ended is, until its parent has waited for it.
func IsThere(pid int, _ time.Time) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
