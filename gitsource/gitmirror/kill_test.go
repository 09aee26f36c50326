package gitmirror_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
)

func childContext() context.Context { return context.Background() }

func TestKilledFetchLeavesAUsableMirror(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	first := repo.Commit("first", map[string]string{"a": "1"})
	cache := t.TempDir()
	s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: repo.URL, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	second := repo.Commit("second", files(50))
	reached := make(chan struct{})
	release := make(chan struct{})
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return true
		}
		// A pack that begins, and hangs: side band 1, and the head of a pack.
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = w.Write([]byte("0008NAK\n0011\x01PACK\x00\x00\x00\x02\x00\x00\x00\x05"))
		w.(http.Flusher).Flush()
		close(reached)
		<-release
		return false
	})
	c := child(t, repo.URL, cache)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	close(release)
	server.Before(nil)
	s = open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	if r, ok := s.Current(); !ok || r.Commit != first {
		t.Errorf("after the kill the mirror is at %+v", r)
	}
	if n := leftovers(t, cache); n != 0 {
		t.Errorf("%d unfinished packs are left", n)
	}
	if r, changed := poll(t, s); !changed || r.Commit != second {
		t.Errorf("changed %v, %+v", changed, r)
	}
}
