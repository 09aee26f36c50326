package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// fsSource is the Source that FromFS makes. It can compare itself only with itself.
type fsSource struct {
	fs.FS
	hash    string
	blobs   []Blob
	folders map[string]string
}

func fromFS(fsys fs.FS) (Source, error) {
	s := &fsSource{FS: fsys, folders: map[string]string{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != "." && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		b, err := hashFile(fsys, p, d)
		if err != nil {
			return err
		}
		s.blobs = append(s.blobs, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of the repository: %w", err)
	}
	slices.SortFunc(s.blobs, func(a, b Blob) int { return cmp.Compare(a.Path, b.Path) })
	s.hashFolders()
	return s, nil
}

// hashFile hashes one file's content; a symlink's content is its target, as in git.
func hashFile(fsys fs.FS, p string, d fs.DirEntry) (Blob, error) {
	b := Blob{Path: p, Mode: d.Type()}
	h := sha256.New()
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := fs.ReadLink(fsys, p)
		if err != nil {
			return Blob{}, err
		}
		b.Size = int64(len(target))
		_, _ = io.WriteString(h, target)
		b.Hash = hex.EncodeToString(h.Sum([]byte("l")))
		return b, nil
	}
	if !d.Type().IsRegular() {
		return Blob{}, fmt.Errorf("%s: not a regular file", p)
	}
	if fi, err := d.Info(); err == nil {
		b.Mode |= fi.Mode() & 0o111
	}
	f, err := fsys.Open(p)
	if err != nil {
		return Blob{}, err
	}
	n, err := io.Copy(h, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return Blob{}, err
	}
	b.Size, b.Hash = n, hex.EncodeToString(h.Sum(nil))
	return b, nil
}

// hashFolders gives each folder a hash over the paths and hashes of all its files,
// relative to it, so that a folder that moves keeps its hash.
func (s *fsSource) hashFolders() {
	type sum struct{ w io.Writer }
	sums := map[string]sum{}
	finish := map[string]func() string{}
	for _, b := range s.blobs {
		for dir := path.Dir(b.Path); ; dir = path.Dir(dir) {
			if _, ok := sums[dir]; !ok {
				h := sha256.New()
				sums[dir] = sum{h}
				finish[dir] = func() string { return hex.EncodeToString(h.Sum(nil)) }
			}
			rel := b.Path
			if dir != "." {
				rel = strings.TrimPrefix(b.Path, dir+"/")
			}
			_, _ = fmt.Fprintf(sums[dir].w, "%s\x00%s\x00%o\n", rel, b.Hash, b.Mode&0o111)
			if dir == "." {
				break
			}
		}
	}
	for dir, f := range finish {
		s.folders[dir] = f()
	}
	if s.hash = s.folders["."]; s.hash == "" {
		s.hash = hex.EncodeToString(sha256.New().Sum(nil))
	}
}

// TreeHash is a hash over all paths and contents.
func (s *fsSource) TreeHash() string { return s.hash }

// Blobs yields the files in path order.
func (s *fsSource) Blobs() iter.Seq2[Blob, error] {
	return func(yield func(Blob, error) bool) {
		for _, b := range s.blobs {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Changes knows no other tree.
func (s *fsSource) Changes(from string) ([]PathChange, error) {
	if from == s.hash {
		return nil, nil
	}
	return nil, ErrUnknownTree
}

// FolderHash is the hash of one folder; "" and "." are the root.
func (s *fsSource) FolderHash(folder string) (string, bool) {
	h, ok := s.folders[path.Clean(folder)]
	return h, ok
}

// ReadLink and Lstat pass through, so that symlinks stay visible.
func (s *fsSource) ReadLink(name string) (string, error) { return fs.ReadLink(s.FS, name) }

// Lstat is fs.Lstat of the file system below.
func (s *fsSource) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(s.FS, name) }
