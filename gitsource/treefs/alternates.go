package treefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// maxBorrowed is how many repositories may lend objects, one through another.
const maxBorrowed = 16

// OpenRepository opens the objects of a repository that other programs write, with
// those that it borrows and those of more repositories.
func OpenRepository(gitDir string, more ...string) (Objects, error) {
	dirs, err := Lenders(gitDir)
	if err != nil {
		return nil, err
	}
	dirs = append(dirs, more...)
	if len(dirs) == 1 {
		return OpenStorage(gitDir), nil
	}
	var all borrowing
	for _, d := range dirs {
		all = append(all, OpenStorage(d))
	}
	return all, nil
}

// Lenders are the repositories that hold a repository's objects: itself, and those that it
// borrows from. `git clone --shared` and `--reference` leave objects in the repository they came
// from and name it in objects/info/alternates. go-git reads alternates too, but
// resolves relative ones otherwise than Git and opens their packs anew for each object.
func Lenders(gitDir string) ([]string, error) {
	dirs := []string{gitDir}
	for i := 0; i < len(dirs); i++ {
		more, err := alternates(dirs[i])
		if err != nil {
			return nil, fmt.Errorf("read the alternates of %s: %w", dirs[i], err)
		}
		for _, d := range more {
			if !slices.Contains(dirs, d) && len(dirs) < maxBorrowed {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs, nil
}

// alternates are the folders that hold the folders of objects that a repository names.
func alternates(gitDir string) ([]string, error) {
	objects := filepath.Join(gitDir, "objects")
	raw, err := os.ReadFile(filepath.Join(objects, "info", "alternates"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if text, err := strconv.Unquote(line); err == nil && line[0] == '"' {
			line = text
		}
		if !filepath.IsAbs(line) {
			line = filepath.Join(objects, line)
		}
		if filepath.Base(line) == "objects" { // another name is nothing that Git makes
			out = append(out, filepath.Dir(line))
		}
	}
	return out, nil
}

// borrowing reads from its first storage, and what that lacks from the others.
type borrowing []*filesystem.Storage

func (b borrowing) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	return first(b, func(s *filesystem.Storage) (plumbing.EncodedObject, error) { return s.EncodedObject(t, h) })
}

func (b borrowing) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	return first(b, func(s *filesystem.Storage) (int64, error) { return s.EncodedObjectSize(h) })
}

func (b borrowing) HasEncodedObject(h plumbing.Hash) error {
	_, err := first(b, func(s *filesystem.Storage) (struct{}, error) { return struct{}{}, s.HasEncodedObject(h) })
	return err
}

func (b borrowing) Close() error {
	var err error
	for _, s := range b {
		err = errors.Join(err, s.Close())
	}
	return err
}

func first[T any](b borrowing, get func(*filesystem.Storage) (T, error)) (v T, err error) {
	for _, s := range b {
		if v, err = get(s); !errors.Is(err, plumbing.ErrObjectNotFound) {
			return v, err
		}
	}
	return v, err
}
