package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/stackreeve/stackreeve/internal/folderlock"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// lockName is the file whose lock keeps a second daemon out. It is locked as a whole
// by the operating system, so it is free again when its holder dies; its content
// only tells people who that is.
const lockName = "reeve.lock"

// claimFolder makes the data folder and takes it for this process.
func claimFolder(folder string) (*flock.Flock, error) {
	if folder == "" {
		return nil, errors.New("open the store: no data folder given")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", translate(err))
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, fmt.Errorf("protect the data folder: %w", translate(err))
	}
	path := filepath.Join(folder, lockName)
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	ok, err := folderlock.Take(lock)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder %s: %w", folder, translate(err))
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w%s", folder, store.ErrInUse, holder(path))
	}
	if err := writeHolder(path); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w", folder, translate(err)), lock.Unlock())
	}
	return lock, nil
}

// writeHolder writes our process id in place: a new file would have another lock.
// It also proves that the folder can be written.
func writeHolder(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	return errors.Join(err, f.Sync(), f.Close())
}

func holder(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// syncFolder makes new names in a folder survive a power cut.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
