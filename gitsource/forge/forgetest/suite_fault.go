package forgetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// faulty is a proposal on a site whose calls can fail.
func faulty(t *testing.T, w World) (proposal, Faults) {
	t.Helper()
	p := propose(t, w)
	faults, ok := FaultsOf(p.site)
	if !ok {
		t.Skip("this world cannot make calls fail")
	}
	await(t, "get the pull request", func(ctx context.Context) error {
		_, err := p.repo.PullRequest(ctx, p.number)
		return err
	})
	return p, faults
}

// isCallError checks an error's class, and that nothing secret is in it.
func isCallError(t *testing.T, site Site, err error, status int, class forge.Class) *forge.CallError {
	t.Helper()
	var failed *forge.CallError
	if !errors.As(err, &failed) {
		t.Fatalf("error is %v, want a *forge.CallError", err)
	}
	if failed.Status != status || failed.Class != class || failed.Call == "" {
		t.Errorf("error is %+v, want status %d and class %s", failed, status, class)
	}
	if said := fmt.Sprintf("%v %+v %#v", err, failed, failed.Err); strings.Contains(said, site.Token(Reeve)) {
		t.Errorf("the error tells the token: %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
	return failed
}

func checkClasses(t *testing.T, w World) {
	p, faults := faulty(t, w)
	for _, c := range []struct {
		status, seconds int
		want            forge.Class
	}{
		{http.StatusUnauthorized, 0, forge.Person},
		{http.StatusForbidden, 0, forge.Person},
		{http.StatusNotFound, 0, forge.Person},
		{http.StatusConflict, 0, forge.Wait},
		{http.StatusUnprocessableEntity, 0, forge.Bug},
		{http.StatusLocked, 0, forge.Wait},
		{http.StatusTooManyRequests, 7, forge.Wait},
		{http.StatusInternalServerError, 0, forge.Wait},
		{http.StatusBadGateway, 0, forge.Wait},
		{http.StatusServiceUnavailable, 9, forge.Wait},
	} {
		ask := map[string]func() error{
			"GET": func() error { _, err := p.repo.PullRequest(t.Context(), p.number); return err },
		}
		if c.status < http.StatusInternalServerError { // else it is not known what a write did
			ask["POST"] = func() error { _, err := p.repo.CreateComment(t.Context(), p.number, "not to be seen"); return err }
		}
		for method, call := range ask {
			faults.Fail(1, method, "", c.status, c.seconds, false)
			failed := isCallError(t, p.site, call(), c.status, c.want)
			if want := time.Duration(c.seconds) * time.Second; failed.RetryAfter > want || c.seconds > 0 && failed.RetryAfter < want-2*time.Second {
				t.Errorf("%s %d: come back after %s, want %s", method, c.status, failed.RetryAfter, want)
			}
			if isMissing := errors.Is(failed, forge.ErrNotFound); isMissing != (c.status == http.StatusNotFound) {
				t.Errorf("%s %d: not found is %t", method, c.status, isMissing)
			}
			if errors.Is(failed, forge.ErrUnknownOutcome) {
				t.Errorf("%s %d: the outcome is known: %v", method, c.status, failed)
			}
		}
	}
	if said := p.site.Comments(t, p.number); len(said) != 0 {
		t.Errorf("refused comments were written: %+v", said)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.repo.OpenPullRequests(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was called off: %v", err)
	}
}

func checkLostAnswers(t *testing.T, w World) {
	p, faults := faulty(t, w)
	faults.Calls()
	faults.Fail(1, http.MethodPost, "", 0, 0, true)
	_, err := p.repo.CreateComment(t.Context(), p.number, "once")
	isCallError(t, p.site, err, 0, forge.Wait)
	if !errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("the answer to a write was lost: %v", err)
	}
	if n := faults.Calls()[http.MethodPost]; n != 1 {
		t.Errorf("the comment was sent %d times", n)
	}
	await(t, "look at the comments", func(context.Context) error {
		if said := p.site.Comments(t, p.number); len(said) != 1 || said[0].Body != "once" {
			return fmt.Errorf("there are %+v, want the one that was written", said)
		}
		return nil
	})
	for _, status := range []int{http.StatusInternalServerError, http.StatusBadGateway} {
		faults.Fail(1, http.MethodPost, "", status, 0, false)
		_, err := p.repo.CreateComment(t.Context(), p.number, "twice")
		isCallError(t, p.site, err, status, forge.Wait)
		if !errors.Is(err, forge.ErrUnknownOutcome) {
			t.Errorf("a write was answered with %d: %v", status, err)
		}
	}
	// net/http itself reads again after each connection that it had used before.
	faults.Fail(10, http.MethodGet, "", 0, 0, true)
	_, err = p.repo.PullRequest(t.Context(), p.number)
	isCallError(t, p.site, err, 0, forge.Wait)
	if errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("a read has no outcome: %v", err)
	}
	await(t, "use up the faults", func(ctx context.Context) error {
		_, err := p.repo.PullRequest(ctx, p.number)
		return err
	})
}

func checkRevoked(t *testing.T, w World) {
	p, _ := faulty(t, w)
	token := p.site.Token(Reeve)
	p.site.Revoke(t, Reeve)
	await(t, "use the revoked token", func(ctx context.Context) error {
		if _, err := p.repo.PullRequest(ctx, p.number); err != nil {
			isCallError(t, p.site, err, http.StatusUnauthorized, forge.Person)
			if strings.Contains(err.Error(), token) {
				t.Errorf("the error tells the token: %v", err)
			}
			return nil
		}
		return errors.New("it still works")
	})
}
