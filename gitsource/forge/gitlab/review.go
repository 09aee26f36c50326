package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	gitlab "github.com/xanzy/go-gitlab"
)

// account is the short form of a user that stands in other answers.
type account struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
}

// Reviews lists the approvals that stand, and the reviewers that ask for changes.
// GitLab keeps one word per person; its id is the person's.
func (r *Repository) Reviews(ctx context.Context, number int) ([]forge.Review, error) {
	c, err := r.begin(ctx, fmt.Sprintf("list the reviews of merge request !%d", number))
	if err != nil {
		return nil, err
	}
	var approvals struct {
		ApprovedBy []struct {
			User       account    `json:"user"`
			ApprovedAt *time.Time `json:"approved_at"` // not from every GitLab
		} `json:"approved_by"`
	}
	if err := r.get(c, fmt.Sprintf("merge_requests/%d/approvals", number), &approvals); err != nil {
		return nil, err
	}
	reviewers, resp, err := r.client.MergeRequests.GetMergeRequestReviewers(r.project, number, c.opts...)
	if err != nil {
		// The merge request is there, since its approvals are: then this GitLab is older
		// than asking for changes.
		if failed := c.fail(resp, err); !errors.Is(failed, forge.ErrNotFound) {
			return nil, failed
		}
	}
	type word struct {
		user  account
		state forge.ReviewState
		at    time.Time
		dated bool // at is GitLab's word and no note's
	}
	var words []word
	dated := true
	for _, a := range approvals.ApprovedBy {
		words = append(words, word{a.User, forge.Approved, at(a.ApprovedAt), a.ApprovedAt != nil})
		dated = dated && a.ApprovedAt != nil
	}
	for _, v := range reviewers {
		if v.User != nil && v.State == "requested_changes" && !slices.ContainsFunc(words, func(w word) bool { return w.user.ID == v.User.ID }) {
			words = append(words, word{user: account{v.User.ID, v.User.Username}, state: forge.ChangesRequested})
			dated = false // the time that GitLab tells is when the person was asked
		}
	}
	if len(words) == 0 {
		return []forge.Review{}, nil
	}
	if !dated {
		// GitLab writes a note of its own on each, which has the time.
		notes, err := r.notes(ctx, c.what, number, time.Time{})
		if err != nil {
			return nil, err
		}
		for _, n := range notes { // oldest first, so that the newest stays
			for i, w := range words {
				if n.System && n.Author.ID == w.user.ID && strings.HasPrefix(n.Body, spoken[w.state]) && !w.dated {
					words[i].at = at(n.CreatedAt)
				}
			}
		}
	}
	commitAt, err := r.heads(c, number)
	if err != nil {
		return nil, err
	}
	out := make([]forge.Review, 0, len(words))
	for _, w := range words {
		author, err := r.user(ctx, w.user.ID, w.user.Username)
		if err != nil {
			return nil, err
		}
		out = append(out, forge.Review{ID: fmt.Sprintf("user-%d", w.user.ID), Author: author, State: w.state, Commit: commitAt(w.at), At: w.at})
	}
	slices.SortStableFunc(out, func(a, b forge.Review) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// spoken is how GitLab's own notes begin.
var spoken = map[forge.ReviewState]string{
	forge.Approved: "approved this merge request", forge.ChangesRequested: "requested changes",
}

// heads returns which head a merge request had at a time; "" when the time is not known,
// or follows a push by less than the clock tells: then nobody can say what was looked at.
func (r *Repository) heads(c *call, number int) (func(time.Time) string, error) {
	// The newest hundred. An approval of an older head has no use any more.
	versions, resp, err := r.client.MergeRequests.GetMergeRequestDiffVersions(r.project, number, &gitlab.GetMergeRequestDiffVersionsOptions{PerPage: perPage}, c.opts...)
	if err != nil {
		return nil, c.fail(resp, err)
	}
	return func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		head, since := "", time.Time{}
		for _, v := range versions {
			if made := at(v.CreatedAt); !made.After(t) && made.After(since) {
				head, since = v.HeadCommitSHA, made
			}
		}
		if t.Sub(since) < time.Second && !isFine(t) && !isFine(since) {
			return ""
		}
		return head
	}, nil
}

// isFine tells that a time is one of a clock with milliseconds: GitLab's, but for old
// ones, which tell seconds.
func isFine(t time.Time) bool { return t.Nanosecond() != 0 }
