package folder_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
)

func TestSnapshotStaysWhileGitPacksAnew(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", map[string]string{"a": "1", "d/b": "2"})
	repo.Git("repack", "-q", "-a", "-d")
	s := open(t, folder.Options{Path: repo.Work})
	r, _ := poll(t, s)
	snap, err := s.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	repo.Commit("second", map[string]string{"a": "3"})
	repo.Git("repack", "-q", "-a", "-d") // the pack that was read is gone
	for name, want := range map[string]string{"a": "1", "d/b": "2"} {
		if raw, err := fs.ReadFile(snap, name); err != nil || string(raw) != want {
			t.Errorf("%s is %q, %v", name, raw, err)
		}
	}
}

func TestCloneThatBorrowsObjectsAndShallowOneAreRead(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", map[string]string{"a": "0"})
	want := repo.Commit("second", map[string]string{"a": "1"})
	root := t.TempDir()
	shared, again, shallow := filepath.Join(root, "shared"), filepath.Join(root, "again"), filepath.Join(root, "shallow")
	repo.Git("clone", "-q", "--shared", repo.Bare, shared)
	repo.Git("clone", "-q", "--shared", shared, again)
	repo.Git("clone", "-q", "--depth=1", "file://"+repo.Bare, shallow)
	for _, dir := range []string{shared, again, shallow} {
		s := open(t, folder.Options{Path: dir})
		r, _ := poll(t, s)
		if r.Commit != want || read(t, s, r, "a") != "1" {
			t.Errorf("%s is at %+v", filepath.Base(dir), r)
		}
	}
}

func TestBranchOfAnyNameIsFollowedByItsWholeName(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	for _, branch := range []string{"team/ünï/x", "heads/main", "no\u00a0break"} {
		repo.Git("checkout", "-q", "--orphan", branch)
		want := repo.Commit("on "+branch, nil)
		for _, o := range []folder.Options{{Path: repo.Work}, {Path: repo.Work, Branch: branch}} {
			if r, _ := poll(t, open(t, o)); r.Branch != branch || r.Commit != want {
				t.Errorf("%q, asked for %q: got %+v", branch, o.Branch, r)
			}
		}
	}
}

func TestRepositoryThatCannotBeReadSaysWhy(t *testing.T) {
	t.Parallel()
	repo := gittest.Serve(t).Repo(t, "infra")
	dir := filepath.Join(t.TempDir(), "sha256")
	repo.Git("init", "-q", "--object-format=sha256", dir)
	_, err := folder.New(folder.Options{Name: "local", Path: dir, Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("got %v, want that SHA-256 is not supported", err)
	}
}
