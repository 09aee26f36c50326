package pullrequest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// early tells whether something that a pull request changes is applied before its merge.
func early(in picture) bool {
	return slices.ContainsFunc(in.rows, func(s subject) bool { return s.choice.ApplyBeforeMerge })
}

// underway tells that an apply goes on by itself: it waits for no person.
func underway(in picture) bool {
	return slices.ContainsFunc(in.rows, func(s subject) bool {
		return s.apply != nil && !s.apply.Ended() && (s.job == nil || !s.carries || !s.job.State.IsWaiting())
	})
}

// queued puts the place in the queue into a row that waits for its turn.
func queued(in picture, s subject, row *comment.Row) {
	if s.apply == nil || s.apply.Enqueued || s.apply.Ended() {
		return
	}
	if place := in.turns.Place(row.Key, in.pull.Key); place > 0 {
		holder, _ := in.turns.Holder(row.Key)
		row.Queued = place
		row.Detail = stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: holder.String()}.String()
	}
}

// turnBlocks say which stacks other pull requests hold, and who went past approvals.
func turnBlocks(in picture) []comment.Block {
	if in.pull.Proposal.Closed {
		return nil
	}
	var order []pull.Key
	by := map[pull.Key][]schema.ResourceKey{}
	for _, s := range in.rows {
		holder, held := in.turns.Holder(s.row.Key)
		if !held || holder == in.pull.Key {
			continue
		}
		if by[holder] == nil {
			order = append(order, holder)
		}
		by[holder] = append(by[holder], s.row.Key)
	}
	var out []comment.Block
	for _, s := range in.rows {
		if s.job == nil || s.job.Plan == nil || !changes(s.job.Plan) {
			continue
		}
		if t := flowcontrol.Count(s.probe(), *s.job.Plan, s.choice); t.Overridden != "" {
			out = append(out, comment.Block{Cleared: true, What: s.row.Key.String() + " goes past the approvals of its policy, by " + t.Overridden})
		}
	}
	for _, h := range order {
		out = append(out, comment.Block{What: fmt.Sprintf("held for pull request %d until it is merged: %s", h.Number, namesOf(by[h])),
			Who: "whoever merges or closes that one, or writes reeve unlock there"})
	}
	return out
}

// turnCommands are the commands about turns that are valid now.
func turnCommands(in picture, p comment.Pull) []string {
	var out []string
	if in.pull.Proposal.Merged || in.pull.Proposal.Closed || p.Refused != "" {
		return nil
	}
	for i, s := range in.rows {
		row := p.Rows[i]
		ready := row.State == comment.RowApproved || row.State == comment.RowPlanned
		if ready && p.State != comment.Planning && s.choice.ApplyBeforeMerge && !s.carries && in.missing(s, nil) == "" {
			out = append(out, "reeve apply "+row.Key.Env)
		}
	}
	for _, t := range in.turns {
		busy := slices.ContainsFunc(in.rows, func(s subject) bool {
			return s.row.Key == t.Stack && s.carries && s.job.State == stackjob.Applying
		})
		if t.Pull == in.pull.Key && !busy {
			out = append(out, "reeve unlock "+t.Stack.Env)
		}
	}
	return out
}

// statusesOf are the statuses of a picture. Before the merge "reeve/plan" and
// "reeve/approval" are of the plans, whatever is being applied, and "reeve/apply" is of
// what is applied before the merge alone: what waits for the merge would hang.
func statusesOf(in picture, view comment.Pull) comment.Statuses {
	st := comment.Status(view)
	if in.pull.Proposal.Merged {
		return st
	}
	plans, applies := view, view
	plans.Rows, applies.Rows = slices.Clone(view.Rows), nil
	for i, s := range in.rows {
		if s.apply != nil && view.Rows[i].State != comment.RowWaiting {
			plans.Rows[i].State = comment.RowApproved
		}
		if s.choice.ApplyBeforeMerge || s.apply != nil {
			applies.Rows = append(applies.Rows, view.Rows[i])
		}
	}
	if view.State == comment.Applying {
		plans.State = comment.Approved
	}
	of := comment.Status(plans)
	return comment.Statuses{Plan: of.Plan, Approval: of.Approval, Apply: comment.Status(applies).Apply}
}

// turnNotices tell how applies before the merge ended, which plan waits for a person
// because it is another, and what a close leaves behind.
func (s *sitting) turnNotices(ctx context.Context, pic picture, view comment.Pull, l comment.Limits) error {
	var ended, waits []string
	for _, row := range pic.rows {
		if row.apply == nil || !row.carries {
			continue
		}
		id := string(row.job.ID) + string(row.job.State)
		switch {
		case row.job.State.IsWaiting():
			waits = append(waits, id+digestOf(row.job))
		case row.job.State.IsFinal():
			ended = append(ended, id)
		}
	}
	post := func(name string, text func(comment.Pull, comment.Limits) comment.Text) error {
		v := view
		v.Mark = mark(s.key, name)
		return s.once(ctx, name, text(v, l).Body)
	}
	switch {
	case len(s.p.Freed) > 0 && s.p.Proposal.Closed:
		name := "closed-" + short(namesOf(s.p.Freed)+strings.Join(ended, " "))
		view.Blocks = []comment.Block{{What: s.differs(s.p.Freed), Who: "nobody needs to, unless that plan waits for an approval"}}
		if err := post(name, comment.Outcome); err != nil {
			return err
		}
		s.p.Freed = nil
		return s.save(ctx)
	case s.p.Phase != pull.Open || s.p.Proposal.Closed:
		return nil
	case len(waits) > 0 && view.State == comment.Waiting:
		return post("waits-"+short(strings.Join(waits, " ")), comment.NeedsYou)
	case len(ended) > 0 && !underway(pic) && settled(view):
		return post("outcome-"+short(strings.Join(ended, " ")), comment.Outcome)
	}
	return nil
}
