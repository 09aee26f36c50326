package gitmirror

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stackreeve/stackreeve/gitsource"
)

var _ gitsource.Proposals = (*Source)(nil)

// pair is what one exchange found out.
type pair struct {
	branch     string
	base, head *object.Commit
}

// Merge fetches base and head and merges them. Polls go on while git works: only the exchange
// and the writing of its result take turns with them.
func (s *Source) Merge(ctx context.Context, h gitsource.Head) (gitsource.Merge, error) {
	if err := checkName(h.Name); err != nil {
		return gitsource.Merge{}, s.failed(err)
	}
	p, err := s.meet(ctx, h)
	if err != nil {
		return gitsource.Merge{}, s.failed(err)
	}
	m, err := s.merger.Merge(ctx, h.Name, p.base, p.head)
	if err != nil {
		return gitsource.Merge{}, s.failed(err)
	}
	return NewMerge(s.revision(p.branch, p.base), s.revision(BranchOf(h.Ref), p.head), m), nil
}

// BranchOf is the branch that a ref is; "" when it is none.
func BranchOf(ref string) string {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return ""
	}
	return branch
}

// CheckHead compares where a head is with where it was expected.
func CheckHead(h gitsource.Head, at plumbing.Hash) error {
	if h.Commit != "" && h.Commit != at.String() {
		return fmt.Errorf("%w: %s is at %s, not at %s", gitsource.ErrHeadMoved, h.Ref, at, h.Commit)
	}
	return nil
}

// NoHead tells that a head's ref is nowhere.
func NoHead(h gitsource.Head) error { return fmt.Errorf("%w: no ref %q", gitsource.ErrNoHead, h.Ref) }

// meet brings in both commits.
func (s *Source) meet(ctx context.Context, h gitsource.Head) (pair, error) {
	s.poll.Lock()
	defer s.poll.Unlock()
	if err := s.bare.Mend(); err != nil {
		return pair{}, err
	}
	return retry(ctx, s.o.Timeout, func(ctx context.Context) (pair, error) {
		session, err := s.remote.Connect(ctx)
		if err != nil {
			return pair{}, err
		}
		defer session.Close()
		branch, base, err := s.tip(session)
		if err != nil {
			return pair{}, err
		}
		head, ok := session.At(h.Ref)
		if !ok {
			return pair{}, NoHead(h)
		}
		if err := CheckHead(h, head); err != nil {
			return pair{}, err
		}
		areThere := s.bare.Store.Has(base) && s.bare.Store.Has(head)
		if err := s.bare.Fetch(ctx, session, []plumbing.Hash{base, head}, s.known(h.Name)); err != nil {
			return pair{}, err
		}
		if !areThere {
			s.polls.Fetched()
		}
		p := pair{branch: branch}
		if p.base, err = s.bare.Store.Commit(base); err != nil {
			return pair{}, err
		}
		p.head, err = s.bare.Store.Commit(head)
		return p, err
	})
}

// known is what the server is told that we have: the last tip, and what was last merged
// under this name. The server knows no merge of ours.
func (s *Source) known(name string) []plumbing.Hash {
	var out []plumbing.Hash
	if c, ok := s.merger.Kept(name); ok {
		for i := len(c.ParentHashes) - 1; i >= 0; i-- { // the head first: it is the nearest
			out = append(out, c.ParentHashes[i])
		}
	}
	if last, ok := s.Current(); ok {
		out = append(out, plumbing.NewHash(last.Commit))
	}
	return out
}

// Contains tells whether ancestor is in the history of commit.
func (s *Source) Contains(ctx context.Context, commit, ancestor string) (bool, error) {
	isIn, err := s.merger.Contains(ctx, commit, ancestor)
	if err != nil {
		return false, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return isIn, nil
}

// Authors finds who wrote what head has over base.
func (s *Source) Authors(ctx context.Context, base, head string) ([]gitsource.Authored, error) {
	out, err := s.merger.Authors(ctx, base, head)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return out, nil
}

// Forget drops the ref of a head's merge. Objects stay.
func (s *Source) Forget(_ context.Context, name string) error {
	if err := s.merger.Forget(name); err != nil {
		return fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return nil
}
