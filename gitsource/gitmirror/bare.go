package gitmirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
	"github.com/stackreeve/stackreeve/internal/folderlock"
)

// Bare is a bare repository that this process alone writes. It holds objects and a
// small record of where they came to (Tip): it has no refs but those of merges and no
// URL, so there is nothing in it that could hold a credential. Objects are never removed:
// what was applied once may have to be destroyed from its commit years later.
type Bare struct {
	dir   string
	log   *slog.Logger
	lock  *flock.Flock
	Store *treefs.Store
}

// Tip is the last state that is complete on disk.
type Tip struct {
	Branch string `json:"branch"`
	Commit string `json:"commit"`
}

// ErrInUse is returned when another process has the folder open.
var ErrInUse = errors.New("in use by another process")

const (
	tipFile     = "reeve.json"
	shallowFile = "shallow" // Git's own
	scratches   = "merging" // the folder of merges in the making
)

// OpenBare opens the repository in dir or makes one. What a killed process left behind
// is removed. A damaged repository is moved aside, to be fetched anew.
func OpenBare(dir string, log *slog.Logger) (*Bare, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	b := &Bare{dir: dir, log: log, lock: flock.New(dir + ".lock")}
	ok, err := folderlock.Take(b.lock)
	if err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("open the mirror %s: %w", dir, ErrInUse)
	}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.lock.Unlock())
	}
	return b, nil
}

func (b *Bare) open() error {
	if err := b.init(); err != nil {
		return fmt.Errorf("open the mirror: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, scratches)); err != nil {
		// A git that outlived its killed reeve may still write there. It harms nobody.
		b.log.Warn("what is left of killed merges cannot be removed yet", "mirror", b.dir, "error", err)
	}
	if err := b.clean(); err != nil {
		return fmt.Errorf("open the mirror: %w", err)
	}
	err := b.verify()
	switch {
	case err == nil:
		return nil
	case treefs.IsDamage(err):
		return b.setAside(err)
	}
	return fmt.Errorf("open the mirror: %w", err)
}

// init makes the folder one that Git's own tools can read.
func (b *Bare) init() error {
	for _, d := range []string{"objects/pack", "refs/heads"} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o700); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"HEAD":   "ref: refs/heads/main\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n\tpruneExpire = never\n",
	} {
		p := filepath.Join(b.dir, name)
		if _, err := os.Stat(p); err == nil {
			continue
		}
		if err := renameio.WriteFile(p, []byte(text), 0o600); err != nil {
			return err
		}
	}
	if b.Store != nil { // snapshots hold it: it stays the same one
		return b.Store.Reopen()
	}
	s, err := treefs.OpenStore(b.dir)
	b.Store = s
	return err
}

// clean removes locks, unfinished packs and halves of packs.
func (b *Bare) clean() error {
	return filepath.WalkDir(b.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == scratches {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name() // nothing that we keep begins with a dot; what is about to be renamed does
		stale := strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp_") || strings.HasPrefix(name, ".")
		for ext, other := range map[string]string{".pack": ".idx", ".idx": ".pack"} {
			if root, ok := strings.CutSuffix(p, ext); ok {
				_, err := os.Stat(root + other)
				stale = stale || errors.Is(err, fs.ErrNotExist)
			}
		}
		if stale {
			return os.Remove(p)
		}
		return nil
	})
}

// verify looks for damage without reading everything: every pack must end in the
// checksum that its index names, and the tip must be readable. Damage inside of
// a pack shows when it is read.
func (b *Bare) verify() error {
	packs, err := b.packs()
	if err != nil {
		return err
	}
	for _, p := range packs {
		if err := verifyPack(p.path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(p.path), err)
		}
	}
	tip, ok, err := b.Tip()
	if err != nil || !ok {
		return err
	}
	c, err := b.Store.Commit(plumbing.NewHash(tip.Commit))
	if err != nil {
		return err
	}
	if !b.Store.Has(c.TreeHash) {
		return treefs.ErrMissing
	}
	return nil
}

