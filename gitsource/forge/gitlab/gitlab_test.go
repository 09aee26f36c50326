package gitlab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

const canary = "glpat-canary-0f0e0d"

// server answers as a test says, and keeps what it was sent.
type server struct {
	url  string
	mu   sync.Mutex
	seen []*http.Request
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(ts.Close)
	s.url = ts.URL
	return s
}

func (s *server) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func repository(t *testing.T, url string) forge.Repository {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	r, err := gitlab.New(gitlab.Options{
		URL: url, Project: "group/sub/na.me", HTTPClient: &http.Client{Transport: transport},
		Token: func(context.Context) (string, error) { return canary, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(lab.Recorded(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRecordedMergeRequestsAreRead reads what gitlab.com once answered, and variations.
func TestRecordedMergeRequestsAreRead(t *testing.T) {
	t.Parallel()
	change := func(with map[string]any) []byte {
		var v map[string]any
		if err := json.Unmarshal(recorded(t, "get_merge_request.json"), &v); err != nil {
			t.Fatal(err)
		}
		for k, x := range with {
			v[k] = x
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const head, squashed, merged = "8e0b45049b6253b8984cde9241830d2851168142", "5b0b45049b6253b8984cde9241830d2851168142", "3c0b45049b6253b8984cde9241830d2851168142"
	as := func(f func(*forge.PullRequest)) forge.PullRequest {
		p := forge.PullRequest{
			Number: 14656, Title: "Add deletion support for designs", URL: "https://gitlab.com/gitlab-org/gitlab-ee/merge_requests/14656", RepositoryID: "278964",
			Author: forge.User{Login: "alexkalderimis", ID: "3614858"}, State: forge.Open, Draft: true, Head: head, HeadBranch: "delete-designs-v2",
			HeadRef: "refs/merge-requests/14656/head", BaseBranch: "master", UpdatedAt: time.Date(2019, 8, 20, 9, 9, 56, 690_000_000, time.UTC),
		}
		if f != nil {
			f(&p)
		}
		return p
	}
	for name, c := range map[string]struct {
		answer []byte
		want   forge.PullRequest
	}{
		"as it was":       {recorded(t, "get_merge_request.json"), as(nil)},
		"while it merges": {change(map[string]any{"state": "locked"}), as(nil)},
		"closed":          {change(map[string]any{"state": "closed"}), as(func(p *forge.PullRequest) { p.State = forge.Closed })},
		"merged": {change(map[string]any{"state": "merged", "merge_commit_sha": merged, "squash_commit_sha": squashed}),
			as(func(p *forge.PullRequest) { p.State, p.MergeCommit = forge.Merged, merged })},
		"squashed": {change(map[string]any{"state": "merged", "squash_commit_sha": squashed}),
			as(func(p *forge.PullRequest) { p.State, p.MergeCommit = forge.Merged, squashed })},
		"moved forward":    {change(map[string]any{"state": "merged"}), as(func(p *forge.PullRequest) { p.State, p.MergeCommit = forge.Merged, head })},
		"no draft":         {change(map[string]any{"draft": false}), as(func(p *forge.PullRequest) { p.Draft = false })},
		"work in progress": {change(map[string]any{"draft": nil, "work_in_progress": true}), as(nil)},
		"of a fork":        {change(map[string]any{"source_project_id": 7}), as(func(p *forge.PullRequest) { p.Fork = true })},
		"of a fork that is gone": {change(map[string]any{"source_project_id": nil}),
			as(func(p *forge.PullRequest) { p.Fork = true })},
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/v4/users/") {
				says(200, `{"id":3614858,"username":"alexkalderimis","bot":false}`)(w, r)
				return
			}
			says(200, string(c.answer))(w, r)
		})
		got, err := repository(t, s.url).PullRequest(t.Context(), 14656)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if r := s.requests()[0]; r.URL.EscapedPath() != "/api/v4/projects/group%2Fsub%2Fna%2Eme/merge_requests/14656" || r.Header.Get("Authorization") != "Bearer "+canary {
			t.Errorf("%s: asked %s with %d letters of authorization", name, r.URL.EscapedPath(), len(r.Header.Get("Authorization")))
		}
	}
	s := serve(t, says(200, string(change(map[string]any{"state": "sublimated"}))))
	var failed *forge.CallError
	if _, err := repository(t, s.url).PullRequest(t.Context(), 14656); !errors.As(err, &failed) || failed.Class != forge.Bug {
		t.Errorf("an unknown state: %v", err)
	}
}

// TestOpenMergeRequestsOfTheRecordAreListed reads a recorded page.
func TestOpenMergeRequestsOfTheRecordAreListed(t *testing.T) {
	t.Parallel()
	var want []struct {
		IID int    `json:"iid"`
		SHA string `json:"sha"`
	}
	if err := json.Unmarshal(recorded(t, "get_merge_requests.json"), &want); err != nil || len(want) == 0 {
		t.Fatalf("%d recorded: %v", len(want), err)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v4/users/") {
			says(403, `{"message":"403 Forbidden"}`)(w, r) // where people are not shown
			return
		}
		says(200, string(recorded(t, "get_merge_requests.json")))(w, r)
	})
	got, err := repository(t, s.url).OpenPullRequests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, p := range got {
		have = append(have, fmt.Sprint(p.Number, p.Head))
	}
	var wanted []string
	for _, p := range want {
		if p.SHA != "" {
			wanted = append(wanted, fmt.Sprint(p.IID, p.SHA))
		}
	}
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrorsHaveAClassAndNoSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  forge.Class
		status int
		text   string
		is     error
	}{
		"not allowed":      {says(401, `{"message":"401 Unauthorized"}`), forge.Person, 401, "401 Unauthorized", nil},
		"a revoked token":  {says(401, `{"error":"invalid_token","error_description":"Token was revoked."}`), forge.Person, 401, "Token was revoked.", nil},
		"too small scope":  {says(403, `{"error":"insufficient_scope","error_description":"The request requires higher privileges"}`), forge.Person, 403, "higher privileges", nil},
		"nothing there":    {says(404, `{"message":"404 Project Not Found"}`), forge.Person, 404, "404 Project Not Found", forge.ErrNotFound},
		"a field is wrong": {says(400, `{"message":{"title":["is too long"],"state":["is no state","really"]}}`), forge.Bug, 400, "state is no state, really; title is too long", nil},
		"a conflict":       {says(409, `{"message":["Another open merge request"]}`), forge.Wait, 409, "Another open merge request", nil},
		"over a limit":     {says(429, "Retry later\n"), forge.Wait, 429, "", nil},
		"down":             {says(502, "<html>\nBad gateway"), forge.Wait, 502, "bad gateway", nil},
		"the token back":   {says(400, `{"message":"what is `+canary+`?"}`), forge.Bug, 400, "what is [secret]?", nil},
		"many lines":       {says(400, `{"message":"one\ntwo\u001b[31m"}`), forge.Bug, 400, "one", nil},
		"another program":  {says(200, "<html>welcome"), forge.Person, 200, "is this the address of a GitLab?", nil},
		"half an answer":   {says(200, `{"iid":7,`), forge.Wait, 200, "cannot be read", nil},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/x?private_token="+canary, http.StatusFound)
		}, forge.Person, 302, "https://elsewhere.example.com", nil},
	} {
		s := serve(t, c.answer)
		_, err := repository(t, s.url).PullRequest(t.Context(), 7)
		var failed *forge.CallError
		if !errors.As(err, &failed) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if failed.Class != c.class || failed.Status != c.status || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %+v, want %s %d with %q", name, failed, c.class, c.status, c.text)
		}
		if all := fmt.Sprintf("%v %+v %#v", err, failed, failed.Err); strings.Contains(all, canary) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: the error tells too much: %q", name, all)
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

// TestTheTokenStaysOnItsHost follows redirects on a host and none to another, for a
// write none at all.
func TestTheTokenStaysOnItsHost(t *testing.T) {
	t.Parallel()
	other := serve(t, says(200, `{}`))
	var home *server
	home = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			http.Redirect(w, r, home.url+"/api/v4/projects/9/written", http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/merge_requests/7"):
			http.Redirect(w, r, other.url+r.URL.Path, http.StatusMovedPermanently)
		case strings.HasSuffix(r.URL.Path, "/merge_requests/8"):
			http.Redirect(w, r, home.url+"/api/v4/projects/9/there", http.StatusMovedPermanently)
		default:
			says(200, string(recorded(t, "get_merge_request.json")))(w, r)
		}
	})
	repo := repository(t, home.url)
	if _, err := repo.PullRequest(t.Context(), 7); err == nil || len(other.requests()) != 0 {
		t.Errorf("another host was asked %d times: %v", len(other.requests()), err)
	}
	if got, err := repo.PullRequest(t.Context(), 8); err != nil || got.Number != 14656 {
		t.Errorf("a project that moved: %+v, %v", got, err)
	}
	if _, err := repo.CreateComment(t.Context(), 8, "hello"); err == nil || errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("a write that was sent elsewhere: %v", err)
	}
	for _, r := range home.requests() {
		if strings.HasSuffix(r.URL.Path, "/written") {
			t.Error("the write was followed")
		}
	}
}

