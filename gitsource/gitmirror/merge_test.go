package gitmirror_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/module"
	"github.com/stackreeve/stackreeve/schema"
)

func seven(commit string) gitsource.Head {
	return gitsource.Head{Name: "7", Ref: gittest.Ref(7), Commit: commit}
}

func merge(t testing.TB, s gitsource.Proposals, h gitsource.Head) gitsource.Merge {
	t.Helper()
	m, err := s.Merge(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, s gitsource.Source, r gitsource.Revision, name string) string {
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

// mirrorOf is the only mirror in a cache.
func mirrorOf(t testing.TB, cache string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "*.git"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// holds lists the files of a mirror, but for locks.
func holds(t *testing.T, mirror string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(mirror, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(p, mirror+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestMergeIsOneExchangeAndThePollTellsThatTheBranchMoved(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	poll(t, s)
	head := repo.Propose(7, first, map[string]string{"b": "2"})
	base := repo.Commit("second", map[string]string{"a": "2"})
	server.Requests()
	m := merge(t, s, seven(head))
	if got := server.Requests(); len(got) != 2 {
		t.Errorf("requests: %q, want refs and one pack", got)
	}
	if m.Base.Commit != base || m.Base.Branch != "main" || m.Base.Subject != "second" || m.MergeBase != first || m.Refused != "" || m.Conflicts != nil {
		t.Errorf("got %+v", m)
	}
	if h := m.Head; h.Commit != head || h.Subject != "Proposal 7" || h.Author != "Ada" || h.CommittedAt.IsZero() || h.Branch != "" {
		t.Errorf("the head is %+v", h)
	}
	if r := m.Revision; r.Subject != "merge "+head[:7]+" into "+base[:7] || r.Author != "reeve" || r.Branch != "main" || r.Repository != "infra" {
		t.Errorf("the merge is %+v", r)
	}
	if a, b := read(t, s, m.Revision, "a"), read(t, s, m.Revision, "b"); a != "2" || b != "2" {
		t.Errorf("a is %s, b is %s", a, b)
	}
	if r, _ := s.Current(); r.Commit != first {
		t.Errorf("the source moved by itself to %+v", r)
	}
	if r, changed := poll(t, s); !changed || r != m.Base {
		t.Errorf("changed %v, %+v, want %+v", changed, r, m.Base)
	}
	if got := server.Requests(); len(got) != 1 {
		t.Errorf("the poll after it asked %q, want refs alone", got)
	}
	if again := merge(t, s, seven(head)); cmp.Diff(m, again) != "" {
		t.Error(cmp.Diff(m, again))
	}
	if got := server.Requests(); len(got) != 1 {
		t.Errorf("the same merge asked %q, want refs alone", got)
	}
}

// Each case changes the working copy for the base and for the head; what git merge makes of
// them is right.
func TestMergeIsWhatGitMerges(t *testing.T) {
	t.Parallel()
	lines := func(first, last string) string { return first + strings.Repeat("\nline", 20) + "\n" + last + "\n" }
	write := func(files map[string]string) func(*gittest.Repo) { return func(r *gittest.Repo) { r.Write(files) } }
	for name, tt := range map[string]struct{ before, base, head func(*gittest.Repo) }{
		"two places of a file": {base: write(map[string]string{"f": lines("base", "b")}), head: write(map[string]string{"f": lines("a", "head")})},
		"renamed here, edited there": {base: func(r *gittest.Repo) { r.Git("mv", "f", "g") },
			head: write(map[string]string{"f": lines("a", "head")})},
		"renamed on both sides to the same": {base: func(r *gittest.Repo) { r.Git("mv", "f", "g"); r.Write(map[string]string{"g": lines("base", "b")}) },
			head: func(r *gittest.Repo) { r.Git("mv", "f", "g") }},
		"mode and content": {base: func(r *gittest.Repo) { r.Git("update-index", "--chmod=+x", "f"); r.Git("checkout-index", "-f", "f") },
			head: write(map[string]string{"f": lines("a", "head")})},
		"a symlink out of the tree": {base: write(map[string]string{"g": "1"}), head: func(r *gittest.Repo) {
			if err := os.Symlink("../../../../etc/passwd", filepath.Join(r.Work, "link")); err != nil {
				t.Error(err)
			}
		}},
		"a submodule": {base: write(map[string]string{"g": "1"}),
			head: func(r *gittest.Repo) {
				r.Write(map[string]string{".gitmodules": "[submodule \"s\"]\n\tpath = s\n\turl = file:///nowhere\n"})
				r.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",s")
				r.Git("commit", "-q", "-m", "a submodule")
			}},
		"names of any bytes": {base: write(map[string]string{"g": "1"}), head: write(map[string]string{"latin-\xe9/a\xff": "1", "new\nline": "2", "-n": "3", "\x1b[31m": "4"})},
		"deep folders":       {base: write(map[string]string{strings.Repeat("d/", 200) + "x": "1"}), head: write(map[string]string{strings.Repeat("d/", 200) + "y": "2"})},
		"removed and new":    {base: func(r *gittest.Repo) { r.Git("rm", "-q", "d/c") }, head: write(map[string]string{"new/z": "1"})},
		"a file becomes a folder": {base: write(map[string]string{"g": "1"}), head: func(r *gittest.Repo) {
			r.Git("rm", "-q", "f")
			r.Write(map[string]string{"f/x": "1"})
		}},
		"nothing behind":      {base: func(*gittest.Repo) {}, head: write(map[string]string{"f": "fast forward"})},
		"equal on both sides": {base: write(map[string]string{"f": "same"}), head: write(map[string]string{"f": "same"})},
		"histories that cross": {before: func(r *gittest.Repo) {
			r.Git("checkout", "-q", "-b", "one")
			r.Write(map[string]string{"f": lines("one", "b")})
			r.Git("commit", "-q", "-am", "one")
			r.Git("checkout", "-q", "-b", "two", "main")
			r.Write(map[string]string{"f": lines("a", "two")})
			r.Git("commit", "-q", "-am", "two")
			r.Git("merge", "-q", "--no-ff", "-m", "cross", "one")
			r.Git("checkout", "-q", "one")
			r.Git("merge", "-q", "--no-ff", "-m", "cross back", "two~1")
			r.Git("checkout", "-q", "main")
			r.Git("reset", "-q", "--hard", "one")
			r.Git("push", "-q", "origin", "main", "two")
		}, base: write(map[string]string{"g": "1"}), head: write(map[string]string{"h": "1"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, repo := setup(t)
			from := repo.Commit("first", map[string]string{"f": lines("a", "b"), "d/c": lines("c", "c"), "d/e": "e\n"})
			if tt.before != nil {
				tt.before(repo)
				from = repo.Git("rev-parse", "two")
			}
			head := repo.ProposeBy(7, from, func() { tt.head(repo) })
			tt.base(repo)
			base := repo.Commit("base", nil)
			repo.Git("checkout", "-q", "--detach", base)
			repo.Git("merge", "-q", "--no-ff", "-m", "truth", head)
			s := open(t, gitmirror.Options{URL: repo.URL})
			m := merge(t, s, seven(head))
			if m.Refused != "" || m.Base.Commit != base || m.MergeBase == "" {
				t.Fatalf("got %+v", m)
			}
			snap, err := s.Snapshot(t.Context(), m.Revision)
			if err != nil {
				t.Fatal(err)
			}
			if want := repo.Git("rev-parse", "HEAD^{tree}"); snap.TreeHash() != want {
				t.Errorf("the tree is %s, git merge makes %s", snap.TreeHash(), want)
			}
			from0, err := s.Snapshot(t.Context(), m.Base)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := snap.Changes(from0.TreeHash()); err != nil {
				t.Errorf("it cannot be compared with the base: %v", err)
			}
		})
	}
}

func TestConflictsAreNamedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	write := func(files map[string]string) func(*gittest.Repo) { return func(r *gittest.Repo) { r.Write(files) } }
	submodule := func(c string) func(*gittest.Repo) {
		return func(r *gittest.Repo) {
			r.Git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat(c, 40)+",s")
			r.Git("commit", "-q", "-m", "submodule")
			r.Git("update-index", "--assume-unchanged", "s")
		}
	}
	for name, tt := range map[string]struct {
		base, head func(*gittest.Repo)
		want       []string
	}{
		"content":                      {write(map[string]string{"f": "base\n", "d/c": "base\n"}), write(map[string]string{"f": "head\n", "d/c": "head\n"}), []string{"d/c", "f"}},
		"edited and removed":           {write(map[string]string{"f": "base\n"}), func(r *gittest.Repo) { r.Git("rm", "-q", "f") }, []string{"f"}},
		"new on both sides":            {write(map[string]string{"n\xff": "base\n"}), write(map[string]string{"n\xff": "head\n"}), []string{"n\xff"}},
		"a file and a folder":          {write(map[string]string{"n": "base\n"}), write(map[string]string{"n/x": "head\n"}), []string{"n"}},
		"a folder and a file":          {write(map[string]string{"n/x": "base\n"}), write(map[string]string{"n": "head\n"}), []string{"n"}},
		"renamed differently":          {func(r *gittest.Repo) { r.Git("mv", "f", "g") }, func(r *gittest.Repo) { r.Git("mv", "f", "h") }, []string{"f", "g", "h"}},
		"bytes":                        {write(map[string]string{"f": "\x00base"}), write(map[string]string{"f": "\x00head"}), []string{"f"}},
		"submodules":                   {submodule("1"), submodule("2"), []string{"s"}},
		"a renamed folder gets a file": {func(r *gittest.Repo) { r.Git("mv", "d", "e") }, write(map[string]string{"d/x": "1\n"}), []string{"e/x"}},
		// A head may not choose how it is merged: these drivers are built into git.
		"attributes": {write(map[string]string{"f": "base\n", "d/c": "base\n"}), write(map[string]string{".gitattributes": "* merge=union\n",
			"d/.gitattributes": "* merge=union\n", "f": "head\n", "d/c": "head\n"}), []string{"d/c", "f"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, repo := setup(t)
			first := repo.Commit("first", map[string]string{"f": "a\nb\nc\n", "d/c": "c\n"})
			head := repo.ProposeBy(7, first, func() { tt.head(repo) })
			tt.base(repo)
			base := repo.Commit("base", nil)
			cache := t.TempDir()
			s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
			m := merge(t, s, seven(head))
			if d := cmp.Diff(tt.want, m.Conflicts); d != "" {
				t.Error(d)
			}
			if m.Revision != (gitsource.Revision{}) || !strings.HasPrefix(m.Refused, fmt.Sprintf("conflicts in %d file", len(tt.want))) ||
				m.MergeBase != first || m.Base.Commit != base || m.Head.Commit != head {
				t.Errorf("got %+v", m)
			}
			for _, n := range holds(t, mirrorOf(t, cache)) {
				if strings.HasPrefix(n, "merging") || strings.HasPrefix(n, "refs") || strings.HasPrefix(n, "objects/") && !strings.HasPrefix(n, "objects/pack/") {
					t.Errorf("%s is left", n)
				}
			}
		})
	}
}

func TestEqualBaseAndHeadMakeAnEqualCommit(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	head := repo.Propose(7, first, map[string]string{"b": "2"})
	repo.Commit("second", map[string]string{"a": "2"})
	one := open(t, gitmirror.Options{URL: repo.URL})
	m := merge(t, one, seven(head))
	if err := one.Forget(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*gitmirror.Source{"forgotten": one, "another mirror": open(t, gitmirror.Options{URL: repo.URL})} {
		for _, h := range []string{"7", "other"} {
			if again := merge(t, s, gitsource.Head{Name: h, Ref: gittest.Ref(7)}); cmp.Diff(m, again) != "" {
				t.Errorf("%s: %s", name, cmp.Diff(m, again))
			}
		}
	}
}

func TestContainedHeadIsTheBase(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1"})
	repo.Git("push", "-q", "origin", first+":"+gittest.Ref(7))
	repo.Commit("second", map[string]string{"a": "2"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	m := merge(t, s, seven(first))
	if m.Revision != m.Base || m.Refused != "" || m.MergeBase != first {
		t.Errorf("got %+v", m)
	}
	if err := s.Forget(t.Context(), "7"); err != nil {
		t.Errorf("nothing was kept, which is no error: %v", err)
	}
}

func TestMovedAndMissingHeadsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1"})
	old := repo.Propose(7, first, map[string]string{"a": "2"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	poll(t, s)
	newer := repo.Propose(7, first, map[string]string{"a": "3"})
	server.Requests()
	_, err := s.Merge(t.Context(), seven(old))
	fetchError(t, err, gitsource.ClassWait)
	if !errors.Is(err, gitsource.ErrHeadMoved) || !strings.Contains(err.Error(), old) || !strings.Contains(err.Error(), newer) {
		t.Errorf("got %v, want ErrHeadMoved with both commits", err)
	}
	if got := server.Requests(); len(got) != 1 {
		t.Errorf("requests: %q, want one", got)
	}
	if m := merge(t, s, seven(newer)); m.Revision.Commit == "" {
		t.Errorf("got %+v", m)
	}
	server.Requests()
	_, err = s.Merge(t.Context(), gitsource.Head{Name: "8", Ref: gittest.Ref(8), Commit: old})
	fetchError(t, err, gitsource.ClassWait)
	if !errors.Is(err, gitsource.ErrNoHead) || len(server.Requests()) != 1 {
		t.Errorf("got %v, want ErrNoHead", err)
	}
	for _, name := range []string{"", "../7", "a/b", "7.lock", "tmp_7", ".7", "7\n", strings.Repeat("7", 101)} {
		if _, err := s.Merge(t.Context(), gitsource.Head{Name: name, Ref: gittest.Ref(7)}); err == nil {
			t.Errorf("%q is no name", name)
		}
		if err := s.Forget(t.Context(), name); err == nil {
			t.Errorf("%q is forgotten", name)
		}
	}
	if got := server.Requests(); len(got) != 0 {
		t.Errorf("a name that is none asked the remote: %q", got)
	}
}

func TestMergeFollowsForcePushesOfBothSides(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	head := repo.Propose(7, first, map[string]string{"b": "2"})
	repo.Commit("second", map[string]string{"a": "2"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	before := merge(t, s, seven(head))
	repo.Git("reset", "-q", "--hard", first)
	base := repo.Commit("rewritten", map[string]string{"a": "3"})
	m := merge(t, s, seven(head))
	if m.Base.Commit != base || read(t, s, m.Revision, "a") != "3" || m.Revision == before.Revision {
		t.Errorf("got %+v", m)
	}
	moved := repo.Propose(7, first, map[string]string{"b": "9"})
	m = merge(t, s, seven(moved))
	if read(t, s, m.Revision, "b") != "9" || read(t, s, before.Revision, "b") != "2" {
		t.Errorf("got %+v", m)
	}
}

func TestUnrelatedHistoriesAreRefused(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1"})
	repo.Git("checkout", "-q", "--orphan", "other")
	head := repo.Commit("other", map[string]string{"a": "2"})
	repo.Git("push", "-q", "origin", head+":"+gittest.Ref(7))
	s := open(t, gitmirror.Options{URL: repo.URL})
	m := merge(t, s, seven(head))
	if m.Refused != "the two have no common history" || m.MergeBase != "" || m.Revision.Commit != "" {
		t.Errorf("got %+v", m)
	}
	// The same seems so where a server has only the end of a history.
	repo.Git("checkout", "-q", "main")
	from := repo.Git("rev-parse", "HEAD")
	repo.Commit("second", map[string]string{"a": "3"})
	head = repo.Propose(8, from, map[string]string{"b": "1"})
	shallow := filepath.Join(filepath.Dir(repo.Bare), "shallow.git")
	repo.Git("clone", "-q", "--bare", "--depth=1", "file://"+repo.Bare, shallow)
	repo.Git("--git-dir", shallow, "fetch", "-q", "--depth=1", "file://"+repo.Bare, gittest.Ref(8)+":"+gittest.Ref(8))
	s = open(t, gitmirror.Options{URL: server.URL + "/shallow.git"})
	m = merge(t, s, gitsource.Head{Name: "8", Ref: gittest.Ref(8), Commit: head})
	if !strings.Contains(m.Refused, "shallow") || m.Revision.Commit != "" {
		t.Errorf("got %+v", m)
	}
}

func TestShallowHistoryIsMergedWhenTheForkIsInIt(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	repo.Commit("zero", map[string]string{"a": "0"})
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	head := repo.Propose(7, first, map[string]string{"b": "2"})
	repo.Commit("second", map[string]string{"a": "2"})
	shallow := filepath.Join(filepath.Dir(repo.Bare), "shallow.git")
	repo.Git("clone", "-q", "--bare", "--depth=2", "file://"+repo.Bare, shallow)
	repo.Git("--git-dir", shallow, "fetch", "-q", "--depth=2", "file://"+repo.Bare, gittest.Ref(7)+":"+gittest.Ref(7))
	s := open(t, gitmirror.Options{URL: server.URL + "/shallow.git"})
	m := merge(t, s, seven(head))
	if m.MergeBase != first || read(t, s, m.Revision, "a") != "2" || read(t, s, m.Revision, "b") != "2" {
		t.Errorf("got %+v", m)
	}
}

func TestContainsTellsWhatIsInAHistory(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1"})
	head := repo.Propose(7, first, map[string]string{"b": "1"})
	base := repo.Commit("second", map[string]string{"a": "2"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	m := merge(t, s, seven(head))
	nowhere := strings.Repeat("1", 40)
	for _, tt := range []struct {
		commit, ancestor string
		want             bool
	}{{base, first, true}, {base, base, true}, {first, base, false}, {base, head, false}, {m.Revision.Commit, head, true}, {base, nowhere, false}} {
		if got, err := s.Contains(t.Context(), tt.commit, tt.ancestor); err != nil || got != tt.want {
			t.Errorf("%s in %s: got %v, %v", tt.ancestor[:7], tt.commit[:7], got, err)
		}
	}
	for _, bad := range [][2]string{{nowhere, first}, {"main", first}, {base, "--all"}} {
		if got, err := s.Contains(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestMergeIsThereInALaterLifeAndSurvivesACollection(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "m/main.tf": "one\n2\n3\n4\n5\n"})
	head := repo.Propose(7, first, map[string]string{"m/main.tf": "one\n2\n3\n4\nfive\n"})
	repo.Commit("second", map[string]string{"m/main.tf": "ONE\n2\n3\n4\n5\n"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	m := merge(t, s, seven(head))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mirror := mirrorOf(t, cache)
	repo.Git("--git-dir", mirror, "fsck", "--strict", "--no-dangling")
	repo.Git("--git-dir", mirror, "gc", "-q", "--prune=now") // by hand, against all advice
	if got := repo.Git("--git-dir", mirror, "rev-parse", "refs/reeve/merges/7"); got != m.Revision.Commit {
		t.Errorf("the ref is at %s", got)
	}
	s = open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	const want = "ONE\n2\n3\n4\nfive\n"
	if got := read(t, s, m.Revision, "m/main.tf"); got != want {
		t.Errorf("got %q", got)
	}
	if err := s.Forget(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	modules, err := module.New(module.Options{Cache: t.TempDir(), Source: func(string) (gitsource.Source, bool) { return s, true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = modules.Close() })
	snap, err := s.Snapshot(t.Context(), m.Revision)
	if err != nil {
		t.Fatal(err)
	}
	src := schema.ModuleSource{Path: "m"}
	rev, err := modules.Revision(t.Context(), snap, src)
	if err != nil {
		t.Fatal(err)
	}
	out, err := modules.Checkout(t.Context(), "infra", m.Revision.Commit, src, rev)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(filepath.Join(out.Root, out.Path, "main.tf")); err != nil || string(raw) != want {
		t.Errorf("the module's code is %q, %v", raw, err)
	}
}

func TestMergesPollsAndReadersGoOnTogether(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", files(200))
	const heads = 4
	commits := make([]string, heads)
	for i := range commits {
		commits[i] = repo.Propose(i, first, map[string]string{fmt.Sprintf("acme/env-%d/new", i): fmt.Sprint(i)})
	}
	repo.Commit("second", map[string]string{"acme/env-0/r-0.yaml": "changed"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	ctx, stop := context.WithCancel(t.Context())
	var polls, merges sync.WaitGroup
	polls.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := s.Poll(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for i, c := range commits {
		merges.Go(func() {
			for n := range 8 {
				// A name of its own each time: other merges, other packs.
				m, err := s.Merge(t.Context(), gitsource.Head{Name: fmt.Sprintf("%d-%d", i, n), Ref: gittest.Ref(i), Commit: c})
				if err != nil {
					t.Error(err)
					return
				}
				if read(t, s, m.Revision, fmt.Sprintf("acme/env-%d/new", i)) != fmt.Sprint(i) || read(t, s, m.Revision, "acme/env-0/r-0.yaml") != "changed" {
					t.Errorf("head %d is merged wrong", i)
				}
				if n%2 == 0 {
					if err := s.Forget(t.Context(), fmt.Sprintf("%d-%d", i, n)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	merges.Wait()
	stop()
	polls.Wait()
	names := holds(t, mirrorOf(t, cache))
	if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "merging/") }); i >= 0 {
		t.Errorf("%s is left", names[i])
	}
}

func TestManyMergesLeaveFewPacks(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1", "b": "1"})
	repo.Commit("second", map[string]string{"b": "2"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	var all []gitsource.Merge
	for i := range 20 {
		head := repo.Propose(7, first, map[string]string{"a": fmt.Sprint("edit ", i)})
		all = append(all, merge(t, s, seven(head)))
	}
	if packs, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack")); err != nil || len(packs) > 25 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
	for i, m := range all {
		if got := read(t, s, m.Revision, "a"); got != fmt.Sprint("edit ", i) {
			t.Errorf("merge %d: %q", i, got)
		}
	}
}
