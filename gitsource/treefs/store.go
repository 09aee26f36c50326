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
	"strings"
	"sync"
	"syscall"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/stackreeve/stackreeve/gitsource"
)

// ErrDamaged is returned when an object cannot be read or is not what its name says.
var ErrDamaged = errors.New("the object store is damaged")

// ErrMissing is returned for an object that the store does not hold.
var ErrMissing = errors.New("no such object")

// ErrName is returned for a tree that names an entry as no file can be named, which
// Git never writes: a path out of the tree, for one.
var ErrName = gitsource.ErrMalformed

// cacheBytes bounds the objects kept per store: an idle daemon stays small, and the
// bases of delta chains are still at hand.
const cacheBytes = 4 * cache.MiByte

// maxCachedEntries bounds the parsed trees that are kept, at about 100 bytes each.
const maxCachedEntries = 40_000

// Objects is what a store reads from.
type Objects interface {
	EncodedObject(plumbing.ObjectType, plumbing.Hash) (plumbing.EncodedObject, error)
	EncodedObjectSize(plumbing.Hash) (int64, error)
	HasEncodedObject(plumbing.Hash) error
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
	s.objects = o
	return nil
}

// Close lets go of files, and of what was said about damage in them.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = nil
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

// Damaged is the first damage that a read met since the store was made or closed, or nil.
func (s *Store) Damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged
}

var errClosed = errors.New("the repository is closed")

// Replace runs what removes or adds files while nobody reads, and notices what came of it.
func (s *Store) Replace(files func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(files(), s.reopen())
}

// maxReopen is how often a read that fails is tried again. Git writes the new pack
// first and then removes the old ones, one after the other: once may be in between.
const maxReopen = 3

// read does one read, and again in a reopened store when it fails: another program may
// have moved the objects into another pack.
func (s *Store) read(h plumbing.Hash, do func() error) error {
	if s.objects == nil {
		return errClosed
	}
	err := do()
	for range maxReopen {
		if err == nil {
			return nil
		}
		if err := s.reopen(); err != nil {
			return err
		}
		if err = do(); errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return fmt.Errorf("object %s: %w", h, ErrMissing)
	case !IsDamage(err):
		return fmt.Errorf("object %s: %w", h, err)
	}
	err = fmt.Errorf("object %s: %w: %w", h, ErrDamaged, err)
	if s.damaged == nil {
		s.damaged = err
	}
	return err
}

// IsDamage tells whether a read failed because of what the files hold, and not because the
// system would not let us read them (too many open files, no permission): then
// they may be whole.
func IsDamage(err error) bool {
	var sys syscall.Errno
	if !errors.As(err, &sys) {
		return err != nil
	}
	return sys == syscall.ENOENT || sys == syscall.ENOTDIR || sys == syscall.EISDIR
}

// maxAhead is the memory that an object's header alone may claim.
const maxAhead = 16 << 20

// object reads one object whole and checks it against its name.
func (s *Store) object(t plumbing.ObjectType, h plumbing.Hash) (*plumbing.MemoryObject, []byte, error) {
	o, err := s.objects.EncodedObject(t, h)
	if err != nil {
		return nil, nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, min(max(o.Size(), 0), maxAhead)+bytes.MinRead))
	_, err = b.ReadFrom(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, nil, err
	}
	if plumbing.ComputeHash(o.Type(), b.Bytes()) != h {
		return nil, nil, errors.New("its content is not what its name says")
	}
	m := &plumbing.MemoryObject{}
	m.SetType(o.Type())
	if t == plumbing.BlobObject {
		return m, b.Bytes(), nil // taken as it is: large ones are not copied
	}
	_, err = m.Write(b.Bytes())
	return m, b.Bytes(), err
}

// Commit reads a commit.
func (s *Store) Commit(h plumbing.Hash) (*object.Commit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &object.Commit{}
	err := s.read(h, func() error {
		o, _, err := s.object(plumbing.CommitObject, h)
		if err != nil {
			return err
		}
		return c.Decode(o)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Has tells whether the store holds an object.
func (s *Store) Has(h plumbing.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects != nil && s.objects.HasEncodedObject(h) == nil
}

// blob reads one blob.
func (s *Store) blob(h plumbing.Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var raw []byte
	err := s.read(h, func() (err error) {
		_, raw, err = s.object(plumbing.BlobObject, h)
		return err
	})
	return raw, err
}

func (s *Store) size(h plumbing.Hash) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.read(h, func() (err error) {
		n, err = s.objects.EncodedObjectSize(h)
		return err
	})
	return n, err
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
	t := &object.Tree{}
	err := s.read(h, func() error {
		o, _, err := s.object(plumbing.TreeObject, h)
		if err != nil {
			return err
		}
		return t.Decode(o)
	})
	if err != nil {
		return nil, err
	}
	list := make([]entry, 0, len(t.Entries))
	for _, e := range t.Entries {
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.Contains(e.Name, "/") {
			return nil, fmt.Errorf("tree %s: %w: %q", h, ErrName, e.Name)
		}
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
