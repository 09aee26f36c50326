package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
)

const (
	defaultMaxFileBytes  = 10 << 20
	defaultMaxAliasNodes = 100_000
)

// loader is what a Loader holds.
type loader struct {
	opts Options
	mu   sync.Mutex // guards last
	last *state
	// tree is the tree of last.
	tree *Tree
}

// state is what one load leaves to the next. It is never changed, only replaced.
type state struct {
	hash    string
	entries map[string]*entry
	folders map[string]*codeFolder
	around  map[scope]*surroundings
}

// entry is one file that means something to the loader.
type entry struct {
	path, hash string
	size       int64
	mode       fs.FileMode
	layout     layout
	// code is the module's code folder that the file lies in, or "".
	code string
	file *parsedFile
	// bound are the file's resources in their surroundings.
	bound *boundFile
}

func newLoader(o Options) *Loader {
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = defaultMaxFileBytes
	}
	if o.MaxAliasNodes <= 0 {
		o.MaxAliasNodes = defaultMaxAliasNodes
	}
	l := &Loader{}
	l.opts = o
	return l
}

func (l *loader) load(ctx context.Context, src Source) (*Tree, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil && l.last.hash == src.TreeHash() {
		return l.tree, nil
	}
	next, err := l.survey(src)
	if err != nil {
		return nil, fmt.Errorf("load the repository: %w", err)
	}
	if err := l.parseNew(ctx, src, next); err != nil {
		return nil, fmt.Errorf("load the repository: %w", err)
	}
	a := &assembly{loader: l, src: src, state: next}
	t, err := a.tree(ctx, l.last)
	if err != nil {
		return nil, fmt.Errorf("load the repository: %w", err)
	}
	l.last, l.tree = next, t
	return t, nil
}

// survey finds the files of the source that count, taking over from the last load
// what is unchanged: by what the source says has changed, or by listing all.
func (l *loader) survey(src Source) (*state, error) {
	if l.last != nil {
		changes, err := src.Changes(l.last.hash)
		if err == nil {
			return l.follow(src, changes)
		}
		if !errors.Is(err, ErrUnknownTree) {
			return nil, err
		}
	}
	next := &state{hash: src.TreeHash(), entries: map[string]*entry{}, folders: map[string]*codeFolder{}}
	for b, err := range src.Blobs() {
		if err != nil {
			return nil, err
		}
		next.add(b)
	}
	for _, e := range next.entries {
		e.code = codeFolderOf(e.path, next.folders)
		if l.last != nil {
			e.takeOver(l.last.entries[e.path])
		}
	}
	return next, nil
}

// follow changes the last state by a list of changed paths.
func (l *loader) follow(src Source, changes []PathChange) (*state, error) {
	next := &state{hash: src.TreeHash(), entries: maps.Clone(l.last.entries), folders: maps.Clone(l.last.folders)}
	foldersMoved := false
	var fresh []*entry
	for _, c := range changes {
		if isHidden(c.Path) {
			continue
		}
		if isCode(c.Path) && (c.OldHash == "") != (c.NewHash == "") {
			foldersMoved = true
			next.count(c.Path, c.NewHash != "")
		}
		delete(next.entries, c.Path)
		if c.NewHash == "" || !mayMatter(c.Path) {
			continue
		}
		fi, err := fs.Lstat(src, c.Path)
		if err != nil {
			return nil, err
		}
		if e := newEntry(Blob{Path: c.Path, Hash: c.NewHash, Size: fi.Size(), Mode: fi.Mode().Type()}); e != nil {
			next.entries[c.Path] = e
			fresh = append(fresh, e)
		}
	}
	for _, e := range fresh {
		e.code = codeFolderOf(e.path, next.folders)
		e.takeOver(l.last.entries[e.path])
	}
	if foldersMoved {
		for p, e := range next.entries {
			if code := codeFolderOf(p, next.folders); code != e.code {
				moved := *e
				moved.code, moved.file, moved.bound = code, nil, nil
				next.entries[p] = &moved
			}
		}
	}
	return next, nil
}

// takeOver keeps what is known of a file that has not changed.
func (e *entry) takeOver(old *entry) {
	if old != nil && old.hash == e.hash && old.mode == e.mode && old.code == e.code {
		e.file, e.bound = old.file, old.bound
	}
}

func isHidden(p string) bool { return strings.HasPrefix(p, ".") || strings.Contains(p, "/.") }

// mayMatter tells whether a path can be an entry: YAML, or a symlink that may stand for
// a folder.
func mayMatter(p string) bool {
	return isYAML(p) || !strings.Contains(path.Base(p), ".")
}

// add takes one file of a whole listing into account.
func (s *state) add(b Blob) {
	if isHidden(b.Path) {
		return
	}
	if isCode(b.Path) {
		s.count(b.Path, true)
	}
	if e := newEntry(b); e != nil {
		s.entries[b.Path] = e
	}
}

// count adds a code file to its folder or takes it away. The counts may be shared with
// the last state, so they are copied.
func (s *state) count(p string, there bool) {
	dir := path.Dir(p)
	var c codeFolder
	if old := s.folders[dir]; old != nil {
		c = *old
	}
	n := 1
	if !there {
		n = -1
	}
	c.add(p, n)
	if c == (codeFolder{}) {
		delete(s.folders, dir)
		return
	}
	s.folders[dir] = &c
}

// newEntry makes an entry of a file, or nil when the loader has nothing to do with it.
func newEntry(b Blob) *entry {
	if !mayMatter(b.Path) {
		return nil
	}
	e := &entry{path: b.Path, hash: b.Hash, size: b.Size, mode: b.Mode.Type()}
	if e.mode&fs.ModeSymlink != 0 {
		p := b.Path
		if !isYAML(p) {
			// It may stand for a folder, whose documents would be missing.
			p += "/all.yaml"
		}
		e.layout = layoutOf(p)
		if e.layout.role == documents || e.layout.role == mixed {
			return e
		}
		return nil
	}
	e.layout = layoutOf(b.Path)
	if e.layout.role == ignored {
		return nil
	}
	return e
}
