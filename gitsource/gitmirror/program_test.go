package gitmirror_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// Tests of this file set the process's PATH, so they are not parallel. The server is another
// process's git, found before.

// putGit puts a script in place of git. $REAL is git itself.
func putGit(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if script != "" {
		path := os.Getenv("GITMIRROR_REAL_GIT")
		if path == "" {
			var err error
			if path, err = exec.LookPath("git"); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GITMIRROR_REAL_GIT", path)
		}
		tooltest.WriteProgram(t, filepath.Join(dir, "git"), "#!/bin/sh\nREAL='"+path+"'\n"+script)
		dir += string(os.PathListSeparator) + os.Getenv("PATH")
	}
	t.Setenv("PATH", dir)
}

// workbench is a mirror of a repository with a few commits, and a Merger on it.
type workbench struct {
	*gitmirror.Merger
	bare   *gitmirror.Bare
	writes sync.Mutex
	commit map[string]string
}

// setupMerger fetches base, head, behind (a commit behind base) and ahead (one that base is
// behind) into a mirror.
func setupMerger(t *testing.T, timeout time.Duration) *workbench {
	t.Helper()
	_, repo := setup(t)
	w := &workbench{commit: map[string]string{}}
	w.commit["behind"] = repo.Commit("first", map[string]string{"a": "1\n2\n3\n4\n5\n6\n"})
	w.commit["head"] = repo.Propose(1, w.commit["behind"], map[string]string{"a": "1\n2\n3\n4\n5\nsix\n"})
	w.commit["conflict"] = repo.Propose(3, w.commit["behind"], map[string]string{"a": "1\n"})
	w.commit["base"] = repo.Commit("second", map[string]string{"a": "one\n2\n3\n4\n5\n6\n"})
	w.commit["ahead"] = repo.Propose(2, w.commit["base"], map[string]string{"b": "1"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	for i, name := range []string{"head", "ahead", "conflict"} {
		if m := merge(t, s, gitsource.Head{Name: "7", Ref: gittest.Ref(i + 1)}); m.Head.Commit != w.commit[name] {
			t.Fatal(m)
		}
	}
	if err := errors.Join(s.Forget(t.Context(), "7"), s.Close()); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.bare, err = gitmirror.OpenBare(mirrorOf(t, cache), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bare.Close() })
	w.renew(timeout)
	return w
}

// renew takes another Merger, which looks for git anew.
func (w *workbench) renew(timeout time.Duration) {
	w.Merger = gitmirror.NewMerger(gitmirror.MergerOptions{Bare: w.bare, Objects: w.bare.Store, Writing: &w.writes, Timeout: timeout,
		Lenders: func() ([]string, error) { return []string{w.bare.Dir()}, nil }})
}

func (w *workbench) merge(ctx context.Context, t *testing.T, head string) (gitmirror.Merged, error) {
	t.Helper()
	base, err := w.bare.Store.Commit(plumbing.NewHash(w.commit["base"]))
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.bare.Store.Commit(plumbing.NewHash(w.commit[head]))
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Merge(ctx, "7", base, c)
	if left, rerr := os.ReadDir(filepath.Join(w.bare.Dir(), "merging")); rerr != nil || len(left) > 0 {
		t.Errorf("left of the merge: %v, %v", left, rerr)
	}
	return m, err
}

func TestWithoutANewGitOnlyWhatNeedsNoMergingIsServed(t *testing.T) { //nolint:paralleltest // PATH
	for name, tt := range map[string]struct {
		script string
		want   []string
	}{
		"none":     {"", []string{"2.38", "none on PATH", "install"}},
		"old":      {`[ "$1" = version ] && { echo "git version 2.30.2"; exit; }` + "\n" + `[ "$1" = merge-tree ] && exit 129; exec "$REAL" "$@"`, []string{"2.38", "is 2.30.2", "install a newer one"}},
		"nonsense": {`echo hello`, []string{"2.38", "does not tell its version"}},
		"broken":   {`exit 3`, []string{"2.38", "does not tell its version"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := setupMerger(t, 0)
			putGit(t, tt.script)
			_, err := w.merge(t.Context(), t, "head")
			if !errors.Is(err, gitmirror.ErrProgram) {
				t.Fatalf("got %v, want ErrProgram", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: it does not say %q", err, want)
				}
			}
			if m, err := w.merge(t.Context(), t, "behind"); err != nil || m.Commit == nil || m.Commit.Hash.String() != w.commit["base"] {
				t.Errorf("behind the base: got %+v, %v", m, err)
			}
			m, err := w.merge(t.Context(), t, "ahead")
			if err != nil || m.Commit == nil || m.MergeBase.String() != w.commit["base"] {
				t.Fatalf("ahead of the base: got %+v, %v", m, err)
			}
			ahead, err := w.bare.Store.Commit(plumbing.NewHash(w.commit["ahead"]))
			if err != nil || m.Commit.TreeHash != ahead.TreeHash {
				t.Errorf("the merge is %+v, %v", m.Commit, err)
			}
			for _, c := range []struct {
				commit, ancestor string
				want             bool
			}{{"ahead", "behind", true}, {"behind", "ahead", false}, {"base", "head", false}} {
				if got, err := w.Contains(t.Context(), w.commit[c.commit], w.commit[c.ancestor]); err != nil || got != c.want {
					t.Errorf("%s in %s: got %v, %v", c.ancestor, c.commit, got, err)
				}
			}
			t.Setenv("PATH", os.Getenv("PATH")[strings.IndexByte(os.Getenv("PATH"), os.PathListSeparator)+1:])
			if tt.script == "" {
				return
			}
			if m, err := w.merge(t.Context(), t, "head"); err != nil || m.Commit == nil {
				t.Errorf("after a git was installed: got %+v, %v", m, err)
			}
		})
	}
}

func TestProgramTellsItsVersion(t *testing.T) { //nolint:paralleltest // PATH
	for version, isGood := range map[string]bool{
		"2.38.0": true, "2.39.5 (Apple Git-154)": true, "3.0.0": true, "2.38": true, "2.51.0.windows.1": true, "10.1": true,
		"2.37.9": false, "1.99.0": false,
	} {
		putGit(t, fmt.Sprintf("echo 'git version %s'", version))
		p, err := gitmirror.FindProgram(t.Context())
		if isGood != (err == nil) || !strings.HasPrefix(version, p.Version) || p.Path == "" {
			t.Errorf("%s: got %+v, %v", version, p, err)
		}
	}
}

// Whatever the machine, the one who starts reeve, or the mirror say about merging is not heard.
func TestNothingOfTheMachineChangesAMerge(t *testing.T) { //nolint:paralleltest // the environment
	w := setupMerger(t, 0)
	plain, err := w.merge(t.Context(), t, "head")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Forget("7"); err != nil {
		t.Fatal(err)
	}
	home, canary := t.TempDir(), filepath.Join(t.TempDir(), "canary")
	run := "touch " + canary
	put := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o700)); err != nil { //nolint:gosec // a hook
			t.Fatal(err)
		}
	}
	settings := fmt.Sprintf("[merge \"evil\"]\n\tdriver = %s\n[filter \"evil\"]\n\tclean = %s\n\tsmudge = %s\n[diff \"evil\"]\n\ttextconv = %s\n"+
		"[core]\n\tfsmonitor = %s\n\tattributesFile = %s\n[merge]\n\trenormalize = true\n\tdefault = evil\n[alias]\n\tmerge-tree = !%s\n",
		run, run, run, run, run, filepath.Join(home, "attributes"), run)
	const attributes = "* merge=evil filter=evil diff=evil\n"
	put(filepath.Join(home, ".gitconfig"), settings)
	put(filepath.Join(home, "git", "config"), settings)
	put(filepath.Join(home, "git", "attributes"), attributes)
	put(filepath.Join(home, "attributes"), attributes)
	put(filepath.Join(w.bare.Dir(), "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"+settings)
	put(filepath.Join(w.bare.Dir(), "info", "attributes"), attributes)
	for _, hook := range []string{"post-index-change", "reference-transaction", "post-merge", "pre-merge-commit"} {
		put(filepath.Join(w.bare.Dir(), "hooks", hook), "#!/bin/sh\n"+run+"\n")
	}
	for k, v := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": home, "GIT_CONFIG_GLOBAL": filepath.Join(home, ".gitconfig"), "GIT_CONFIG_SYSTEM": filepath.Join(home, ".gitconfig"),
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "merge.default", "GIT_CONFIG_VALUE_0": "union",
		"GIT_DIR": home, "GIT_WORK_TREE": home, "GIT_OBJECT_DIRECTORY": home, "GIT_NAMESPACE": "x", "GIT_TRACE": canary,
		"GIT_COMMITTER_NAME": "Eve", "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_REPLACE_REF_BASE": "refs/heads/",
	} {
		t.Setenv(k, v)
	}
	again, err := w.merge(t.Context(), t, "head")
	if err != nil || again.Commit == nil || again.Commit.Hash != plain.Commit.Hash {
		t.Errorf("got %+v, %v, want %s", again, err, plain.Commit.Hash)
	}
	if m, err := w.merge(t.Context(), t, "conflict"); err != nil || len(m.Conflicts) != 1 {
		t.Errorf("got %+v, %v, want a conflict", m, err)
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a program of the machine's settings was run")
	}
}

