package module

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// unfinished starts the name of a folder that is being written or removed.
const unfinished = ".unfinished-"

// materialise writes the parts below root: everything into a folder beside it, which
// then gets its name. When another process was quicker, its checkout counts.
func materialise(snap fs.FS, parts closure, root string) (err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(root), unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := remove(tmp); err == nil {
			err = rerr
		}
	}()
	for _, p := range parts {
		if err := writePart(snap, p.path, tmp); err != nil {
			return err
		}
	}
	if err := seal(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, root); err != nil {
		if _, there := os.Stat(root); there == nil {
			return nil
		}
		return err
	}
	// The folder itself had to stay writable to be renamed (its ".." changes on some systems).
	return os.Chmod(root, 0o555) //nolint:gosec // readable by the engine's user
}

func writePart(snap fs.FS, at, root string) error {
	return fs.WalkDir(snap, at, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(root, filepath.FromSlash(p))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755) //nolint:gosec // readable by the engine's user
		}
		if _, err := os.Lstat(to); err == nil {
			return nil // an outer folder brought it already
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as above
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return link(snap, p, to)
		}
		raw, err := fs.ReadFile(snap, p)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		return writeFile(to, raw, fi.Mode().Perm())
	})
}

// link leaves out what points outside. In a folder of the config repository that is an
// error long before (references); in a Git repository it may be none of the module's.
func link(snap fs.FS, p, to string) error {
	target, err := fs.ReadLink(snap, p)
	if err != nil {
		return err
	}
	if _, _, err := resolve(snap, path.Dir(p), target); errors.Is(err, ErrOutside) || errors.Is(err, errLoop) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Symlink(filepath.FromSlash(target), to)
}

func writeFile(name string, raw []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm&0o555)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	// A checkout that has its name is never looked at again, so it must survive a
	// loss of power whole.
	return errors.Join(err, f.Sync(), f.Close())
}

// seal makes folders read-only, the inner ones first in effect.
func seal(root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || p == root {
			return err
		}
		return os.Chmod(p, 0o555) //nolint:gosec // readable by the engine's user
	})
}

// remove deletes a checkout, whose folders are read-only.
func remove(root string) error {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o700) //nolint:gosec // about to go
	})
	return errors.Join(err, os.RemoveAll(root))
}
