package pullrequest

import (
	"context"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Standing derives what is to stand in a pull request from its record and all that is
// recorded besides. It asks no forge and writes nothing; of the options it uses Records,
// Planner, Now, Page and LogTail.
func Standing(ctx context.Context, o Options, p pull.Pull) (comment.Pull, error) {
	if o.Page == nil {
		o.Page = func(stackjob.JobID) string { return "" }
	}
	if o.LogTail == nil {
		o.LogTail = func(context.Context, stackjob.JobID) string { return "" }
	}
	s := sitting{l: &Loop{o: o}, key: p.Key, p: p}
	pic, err := s.gather(ctx)
	if err != nil {
		return comment.Pull{}, err
	}
	return derive(pic), nil
}

// Standing derives what is to stand in a pull request that this loop follows.
func (l *Loop) Standing(ctx context.Context, p pull.Pull) (comment.Pull, error) {
	return Standing(ctx, l.o, p)
}

// Render is the living comment as it is to stand in a pull request; see [Standing].
func Render(ctx context.Context, o Options, p pull.Pull, limits forge.Limits) (comment.Text, error) {
	view, err := Standing(ctx, o, p)
	if err != nil {
		return comment.Text{}, err
	}
	return comment.Living(view, comment.Limits{Bytes: limits.CommentBytes, Folds: limits.Folds, Mermaid: limits.Mermaid}), nil
}

// ProposalOf is what is remembered of what the forge says of a pull request.
func ProposalOf(pr forge.PullRequest) pull.Proposal {
	return pull.Proposal{
		Title: pr.Title, URL: pr.URL, Author: pr.Author.Login, AuthorID: pr.Author.ID, Draft: pr.Draft, Fork: pr.Fork, Head: pr.Head, HeadRef: pr.HeadRef,
		BaseBranch: pr.BaseBranch, Merged: pr.State == forge.Merged, Closed: pr.State == forge.Closed, MergeCommit: pr.MergeCommit,
		UpdatedAt: pr.UpdatedAt,
	}
}
