// Package gitmirror follows one branch of a remote repository in a bare mirror.
//
// A poll asks the remote for its refs, which is one round trip, and compares one
// hash. Only when that differs are objects fetched, in the same session. The
// revision moves when the objects are durably on disk: a process killed at any
// point leaves the last good state, and a fetch that fails leaves it in force.
//
//	s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: "https://…", Cache: dir})
//	rev, changed, err := s.Poll(ctx)
//	snap, err := s.Snapshot(ctx, rev)
//
// The package never writes to the remote and has no work tree.
package gitmirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/meter"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// Options make a Source.
type Options struct {
	// Name is the name in the configuration.
	Name string
	// URL is the remote, without credentials.
	URL string
	// Branch is followed; "" is the remote's default branch.
	Branch string
	// Cache is the folder that holds mirrors. It may be deleted while nothing runs.
	Cache       string
	Credentials remote.Credentials
	// Timeout ends one exchange with the remote; 0 means two minutes.
	Timeout time.Duration
	// Log may be nil.
	Log *slog.Logger
	// Meter may be nil.
	Meter *meter.Meter
}

// Source is a mirrored repository: a [gitsource.Source]. It is safe for concurrent use.
type Source struct {
	o      Options
	remote *remote.Remote
	bare   *Bare
	merger *Merger
	polls  *meter.Polls

	poll sync.Mutex // one exchange at a time

	mu        sync.Mutex // guards what follows
	current   gitsource.Revision
	announced bool // current was returned by a Poll of this life
}

var _ gitsource.Source = (*Source)(nil)

// New opens or makes the mirror. It does not connect.
func New(o Options) (*Source, error) {
	r, err := remote.New(remote.Options{Name: o.Name, URL: o.URL, Credentials: o.Credentials})
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", "gitsource", "repository", o.Name)
	b, err := OpenBare(Folder(o.Cache, o.Name, o.URL), o.Log)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", o.Name, err)
	}
	s := &Source{o: o, remote: r, bare: b, polls: o.Meter.Polls(o.Name, meter.Mirror)}
	s.merger = NewMerger(MergerOptions{Bare: b, Objects: b.Store, Writing: &s.poll,
		Lenders: func() ([]string, error) { return []string{b.dir}, nil }})
	if tip, ok, err := b.Tip(); err == nil && ok && (o.Branch == "" || o.Branch == tip.Branch) {
		if c, err := b.Store.Commit(plumbing.NewHash(tip.Commit)); err == nil {
			s.current = s.revision(tip.Branch, c)
		}
	}
	return s, nil
}

// Folder is where the mirror of a URL is kept below a cache: a readable name and a
// hash, so that another URL never meets the objects of the old one. Two repositories
// of the configuration may follow two branches of one URL: each has its own mirror. name
// is "" for a mirror that belongs to none of them.
func Folder(cache, name, url string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + url))
	last := strings.TrimSuffix(url[strings.LastIndexAny(url, "/:")+1:], ".git")
	clean := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, last)
	return filepath.Join(cache, clean+"-"+hex.EncodeToString(sum[:6])+".git")
}

// Name is the name in the configuration.
func (s *Source) Name() string { return s.o.Name }

// Current is the last good revision, also of an earlier life of the process.
func (s *Source) Current() (gitsource.Revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.current.Commit != ""
}

// quickRetry is how long a poll rides out a blip by itself; beyond it the caller's
// back-off decides.
const quickRetry = 3 * time.Second

// Poll looks once. The error is a [gitsource.FetchError], and then the revision is
// the last good one. changed is true for the first poll of a process.
func (s *Source) Poll(ctx context.Context) (gitsource.Revision, bool, error) {
	s.poll.Lock()
	defer s.poll.Unlock()
	return s.polls.Time(func() (gitsource.Revision, bool, error) { return s.look(ctx) })
}

