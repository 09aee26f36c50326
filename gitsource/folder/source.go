// Package folder makes a local folder a config repository.
//
// In committed mode it follows the checked-out branch of a Git repository or working
// copy, reading objects from it and writing nothing. In worktree mode it takes
// the files as they are: each scan copies what is new into a store of Git objects in
// the cache, so that a snapshot is what was read, whatever happens to the files
// later. The revision is "folder:" and the hash of the tree, which is the tree hash
// Git would give the same files.
//
// Hidden folders are not part of it, nor is what .gitignore names. A folder that is
// no Git repository is always taken as it is.
package folder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/meter"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// Mode says which state of a working copy counts.
type Mode string

const (
	// Committed follows the branch that is checked out. It is the zero value.
	Committed Mode = ""
	// Worktree takes the files as they are on disk.
	Worktree Mode = "worktree"
)

// Options make a Source.
type Options struct {
	Name, Path string
	Mode       Mode
	// Branch is followed in committed mode; "" is the one that is checked out.
	Branch string
	// Cache is the folder that keeps copies of files.
	Cache string
	// Log may be nil.
	Log *slog.Logger
	// Meter may be nil.
	Meter *meter.Meter
}

const mark = "folder:"

// Source is a local folder: a [gitsource.Source]. It is safe for concurrent use.
type Source struct {
	o       Options
	git     *treefs.Store     // nil when the folder is no Git repository
	merger  *gitmirror.Merger // nil when git is
	copies  *gitmirror.Bare
	scanner *scanner
	polls   *meter.Polls

	mu        sync.Mutex // guards what follows, and scans
	current   gitsource.Revision
	announced bool
}

var _ gitsource.Source = (*Source)(nil)

