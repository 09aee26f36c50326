package folder_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
)

var branchX = gitsource.Head{Name: "local", Ref: "refs/heads/x"}

// withBranch is a repository whose branch x can be merged into main.
func withBranch(t *testing.T) (repo *gittest.Repo, base, head string) {
	t.Helper()
	repo = gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", map[string]string{"f": "1\n2\n3\n4\n5\n6\n", "d/a": "a"})
	repo.Git("checkout", "-q", "-b", "x")
	head = repo.Commit("on x", map[string]string{"f": "1\n2\n3\n4\n5\nsix\n", "d/b": "b"})
	repo.Git("checkout", "-q", "main")
	return repo, repo.Commit("second", map[string]string{"f": "one\n2\n3\n4\n5\n6\n"}), head
}

// content is every file of a folder, with what it holds.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(p)
		out[p] = fmt.Sprintf("%x", sha256.Sum256(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLocalBranchIsMergedAndTheRepositoryIsLeftAlone(t *testing.T) {
	t.Parallel()
	repo, base, head := withBranch(t)
	canary := filepath.Join(t.TempDir(), "canary")
	// The repository's own settings are not heard: a head could name its drivers.
	repo.Git("config", "merge.evil.driver", "touch "+canary)
	repo.Write(map[string]string{".git/info/attributes": "* merge=evil\n", "untracked": "x", "f": "not committed"})
	before := content(t, repo.Work)
	cache := t.TempDir()
	s := open(t, folder.Options{Path: repo.Work, Cache: cache})
	m, err := s.Merge(t.Context(), branchX)
	if err != nil {
		t.Fatal(err)
	}
	if m.Base.Commit != base || m.Base.Branch != "main" || m.Head.Commit != head || m.Head.Branch != "x" || m.Head.Subject != "on x" || m.Refused != "" {
		t.Errorf("got %+v", m)
	}
	const want = "one\n2\n3\n4\n5\nsix\n"
	if got := read(t, s, m.Revision, "f"); got != want || read(t, s, m.Revision, "d/a")+read(t, s, m.Revision, "d/b") != "ab" {
		t.Errorf("f is %q", got)
	}
	merged, err := s.Snapshot(t.Context(), m.Revision)
	if err != nil {
		t.Fatal(err)
	}
	was, err := s.Snapshot(t.Context(), m.Base)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := merged.Changes(was.TreeHash())
	if err != nil || len(changes) != 2 || changes[0].Path != "d/b" || changes[1].Path != "f" {
		t.Errorf("it changes %+v, %v", changes, err)
	}
	if isIn, err := s.Contains(t.Context(), m.Revision.Commit, head); err != nil || !isIn {
		t.Errorf("the merge holds the head: %v, %v", isIn, err)
	}
	if isIn, err := s.Contains(t.Context(), base, head); err != nil || isIn {
		t.Errorf("the base holds the head: %v, %v", isIn, err)
	}
	if d := cmp.Diff(before, content(t, repo.Work)); d != "" {
		t.Errorf("the repository was written to: %s", d)
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a program of the repository's settings was run")
	}
	if r, changed := poll(t, s); !changed || r != m.Base {
		t.Errorf("changed %v, %+v", changed, r)
	}
	// Git packs anew, and another life follows.
	repo.Git("gc", "-q", "--prune=now")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, folder.Options{Path: repo.Work, Cache: cache})
	if got := read(t, s, m.Revision, "f"); got != want {
		t.Errorf("later f is %q", got)
	}
	if err := s.Forget(t.Context(), "local"); err != nil {
		t.Error(err)
	}
	if again, err := s.Merge(t.Context(), branchX); err != nil || cmp.Diff(m, again) != "" {
		t.Errorf("%v %s", err, cmp.Diff(m, again))
	}
}

func TestLocalConflictIsTold(t *testing.T) {
	t.Parallel()
	repo, _, _ := withBranch(t)
	repo.Commit("third", map[string]string{"f": "other\n"})
	s := open(t, folder.Options{Path: repo.Work})
	m, err := s.Merge(t.Context(), branchX)
	if err != nil || cmp.Diff([]string{"f"}, m.Conflicts) != "" || m.Refused != "conflicts in 1 file" || m.Revision.Commit != "" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestClonesOfEveryKindAreMerged(t *testing.T) {
	t.Parallel()
	repo, base, head := withBranch(t)
	root := t.TempDir()
	shared, again, linked, bare := filepath.Join(root, "shared"), filepath.Join(root, "again"), filepath.Join(root, "linked"), filepath.Join(root, "bare.git")
	repo.Git("clone", "-q", "--shared", repo.Bare, shared)
	repo.Git("clone", "-q", "--shared", shared, again)
	repo.Git("clone", "-q", "--bare", repo.Bare, bare)
	repo.Git("worktree", "add", "-q", "--detach", linked, "main")
	for dir, ref := range map[string]string{shared: "refs/remotes/origin/x", again: "refs/remotes/origin/x", linked: "refs/heads/x", bare: "refs/heads/x"} {
		if dir == again {
			repo.Git("-C", again, "fetch", "-q", repo.Bare, "x:refs/remotes/origin/x")
		}
		s := open(t, folder.Options{Path: dir})
		m, err := s.Merge(t.Context(), gitsource.Head{Name: "local", Ref: ref, Commit: head})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(dir), err)
			continue
		}
		if m.Base.Commit != base || m.Refused != "" || read(t, s, m.Revision, "d/b") != "b" {
			t.Errorf("%s: got %+v", filepath.Base(dir), m)
		}
	}
}

func TestWhatCannotBeMergedLocallySaysWhy(t *testing.T) {
	t.Parallel()
	repo, base, head := withBranch(t)
	plain := t.TempDir()
	for name, tt := range map[string]struct {
		o    folder.Options
		head gitsource.Head
		is   error
		want string
	}{
		"worktree mode": {folder.Options{Path: repo.Work, Mode: folder.Worktree}, branchX, gitsource.ErrNoProposals, "mode committed"},
		"no repository": {folder.Options{Path: plain}, branchX, gitsource.ErrNoProposals, "is no Git repository"},
		"no branch":     {folder.Options{Path: repo.Work}, gitsource.Head{Name: "l", Ref: "refs/heads/y"}, gitsource.ErrNoHead, `"refs/heads/y"`},
		"a path":        {folder.Options{Path: repo.Work}, gitsource.Head{Name: "l", Ref: "refs/../../../f"}, gitsource.ErrNoHead, "refs/../../../f"},
		"no full name":  {folder.Options{Path: repo.Work}, gitsource.Head{Name: "l", Ref: "x"}, gitsource.ErrNoHead, `"x"`},
		"moved":         {folder.Options{Path: repo.Work}, gitsource.Head{Name: "l", Ref: "refs/heads/x", Commit: base}, gitsource.ErrHeadMoved, head},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, tt.o)
			m, err := s.Merge(t.Context(), tt.head)
			var fe *gitsource.FetchError
			if !errors.Is(err, tt.is) || !errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want %v with %q", m, err, tt.is, tt.want)
			}
			if _, err := s.Contains(t.Context(), base, head); errors.Is(tt.is, gitsource.ErrNoProposals) != errors.Is(err, gitsource.ErrNoProposals) {
				t.Errorf("contains: %v", err)
			}
			authors, err := s.Authors(t.Context(), base, head)
			if errors.Is(tt.is, gitsource.ErrNoProposals) != errors.Is(err, gitsource.ErrNoProposals) || err == nil && (len(authors) == 0 || authors[0].Commit != head) {
				t.Errorf("authors: %v, %v", authors, err)
			}
		})
	}
}
