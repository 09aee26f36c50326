// Package module gets module code: it says which content a module source means, and
// keeps one immutable checkout per revision, shared by all jobs.
//
// The revision of a folder of the config repository is a hash over the folder and
// everything it refers to with "./" and "../", so that a change elsewhere in the
// repository plans nothing. The revision of a Git module is a commit.
//
// Checkouts are read-only folders below the cache, named by revision, that appear
// whole or not at all. They stay until Prune, so that what was applied from them can
// be destroyed from the same code.
package module

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/schema"
)

// Options make Modules.
type Options struct {
	// Cache is the folder for checkouts ("modules") and mirrors ("git").
	Cache string
	// Source finds a config repository by name, for checkouts of its folders.
	Source func(name string) (gitsource.Source, bool)
	// Credentials are those for a module's URL; nil means none.
	Credentials func(url string) remote.Credentials
	// Interval is how long an answer about branches and tags holds; 0 means a minute.
	Interval time.Duration
	// RetryAfter is how long the answer of a remote that fails holds; 0 means ten seconds.
	RetryAfter time.Duration
	// Timeout ends one exchange with a remote; 0 means two minutes.
	Timeout time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Modules is a [gitsource.Modules]. It is safe for concurrent use.
type Modules struct {
	o      Options
	flight singleflight.Group

	mu      sync.Mutex // guards what follows
	refs    map[string][]reference
	mirrors map[string]*mirror // by URL

	// handing is held while a checkout is handed out, and while it is decided of one whether
	// it goes.
	handing sync.Mutex
	// found is called between the two steps of Checkout; tests set it.
	found func()
}

var _ gitsource.Modules = (*Modules)(nil)

// New makes the cache's folders.
func New(o Options) (*Modules, error) {
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", "module")
	m := &Modules{o: o, refs: map[string][]reference{}, mirrors: map[string]*mirror{}}
	for _, d := range []string{m.checkouts(), filepath.Join(o.Cache, "git")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the module cache: %w", err)
		}
	}
	return m, m.clean()
}

func (m *Modules) checkouts() string { return filepath.Join(m.o.Cache, "modules") }

// clean removes checkouts that a killed process did not finish.
func (m *Modules) clean() error {
	left, err := filepath.Glob(filepath.Join(m.checkouts(), unfinished+"*"))
	for _, p := range left {
		err = errors.Join(err, remove(p))
	}
	return err
}

// Revision tells which content src means now.
func (m *Modules) Revision(ctx context.Context, snap gitsource.Snapshot, src schema.ModuleSource) (string, error) {
	if src.IsLocal() {
		c, err := m.closureOf(snap, src.Path)
		if err != nil {
			return "", err
		}
		return c.revision(), nil
	}
	if plumbing.IsHash(src.Ref) {
		return src.Ref, nil
	}
	g, err := m.mirror(src.URL)
	if err != nil {
		return "", err
	}
	h, err := g.resolve(ctx, src.Ref)
	if err != nil {
		return "", err
	}
	return h.String(), nil
}

// Checkout returns the code at a revision, made once whoever asks. It needs the
// network or the config repository only when the checkout is not there yet.
func (m *Modules) Checkout(ctx context.Context, repository, commit string, src schema.ModuleSource, revision string) (gitsource.Checkout, error) {
	name := revision
	if !src.IsLocal() {
		sum := sha256.Sum256([]byte(src.URL))
		name += "-" + hex.EncodeToString(sum[:6])
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return gitsource.Checkout{}, fmt.Errorf("check out module %s: %q is no revision", src, revision)
	}
	root := filepath.Join(m.checkouts(), name)
	out := gitsource.Checkout{Root: root, Path: path.Clean(src.Path)}
	result := m.flight.DoChan(name, func() (any, error) {
		if _, err := os.Stat(root); err == nil {
			return nil, nil
		}
		// Shared by all who wait: one caller's end must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*m.o.Timeout)
		defer cancel()
		snap, parts, err := m.content(ctx, repository, commit, src, revision)
		if err != nil {
			return nil, err
		}
		return nil, materialise(snap, parts, root)
	})
	select {
	case <-ctx.Done():
		return gitsource.Checkout{}, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return gitsource.Checkout{}, fmt.Errorf("check out module %s: %w", src, r.Err)
		}
	}
	if m.found != nil {
		m.found()
	}
	m.handing.Lock()
	fi, err := os.Stat(filepath.Join(root, filepath.FromSlash(out.Path)))
	_, gone := os.Stat(root)
	m.handing.Unlock()
	if errors.Is(gone, fs.ErrNotExist) {
		return m.Checkout(ctx, repository, commit, src, revision) // nobody needed it when it was looked for
	}
	if err != nil || !fi.IsDir() {
		return gitsource.Checkout{}, fmt.Errorf("check out module %s: there is no folder %q at %s", src, out.Path, revision)
	}
	return out, nil
}

