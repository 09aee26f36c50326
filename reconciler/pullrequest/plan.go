package pullrequest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// soon is when to look again at what is not there yet.
const soon = time.Second

// mergesWithin is how long a forge may take to say that it has merged what is in the
// base already.
const mergesWithin = time.Minute

// The bounds of the pause before a forge is asked again that tells of a head whose ref is
// not there yet.
const (
	catchesUp = 100 * time.Millisecond
	givesUp   = 30 * time.Second
)

// plan makes a round of plans when the head or the base is another than that of the
// newest round, or when the plans of that round can no longer be carried on.
func (s *sitting) plan(ctx context.Context) error {
	if s.p.Phase != pull.Open || s.p.Proposal.Closed {
		return nil
	}
	view := s.l.o.Planner.View(s.key.Repository)
	if view == nil {
		s.again(soon) // the followed branch was not read yet
		return nil
	}
	r := s.p.Round
	since, err := s.appliedSince(ctx)
	if err != nil {
		return err
	}
	if since {
		r.Stale = true
	}
	due, err := s.isDue(ctx, view)
	if err != nil || !due {
		return err
	}
	again := r != nil && r.Head == s.p.Proposal.Head && r.Base == view.Revision.Commit && r.Refused.IsZero() && !r.Stale
	_, err = s.round(ctx, view, again, false)
	return err
}

// isDue tells whether there must be a round.
func (s *sitting) isDue(ctx context.Context, view *reconciler.View) (bool, error) {
	r := s.p.Round
	if r == nil || r.Head != s.p.Proposal.Head {
		return true, nil
	}
	if r.Refused.Code == stackjob.ReasonUntrusted {
		return s.trusted(ctx)
	}
	if r.Base != view.Revision.Commit {
		// The merge fetches, and may have met a base that the view has still to reach.
		newer, err := s.f.Merges.Contains(ctx, r.Base, view.Revision.Commit)
		if err != nil || !newer {
			return err == nil, err
		}
	}
	if s.mayMergeNow() {
		return true, nil
	}
	if r.Stale {
		return true, nil
	}
	open, given, err := s.plans(ctx)
	if err != nil {
		return false, err
	}
	return given || (open || s.applying() && r.Refused.IsZero()) && !s.l.o.Planner.Proposed(s.key), nil
}

// appliedSince tells whether something was applied to a stack of the newest round since
// it was planned, by the branch or from another pull request: its plan is of what is no
// longer there. What is applied from here has its own way to tell (carry).
func (s *sitting) appliedSince(ctx context.Context) (bool, error) {
	r := s.p.Round
	if r == nil || !r.Refused.IsZero() || s.applying() {
		return false, nil
	}
	for _, row := range r.Rows {
		if row.Unchanged || !row.Error.IsZero() {
			continue
		}
		st, err := s.l.o.Records.Stack(ctx, row.Key)
		if err != nil {
			return false, err
		}
		var now stackjob.JobID
		if st.Observed != nil {
			now = st.Observed.JobID
		}
		if now != row.Observed {
			return true, nil
		}
	}
	return false, nil
}

// plans tells whether plans of the newest round are still being made, and whether some
// were given up that are wanted: the pull request was closed, and reopened before the
// engine had stopped.
func (s *sitting) plans(ctx context.Context) (open, givenUp bool, err error) {
	for _, row := range s.p.Round.Rows {
		if row.Job == "" {
			continue
		}
		job, err := s.l.o.Records.Job(ctx, row.Job)
		if errors.Is(err, store.ErrNotFound) {
			continue // it ended long ago
		}
		if err != nil {
			return false, false, err
		}
		open = open || !job.State.IsFinal()
		givenUp = givenUp || job.State == stackjob.Cancelled && job.CancelledBy != nil && *job.CancelledBy == stackjob.System
	}
	return open, givenUp, nil
}

// trusted tells whether the code of the head may run: its author may write to the
// repository, or somebody who may has said so for this very head.
func (s *sitting) trusted(ctx context.Context) (bool, error) {
	if a := s.p.Allowed; a != nil && a.Head == s.p.Proposal.Head {
		return true, nil
	}
	if s.p.Proposal.Fork {
		return false, nil
	}
	return s.f.rights.writes(ctx, s.p.Proposal.Author)
}

// Stranger says why the code of a head does not run without a word; "" when it does.
// writes tells whether its author may write to the repository.
func Stranger(p pull.Proposal, writes bool) string {
	var why []string
	if p.Fork {
		why = append(why, "it comes from a fork")
	}
	if !writes {
		why = append(why, p.Author+" may not write to the repository")
	}
	return strings.Join(why, ", and ")
}

