package folder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// errMoving says that a file changed while it was read, time and again.
var errMoving = errors.New("a file keeps changing while it is read")

// print is what tells that a file was not touched. The change time moves with every
// write, also when a program sets the modification time back.
type print struct {
	size            int64
	written, change time.Time
	inode           uint64
	mode            fs.FileMode
}

type known struct {
	print print
	hash  plumbing.Hash
}

// settled is how old a change must be before the print is trusted: two writes
// within one tick of the file system's clock have the same times.
const settled = 2 * time.Second

// scanner copies a folder's files into a store, reading only what was touched.
type scanner struct {
	root  string
	store *gitmirror.Bare
	files map[string]known
}

// scanning is one scan.
type scanning struct {
	*scanner
	ctx      context.Context
	to       *filesystem.Storage
	next     map[string]known
	patterns []gitignore.Pattern
	at       time.Time
}

func (s *scanner) scan(ctx context.Context) (tree plumbing.Hash, err error) {
	if _, err := os.Stat(s.root); err != nil {
		return tree, fmt.Errorf("read the folder: %w", err)
	}
	one := &scanning{scanner: s, ctx: ctx, to: treefs.OpenStorage(s.store.Dir()), next: map[string]known{}, at: time.Now()}
	defer func() { err = errors.Join(err, one.to.Close()) }()
	tree, _, err = one.folder(nil)
	if err != nil {
		return tree, err
	}
	s.files = one.next
	return tree, nil
}

// folder writes one folder's tree; isEmpty folders are left out, as in Git.
func (s *scanning) folder(at []string) (h plumbing.Hash, isEmpty bool, err error) {
	if err := s.ctx.Err(); err != nil {
		return h, false, err
	}
	dir := filepath.Join(append([]string{s.root}, at...)...)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && len(at) > 0 {
		return h, true, nil // removed meanwhile: the next scan sees the rest of it
	}
	if err != nil {
		return h, false, fmt.Errorf("read the folder: %w", err)
	}
	if err := s.ignore(dir, at); err != nil {
		return h, false, err
	}
	matcher := gitignore.NewMatcher(s.patterns)
	tree := &object.Tree{}
	for _, d := range list {
		path := append(slices.Clone(at), d.Name())
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") || d.Name() == ".git" || matcher.Match(path, d.IsDir()) {
			continue
		}
		e, ok, err := s.entry(path, d)
		if err != nil {
			return h, false, err
		}
		if ok {
			tree.Entries = append(tree.Entries, e)
		}
	}
	slices.SortFunc(tree.Entries, func(a, b object.TreeEntry) int { return cmp.Compare(sortKey(a), sortKey(b)) })
	o := &plumbing.MemoryObject{}
	if err := tree.Encode(o); err != nil {
		return h, false, err
	}
	return o.Hash(), len(tree.Entries) == 0, s.write(o)
}

func sortKey(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

func (s *scanning) entry(path []string, d fs.DirEntry) (object.TreeEntry, bool, error) {
	e := object.TreeEntry{Name: d.Name()}
	if d.IsDir() {
		h, isEmpty, err := s.folder(path)
		e.Mode, e.Hash = filemode.Dir, h
		return e, !isEmpty, err
	}
	fi, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read the folder: %w", err)
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		e.Mode = filemode.Symlink
	case !fi.Mode().IsRegular():
		return e, false, nil // a socket or device is nobody's configuration
	case fi.Mode()&0o100 != 0:
		e.Mode = filemode.Executable
	default:
		e.Mode = filemode.Regular
	}
	name := strings.Join(path, "/")
	now := printOf(fi)
	if k, ok := s.files[name]; ok && k.print == now && s.store.Store.Has(k.hash) {
		e.Hash, s.next[name] = k.hash, k
		return e, true, nil
	}
	e.Hash, err = s.read(filepath.Join(s.root, filepath.FromSlash(name)), fi)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read the folder: %w", err)
	}
	if s.at.Sub(now.written) > settled && s.at.Sub(now.change) > settled {
		s.next[name] = known{now, e.Hash}
	}
	return e, true, nil
}

func printOf(fi fs.FileInfo) print {
	p := print{size: fi.Size(), written: fi.ModTime(), change: fi.ModTime(), mode: fi.Mode()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		p.inode, p.change = st.Ino, changeTime(st)
	}
	return p
}

// whole is the size up to which a file is read at once; larger ones are streamed.
const whole = 8 << 20

// read copies one file into the store: what was hashed is what is kept.
func (s *scanning) read(name string, fi fs.FileInfo) (plumbing.Hash, error) {
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.BlobObject)
	if fi.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(name)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if _, err := io.WriteString(o, target); err != nil {
			return plumbing.ZeroHash, err
		}
		return o.Hash(), s.write(o)
	}
	if fi.Size() > whole {
		return s.stream(name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := o.Write(raw); err != nil {
		return plumbing.ZeroHash, err
	}
	return o.Hash(), s.write(o)
}

func (s *scanning) stream(name string) (plumbing.Hash, error) {
	for range 3 {
		h, err := s.streamOnce(name)
		if !errors.Is(err, errMoving) {
			return h, err
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("%s: %w", name, errMoving)
}

func (s *scanning) streamOnce(name string) (h plumbing.Hash, err error) {
	f, err := os.Open(name)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return h, err
	}
	// Hashed first, so that a file that is known, or grows, writes nothing.
	sum := plumbing.NewHasher(plumbing.BlobObject, fi.Size())
	if n, err := io.Copy(sum, f); err != nil || n != fi.Size() {
		return h, errors.Join(err, errMoving)
	}
	if h = sum.Sum(); s.store.Store.Has(h) {
		return h, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	w, header, err := s.to.LazyWriter()
	if err != nil {
		return h, err
	}
	again := plumbing.NewHasher(plumbing.BlobObject, fi.Size())
	err = header(plumbing.BlobObject, fi.Size())
	if err == nil {
		_, err = io.CopyN(io.MultiWriter(w, again), f, fi.Size())
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return h, errors.Join(err, errMoving)
	}
	if again.Sum() != h {
		return h, errMoving // what was written has its own name and does no harm
	}
	return h, nil
}

func (s *scanning) write(o plumbing.EncodedObject) error {
	if s.store.Store.Has(o.Hash()) {
		return nil
	}
	_, err := s.to.SetEncodedObject(o)
	return err
}

// ignore adds a folder's .gitignore, when the folder is in a working copy.
func (s *scanning) ignore(dir string, at []string) error {
	raw, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the folder: %w", err)
	}
	for line := range bytes.Lines(raw) {
		text := strings.TrimRight(string(line), "\r\n")
		if text != "" && !strings.HasPrefix(text, "#") {
			s.patterns = append(s.patterns, gitignore.ParsePattern(text, at))
		}
	}
	return nil
}
