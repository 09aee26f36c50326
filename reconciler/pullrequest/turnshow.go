package pullrequest

import (
	"fmt"
	"slices"

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

// underway tells that an apply goes on by itself: it waits for no person, and neither
// does what goes before it. rows are those of the picture.
func underway(in picture, rows []comment.Row) bool {
	held := stuck(rows)
	return slices.ContainsFunc(in.rows, func(s subject) bool {
		return s.apply != nil && !s.apply.Ended() && (s.job == nil || !s.carries || !s.job.State.IsWaiting()) && !held[s.row.Key]
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
