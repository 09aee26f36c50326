package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet     = 150 * time.Millisecond // of no event, before the caller is told
	patience  = 2 * time.Second        // after which it is told all the same
	fallBack  = 10 * time.Second       // between looks when there can be no watch
	headNames = "HEAD packed-refs"
)

// Watch calls notice after changes have come to rest, until ctx ends. When the
// system has no watches left it says so and calls notice at an interval instead.
func (s *Source) Watch(ctx context.Context, notice func()) error {
	err := s.watch(ctx, notice)
	for errors.Is(err, errMoved) {
		notice() // what happened between two watches was not seen
		err = s.watch(ctx, notice)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	s.o.Log.Warn("cannot watch the folder (raise fs.inotify.max_user_watches); looking at an interval instead",
		"interval", fallBack, "error", err)
	t := time.NewTicker(fallBack)
	defer t.Stop()
	notice() // what happened until now was not seen
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			notice()
		}
	}
}

// errMoved says that the path is a symlink which now leads elsewhere.
var errMoved = errors.New("the folder is another one now")

// watch watches what the path leads to now.
func (s *Source) watch(ctx context.Context, notice func()) error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	w := &watch{Watcher: n, source: s}
	if err = w.start(); err == nil {
		err = w.run(ctx, notice)
	}
	return errors.Join(err, w.Close())
}

type watch struct {
	*fsnotify.Watcher
	source *Source
	// root is what the path leads to.
	root         string
	head, common string
}

func (w *watch) start() (err error) {
	if w.root, err = filepath.EvalSymlinks(w.source.o.Path); err != nil {
		return err
	}
	if w.isLink() {
		if err := w.Add(filepath.Dir(w.source.o.Path)); err != nil {
			return fmt.Errorf("watch %s: %w", filepath.Dir(w.source.o.Path), err)
		}
	}
	if w.source.o.Mode == Worktree {
		return w.tree(w.root)
	}
	w.head, w.common = gitFolders(w.root)
	for _, dir := range []string{w.head, w.common} {
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	return w.tree(filepath.Join(w.common, "refs"))
}

// tree watches a folder and all below it, but hidden ones. A folder that vanishes
// meanwhile is no error.
func (w *watch) tree(root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if p != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err := w.Add(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("watch %s: %w", p, err)
		}
		return nil
	})
}

func (w *watch) isLink() bool {
	fi, err := os.Lstat(w.source.o.Path)
	return err == nil && fi.Mode()&fs.ModeSymlink != 0
}

// counts tells whether an event may mean something new; a new folder is watched.
func (w *watch) counts(e fsnotify.Event) (bool, error) {
	name := filepath.Base(e.Name)
	if now, err := filepath.EvalSymlinks(w.source.o.Path); err == nil && now != w.root {
		return true, errMoved
	}
	if filepath.Dir(e.Name) == filepath.Dir(w.source.o.Path) && w.isLink() {
		return false, nil // the symlink's neighbour
	}
	if e.Op == fsnotify.Chmod && w.source.o.Mode != Worktree || strings.HasSuffix(name, ".lock") {
		return false, nil
	}
	if dir := filepath.Dir(e.Name); w.source.o.Mode != Worktree && (dir == w.head || dir == w.common) {
		return strings.Contains(headNames, name), nil
	}
	fi, err := os.Lstat(e.Name)
	isFolder := err == nil && fi.IsDir()
	if isFolder && strings.HasPrefix(name, ".") || name == ".git" {
		return false, nil
	}
	if isFolder && e.Has(fsnotify.Create) {
		return true, w.tree(e.Name)
	}
	return true, nil
}

func (w *watch) run(ctx context.Context, notice func()) error {
	var rest, last <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events:
			if !ok {
				return fsnotify.ErrClosed
			}
			counts, err := w.counts(e)
			if err != nil {
				return err
			}
			if !counts {
				continue
			}
			rest = time.After(quiet)
			if last == nil {
				last = time.After(patience)
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return err
			}
			// Events were lost: folders may have come unseen.
			if err := w.start(); err != nil {
				return err
			}
			rest = time.After(quiet)
		case <-rest:
			rest, last = nil, nil
			notice()
		case <-last:
			rest, last = nil, nil
			notice()
		}
	}
}
