package gitmirror

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// MergerOptions make a Merger.
type MergerOptions struct {
	// Bare gets the merges.
	Bare *Bare
	// Objects are read to merge: they hold what is merged, and what is in Bare.
	Objects *treefs.Store
	// Lenders are the Git folders that hold Objects.
	Lenders func() ([]string, error)
	// Writing is held by whoever writes to Bare.
	Writing sync.Locker
	// Timeout ends one merge, and one look into a history; 0 means a minute.
	Timeout time.Duration
}

// Merger merges commits with the git program, and keeps what comes of it in a Bare. It
// is safe for concurrent use.
type Merger struct {
	o MergerOptions

	mu      sync.Mutex // guards what follows
	program Program    // once one that merges was found
}

// NewMerger makes a Merger. Whether there is a git program shows when it is needed.
func NewMerger(o MergerOptions) *Merger {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return &Merger{o: o}
}

// Merged is what merging two commits makes.
type Merged struct {
	// Commit is the merge; nil when Refused says why there is none.
	Commit    *object.Commit
	Conflicts []string
	Refused   string
	// MergeBase is zero when there is none.
	MergeBase plumbing.Hash
}

var errTakesLong = errors.New("the merge takes too long")

// Merge merges head into base. A merge that is there already is not made again.
func (m *Merger) Merge(ctx context.Context, name string, base, head *object.Commit) (Merged, error) {
	if err := checkName(name); err != nil {
		return Merged{}, err
	}
	within, cancel := context.WithTimeoutCause(ctx, m.o.Timeout, errTakesLong)
	defer cancel()
	out, err := m.merge(within, name, base, head)
	switch {
	case err != nil && ctx.Err() != nil:
		return Merged{}, ctx.Err()
	case errors.Is(err, errTakesLong):
		return Merged{Refused: fmt.Sprintf("merging takes longer than %s", m.o.Timeout)}, nil
	case err != nil:
		return Merged{}, fmt.Errorf("merge %s into %s: %w", short(head.Hash), short(base.Hash), err)
	}
	return out, nil
}

func (m *Merger) merge(ctx context.Context, name string, base, head *object.Commit) (out Merged, err error) {
	p, missing := m.find(ctx)
	s, err := m.scratch(p)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	if p.Path == "" {
		out.MergeBase, err = m.walkToBase(ctx, base.Hash, head.Hash, missing)
	} else {
		out.MergeBase, err = s.mergeBase(ctx, base.Hash, head.Hash)
	}
	if err != nil {
		return out, err
	}
	switch out.MergeBase {
	case plumbing.ZeroHash:
		out.Refused = "the two have no common history"
		if _, err := os.Stat(filepath.Join(s.dir, shallowFile)); err == nil {
			out.Refused += " in what is here of it: the repository has only its end (it is shallow)"
		}
		return out, nil
	case head.Hash:
		out.Commit = base
		return out, nil
	}
	if out.Commit = m.kept(name, base.Hash, head.Hash); out.Commit != nil {
		return out, nil
	}
	tree := head.TreeHash
	if out.MergeBase != base.Hash {
		if missing != nil {
			return out, missing
		}
		if tree, out.Conflicts, err = s.mergeTree(ctx, base.Hash, head.Hash); err != nil {
			return out, err
		}
	}
	switch n := len(out.Conflicts); n {
	case 0:
		out.Commit, err = m.keep(s.dir, name, mergeCommit(base, head, tree))
	case 1:
		out.Refused = "conflicts in 1 file"
	default:
		out.Refused = fmt.Sprintf("conflicts in %d files", n)
	}
	return out, err
}

// walkToBase finds the common ancestor of two of which one is behind the other, which
// need no merging; for others the program is missing.
func (m *Merger) walkToBase(ctx context.Context, base, head plumbing.Hash, missing error) (plumbing.Hash, error) {
	if isIn, err := m.isBehind(ctx, head, base); err != nil || isIn {
		return head, err
	}
	if isIn, err := m.isBehind(ctx, base, head); err != nil || isIn {
		return base, err
	}
	return plumbing.ZeroHash, missing
}

// find looks for the program until there is one that merges.
func (m *Merger) find(ctx context.Context) (Program, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.program.Path != "" {
		return m.program, nil
	}
	p, err := FindProgram(ctx)
	if err == nil {
		m.program = p
	}
	return p, err
}

func (m *Merger) scratch(p Program) (*scratch, error) {
	lenders, err := m.o.Lenders()
	if err != nil {
		return nil, err
	}
	return newScratch(filepath.Join(m.o.Bare.dir, scratches), p, lenders)
}

// mergeBase is the best common ancestor, one of them when there are several; zero is none.
func (s *scratch) mergeBase(ctx context.Context, a, b plumbing.Hash) (plumbing.Hash, error) {
	out, code, err := s.run(ctx, 1, "merge-base", a.String(), b.String())
	if err != nil || code == 1 {
		return plumbing.ZeroHash, err
	}
	return hashIn(string(out.bytes))
}

func hashIn(text string) (plumbing.Hash, error) {
	text = strings.TrimSpace(text)
	if !plumbing.IsHash(text) {
		return plumbing.ZeroHash, fmt.Errorf("git answered %.60q, which is no object's name", text)
	}
	return plumbing.NewHash(text), nil
}

