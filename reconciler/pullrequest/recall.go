package pullrequest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// announce writes down which plans are about to stand in the living comment, when they
// are others than those that stand there. People can answer a comment before its writer
// hears that it was written: a daemon that is killed in between reads with this what they
// had before them (recall).
func (s *sitting) announce(ctx context.Context, body string, pic picture, plans []pull.ShownPlan) error {
	if !s.isNews(plans) {
		return nil
	}
	s.p.Showing = &pull.Showing{Body: short(plain(body)), Shown: pull.Shown{At: startsSince(pic), Round: s.p.Round.Number, Head: s.p.Round.Head, Plans: plans}}
	return s.save(ctx)
}

// isNews tells whether plans are others than those that were shown last. That nothing is
// planned because somebody must let it run is news too: that it stood there is what lets
// it run.
func (s *sitting) isNews(plans []pull.ShownPlan) bool {
	n := len(s.p.Shown)
	if s.p.Proposal.Closed {
		return false // nothing there is to be answered, and what stood there is forgotten
	}
	if n == 0 {
		return len(plans) > 0 || s.p.Round.Refused.Code == stackjob.ReasonUntrusted
	}
	return !slices.Equal(s.p.Shown[n-1].Plans, plans) || s.p.Shown[n-1].Head != s.p.Round.Head
}

// recall finds out whether an announced body came to stand in the pull request, before
// anything is taken for an answer to it.
func (s *sitting) recall(ctx context.Context) error {
	next := s.p.Showing
	if next == nil {
		return nil
	}
	id := ""
	if at := s.post(planPost); at >= 0 {
		id = s.p.Posts[at].ID
	}
	if id == "" {
		var err error
		if id, err = s.search(ctx, planPost); err != nil {
			return err
		}
	}
	if id != "" {
		c, err := s.f.Forge.Comment(ctx, s.key.Number, id)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			return err
		}
		if err == nil && short(plain(c.Body)) == next.Body {
			s.remember(next.Shown, c)
		}
	}
	s.p.Showing = nil
	return s.save(ctx)
}

// remember adds what stands in the pull request since a comment was written or edited.
func (s *sitting) remember(shown pull.Shown, c forge.Comment) {
	for _, at := range []time.Time{c.CreatedAt, c.EditedAt, s.p.ClosedAt} {
		if at.After(shown.At) {
			shown.At = at
		}
	}
	s.p.Shown = append(s.p.Shown, shown)
	s.p.Shown = s.p.Shown[max(0, len(s.p.Shown)-keptShown):]
}
