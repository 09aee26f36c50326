package pullrequest

import (
	"context"
	"errors"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// isOverwritten tells whether the living comment says something else than the daemon
// wrote there, and then has it written anew. Many forges let whoever may write to a
// repository edit everybody's comments: who proposes a change could show people another
// plan than the one that they are asked to approve.
//
// A forge that does not give back what it was given is not asked: nobody could approve
// anything there.
func (s *sitting) isOverwritten(ctx context.Context) (bool, error) {
	at := s.post(planPost)
	if at < 0 || s.p.Posts[at].ID == "" || !s.p.Posts[at].Exact {
		return false, nil
	}
	post := &s.p.Posts[at]
	if post.Next != "" && post.Next != post.Digest {
		return false, nil // ours, and its answer was lost
	}
	c, err := s.f.Forge.Comment(ctx, s.key.Number, post.ID)
	if errors.Is(err, forge.ErrNotFound) {
		return false, nil // it was deleted: it shows nobody anything
	}
	if err != nil || short(plain(c.Body)) == post.Plain {
		return false, err
	}
	s.l.log.Warn("somebody changed the comment in which the plans stand", "pull", s.key.String(), "comment", post.ID)
	post.Digest, post.Next = "", ""
	return true, s.save(ctx)
}
