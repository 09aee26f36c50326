package github_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/hub"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

// What the port asks of every forge is checked by forgetest.Run, beside the imitation.
// Here is what is GitHub's own.

// setup is a world with one open pull request of Ada's, and an adapter over the transport.
func setup(t *testing.T) (*hub.World, *hub.Site, *github.Repository, int, string) {
	t.Helper()
	w := hub.New(t)
	site := w.Site(t, map[string]string{"a.txt": "one\n"})
	head := site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	number := site.Open(t, forgetest.Ada, "change", "Change a", false)
	return w, site, site.With(t, site.Client(t, nil)), number, head
}

func TestAForkIsToldAlsoWhenItIsGone(t *testing.T) {
	t.Parallel()
	_, site, repo, own, _ := setup(t)
	head := site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"a.txt": "evil\n"})
	n := site.Open(t, forgetest.Mallory, "evil", "Trust me", true)
	look := func(n int) forge.PullRequest {
		pr, err := repo.PullRequest(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return pr
	}
	if pr := look(n); !pr.Fork || pr.Head != head || pr.HeadRef != fmt.Sprintf("refs/pull/%d/head", n) || pr.MergeCommit != "" {
		t.Errorf("got %+v", pr)
	}
	site.DeleteFork(t, forgetest.Mallory)
	if pr := look(n); !pr.Fork || pr.Head != head {
		t.Errorf("after the fork was deleted: %+v", pr)
	}
	if look(own).Fork {
		t.Error("a branch of the repository is told as a fork")
	}
	site.SetDraft(t, forgetest.Ada, own)
	if !look(own).Draft {
		t.Error("a draft is not told")
	}
}

func TestOnlyARealMergeIsTold(t *testing.T) {
	t.Parallel()
	_, site, repo, n, _ := setup(t)
	open, err := repo.OpenPullRequests(t.Context())
	if err != nil || len(open) != 1 || open[0].MergeCommit != "" || open[0].State != forge.Open {
		t.Errorf("got %+v, %v", open, err) // GitHub's trial of a merge is in that field, too
	}
	merge := site.Merge(t, forgetest.Grace, n)
	pr, err := repo.PullRequest(t.Context(), n)
	if err != nil || pr.State != forge.Merged || pr.MergeCommit != merge {
		t.Errorf("got %+v, %v, want merge %s", pr, err, merge)
	}
}