// content finds what to check out, and that it is what the revision says.
func (m *Modules) content(ctx context.Context, repository, commit string, src schema.ModuleSource, revision string) (fs.FS, closure, error) {
	if !src.IsLocal() {
		g, err := m.mirror(src.URL)
		if err != nil {
			return nil, nil, err
		}
		snap, err := g.snapshot(ctx, revision)
		return snap, closure{{path: "."}}, err
	}
	repo, ok := m.o.Source(repository)
	if !ok {
		return nil, nil, fmt.Errorf("the repository %q is not configured any more", repository)
	}
	snap, err := repo.Snapshot(ctx, gitsource.Revision{Repository: repository, Commit: commit})
	if err != nil {
		return nil, nil, err
	}
	c, err := m.closureOf(snap, src.Path)
	if err != nil {
		return nil, nil, err
	}
	if got := c.revision(); got != revision {
		return nil, nil, fmt.Errorf("at %s the module is at revision %.12s, not %.12s", commit, got, revision)
	}
	return snap, c, nil
}

// Prune removes checkouts that no job or stack needs. inUse is asked right before each goes,
// and must know of everybody who began to ask for it by then: whoever begins later gets one
// that is made anew.
func (m *Modules) Prune(ctx context.Context, inUse func(revision string) (bool, error)) error {
	list, err := os.ReadDir(m.checkouts())
	if err != nil {
		return fmt.Errorf("prune module checkouts: %w", err)
	}
	for _, d := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !d.IsDir() || len(d.Name()) > 0 && d.Name()[0] == '.' {
			continue
		}
		// Renamed first: a half-removed checkout must not be found by its name.
		gone := filepath.Join(m.checkouts(), unfinished+d.Name())
		took, err := m.take(d.Name(), gone, inUse)
		if err == nil && took {
			err = remove(gone)
		}
		if err != nil {
			return fmt.Errorf("prune module checkouts: %w", err)
		}
	}
	return nil
}

// take gives a checkout that nobody needs another name.
func (m *Modules) take(name, to string, inUse func(revision string) (bool, error)) (took bool, err error) {
	revision := name
	if i := len(revision) - 13; i > 0 && revision[i] == '-' { // a Git module: "<commit>-<URL's hash>"
		revision = revision[:i]
	}
	m.handing.Lock()
	defer m.handing.Unlock()
	if used, err := inUse(revision); used || err != nil {
		return false, err
	}
	return true, os.Rename(filepath.Join(m.checkouts(), name), to)
}

// Close releases the mirrors.
func (m *Modules) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	for _, g := range m.mirrors {
		err = errors.Join(err, g.bare.Close())
	}
	clear(m.mirrors)
	return err
}

func (m *Modules) mirror(url string) (*mirror, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g, ok := m.mirrors[url]; ok {
		return g, nil
	}
	if _, err := remote.New(remote.Options{URL: url}); err != nil {
		return nil, errors.New("the module's URL cannot be used: it must be https or ssh, without credentials in it")
	}
	b, err := gitmirror.OpenBare(gitmirror.Folder(filepath.Join(m.o.Cache, "git"), "", url), m.o.Log)
	if err != nil {
		return nil, err
	}
	g := &mirror{m: m, url: url, bare: b}
	m.mirrors[url] = g
	return g, nil
}
