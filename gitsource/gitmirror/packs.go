package gitmirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

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
	merged, err := b.pack(b.dir, hashes, 10)
	if err != nil {
		return err
	}
	return b.Store.Replace(func() error {
		var err error
		for _, p := range small {
			if p != merged {
				err = errors.Join(err, os.Remove(p), os.Remove(strings.TrimSuffix(p, ".pack")+".idx"))
			}
		}
		return err
	})
}

// pack makes one durable pack of objects of a repository.
func (b *Bare) pack(from string, hashes []plumbing.Hash, window uint) (name string, err error) {
	in, out := treefs.OpenStorage(from), treefs.OpenStorage(b.dir)
	defer func() { err = errors.Join(err, in.Close(), out.Close()) }()
	w, err := out.PackfileWriter()
	if err != nil {
		return "", err
	}
	sum, err := packfile.NewEncoder(w, in, false).Encode(hashes, window)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	name = filepath.Join(b.dir, "objects", "pack", "pack-"+sum.String()+".pack")
	return name, errors.Join(b.sync(), verifyPack(name))
}

// adopt copies the loose objects of a repository: as one pack, so that they are there
// together or not at all.
func (b *Bare) adopt(from string) error {
	hashes, err := looseIn(from)
	if err != nil {
		return err
	}
	if _, err := b.pack(from, hashes, 0); err != nil {
		return errors.Join(err, b.clean())
	}
	if err := b.Store.Reopen(); err != nil {
		return err
	}
	if err := b.merge(); err != nil {
		b.log.Warn("merging small packs failed; what was added is kept", "mirror", b.dir, "error", err)
	}
	return nil
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
