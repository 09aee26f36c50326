package gitmirror_test

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// toKill is a repository with something to merge, and what is to come of it.
type toKill struct {
	repo *gittest.Repo
	head string
	want gitsource.Merge
}

func setupKill(t *testing.T) toKill {
	t.Helper()
	_, repo := setup(t)
	first := repo.Commit("first", files(50))
	k := toKill{repo: repo}
	k.head = repo.Propose(7, first, map[string]string{"acme/env-0/r-0.yaml": "edited\n", "b": "2"})
	repo.Commit("second", map[string]string{"acme/env-0/r-20.yaml": "edited\n", "a": "2"})
	k.want = merge(t, open(t, gitmirror.Options{URL: repo.URL}), seven(k.head))
	return k
}

// start starts a process that merges in a cache.
func (k toKill) start(t *testing.T, cache string, env ...string) *exec.Cmd {
	t.Helper()
	c := child(t, k.repo.URL, cache)
	c.Env = append(append(c.Env, "GITMIRROR_CHILD_HEAD="+k.head), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// check looks at what is left: a good mirror, that merges as if nothing had been.
func (k toKill) check(t *testing.T, cache string) {
	t.Helper()
	s, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: k.repo.URL, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if aside, err := filepath.Glob(filepath.Join(cache, "*.damaged-*")); err != nil || len(aside) > 0 {
		t.Errorf("the mirror was moved aside: %v, %v", aside, err)
	}
	mirror := mirrorOf(t, cache)
	for _, n := range holds(t, mirror) {
		if base := filepath.Base(n); strings.HasPrefix(n, "merging/") || strings.HasPrefix(base, "tmp") || strings.HasPrefix(base, ".") {
			t.Errorf("%s is left", n)
		}
	}
	k.repo.Git("--git-dir", mirror, "fsck", "--no-dangling") // fails for a ref to nothing
	if m := merge(t, s, seven(k.head)); cmp.Diff(k.want, m) != "" {
		t.Error(cmp.Diff(k.want, m))
	}
	if a, b := read(t, s, k.want.Revision, "a"), read(t, s, k.want.Revision, "b"); a+b != "22" {
		t.Errorf("a is %s, b is %s", a, b)
	}
	if r, changed := poll(t, s); !changed || r != k.want.Base {
		t.Errorf("the poll gives %+v", r)
	}
}

// The process is killed at moments all over a merge. Where exactly differs from run to
// run; what has to hold does not.
func TestMergeKilledAnywhereLeavesAGoodMirror(t *testing.T) {
	t.Parallel()
	k := setupKill(t)
	start := time.Now()
	whole := t.TempDir()
	_ = k.start(t, whole).Wait() // it always exits with 1
	took := time.Since(start)
	k.check(t, whole)
	const moments = 16
	for i := range moments {
		cache := t.TempDir()
		c := k.start(t, cache)
		kill := time.AfterFunc(took*time.Duration(i+1)/moments, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
		awaitGroup(t, c.Process.Pid) // a git that was at work may still write what nobody needs
		k.check(t, cache)
	}
}

// awaitGroup waits until a process group has ended.
func awaitGroup(t *testing.T, leader int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !errors.Is(syscall.Kill(-leader, 0), syscall.ESRCH) {
		select {
		case <-t.Context().Done():
			t.Fatal("what the killed process started goes on")
		case <-tick.C:
		}
	}
}

func TestMergeKilledWhileGitWorksLeavesAGoodMirror(t *testing.T) {
	t.Parallel()
	k := setupKill(t)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"before it looks":       `[ "$1" = merge-base ] && hang; exec "$REAL" "$@"`,
		"before it merges":      `[ "$1" = merge-tree ] && hang; exec "$REAL" "$@"`,
		"after it wrote a tree": `"$REAL" "$@"; code=$?; [ "$1" = merge-tree ] && hang; exit $code`,
	} {
		dir, cache := t.TempDir(), t.TempDir()
		fifo := filepath.Join(dir, "reached")
		text := "#!/bin/sh\nREAL='" + git + "'\nhang() { echo $$ > '" + fifo + "'; exec sleep 1000; }\n" + script + "\n"
		tooltest.WriteProgram(t, filepath.Join(dir, "git"), text)
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		c := k.start(t, cache, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		said, err := os.ReadFile(fifo) // waits for git
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(said)))
		if err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(mirrorOf(t, cache), "merging", "*")); err != nil || len(left) != 1 {
			t.Errorf("%s: the merge works in %v, %v", name, left, err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		k.check(t, cache) // while the orphan lives
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// The lock of a killed process can outlive it for a moment, in a git that it was starting.
func TestAMirrorThatIsFreeInAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	k := setupKill(t)
	cache := t.TempDir()
	first, err := gitmirror.New(gitmirror.Options{Name: "infra", URL: k.repo.URL, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	merge(t, first, seven(k.head))
	if _, err := gitmirror.OpenBare(mirrorOf(t, cache), slog.New(slog.DiscardHandler)); !errors.Is(err, gitmirror.ErrInUse) {
		t.Fatalf("got %v", err)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	})
	k.check(t, cache)
}
