package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
)

// How long a forge is left alone that refused a long text: a moment when it was in
// trouble, longer when somebody must give the right to write one.
const (
	longTextSoon  = 10 * time.Second
	longTextLater = 10 * time.Minute
)

// longText puts what the living comment has no room for beside the commit, where the
// forge has a place for that, and returns its page; "" when it stands nowhere. The
// comment does not wait for it: it says then how all of it can be seen otherwise.
func (s *sitting) longText(ctx context.Context, view comment.Pull, l comment.Limits) (page string, err error) {
	place, is := s.f.Forge.(forge.LongTexts)
	if !is {
		return "", nil
	}
	text := comment.Rest(view, l, place.LongTextBytes())
	was, digest := s.p.Long, short(text)
	switch {
	case was.Commit == view.Head && was.Digest == digest:
		if text == "" {
			return "", nil
		}
		return was.URL, nil
	case !settled(view):
		return "", nil
	}
	if wait := s.f.longTextFrom().Sub(s.now()); wait > 0 {
		s.again(wait)
		return "", nil
	}
	shown := text
	if text == "" { // of a round whose plans were longer
		shown = "Nothing is left out of the comment on the pull request any more.\n"
	}
	url, err := place.LongText(ctx, view.Head, fmt.Sprintf("reeve: pull request %d in full", s.key.Number), shown)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, errors.ErrUnsupported):
		return "", nil
	case err != nil:
		s.refusedLongText(err)
		return "", nil
	}
	s.l.metrics.writes.WithLabelValues("long-text").Inc()
	s.p.Long = pull.Long{Commit: view.Head, Digest: digest, URL: url}
	if err := s.save(ctx); err != nil || text == "" {
		return "", err
	}
	return url, nil
}

// refusedLongText has it tried again after a while, for every pull request.
func (s *sitting) refusedLongText(err error) {
	wait := longTextSoon
	var ce *forge.CallError
	if errors.As(err, &ce) {
		wait = max(wait, ce.RetryAfter)
		if ce.Class == forge.Person {
			wait = longTextLater
		}
	}
	s.f.mu.Lock()
	s.f.noLong = s.now().Add(wait)
	s.f.mu.Unlock()
	s.l.log.Warn("a text that is too long for a comment was not written; the comment says how to see it", "pull", s.key.String(), "error", err)
	s.again(wait)
}

// longTextFrom is from when on long texts are written.
func (f *followed) longTextFrom() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noLong
}