// New opens the folder.
func New(o Options) (*Source, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", "gitsource", "repository", o.Name)
	var err error
	if o.Path, err = filepath.Abs(o.Path); err != nil {
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	// It must be there, but is not kept resolved: a symlink that is set to another folder
	// (as git-sync does) is followed.
	if _, err := filepath.EvalSymlinks(o.Path); err != nil {
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	s := &Source{o: o}
	_, err = s.repository()
	isGit := err == nil
	if errors.Is(err, git.ErrRepositoryNotExists) {
		s.o.Mode, err = Worktree, nil
	}
	if err != nil {
		if errors.Is(err, git.ErrUnknownExtension) {
			err = fmt.Errorf("%w (its .git/config asks for something newer: SHA-256 object names and reftable are not supported)", err)
		}
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	if s.copies, err = gitmirror.OpenBare(gitmirror.Folder(o.Cache, o.Name, o.Path), o.Log); err != nil {
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	if isGit {
		if err := s.openRepository(); err != nil {
			return nil, errors.Join(fmt.Errorf("repository %s: %w", o.Name, err), s.copies.Close())
		}
	}
	s.scanner = &scanner{root: o.Path, store: s.copies}
	s.polls = o.Meter.Polls(o.Name, meter.Folder)
	return s, nil
}

// openRepository opens the repository's objects, with those of the merges that are kept beside
// the copies: their commits and trees refer to objects of the repository.
func (s *Source) openRepository() (err error) {
	s.git, err = treefs.NewStore(func() (treefs.Objects, error) {
		_, common := gitFolders(s.o.Path)
		return treefs.OpenRepository(common, s.copies.Dir())
	})
	s.merger = gitmirror.NewMerger(gitmirror.MergerOptions{Bare: s.copies, Objects: s.git, Writing: &s.mu,
		Lenders: func() ([]string, error) {
			_, common := gitFolders(s.o.Path)
			dirs, err := treefs.Lenders(common)
			return append(dirs, s.copies.Dir()), err
		}})
	return err
}

func (s *Source) repository() (*git.Repository, error) {
	return git.PlainOpenWithOptions(s.o.Path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
}

// Name is the name in the configuration.
func (s *Source) Name() string { return s.o.Name }

// Current is the last good revision of this life.
func (s *Source) Current() (gitsource.Revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.announced
}

// Poll looks once.
func (s *Source) Poll(ctx context.Context) (gitsource.Revision, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls.Time(func() (gitsource.Revision, bool, error) { return s.poll(ctx) })
}

func (s *Source) poll(ctx context.Context) (gitsource.Revision, bool, error) {
	rev, err := s.look(ctx)
	if err != nil {
		class := gitsource.ClassPerson
		if ctx.Err() != nil || errors.Is(err, errMoving) {
			class = gitsource.ClassWait
		}
		return s.current, false, &gitsource.FetchError{Repository: s.o.Name, Class: class, Err: err}
	}
	changed := !s.announced || rev.Commit != s.current.Commit || rev.Branch != s.current.Branch
	s.current, s.announced = rev, true
	return rev, changed, nil
}

func (s *Source) look(ctx context.Context) (gitsource.Revision, error) {
	if s.o.Mode == Worktree {
		if err := s.copies.Mend(); err != nil {
			return gitsource.Revision{}, err
		}
		tree, err := s.scanner.scan(ctx)
		if err != nil {
			return gitsource.Revision{}, err
		}
		return gitsource.Revision{Repository: s.o.Name, Branch: s.o.Branch, Commit: mark + tree.String()}, nil
	}
	r, err := s.repository()
	if err != nil {
		return gitsource.Revision{}, fmt.Errorf("open %s: %w", s.o.Path, err)
	}
	name := plumbing.HEAD
	if s.o.Branch != "" {
		name = plumbing.NewBranchReferenceName(s.o.Branch)
	}
	ref, err := r.Reference(name, true)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		if s.o.Branch != "" {
			return gitsource.Revision{}, fmt.Errorf("%s has no branch %q", s.o.Path, s.o.Branch)
		}
		return gitsource.Revision{}, fmt.Errorf("%s has no commit yet", s.o.Path)
	}
	if err != nil {
		return gitsource.Revision{}, err
	}
	if s.current.Commit == ref.Hash().String() && s.current.Branch == gitmirror.BranchOf(ref.Name().String()) {
		return s.current, nil
	}
	c, err := s.git.Commit(ref.Hash())
	if err != nil {
		return gitsource.Revision{}, err
	}
	return gitmirror.Revision(s.o.Name, gitmirror.BranchOf(ref.Name().String()), c), nil
}

// Snapshot opens a revision. Copies of a folder's files stay in the cache.
func (s *Source) Snapshot(_ context.Context, r gitsource.Revision) (gitsource.Snapshot, error) {
	snap, err := s.snapshot(r)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return snap, nil
}

func (s *Source) snapshot(r gitsource.Revision) (*treefs.Snapshot, error) {
	tree, isFolder := strings.CutPrefix(r.Commit, mark)
	if !plumbing.IsHash(tree) {
		return nil, fmt.Errorf("%q is no revision", r.Commit)
	}
	if isFolder {
		return s.copies.Store.NewSnapshot(r, plumbing.NewHash(tree))
	}
	if s.git == nil {
		return nil, fmt.Errorf("%s is no Git repository, so it has no commit %s", s.o.Path, r.Short())
	}
	c, err := s.git.Commit(plumbing.NewHash(r.Commit))
	if err != nil {
		return nil, err
	}
	return s.git.NewSnapshot(gitmirror.Revision(s.o.Name, r.Branch, c), c.TreeHash)
}

// Close releases the folder.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.copies.Close()
	if s.git != nil {
		err = errors.Join(err, s.git.Close())
	}
	return err
}

// gitFolders are where HEAD and where the branches are: two folders in a linked
// working copy, whose .git is a file.
func gitFolders(path string) (head, common string) {
	head = filepath.Join(path, ".git")
	fi, err := os.Stat(head)
	if err != nil {
		return path, path // a bare repository
	}
	if !fi.IsDir() {
		raw, err := os.ReadFile(head)
		dir, ok := strings.CutPrefix(strings.TrimSpace(string(raw)), "gitdir: ")
		if err != nil || !ok {
			return head, head
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(path, dir)
		}
		head = dir
	}
	raw, err := os.ReadFile(filepath.Join(head, "commondir"))
	if err != nil {
		return head, head
	}
	common = strings.TrimSpace(string(raw))
	if !filepath.IsAbs(common) {
		common = filepath.Join(head, common)
	}
	return head, common
}
