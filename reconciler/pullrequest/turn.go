package pullrequest

import (
	"context"
	"errors"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// ending stops the applies that have applied nothing yet and tells whether others are
// still at work.
func (s *sitting) ending(ctx context.Context) (busy bool, err error) {
	moved := false
	for _, a := range s.open() {
		if !a.Enqueued {
			a.Result, a.Reason = stackjob.Superseded, stackjob.Reason{Code: stackjob.ReasonTurnEnded, Detail: s.key.String()}
			moved = true
			continue
		}
		job, err := s.l.o.Records.Job(ctx, a.Job)
		if err == nil && !job.State.IsFinal() && job.State != stackjob.Applying && job.CancelledBy == nil {
			job, err = s.stop(ctx, a.Job)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if err == nil && !job.State.IsFinal() {
			busy = true
			continue
		}
		if _, err := s.follow(ctx, a); err != nil {
			return false, err
		}
		moved = true
	}
	if moved {
		return busy, s.save(ctx)
	}
	return busy, nil
}

// touched are the stacks that were applied from here and whose turn is still ours.
func (s *sitting) touched(stacks []schema.ResourceKey) []schema.ResourceKey {
	return slices.DeleteFunc(slices.Clone(stacks), func(k schema.ResourceKey) bool {
		return !slices.ContainsFunc(s.p.Applies, func(a pull.Apply) bool { return a.Stack == k && a.Touched() })
	})
}

// giveUntouched gives the turn of a stack back to which nothing was applied.
func (s *sitting) giveUntouched(ctx context.Context, stack schema.ResourceKey) error {
	for _, a := range s.p.Applies {
		if a.Stack == stack && a.Touched() {
			return nil
		}
	}
	return s.give(ctx, stack)
}

// give ends the turns of stacks, or all, and has the next in each queue looked at.
func (s *sitting) give(ctx context.Context, stacks ...schema.ResourceKey) error {
	ended, err := s.l.o.Records.EndTurns(ctx, s.key, stacks...)
	if err != nil || len(ended) == 0 {
		return err
	}
	turns, err := s.l.o.Records.Turns(ctx)
	if err != nil {
		return err
	}
	for _, k := range ended {
		if next, is := turns.Holder(k); is {
			s.l.schedule(next, func(*task) {})
		}
	}
	s.l.o.Planner.CompareAgain(s.key.Repository)
	return nil
}

// release ends everything that a pull request holds with which nothing more is done.
func (s *sitting) release(ctx context.Context) error {
	if len(s.p.Applies) == 0 {
		return nil
	}
	if _, err := s.ending(ctx); err != nil {
		return err
	}
	return s.give(ctx)
}

// closed is what a close without a merge leads to: what is held is given back, and what
// was applied is told, because the branch wants it otherwise.
func (s *sitting) closed(ctx context.Context) error {
	if len(s.p.Applies) == 0 {
		return nil
	}
	if busy, err := s.ending(ctx); err != nil || busy {
		return err
	}
	turns, err := s.l.o.Records.Turns(ctx)
	if err != nil {
		return err
	}
	var held []schema.ResourceKey
	for _, t := range turns {
		if holder, _ := turns.Holder(t.Stack); t.Pull == s.key && holder == s.key {
			held = append(held, t.Stack)
		}
	}
	// Before the turns end: a daemon that is killed in between tells it twice to itself
	// and once to people.
	if freed := s.touched(held); len(freed) > 0 {
		s.p.Freed = freed
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	return s.give(ctx)
}

// unlock gives turns back that a pull request holds or waits for. What it applied stays
// until the branch's own plan for the stack is made and approved: also where no policy
// asks for that, since nobody has seen what it takes back.
func (s *sitting) unlock(ctx context.Context, cmd command.Command) (reply, error) {
	turns, err := s.l.o.Records.Turns(ctx)
	if err != nil {
		return reply{}, err
	}
	var stacks []schema.ResourceKey
	for _, t := range turns {
		all := cmd.All || len(cmd.Selectors) == 0
		if t.Pull == s.key && (all || slices.ContainsFunc(cmd.Selectors, func(sel command.Selector) bool { return sel.Matches(t.Stack) })) {
			stacks = append(stacks, t.Stack)
		}
	}
	if len(stacks) == 0 {
		return no("this pull request holds no turn of what you chose"), nil
	}
	for _, a := range s.open() {
		if !slices.Contains(stacks, a.Stack) {
			continue
		}
		if a.Enqueued {
			job, err := s.l.o.Records.Job(ctx, a.Job)
			if err == nil && job.State == stackjob.Applying {
				return no("%s is being applied; `reeve cancel` stops it", a.Stack), nil
			}
			if err == nil && !job.State.IsFinal() {
				if _, err := s.stop(ctx, a.Job); err != nil {
					return reply{}, err
				}
			}
		}
		a.Result, a.Reason = stackjob.Superseded, stackjob.Reason{Code: stackjob.ReasonTurnEnded, Detail: s.key.String()}
	}
	touched := s.touched(stacks)
	for i := range s.p.Applies { // what comes next is planned against whatever the branch makes of it
		if slices.Contains(stacks, s.p.Applies[i].Stack) {
			s.p.Applies[i].Over = true
		}
	}
	if err := s.give(ctx, stacks...); err != nil {
		return reply{}, err
	}
	if s.p.Round != nil {
		s.p.Round.Stale = true
	}
	r := reply{answer: pull.Yes, reason: "given back: " + namesOf(stacks)}
	if len(touched) > 0 {
		r.reason = "given back, also what was applied from here: that is not as " + s.into() +
			" wants it; the branch's own plan, which takes it back, is made now, and waits for a person whatever the policy says"
		r.text = "given back: " + namesOf(stacks) + "\napplied from here: " + namesOf(touched)
	}
	return r, nil
}

func namesOf(keys []schema.ResourceKey) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.String())
	}
	return listed(out)
}

// differs says what becomes of stacks that were applied from a pull request and are no
// longer held for it.
func (s *sitting) differs(stacks []schema.ResourceKey) string {
	return namesOf(stacks) + " was applied from this pull request and is not as " + s.into() +
		" wants it; the branch's own plan, which takes that back, is made now, and waits for a person whatever the policy says"
}

// into is the branch that what is applied is compared with.
func (s *sitting) into() string {
	if view := s.l.o.Planner.View(s.key.Repository); view != nil && view.Revision.Branch != "" {
		return view.Revision.Branch
	}
	return s.p.Proposal.BaseBranch
}

// withdraw ends an apply that waits for its turn.
func (s *sitting) withdraw(ctx context.Context, stack schema.ResourceKey) (bool, error) {
	a := s.p.ApplyOf(stack)
	if a == nil || a.Ended() || a.Enqueued {
		return false, nil
	}
	a.Result, a.Reason = stackjob.Superseded, stackjob.Reason{Code: stackjob.ReasonCancelled}
	return true, s.giveUntouched(ctx, stack)
}
