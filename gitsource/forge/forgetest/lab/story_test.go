package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

// story is a site with one open merge request of Ada's.
type story struct {
	w    *lab.World
	site forgetest.Site
	repo forge.Repository
	head string
}

func setup(t *testing.T) story {
	t.Helper()
	w := lab.New(t)
	site := w.NewSite(t, map[string]string{"a.txt": "one\n"})
	head := site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	if n := site.Open(t, forgetest.Ada, "change", "Change a", false); n != 1 {
		t.Fatalf("the first merge request is !%d", n)
	}
	return story{w, site, site.Repository(t), head}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await asks until there is no objection.
func await(t *testing.T, objection func() error) {
	t.Helper()
	deadline := time.After(10 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := objection()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// api does a call of the API as a person would by hand.
func (s story) api(t *testing.T, as forgetest.Person, method, path string, body any) (int, http.Header, []byte) {
	t.Helper()
	data, err := json.Marshal(body)
	ok(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, s.w.URL+"/api/v4/projects/"+url.PathEscape(s.site.Name())+path, bytes.NewReader(data))
	ok(t, err)
	if body == nil {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Private-Token", s.site.Token(as))
	resp, err := http.DefaultClient.Do(req)
	ok(t, err)
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	ok(t, err)
	return resp.StatusCode, resp.Header, out
}

func TestAHeadThatIsNotKnownYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.w.Lag(2)
	head := s.site.Push(t, forgetest.Ada, "late", map[string]string{"b.txt": "b\n"}, false)
	n := s.site.Open(t, forgetest.Ada, "late", "Late", false)
	for range 2 {
		var failed *forge.CallError
		if p, err := s.repo.PullRequest(t.Context(), n); !errors.As(err, &failed) || failed.Class != forge.Wait {
			t.Fatalf("before its head is known it is %+v, %v", p, err)
		}
	}
	p, err := s.repo.PullRequest(t.Context(), n)
	if err != nil || p.Head != head {
		t.Fatalf("then it is %+v, %v", p, err)
	}
	next := s.site.Push(t, forgetest.Ada, "late", map[string]string{"b.txt": "c\n"}, false)
	seen := []string{}
	for range 3 {
		p, err := s.repo.PullRequest(t.Context(), n)
		ok(t, err)
		seen = append(seen, p.Head)
	}
	if diff := cmp.Diff([]string{head, head, next}, seen); diff != "" {
		t.Errorf("after a push (-want +got):\n%s", diff)
	}
	s.site.Push(t, forgetest.Grace, "hidden", map[string]string{"c.txt": "c\n"}, false)
	s.site.Open(t, forgetest.Grace, "hidden", "Hidden", false)
	list, err := s.repo.OpenPullRequests(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("the list has %+v, %v; want the two whose heads are known", list, err)
	}
}

func TestStatusesStandWhereTheJobsAre(t *testing.T) {
	t.Parallel()
	s := setup(t)
	set := func(commit, context string, state forge.StatusState, text string) {
		t.Helper()
		ok(t, s.repo.SetStatus(t.Context(), commit, forge.Status{Context: context, State: state, Description: text}))
	}
	set(s.head, "reeve/plan", forge.Pending, "planning")
	set(s.head, "reeve/plan", forge.Pending, "planning 2 of 3")
	if got := s.site.Statuses(t, s.head)["reeve/plan"]; got.State != forge.Pending || got.Description != "planning" {
		t.Errorf("GitLab keeps the text of a state: %+v", got)
	}
	if diff := cmp.Diff([]string{"change"}, s.w.StatusRefs(s.site.Name(), s.head)); diff != "" {
		t.Errorf("before there are jobs (-want +got):\n%s", diff)
	}
	s.w.RunPipeline(s.site.Name(), 1)
	set(s.head, "reeve/plan", forge.Success, "1 to add")
	set(s.head, "reeve/plan", forge.Success, "1 to add")
	set(s.head, "reeve/plan", forge.Failure, "1 failed")
	if diff := cmp.Diff([]string{"change", "refs/merge-requests/1/head"}, s.w.StatusRefs(s.site.Name(), s.head)); diff != "" {
		t.Errorf("once there are jobs (-want +got):\n%s", diff)
	}
	if got := s.site.Statuses(t, s.head)["reeve/plan"]; got.State != forge.Failure || got.Description != "1 failed" {
		t.Errorf("the newest is %+v", got)
	}

	mine := s.site.PushFork(t, forgetest.Mallory, "main", map[string]string{"m.txt": "m\n"})
	n := s.site.Open(t, forgetest.Mallory, "main", "From a branch that is called like ours", true)
	set(mine, "reeve/plan", forge.Pending, "waits")
	if diff := cmp.Diff([]string{fmt.Sprintf("refs/merge-requests/%d/head", n)}, s.w.StatusRefs(s.site.Name(), mine)); diff != "" {
		t.Errorf("of a fork (-want +got):\n%s", diff)
	}

	merged := s.site.Merge(t, forgetest.Ada, 1)
	set(merged, "reeve/apply: prod", forge.Success, "applied")
	if got := s.site.Statuses(t, merged)["reeve/apply: prod"]; got.State != forge.Success {
		t.Errorf("of a merge it is %+v", got)
	}

	err := s.repo.SetStatus(t.Context(), strings.Repeat("0", 40), forge.Status{Context: "x", State: forge.Success})
	if !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("of no commit: %v", err)
	}
	long := strings.Repeat("ä", 400)
	ok(t, s.repo.SetStatus(t.Context(), s.head, forge.Status{Context: "long", State: forge.Success, Description: long, URL: "https://reeve.example.com/" + long}))
	if got := s.site.Statuses(t, s.head)["long"]; len([]rune(got.Description)) != 255 || got.URL != "" {
		t.Errorf("a long one is %+v", got)
	}
}

func TestARefusedMoveElsewhereIsAnError(t *testing.T) {
	t.Parallel()
	s := setup(t)
	answers := http.NewServeMux()
	answers.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"Cannot transition status via :drop from :success (Reason(s): Status cannot transition via \"drop\")"}`)
	})
	answers.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") })
	ts := httptest.NewServer(answers)
	t.Cleanup(ts.Close)
	repo, err := gitlab.New(gitlab.Options{URL: ts.URL, Project: "a/b", Token: func(context.Context) (string, error) { return "x", nil }, HTTPClient: http.DefaultClient})
	ok(t, err)
	if err := repo.SetStatus(t.Context(), s.head, forge.Status{Context: "x", State: forge.Failure}); err == nil {
		t.Error("a failure that stays a success was taken as set")
	}
	if err := repo.SetStatus(t.Context(), s.head, forge.Status{Context: "x", State: forge.Success}); err != nil {
		t.Errorf("a success that is there already: %v", err)
	}
}

func TestManyMergeRequestsAreListed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const many = 130
	dir := t.TempDir()
	push := []string{"push", "-q", "origin"}
	for i := range many {
		push = append(push, fmt.Sprintf("origin/change:refs/heads/b%d", i))
	}
	for _, args := range [][]string{{"clone", "-q", s.site.CloneURL(forgetest.Ada), "."}, push} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	want := []int{1}
	for i := range many {
		want = append(want, s.site.Open(t, forgetest.Ada, fmt.Sprintf("b%d", i), "Change", false))
	}
	s.w.Calls()
	got, err := s.repo.OpenPullRequests(t.Context())
	ok(t, err)
	var numbers []int
	for _, p := range got {
		numbers = append(numbers, p.Number)
	}
	slices.Sort(numbers)
	if diff := cmp.Diff(want, numbers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"GET": 3}, s.w.Calls()); diff != "" { // two pages, and who Ada is
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if _, err := s.repo.OpenPullRequests(t.Context()); err != nil || s.w.Calls()["GET"] != 2 {
		t.Errorf("who she is was asked again: %v", err)
	}
}

func TestQuickActionsAreNoComments(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, err := s.repo.CreateComment(t.Context(), 1, "/approve\n/merge")
	var failed *forge.CallError
	if !errors.As(err, &failed) || failed.Class != forge.Bug || errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("a comment of commands to GitLab: %v", err)
	}
	c, err := s.repo.CreateComment(t.Context(), 1, "before\n/close\n```\n/close\n```\n/usr/bin/after")
	if err != nil || c.Body != "before\n```\n/close\n```\n/usr/bin/after" {
		t.Errorf("what is left is %q, %v", c.Body, err)
	}
	_, err = s.repo.CreateComment(t.Context(), 1, strings.Repeat("a", 1_000_001))
	if !errors.As(err, &failed) || failed.Class != forge.Bug || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a comment that is too long: %v", err)
	}
}

func TestConflictsAreNotMerged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.site.Push(t, forgetest.Grace, "other", map[string]string{"a.txt": "else\n"}, false)
	s.site.Merge(t, forgetest.Grace, s.site.Open(t, forgetest.Grace, "other", "Else", false))
	if status, _, body := s.api(t, forgetest.Ada, http.MethodPut, "/merge_requests/1/merge", map[string]any{}); status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", status, body)
	}
	p, err := s.repo.PullRequest(t.Context(), 1)
	if err != nil || p.State != forge.Open {
		t.Errorf("%+v, %v", p, err)
	}
}
