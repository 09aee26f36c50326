package pullrequest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// land follows a merged pull request until all that it wanted is carried out.
func (s *sitting) land(ctx context.Context) error {
	if s.p.Phase != pull.Landing || s.p.Landed != "" {
		return nil
	}
	if s.p.Round != nil {
		if err := s.abandonRound(ctx); err != nil { // plans that nobody will need
			return err
		}
	}
	if busy, err := s.ending(ctx); err != nil || busy {
		return err // an engine is at work for it; its end tells
	}
	view := s.l.o.Planner.Compared(s.key.Repository)
	if view == nil || s.p.Proposal.MergeCommit == "" {
		s.again(landsIn(s.now().Sub(s.p.Proposal.UpdatedAt)))
		return nil
	}
	is := view.Revision.Commit == s.p.Proposal.MergeCommit
	if !is {
		var err error
		if is, err = s.f.Merges.Contains(ctx, view.Revision.Commit, s.p.Proposal.MergeCommit); err != nil {
			return err
		}
	}
	if !is {
		// The merge is not here yet: have it fetched.
		if err := s.l.o.Planner.Poll(ctx, s.key.Repository); err != nil {
			return err
		}
		s.again(landsIn(s.now().Sub(s.p.Proposal.UpdatedAt)))
		return nil
	}
	if len(s.p.Applies) > 0 {
		// What was applied from here is what the branch wants now. The comparison that
		// finds that must be over before anybody asks what is left to do.
		at := s.now()
		if err := s.give(ctx); err != nil {
			return err
		}
		if err := s.l.o.Planner.CompareNow(ctx, s.key.Repository); err != nil {
			return err
		}
		if view = s.l.o.Planner.Compared(s.key.Repository); view == nil {
			s.again(soon)
			return nil
		}
		return s.landed(ctx, view.Revision.Commit, at)
	}
	return s.landed(ctx, view.Revision.Commit, s.now())
}

// landed writes down that the followed branch was compared with the merge in it.
func (s *sitting) landed(ctx context.Context, commit string, at time.Time) error {
	s.p.Landed, s.p.LandedAt = commit, at
	if s.p.Round != nil && slices.ContainsFunc(s.p.Round.Rows, func(r pull.Row) bool { return !r.Unchanged }) {
		// Now, while the forge answers: what waits can then be approved by another door
		// though the forge is away.
		if _, err := s.authors(ctx); err != nil {
			s.l.log.Warn("who proposed a change is not known yet; whoever approves it has it asked again", "pull", s.key.String(), "error", err)
		}
	}
	return s.save(ctx)
}

// landsIn is when to look again for a merge that is not in the followed branch: soon at
// first; it may never come, as when somebody took it back by force.
func landsIn(since time.Duration) time.Duration { return min(max(since/8, soon), landsAtLast) }

// landsAtLast is how long it is at most between two looks for a merge.
const landsAtLast = 5 * time.Minute

// gather reads all that what stands in the pull request is made of.
func (s *sitting) gather(ctx context.Context) (picture, error) {
	pic := picture{pull: s.p, landed: s.p.Landed != "", expiry: s.l.o.Planner.Settings().ApprovalExpiry, page: s.l.o.Page}
	if s.p.Round == nil {
		return pic, nil
	}
	view := s.l.o.Planner.View(s.key.Repository)
	if view != nil {
		pic.followed = view.Revision.Branch
	}
	turns, err := s.l.o.Records.Turns(ctx)
	if err != nil {
		return pic, err
	}
	pic.turns = turns
	for _, row := range s.p.Round.Rows {
		sub := subject{row: row}
		if view != nil {
			sub.choice = flowcontrol.Choose(view.Tree.Policies(), row.Key)
		}
		if err := s.jobOf(ctx, &sub); err != nil {
			return pic, err
		}
		if sub.job != nil && sub.job.Plan != nil {
			said, err := s.l.o.Records.Approvals(ctx, row.Key, sub.job.Plan.Digest)
			if err != nil {
				return pic, err
			}
			for _, a := range said {
				if pic.expiry == 0 || s.now().Sub(a.At) <= pic.expiry {
					sub.said = append(sub.said, a)
				}
			}
		}
		pic.rows = append(pic.rows, sub)
	}
	s.awaiting(&pic, view)
	if err := s.voided(ctx, &pic); err != nil {
		return pic, err
	}
	for i := range pic.rows {
		sub := &pic.rows[i]
		if state, _ := sub.state(); state == comment.RowFailed && sub.job != nil {
			sub.log = s.l.o.LogTail(ctx, sub.job.ID)
		}
	}
	if s.p.Proposal.Elsewhere { // its plans are of a merge that nobody proposes any more
		pic.rows = slices.DeleteFunc(pic.rows, func(sub subject) bool { return !sub.carries })
	}
	if view != nil {
		pic.environments = environments(view.Tree, pic.rows)
	}
	return pic, nil
}

// jobOf finds the job of a row: the one that plans it, or after the merge the one that
// carries it out.
func (s *sitting) jobOf(ctx context.Context, sub *subject) error {
	if sub.row.Job != "" {
		job, err := s.l.o.Records.Job(ctx, sub.row.Job)
		switch {
		case err == nil:
			sub.job, sub.planned = &job, job.Plan
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	if s.p.Landed == "" {
		return s.applied(ctx, sub)
	}
	job, err := s.carrier(ctx, sub.row.Key)
	if err != nil {
		return err
	}
	if job == nil {
		if before, err := s.before(ctx, sub.row.Key); err != nil || before != nil {
			if before != nil {
				sub.job, sub.carries, sub.early, sub.planned, sub.row.Error = before, true, true, nil, stackjob.Reason{}
			}
			return err
		}
		if sub.row.Deferred == nil { // else its producer has yet to be applied
			sub.row.Unchanged, sub.job = true, nil
		}
		return nil
	}
	sub.job, sub.carries, sub.row.Error = job, true, stackjob.Reason{}
	return nil
}

// carrier finds the newest job that carries a row out: one of the commit that landed, or
// of a later one. nil means that nothing was needed.
func (s *sitting) carrier(ctx context.Context, key schema.ResourceKey) (*stackjob.Job, error) {
	jobs, err := s.l.o.Records.List(ctx, store.JobQuery{Org: key.Org, Env: key.Env, Kind: key.Kind, Name: key.Name, Limit: 20})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.Purpose != stackjob.Reconcile || j.Pull != "" || j.State == stackjob.Superseded {
			continue
		}
		// One that had not ended by then goes on with what it waits for, if the merge left
		// what it wants as it was: of what reads the output of a row it may be the job.
		over := !j.EndedAt.IsZero() && j.EndedAt.Before(s.p.LandedAt)
		if j.Desired.Commit != s.p.Landed && j.CreatedAt.Before(s.p.LandedAt) && over && j.Action == stackjob.Apply {
			return nil, nil // older than the merge
		}
		if j.Action == stackjob.Destroy && j.CreatedAt.Before(s.p.Round.StartedAt) {
			return nil, nil
		}
		full, err := s.l.o.Records.Job(ctx, j.ID)
		if err != nil {
			return nil, err
		}
		return &full, nil
	}
	return nil, nil
}
