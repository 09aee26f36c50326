package module

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is how many symlinks one path may lead through, as in Linux.
const maxLinks = 40

// errLoop is returned for symlinks that lead back to themselves.
var errLoop = errors.New("too many symlinks")

// resolve follows a path from a folder as the operating system would: ".." goes up from
// where a symlink led, not from where it stands, so that the words of a path do not tell
// where it ends. via are the symlinks on the way. A part that is not there ends
// the looking, not the path.
func resolve(snap fs.FS, folder, target string) (end string, via []string, err error) {
	if path.IsAbs(target) {
		return "", nil, ErrOutside
	}
	at := path.Clean(folder)
	todo := strings.Split(target, "/")
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", nil, ErrOutside
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		fi, err := fs.Lstat(snap, next)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if via = append(via, next); len(via) > maxLinks {
			return "", nil, fmt.Errorf("%s: %w", next, errLoop)
		}
		to, err := fs.ReadLink(snap, next)
		if err != nil {
			return "", nil, err
		}
		if path.IsAbs(to) {
			return "", nil, ErrOutside
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
	return at, via, nil
}
