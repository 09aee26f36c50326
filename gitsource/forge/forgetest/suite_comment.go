package forgetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

func awaitComments(t *testing.T, p proposal, since time.Time, objection func([]forge.Comment) error) {
	t.Helper()
	await(t, "list the comments", func(ctx context.Context) error {
		got, err := p.repo.Comments(ctx, p.number, since)
		if err != nil {
			return err
		}
		return objection(got)
	})
}

func checkCommentPages(t *testing.T, w World) {
	p := propose(t, w)
	var want []string
	for i := range 105 { // more than any forge gives at once
		want = append(want, p.site.Comment(t, Ada, p.number, fmt.Sprintf("remark %d", i)))
	}
	var last forge.Comment
	awaitComments(t, p, time.Time{}, func(got []forge.Comment) error {
		var ids []string
		for i, c := range got {
			if !strings.HasPrefix(c.Body, "remark ") {
				return fmt.Errorf("comment %s says %q", c.ID, c.Body)
			}
			if i > 0 && c.CreatedAt.Before(got[i-1].CreatedAt) {
				return fmt.Errorf("comment %s comes after a younger one", c.ID)
			}
			ids = append(ids, c.ID)
		}
		slices.SortFunc(ids, byNumber) // within a second there is no order
		if len(got) > 0 {
			last = got[len(got)-1]
		}
		return differs(want, ids)
	})
	awaitComments(t, p, last.CreatedAt, func(got []forge.Comment) error {
		if !slices.ContainsFunc(got, func(c forge.Comment) bool { return c.ID == last.ID }) {
			return fmt.Errorf("of the time of comment %s there are only %d others", last.ID, len(got))
		}
		return nil
	})
}

// byNumber orders ids, which are numbers in every forge.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func checkCommentWriting(t *testing.T, w World) {
	p := propose(t, w)
	const text = "<!-- reeve:1 -->\n| a | b |\n|---|---|\n| `x` < 1 & \"y\" | 😀 ä |\n\n```diff\n- old\n+ new\n```\n<details><summary>more</summary>\n\nlong\n\n</details>"
	written, err := p.repo.CreateComment(t.Context(), p.number, text)
	if err != nil {
		t.Fatal(err)
	}
	me := self(t, p.repo)
	want := forge.Comment{ID: written.ID, Author: me, Body: text}
	ignore := cmpopts.IgnoreFields(forge.Comment{}, "URL", "CreatedAt")
	if err := differs(want, written, ignore); err != nil || written.URL == "" || written.CreatedAt.IsZero() {
		t.Errorf("the comment that was written is %+v: %v", written, err)
	}
	awaitComment := func(want forge.Comment) {
		t.Helper()
		await(t, "get the comment", func(ctx context.Context) error {
			got, err := p.repo.Comment(ctx, p.number, want.ID)
			if err != nil {
				return err
			}
			return differs(want, got, ignore, cmpopts.IgnoreFields(forge.Comment{}, "EditedAt"))
		})
	}
	awaitComment(want)

	// As long as it says it may be, and in letters of more than one byte.
	limit := p.repo.Limits().CommentBytes
	for _, letter := range []string{"a", "ä", "😀"} {
		want.Body = strings.Repeat(letter, limit/len(letter))
		edited, err := p.repo.EditComment(t.Context(), p.number, written.ID, want.Body)
		if err != nil {
			t.Fatalf("make it as long as it may be: %v", err)
		}
		if err := differs(want, edited, ignore, cmpopts.IgnoreFields(forge.Comment{}, "EditedAt")); err != nil {
			t.Errorf("the answer to the edit: %v", err)
		}
		awaitComment(want)
		// The answer tells when it was, as asking later does: who edits it is told from us by that.
		await(t, "get the time of the edit", func(ctx context.Context) error {
			got, err := p.repo.Comment(ctx, p.number, written.ID)
			if err != nil {
				return err
			}
			return differs(edited.WrittenAt(), got.WrittenAt())
		})
	}
	if said := p.site.Comments(t, p.number); len(said) != 1 || said[0].By != me.Login || said[0].Body != want.Body {
		t.Errorf("people see %d comments, want the one", len(said))
	}

	p.site.DeleteComment(t, Reeve, p.number, written.ID)
	if _, err := p.repo.EditComment(t.Context(), p.number, written.ID, "again"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("edit a comment that was deleted: %v", err)
	}
	if _, err := p.repo.Comment(t.Context(), p.number, written.ID); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("get a comment that was deleted: %v", err)
	}
	awaitComments(t, p, time.Time{}, func(got []forge.Comment) error { return differs([]forge.Comment(nil), got, cmpopts.EquateEmpty()) })
	if _, err := p.repo.CreateComment(t.Context(), p.number+100, "to nobody"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("comment on a pull request that is not there: %v", err)
	}
}

func checkCommentEdits(t *testing.T, w World) {
	p := propose(t, w)
	id := p.site.Comment(t, Grace, p.number, "reeve help")
	awaitComments(t, p, time.Time{}, func(got []forge.Comment) error {
		return differs([]forge.Comment{{ID: id, Author: account(t, p.repo, Grace), Body: "reeve help"}}, got,
			cmpopts.IgnoreFields(forge.Comment{}, "URL", "CreatedAt"))
	})
	// Times may be of whole seconds: it is edited until that can be told.
	edited, n := forge.Comment{}, 0
	await(t, "edit the comment", func(ctx context.Context) (err error) {
		n++
		body := fmt.Sprintf("reeve approve %d", n)
		p.site.EditComment(t, Grace, p.number, id, body)
		if edited, err = p.repo.Comment(ctx, p.number, id); err != nil {
			return err
		}
		if edited.Body != body || edited.EditedAt.IsZero() {
			return fmt.Errorf("after edit %d it is %+v", n, edited)
		}
		return nil
	})
	if edited.EditedAt.Before(edited.CreatedAt) {
		t.Errorf("edited before it was written: %+v", edited)
	}
	p.site.Comment(t, Ada, p.number, "another")
	awaitComments(t, p, edited.EditedAt, func(got []forge.Comment) error {
		i := slices.IndexFunc(got, func(c forge.Comment) bool { return c.ID == id })
		if i < 0 {
			return fmt.Errorf("what was edited is not among the %d comments since then", len(got))
		}
		return differs(edited, got[i])
	})
}

func checkReactions(t *testing.T, w World) {
	p := propose(t, w)
	id := p.site.Comment(t, Ada, p.number, "reeve plan")
	all := []forge.Reaction{forge.Eyes, forge.Rocket, forge.ThumbsUp, forge.ThumbsDown, forge.Confused}
	for _, r := range append(all, forge.Eyes, forge.Rocket) {
		if err := p.repo.React(t.Context(), p.number, id, r); err != nil {
			t.Fatalf("react with %s: %v", r, err)
		}
	}
	await(t, "look at the reactions", func(context.Context) error {
		return differs(all, p.site.Reactions(t, p.number, id), cmpopts.SortSlices(func(a, b forge.Reaction) bool { return a < b }))
	})
	p.site.DeleteComment(t, Ada, p.number, id)
	if err := p.repo.React(t.Context(), p.number, id, forge.Eyes); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("react to a comment that was deleted: %v", err)
	}
}