// mergeTree writes the merged tree into the scratch. It reads the folders that differ
// on both sides, and the files in them that do; renames are looked for there alone.
func (s *scratch) mergeTree(ctx context.Context, base, head plumbing.Hash) (plumbing.Hash, []string, error) {
	out, code, err := s.run(ctx, 1, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base.String(), head.String())
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	first, rest, ok := strings.Cut(string(out.bytes), "\x00")
	tree, err := hashIn(first)
	if err != nil || !ok {
		return plumbing.ZeroHash, nil, errors.Join(err, fmt.Errorf("git merge-tree ended its answer too early"))
	}
	if code == 0 {
		return tree, nil, nil
	}
	names := strings.Split(rest, "\x00")
	names = names[:len(names)-1] // nothing, or a name that was cut off
	return tree, conflicts(names, base, head), nil
}

// besides is what git adds to a file's name when a folder has it on the other side.
var besides = regexp.MustCompile(`~([0-9a-f]{40})(_[0-9]+)?$`)

func conflicts(names []string, base, head plumbing.Hash) []string {
	var out []string
	for _, n := range names {
		if found := besides.FindStringSubmatch(n); found != nil && (found[1] == base.String() || found[1] == head.String()) {
			n = strings.TrimSuffix(n, found[0])
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// maxDate is the end of the year 9999, which Git and time.Time both write.
const maxDate = 253402300799

// mergeCommit is the same for equal base and head: nothing in it is of now.
func mergeCommit(base, head *object.Commit, tree plumbing.Hash) *object.Commit {
	at := min(max(base.Committer.When.Unix(), head.Committer.When.Unix(), 0), maxDate)
	by := object.Signature{Name: "reeve", Email: "reeve@localhost", When: time.Unix(at, 0).UTC()}
	return &object.Commit{Author: by, Committer: by, TreeHash: tree, ParentHashes: []plumbing.Hash{base.Hash, head.Hash},
		Message: fmt.Sprintf("merge %s into %s\n", short(head.Hash), short(base.Hash))}
}

func short(h plumbing.Hash) string { return h.String()[:7] }

// named is what a merge may be called: a part of a ref, and no name of a file that
// cleaning removes.
var named = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,99}$`)

func checkName(name string) error {
	if !named.MatchString(name) {
		return fmt.Errorf("%.100q cannot name a merge: up to 100 letters, digits and dashes can", name)
	}
	return nil
}

func (b *Bare) mergeRef(name string) string {
	return filepath.Join(b.dir, "refs", "reeve", "merges", name)
}

// kept is the merge of exactly these two that a ref keeps, or nil.
func (m *Merger) kept(name string, base, head plumbing.Hash) *object.Commit {
	c, _ := m.Kept(name)
	if c == nil || !slices.Equal(c.ParentHashes, []plumbing.Hash{base, head}) || !m.o.Objects.Has(c.TreeHash) {
		return nil
	}
	return c
}

// Kept is the merge that a name's ref keeps, if there is one.
func (m *Merger) Kept(name string) (*object.Commit, bool) {
	if checkName(name) != nil {
		return nil, false
	}
	raw, err := os.ReadFile(m.o.Bare.mergeRef(name))
	if err != nil {
		return nil, false
	}
	h, err := hashIn(string(raw))
	if err != nil {
		return nil, false
	}
	c, err := m.o.Objects.Commit(h)
	return c, err == nil
}

// keep copies a merge out of its scratch: a pack, and when that is durable, the ref.
func (m *Merger) keep(from, name string, c *object.Commit) (*object.Commit, error) {
	sto := treefs.OpenStorage(from)
	o := sto.NewEncodedObject()
	err := c.Encode(o)
	var h plumbing.Hash
	if err == nil {
		h, err = sto.SetEncodedObject(o)
	}
	if err = errors.Join(err, sto.Close()); err != nil {
		return nil, err
	}
	m.o.Writing.Lock()
	defer m.o.Writing.Unlock()
	b := m.o.Bare
	if !b.Store.Has(h) {
		if err := b.adopt(from); err != nil {
			return nil, fmt.Errorf("keep the merge: %w", err)
		}
		if m.o.Objects != b.Store {
			if err := m.o.Objects.Reopen(); err != nil {
				return nil, err
			}
		}
	}
	if err := b.setRef(b.mergeRef(name), h); err != nil {
		return nil, fmt.Errorf("keep the merge: %w", err)
	}
	return m.o.Objects.Commit(h)
}

// Forget drops the ref of a merge. Its objects stay: a job may still be read.
func (m *Merger) Forget(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	m.o.Writing.Lock()
	defer m.o.Writing.Unlock()
	ref := m.o.Bare.mergeRef(name)
	if err := os.Remove(ref); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(ref))
}

// looseIn lists the loose objects of a repository.
func looseIn(dir string) ([]plumbing.Hash, error) {
	var out []plumbing.Hash
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(filepath.Dir(p)) + d.Name()
		if raw, err := hex.DecodeString(name); err == nil && len(raw) == len(plumbing.ZeroHash) {
			out = append(out, plumbing.NewHash(name))
		}
		return nil
	})
	plumbing.HashesSort(out) // equal objects make an equal pack
	return out, err
}

// NewMerge tells of a merge in the words of the port.
func NewMerge(base, head gitsource.Revision, m Merged) gitsource.Merge {
	out := gitsource.Merge{Base: base, Head: head, Conflicts: m.Conflicts, Refused: m.Refused}
	if !m.MergeBase.IsZero() {
		out.MergeBase = m.MergeBase.String()
	}
	switch {
	case m.Commit == nil:
	case m.Commit.Hash.String() == base.Commit:
		out.Revision = base
	default:
		out.Revision = Revision(base.Repository, base.Branch, m.Commit)
	}
	return out
}
