package gitea

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// Comments lists comments, oldest first.
func (r *Repository) Comments(ctx context.Context, number int, since time.Time) ([]forge.Comment, error) {
	var found []*sdk.Comment
	err := r.call(ctx, fmt.Sprintf("list the comments of pull request %d", number), func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = pages(func(m *sdk.Comment) int64 { return m.ID }, func(o sdk.ListOptions) ([]*sdk.Comment, *sdk.Response, error) {
			opt := sdk.ListIssueCommentOptions{ListOptions: o}
			if !since.IsZero() {
				opt.Since = since.UTC().Truncate(time.Second) // comments have whole seconds
			}
			return c.ListIssueComments(r.owner, r.name, int64(number), opt)
		})
		return resp, err
	})
	if err != nil {
		return nil, r.orMissing(ctx, err, r.lookAtPull(number))
	}
	var comments []forge.Comment
	for _, c := range found {
		comments = append(comments, commentOf(c))
	}
	slices.SortStableFunc(comments, func(a, b forge.Comment) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return comments, nil
}

// Comment returns a comment. One of another pull request is not found.
func (r *Repository) Comment(ctx context.Context, number int, id string) (forge.Comment, error) {
	call := fmt.Sprintf("get comment %s of pull request %d", id, number)
	n, err := commentID(call, id)
	if err != nil {
		return forge.Comment{}, err
	}
	var found *sdk.Comment
	err = r.call(ctx, call, func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = c.GetIssueComment(r.owner, r.name, n)
		return resp, err
	})
	if err != nil {
		return forge.Comment{}, err
	}
	if !strings.HasSuffix(found.PRURL, fmt.Sprintf("/%d", number)) {
		return forge.Comment{}, &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: it is a comment of something else", forge.ErrNotFound)}
	}
	return commentOf(found), nil
}

// CreateComment writes a comment.
func (r *Repository) CreateComment(ctx context.Context, number int, body string) (forge.Comment, error) {
	call := fmt.Sprintf("write a comment to pull request %d", number)
	if body == "" {
		return forge.Comment{}, emptyBody(call)
	}
	var written *sdk.Comment
	err := r.create(ctx, call, func(c *sdk.Client) (resp *sdk.Response, err error) {
		written, resp, err = c.CreateIssueComment(r.owner, r.name, int64(number), sdk.CreateIssueCommentOption{Body: body})
		return resp, err
	})
	if err != nil {
		return forge.Comment{}, r.orMissing(ctx, err, r.lookAtPull(number))
	}
	return commentOf(written), nil
}

// EditComment replaces a comment's body.
func (r *Repository) EditComment(ctx context.Context, number int, id, body string) (forge.Comment, error) {
	call := fmt.Sprintf("edit comment %s of pull request %d", id, number)
	if body == "" {
		return forge.Comment{}, emptyBody(call)
	}
	n, err := commentID(call, id)
	if err != nil {
		return forge.Comment{}, err
	}
	var edited *sdk.Comment
	err = r.call(ctx, call, func(c *sdk.Client) (resp *sdk.Response, err error) {
		edited, resp, err = c.EditIssueComment(r.owner, r.name, n, sdk.EditIssueCommentOption{Body: body})
		return resp, err
	})
	if err != nil {
		return forge.Comment{}, err
	}
	return commentOf(edited), nil
}

// React puts a reaction on a comment. The port's names are Gitea's.
func (r *Repository) React(ctx context.Context, number int, comment string, reaction forge.Reaction) error {
	call := fmt.Sprintf("react to comment %s of pull request %d", comment, number)
	n, err := commentID(call, comment)
	if err != nil {
		return err
	}
	return r.call(ctx, call, func(c *sdk.Client) (*sdk.Response, error) {
		_, resp, err := c.PostIssueCommentReaction(r.owner, r.name, n, string(reaction))
		return resp, err
	})
}

func commentOf(c *sdk.Comment) forge.Comment {
	out := forge.Comment{
		ID: fmt.Sprint(c.ID), Author: userOf(c.Poster), Body: c.Body, URL: c.HTMLURL, CreatedAt: c.Created.UTC(),
	}
	if c.Updated.After(c.Created) {
		out.EditedAt = c.Updated.UTC()
	}
	return out
}

// commentID reads an id. What is none of Gitea's names no comment.
func commentID(call, id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return 0, &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: that is no number of a comment", forge.ErrNotFound)}
	}
	return n, nil
}

func emptyBody(call string) error {
	return &forge.CallError{Call: call, Class: forge.Bug, Err: errors.New("the comment is empty")}
}
