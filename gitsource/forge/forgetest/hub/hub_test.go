package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
)

func TestTheAdapterKeepsThePort(t *testing.T) {
	t.Parallel()
	forgetest.Run(t, New(t))
}

// A judge that is never severe proves nothing: these are requests and answers that must
// not pass.

// witness notes what a world complains of.
type witness struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *witness) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.said
	w.said = nil
	return out
}

func TestRequestsThatAreNotDescribedAreToldOf(t *testing.T) {
	t.Parallel()
	see := &witness{TB: t}
	w := New(see)
	site := w.Site(t, map[string]string{"a.txt": "one\n"})
	site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	n := site.Open(t, forgetest.Ada, "change", "Change a", false)
	id := site.Comment(t, forgetest.Ada, n, "hello")
	for _, test := range []struct{ method, path, body, complaint string }{
		{"GET", "/repos/acme/live-1/pulls?state=open&per_page=100", "", ""},
		{"POST", "/repos/acme/live-1/issues/1/comments", `{"body":"fine"}`, ""},
		{"GET", "/repos/acme/live-1/pulls/1/files", "", "has no GET"},
		{"PUT", "/repos/acme/live-1/issues/1/comments", `{}`, "has no PUT"},
		{"GET", "/repos/acme/live-1/pulls?state=opened", "", `"state"`},
		{"GET", "/repos/acme/live-1/pulls?sort=created&colour=red", "", `no parameter "colour"`},
		{"GET", "/repos/acme/live-1/pulls/one", "", "pull_number"},
		{"POST", "/repos/acme/live-1/issues/1/comments", `{"text":"x"}`, "body"},
		{"POST", "/repos/acme/live-1/issues/1/comments", `{"body":"x","colour":"red"}`, "no field .colour"},
		{"POST", "/repos/acme/live-1/issues/1/comments", `{"body":7}`, "string"},
		{"POST", "/repos/acme/live-1/issues/comments/" + id + "/reactions", `{"content":"thumbs"}`, "content"},
		{"POST", "/repos/acme/live-1/statuses/" + strings.Repeat("a", 40), `{"state":"running"}`, "state"},
		{"POST", "/repos/acme/live-1/hooks", `{"name":"web","config":{"url":"http://example.com","colour":"red"}}`, "no field .config.colour"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, site.APIURL()+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+site.Token(forgetest.Reeve))
		if test.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		said := strings.Join(see.take(), "\n")
		if test.complaint == "" && said != "" || !strings.Contains(said, test.complaint) {
			t.Errorf("%s %s %s: %.500q, want %q", test.method, test.path, test.body, said, test.complaint)
		}
	}
}

func TestAnswersThatAreNotDescribedAreToldOf(t *testing.T) {
	t.Parallel()
	d, e := describe()
	op, params := d.find("GET", "/repos/acme/live-1/issues/comments/7")
	w := New(t)
	site := w.Site(t, map[string]string{"a.txt": "one\n"})
	site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	n := site.Open(t, forgetest.Ada, "change", "Change a", false)
	site.Comment(t, forgetest.Ada, n, "hello")
	var good map[string]any
	for _, c := range site.repo.comments {
		shown := d.conform(d.responseSchema(op, 200), w.showComment(site.repo, c))
		text, err := json.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &good); err != nil {
			t.Fatal(err)
		}
	}
	check := func(status int, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return d.checkResponse(op, httptest.NewRequest("GET", "/", nil), params, status, http.Header{"Content-Type": {"application/json"}}, text)
	}
	if err := check(200, good); err != nil {
		t.Errorf("a good answer: %v", err)
	}
	if err := check(418, good); err == nil {
		t.Error("a status that is not described passes")
	}
	for name, bad := range map[string]any{"id": "seven", "created_at": 12, "user": []any{}, "author_association": "FRIEND"} {
		broken := maps.Clone(good)
		broken[name] = bad
		if check(200, broken) == nil {
			t.Errorf("%s = %v passes", name, bad)
		}
	}
	for _, name := range []string{"id", "created_at", "user", "issue_url"} {
		broken := maps.Clone(good)
		delete(broken, name)
		if check(200, broken) == nil {
			t.Errorf("an answer without %s passes", name)
		}
	}
	delivery := map[string]any{"ref": "refs/heads/main", "before": zero, "after": zero, "repository": w.showRepo(site.repo), "sender": w.showAccount(w.accounts["ada"]),
		"pusher": map[string]any{"name": "ada"}, "compare": "", "base_ref": nil, "head_commit": nil, "commits": []any{}, "created": false, "deleted": false, "forced": false}
	if _, err := e.event("push$event", delivery); err != nil {
		t.Errorf("a good delivery: %v", err)
	}
	delivery["ref"] = 7
	if _, err := e.event("push$event", delivery); err == nil {
		t.Error("a delivery with a wrong field passes")
	}
	if _, err := e.event("push$unheard", delivery); err == nil {
		t.Error("a delivery that is not described passes")
	}
}

