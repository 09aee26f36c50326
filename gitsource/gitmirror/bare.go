package gitmirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

// Bare is a bare repository that this process alone writes. It holds objects and a
// small record of where they came to (Tip): it has no refs and no URL, so there is
// nothing in it that could hold a credential. Objects are never removed: what was
// applied once may have to be destroyed from its commit years later.
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

const tipFile = "reeve.json"

// OpenBare opens the repository in dir or makes one. What a killed process left behind
// is removed. A damaged repository is moved aside, to be fetched anew.
func OpenBare(dir string, log *slog.Logger) (*Bare, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	b := &Bare{dir: dir, log: log, lock: flock.New(dir + ".lock")}
	ok, err := b.lock.TryLock()
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
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name()
		stale := strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp_") || strings.HasPrefix(name, ".tmp")
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

func verifyPack(name string) error {
	const sum = 20
	in, err := tail(name, sum)
	if err != nil {
		return err
	}
	want, err := tail(strings.TrimSuffix(name, ".pack")+".idx", 2*sum)
	if err != nil {
		return err
	}
	if !bytes.Equal(in, want[:sum]) {
		return fmt.Errorf("%w: the pack is not whole", treefs.ErrDamaged)
	}
	return nil
}

func tail(name string, n int64) (b []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() < n {
		return nil, treefs.ErrDamaged
	}
	b = make([]byte, n)
	_, err = f.ReadAt(b, fi.Size()-n)
	return b, err
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

// Fetch brings in what is behind want, and returns when it is durably on disk.
func (b *Bare) Fetch(ctx context.Context, s *remote.Session, want, have []plumbing.Hash) error {
	want = slices.DeleteFunc(slices.Clone(want), b.Store.Has)
	if len(want) > 0 {
		sto := treefs.OpenStorage(b.dir)
		err := s.Fetch(ctx, sto, want, b.haves(have))
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

type pack struct {
	path string
	size int64
}

func (b *Bare) packs() ([]pack, error) {
	names, err := filepath.Glob(filepath.Join(b.dir, "objects", "pack", "pack-*.pack"))
	if err != nil {
		return nil, err
	}
	var out []pack
	for _, n := range names {
		fi, err := os.Stat(n)
		if err != nil {
			return nil, err
		}
		out = append(out, pack{n, fi.Size()})
	}
	return out, nil
}

func (b *Bare) sync() error {
	dir := filepath.Join(b.dir, "objects", "pack")
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		fi, err := e.Info()
		if err != nil || time.Since(fi.ModTime()) > time.Hour { // synced when it was new
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("store the pack: %w", err)
		}
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

const (
	maxPacks  = 24      // more than that are merged
	smallPack = 8 << 20 // bytes; larger packs are left alone, so that merging stays cheap
)

// merge makes one pack of the small ones when fetches have left many: a lookup asks
// every pack. The old ones go when the new one is durable.
func (b *Bare) merge() error {
	all, err := b.packs()
	if err != nil || len(all) <= maxPacks {
		return err
	}
	seen := map[plumbing.Hash]bool{}
	var hashes []plumbing.Hash
	var small []string
	for _, p := range all {
		if p.size >= smallPack {
			continue
		}
		small = append(small, p.path)
		if err := eachObject(p.path, func(h plumbing.Hash) {
			if !seen[h] {
				seen[h] = true
				hashes = append(hashes, h)
			}
		}); err != nil {
			return err
		}
	}
	if len(small) < 2 {
		return nil
	}
	sto := treefs.OpenStorage(b.dir)
	w, err := sto.PackfileWriter()
	if err != nil {
		return errors.Join(err, sto.Close())
	}
	sum, err := packfile.NewEncoder(w, sto, false).Encode(hashes, 10)
	if err = errors.Join(err, w.Close(), sto.Close()); err != nil {
		return err
	}
	merged := filepath.Join(b.dir, "objects", "pack", "pack-"+sum.String()+".pack")
	if err := errors.Join(b.sync(), verifyPack(merged)); err != nil {
		return err
	}
	for _, p := range small {
		if p != merged {
			err = errors.Join(err, os.Remove(p), os.Remove(strings.TrimSuffix(p, ".pack")+".idx"))
		}
	}
	return errors.Join(err, b.Store.Reopen())
}

func eachObject(pack string, visit func(plumbing.Hash)) (err error) {
	f, err := os.Open(strings.TrimSuffix(pack, ".pack") + ".idx")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	idx := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(f).Decode(idx); err != nil {
		return err
	}
	it, err := idx.Entries()
	if err != nil {
		return err
	}
	for {
		e, err := it.Next()
		if errors.Is(err, io.EOF) {
			return it.Close()
		}
		if err != nil {
			return err
		}
		visit(e.Hash)
	}
}

// Close lets go of the folder.
func (b *Bare) Close() error { return errors.Join(b.Store.Close(), b.lock.Unlock()) }

// Dir is the repository's folder.
func (b *Bare) Dir() string { return b.dir }
