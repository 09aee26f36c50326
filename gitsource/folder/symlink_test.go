package folder_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
)

// point sets a symlink at once, as git-sync does.
func point(t *testing.T, link, to string) {
	t.Helper()
	if err := errors.Join(os.Symlink(to, link+".new"), os.Rename(link+".new", link)); err != nil {
		t.Fatal(err)
	}
}

func TestSymlinkThatIsSetToAnotherFolderIsFollowed(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	root := t.TempDir()
	one, two, link := filepath.Join(root, "one"), filepath.Join(root, "two"), filepath.Join(root, "current")
	repo.Commit("first", map[string]string{"a": "1"})
	repo.Git("clone", "-q", repo.Bare, one)
	repo.Commit("second", map[string]string{"a": "2"})
	repo.Git("clone", "-q", repo.Bare, two)
	point(t, link, one)
	for _, mode := range []folder.Mode{folder.Committed, folder.Worktree} {
		point(t, link, one)
		s := open(t, folder.Options{Path: link, Mode: mode})
		first, _ := poll(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		notices, done := make(chan struct{}, 100), make(chan error, 1)
		go func() { done <- s.Watch(ctx, func() { notices <- struct{}{} }) }()
		// The watch may not stand yet: the symlink is set again until it is seen.
		deadline := time.After(2 * time.Minute)
		for seen := false; !seen; {
			point(t, link, one)
			point(t, link, two)
			select {
			case <-notices:
				seen = true
			case <-time.After(2 * time.Second):
			case <-deadline:
				t.Fatalf("%q: no notice", mode)
			}
		}
		second, changed := poll(t, s)
		if !changed || read(t, s, first, "a") != "1" || read(t, s, second, "a") != "2" {
			t.Errorf("%q: changed %v, %+v and %+v", mode, changed, first, second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
