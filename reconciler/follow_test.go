package reconciler

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// askedSource is a source that says when it is asked and answers when it is told to.
type askedSource struct {
	gitsource.Source
	asked  chan struct{}
	answer chan error
}

func (s askedSource) Name() string { return "config" }

func (s askedSource) Poll(ctx context.Context) (gitsource.Revision, bool, error) {
	select {
	case s.asked <- struct{}{}:
	case <-ctx.Done():
		return gitsource.Revision{}, false, ctx.Err()
	}
	select {
	case err := <-s.answer:
		return gitsource.Revision{}, false, err
	case <-ctx.Done():
		return gitsource.Revision{}, false, ctx.Err()
	}
}

func (s askedSource) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// following follows a source, and returns its repository with what ends that.
func following(t *testing.T, s gitsource.Source) (r *Reconciler, repo *repository, leave func()) {
	t.Helper()
	r = New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	r.Follow(RepositoryOptions{Source: s, PollInterval: time.Hour})
	repo = r.repository("config")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(repo.done); r.follow(ctx, repo) }()
	leave = func() { cancel(); <-repo.done }
	t.Cleanup(leave)
	return r, repo, leave
}

// polls calls Poll and returns when that waits for a look.
func polls(t *testing.T, r *Reconciler, repo *repository) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- r.Poll(t.Context(), "config") }()
	for {
		repo.waitMu.Lock()
		waits := len(repo.waiters) > 0
		repo.waitMu.Unlock()
		if waits {
			return ended
		}
		select {
		case err := <-ended:
			t.Fatalf("it waited for no look: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// What a caller has just pushed is not known to a look that had asked before.
func TestWhoPollsDuringALookWaitsForTheNext(t *testing.T) {
	t.Parallel()
	s := askedSource{asked: make(chan struct{}), answer: make(chan error)}
	r, repo, _ := following(t, s)
	<-s.asked
	ended := polls(t, r, repo)
	s.answer <- errors.New("the look that was under way")
	<-s.asked
	select {
	case err := <-ended:
		t.Fatalf("answered by %v", err)
	default:
	}
	next := errors.New("the look that began after")
	s.answer <- next
	if err := <-ended; !errors.Is(err, next) {
		t.Errorf("answered by %v", err)
	}
}

func TestWhoPollsARepositoryThatIsLeftIsTold(t *testing.T) {
	t.Parallel()
	s := askedSource{asked: make(chan struct{}), answer: make(chan error)}
	r, repo, leave := following(t, s)
	<-s.asked
	ended := polls(t, r, repo)
	leave()
	if err := <-ended; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("told %v", err)
	}
}
