package pullrequest

import (
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/schema"
)

// onTheirWay are the states of rows that are being carried out, or are about to be.
var onTheirWay = []comment.RowState{
	comment.RowApplying, comment.RowQueued, comment.RowPlanning, comment.RowApproved, comment.RowDeferred,
}

// moves tells whether a row goes on by itself. A row behind one that waits for a person,
// or that did not succeed, does not, however long it is queued: who only looked at the
// queue would never tell anybody that somebody must act.
func moves(rows []comment.Row) bool {
	held := stuck(rows)
	return slices.ContainsFunc(rows, func(r comment.Row) bool {
		return slices.Contains(onTheirWay, r.State) && !held[r.Key]
	})
}

// planning tells whether a plan is still to come. Plans wait for nobody: only an apply
// that was asked for before the merge is queued behind what goes before it.
func planning(in picture, rows []comment.Row) bool {
	held := stuck(rows)
	for i, r := range rows {
		if (r.State == comment.RowQueued || r.State == comment.RowPlanning) && (!in.rows[i].carries || !held[r.Key]) {
			return true
		}
	}
	return false
}

// stuck are the rows that go no further before somebody acts on a row of the same pull
// request: that row itself, and all that comes after it.
func stuck(rows []comment.Row) map[schema.ResourceKey]bool {
	held := map[schema.ResourceKey]bool{}
	for moved := true; moved; {
		moved = false
		for _, r := range rows {
			if held[r.Key] {
				continue
			}
			switch r.State {
			case comment.RowWaiting, comment.RowFailed, comment.RowForbidden, comment.RowStopped:
			case comment.RowQueued, comment.RowDeferred:
				if !held[r.Deferred] && !slices.ContainsFunc(r.After, func(k schema.ResourceKey) bool { return held[k] }) {
					continue
				}
			default:
				continue
			}
			held[r.Key], moved = true, true
		}
	}
	return held
}
