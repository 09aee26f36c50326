package gitmirror_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
)

func TestAuthorsAreThoseOfWhatTheHeadHasOverTheBase(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	// by commits as somebody: who wrote it, who committed it, and what is said of it.
	by := func(author, committer, message string, files map[string]string) string {
		repo.Write(files)
		repo.Git("add", "-A")
		repo.Git("-c", "alias.as=!GIT_AUTHOR_EMAIL="+author+" GIT_COMMITTER_EMAIL="+committer+" git commit", "as", "-q", "--allow-empty", "-m", message)
		return repo.Git("rev-parse", "HEAD")
	}
	push := func() string {
		head := repo.Git("rev-parse", "HEAD")
		repo.Git("push", "-q", "--force", "origin", head+":"+gittest.Ref(7))
		return head
	}
	first := repo.Commit("first", map[string]string{"a": "1\n", "b": "1\n", "c": "1\n"})
	repo.Git("checkout", "-q", "-b", "change")
	one := by("ada@example.com", "ADA@example.com", "One", map[string]string{"b": "2\n"})
	two := by("grace@example.com", "noreply@github.com", "Two\n\nCo-authored-by: Linus <linus@example.com>\nco-authored-by: nobody in particular\nCo-Authored-By: Bob\n <bob@example.com>", map[string]string{"c": "2\n"})
	push()
	// Others write on main, and somebody brings that into the branch.
	repo.Git("checkout", "-q", "main")
	base := repo.Commit("second", map[string]string{"a": "2\n", "main": "1\n"})
	repo.Git("checkout", "-q", "change")
	repo.Git("-c", "alias.as=!GIT_AUTHOR_EMAIL=mallory@example.com GIT_COMMITTER_EMAIL=mallory@example.com git merge", "as", "-q", "--no-edit", "main")
	merged := push()

	s := open(t, gitmirror.Options{URL: repo.URL})
	m := merge(t, s, seven(merged))
	authors := func(base, head string) []gitsource.Authored {
		t.Helper()
		got, err := s.Authors(t.Context(), base, head)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := []gitsource.Authored{
		{Commit: two, Emails: []string{"grace@example.com", "noreply@github.com", "linus@example.com", "bob@example.com"}},
		{Commit: one, Emails: []string{"ada@example.com"}},
	}
	if got := authors(m.Base.Commit, merged); cmp.Diff(want, got) != "" {
		t.Errorf("a merge that Git makes by itself:\n%s", cmp.Diff(want, got))
	}
	if got := authors(base, base); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := authors(merged, first); len(got) != 0 {
		t.Errorf("of what is there already: %v", got)
	}

	// A merge into which somebody wrote something is that person's.
	repo.Git("checkout", "-q", "main")
	repo.Commit("third", map[string]string{"main": "2\n"})
	repo.Git("checkout", "-q", "change")
	repo.Git("merge", "-q", "--no-commit", "--no-ff", "main")
	evil := by("mallory@example.com", "mallory@example.com", "Merge main", map[string]string{"b": "3\n"})
	m = merge(t, s, seven(push()))
	want = append([]gitsource.Authored{{Commit: evil, Emails: []string{"mallory@example.com"}}}, want...)
	if got := authors(m.Base.Commit, evil); cmp.Diff(want, got) != "" {
		t.Errorf("a merge with something else in it:\n%s", cmp.Diff(want, got))
	}

	// And one in which somebody settled a conflict.
	repo.Git("checkout", "-q", "main")
	repo.Commit("fourth", map[string]string{"b": "4\n"})
	repo.Git("checkout", "-q", "change")
	repo.Git("-c", "alias.try=!git merge -q main || true", "try")
	settled := by("eve@example.com", "eve@example.com", "Merge main", map[string]string{"b": "5\n"})
	m = merge(t, s, seven(push()))
	want = append([]gitsource.Authored{{Commit: settled, Emails: []string{"eve@example.com"}}}, want...)
	if got := authors(m.Base.Commit, settled); cmp.Diff(want, got) != "" {
		t.Errorf("a merge with a conflict:\n%s", cmp.Diff(want, got))
	}

	if _, err := s.Authors(t.Context(), base, strings.Repeat("0", 39)+"1"); !errors.Is(err, gitsource.ErrNoHead) {
		t.Errorf("a commit that is not here: %v", err)
	}
	if _, err := s.Authors(t.Context(), "--output=x", base); err == nil || !strings.Contains(err.Error(), "is no commit") {
		t.Errorf("an option for a commit: %v", err)
	}
}
