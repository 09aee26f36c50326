package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// backend serves the repositories with git's own server, and tells the world of pushes.
type backend struct {
	w    *World
	root string
	cgi  *cgi.Handler
}

func newBackend(t testing.TB, w *World) *backend {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git is needed: %v", err)
	}
	b := &backend{w: w, root: t.TempDir()}
	b.cgi = &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + b.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + b.root},
		Stderr: os.Stderr,
	}
	return b
}

// run runs git on a repository and returns its output, trimmed.
func (b *backend) run(bare string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), "git", append([]string{"-C", bare, "-c", "core.fsync=none"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=GitHub", "GIT_AUTHOR_EMAIL=noreply@example.com", "GIT_COMMITTER_NAME=GitHub", "GIT_COMMITTER_EMAIL=noreply@example.com")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return strings.TrimSpace(string(out)), err
}

// create makes an empty repository, or one with what another has.
func (b *backend) create(full string, from *repo) (string, error) {
	bare := filepath.Join(b.root, filepath.FromSlash(full)+".git")
	if err := os.MkdirAll(filepath.Dir(bare), 0o755); err != nil { //nolint:gosec // a test's folder
		return "", err
	}
	if from == nil {
		if _, err := b.run(b.root, "init", "-q", "--bare", "-b", "main", bare); err != nil {
			return "", err
		}
	} else if _, err := b.run(b.root, "clone", "-q", "--bare", from.bare, bare); err != nil {
		return "", err
	}
	config, err := os.OpenFile(filepath.Join(bare, "config"), os.O_APPEND|os.O_WRONLY, 0) //nolint:gosec // a test's file
	if err != nil {
		return "", err
	}
	if _, err = config.WriteString(settings); err == nil {
		err = config.Close()
	}
	return bare, err
}

// settings make a repository take pushes, give out any commit as GitHub does, and keep
// its refs of pull requests from pushes. Nothing here has to outlive the machine.
const settings = `
[http]
	receivepack = true
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
[receive]
	hideRefs = refs/pull
	autogc = false
[gc]
	auto = 0
[core]
	fsync = none
`

// has tells whether a repository has a commit.
func (b *backend) has(r *repo, commit string) bool {
	_, err := b.run(r.bare, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

// heads are a repository's branches.
func (b *backend) heads(r *repo) map[string]string {
	out, err := b.run(r.bare, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")
	if err != nil {
		b.w.t.Errorf("%v", err)
	}
	heads := map[string]string{}
	for line := range strings.Lines(out) {
		if name, sha, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			heads[name] = sha
		}
	}
	return heads
}

// serve answers Git. Reading needs no credential; a wrong one is refused all the same.
func (b *backend) serve(rw http.ResponseWriter, r *http.Request) {
	name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	b.w.mu.Lock()
	repo := b.w.repos[strings.ToLower(name)]
	var who *account
	_, password, given := r.BasicAuth()
	if t := b.w.credential(password); given && t != nil {
		who = t.who
	}
	writes := strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
	may := repo != nil && !repo.deleted && (!writes || who != nil && repo.may(who, "write"))
	b.w.mu.Unlock()
	switch {
	case !ok || repo == nil || repo.deleted:
		http.Error(rw, "Repository not found.", http.StatusNotFound)
		return
	case given && who == nil || writes && who == nil:
		rw.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(rw, "Invalid username or token.", http.StatusUnauthorized)
		return
	case !may:
		http.Error(rw, "Permission to "+name+".git denied to "+who.login+".", http.StatusForbidden)
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
		b.cgi.ServeHTTP(rw, r)
		return
	}
	repo.pushing.Lock()
	defer repo.pushing.Unlock()
	before := b.heads(repo)
	// The push is told before the client hears that it succeeded, so that who pushed
	// finds the pull request moved.
	held := &heldWriter{header: http.Header{}, status: http.StatusOK}
	b.cgi.ServeHTTP(held, r)
	after := b.heads(repo)
	b.w.mu.Lock()
	b.w.pushed(repo, who, before, after)
	b.w.mu.Unlock()
	for name, values := range held.header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(held.status)
	rw.Write(held.body.Bytes())
}

// heldWriter keeps an answer.
type heldWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldWriter) Header() http.Header         { return h.header }
func (h *heldWriter) WriteHeader(status int)      { h.status = status }
func (h *heldWriter) Write(b []byte) (int, error) { return h.body.Write(b) }

// zero is the name of no commit.
var zero = strings.Repeat("0", 40)

// pushed tells of branches that moved, and moves the pull requests that are made of them.
// The caller holds the world's lock.
func (w *World) pushed(r *repo, who *account, before, after map[string]string) {
	var moved []string
	for name := range after {
		if before[name] != after[name] {
			moved = append(moved, name)
		}
	}
	for name := range before {
		if after[name] == "" {
			moved = append(moved, name)
		}
	}
	sort.Strings(moved)
	for _, name := range moved {
		old, now := before[name], after[name]
		w.tellPush(r, who, name, old, now)
		for _, base := range w.repos {
			for _, p := range base.pulls {
				if p.closed || p.headRepo != r || p.headBranch != name {
					continue
				}
				if now == "" {
					w.closePull(base, p, who)
					continue
				}
				w.moveHead(base, p, who, old, now)
			}
		}
	}
}

// moveHead puts a pull request on another commit.
func (w *World) moveHead(base *repo, p *pull, who *account, old, now string) {
	if err := w.keepHead(base, p, now); err != nil {
		w.t.Errorf("%v", err)
		return
	}
	p.head, p.updatedAt = now, w.now()
	w.tellPull(base, p, who, "synchronize", map[string]any{"before": old, "after": now})
}

// keepHead brings a head into the base repository, under refs/pull, where GitHub keeps it
// for ever.
func (w *World) keepHead(base *repo, p *pull, commit string) error {
	ref := fmt.Sprintf("refs/pull/%d/head", p.number)
	if p.headRepo != base {
		_, err := w.git.run(base.bare, "fetch", "-q", p.headRepo.bare, "+"+commit+":"+ref)
		return err
	}
	_, err := w.git.run(base.bare, "update-ref", ref, commit)
	return err
}