// setAside keeps a damaged repository for a person to look at, and starts anew.
func (b *Bare) setAside(damage error) error {
	to := fmt.Sprintf("%s.damaged-%s", b.dir, time.Now().UTC().Format("20060102T150405.000"))
	b.log.Warn("mirror is damaged; moved aside and fetched anew", "mirror", b.dir, "movedTo", to, "error", damage)
	if err := errors.Join(b.Store.Close(), os.Rename(b.dir, to)); err != nil {
		return fmt.Errorf("move the damaged mirror aside: %w", err)
	}
	return b.init()
}

// Mend starts anew if a read met damage.
func (b *Bare) Mend() error {
	if damage := b.Store.Damaged(); damage != nil {
		return b.setAside(damage)
	}
	return nil
}

// Tip is the last state that was recorded.
func (b *Bare) Tip() (Tip, bool, error) {
	raw, err := os.ReadFile(filepath.Join(b.dir, tipFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Tip{}, false, nil
	}
	var t Tip
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	return t, err == nil && t.Commit != "", err
}

// SetTip records a state. Call it when all its objects are there.
func (b *Bare) SetTip(t Tip) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(b.dir, tipFile), raw, 0o600); err != nil {
		return fmt.Errorf("record the new commit: %w", err)
	}
	return syncFolder(b.dir)
}

// setRef writes a ref durably.
func (b *Bare) setRef(name string, h plumbing.Hash) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, []byte(h.String()+"\n"), 0o600); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// Fetch brings in what is behind want, and returns when it is durably on disk.
func (b *Bare) Fetch(ctx context.Context, s *remote.Session, want, have []plumbing.Hash) error {
	want = slices.DeleteFunc(slices.Clone(want), b.Store.Has)
	if len(want) > 0 {
		// First: a commit must not be there without a word that its parents are not.
		shallow, err := b.addShallow(s.Shallow())
		if err != nil {
			return fmt.Errorf("record where the server's history begins: %w", err)
		}
		sto := treefs.OpenStorage(b.dir)
		err = s.Fetch(ctx, sto, remote.Request{Want: want, Have: b.haves(have), Shallow: shallow})
		if err = errors.Join(err, sto.Close()); err != nil {
			return errors.Join(err, b.clean())
		}
		if err := b.sync(); err != nil {
			return err
		}
		if err := b.Store.Reopen(); err != nil {
			return err
		}
	}
	if err := b.merge(); err != nil {
		b.log.Warn("merging small packs failed; fetching goes on", "mirror", b.dir, "error", err)
	}
	return nil
}

// addShallow adds to the commits whose parents the mirror may lack, because a server had
// only the end of a history, and returns all of them. A later server that has the
// beginning too would otherwise believe that we have it. The file is Git's own.
func (b *Bare) addShallow(more []plumbing.Hash) ([]plumbing.Hash, error) {
	name := filepath.Join(b.dir, shallowFile)
	raw, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []plumbing.Hash
	for _, line := range strings.Fields(string(raw)) {
		all = append(all, plumbing.NewHash(line))
	}
	known := len(all)
	for _, h := range more {
		if !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	if len(all) == known {
		return all, nil
	}
	var text strings.Builder
	for _, h := range all {
		text.WriteString(h.String() + "\n")
	}
	return all, renameio.WriteFile(name, []byte(text.String()), 0o600)
}

// maxHaves is how many commits are offered, so that a server whose branch was
// rewritten finds a common one.
const maxHaves = 128

func (b *Bare) haves(from []plumbing.Hash) []plumbing.Hash {
	var out []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for queue := from; len(queue) > 0 && len(out) < maxHaves; queue = queue[1:] {
		h := queue[0]
		if seen[h] {
			continue
		}
		seen[h] = true
		c, err := b.Store.Commit(h)
		if err != nil {
			continue // offering less costs transfer, nothing else
		}
		out = append(out, h)
		queue = append(queue, c.ParentHashes...)
	}
	return out
}

// Close lets go of the folder.
func (b *Bare) Close() error { return errors.Join(b.Store.Close(), b.lock.Unlock()) }

// Dir is the repository's folder.
func (b *Bare) Dir() string { return b.dir }
