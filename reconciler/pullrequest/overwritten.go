package pullrequest

import (
	"context"
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
)

// isOverwritten tells whether somebody else has written into the living comment since the
// daemon did, and then has it written anew. Many forges let whoever may write to a
// repository edit everybody's comments: who proposes a change could show people another
// plan than the one that they are asked to approve.
func (s *sitting) isOverwritten(ctx context.Context) (bool, error) {
	at := s.post(planPost)
	if at < 0 {
		return false, nil
	}
	return s.suspects(ctx, &s.p.Posts[at])
}

// suspects looks at what stands in the living comment, before it is taken for what people
// answered and before the daemon writes over it. When somebody else has written there, what
// was said since the daemon's own last word is in doubt until its next one.
//
// A forge that does not give back what it was given, nor tells the time that it told, is not
// asked: nobody could approve anything there.
func (s *sitting) suspects(ctx context.Context, post *pull.Post) (bool, error) {
	if post.ID == "" || !post.Exact && !post.Dated {
		return false, nil
	}
	if post.Next != "" && post.Next != post.Digest {
		return false, nil // ours, and its answer was lost
	}
	c, err := s.f.Forge.Comment(ctx, s.key.Number, post.ID)
	if errors.Is(err, forge.ErrNotFound) {
		return false, nil // it was deleted: it shows nobody anything
	}
	if err != nil || !isForeign(*post, c) {
		return false, err
	}
	return true, s.doubt(ctx, post)
}

// doubt has the living comment written anew, into which somebody else has written.
func (s *sitting) doubt(ctx context.Context, post *pull.Post) error {
	s.l.log.Warn("somebody changed the comment in which the plans stand", "pull", s.key.String(), "comment", post.ID)
	s.p.Doubt(post.Edited)
	post.Digest, post.Next = "", ""
	return s.save(ctx)
}

// isForeign tells whether a comment is another than the daemon left it: by what it says, or,
// when it was changed and changed back, by its time.
func isForeign(post pull.Post, c forge.Comment) bool {
	return post.Dated && isLater(post, c) || post.Exact && short(plain(c.Body)) != post.Plain
}

// isLater tells whether a comment was edited after the daemon's own edit. Some forges round
// to seconds, in one answer and not in the other: within a second nobody reads anything.
func isLater(post pull.Post, c forge.Comment) bool {
	return !post.Edited.IsZero() && c.WrittenAt().Truncate(time.Second).After(post.Edited.Truncate(time.Second))
}

// wrote notes when the daemon wrote into a comment.
func (s *sitting) wrote(post *pull.Post, c forge.Comment) {
	post.Edited = c.WrittenAt()
	if post.Name == planPost {
		s.p.Settle(post.Edited)
	}
}

// compare finds out from what stands there right after the daemon wrote whether the forge
// gives back what it was given and tells the time that it told. What is neither, on a forge
// that did both before, is somebody else's.
func (s *sitting) compare(ctx context.Context, post *pull.Post, c forge.Comment) error {
	same, later := short(plain(c.Body)) == post.Plain, isLater(*post, c)
	if !same && later && post.Exact && post.Dated {
		s.again(soon) // it is written anew
		return s.doubt(ctx, post)
	}
	post.Exact, post.Dated = same, !later
	if same {
		post.Edited = c.WrittenAt()
	}
	return nil
}
