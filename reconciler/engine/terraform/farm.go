package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

const (
	lockFileName     = ".terraform.lock.hcl"
	overrideFileName = "zz_reeve_backend_override.tf.json"
)

// Over these numbers the rest of a module's own folder is linked, not copied: a
// module that is a whole repository must not cost its size at every revision.
const (
	maxCopiedFiles = 2000
	maxCopiedBytes = 32 << 20
)

// farm records what root/ shows and which of its entries are ours. What the
// engine or the module wrote beside them stays when the revision moves.
type farm struct {
	Root     string `json:"root"`
	Path     string `json:"path"`
	Revision string `json:"revision"`
	// Made are the files and links made by us, below root/, slash-separated.
	Made []string `json:"made"`
	// OwnLock tells that the module brings its lock file.
	OwnLock bool `json:"ownLock,omitempty"`

	files int
	bytes int64
}

// plantFarm makes root/ show the task's module, unless it does.
func (p *phase) plantFarm() error {
	old := farm{}
	if b, err := readIfThere(p.at.farmFile); err != nil {
		return err
	} else if b != nil && json.Unmarshal(b, &old) != nil {
		old = farm{}
	}
	t := p.task
	if old.Root == t.ModuleRoot && old.Path == t.ModulePath && old.Revision == t.ModuleRevision && isFolder(p.at.module) {
		return nil
	}
	if !isFolder(filepath.Join(t.ModuleRoot, filepath.FromSlash(t.ModulePath))) {
		return &problem{failure: moduleMissing(t)}
	}
	// Without the record we would not know our own files, so it goes last and
	// is removed first.
	if err := os.Remove(p.at.farmFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := uproot(p.at.root, old); err != nil {
		return err
	}
	f := farm{Root: t.ModuleRoot, Path: t.ModulePath, Revision: t.ModuleRevision}
	if err := f.plant(p.at); err != nil {
		return fmt.Errorf("show the module in the workspace: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return writeFile(p.at.farmFile, b)
}

// uproot removes what an earlier farm made. Without a record everything goes: a
// half-made farm holds nothing else.
func uproot(root string, old farm) error {
	if old.Root == "" {
		return os.RemoveAll(root)
	}
	for _, name := range slices.Backward(old.Made) {
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) && !isFolder(at) {
			return err // a folder that is not empty holds what the module wrote
		}
	}
	return nil
}

// plant makes real folders down to the module, links beside them, and copies the
// module's own folder.
func (f *farm) plant(at layout) error {
	dir, source := at.root, f.Root
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := ""
	for _, part := range strings.Split(f.Path, "/") {
		if part == "" || part == "." {
			continue
		}
		if err := f.linkAll(source, dir, name, part); err != nil {
			return err
		}
		dir, source, name = filepath.Join(dir, part), filepath.Join(source, part), path.Join(name, part)
		if err := f.makeFolder(dir, name); err != nil {
			return err
		}
	}
	return f.copyFolder(source, dir, name)
}

// linkAll links the entries of a folder, but for one.
func (f *farm) linkAll(source, dir, name, except string) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == except || e.Name() == ".git" {
			continue
		}
		if err := f.link(filepath.Join(source, e.Name()), filepath.Join(dir, e.Name()), path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (f *farm) link(source, at, name string) error {
	if _, err := os.Lstat(at); err == nil {
		return nil // written by the module at an earlier revision: its own
	}
	f.Made = append(f.Made, name)
	return os.Symlink(source, at)
}

func (f *farm) makeFolder(at, name string) error {
	err := os.Mkdir(at, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	f.Made = append(f.Made, name)
	return err
}

// copyFolder copies the module's own folder: a module may write into it, over a
// file of its own too, and that must not reach the checkout.
func (f *farm) copyFolder(source, dir, name string) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to, called := filepath.Join(source, e.Name()), filepath.Join(dir, e.Name()), path.Join(name, e.Name())
		switch {
		case e.Name() == ".git" || e.Name() == ".terraform":
			continue
		case e.IsDir() && f.files < maxCopiedFiles:
			if err := f.makeFolder(to, called); err != nil {
				return err
			}
			err = f.copyFolder(from, to, called)
		case e.Type().IsRegular():
			err = f.copyFile(e, from, to, called)
		default:
			err = f.link(from, to, called)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *farm) copyFile(e fs.DirEntry, from, to, called string) error {
	if called == path.Join(f.Path, lockFileName) {
		f.OwnLock = true // copied whatever its size: the engine replaces it
	} else {
		st, err := e.Info()
		if err != nil {
			return err
		}
		f.files++
		f.bytes += st.Size()
		if f.files > maxCopiedFiles || f.bytes > maxCopiedBytes {
			return f.link(from, to, called)
		}
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	// Over an earlier file, whoever wrote it: the module's text counts. Through
	// a removal, because a link would be written through.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|st.Mode().Perm()&0o100)
	if err != nil {
		return err
	}
	f.Made = append(f.Made, called)
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func isFolder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func moduleMissing(t engine.Task) engine.Failure {
	return engine.Failure{
		Class:  engine.ClassAuthor,
		Reason: reasonOf(reasonModule, "no folder "+orRoot(t.ModulePath)+" at revision "+t.ModuleRevision),
		Text: fmt.Sprintf("The module's folder %s does not exist at revision %s.\nCheck the module's path.",
			orRoot(t.ModulePath), t.ModuleRevision),
	}
}

func orRoot(p string) string {
	if p == "" {
		return "/ (the repository's root)"
	}
	return p
}
