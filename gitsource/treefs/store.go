// Package treefs reads the files of Git trees as a file system, without a work tree.
//
// A [Store] is a folder of Git objects: a mirror, the .git of a working copy, or the
// store into which a plain folder is copied. A [Snapshot] is one of its trees.
// Comparing two trees reads only the subtrees that differ.
//
// Every object is checked against its name when it is read, so that a damaged store
// gives [ErrDamaged], never wrong content. The package does not fetch anything.
package treefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// ErrDamaged is returned when an object cannot be read or is not what its name says.
var ErrDamaged = errors.New("the object store is damaged")

// ErrMissing is returned for an object that the store does not hold.
var ErrMissing = errors.New("no such object")

// cacheBytes bounds the objects kept per store: an idle daemon stays small, and the
// bases of delta chains are still at hand.
const cacheBytes = 4 * cache.MiByte

// maxCachedEntries bounds the parsed trees that are kept, at about 100 bytes each.
const maxCachedEntries = 40_000

// Objects is what a store reads from.
type Objects interface {
	storer.EncodedObjectStorer
}

// Store reads objects. It is safe for concurrent use: go-git's storages are not, so
// reads take turns.
type Store struct {
	open func() (Objects, error)

	mu      sync.Mutex // guards what follows, and all reads
	objects Objects
	folders map[plumbing.Hash][]entry
	cached  int // entries in folders
	damaged error
}

// NewStore makes a store of what open returns; it is called again by Reopen.
func NewStore(open func() (Objects, error)) (*Store, error) {
	s := &Store{open: open}
	return s, s.Reopen()
}

// OpenStore opens a bare repository that only this process writes.
func OpenStore(dir string) (*Store, error) {
	return NewStore(func() (Objects, error) { return OpenStorage(dir), nil })
}

// OpenStorage opens a bare repository's storage with the small caches of a daemon.
func OpenStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(cacheBytes),
		filesystem.Options{MaxOpenDescriptors: 8})
}

// Reopen notices packs that came or went. Snapshots stay valid.
func (s *Store) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reopen()
}

func (s *Store) reopen() error {
	if err := s.close(); err != nil {
		return err
	}
	o, err := s.open()
	if err != nil {
		return err
	}
	s.objects, s.damaged = o, nil
	return nil
}

// Close lets go of files.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

func (s *Store) close() error {
	s.folders, s.cached = nil, 0
	c, ok := s.objects.(io.Closer)
	s.objects = nil
	if ok {
		return c.Close()
	}
	return nil
}

// Damaged is the first damage that a read met since the store was opened, or nil.
func (s *Store) Damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged
}

var errClosed = errors.New("the repository is closed")

// object reads one object. An object that is not found is looked for once more in a
// reopened store: another program may have packed anew.
func (s *Store) object(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	if s.objects == nil {
		return nil, errClosed
	}
	o, err := s.objects.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		if err := s.reopen(); err != nil {
			return nil, err
		}
		o, err = s.objects.EncodedObject(t, h)
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("%s %s: %w", t, h, ErrMissing)
	}
	if err != nil {
		return nil, s.damage(h, err)
	}
	return o, nil
}

func (s *Store) damage(h plumbing.Hash, err error) error {
	err = fmt.Errorf("object %s: %w: %w", h, ErrDamaged, err)
	if s.damaged == nil {
		s.damaged = err
	}
	return err
}

// Commit reads a commit.
func (s *Store) Commit(h plumbing.Hash) (*object.Commit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(plumbing.CommitObject, h)
	if err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := c.Decode(o); err != nil {
		return nil, s.damage(h, err)
	}
	return c, nil
}

// Peel follows annotated tags to the commit that they name.
func (s *Store) Peel(h plumbing.Hash) (plumbing.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 10 {
		o, err := s.object(plumbing.AnyObject, h)
		if err != nil {
			return h, err
		}
		if o.Type() != plumbing.TagObject {
			return h, nil
		}
		t := &object.Tag{}
		if err := t.Decode(o); err != nil {
			return h, s.damage(h, err)
		}
		h = t.Target
	}
	return h, errors.New("a tag of a tag of a tag …")
}

// Has tells whether the store holds an object.
func (s *Store) Has(h plumbing.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects != nil && s.objects.HasEncodedObject(h) == nil
}

// blob reads one blob and checks its content against its name.
func (s *Store) blob(h plumbing.Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.object(plumbing.BlobObject, h)
	if err != nil {
		return nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, s.damage(h, err)
	}
	b := bytes.NewBuffer(make([]byte, 0, o.Size()+bytes.MinRead))
	_, err = b.ReadFrom(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, s.damage(h, err)
	}
	if plumbing.ComputeHash(plumbing.BlobObject, b.Bytes()) != h {
		return nil, s.damage(h, errors.New("its content is not what its name says"))
	}
	return b.Bytes(), nil
}

func (s *Store) size(h plumbing.Hash) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		return 0, errClosed
	}
	n, err := s.objects.EncodedObjectSize(h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		o, err := s.object(plumbing.BlobObject, h)
		if err != nil {
			return 0, err
		}
		return o.Size(), nil
	}
	if err != nil {
		return 0, s.damage(h, err)
	}
	return n, nil
}

// entry is one line of a tree, in Git's order: a folder sorts as if its name ended in "/",
// which makes a walk yield whole paths in byte order.
type entry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

func (e entry) isFolder() bool { return e.mode == filemode.Dir }

// key is what Git sorts by.
func (e entry) key() string {
	if e.isFolder() {
		return e.name + "/"
	}
	return e.name
}

// folder reads one tree. Submodules are left out: their files are not here.
func (s *Store) folder(h plumbing.Hash) ([]entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list, ok := s.folders[h]; ok {
		return list, nil
	}
	o, err := s.object(plumbing.TreeObject, h)
	if err != nil {
		return nil, err
	}
	t := &object.Tree{}
	if err := t.Decode(o); err != nil {
		return nil, s.damage(h, err)
	}
	list := make([]entry, 0, len(t.Entries))
	for _, e := range t.Entries {
		if e.Mode != filemode.Submodule {
			list = append(list, entry{e.Name, e.Mode, e.Hash})
		}
	}
	if s.cached += len(list) + 1; s.cached > maxCachedEntries || s.folders == nil {
		s.folders, s.cached = map[plumbing.Hash][]entry{}, len(list)+1
	}
	s.folders[h] = list
	return list, nil
}
