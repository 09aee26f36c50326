package lab_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
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
	deadline := time.After(2 * time.Minute)
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

// codes counts the answers by status.
type codes struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen map[int]int
}

func (c *codes) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		c.mu.Lock()
		c.seen[resp.StatusCode]++
		c.mu.Unlock()
	}
	return resp, err
}

func (s story) over(t *testing.T, client *http.Client) forge.Repository {
	t.Helper()
	repo, err := gitlab.New(gitlab.Options{
		URL: s.w.URL, Project: s.site.Name(), HTTPClient: client,
		Token: func(context.Context) (string, error) { return s.site.Token(forgetest.Reeve), nil },
	})
	ok(t, err)
	return repo
}

func TestLimitsAreToldAndWaitedOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.w.LimitRate(2, 2*time.Second)
	for range 10 {
		_, err := s.repo.PullRequest(t.Context(), 1)
		if err == nil {
			continue
		}
		var failed *forge.CallError
		if !errors.As(err, &failed) || failed.Status != http.StatusTooManyRequests || failed.Class != forge.Wait || failed.RetryAfter < time.Second || failed.RetryAfter > 2*time.Second {
			t.Fatalf("over the limit: %#v", err)
		}
		base := &codes{next: &http.Transport{DisableKeepAlives: true}, seen: map[int]int{}}
		repo := s.over(t, &http.Client{Transport: transport.New(transport.Options{Forge: "gitlab", Base: base, Repeatable: gitlab.Repeatable})})
		if _, err := repo.PullRequest(t.Context(), 1); err != nil || base.seen[http.StatusTooManyRequests] == 0 {
			t.Errorf("with a transport that waits: %v, %v", err, base.seen)
		}
		return
	}
	t.Fatal("the limit was never met")
}

func TestWhatDidNotChangeIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	base := &codes{next: &http.Transport{DisableKeepAlives: true}, seen: map[int]int{}}
	repo := s.over(t, &http.Client{Transport: transport.New(transport.Options{Forge: "gitlab", Base: base})})
	for range 3 {
		if got, err := repo.OpenPullRequests(t.Context()); err != nil || len(got) != 1 || got[0].Head != s.head {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if base.seen[http.StatusNotModified] != 2 {
		t.Errorf("answers: %v, want two times 304", base.seen)
	}
	s.site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	if got, err := repo.OpenPullRequests(t.Context()); err != nil || got[0].Head == s.head {
		t.Errorf("after a push: %+v, %v", got, err)
	}
}

func TestAWriteThatNeverBeganIsKnown(t *testing.T) {
	t.Parallel()
	s := setup(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	repo, err := gitlab.New(gitlab.Options{URL: gone.URL, Project: "a/b", Token: func(context.Context) (string, error) { return "x", nil },
		HTTPClient: &http.Client{Transport: transport.New(transport.Options{Forge: "gitlab", MaxWait: time.Nanosecond})}})
	ok(t, err)
	var failed *forge.CallError
	if _, err := repo.CreateComment(t.Context(), 1, "x"); !errors.As(err, &failed) || failed.Class != forge.Wait || errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("nobody was there: %v", err)
	}
	s.w.Fail(1, http.MethodPost, "/award_emoji", 0, 0, true)
	id := s.site.Comment(t, forgetest.Ada, 1, "reeve plan")
	with := s.over(t, &http.Client{Transport: transport.New(transport.Options{Forge: "gitlab", Base: &http.Transport{DisableKeepAlives: true}, Repeatable: gitlab.Repeatable})})
	ok(t, with.React(t.Context(), 1, id, forge.Eyes)) // lost, done again, and there already
	if diff := cmp.Diff([]forge.Reaction{forge.Eyes}, s.site.Reactions(t, 1, id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// hookServer takes deliveries and answers with a status.
type hookServer struct {
	url    string
	mu     sync.Mutex
	status int
	got    chan forge.Delivery
}

func takeHooks(t *testing.T, secrets ...string) *hookServer {
	t.Helper()
	h := &hookServer{status: http.StatusOK, got: make(chan forge.Delivery, 100)}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		status := h.status
		h.mu.Unlock()
		d, err := gitlab.Webhook{}.ParseWebhook(r.Header, body, secrets)
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		w.WriteHeader(status)
		h.got <- d
	}))
	t.Cleanup(ts.Close)
	h.url = ts.URL
	return h
}

func (h *hookServer) next(t *testing.T) forge.Delivery {
	t.Helper()
	select {
	case d := <-h.got:
		return d
	case <-time.After(2 * time.Minute):
		t.Fatal("no delivery came")
		return forge.Delivery{}
	}
}

func TestSignedDeliveriesAreVerified(t *testing.T) {
	t.Parallel()
	s := setup(t)
	token := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	h := takeHooks(t, token)
	status, _, body := s.api(t, forgetest.Reeve, http.MethodPost, "/hooks", map[string]any{"url": h.url, "signing_token": token, "note_events": true})
	if status != http.StatusCreated || bytes.Contains(body, []byte(token)) {
		t.Fatalf("%d %s", status, body)
	}
	id := s.site.Comment(t, forgetest.Ada, 1, "reeve plan")
	want := forge.Delivery{Topic: forge.TopicComment, Repository: s.site.Name(), Number: 1, Comment: id, Created: true}
	if diff := cmp.Diff(want, h.next(t), cmpopts.IgnoreFields(forge.Delivery{}, "ID")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWebhookThatFailsIsSwitchedOff(t *testing.T) {
	t.Parallel()
	s := setup(t)
	h := takeHooks(t, "x")
	h.status = http.StatusInternalServerError
	set, err := s.repo.SetWebhook(t.Context(), "", h.url, "x")
	ok(t, err)
	for i := range 4 {
		s.site.Comment(t, forgetest.Ada, 1, fmt.Sprint("remark ", i))
		h.next(t)
	}
	await(t, func() error { // the answer comes back after the delivery
		hooks, err := s.repo.Webhooks(t.Context(), h.url)
		if err == nil && !cmp.Equal([]forge.Webhook{{ID: set.ID, URL: h.url}}, hooks) {
			err = fmt.Errorf("after four failures it is %+v", hooks)
		}
		return err
	})
	sent := len(s.w.Sent())
	s.site.Comment(t, forgetest.Ada, 1, "unheard")
	if now := len(s.w.Sent()); now != sent {
		t.Errorf("%d more were sent", now-sent)
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

func TestPagesHaveHeaders(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i := range 5 {
		s.site.Comment(t, forgetest.Ada, 1, fmt.Sprint("remark ", i))
	}
	_, h, body := s.api(t, forgetest.Ada, http.MethodGet, "/merge_requests/1/notes?per_page=2&page=2&sort=asc", nil)
	var notes []struct {
		Body string `json:"body"`
	}
	ok(t, json.Unmarshal(body, &notes))
	got := []string{h.Get("X-Page"), h.Get("X-Per-Page"), h.Get("X-Next-Page"), h.Get("X-Prev-Page"), h.Get("X-Total"), h.Get("X-Total-Pages"), notes[0].Body, notes[1].Body}
	if diff := cmp.Diff([]string{"2", "2", "3", "1", "5", "3", "remark 2", "remark 3"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, rel := range []string{"prev", "next", "first", "last"} {
		if !strings.Contains(h.Get("Link"), fmt.Sprintf("rel=%q", rel)) {
			t.Errorf("no link to the %s page: %s", rel, h.Get("Link"))
		}
	}
}

// lacks are the fields of a recorded object that another one does not have.
func lacks(t *testing.T, recorded, got any, path ...string) []string {
	t.Helper()
	for _, name := range path {
		recorded, got = recorded.(map[string]any)[name], got.(map[string]any)[name]
	}
	var out []string
	for name := range recorded.(map[string]any) {
		if _, has := got.(map[string]any)[name]; !has {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// TestNothingThatWasRecordedIsLeftOut compares with what a GitLab once said.
func TestNothingThatWasRecordedIsLeftOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	recorded := func(name string) any {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(lab.Recorded(t), name))
		ok(t, err)
		var v any
		ok(t, json.Unmarshal(data, &v))
		return v
	}
	h := takeHooks(t, "x")
	_, err := s.repo.SetWebhook(t.Context(), "", h.url, "x")
	ok(t, err)
	s.site.Comment(t, forgetest.Ada, 1, "remark")
	s.site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	got := map[string]any{}
	for range 3 {
		h.next(t)
	}
	await(t, func() error { // they are written down when their answer is back
		if n := len(s.w.Sent()); n < 3 {
			return fmt.Errorf("%d deliveries were made", n)
		}
		return nil
	})
	for _, sent := range s.w.Sent() {
		var v map[string]any
		ok(t, json.Unmarshal(sent.Body, &v))
		got[fmt.Sprint(v["object_kind"])] = v
	}
	var answer any
	_, _, body := s.api(t, forgetest.Ada, http.MethodGet, "/merge_requests/1", nil)
	ok(t, json.Unmarshal(body, &answer))
	// What a merge request has only at times.
	for name, c := range map[string]struct{ left, want []string }{
		"the merge request":              {lacks(t, recorded("get_merge_request.json"), answer), []string{"first_contribution"}},
		"a merge request's payload":      {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"]), []string{"assignees", "reviewers"}},
		"the merge request in a payload": {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "object_attributes"), nil},
		"the project in a payload":       {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "project"), nil},
		"a note's payload":               {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"]), nil},
		"the note in a payload":          {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"], "object_attributes"), nil},
		"the merge request of a note":    {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"], "merge_request"), []string{"assignee", "labels", "position"}},
		"a push's payload":               {lacks(t, recorded("webhooks/push.json"), got["push"]), nil},
		"the repository of a push":       {lacks(t, recorded("webhooks/push.json"), got["push"], "repository"), nil},
		"the person in a payload":        {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "user"), nil},
		"the newest commit in a payload": {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "object_attributes", "last_commit"), nil},
	} {
		if diff := cmp.Diff(c.want, c.left); diff != "" {
			t.Errorf("%s lacks (-want +got):\n%s", name, diff)
		}
	}
}
