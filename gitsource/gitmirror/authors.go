package gitmirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// maxAuthored is how many commits are asked whose they are, the newest ones.
const maxAuthored = 10_000

// maxRemade is how many merges are made again to see whether Git makes the same of them.
// Those above count as written by a person.
const maxRemade = 100

// Authors finds who wrote what head has over base.
func (m *Merger) Authors(ctx context.Context, base, head string) (out []gitsource.Authored, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	for _, c := range []string{base, head} {
		if !plumbing.IsHash(c) {
			return nil, fmt.Errorf("%q %w", c, errNoCommit)
		}
		if _, err := m.o.Objects.Commit(plumbing.NewHash(c)); errors.Is(err, treefs.ErrMissing) {
			return nil, fmt.Errorf("%w: %s", gitsource.ErrNoHead, c)
		} else if err != nil {
			return nil, err
		}
	}
	p, err := m.find(ctx)
	if err != nil {
		return nil, err
	}
	s, err := m.scratch(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	list, err := s.commits(ctx, base, head)
	if err != nil {
		return nil, err
	}
	remade := 0
	for _, c := range list {
		if len(c.parents) == 2 && remade < maxRemade {
			remade++
			tree, conflicts, err := s.mergeTree(ctx, c.parents[0], c.parents[1])
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == nil && len(conflicts) == 0 && tree == c.tree {
				continue // Git wrote it, of what its parents have
			}
		}
		out = append(out, gitsource.Authored{Commit: c.name, Emails: c.emails})
	}
	return out, nil
}

// written is a commit as far as it tells who wrote it.
type written struct {
	name    string
	tree    plumbing.Hash
	parents []plumbing.Hash
	emails  []string
}

// commits lists what head has over base, the newest first.
func (s *scratch) commits(ctx context.Context, base, head string) ([]written, error) {
	out, _, err := s.run(ctx, 0, "log", "-z", "--max-count="+strconv.Itoa(maxAuthored),
		"--format=%H%n%T%n%P%n%ae%n%ce%n%(trailers:key=Co-authored-by,valueonly,unfold)", base+".."+head)
	if err != nil {
		return nil, err
	}
	entries := strings.Split(string(out.bytes), "\x00")
	if out.isCut {
		entries = entries[:len(entries)-1]
	}
	var list []written
	for _, entry := range entries {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		lines := strings.Split(entry, "\n")
		if len(lines) < 5 || !plumbing.IsHash(lines[0]) || !plumbing.IsHash(lines[1]) {
			return nil, fmt.Errorf("git log answered %.60q, which is no commit", entry)
		}
		c := written{name: lines[0], tree: plumbing.NewHash(lines[1])}
		for _, p := range strings.Fields(lines[2]) {
			c.parents = append(c.parents, plumbing.NewHash(p))
		}
		c.add(lines[3])
		c.add(lines[4])
		for _, with := range lines[5:] {
			if i, j := strings.LastIndex(with, "<"), strings.LastIndex(with, ">"); i >= 0 && j > i {
				c.add(with[i+1 : j])
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// maxAddress is the longest address that is one.
const maxAddress = 320

func (c *written) add(email string) {
	email = strings.ToLower(strings.ToValidUTF8(strings.TrimSpace(email), ""))
	if email != "" && len(email) <= maxAddress && !slices.Contains(c.emails, email) {
		c.emails = append(c.emails, email)
	}
}
