package pullrequest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
)

// write makes a post say a body, and tells whether that is news. What it is about to say
// is written down first: a post that has no id yet is searched for before another is
// written, and one whose answer was lost is read before it is written again.
func (s *sitting) write(ctx context.Context, name, body string) (written bool, err error) {
	digest := short(body)
	post, err := s.begun(ctx, name, digest)
	if err != nil {
		return false, err
	}
	// Something else may have stood there in between, whose answer was not heard.
	if post.ID != "" && post.Digest == digest && (post.Next == digest || post.Next == "") {
		return false, nil
	}
	if stands, err := s.stands(ctx, post, body); err != nil {
		return false, err
	} else if stands {
		post.At = s.now()
	} else if err := s.put(ctx, post, body); err != nil {
		return false, err
	}
	post.Digest, post.Plain = digest, short(plain(body))
	return true, s.save(ctx)
}

// begun is the record of a post, which is made before there is one. Its id is "" when the
// forge has no such post.
func (s *sitting) begun(ctx context.Context, name, digest string) (*pull.Post, error) {
	at := s.post(name)
	if at < 0 {
		s.p.Posts = append(s.p.Posts, pull.Post{Name: name, Next: digest})
		return &s.p.Posts[len(s.p.Posts)-1], s.save(ctx)
	}
	post := &s.p.Posts[at]
	if post.ID != "" {
		return post, nil
	}
	found, err := s.search(ctx, name)
	if err != nil || found == "" {
		return post, err
	}
	post.ID = found
	return post, s.save(ctx)
}

// stands tells whether a post says a body already: it was on its way, and the answer was
// not heard. Then it must not be written again, since its time is what people answered.
func (s *sitting) stands(ctx context.Context, post *pull.Post, body string) (bool, error) {
	if post.ID == "" || post.Next != short(body) {
		return false, nil
	}
	c, err := s.f.Forge.Comment(ctx, s.key.Number, post.ID)
	if errors.Is(err, forge.ErrNotFound) {
		return false, nil
	}
	if err != nil || plain(c.Body) != plain(body) {
		return false, err
	}
	s.wrote(post, c)
	return true, nil
}

// put edits a post; one that is not there, or that somebody deleted, it writes anew.
func (s *sitting) put(ctx context.Context, post *pull.Post, body string) error {
	if post.Name == planPost && len(s.p.Shown) > 0 {
		// Else what somebody else wrote there would be gone, and what was answered to it would
		// be taken for an answer to ours.
		if _, err := s.suspects(ctx, post); err != nil {
			return err
		}
	}
	if next := short(body); post.Next != next {
		post.Next = next
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	post.At = s.now()
	if post.ID != "" {
		c, err := s.f.Forge.EditComment(ctx, s.key.Number, post.ID, body)
		if err == nil {
			s.l.metrics.writes.WithLabelValues("edit").Inc()
			s.wrote(post, c)
		}
		if !errors.Is(err, forge.ErrNotFound) {
			return err
		}
		post.ID, post.Digest = "", ""
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	c, err := s.f.Forge.CreateComment(ctx, s.key.Number, body)
	if err != nil {
		return err // the next look searches for it
	}
	s.l.metrics.writes.WithLabelValues("comment").Inc()
	post.ID = c.ID
	s.wrote(post, c)
	return nil
}

// plain is a body without what forges change in one.
func plain(body string) string {
	return strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))
}

// search looks for a post of ours by its mark; "" when there is none.
func (s *sitting) search(ctx context.Context, name string) (string, error) {
	self, err := s.f.rights.self(ctx)
	if err != nil {
		return "", err
	}
	comments, err := s.f.Forge.Comments(ctx, s.key.Number, time.Time{}) // whatever its clock says
	if err != nil {
		return "", err
	}
	want := markBegin + mark(s.key, name) + " -->"
	for _, c := range comments {
		// An App's own comments have a number that it is not told itself.
		mine := strings.EqualFold(c.Author.Login, self.Login) && (self.ID == "" || c.Author.ID == self.ID)
		if mine && strings.Contains(c.Body, want) {
			return c.ID, nil
		}
	}
	return "", nil
}