// round makes a round. again carries the plans of the newest one on; fresh takes no
// plan over. It is not made while the head cannot be had, and then it is tried again.
func (s *sitting) round(ctx context.Context, view *reconciler.View, again, fresh bool) (made bool, err error) {
	before, number := s.p.Round, 1
	if before != nil {
		number = before.Number + 1
		if again {
			number = before.Number
		}
	}
	head := s.p.Proposal.Head
	refuse := func(r pull.Round) (bool, error) {
		r.Number, r.Head, r.StartedAt = number, head, s.now()
		if err := s.abandonRound(ctx); err != nil {
			return false, err
		}
		s.p.Round = &r
		return true, s.save(ctx)
	}
	ok, err := s.trusted(ctx)
	if err != nil {
		return false, err
	}
	m, err := s.merge(ctx)
	if errors.Is(err, gitsource.ErrHeadMoved) || errors.Is(err, gitsource.ErrNoHead) {
		// The forge will say which head is the newest, or bring its ref up to date: soon,
		// when it has just told of the head; the longer it has not, the later.
		s.l.askSoon(s.key, min(max(s.now().Sub(s.p.Proposal.UpdatedAt), catchesUp), givesUp))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !ok {
		r, err := s.strange(ctx, m, number)
		if err != nil {
			return false, err
		}
		return refuse(r)
	}
	if m.Refused != "" {
		return refuse(pull.Round{Base: m.Base.Commit, Conflicts: m.Conflicts, Refused: stackjob.Reason{Code: stackjob.ReasonConflict, Detail: m.Refused}})
	}
	if m.Revision.Commit == m.Base.Commit && before != nil && before.Head == head && len(before.Rows) > 0 {
		// The head is in the base: somebody merges it at this moment, and the forge will
		// say so. What was planned for it is what is carried out.
		if s.p.ContainedSince.IsZero() {
			s.p.ContainedSince = s.now()
			if err := s.save(ctx); err != nil {
				return false, err
			}
		}
		if s.now().Sub(s.p.ContainedSince) < mergesWithin {
			s.l.askSoon(s.key, soon)
			return false, nil
		}
	}
	s.p.ContainedSince = time.Time{}
	m.Base.Repository, m.Revision.Repository = s.key.Repository, s.key.Repository
	r, err := s.l.o.Planner.Propose(ctx, reconciler.Proposal{Key: s.key, Base: m.Base, Merge: m.Revision, Round: number, Before: before, Fresh: fresh})
	if errors.Is(err, gitsource.ErrMalformed) {
		s.l.log.Warn("a head cannot be read", "pull", s.key.String(), "error", err)
		return refuse(pull.Round{Base: m.Base.Commit, Refused: stackjob.Reason{Code: stackjob.ReasonConflict, Detail: gitsource.ErrMalformed.Error()}})
	}
	if err != nil {
		return false, err
	}
	r.Head, s.proposed = head, true
	if again {
		r.StartedAt = before.StartedAt
	}
	if before != nil { // they say of which commits they are
		r.Authors, r.AuthorsOf = before.Authors, before.AuthorsOf
	}
	s.p.Round = &r
	return true, s.save(ctx)
}

// strange is the round of a head whose code does not run by itself: empty where merging it
// changes nothing, since then there is no code to run, and else refused.
func (s *sitting) strange(ctx context.Context, m gitsource.Merge, number int) (pull.Round, error) {
	if m.Refused == "" {
		m.Base.Repository, m.Revision.Repository = s.key.Repository, s.key.Repository
		r, untouched, err := s.l.o.Planner.Untouched(ctx, reconciler.Proposal{Key: s.key, Base: m.Base, Merge: m.Revision, Round: number})
		if err != nil && !errors.Is(err, gitsource.ErrMalformed) {
			return r, err
		}
		if err == nil && untouched {
			return r, nil
		}
	}
	writes, err := s.f.rights.writes(ctx, s.p.Proposal.Author)
	return pull.Round{Base: m.Base.Commit, Refused: stackjob.Reason{Code: stackjob.ReasonUntrusted, Detail: Stranger(s.p.Proposal, writes)}}, err
}

func (s *sitting) abandonRound(ctx context.Context) error {
	if s.p.Round == nil {
		return nil
	}
	for _, row := range s.p.Round.Rows {
		if row.Job == "" {
			continue
		}
		if err := s.l.o.Planner.Abandon(ctx, row.Job); err != nil {
			return err
		}
	}
	return nil
}
