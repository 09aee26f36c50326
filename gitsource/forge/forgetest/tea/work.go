package tea

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// newName is a name that no other site of the server has.
func newName() string { return "site-" + strings.ToLower(rand.Text()[:12]) }

// until asks until it is so, at first often and then each second: asking is work for the
// server too, which may be behind already. Whoever needs longer than ten minutes never
// will.
func until(t testing.TB, what string, isSo func() (bool, string)) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Minute)
	defer deadline.Stop()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ok, said := isSo()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: %s", what, said)
		case <-time.After(pause):
		}
	}
}

// work is the working copy that all people of a site share: they commit one after
// another, and each pushes with their own credentials.
type work struct {
	t    testing.TB
	mu   sync.Mutex
	path string
	main string // where branches begin: the address of the site
}

func newWork(t testing.TB) *work {
	t.Helper()
	return &work{t: t, path: t.TempDir()}
}

// git runs git as a person and returns what it prints. Addresses hold tokens, so a
// failure tells only what git said.
func (w *work) git(t testing.TB, p forgetest.Person, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "credential.helper=", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"}, args...)...)
	cmd.Dir = w.path
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.path, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=" + string(p), "GIT_AUTHOR_EMAIL=" + string(p) + "@example.com",
		"GIT_COMMITTER_NAME=" + string(p), "GIT_COMMITTER_EMAIL=" + string(p) + "@example.com",
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("git %s: %v\n%s", args[0], err, exit.Stderr)
		}
		t.Fatalf("git %s: %v", args[0], err)
	}
	return strings.TrimSpace(string(out))
}

// begin makes the first commit and returns it.
func (w *work) begin(t testing.TB, address string, files map[string]string) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.main = address
	w.git(t, forgetest.Ada, "init", "--quiet")
	commit := w.commit(t, forgetest.Ada, "Begin", files)
	w.git(t, forgetest.Ada, "push", "--quiet", address, "HEAD:refs/heads/main")
	return commit
}

func (w *work) commit(t testing.TB, p forgetest.Person, subject string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(w.path, filepath.FromSlash(name))
		if text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.git(t, p, "add", "--all")
	w.git(t, p, "commit", "--quiet", "--allow-empty", "--message", subject)
	return w.git(t, p, "rev-parse", "HEAD")
}

// push commits on a branch as it is at an address, or on the site's main when it is
// not there or is made anew.
func (w *work) push(t testing.TB, p forgetest.Person, address, branch string, files map[string]string, force bool) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ref := "refs/heads/" + branch
	if force || w.git(t, p, "ls-remote", address, ref) == "" {
		w.git(t, p, "fetch", "--quiet", w.main, "refs/heads/main")
	} else {
		w.git(t, p, "fetch", "--quiet", address, ref)
	}
	w.git(t, p, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
	w.git(t, p, "clean", "--quiet", "-dfx")
	commit := w.commit(t, p, "Change "+branch, files)
	args := []string{"push", "--quiet", address, "HEAD:" + ref}
	if force {
		args = append(args, "--force")
	}
	w.git(t, p, args...)
	return commit
}
