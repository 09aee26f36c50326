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
// engine or the module wrote beside them stays when the revision moves: it may be
// the state of a module whose own backend keeps it there.
type farm struct {
	Root     string `json:"root"`
	Path     string `json:"path"`
	Revision string `json:"revision"`
	// Made are the files, folders and links made by us, below root/,
	// slash-separated, folders before what is in them.
	Made []string `json:"made"`
}

// plot is one entry that a farm is to have.
type plot struct {
	kind plotKind
	name string // below root/, slash-separated
	from string // what it copies or links to
}

type plotKind int

const (
	plotFolder plotKind = iota
	plotLink
	plotCopy
)

// plantFarm makes root/ show the task's module, unless it does.
func (p *phase) plantFarm() error {
	var old farm
	b, err := readIfThere(p.at.farmFile)
	if err != nil {
		return err
	}
	if b != nil && json.Unmarshal(b, &old) != nil {
		old = farm{}
	}
	t := p.task
	if old.Root == t.ModuleRoot && old.Path == t.ModulePath && old.Revision == t.ModuleRevision && isFolder(p.at.module) {
		return nil
	}
	if !isFolder(filepath.Join(t.ModuleRoot, filepath.FromSlash(t.ModulePath))) {
		return &problem{failure: moduleMissing(t)}
	}
	plots, err := survey(t.ModuleRoot, t.ModulePath)
	if err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	// All that may be ours is on record before anything is touched, so that a
	// crash leaves nothing that the next time would take for the module's.
	between := farm{Made: slices.Clone(old.Made)}
	for _, pl := range plots {
		between.Made = append(between.Made, pl.name)
	}
	if err := p.recordFarm(between); err != nil {
		return err
	}
	if err := uproot(p.at.root, old.Made); err != nil {
		return fmt.Errorf("clear the workspace of the last module: %w", err)
	}
	made, err := plant(p.at.root, plots)
	if err != nil {
		return fmt.Errorf("show the module in the workspace: %w", err)
	}
	return p.recordFarm(farm{Root: t.ModuleRoot, Path: t.ModulePath, Revision: t.ModuleRevision, Made: made})
}

func (p *phase) recordFarm(f farm) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return writeFile(p.at.farmFile, b)
}

// uproot removes what an earlier farm made.
func uproot(root string, made []string) error {
	for _, name := range slices.Backward(made) {
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) && !isFolder(at) {
			return err // a folder that is not empty holds what the module wrote
		}
	}
	return nil
}

// survey lists what a farm is to have: real folders down to the module, links
// beside them, and copies of the module's own folder. Copies, because a module may
// write over a file of its own, and through a link that would reach the checkout.
func survey(root, module string) ([]plot, error) {
	var plots []plot
	dir, name := root, ""
	for _, part := range strings.Split(module, "/") {
		if part == "" || part == "." {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() != part && e.Name() != ".git" {
				plots = append(plots, plot{plotLink, path.Join(name, e.Name()), filepath.Join(dir, e.Name())})
			}
		}
		dir, name = filepath.Join(dir, part), path.Join(name, part)
		plots = append(plots, plot{kind: plotFolder, name: name})
	}
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(dir, func(from string, e fs.DirEntry, err error) error {
		if err != nil || from == dir {
			return err
		}
		rel, err := filepath.Rel(dir, from)
		if err != nil {
			return err
		}
		pl := plot{plotLink, path.Join(name, filepath.ToSlash(rel)), from}
		switch {
		case e.Name() == ".git" || e.Name() == ".terraform":
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir() && files < maxCopiedFiles:
			pl.kind = plotFolder
		case e.IsDir():
			plots = append(plots, pl)
			return fs.SkipDir
		case e.Type().IsRegular():
			st, err := e.Info()
			if err != nil {
				return err
			}
			files++
			bytes += st.Size()
			// The lock file is copied whatever comes: the engine replaces it.
			if files <= maxCopiedFiles && bytes <= maxCopiedBytes || rel == lockFileName {
				pl.kind = plotCopy
			}
		}
		plots = append(plots, pl)
		return nil
	})
	return plots, err
}

// plant makes the entries, and returns the names of those that it made: where the
// module wrote something of its own, a folder or link is left alone.
func plant(root string, plots []plot) (made []string, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	for _, pl := range plots {
		at := filepath.Join(root, filepath.FromSlash(pl.name))
		switch pl.kind {
		case plotFolder:
			err = os.Mkdir(at, 0o700)
		case plotLink:
			err = os.Symlink(pl.from, at)
		case plotCopy:
			err = copyFile(pl.from, at)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		made = append(made, pl.name)
	}
	return made, nil
}

// copyFile copies over whatever is there: the module's text counts. What is there
// is removed first, because a link would be written through.
func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Scripts stay runnable.
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|st.Mode().Perm()&0o100)
	if err != nil {
		return err
	}
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
