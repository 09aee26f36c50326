package desk

import (
	"context"
	"fmt"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// Pulls lists the pull requests and how each stands: what its comment says, in few words.
func (d *Desk) Pulls(ctx context.Context, f api.PullFilter) ([]api.PullStatus, error) {
	out := []api.PullStatus{}
	if d.o.Pulls == nil {
		return out, nil
	}
	list, err := d.o.Pulls(ctx, store.PullQuery{Repository: f.Repository, Unfinished: !f.All, Limit: f.Limit})
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		view, err := d.o.Standing(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("pull request %s: %w", p.Key, err)
		}
		out = append(out, pullStatus(p, view))
	}
	return out, nil
}

func pullStatus(p pull.Pull, view comment.Pull) api.PullStatus {
	s := api.PullStatus{Repository: p.Key.Repository, Number: p.Key.Number, Title: p.Proposal.Title, URL: p.Proposal.URL, Author: p.Proposal.Author,
		State: string(view.State), Head: view.Head, Base: view.Base, Resources: len(view.Rows), UpdatedAt: p.UpdatedAt}
	var plans []*stackjob.Plan
	for _, row := range view.Rows {
		if row.Plan != nil {
			s.Changes = s.Changes.Plus(row.Plan.Counts)
			plans = append(plans, row.Plan)
		}
	}
	s.Brief = stackjob.BriefOf(plans)
	for _, b := range view.Blocks {
		if !b.Cleared {
			s.WaitsFor = append(s.WaitsFor, api.PullBlock{What: b.What, Who: b.Who})
		}
	}
	return s
}
