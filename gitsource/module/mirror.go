package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// mirror is one Git repository with modules.
type mirror struct {
	m    *Modules
	url  string
	bare *gitmirror.Bare

	mu      sync.Mutex // one exchange at a time; guards what follows
	refs    *remote.Session
	askedAt time.Time
	// failure is what the remote said when it was last asked, with failedWith.
	failure    error
	failedAt   time.Time
	failedWith remote.Credentials
}

// credentials are those of now: a new configuration may name others.
func (g *mirror) credentials() remote.Credentials {
	if g.m.o.Credentials == nil {
		return remote.Credentials{}
	}
	return g.m.o.Credentials(g.url)
}

func (g *mirror) connect(ctx context.Context) (*remote.Session, error) {
	r, err := remote.New(remote.Options{Name: "module " + g.url, URL: g.url, Credentials: g.credentials()})
	if err != nil {
		return nil, err
	}
	return r.Connect(ctx)
}

// ask gets the refs anew. A remote that just failed is not asked again at once: many
// modules may be of it, and each would wait as long.
func (g *mirror) ask(ctx context.Context) error {
	with := g.credentials()
	if g.failure != nil && g.failedWith == with && time.Since(g.failedAt) < g.m.o.RetryAfter {
		return g.failure
	}
	within, cancel := context.WithTimeout(ctx, g.m.o.Timeout)
	defer cancel()
	s, err := g.connect(within)
	g.failure = nil
	if err != nil {
		if ctx.Err() == nil { // else the caller ended it, and the remote said nothing
			g.failure, g.failedAt, g.failedWith = err, time.Now(), with
		}
		return err
	}
	s.Close() // its refs are still there
	g.refs, g.askedAt = s, time.Now()
	return nil
}

// resolve asks which commit a branch or tag is, at most once per interval for all refs.
// While the remote cannot be reached, its last answer holds.
func (g *mirror) resolve(ctx context.Context, ref string) (plumbing.Hash, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refs == nil || time.Since(g.askedAt) >= g.m.o.Interval {
		err := g.ask(ctx)
		var fe *gitsource.FetchError
		switch {
		case err == nil:
		case g.refs == nil || !errors.As(err, &fe) || fe.Class != gitsource.ClassWait:
			return plumbing.ZeroHash, err
		default:
			g.m.o.Log.Warn("the module's repository cannot be asked; its last answer holds", "error", err)
			g.askedAt = time.Now()
		}
	}
	if ref == "" {
		b, err := g.refs.Default()
		if err != nil {
			return plumbing.ZeroHash, err
		}
		return g.refs.Branch(b)
	}
	return g.refs.Ref(ref)
}

// snapshot opens a commit, fetching it if it is not there.
func (g *mirror) snapshot(ctx context.Context, revision string) (*treefs.Snapshot, error) {
	if !plumbing.IsHash(revision) {
		return nil, fmt.Errorf("%q is no commit", revision)
	}
	h := plumbing.NewHash(revision)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.bare.Mend(); err != nil {
		return nil, err
	}
	if !g.bare.Store.Has(h) {
		if err := g.fetch(ctx, h); err != nil {
			return nil, err
		}
	}
	c, err := g.bare.Store.Commit(h)
	if err != nil {
		return nil, err
	}
	return g.bare.Store.NewSnapshot(gitmirror.Revision("", "", c), c.TreeHash)
}

// fetch gets a commit: by itself when a branch or tag is there, else with the whole
// history, else, where the server allows it, by its hash.
func (g *mirror) fetch(ctx context.Context, h plumbing.Hash) error {
	var have []plumbing.Hash
	if tip, ok, err := g.bare.Tip(); err == nil && ok {
		have = append(have, plumbing.NewHash(tip.Commit))
	}
	ask := func(want []plumbing.Hash) error {
		s, err := g.connect(ctx)
		if err != nil {
			return err
		}
		defer s.Close()
		if want == nil {
			if want = s.Tips(); slices.Contains(want, h) {
				want = []plumbing.Hash{h}
			}
		}
		return g.bare.Fetch(ctx, s, want, have)
	}
	if err := ask(nil); err != nil {
		return err
	}
	if !g.bare.Store.Has(h) {
		if err := ask([]plumbing.Hash{h}); err != nil {
			return fmt.Errorf("commit %s is behind no branch or tag, and the server does not give it by itself: %w", h, err)
		}
	}
	return g.bare.SetTip(gitmirror.Tip{Commit: h.String()})
}
