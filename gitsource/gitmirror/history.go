package gitmirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

var errNoCommit = errors.New("is no commit")

// Contains tells whether ancestor is in the history of commit.
func (m *Merger) Contains(ctx context.Context, commit, ancestor string) (isIn bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	for _, c := range []string{commit, ancestor} {
		if !plumbing.IsHash(c) {
			return false, fmt.Errorf("%q %w", c, errNoCommit)
		}
	}
	c, a := plumbing.NewHash(commit), plumbing.NewHash(ancestor)
	if _, err := m.o.Objects.Commit(c); err != nil {
		return false, err
	}
	if _, err := m.o.Objects.Commit(a); errors.Is(err, treefs.ErrMissing) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	p, old := m.find(ctx)
	if p.Path == "" {
		if ctx.Err() != nil {
			return false, old
		}
		return m.isBehind(ctx, a, c)
	}
	s, err := m.scratch(p)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	_, code, err := s.run(ctx, 1, "merge-base", "--is-ancestor", ancestor, commit)
	return err == nil && code == 0, err
}

// isBehind walks a history for machines without git. Large ones take seconds.
func (m *Merger) isBehind(ctx context.Context, ancestor, commit plumbing.Hash) (bool, error) {
	seen := map[plumbing.Hash]bool{commit: true}
	for queue := []plumbing.Hash{commit}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == ancestor {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		if !m.o.Objects.Has(queue[0]) {
			continue // where a shallow history begins
		}
		c, err := m.o.Objects.Commit(queue[0])
		if err != nil {
			return false, err
		}
		for _, p := range c.ParentHashes {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return false, nil
}
