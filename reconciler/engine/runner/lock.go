package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
)

// errHeld means that a runner holds the lock.
var errHeld = engine.ErrAlive

// holder is what the lock file says of the runner.
type holder struct {
	// Run marks the runner's processes.
	Run string `json:"run"`
	// PID is the runner's, 0 until it listens to signals. It leads its session.
	PID int `json:"pid,omitempty"`
}

// holderSize is the size of a lock file: it is filled up, so that writing the pid
// needs no room on a full disk.
const holderSize = 128

// writeHolder writes in place: the file is what is locked and cannot be replaced.
func writeHolder(f *os.File, h holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte(" "), max(0, holderSize-1-len(b)))...)
	_, err = f.WriteAt(append(b, '\n'), 0)
	return err
}

// readHolder returns the zero value when there is nothing that can be read yet.
func readHolder(folder string) holder {
	var h holder
	b, err := os.ReadFile(filepath.Join(folder, lockFile))
	if err != nil || json.Unmarshal(b, &h) != nil {
		return holder{}
	}
	return h
}

func (h holder) run() sweep.Run { return sweep.Run{ID: h.Run} }

// The lock is used by flock(2) itself and not by a library, because it is handed
// on: an open file that is locked stays locked for who inherits it, and libraries
// keep the file to themselves.

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err
	}
}

// release lets go of a lock and closes its file. To close it is not enough: what is being
// started beside has a copy of every open file until its own program begins, and
// the lock would be held for as long.
func release(f *os.File) {
	_ = flock(f, unix.LOCK_UN)
	_ = f.Close()
}

// takeLock takes the lock of a folder until it is released; [errHeld] when a
// runner has it. The file must be there.
func takeLock(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := takeOpen(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// takeOpen locks an open file. Those who only look whether it is locked hold it
// for an instant; they are not taken for a runner.
func takeOpen(f *os.File) error {
	const tries = 50
	for range tries {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if err := flock(f, unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return errHeld
		} else if err != nil {
			return err
		}
		if err := flock(f, unix.LOCK_UN); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // the lookers go on in no time
	}
	return fmt.Errorf("lock %s: others look at it all the time", f.Name())
}

// isHeld tells whether a runner lives. It does not disturb one that starts.
func isHeld(folder string) (bool, error) {
	f, err := os.Open(filepath.Join(folder, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer release(f)
	err = flock(f, unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
