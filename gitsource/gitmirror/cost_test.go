package gitmirror_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/treefs"
)

func files(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("acme/env-%d/r-%d.yaml", i%20, i)] = fmt.Sprintf("kind: Vpc\nmetadata: {name: r%d}\n", i)
	}
	return out
}

func polled(t testing.TB, n int) *gitmirror.Source {
	t.Helper()
	repo := gittest.Serve(t).Repo(t, "infra")
	repo.Commit("first", files(n))
	s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: repo.URL, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, _, err := s.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Not parallel: allocations are counted for the whole process.
func TestPollAllocatesTheSameForSmallAndLargeRepositories(t *testing.T) { //nolint:paralleltest // see above
	cost := func(n int) float64 {
		s := polled(t, n)
		return testing.AllocsPerRun(10, func() {
			if _, _, err := s.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	small, large := cost(10), cost(10_000)
	if large > small*1.2+50 {
		t.Errorf("a poll of 10,000 files allocates %.0f times, of 10 files %.0f", large, small)
	}
}

func BenchmarkPollNothingNew(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := polled(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Poll(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkListSnapshot(b *testing.B) {
	s := polled(b, 10_000)
	r, _ := s.Current()
	snap, err := s.Snapshot(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range snap.Blobs() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 10_000 {
			b.Fatal(n)
		}
	}
}

// merging is a mirror of a repository of n files, with commits to merge.
func merging(b *testing.B, n int) (*gitmirror.Bare, *gitmirror.Merger, *object.Commit, *object.Commit) {
	b.Helper()
	repo := gittest.Serve(b).Repo(b, "infra")
	first := repo.Commit("first", files(n))
	head := repo.Propose(7, first, map[string]string{"acme/env-1/r-1.yaml": "kind: Vpc\nmetadata: {name: edited}\n", "acme/env-0/new.yaml": "kind: Vpc\n"})
	base := repo.Commit("second", map[string]string{"acme/env-0/r-0.yaml": "kind: Subnet\n", "acme/env-2/r-2.yaml": "kind: Subnet\n"})
	cache := b.TempDir()
	s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: repo.URL, Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	if m := merge(b, s, seven(head)); m.Revision.Commit == "" {
		b.Fatal(m)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	bare, err := gitmirror.OpenBare(mirrorOf(b, cache), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Close() })
	m := gitmirror.NewMerger(gitmirror.MergerOptions{Bare: bare, Objects: bare.Store, Writing: &sync.Mutex{},
		Lenders: func() ([]string, error) { return []string{bare.Dir()}, nil }})
	one, err := bare.Store.Commit(plumbing.NewHash(base))
	if err != nil {
		b.Fatal(err)
	}
	two, err := bare.Store.Commit(plumbing.NewHash(head))
	if err != nil {
		b.Fatal(err)
	}
	return bare, m, one, two
}

// BenchmarkMerge is all of a merge but the exchange with the remote: each one is new, and kept.
func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{20, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bare, m, base, head := merging(b, n)
			i := 0
			for b.Loop() {
				b.StopTimer()
				i++
				c := *head
				c.Message = fmt.Sprint("edit ", i)
				sto := treefs.OpenStorage(bare.Dir())
				o := sto.NewEncodedObject()
				if err := c.Encode(o); err != nil {
					b.Fatal(err)
				}
				h, err := sto.SetEncodedObject(o)
				if err != nil {
					b.Fatal(err)
				}
				next, err := bare.Store.Commit(h)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				out, err := m.Merge(b.Context(), "7", base, next)
				if err != nil || out.Commit == nil {
					b.Fatal(out, err)
				}
			}
		})
	}
}

// Of what did not change neither files nor folders are here: reading one would fail.
func TestMergeReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	first := repo.Commit("first", files(2_000))
	head := repo.ProposeBy(7, first, func() {
		repo.Write(map[string]string{"acme/env-0/r-20.yaml": "edited\n", "acme/env-0/new.yaml": "new\n"})
		repo.Git("mv", "acme/env-0/r-40.yaml", "acme/env-0/moved.yaml")
	})
	base := repo.Commit("second", map[string]string{"acme/env-0/r-0.yaml": "edited\n", "acme/env-1/r-1.yaml": "edited\n"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	if _, err := s.Merge(t.Context(), seven(head)); err != nil {
		t.Fatal(err)
	}
	mirror := mirrorOf(t, cache)
	if err := errors.Join(s.Forget(t.Context(), "7"), s.Close()); err != nil {
		t.Fatal(err)
	}
	// All files but two, and the folders that neither side changed.
	gone := map[string]bool{}
	for line := range strings.Lines(repo.Git("ls-tree", "-r", "-t", first, "acme/env-0", "acme/")) {
		mode, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		kept := slices.Contains([]string{"acme", "acme/env-0", "acme/env-1", "acme/env-0/r-40.yaml"}, name)
		if !kept {
			gone[strings.Fields(mode)[2]] = true
		}
	}
	var keep []string
	for _, h := range strings.Fields(repo.Git("--git-dir", mirror, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")) {
		if !gone[h] {
			keep = append(keep, h)
		}
	}
	if len(gone) < 2_000 || len(keep) > 100 {
		t.Fatalf("%d gone, %d kept", len(gone), len(keep))
	}
	pack := exec.CommandContext(t.Context(), "git", "--git-dir", mirror, "pack-objects", "-q", filepath.Join(mirror, "objects", "kept"))
	pack.Stdin = strings.NewReader(strings.Join(keep, "\n") + "\n")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, ext := range []string{"pack", "idx"} {
		old, err := filepath.Glob(filepath.Join(mirror, "objects", "pack", "*."+ext))
		for _, p := range old {
			err = errors.Join(err, os.Remove(p))
		}
		made, gerr := filepath.Glob(filepath.Join(mirror, "objects", "kept-*."+ext))
		if err = errors.Join(err, gerr); err != nil || len(made) != 1 {
			t.Fatal(made, err)
		}
		name := strings.Replace(filepath.Base(made[0]), "kept-", "pack-", 1)
		if err := os.Rename(made[0], filepath.Join(mirror, "objects", "pack", name)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	m := merge(t, s, seven(head))
	if m.Base.Commit != base || read(t, s, m.Revision, "acme/env-0/new.yaml") != "new\n" {
		t.Errorf("got %+v", m)
	}
}

// TestMain lets the test program be the process that is killed.
func TestMain(m *testing.M) {
	if url := os.Getenv("GITMIRROR_CHILD_URL"); url != "" {
		s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: url, Cache: os.Getenv("GITMIRROR_CHILD_CACHE")})
		if head := os.Getenv("GITMIRROR_CHILD_HEAD"); err == nil && head != "" {
			_, err = s.Merge(childContext(), seven(head))
		} else if err == nil {
			_, _, err = s.Poll(childContext())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, url, cache string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "GITMIRROR_CHILD_URL="+url, "GITMIRROR_CHILD_CACHE="+cache)
	return c
}

func leftovers(t *testing.T, cache string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/tmp_*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
