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
	w, err := fsnotify.NewWatcher()
	if err == nil {
		watch := &watch{Watcher: w, source: s}
		err = watch.start()
		if err == nil {
			err = watch.run(ctx, notice)
		}
		err = errors.Join(err, w.Close())
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

type watch struct {
	*fsnotify.Watcher
	source       *Source
	head, common string
}

func (w *watch) start() error {
	if w.source.o.Mode == Worktree {
		return w.tree(w.source.o.Path)
	}
	w.head, w.common = gitFolders(w.source.o.Path)
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

// counts tells whether an event may mean something new; a new folder is watched.
func (w *watch) counts(e fsnotify.Event) (bool, error) {
	name := filepath.Base(e.Name)
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
