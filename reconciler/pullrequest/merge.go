package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// merges is how many merges are made at once: each is a process that may read much.
const merges = 2

// mergedAgain is when a merge is tried again that failed for a reason of its own.
const mergedAgain = 5 * time.Minute

// merge merges the head into the followed branch. One that cannot be merged, because
// what it holds is malformed, is refused and not an error: it would fail the same way
// for ever, and only its author can help.
func (s *sitting) merge(ctx context.Context) (gitsource.Merge, error) {
	select {
	case s.l.merging <- struct{}{}:
		defer func() { <-s.l.merging }()
	case <-ctx.Done():
		return gitsource.Merge{}, ctx.Err()
	}
	m, err := s.f.Merges.Merge(ctx, gitsource.Head{Name: fmt.Sprint(s.key.Number), Ref: s.p.Proposal.HeadRef, Commit: s.p.Proposal.Head})
	var fe *gitsource.FetchError
	if err == nil || !errors.As(err, &fe) || fe.Class != gitsource.ClassPerson || errors.Is(err, gitsource.ErrNoProposals) {
		return m, err
	}
	// Is it this head, or all of the repository that cannot be had?
	if other := s.l.o.Planner.Poll(ctx, s.key.Repository); other != nil {
		return m, err
	}
	view := s.l.o.Planner.View(s.key.Repository)
	if view == nil {
		return m, err
	}
	s.l.log.Warn("a head cannot be merged", "pull", s.key.String(), "error", err)
	return gitsource.Merge{Base: view.Revision, Refused: "Git cannot read what is proposed"}, nil
}

// mayMergeNow tells whether a merge that failed for a reason of its own is to be tried
// again, and has the pull request looked at when it will be.
func (s *sitting) mayMergeNow() bool {
	r := s.p.Round
	if r.Refused.Code != stackjob.ReasonConflict || len(r.Conflicts) > 0 {
		return false
	}
	wait := mergedAgain - s.now().Sub(r.StartedAt)
	if wait > 0 {
		s.again(wait)
	}
	return wait <= 0
}

// moved has the pull requests of a repository looked at whose plans were made for
// another base than the one that is followed now, and those that were merged.
func (l *Loop) moved(ctx context.Context, repository string) error {
	view := l.o.Planner.View(repository)
	if view == nil {
		return nil
	}
	list, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: repository, Unfinished: true, Limit: 10000})
	if err != nil {
		return err
	}
	f := l.repository(repository)
	if f == nil {
		return nil
	}
	f.mu.Lock()
	news := f.seen != view.Revision.Commit
	f.seen = view.Revision.Commit
	f.mu.Unlock()
	for _, p := range list {
		if isAtRest(p) && !news {
			continue // what it is made of is what it was
		}
		if p.Phase == pull.Landing || p.Round != nil && p.Round.Base != view.Revision.Commit {
			l.schedule(p.Key, func(*task) {})
		}
	}
	return nil
}
