package gitea

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// OpenPullRequests lists the open pull requests.
func (r *Repository) OpenPullRequests(ctx context.Context) ([]forge.PullRequest, error) {
	var found []*sdk.PullRequest
	err := r.call(ctx, "list the open pull requests", func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = pages(func(p *sdk.PullRequest) int64 { return p.Index }, func(o sdk.ListOptions) ([]*sdk.PullRequest, *sdk.Response, error) {
			// In an order that no activity changes while pages are read.
			return c.ListRepoPullRequests(r.owner, r.name, sdk.ListPullRequestsOptions{ListOptions: o, State: sdk.StateOpen, Sort: "oldest"})
		})
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	var open []forge.PullRequest
	for _, p := range found {
		open = append(open, pullOf(p))
	}
	return open, nil
}

// PullRequest returns one.
func (r *Repository) PullRequest(ctx context.Context, number int) (forge.PullRequest, error) {
	var found *sdk.PullRequest
	err := r.call(ctx, fmt.Sprintf("get pull request %d", number), func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = c.GetPullRequest(r.owner, r.name, int64(number))
		return resp, err
	})
	if err != nil {
		return forge.PullRequest{}, err
	}
	p := pullOf(found)
	// Asked for by number, the head is where the branch is now, which may be ahead of
	// what can be fetched, and goes on moving after the pull request is closed.
	var heads []*sdk.Reference
	err = r.call(ctx, fmt.Sprintf("get the head of pull request %d", number), func(c *sdk.Client) (resp *sdk.Response, err error) {
		heads, resp, err = c.GetRepoRefs(r.owner, r.name, p.HeadRef)
		return resp, err
	})
	if err != nil && !errors.Is(err, forge.ErrNotFound) {
		return forge.PullRequest{}, err
	}
	for _, head := range heads {
		if head.Ref == p.HeadRef && head.Object != nil && head.Object.SHA != "" {
			p.Head = head.Object.SHA
		}
	}
	return p, nil
}

func pullOf(p *sdk.PullRequest) forge.PullRequest {
	out := forge.PullRequest{
		Number:  int(p.Index),
		Title:   p.Title,
		URL:     p.HTMLURL,
		Author:  userOf(p.Poster),
		State:   forge.Open,
		Draft:   p.Draft,
		HeadRef: fmt.Sprintf("refs/pull/%d/head", p.Index),
		Fork:    true,
	}
	switch {
	case p.HasMerged:
		out.State = forge.Merged
		if p.MergedCommitID != nil {
			out.MergeCommit = *p.MergedCommitID
		}
	case p.State != sdk.StateOpen:
		out.State = forge.Closed
	}
	if p.Head != nil {
		// The label is the branch's name also after it was deleted. There is none when
		// the commit was pushed to refs/for/….
		out.Head, out.HeadBranch = p.Head.Sha, cmp.Or(p.Head.Name, p.Head.Ref)
		out.Fork = p.Base == nil || p.Head.RepoID != p.Base.RepoID || p.Head.Name == ""
	}
	if p.Base != nil {
		out.BaseBranch = p.Base.Ref
		if p.Base.RepoID != 0 {
			out.RepositoryID = strconv.FormatInt(p.Base.RepoID, 10)
		}
	}
	if p.Updated != nil {
		out.UpdatedAt = p.Updated.UTC()
	}
	return out
}

// Reviews lists the reviews that are in force.
func (r *Repository) Reviews(ctx context.Context, number int) ([]forge.Review, error) {
	var found []*sdk.PullReview
	err := r.call(ctx, fmt.Sprintf("list the reviews of pull request %d", number), func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = pages(func(v *sdk.PullReview) int64 { return v.ID }, func(o sdk.ListOptions) ([]*sdk.PullReview, *sdk.Response, error) {
			return c.ListPullReviews(r.owner, r.name, int64(number), sdk.ListPullReviewsOptions{ListOptions: o})
		})
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	return inForce(found), nil
}

// inForce keeps of each person the last review that says yes or no, unless it was
// dismissed or asked for anew. An older one does not come back to life then.
func inForce(all []*sdk.PullReview) []forge.Review {
	slices.SortFunc(all, func(a, b *sdk.PullReview) int { return cmp.Compare(a.ID, b.ID) })
	last := map[int64]*sdk.PullReview{}
	for _, v := range all {
		switch v.State {
		case sdk.ReviewStateApproved, sdk.ReviewStateRequestChanges, sdk.ReviewStateRequestReview:
			if v.Reviewer != nil && v.Reviewer.ID > 0 { // else a team that was asked, or an account that is gone
				last[v.Reviewer.ID] = v
			}
		}
	}
	var kept []forge.Review
	for _, v := range all {
		if v.Reviewer == nil || last[v.Reviewer.ID] != v || v.Dismissed || v.State == sdk.ReviewStateRequestReview {
			continue
		}
		state := forge.Approved
		if v.State == sdk.ReviewStateRequestChanges {
			state = forge.ChangesRequested
		}
		kept = append(kept, forge.Review{ID: fmt.Sprint(v.ID), Author: userOf(v.Reviewer), State: state, Commit: strings.TrimSpace(v.CommitID), At: v.Submitted.UTC()})
	}
	return kept
}
