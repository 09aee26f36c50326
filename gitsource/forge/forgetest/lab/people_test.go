package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

func TestAnApprovalIsForTheHeadOfItsTime(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.w.Pass(time.Second)
	s.site.Review(t, forgetest.Grace, 1, true, "")
	review := func() []forge.Review {
		t.Helper()
		got, err := s.repo.Reviews(t.Context(), 1)
		ok(t, err)
		return got
	}
	grace, err := s.repo.(forge.Accounts).Account(t.Context(), "grace")
	ok(t, err)
	want := []forge.Review{{Author: grace, State: forge.Approved, Commit: s.head}}
	ignore := cmpopts.IgnoreFields(forge.Review{}, "ID", "At")
	if diff := cmp.Diff(want, review(), ignore); diff != "" {
		t.Errorf("approved (-want +got):\n%s", diff)
	}
	head := s.site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	if diff := cmp.Diff(want, review(), ignore); diff != "" {
		t.Errorf("after a push it is still for the old head (-want +got):\n%s", diff)
	}
	// However soon after the push: the clock has milliseconds.
	s.site.Review(t, lab.Service, 1, true, "")
	if got := review(); len(got) != 2 || !got[1].Author.Bot || got[1].Commit != head || !got[1].At.After(got[0].At) {
		t.Errorf("a bot's approval is %+v", got)
	}
}

func TestBotsAreKnown(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.site.Comment(t, lab.Bot, 1, "from a token")
	s.site.Comment(t, lab.Service, 1, "from a service account")
	s.site.Comment(t, forgetest.Mallory, 1, "from a person")
	got, err := s.repo.Comments(t.Context(), 1, time.Time{})
	ok(t, err)
	var bots []bool
	for _, c := range got {
		bots = append(bots, c.Author.Bot)
		if want := fmt.Sprintf("%s/-/merge_requests/1#note_%s", s.site.URL(), c.ID); c.URL != want {
			t.Errorf("the comment is at %s, want %s", c.URL, want)
		}
	}
	if diff := cmp.Diff([]bool{true, true, false}, bots); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStrangersReadWhatIsPublic(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.site.PushFork(t, forgetest.Mallory, "x", map[string]string{"x.txt": "x\n"})
	fork := "mallory/" + s.site.Name()[strings.LastIndex(s.site.Name(), "/")+1:]
	repo, err := gitlab.New(gitlab.Options{URL: s.w.URL, Project: fork, HTTPClient: http.DefaultClient,
		Token: func(context.Context) (string, error) { return s.site.Token(forgetest.Mallory), nil }})
	ok(t, err)
	for _, want := range []forge.Permission{forge.None, forge.Read} {
		for login, want := range map[string]forge.Permission{"ada": want, "MALLORY": forge.Admin, "nobody": forge.None} {
			if got, err := repo.Permission(t.Context(), login); err != nil || got != want {
				t.Errorf("%s may %q, %v; want %q", login, got, err, want)
			}
		}
		s.w.Publish(fork)
	}
}

func TestPeopleMayWhatTheirLevelAllows(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.site.Comment(t, forgetest.Ada, 1, "mine")
	for _, c := range []struct {
		as           forgetest.Person
		method, path string
		body         any
		want         int
	}{
		{forgetest.Mallory, http.MethodPut, "/merge_requests/1/merge", map[string]any{}, 403},
		{forgetest.Mallory, http.MethodPost, "/merge_requests/1/approve", map[string]any{}, 403},
		{forgetest.Mallory, http.MethodPost, "/statuses/" + s.head, map[string]any{"state": "success"}, 403},
		{forgetest.Mallory, http.MethodPut, "/merge_requests/1/notes/" + id, map[string]any{"body": "yours"}, 403},
		{forgetest.Mallory, http.MethodPost, "/merge_requests/1/notes", map[string]any{"body": "reeve approve"}, 201},
		{forgetest.Ada, http.MethodGet, "/hooks", nil, 403},
		{forgetest.Reeve, http.MethodPut, "/merge_requests/1/notes/" + id, map[string]any{"body": "ours"}, 200},
		{"stranger", http.MethodGet, "/merge_requests/1", nil, 401},
	} {
		if status, _, body := s.api(t, c.as, c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.path, c.as, status, body, c.want)
		}
	}
	out, err := exec.CommandContext(t.Context(), "git", "-c", "credential.helper=", "push", "-q", s.site.CloneURL(forgetest.Mallory), "HEAD:refs/heads/x").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("Mallory pushed: %s", out)
	}
}
