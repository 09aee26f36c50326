package hub

import (
	"io/fs"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
)

// What the adapter tells of a pull request is what the mirror can fetch and merge: a
// branch's head, a fork's, a moved one, and one whose fork was deleted.
func TestTheMirrorMergesWhatTheAdapterTells(t *testing.T) {
	t.Parallel()
	w := New(t)
	site := w.Site(t, map[string]string{"a.txt": "one\n", "b.txt": "one\n"})
	repo := site.Repository(t)
	source, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: site.CloneURL(""), Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	if _, _, err := source.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	merged := func(n int, name string) string {
		t.Helper()
		pr, err := repo.PullRequest(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		m, err := source.Merge(t.Context(), gitsource.Head{Name: "n", Ref: pr.HeadRef, Commit: pr.Head})
		if err != nil || m.Refused != "" || m.Conflicts != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		snap, err := source.Snapshot(t.Context(), m.Revision)
		if err != nil {
			t.Fatal(err)
		}
		text, err := fs.ReadFile(snap, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	n := site.Open(t, forgetest.Ada, "change", "Change a", false)
	if got := merged(n, "a.txt"); got != "two\n" {
		t.Errorf("got %q", got)
	}
	site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, true)
	if got := merged(n, "a.txt"); got != "three\n" {
		t.Errorf("after the branch was made anew: %q", got)
	}
	site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"b.txt": "evil\n"})
	n = site.Open(t, forgetest.Mallory, "evil", "Trust me", true)
	if got := merged(n, "b.txt"); got != "evil\n" {
		t.Errorf("of a fork: %q", got)
	}
	site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"b.txt": "more\n"})
	site.DeleteFork(t, forgetest.Mallory)
	if got := merged(n, "b.txt"); got != "more\n" {
		t.Errorf("of a fork that is gone: %q", got)
	}
}
