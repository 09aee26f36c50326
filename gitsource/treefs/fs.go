package treefs

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// stat describes one entry: an fs.FileInfo and fs.DirEntry.
type stat struct {
	entry
	size int64
	at   time.Time
}

func (s stat) Name() string               { return s.name }
func (s stat) Size() int64                { return s.size }
func (s stat) ModTime() time.Time         { return s.at }
func (s stat) IsDir() bool                { return s.isFolder() }
func (s stat) Sys() any                   { return nil }
func (s stat) Type() fs.FileMode          { return s.Mode().Type() }
func (s stat) Info() (fs.FileInfo, error) { return s, nil }
func (s stat) String() string             { return fs.FormatFileInfo(s) }

func (s stat) Mode() fs.FileMode {
	switch s.mode {
	case filemode.Dir:
		return fs.ModeDir | 0o555
	case filemode.Symlink:
		return fs.ModeSymlink | 0o444
	case filemode.Executable:
		return 0o555
	}
	return 0o444
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// isPath is fs.ValidPath, but for names that are no UTF-8: Git has such files, and a
// module must not fail because of one that it does not read.
func isPath(name string) bool { return fs.ValidPath(strings.ToValidUTF8(name, "?")) }

func (s *Snapshot) stat(op, name string) (stat, error) {
	if !isPath(name) {
		return stat{}, failed(op, name, fs.ErrInvalid)
	}
	e, err := s.lookup(name)
	if err != nil {
		return stat{}, failed(op, name, err)
	}
	return s.describe(op, name, e)
}

func (s *Snapshot) describe(op, name string, e entry) (stat, error) {
	st := stat{entry: e, at: s.rev.CommittedAt}
	st.name = path.Base(name)
	if e.isFolder() {
		return st, nil
	}
	n, err := s.store.size(e.hash)
	if err != nil {
		return stat{}, failed(op, name, err)
	}
	st.size = n
	return st, nil
}

// Stat describes a file. A symlink is described itself.
func (s *Snapshot) Stat(name string) (fs.FileInfo, error) {
	st, err := s.stat("stat", name)
	if err != nil {
		return nil, err
	}
	return st, nil
}

// Lstat is Stat.
func (s *Snapshot) Lstat(name string) (fs.FileInfo, error) { return s.Stat(name) }

// ReadLink gives a symlink's target.
func (s *Snapshot) ReadLink(name string) (string, error) {
	st, err := s.stat("readlink", name)
	if err != nil {
		return "", err
	}
	if st.mode != filemode.Symlink {
		return "", failed("readlink", name, fs.ErrInvalid)
	}
	b, err := s.store.blob(st.hash)
	if err != nil {
		return "", failed("readlink", name, err)
	}
	return string(b), nil
}

// ReadFile reads a file whole.
func (s *Snapshot) ReadFile(name string) ([]byte, error) {
	if !isPath(name) {
		return nil, failed("read", name, fs.ErrInvalid)
	}
	e, err := s.lookup(name)
	if err == nil && e.isFolder() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, failed("read", name, err)
	}
	b, err := s.store.blob(e.hash)
	if err != nil {
		return nil, failed("read", name, err)
	}
	return b, nil
}

// ReadDir lists a folder, sorted by name.
func (s *Snapshot) ReadDir(name string) ([]fs.DirEntry, error) {
	st, err := s.stat("readdir", name)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, failed("readdir", name, fs.ErrInvalid)
	}
	list, err := s.store.folder(st.hash)
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	out := make([]fs.DirEntry, 0, len(list))
	for _, e := range list {
		d, err := s.describe("readdir", path.Join(name, e.name), e)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// Open opens a file or folder for reading.
func (s *Snapshot) Open(name string) (fs.File, error) {
	st, err := s.stat("open", name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		list, err := s.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openFolder{stat: st, rest: list}, nil
	}
	b, err := s.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: bytes.NewReader(b), stat: st}, nil
}

type openFile struct {
	*bytes.Reader
	stat stat
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.stat, nil }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	stat stat
	rest []fs.DirEntry
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.stat, nil }
func (f *openFolder) Close() error               { return nil }

func (f *openFolder) Read([]byte) (int, error) { return 0, failed("read", f.stat.name, fs.ErrInvalid) }

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(f.rest) {
		if n > 0 && len(f.rest) == 0 {
			return nil, io.EOF
		}
		n = len(f.rest)
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out, nil
}
