package lab_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

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
	const window = 10 * time.Second // in which three requests and more are made
	s.w.LimitRate(2, window)
	for range 10 {
		_, err := s.repo.PullRequest(t.Context(), 1)
		if err == nil {
			continue
		}
		var failed *forge.CallError
		if !errors.As(err, &failed) || failed.Status != http.StatusTooManyRequests || failed.Class != forge.Wait || failed.RetryAfter < time.Second || failed.RetryAfter > window {
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
