package folder_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
)

func open(t *testing.T, o folder.Options) *folder.Source {
	t.Helper()
	o.Name = "local"
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	s, err := folder.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func poll(t *testing.T, s *folder.Source) (gitsource.Revision, bool) {
	t.Helper()
	r, changed, err := s.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, changed
}

func read(t *testing.T, s *folder.Source, r gitsource.Revision, name string) string {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := fs.ReadFile(snap, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestCommittedModeFollowsTheBranchAndNotTheFiles(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	c := repo.Commit("first", map[string]string{"a": "1"})
	s := open(t, folder.Options{Path: repo.Work})
	r, changed := poll(t, s)
	if !changed || r.Commit != c || r.Branch != "main" {
		t.Fatalf("changed %v, %+v", changed, r)
	}
	repo.Write(map[string]string{"a": "edited"})
	if _, changed := poll(t, s); changed {
		t.Error("an edit is no commit")
	}
	if got := read(t, s, r, "a"); got != "1" {
		t.Errorf("got %q", got)
	}
	repo.Commit("second", nil)
	if r, changed := poll(t, s); !changed || read(t, s, r, "a") != "edited" {
		t.Errorf("changed %v, %+v", changed, r)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	repo.Git("worktree", "add", "-q", "-b", "other", linked)
	if r, _ := poll(t, open(t, folder.Options{Path: linked})); r.Branch != "other" {
		t.Errorf("a linked working copy is at %+v", r)
	}
}

func TestWorktreeSnapshotIsWhatWasRead(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", map[string]string{"d/a.yaml": "1", "b": "b", ".gitignore": "*.tfstate\n", ".hidden/x": "x"})
	repo.Write(map[string]string{"d/x.tfstate": "ignored"})
	s := open(t, folder.Options{Path: repo.Work, Mode: folder.Worktree})
	one, _ := poll(t, s)
	if _, changed := poll(t, s); changed {
		t.Error("nothing changed")
	}
	repo.Write(map[string]string{"d/a.yaml": "2", "new/c": "c"})
	two, changed := poll(t, s)
	if !changed || read(t, s, one, "d/a.yaml") != "1" || read(t, s, two, "d/a.yaml") != "2" {
		t.Errorf("changed %v, %+v, %+v", changed, one, two)
	}
	before, err := s.Snapshot(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(before, "d/a.yaml", "b", ".gitignore"); err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat(before, "d/x.tfstate"); err == nil {
		t.Error("an ignored file is there")
	}
	after, err := s.Snapshot(t.Context(), two)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := after.Changes(before.TreeHash())
	if err != nil || len(changes) != 2 || changes[0].Path != "d/a.yaml" || changes[1].Path != "new/c" {
		t.Errorf("got %+v, %v", changes, err)
	}
	// Git gives a tree of the same files the same name.
	repo.Git("add", "d/a.yaml", "new/c")
	repo.Git("rm", "-q", "-r", "--cached", ".hidden")
	if want := "folder:" + repo.Git("write-tree"); two.Commit != want {
		t.Errorf("got %s, want %s", two.Commit, want)
	}
}

func TestWatchSeesSaveByRenameAndNewFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, folder.Options{Path: dir})
	poll(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	notices, done := make(chan struct{}, 100), make(chan error, 1)
	go func() { done <- s.Watch(ctx, func() { notices <- struct{}{} }) }()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	see := func(act func()) {
		t.Helper()
		// The watch may not stand yet: act until it is seen.
		deadline := time.After(2 * time.Minute)
		for {
			act()
			select {
			case <-notices:
				return
			case <-time.After(3 * time.Second):
			case <-deadline:
				t.Fatal("no notice")
			}
		}
	}
	see(func() { write("a.yaml", "1") })
	see(func() {
		write(".a.yaml.swp", "2")
		if err := os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Error(err)
		}
	})
	see(func() { _ = os.MkdirAll(filepath.Join(dir, "x/y"), 0o700) })
	see(func() { write("x/y/b.yaml", "1") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
