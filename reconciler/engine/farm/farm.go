// Package farm shows a module in a stack's own folder.
//
// Checkouts are immutable and shared; engines and modules write into the folder that they
// work in, and refer to what lies beside it. So the folder has real folders down to the
// module, links to everything beside that way, and a copy of the module's own folder:
//
//	root/…         Farm.Folder: shows Source.Root
//	root/modules/  a link
//	root/net/      Source.Path: copies
//	farm.json      Farm.Record: which revision root/ shows, and what in it is ours
//
// The tree is made again only when the source moves; then our own files go, and what the
// module or its engine wrote stays (docs/decisions/0032).
package farm

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

	"github.com/google/renameio/v2"
)

// ErrNoModule means that the source has no such folder.
var ErrNoModule = errors.New("the module's folder does not exist")

// Source is a module in an immutable tree: Path is its folder below Root,
// slash-separated.
type Source struct {
	Root     string
	Path     string
	Revision string
}

// Farm is a folder in which a module is shown, by absolute paths.
type Farm struct {
	Folder string
	Record string
	// Skip are names that are never shown, wherever they stand: what an engine makes
	// itself. ".git" is never.
	Skip []string
	// Replaced are files of the module's folder that are copied whatever comes, because
	// they are written over.
	Replaced []string
	// Copied are names of files that are copied also where they stand beside the way to
	// the module: tools look for them there, and write them.
	Copied []string
}

// Over these numbers the rest of a module's own folder is linked, not copied: a
// module that is a whole repository must not cost its size at every revision.
const (
	maxCopiedFiles = 2000
	maxCopiedBytes = 32 << 20
)

// record tells what root/ shows and which of its entries are ours. What the
// engine or the module wrote beside them stays when the revision moves: it may be
// the state of a module whose own backend keeps it there.
type record struct {
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

// Plant makes the folder show the source, unless it does. It returns an error that is
// ErrNoModule when the source has no such folder.
func (f Farm) Plant(s Source) error {
	var old record
	b, err := os.ReadFile(f.Record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(b) > 0 && json.Unmarshal(b, &old) != nil {
		old = record{}
	}
	if old.Root == s.Root && old.Path == s.Path && old.Revision == s.Revision && isFolder(filepath.Join(f.Folder, filepath.FromSlash(s.Path))) {
		return nil
	}
	if !isFolder(filepath.Join(s.Root, filepath.FromSlash(s.Path))) {
		return ErrNoModule
	}
	plots, err := f.survey(s.Root, s.Path)
	if err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	// All that may be ours is on record before anything is touched, so that a
	// crash leaves nothing that the next time would take for the module's.
	between := record{Made: slices.Clone(old.Made)}
	for _, pl := range plots {
		between.Made = append(between.Made, pl.name)
	}
	if err := f.write(between); err != nil {
		return err
	}
	if err := uproot(f.Folder, old.Made); err != nil {
		return fmt.Errorf("clear the workspace of the last module: %w", err)
	}
	made, err := plant(f.Folder, plots)
	if err != nil {
		return fmt.Errorf("show the module in the workspace: %w", err)
	}
	return f.write(record{Root: s.Root, Path: s.Path, Revision: s.Revision, Made: made})
}

func (f Farm) write(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(f.Record, b, 0o600)
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
func (f Farm) survey(root, module string) ([]plot, error) {
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
			if e.Name() == part || e.Name() == ".git" {
				continue
			}
			pl := plot{plotLink, path.Join(name, e.Name()), filepath.Join(dir, e.Name())}
			if e.Type().IsRegular() && slices.Contains(f.Copied, e.Name()) {
				pl.kind = plotCopy
			}
			plots = append(plots, pl)
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
		case e.Name() == ".git" || slices.Contains(f.Skip, e.Name()):
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
			if files <= maxCopiedFiles && bytes <= maxCopiedBytes || slices.Contains(f.Replaced, rel) {
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
