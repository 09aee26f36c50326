package module_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/module"
	"github.com/stackreeve/stackreeve/schema"
)

type world struct {
	server *gittest.Server
	repo   *gittest.Repo
	source *gitmirror.Source
	*module.Modules
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{server: gittest.Serve(t)}
	w.repo = w.server.Repo(t, "infra")
	w.repo.Commit("first", map[string]string{
		"modules/a/main.tf":      "module \"b\" {\n  source = \"../b\"\n}\n",
		"modules/a/run.sh":       "#!/bin/sh\n",
		"modules/b/main.tf.json": `{"module": {"c": {"source": "./c"}}}`,
		"modules/b/c/main.tf":    "# c\n",
		"modules/out/main.tf":    "module \"x\" { source = \"../../../x\" }\n",
		"other/readme":           "1",
	})
	var err error
	if w.source, err = gitmirror.New(gitmirror.Options{Name: "infra", URL: w.repo.URL, Cache: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	w.Modules, err = module.New(module.Options{Cache: t.TempDir(), Interval: time.Hour,
		Source: func(name string) (gitsource.Source, bool) { return w.source, name == "infra" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Checkouts are read-only, which t.TempDir cannot remove.
		if err := errors.Join(w.Prune(context.WithoutCancel(t.Context()), func(string) (bool, error) { return false, nil }), w.Modules.Close(), w.source.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) snapshot(t *testing.T) gitsource.Snapshot {
	t.Helper()
	r, _, err := w.source.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.source.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) revision(t *testing.T, snap gitsource.Snapshot, src schema.ModuleSource) string {
	t.Helper()
	r, err := w.Revision(t.Context(), snap, src)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLocalRevisionMovesWithWhatTheModuleRefersTo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	src := schema.ModuleSource{Path: "modules/a"}
	first := w.revision(t, w.snapshot(t), src)
	w.repo.Commit("elsewhere", map[string]string{"other/readme": "2"})
	if got := w.revision(t, w.snapshot(t), src); got != first {
		t.Error("a change elsewhere moves the revision")
	}
	w.repo.Commit("below", map[string]string{"modules/b/c/main.tf": "# changed\n"})
	if got := w.revision(t, w.snapshot(t), src); got == first {
		t.Error("a change of a module that it refers to does not move the revision")
	}
	if _, err := w.Revision(t.Context(), w.snapshot(t), schema.ModuleSource{Path: "modules/out"}); !errors.Is(err, module.ErrOutside) {
		t.Errorf("got %v, want ErrOutside", err)
	}
}

func TestCheckoutOfAnOldCommitIsWholeReadOnlyAndMadeOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.repo.Git("update-index", "--chmod=+x", "modules/a/run.sh")
	if err := os.Chmod(filepath.Join(w.repo.Work, "modules/a/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := w.repo.Commit("executable", nil)
	src := schema.ModuleSource{Path: "modules/a"}
	revision := w.revision(t, w.snapshot(t), src)
	w.repo.Git("rm", "-q", "-r", "modules")
	w.repo.Commit("removed", nil)
	w.snapshot(t)
	var wg sync.WaitGroup
	roots := make([]string, 8)
	for i := range roots {
		wg.Go(func() {
			c, err := w.Checkout(t.Context(), "infra", old, src, revision)
			if err != nil {
				t.Error(err)
			}
			roots[i] = filepath.Join(c.Root, c.Path)
		})
	}
	wg.Wait()
	for _, r := range roots {
		if r != roots[0] {
			t.Errorf("%s and %s", r, roots[0])
		}
	}
	for name, mode := range map[string]os.FileMode{"main.tf": 0o444, "run.sh": 0o555, "../b/c/main.tf": 0o444, "../b/main.tf.json": 0o444} {
		fi, err := os.Stat(filepath.Join(roots[0], name))
		if err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	if _, err := os.Stat(filepath.Join(roots[0], "../../other")); err == nil {
		t.Error("what the module does not refer to is there")
	}
	if err := w.Prune(t.Context(), func(r string) (bool, error) { return r == revision, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(roots[0]); err != nil {
		t.Errorf("a checkout in use was removed: %v", err)
	}
}

func TestACheckoutThatIsRemovedAsItIsAskedForIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	src := schema.ModuleSource{Path: "modules/a"}
	snap := w.snapshot(t)
	revision := w.revision(t, snap, src)
	ask := func() string {
		t.Helper()
		out, err := w.Checkout(t.Context(), "infra", snap.Revision().Commit, src, revision)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(out.Root, filepath.FromSlash(out.Path))
	}
	ask()
	module.OnFound(w.Modules, func() {
		module.OnFound(w.Modules, nil)
		if err := w.Prune(t.Context(), func(string) (bool, error) { return false, nil }); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(ask()); err != nil {
		t.Error(err)
	}
	unknown := errors.New("the disk is gone")
	if err := w.Prune(t.Context(), func(string) (bool, error) { return false, unknown }); !errors.Is(err, unknown) {
		t.Errorf("err = %v", err)
	}
	ask()
}

func TestGitModuleIsAskedOncePerIntervalAndKeptByCommit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	repo := w.server.Repo(t, "module")
	c := repo.Commit("one", map[string]string{"net/main.tf": "# one\n"})
	repo.Git("tag", "-a", "-m", "v1", "v1")
	repo.Git("push", "-q", "origin", "v1")
	snap := w.snapshot(t)
	w.server.Requests()
	src := schema.ModuleSource{URL: repo.URL, Path: "net", Ref: "v1"}
	for _, ref := range []string{"v1", "main", "", c} {
		src.Ref = ref
		if got := w.revision(t, snap, src); got != c {
			t.Errorf("%q is %s, want %s", ref, got, c)
		}
	}
	if got := w.server.Requests(); len(got) != 1 {
		t.Errorf("requests: %q, want one", got)
	}
	for ref, hint := range map[string]bool{c[:7]: true, c[:39]: true, strings.ToUpper(c[:12]): true, "v2": false, "fed": false, "feature": false} {
		src.Ref = ref
		_, err := w.Revision(t.Context(), snap, src)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no branch or tag %q", ref)) || strings.Contains(err.Error(), "give its whole hash") != hint {
			t.Errorf("%q: %v", ref, err)
		}
	}
	repo.Commit("two", map[string]string{"net/main.tf": "# two\n"})
	repo.Git("push", "-q", "origin", ":v1")
	out, err := w.Checkout(t.Context(), "infra", "", src, c)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(out.Root, out.Path, "main.tf"))
	if err != nil || !strings.Contains(string(raw), "one") {
		t.Errorf("got %q, %v", raw, err)
	}
}
