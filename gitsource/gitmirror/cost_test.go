package gitmirror_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
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

// TestMain lets the test program be the process that is killed.
func TestMain(m *testing.M) {
	if url := os.Getenv("GITMIRROR_CHILD_URL"); url != "" {
		s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: url, Cache: os.Getenv("GITMIRROR_CHILD_CACHE")})
		if err == nil {
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
