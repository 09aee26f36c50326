package folder

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
)

var _ gitsource.Proposals = (*Source)(nil)

// hasCommits is nil when there is something to merge into.
func (s *Source) hasCommits() error {
	switch {
	case s.git == nil:
		return fmt.Errorf("%w: %s is no Git repository", gitsource.ErrNoProposals, s.o.Path)
	case s.o.Mode == Worktree:
		return fmt.Errorf("%w: %s is taken as its files are (mode worktree); follow what is committed (mode committed)",
			gitsource.ErrNoProposals, s.o.Path)
	}
	return nil
}

// Merge merges a ref of the same repository into the followed branch. Nothing is
// written to the repository: the merge is kept in the cache.
func (s *Source) Merge(ctx context.Context, h gitsource.Head) (gitsource.Merge, error) {
	m, err := s.merge(ctx, h)
	if err != nil {
		class := gitsource.ClassPerson
		if ctx.Err() != nil || errors.Is(err, gitsource.ErrHeadMoved) || errors.Is(err, gitsource.ErrNoHead) {
			class = gitsource.ClassWait
		}
		return gitsource.Merge{}, &gitsource.FetchError{Repository: s.o.Name, Class: class, Err: err}
	}
	return m, nil
}

func (s *Source) merge(ctx context.Context, h gitsource.Head) (gitsource.Merge, error) {
	if err := s.hasCommits(); err != nil {
		return gitsource.Merge{}, err
	}
	rev, head, err := s.meet(ctx, h)
	if err != nil {
		return gitsource.Merge{}, err
	}
	base, err := s.git.Commit(plumbing.NewHash(rev.Commit))
	if err != nil {
		return gitsource.Merge{}, err
	}
	m, err := s.merger.Merge(ctx, h.Name, base, head)
	if err != nil {
		return gitsource.Merge{}, err
	}
	return gitmirror.NewMerge(rev, gitmirror.Revision(s.o.Name, gitmirror.BranchOf(h.Ref), head), m), nil
}

// meet looks at both refs as they are now.
func (s *Source) meet(ctx context.Context, h gitsource.Head) (base gitsource.Revision, head *object.Commit, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.copies.Mend(); err != nil {
		return base, nil, err
	}
	if base, err = s.look(ctx); err != nil {
		return base, nil, err
	}
	r, err := s.repository()
	if err != nil {
		return base, nil, fmt.Errorf("open %s: %w", s.o.Path, err)
	}
	name := plumbing.ReferenceName(h.Ref) // go-git makes a file's name of it
	if err := name.Validate(); err != nil || !strings.HasPrefix(h.Ref, "refs/") {
		return base, nil, gitmirror.NoHead(h)
	}
	ref, err := r.Reference(name, true)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return base, nil, gitmirror.NoHead(h)
	}
	if err != nil {
		return base, nil, err
	}
	if err := gitmirror.CheckHead(h, ref.Hash()); err != nil {
		return base, nil, err
	}
	head, err = s.git.Commit(ref.Hash())
	return base, head, err
}

// Contains tells whether ancestor is in the history of commit.
func (s *Source) Contains(ctx context.Context, commit, ancestor string) (isIn bool, err error) {
	if err = s.hasCommits(); err == nil {
		isIn, err = s.merger.Contains(ctx, commit, ancestor)
	}
	if err != nil {
		return false, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return isIn, nil
}

// Authors finds who wrote what head has over base.
func (s *Source) Authors(ctx context.Context, base, head string) (out []gitsource.Authored, err error) {
	if err = s.hasCommits(); err == nil {
		out, err = s.merger.Authors(ctx, base, head)
	}
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return out, nil
}

// Forget drops the ref of a merge.
func (s *Source) Forget(_ context.Context, name string) (err error) {
	if err = s.hasCommits(); err == nil {
		err = s.merger.Forget(name)
	}
	if err != nil {
		return fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return nil
}
