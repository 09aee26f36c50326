package treefs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/schema"
)

// Snapshot is one tree of a store: a [gitsource.Snapshot]. As a file system it holds
// all files; Blobs and Changes leave out hidden folders. The content of a symlink
// is its target, which is not followed. It is safe for concurrent use.
type Snapshot struct {
	store *Store
	tree  plumbing.Hash
	rev   gitsource.Revision
}

var (
	_ gitsource.Snapshot = (*Snapshot)(nil)
	_ fs.ReadDirFS       = (*Snapshot)(nil)
	_ fs.ReadFileFS      = (*Snapshot)(nil)
	_ fs.StatFS          = (*Snapshot)(nil)
	_ fs.ReadLinkFS      = (*Snapshot)(nil)
)

// NewSnapshot opens the tree as the files of a revision.
func (s *Store) NewSnapshot(rev gitsource.Revision, tree plumbing.Hash) (*Snapshot, error) {
	if _, err := s.folder(tree); err != nil {
		return nil, fmt.Errorf("open the files of %s: %w", rev.Short(), err)
	}
	return &Snapshot{store: s, tree: tree, rev: rev}, nil
}

// Revision is the revision whose files these are.
func (s *Snapshot) Revision() gitsource.Revision { return s.rev }

// TreeHash is the hash of the root tree.
func (s *Snapshot) TreeHash() string { return s.tree.String() }

// FolderHash is the hash of the folder's tree; "" and "." are the root.
func (s *Snapshot) FolderHash(folder string) (string, bool) {
	e, err := s.lookup(path.Clean(folder))
	if err != nil || !e.isFolder() {
		return "", false
	}
	return e.hash.String(), true
}

// lookup finds what stands at a clean path.
func (s *Snapshot) lookup(name string) (entry, error) {
	at := entry{name: ".", mode: filemode.Dir, hash: s.tree}
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !at.isFolder() {
			return entry{}, fs.ErrNotExist
		}
		list, err := s.store.folder(at.hash)
		if err != nil {
			return entry{}, err
		}
		next, ok := find(list, part)
		if !ok {
			return entry{}, fs.ErrNotExist
		}
		at = next
	}
	return at, nil
}

// find looks a name up, first as a file, then as a folder: they sort differently.
func find(list []entry, name string) (entry, bool) {
	for _, key := range []string{name, name + "/"} {
		i, ok := slices.BinarySearchFunc(list, key, func(e entry, k string) int { return cmp.Compare(e.key(), k) })
		if ok {
			return list[i], true
		}
	}
	return entry{}, false
}

func isHidden(e entry) bool { return e.isFolder() && strings.HasPrefix(e.name, ".") }

func mode(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Symlink:
		return fs.ModeSymlink
	case filemode.Executable:
		return 0o111
	}
	return 0
}

// Blobs yields every file in path order. Only trees and sizes are read.
func (s *Snapshot) Blobs() iter.Seq2[schema.Blob, error] {
	return func(yield func(schema.Blob, error) bool) {
		if err := s.walk("", s.tree, func(b schema.Blob) bool { return yield(b, nil) }); err != nil && !errors.Is(err, fs.SkipAll) {
			yield(schema.Blob{}, err)
		}
	}
}

func (s *Snapshot) walk(prefix string, tree plumbing.Hash, visit func(schema.Blob) bool) error {
	list, err := s.store.folder(tree)
	if err != nil {
		return err
	}
	for _, e := range list {
		if isHidden(e) {
			continue
		}
		if e.isFolder() {
			if err := s.walk(prefix+e.name+"/", e.hash, visit); err != nil {
				return err
			}
			continue
		}
		size, err := s.store.size(e.hash)
		if err != nil {
			return err
		}
		if !visit(schema.Blob{Path: prefix + e.name, Hash: e.hash.String(), Size: size, Mode: mode(e.mode)}) {
			return fs.SkipAll
		}
	}
	return nil
}

// Changes compares with another tree of the same store, reading only subtrees that
// differ. A file whose mode alone changed is listed with equal hashes.
func (s *Snapshot) Changes(from string) ([]schema.PathChange, error) {
	if from == s.TreeHash() {
		return nil, nil
	}
	if !plumbing.IsHash(from) {
		return nil, schema.ErrUnknownTree
	}
	c := comparison{store: s.store}
	err := c.folders("", plumbing.NewHash(from), s.tree)
	if errors.Is(err, ErrMissing) {
		return nil, fmt.Errorf("%w: %w", schema.ErrUnknownTree, err)
	}
	return c.changes, err
}

type comparison struct {
	store   *Store
	changes []schema.PathChange
}

// folders compares two trees; a zero hash is an empty one.
func (c *comparison) folders(prefix string, before, after plumbing.Hash) error {
	if before == after {
		return nil
	}
	a, err := c.list(before)
	if err != nil {
		return err
	}
	b, err := c.list(after)
	if err != nil {
		return err
	}
	for len(a) > 0 || len(b) > 0 {
		var was, is entry
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].key() < b[0].key():
			was, a = a[0], a[1:]
		case len(a) == 0 || b[0].key() < a[0].key():
			is, b = b[0], b[1:]
		default:
			was, is, a, b = a[0], b[0], a[1:], b[1:]
		}
		if err := c.entries(prefix, was, is); err != nil {
			return err
		}
	}
	return nil
}

// entries compares two entries of one name and sort; a zero one is missing.
func (c *comparison) entries(prefix string, was, is entry) error {
	name := cmp.Or(is.name, was.name)
	switch {
	case was == is || isHidden(entry{name: name, mode: cmp.Or(is.mode, was.mode)}):
		return nil
	case was.isFolder() || is.isFolder():
		return c.folders(prefix+name+"/", was.hash, is.hash)
	}
	c.changes = append(c.changes, schema.PathChange{Path: prefix + name, OldHash: text(was.hash), NewHash: text(is.hash)})
	return nil
}

func (c *comparison) list(h plumbing.Hash) ([]entry, error) {
	if h.IsZero() {
		return nil, nil
	}
	return c.store.folder(h)
}

func text(h plumbing.Hash) string {
	if h.IsZero() {
		return ""
	}
	return h.String()
}
