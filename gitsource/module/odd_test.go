package module_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/module"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/schema"
)

func symlinks(t *testing.T, repo *gittest.Repo, links map[string]string) {
	t.Helper()
	for name, target := range links {
		p := filepath.Join(repo.Work, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.Symlink(target, p)); err != nil {
			t.Fatal(err)
		}
	}
}

// insideOf fails when a path below root leads out of it.
func insideOf(t *testing.T, root string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		end, err := filepath.EvalSymlinks(p)
		if err == nil && end != root && !strings.HasPrefix(end, root+string(filepath.Separator)) {
			t.Errorf("%s leads to %s", p, end)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSymlinksThroughSymlinksStayInTheCheckout(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// By its words the second stays inside; the first makes it climb from the root.
	out := map[string]string{"net/x/y/up": "../../..", "net/x/y/escape": "up/../.."}
	repo := w.server.Repo(t, "module")
	repo.Write(map[string]string{"net/main.tf": "# net\n", "net/x/y/z.tf": "# z\n", "shared/s.tf": "# s\n", "latin-\xe9/a\xff": "bytes"})
	symlinks(t, repo, out)
	symlinks(t, repo, map[string]string{"net/shared": "../shared", "net/s.tf": "shared/s.tf"})
	c := repo.Commit("first", nil)
	got, err := w.Checkout(t.Context(), "infra", "", schema.ModuleSource{URL: repo.URL, Path: "net"}, c)
	if err != nil {
		t.Fatal(err)
	}
	insideOf(t, got.Root)
	if raw, err := os.ReadFile(filepath.Join(got.Root, "net/s.tf")); err != nil || string(raw) != "# s\n" {
		t.Errorf("a symlink through a symlink reads %q, %v", raw, err)
	}
	if raw, err := os.ReadFile(filepath.Join(got.Root, "latin-\xe9/a\xff")); err != nil || string(raw) != "bytes" {
		t.Errorf("a name that is no UTF-8 reads %q, %v", raw, err)
	}

	w.repo.Write(map[string]string{"bad/main.tf": "# bad\n", "bad/x/y/z": "z", "good/main.tf": "# good\n", "real/deep/f.txt": "f", "good/caf\xe9/x": "x"})
	symlinks(t, w.repo, map[string]string{"bad/x/y/up": "../../..", "bad/x/y/escape": "up/../..",
		"good/link": "../alias/f.txt", "alias": "real/deep"})
	at := w.repo.Commit("links", nil)
	if _, err := w.Revision(t.Context(), w.snapshot(t), schema.ModuleSource{Path: "bad"}); !errors.Is(err, module.ErrOutside) {
		t.Errorf("got %v, want ErrOutside", err)
	}
	src := schema.ModuleSource{Path: "good"}
	got, err = w.Checkout(t.Context(), "infra", at, src, w.revision(t, w.snapshot(t), src))
	if err != nil {
		t.Fatal(err)
	}
	insideOf(t, got.Root)
	if raw, err := os.ReadFile(filepath.Join(got.Root, "good/link")); err != nil || string(raw) != "f" {
		t.Errorf("a symlink through a symlink of another folder reads %q, %v", raw, err)
	}
}

func TestRemoteThatFailsIsAskedOncePerPauseAndCredentialsAreThoseOfNow(t *testing.T) {
	t.Parallel()
	server := gittest.Serve(t)
	repo := server.Repo(t, "module")
	c := repo.Commit("one", map[string]string{"net/main.tf": "# one\n"})
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if _, pass, _ := r.BasicAuth(); pass == "right" {
			return true
		}
		w.WriteHeader(http.StatusUnauthorized)
		return false
	})
	token := func(text string) remote.Credentials {
		p := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return remote.Credentials{Token: remote.SecretSource{File: p}}
	}
	now := token("wrong")
	m, err := module.New(module.Options{Cache: t.TempDir(), Interval: time.Hour, RetryAfter: time.Hour,
		Source:      func(string) (gitsource.Source, bool) { return nil, false },
		Credentials: func(string) remote.Credentials { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Prune(context.WithoutCancel(t.Context()), func(string) (bool, error) { return false, nil }), m.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, ref := range []string{"main", "v1", "v2", ""} {
		_, err := m.Revision(t.Context(), nil, schema.ModuleSource{URL: repo.URL, Ref: ref})
		var fe *gitsource.FetchError
		if !errors.As(err, &fe) || fe.Class != gitsource.ClassPerson {
			t.Fatalf("got %v, want a FetchError for a person", err)
		}
	}
	if got := server.Requests(); len(got) != 1 {
		t.Errorf("requests: %q, want one for all refs", got)
	}
	now = token("right") // as after a reload: what was said with others is forgotten
	if got, err := m.Revision(t.Context(), nil, schema.ModuleSource{URL: repo.URL}); err != nil || got != c {
		t.Errorf("got %s, %v, want %s", got, err, c)
	}
}