func TestAWebhooksSecretIsNotTold(t *testing.T) {
	t.Parallel()
	const hookSecret = "hook-canary"
	s := serve(t, says(422, `{"error":"token hook-canary is not good"}`))
	repo := repository(t, s.url)
	for _, id := range []string{"", "7"} {
		_, err := repo.SetWebhook(t.Context(), id, "https://reeve.example.com/hook", hookSecret)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), hookSecret) || !strings.Contains(err.Error(), "[secret]") {
			t.Errorf("webhook %q: %v", id, err)
		}
	}
	for _, r := range s.requests() {
		if strings.Contains(r.URL.String(), hookSecret) || strings.Contains(r.URL.String(), canary) {
			t.Errorf("a secret is in an address: %s", r.URL)
		}
	}
}

func TestAWebhookAsksForWhatIsUnderstood(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []map[string]any
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var v map[string]any
		_ = json.NewDecoder(r.Body).Decode(&v)
		mu.Lock()
		bodies = append(bodies, v)
		mu.Unlock()
		says(201, `{"id":4,"url":"https://reeve.example.com/hook","alert_status":"temporarily_disabled"}`)(w, r)
	})
	for _, id := range []string{"", "4"} {
		got, err := repository(t, s.url).SetWebhook(t.Context(), id, "https://reeve.example.com/hook", "x")
		if diff := cmp.Diff(forge.Webhook{ID: "4", URL: "https://reeve.example.com/hook"}, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, b := range bodies {
		for name, on := range b {
			want := name == "push_events" || name == "merge_requests_events" || name == "note_events" || name == "enable_ssl_verification"
			if on, is := on.(bool); is && on != want {
				t.Errorf("%s is %t", name, on)
			}
		}
	}
	if diff := cmp.Diff(bodies[0], bodies[1]); diff != "" || len(bodies[0]) < 10 {
		t.Errorf("creating and changing differ:\n%s", diff)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return canary, nil }
	for name, o := range map[string]gitlab.Options{
		"no project":         {Token: token},
		"no group":           {Project: "name", Token: token},
		"no token":           {Project: "group/name"},
		"another scheme":     {Project: "group/name", Token: token, URL: "ssh://git.example.com"},
		"no host":            {Project: "group/name", Token: token, URL: "https://"},
		"a password in it":   {Project: "group/name", Token: token, URL: "https://me:" + canary + "@git.example.com"},
		"a token in a query": {Project: "group/name", Token: token, URL: "https://git.example.com?private_token=" + canary},
	} {
		_, err := gitlab.New(o)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := serve(t, says(200, `{"username":"me"}`))
	for _, suffix := range []string{"/gitlab", "/gitlab/", "/gitlab/api/v4", "/gitlab/api/v4/"} {
		if _, err := repository(t, s.url+suffix).Self(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, r := range s.requests() {
		if r.URL.Path != "/gitlab/api/v4/user" {
			t.Errorf("asked %s", r.URL.Path)
		}
	}
	lost := errors.New("the vault is sealed")
	r, err := gitlab.New(gitlab.Options{URL: s.url, Project: "group/name", Token: func(context.Context) (string, error) { return "", lost }})
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.requests())
	if _, err := r.Self(t.Context()); !errors.Is(err, lost) || len(s.requests()) != before {
		t.Errorf("without a token: %v", err)
	}
}

func TestOnlyRepeatablePostsAreRepeated(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/v4/projects/1/merge_requests/2/notes":               false,
		"/api/v4/projects/1/merge_requests/2/notes/3/award_emoji": true,
		"/api/v4/projects/1/statuses/abc":                         true,
		"/api/v4/projects/1/hooks":                                false,
	} {
		if got := gitlab.Repeatable(httptest.NewRequest(http.MethodPost, path, nil)); got != want {
			t.Errorf("%s is repeatable: %t", path, got)
		}
	}
}

// TestReviewsOfOlderGitLabs: there is no time of an approval but a note of GitLab's own,
// and reviewers may not be known.
func TestReviewsOfOlderGitLabs(t *testing.T) {
	t.Parallel()
	noted := func(id, author int, at, body string) string {
		return fmt.Sprintf(`{"id":%d,"system":true,"author":{"id":%d,"username":"u"},"body":%q,"created_at":%q,"updated_at":%q}`, id, author, body, at, at)
	}
	answers := map[string]http.HandlerFunc{
		"/approvals": says(200, `{"approved_by":[{"user":{"id":5,"username":"grace"}},{"user":{"id":6,"username":"project_1_bot_a0"}}]}`),
		"/reviewers": says(404, `{"error":"404 Not Found"}`),
		"/versions":  says(200, `[{"id":2,"head_commit_sha":"bbb","created_at":"2026-01-03T10:00:00.000Z"},{"id":1,"head_commit_sha":"aaa","created_at":"2026-01-01T10:00:00.000Z"}]`),
		"/notes": says(200, "["+strings.Join([]string{
			noted(1, 5, "2026-01-01T11:00:00.000Z", "approved this merge request"),
			noted(2, 5, "2026-01-01T12:00:00.000Z", "unapproved this merge request"),
			noted(3, 5, "2026-01-02T12:00:00.000Z", "approved this merge request"),
			noted(4, 6, "2026-01-03T10:00:00.000Z", "approved this merge request"),
		}, ",")+"]"),
		"/users/5": says(404, `{"message":"404 User Not Found"}`),
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for suffix, answer := range answers {
			if strings.HasSuffix(r.URL.Path, suffix) {
				answer(w, r)
				return
			}
		}
		t.Errorf("asked %s", r.URL.Path)
	})
	got, err := repository(t, s.url).Reviews(t.Context(), 7)
	want := []forge.Review{
		{ID: "user-5", Author: forge.User{Login: "grace", ID: "5"}, State: forge.Approved, Commit: "aaa", At: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)},
		{ID: "user-6", Author: forge.User{Login: "project_1_bot_a0", ID: "6", Bot: true}, State: forge.Approved, At: time.Date(2026, 1, 3, 10, 0, 0, 0, time.UTC)},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	// A clock with milliseconds tells which came first.
	answers["/notes"] = says(200, "["+noted(3, 5, "2026-01-03T09:59:59.999Z", "approved this merge request")+","+noted(4, 6, "2026-01-03T10:00:00.001Z", "approved this merge request")+"]")
	if got, err := repository(t, s.url).Reviews(t.Context(), 7); err != nil || len(got) != 2 || got[0].Commit != "aaa" || got[1].Commit != "bbb" {
		t.Errorf("a millisecond around a push: %+v, %v", got, err)
	}
	answers["/reviewers"] = says(500, `{"message":"500 Internal Server Error"}`)
	if _, err := repository(t, s.url).Reviews(t.Context(), 7); err == nil {
		t.Error("reviewers that could not be had were taken for none")
	}
}
