package gitmirror_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/remote"
)

func TestAnswerThatIsNoListOfRefsIsExplainedAndIsForAPerson(t *testing.T) {
	t.Parallel()
	const canary = "canary-2b77"
	answer := func(kind, text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write([]byte(text))
		}))
		t.Cleanup(s.Close)
		return s.URL + "/infra.git"
	}
	const git = "application/x-git-upload-pack-advertisement"
	server := gittest.Serve(t)
	repo := server.Repo(t, "infra")
	repo.Commit("first", nil)
	repo.Git("--git-dir", repo.Bare, "update-server-info")
	files := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(repo.Bare))))
	t.Cleanup(files.Close)
	newer := filepath.Join(filepath.Dir(repo.Bare), "newer.git")
	repo.Git("init", "-q", "--bare", "--object-format=sha256", "-b", "main", newer)
	work := t.TempDir()
	repo.Git("init", "-q", "--object-format=sha256", "-b", "main", work)
	repo.Git("-C", work, "commit", "-q", "--allow-empty", "-m", "first")
	repo.Git("-C", work, "push", "-q", newer, "main")
	for _, tt := range []struct {
		name, url string
		class     gitsource.ErrorClass
		want      string
	}{
		{"a page", answer("text/html; charset=utf-8", "<html>log in, "+canary+"</html>"), gitsource.ClassPerson, "answered with text/html, which is not how a Git server answers"},
		{"plain files", files.URL + "/infra.git", gitsource.ClassPerson, "not how a Git server answers"},
		{"SHA-256", server.URL + "/newer.git", gitsource.ClassPerson, "SHA-256"},
		{"empty", server.Repo(t, "empty").URL, gitsource.ClassPerson, "empty"},
		{"refusal", answer(git, "001e# service=git-upload-pack\n0000"+"0016ERR access denied\n"), gitsource.ClassPerson, "the server said: access denied"},
		{"cut off", answer(git, "001e# service=git-upload-pack\n0000"+"00"), gitsource.ClassWait, ""},
		{"nonsense", answer(git, "001e# service=git-upload-pack\n0000"+"0010"+canary+"\n"), gitsource.ClassWait, "list of refs cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, gitmirror.Options{URL: tt.url})
			_, _, err := s.Poll(t.Context())
			fetchError(t, err, tt.class)
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTwoRepositoriesFollowTwoBranchesOfOneURL(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	cache := t.TempDir()
	want := map[string]string{"main": repo.Commit("on main", nil)}
	repo.Git("checkout", "-q", "-b", "team/ünï/x")
	want["team/ünï/x"] = repo.Commit("on a branch", nil)
	for branch, commit := range want {
		s := open(t, gitmirror.Options{Name: "infra-" + commit[:7], URL: repo.URL, Branch: branch, Cache: cache})
		if r, changed := poll(t, s); !changed || r.Branch != branch || r.Commit != commit {
			t.Errorf("%s: changed %v, %+v", branch, changed, r)
		}
	}
}

// The commits of a server that has only the end of a history are all that there is.
func TestShallowServerIsFollowed(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1", "b": "only here"})
	repo.Git("rm", "-q", "b")
	second := repo.Commit("second", map[string]string{"a": "2"})
	shallow := filepath.Join(filepath.Dir(repo.Bare), "shallow.git")
	repo.Git("clone", "-q", "--bare", "--depth=1", "file://"+repo.Bare, shallow)
	s := open(t, gitmirror.Options{URL: server.URL + "/shallow.git"})
	if r, _ := poll(t, s); r.Commit != second {
		t.Fatalf("got %+v", r)
	}
	// Later it has the whole history, and a file of it is brought back. With a bitmap the
	// server leaves out everything behind what we say we have.
	third := repo.Commit("third", map[string]string{"b": "only here"})
	repo.Git("--git-dir", shallow, "fetch", "-q", "--unshallow", repo.Bare, "+main:main")
	repo.Git("--git-dir", shallow, "repack", "-q", "-a", "-d", "-b")
	r, _ := poll(t, s)
	if r.Commit != third {
		t.Fatalf("got %+v", r)
	}
	snap, err := s.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range snap.Blobs() {
		if err != nil {
			t.Errorf("%s: %v", b.Path, err)
		}
	}
}

func TestRedirectToAnotherServerDoesNotTakeTheTokenThere(t *testing.T) {
	t.Parallel()
	const canary = "canary-77ac"
	server, repo := setup(t)
	commit := repo.Commit("first", nil)
	sent := make(chan string, 10) // what the other server is told of who asks
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		_, pass, _ := r.BasicAuth()
		sent <- pass
		return true
	})
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, server.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
	}))
	t.Cleanup(first.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, gitmirror.Options{URL: first.URL + "/infra.git", Credentials: remote.Credentials{Token: remote.SecretSource{File: file}}})
	if r, _ := poll(t, s); r.Commit != commit {
		t.Errorf("got %+v", r)
	}
	if len(sent) != 2 {
		t.Errorf("the other server was asked %d times, want two: refs and a pack", len(sent))
	}
	for len(sent) > 0 {
		if pass := <-sent; pass != "" {
			t.Errorf("the other server was sent %q", pass)
		}
	}
}