func TestMergeThatTakesTooLongIsRefused(t *testing.T) { //nolint:paralleltest // PATH
	w := setupMerger(t, 100*time.Millisecond)
	putGit(t, `[ "$1" = merge-tree ] && exec sleep 1000; exec "$REAL" "$@"`)
	m, err := w.merge(t.Context(), t, "head")
	if err != nil || !strings.Contains(m.Refused, "takes longer than 100ms") || m.Commit != nil {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestCancelledMergeEndsAtOnce(t *testing.T) { //nolint:paralleltest // PATH
	w := setupMerger(t, 0)
	fifo := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	putGit(t, `[ "$1" = merge-tree ] && { echo >> `+fifo+`; exec sleep 1000; }; exec "$REAL" "$@"`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo) // waits for the one who writes
		cancel()
	}()
	if _, err := w.merge(ctx, t, "head"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatGitSaysIsBounded(t *testing.T) { //nolint:paralleltest // PATH
	w := setupMerger(t, 0)
	putGit(t, `[ "$1" = merge-tree ] || exec "$REAL" "$@"
printf '%s\0' 4b825dc642cb6eb9a060e54bf8d69288fbee4904
yes a/name/of/thirty-two/characters | head -c 20000000 | tr '\n' '\0'
exit 1`)
	m, err := w.merge(t.Context(), t, "head")
	if err != nil || len(m.Conflicts) != 1 || m.Conflicts[0] != "a/name/of/thirty-two/characters" {
		t.Errorf("got %d conflicts, %v", len(m.Conflicts), err)
	}
	w.renew(0)
	putGit(t, `[ "$1" = merge-tree ] || exec "$REAL" "$@"
printf 'fatal: \033[31mbad object\033[0m of \001somebody\n' >&2
yes | head -c 20000000 >&2
exit 128`)
	_, err = w.merge(t.Context(), t, "head")
	if err == nil || !strings.Contains(err.Error(), "fatal: bad object of somebody") || len(err.Error()) > 1000 {
		t.Errorf("got %.2000v", err)
	}
	for name, script := range map[string]string{"nothing": "exit 1", "no hash": "printf 'x\\0'", "half": "printf 4b825dc642"} {
		w.renew(0)
		putGit(t, `[ "$1" = merge-tree ] || exec "$REAL" "$@"`+"\n"+script)
		if m, err := w.merge(t.Context(), t, "head"); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}
