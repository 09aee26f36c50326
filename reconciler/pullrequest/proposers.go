package pullrequest

import (
	"context"
	"fmt"

	"github.com/stackreeve/stackreeve/reconciler/access"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// IsOwn tells whether somebody who answers a job, wherever that is, proposed what the job
// carries out: in any of the pull requests that are not yet done with.
func (l *Loop) IsOwn(ctx context.Context, job stackjob.Job, by stackjob.Actor) (bool, error) {
	view := l.o.Planner.View(job.Desired.Repository)
	if view == nil {
		return false, nil // nothing is judged either
	}
	authors, err := l.proposers(ctx, job, pull.Key{})
	if err != nil {
		return false, fmt.Errorf("find out who proposed what job %s does: %w", job.ID, err)
	}
	key := job.Desired.Key
	return access.Case{Tree: view.Tree, Org: key.Org, Choice: flowcontrol.Choose(view.Tree.Policies(), key), Authors: authors}.OwnProposal(by), nil
}

// proposers are who proposed what a job carries out, but for those of one pull request:
// several may have been merged one after another that the same job stands for.
func (l *Loop) proposers(ctx context.Context, job stackjob.Job, but pull.Key) ([]access.Author, error) {
	f := l.repository(job.Desired.Repository)
	if f == nil {
		return nil, nil
	}
	list, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: f.Name, Unfinished: true, Limit: 10000})
	if err != nil {
		return nil, err
	}
	var out []access.Author
	for _, p := range list {
		if p.Key == but || !carriedBy(p, job) {
			continue
		}
		s := &sitting{l: l, f: f, key: p.Key, p: p}
		authors, err := s.authors(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, authors...)
	}
	return out, nil
}

// carriedBy tells whether a job carries out what a pull request proposes.
func carriedBy(p pull.Pull, job stackjob.Job) bool {
	if job.Pull != "" {
		return p.Key.String() == job.Pull
	}
	row := p.Round.Row(job.Desired.Key)
	return p.Phase == pull.Landing && row != nil && !row.Unchanged
}
