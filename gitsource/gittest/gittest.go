// Package gittest serves real Git repositories to tests: git http-backend behind a
// server that counts requests and can be told to fail, and git-upload-pack behind an ssh
// server that counts sessions.
package gittest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Server serves the repositories of one folder over HTTP.
type Server struct {
	// URL ends without a slash; a repository is at URL + "/" + name + ".git".
	URL string
	dir string
	// requests are answered by what returns false.
	requests heard[func(http.ResponseWriter, *http.Request) bool]
}

// Serve starts a server, which stops with the test.
func Serve(t testing.TB) *Server {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git is needed: %v", err)
	}
	s := &Server{dir: t.TempDir()}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + s.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + s.dir},
	}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := s.requests.note(r.Method + " " + r.URL.RequestURI())
		if before == nil || before(w, r) {
			backend.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(ts.Close)
	s.URL = ts.URL
	return s
}

// Before is called with every request; when it returns false it has answered it. nil
// lets everything through.
func (s *Server) Before(f func(http.ResponseWriter, *http.Request) bool) { s.requests.answerBy(f) }

// Requests returns the requests since the last call.
func (s *Server) Requests() []string { return s.requests.take() }

// Repo is a served repository and a working copy to write to it.
type Repo struct {
	URL, Bare, Work string
	t               testing.TB
}

// Repo makes an empty repository whose default branch is main.
func (s *Server) Repo(t testing.TB, name string) *Repo {
	t.Helper()
	r := &Repo{URL: s.URL + "/" + name + ".git", Bare: filepath.Join(s.dir, name+".git"), Work: t.TempDir(), t: t}
	r.git(s.dir, "init", "-q", "--bare", "-b", "main", r.Bare)
	r.git(r.Work, "init", "-q", "-b", "main")
	r.git(r.Work, "remote", "add", "origin", r.Bare)
	return r
}

// Git runs git in the working copy and returns its output, trimmed.
func (r *Repo) Git(args ...string) string { r.t.Helper(); return r.git(r.Work, args...) }

func (r *Repo) git(dir string, args ...string) string {
	r.t.Helper()
	c := exec.CommandContext(context.WithoutCancel(r.t.Context()), "git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Write puts files into the working copy.
func (r *Repo) Write(files map[string]string) {
	r.t.Helper()
	for name, text := range files {
		p := filepath.Join(r.Work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil { //nolint:gosec // a test's folder
			r.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil { //nolint:gosec // a test's file
			r.t.Fatal(err)
		}
	}
}

// Commit writes files, commits everything and pushes; it returns the commit.
func (r *Repo) Commit(subject string, files map[string]string) string {
	r.t.Helper()
	r.Write(files)
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", subject)
	r.Git("push", "-q", "--force", "origin", "HEAD")
	return r.Git("rev-parse", "HEAD")
}

// Ref is where a forge keeps the head of a pull request.
func Ref(number int) string { return fmt.Sprintf("refs/pull/%d/head", number) }

// Propose commits files on top of a commit and pushes that as the head of a pull
// request, or moves it there. The working copy is then where it was. It returns the head.
func (r *Repo) Propose(number int, from string, files map[string]string) string {
	r.t.Helper()
	return r.ProposeBy(number, from, func() { r.Write(files) })
}

// ProposeBy is Propose for changes that a function makes in the working copy.
func (r *Repo) ProposeBy(number int, from string, change func()) string {
	r.t.Helper()
	back := r.Git("rev-parse", "--abbrev-ref", "HEAD")
	r.Git("checkout", "-q", "--detach", from)
	change()
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", fmt.Sprintf("Proposal %d", number))
	head := r.Git("rev-parse", "HEAD")
	r.Git("push", "-q", "--force", "origin", head+":"+Ref(number))
	r.Git("checkout", "-q", back)
	return head
}
