package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// approvedLast are the plans, by resource, that had all approvals when something of the
// resource was approved last.
func approvedLast(p pull.Pull) map[schema.ResourceKey]pull.ShownPlan {
	out := map[schema.ResourceKey]pull.ShownPlan{}
	for _, shown := range p.Shown {
		for _, sp := range shown.Plans {
			if sp.Approved {
				out[sp.Key] = sp
			}
		}
	}
	return out
}

// isVoid tells whether an approved plan is another than the one that a row has now, and
// that one did not pass its gate.
func (s subject) isVoid(was pull.ShownPlan) bool {
	if was.Digest == "" || s.job == nil || !changes(s.job.Plan) || s.job.Plan.Digest == was.Digest {
		return false
	}
	state, _ := s.state()
	return !slices.Contains([]comment.RowState{comment.RowApproved, comment.RowApplying, comment.RowApplied}, state)
}

// movedSince says of each row that was approved in another shape that this is so.
func movedSince(in picture) []string {
	approved := approvedLast(in.pull)
	var out []string
	for _, s := range in.rows {
		if was := approved[s.row.Key]; s.isVoid(was) {
			out = append(out, fmt.Sprintf("the plan of %s is another than the one that was approved: %s → %s",
				s.row.Key, stackjob.ShortDigest(was.Digest), s.job.Plan.ShortDigest()))
		}
	}
	return out
}

// voided finds the plan that was approved where another one stands there now, so that
// people see what moved. It may be forgotten: then its digest is all that is told.
func (s *sitting) voided(ctx context.Context, pic *picture) error {
	approved := approvedLast(s.p)
	for i := range pic.rows {
		sub := &pic.rows[i]
		was := approved[sub.row.Key]
		if sub.carries || !sub.isVoid(was) {
			continue // what carries a merge out is held against what stood there before it
		}
		job, err := s.l.o.Records.Job(ctx, was.Job)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && job.Plan != nil && job.Plan.Digest == was.Digest {
			sub.voided = job.Plan
		}
	}
	return nil
}