func (s *Source) look(ctx context.Context) (gitsource.Revision, bool, error) {
	last, _ := s.Current()
	if err := s.bare.Mend(); err != nil {
		return last, false, s.failed(err)
	}
	rev, err := retry(ctx, s.o.Timeout, s.exchange)
	if err != nil {
		return last, false, s.failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := !s.announced || rev.Commit != s.current.Commit || rev.Branch != s.current.Branch
	s.current, s.announced = rev, true
	return rev, changed, nil
}

// retry does an exchange, and again after a blip.
func retry[T any](ctx context.Context, timeout time.Duration, exchange func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	return backoff.Retry(ctx, func() (T, error) {
		v, err := exchange(ctx)
		var fe *gitsource.FetchError
		isClear := errors.Is(err, gitsource.ErrHeadMoved) || errors.Is(err, gitsource.ErrNoHead)
		if isClear || errors.As(err, &fe) && (fe.Class == gitsource.ClassPerson || fe.RetryAfter > 0 || ctx.Err() != nil) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(b), backoff.WithMaxTries(3), backoff.WithMaxElapsedTime(quickRetry))
}

// failed makes every error a FetchError: one without a class is about our own disk.
func (s *Source) failed(err error) error {
	var fe *gitsource.FetchError
	if errors.As(err, &fe) {
		return fe
	}
	class := gitsource.ClassPerson
	if errors.Is(err, gitsource.ErrHeadMoved) || errors.Is(err, gitsource.ErrNoHead) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, treefs.ErrDamaged) {
		// Damage is mended by the next poll.
		class = gitsource.ClassWait
	}
	return &gitsource.FetchError{Repository: s.o.Name, Class: class, Err: err}
}

// exchange is one session with the remote.
func (s *Source) exchange(ctx context.Context) (gitsource.Revision, error) {
	session, err := s.remote.Connect(ctx)
	if err != nil {
		return gitsource.Revision{}, err
	}
	defer session.Close()
	branch, head, err := s.tip(session)
	if err != nil {
		return gitsource.Revision{}, err
	}
	last, ok := s.Current()
	// A mirror that was damaged is empty again: then the known commit is fetched anew.
	if ok && last.Branch == branch && last.Commit == head.String() && s.bare.Store.Has(head) {
		return last, nil
	}
	var have []plumbing.Hash
	if ok {
		have = append(have, plumbing.NewHash(last.Commit))
	}
	isThere := s.bare.Store.Has(head) // a branch that was set back, or a commit that was asked for
	if err := s.bare.Fetch(ctx, session, []plumbing.Hash{head}, have); err != nil {
		return gitsource.Revision{}, err
	}
	if !isThere {
		s.polls.Fetched()
	}
	c, err := s.bare.Store.Commit(head)
	if err != nil {
		return gitsource.Revision{}, err
	}
	if err := s.bare.SetTip(Tip{Branch: branch, Commit: head.String()}); err != nil {
		return gitsource.Revision{}, err
	}
	return s.revision(branch, c), nil
}

// tip is where the followed branch is in the remote.
func (s *Source) tip(session *remote.Session) (branch string, h plumbing.Hash, err error) {
	if branch = s.o.Branch; branch == "" {
		if branch, err = session.Default(); err != nil {
			return "", h, err
		}
	}
	h, err = session.Branch(branch)
	return branch, h, err
}

func (s *Source) revision(branch string, c *object.Commit) gitsource.Revision {
	return Revision(s.o.Name, branch, c)
}

// Revision describes a commit. What the commit says of itself was written by anybody.
func Revision(repository, branch string, c *object.Commit) gitsource.Revision {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	at := c.Committer.When.UTC()
	if at.Year() < 1 || at.Year() > 9999 { // a time that cannot be written down
		at = time.Time{}
	}
	return gitsource.Revision{Repository: repository, Branch: branch, Commit: c.Hash.String(),
		Subject: line(subject), Author: line(c.Author.Name), CommittedAt: at}
}

// maxLine is how many bytes of a subject or name are kept.
const maxLine = 1000

// line is text that fits in a line, a database and a message: valid, without control
// characters, and not endless.
func line(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxLine)], "\ufffd")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// Watch waits for the end of ctx: a remote does not call.
func (s *Source) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// Snapshot opens a revision. Commits stay in the mirror after the branch was rewritten; one
// that a new mirror lacks is asked of the remote by its hash.
func (s *Source) Snapshot(ctx context.Context, r gitsource.Revision) (gitsource.Snapshot, error) {
	if !plumbing.IsHash(r.Commit) {
		return nil, fmt.Errorf("repository %s: %q is no commit", s.o.Name, r.Commit)
	}
	h := plumbing.NewHash(r.Commit)
	c, err := s.bare.Store.Commit(h)
	if errors.Is(err, treefs.ErrMissing) {
		if err := s.fetchCommit(ctx, h); err != nil {
			return nil, fmt.Errorf("commit %s is not in the mirror any more: %w", r.Short(), err)
		}
		c, err = s.bare.Store.Commit(h)
	}
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	full := s.revision(r.Branch, c)
	snap, err := s.bare.Store.NewSnapshot(full, c.TreeHash)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.o.Name, err)
	}
	return snap, nil
}

func (s *Source) fetchCommit(ctx context.Context, h plumbing.Hash) error {
	s.poll.Lock()
	defer s.poll.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	session, err := s.remote.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	var have []plumbing.Hash
	if last, ok := s.Current(); ok {
		have = append(have, plumbing.NewHash(last.Commit))
	}
	return s.bare.Fetch(ctx, session, []plumbing.Hash{h}, have)
}

// Close releases the mirror.
func (s *Source) Close() error {
	s.poll.Lock()
	defer s.poll.Unlock()
	return s.bare.Close()
}
