package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	gitlab "github.com/xanzy/go-gitlab"
)

// Comments lists the notes that people and programs wrote; GitLab's own ("approved this
// merge request") are left out.
func (r *Repository) Comments(ctx context.Context, number int, since time.Time) ([]forge.Comment, error) {
	notes, err := r.notes(ctx, fmt.Sprintf("list the comments of merge request !%d", number), number, since)
	if err != nil {
		return nil, err
	}
	out := []forge.Comment{}
	for _, n := range notes {
		if n.System {
			continue
		}
		c, err := r.comment(ctx, number, n)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// notes lists notes, GitLab's own too, that were touched since a time, oldest first.
func (r *Repository) notes(ctx context.Context, what string, number int, since time.Time) ([]*gitlab.Note, error) {
	c, err := r.begin(ctx, what)
	if err != nil {
		return nil, err
	}
	o := gitlab.ListMergeRequestNotesOptions{OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc")}
	var stop func(*gitlab.Note) bool
	if !since.IsZero() {
		// Newest change first, as far back as it matters: GitLab cannot be asked for
		// what came since. A note that changes meanwhile moves to the front, so
		// that nothing is missed.
		o = gitlab.ListMergeRequestNotesOptions{OrderBy: gitlab.Ptr("updated_at"), Sort: gitlab.Ptr("desc")}
		stop = func(n *gitlab.Note) bool { return at(n.UpdatedAt).Before(since) }
	}
	notes, err := pages(c, func(l gitlab.ListOptions) ([]*gitlab.Note, *gitlab.Response, error) {
		o.ListOptions = l
		return r.client.Notes.ListMergeRequestNotes(r.project, number, &o, c.opts...)
	}, func(n *gitlab.Note) int { return n.ID }, stop)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(notes, func(a, b *gitlab.Note) int {
		return cmp.Or(at(a.CreatedAt).Compare(at(b.CreatedAt)), a.ID-b.ID)
	})
	return notes, nil
}

// Comment returns one note.
func (r *Repository) Comment(ctx context.Context, number int, id string) (forge.Comment, error) {
	c, err := r.begin(ctx, fmt.Sprintf("look at comment %s of merge request !%d", id, number))
	if err != nil {
		return forge.Comment{}, err
	}
	note, err := noteID(c.what, id)
	if err != nil {
		return forge.Comment{}, err
	}
	n, resp, err := r.client.Notes.GetMergeRequestNote(r.project, number, note, c.opts...)
	if err != nil {
		return forge.Comment{}, c.fail(resp, err)
	}
	return r.comment(ctx, number, n)
}

// CreateComment writes a note.
func (r *Repository) CreateComment(ctx context.Context, number int, body string) (forge.Comment, error) {
	c, err := r.begin(ctx, fmt.Sprintf("write a comment on merge request !%d", number))
	if err != nil {
		return forge.Comment{}, err
	}
	n, resp, err := r.client.Notes.CreateMergeRequestNote(r.project, number, &gitlab.CreateMergeRequestNoteOptions{Body: &body}, c.opts...)
	if err != nil {
		return forge.Comment{}, c.failWrite(resp, err)
	}
	if n.ID == 0 {
		return forge.Comment{}, &forge.CallError{Call: c.what, Status: resp.StatusCode, Class: forge.Bug, Err: errors.New("GitLab took the text as commands to itself (lines that begin with \"/\") and wrote no comment")}
	}
	// Whether we are a bot is no reason to fail after the comment was written.
	return r.ownComment(number, n), nil
}

// EditComment replaces the text of a note.
func (r *Repository) EditComment(ctx context.Context, number int, id, body string) (forge.Comment, error) {
	c, err := r.begin(ctx, fmt.Sprintf("edit comment %s of merge request !%d", id, number))
	if err != nil {
		return forge.Comment{}, err
	}
	note, err := noteID(c.what, id)
	if err != nil {
		return forge.Comment{}, err
	}
	n, resp, err := r.client.Notes.UpdateMergeRequestNote(r.project, number, note, &gitlab.UpdateMergeRequestNoteOptions{Body: &body}, c.opts...)
	if err != nil {
		return forge.Comment{}, c.fail(resp, err)
	}
	// Whether we are a bot is no reason to fail after it was written.
	return r.ownComment(number, n), nil
}

// ownComment is a note that this account has written just now.
func (r *Repository) ownComment(number int, n *gitlab.Note) forge.Comment {
	out := r.plainComment(number, n)
	out.Author = forge.User{Login: n.Author.Username, ID: accountID(n.Author.ID), Bot: botName(n.Author.Username)}
	return out
}

// awards are GitLab's names of the reactions.
var awards = map[forge.Reaction]string{
	forge.Eyes: "eyes", forge.Rocket: "rocket", forge.ThumbsUp: "thumbsup", forge.ThumbsDown: "thumbsdown", forge.Confused: "confused",
}

// React awards an emoji to a note.
func (r *Repository) React(ctx context.Context, number int, comment string, reaction forge.Reaction) error {
	c, err := r.begin(ctx, fmt.Sprintf("react to comment %s of merge request !%d", comment, number))
	if err != nil {
		return err
	}
	name, ok := awards[reaction]
	if !ok {
		return &forge.CallError{Call: c.what, Class: forge.Bug, Err: fmt.Errorf("%q is no reaction", reaction)}
	}
	note, err := noteID(c.what, comment)
	if err != nil {
		return err
	}
	_, resp, err := r.client.AwardEmoji.CreateMergeRequestAwardEmojiOnNote(r.project, number, note, &gitlab.CreateAwardEmojiOptions{Name: name}, c.opts...)
	if err == nil || strings.Contains(c.said(), "has already been taken") { // with 404, of all codes
		return nil
	}
	return c.fail(resp, err)
}

func noteID(what, id string) (int, error) { return number(what, id) }

func (r *Repository) comment(ctx context.Context, number int, n *gitlab.Note) (forge.Comment, error) {
	out := r.plainComment(number, n)
	var err error
	out.Author, err = r.user(ctx, n.Author.ID, n.Author.Username)
	return out, err
}

func (r *Repository) plainComment(number int, n *gitlab.Note) forge.Comment {
	c := forge.Comment{
		ID: strconv.Itoa(n.ID), Body: n.Body, CreatedAt: at(n.CreatedAt),
		URL: fmt.Sprintf("%s/%s/-/merge_requests/%d#note_%d", r.base, r.project, number, n.ID),
	}
	if at(n.UpdatedAt).After(c.CreatedAt) {
		c.EditedAt = at(n.UpdatedAt)
	}
	return c
}
