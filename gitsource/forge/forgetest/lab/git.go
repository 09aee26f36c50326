package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitBackend is git http-backend over the repositories below a folder.
func gitBackend(t testing.TB, root string) http.Handler {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git is needed: %v", err)
	}
	return &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root},
		Stderr: io.Discard,
	}
}

// git runs git and returns what it printed, trimmed.
func git(dir string, args ...string) (string, error) { return gitAs("gitlab", dir, args...) }

func gitAs(who, dir string, args ...string) (string, error) {
	c := exec.Command("git", args...) //nolint:gosec,noctx // of the test's own repositories, and short
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL="+who+"@example.com", "GIT_COMMITTER_NAME="+who, "GIT_COMMITTER_EMAIL="+who+"@example.com")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// newProject makes a project with an empty repository, or a copy of another's.
func (w *World) newProject(path string, from *project) (*project, error) {
	bare := filepath.Join(w.root, filepath.FromSlash(path)+".git")
	args := []string{"init", "-q", "--bare", "-b", "main", bare}
	if from != nil {
		args = []string{"clone", "-q", "--bare", from.bare, bare}
	}
	if _, err := git(w.root, args...); err != nil {
		return nil, err
	}
	config, err := os.OpenFile(filepath.Join(bare, "config"), os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // in the test's folder
	if err != nil {
		return nil, err
	}
	_, err = config.WriteString("[http]\n\treceivepack = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n")
	if err := errors.Join(err, config.Close()); err != nil {
		return nil, err
	}
	p := &project{id: w.id(), path: path, bare: bare, visibility: "private", created: w.tick(), members: map[int]int{}, forkOf: from, heads: map[string]string{}}
	heads, err := p.readHeads()
	if err != nil {
		return nil, err
	}
	p.heads = heads
	w.projects = append(w.projects, p)
	return p, nil
}

func (p *project) readHeads() (map[string]string, error) {
	out, err := git(p.bare, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")
	if err != nil {
		return nil, err
	}
	heads := map[string]string{}
	for line := range strings.Lines(out) {
		sha, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads[strings.TrimPrefix(ref, "refs/heads/")] = sha
	}
	return heads, nil
}

// received looks what a push changed. The lock is held.
func (w *World) received(p *project, by *user) {
	heads, err := p.readHeads()
	if err != nil {
		w.complain("%v", err)
		return
	}
	before := p.heads
	p.heads = heads
	for branch, head := range heads {
		if before[branch] != head {
			w.pushHook(p, by, branch, before[branch], head)
			w.pushed(p, branch, head, by)
		}
	}
	for branch, head := range before {
		if heads[branch] == "" {
			w.pushHook(p, by, branch, head, "")
		}
	}
}

// serveGit is Git over HTTP, with tokens as passwords.
func (w *World) serveGit(rw http.ResponseWriter, r *http.Request) {
	path, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	_, password, _ := r.BasicAuth()
	writes := rest == "git-receive-pack" || r.URL.Query().Get("service") == "git-receive-pack"
	w.mu.Lock()
	var who *user
	for _, u := range w.users {
		if password != "" && u.token == password && !u.revoked {
			who = u
		}
	}
	p := w.project(path)
	level := 0
	if p != nil {
		level = p.level(who)
	}
	w.mu.Unlock()
	switch {
	case who == nil && level == 0:
		rw.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
		http.Error(rw, "HTTP Basic: Access denied.", http.StatusUnauthorized)
		return
	case p == nil || level == 0:
		http.Error(rw, "The project you were looking for could not be found or you don't have permission to view it.", http.StatusNotFound)
		return
	case writes && level < developer:
		http.Error(rw, "You are not allowed to push code to this project.", http.StatusForbidden)
		return
	}
	w.backend.ServeHTTP(rw, r)
	if rest == "git-receive-pack" && r.Method == http.MethodPost {
		w.mu.Lock()
		w.received(p, who)
		w.mu.Unlock()
	}
}