func TestReviewsThatAreInForce(t *testing.T) {
	t.Parallel()
	_, site, repo, n, head := setup(t)
	states := func() map[string]forge.ReviewState {
		reviews, err := repo.Reviews(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]forge.ReviewState{}
		for _, r := range reviews {
			if out[r.Author.Login] != "" || r.ID == "" || r.At.IsZero() {
				t.Errorf("review %+v of %+v", r, reviews)
			}
			out[r.Author.Login] = r.State
		}
		return out
	}
	expect := func(want map[string]forge.ReviewState) {
		t.Helper()
		if diff := cmp.Diff(want, states()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	expect(map[string]forge.ReviewState{})
	site.Review(t, forgetest.Grace, n, false, "no")
	site.Review(t, forgetest.Mallory, n, true, "lgtm")
	site.Remark(t, forgetest.Grace, n, "by the way")
	expect(map[string]forge.ReviewState{"grace": forge.ChangesRequested, "mallory": forge.Approved})
	site.Review(t, forgetest.Grace, n, true, "now it is")
	newer := site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	expect(map[string]forge.ReviewState{"grace": forge.Approved, "mallory": forge.Approved})
	reviews, err := repo.Reviews(t.Context(), n)
	if err != nil || reviews[0].Commit != head || newer == head {
		t.Errorf("a review is of %v, %v, want %s", reviews, err, head)
	}
	site.Dismiss(t, forgetest.Ada, n, forgetest.Grace)
	expect(map[string]forge.ReviewState{"mallory": forge.Approved}) // and her older no does not come back
}

func TestPermissionsOfOddNames(t *testing.T) {
	t.Parallel()
	_, _, repo, _, _ := setup(t)
	for login, want := range map[string]forge.Permission{
		"nobody-here": forge.None, "ada": forge.Write, "ADA": forge.Write, "mallory": forge.Read, "reeve-bot": forge.Write,
		"": forge.None, "../../../../user": forge.None, "ada?x=1": forge.None, "ada/../grace": forge.None, "a b": forge.None, "some-app[bot]": forge.None,
	} {
		got, err := repo.Permission(t.Context(), login)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", login, got, err, want)
		}
	}
	// Who cannot see the repository is not told that nobody may do anything.
	_, site, _, _, _ := setup(t)
	blind, err := github.New(github.Options{Repository: "acme/elsewhere", APIURL: site.APIURL(),
		Token: func(context.Context) (string, error) { return site.Token(forgetest.Reeve), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blind.Permission(t.Context(), "ada"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestTheLongestCommentFits(t *testing.T) {
	t.Parallel()
	_, _, repo, n, _ := setup(t)
	limit := repo.Limits().CommentBytes
	for _, char := range []string{"x", "é", "漢", "🚀"} {
		body := strings.Repeat(char, limit/len(char))
		c, err := repo.CreateComment(t.Context(), n, body)
		if err != nil || c.Body != body {
			t.Errorf("%q: %v", char, err)
		}
	}
	_, err := repo.CreateComment(t.Context(), n, strings.Repeat("x", 65_537))
	var failed *forge.CallError
	if !errors.As(err, &failed) || failed.Status != 422 || failed.Class != forge.Bug || !strings.Contains(err.Error(), "too long (maximum is 65536 characters)") {
		t.Errorf("got %v", err)
	}
}

func TestADescriptionIsCutToWhatAStatusTakes(t *testing.T) {
	t.Parallel()
	_, site, repo, _, head := setup(t)
	long := strings.Repeat("漢", 200)
	if err := repo.SetStatus(t.Context(), head, forge.Status{Context: "reeve/plan", State: forge.Success, Description: long}); err != nil {
		t.Fatal(err)
	}
	got := site.Statuses(t, head)["reeve/plan"]
	if got.Description != strings.Repeat("漢", 139)+"…" || got.URL != "" {
		t.Errorf("got %+v", got)
	}
	for commit, status := range map[string]int{strings.Repeat("a", 40): 422, "main": 0, "../../x": 0} {
		err := repo.SetStatus(t.Context(), commit, forge.Status{Context: "reeve/plan", State: forge.Success})
		var failed *forge.CallError
		if !errors.As(err, &failed) || failed.Status != status || failed.Class != forge.Bug {
			t.Errorf("%q: %v", commit, err)
		}
	}
}

func TestListsOfManyPagesAreWhole(t *testing.T) {
	t.Parallel()
	w, site, repo, n, _ := setup(t)
	for i := range 250 {
		site.Comment(t, forgetest.Ada, n, fmt.Sprint(i))
	}
	for i := range 101 {
		site.Open(t, forgetest.Ada, "change", fmt.Sprint(i), false)
	}
	w.Calls()
	comments, err := repo.Comments(t.Context(), n, time.Time{})
	if err != nil || len(comments) != 250 || comments[249].Body != "249" {
		t.Errorf("%d comments, %v", len(comments), err)
	}
	open, err := repo.OpenPullRequests(t.Context())
	if err != nil || len(open) != 102 {
		t.Errorf("%d pull requests, %v", len(open), err)
	}
	if diff := cmp.Diff(map[string]int{"GET": 5}, w.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPollThatFindsNothingNewIsFree(t *testing.T) {
	t.Parallel()
	w, site, _, n, _ := setup(t)
	meter := transport.NewMeter(prometheus.NewRegistry())
	repo := site.With(t, site.Client(t, meter.Forge("github")))
	budget := func() float64 {
		t.Helper()
		return metric(t, meter)
	}
	w.SetBudget(100, 100)
	for range 10 {
		if open, err := repo.OpenPullRequests(t.Context()); err != nil || len(open) != 1 {
			t.Fatalf("got %v, %v", open, err)
		}
	}
	if got := budget(); got != 99 {
		t.Errorf("ten polls left %v of 100", got)
	}
	if err := w.Skip(t.Context(), 2*time.Second); err != nil { // GitHub's times are whole seconds
		t.Fatal(err)
	}
	site.Comment(t, forgetest.Ada, n, "something new")
	if _, err := repo.OpenPullRequests(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := budget(); got != 98 {
		t.Errorf("a poll that found something left %v", got)
	}
}

func metric(t *testing.T, meter *transport.Meter) float64 {
	t.Helper()
	return testutil.ToFloat64(meter.Budget("github"))
}

func TestLimitsAreWaitedOut(t *testing.T) {
	t.Parallel()
	w, site, repo, n, head := setup(t)
	begin := w.Now()
	w.SetBudget(5000, 10)
	for i := range 25 { // the secondary limit strikes twice
		if err := repo.SetStatus(t.Context(), head, forge.Status{Context: fmt.Sprint(i), State: forge.Pending}); err != nil {
			t.Fatalf("status %d: %v", i, err)
		}
	}
	if got := len(site.Statuses(t, head)); got != 25 {
		t.Errorf("%d statuses", got)
	}
	if took := w.Now().Sub(begin); took < 90*time.Second || took > 4*time.Minute {
		t.Errorf("25 writes, ten to the minute, took %v", took)
	}
	// The primary one lasts too long to be waited for here: it is told, and then obeyed.
	w.SetBudget(3, 1000)
	w.Calls()
	var failed *forge.CallError
	for i := range 6 {
		_, err := repo.Comments(t.Context(), n, begin.Add(-time.Duration(i)*time.Hour)) // never the same request
		if i < 3 != (err == nil) || i >= 3 && !errors.As(err, &failed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if failed == nil || failed.Class != forge.Wait || failed.RetryAfter < 30*time.Minute || failed.RetryAfter > time.Hour+time.Minute {
		t.Fatalf("got %+v", failed)
	}
	if got := w.Calls()["GET"]; got != 3 {
		t.Errorf("%d requests were sent", got)
	}
	if err := w.Skip(t.Context(), failed.RetryAfter); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Comments(t.Context(), n, begin.Add(-100*time.Hour)); err != nil {
		t.Errorf("after the limit: %v", err)
	}
}

func TestWhatWasLostIsRepeatedWhereItDoesNoHarm(t *testing.T) {
	t.Parallel()
	w, site, repo, n, head := setup(t)
	c, err := repo.CreateComment(t.Context(), n, "living")
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []struct {
		method string
		do     func() error
	}{
		{"PATCH", func() error { _, err := repo.EditComment(t.Context(), n, c.ID, "edited"); return err }},
		{"POST", func() error { return repo.React(t.Context(), n, c.ID, forge.Eyes) }},
		{"POST", func() error {
			return repo.SetStatus(t.Context(), head, forge.Status{Context: "reeve/plan", State: forge.Success})
		}},
		{"GET", func() error { _, err := repo.PullRequest(t.Context(), n); return err }},
	} {
		for _, status := range []int{0, 502, 503, 500} {
			w.Fail(2, call.method, "", status, 0, status == 0)
			if err := call.do(); err != nil {
				t.Errorf("%s after %d: %v", call.method, status, err)
			}
		}
	}
	if got := site.Reactions(t, n, c.ID); len(got) != 1 {
		t.Errorf("reactions %v", got)
	}
	// A comment is written once or its outcome is told.
	w.Fail(1, "POST", "/comments", 0, 0, true)
	if _, err := repo.CreateComment(t.Context(), n, "once"); !errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
	w.Fail(1, "POST", "/comments", 503, 3, false) // but here GitHub says that it did nothing
	if _, err := repo.CreateComment(t.Context(), n, "twice"); err != nil {
		t.Errorf("got %v", err)
	}
	if said := site.Comments(t, n); len(said) != 3 || said[1].Body != "once" || said[2].Body != "twice" {
		t.Errorf("the conversation is %+v", said)
	}
}

func TestAPullRequestThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	w, site, repo, _, _ := setup(t)
	w.Lag(2)
	n := site.Open(t, forgetest.Ada, "change", "Just opened", false)
	for i := range 3 {
		_, err := repo.PullRequest(t.Context(), n)
		if i < 2 != errors.Is(err, forge.ErrNotFound) || i == 2 && err != nil {
			t.Errorf("look %d: %v", i, err)
		}
	}
}

func TestOneWebhookPerAddress(t *testing.T) {
	t.Parallel()
	w, site, repo, n, _ := setup(t)
	var secret = "first"
	took := make(chan forge.Delivery, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d, err := site.Parser().ParseWebhook(r.Header, body, []string{secret})
		if err != nil {
			t.Errorf("%s: %v", r.Header.Get("X-GitHub-Event"), err)
		}
		took <- d
	}))
	t.Cleanup(receiver.Close)
	made, err := repo.SetWebhook(t.Context(), "", receiver.URL, secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.SetWebhook(t.Context(), "", receiver.URL, secret); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("got %v", err)
	}
	w.Deliveries()
	secret = "second" // no delivery is under way
	if _, err := repo.SetWebhook(t.Context(), made.ID, receiver.URL, secret); err != nil {
		t.Fatal(err)
	}
	listed, err := repo.Webhooks(t.Context(), receiver.URL)
	if diff := cmp.Diff([]forge.Webhook{made}, listed); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	site.Comment(t, forgetest.Ada, n, "reeve plan")
	all := w.Deliveries()
	w.Redeliver(t, all[len(all)-1].ID)
	w.Deliveries()
	close(took)
	ids := map[string]int{}
	for d := range took {
		ids[d.ID]++
		if d.ID == "" {
			t.Error("a delivery has no id")
		}
	}
	if len(ids) != 2 || ids[all[len(all)-1].ID] != 2 { // the ping, and the comment twice
		t.Errorf("deliveries %v", ids)
	}
}

func TestATokenThatWasReplacedIsTakenUp(t *testing.T) {
	t.Parallel()
	_, site, _, n, _ := setup(t)
	old := site.Token(forgetest.Reeve)
	asked := 0
	repo, err := github.New(github.Options{Repository: site.Name(), APIURL: site.APIURL(), HTTPClient: site.Client(t, nil),
		Token: func(context.Context) (string, error) {
			if asked++; asked == 1 {
				return old, nil
			}
			return site.Token(forgetest.Reeve), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	site.Revoke(t, forgetest.Reeve)
	site.Renew(t, forgetest.Reeve)
	if _, err := repo.CreateComment(t.Context(), n, "hello"); err != nil {
		t.Error(err)
	}
	if said := site.Comments(t, n); len(said) != 1 || said[0].Body != "hello" {
		t.Errorf("the conversation is %+v", said)
	}
}

func TestATokenGoesToTheAPIAndNowhereElse(t *testing.T) {
	t.Parallel()
	const canary = "ghp_c4n4ry"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("another host was told %q", got)
		}
		fmt.Fprint(rw, `{"login":"ada","type":"User"}`)
	}))
	t.Cleanup(elsewhere.Close)
	status := http.StatusFound
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+canary {
			t.Errorf("the API was told %q", got)
		}
		rw.Header().Set("Location", elsewhere.URL+"/user")
		rw.WriteHeader(status)
		fmt.Fprintf(rw, `{"message":"no \u001b[31m\nreally"}`)
	}))
	t.Cleanup(server.Close)
	repo, err := github.New(github.Options{Repository: "acme/live", APIURL: server.URL, HTTPClient: &http.Client{},
		Token: func(context.Context) (string, error) { return canary, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if me, err := repo.Self(t.Context()); err != nil || me.Login != "ada" {
		t.Errorf("got %v, %v", me, err)
	}
	for _, status = range []int{400, 401, 403, 404, 422, 500} {
		_, err := repo.Self(t.Context())
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%d: %q", status, err)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return "t", nil }
	for name, opts := range map[string]github.Options{
		"no owner":           {Repository: "live", Token: token},
		"three parts":        {Repository: "a/b/c", Token: token},
		"a way out":          {Repository: "../..", Token: token},
		"no credentials":     {Repository: "acme/live"},
		"a password":         {Repository: "acme/live", Token: token, APIURL: "https://me:s3cret@ghe.example.com"},
		"not an address":     {Repository: "acme/live", Token: token, APIURL: "ghe.example.com"},
		"another scheme":     {Repository: "acme/live", Token: token, APIURL: "ssh://ghe.example.com"},
		"an address's query": {Repository: "acme/live", Token: token, APIURL: "https://ghe.example.com?x=s3cret"},
	} {
		if r, err := github.New(opts); err == nil || r != nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := github.NewApp(github.AppOptions{ID: "1", PrivateKey: []byte("-----BEGIN S3CRET")}); err == nil || strings.Contains(err.Error(), "S3CRET") {
		t.Errorf("a broken key: %v", err)
	}
}

func TestARenamedRepositoryIsFoundByItsOldName(t *testing.T) {
	t.Parallel()
	_, site, repo, n, head := setup(t)
	site.Rename("live-renamed")
	if pr, err := repo.PullRequest(t.Context(), n); err != nil || pr.Head != head {
		t.Errorf("got %+v, %v", pr, err)
	}
	if open, err := repo.OpenPullRequests(t.Context()); err != nil || len(open) != 1 {
		t.Errorf("got %+v, %v", open, err)
	}
	c, err := repo.CreateComment(t.Context(), n, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.EditComment(t.Context(), n, c.ID, "hello again"); err != nil {
		t.Error(err)
	}
	if said := site.Comments(t, n); len(said) != 1 || said[0].Body != "hello again" {
		t.Errorf("the conversation is %+v", said)
	}
}