func TestWhatPeopleMayNotDoIsRefused(t *testing.T) {
	t.Parallel()
	w := New(t)
	site := w.Site(t, map[string]string{"a.txt": "one\n"})
	site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	n := site.Open(t, forgetest.Ada, "change", "Change a", false)
	push := func(url string) string {
		_, err := w.git.run(site.work, "push", url, "HEAD:refs/heads/other")
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for _, who := range []forgetest.Person{forgetest.Mallory, ""} {
		if said := push(site.CloneURL(who)); said == "" {
			t.Errorf("%q pushed", who)
		}
	}
	if said := push(site.CloneURL(forgetest.Ada)); said != "" {
		t.Errorf("Ada cannot push: %s", said)
	}
	if _, err := w.git.run(site.work, "push", site.CloneURL(forgetest.Ada), fmt.Sprintf("HEAD:refs/pull/%d/head", n)); err == nil {
		t.Error("a pull request's ref was pushed to")
	}
	for _, who := range []forgetest.Person{forgetest.Mallory, forgetest.Ada} {
		repo, err := github.New(github.Options{Repository: site.Name(), APIURL: site.APIURL(), HTTPClient: site.Client(t, nil),
			Token: func(context.Context) (string, error) { return site.Token(who), nil }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = repo.SetWebhook(t.Context(), "", "http://127.0.0.1:9/", "s")
		if !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("%s set a webhook: %v", who, err)
		}
		err = repo.SetStatus(t.Context(), site.repo.pulls[n].head, forge.Status{Context: "x", State: forge.Success})
		var failed *forge.CallError
		if may := who == forgetest.Ada; may != (err == nil) || !may && (!errors.As(err, &failed) || failed.Class != forge.Person) {
			t.Errorf("%s set a status: %v", who, err)
		}
	}
}

func TestFaultsAndCallsOfASiteAreItsOwn(t *testing.T) {
	t.Parallel()
	w := New(t)
	one, two := w.Site(t, map[string]string{"a.txt": "one\n"}), w.Site(t, map[string]string{"a.txt": "one\n"})
	one.Fail(1, "GET", "/pulls", 500, 0, false)
	if _, err := two.Repository(t).OpenPullRequests(t.Context()); err != nil {
		t.Errorf("another site's fault: %v", err)
	}
	if _, err := one.Repository(t).OpenPullRequests(t.Context()); err == nil {
		t.Error("the fault did not come")
	}
	if _, err := one.Repository(t).OpenPullRequests(t.Context()); err != nil {
		t.Errorf("the fault came twice: %v", err)
	}
	for want, calls := range map[int]func() map[string]int{2: one.Calls, 1: two.Calls} {
		if got := calls(); got["GET"] != want || len(got) != 1 {
			t.Errorf("got %v, want %d", got, want)
		}
	}
	if got := w.Calls(); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
}

// The filling that answers get must itself be what is described.
func TestDullValuesFitTheDescription(t *testing.T) {
	t.Parallel()
	d, e := describe()
	checked := 0
	for _, op := range d.ops {
		for status := range op.route.Operation.Responses.Map() {
			code, err := strconv.Atoi(status)
			schema := d.responseSchema(&op, code)
			if err != nil || schema == nil || schema["discriminator"] != nil { // which one it is, is a choice
				continue
			}
			value := d.conform(schema, absent{})
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.checkResponse(&op, httptest.NewRequest("GET", "/", nil), nil, code, http.Header{"Content-Type": {"application/json"}}, text); err != nil {
				t.Errorf("%s %s, %d: %v", op.method, op.path, code, err)
			}
			checked++
		}
	}
	for name := range e.compiled {
		if _, err := e.event(name, map[string]any{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checked++
	}
	if checked < 60 {
		t.Errorf("only %d were checked", checked)
	}
}
