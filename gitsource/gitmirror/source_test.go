package gitmirror_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/schema"
)

func setup(t *testing.T) (*gittest.Server, *gittest.Repo) {
	t.Helper()
	s := gittest.Serve(t)
	return s, s.Repo(t, "infra")
}

func open(t *testing.T, o gitmirror.Options) *gitmirror.Source {
	t.Helper()
	if o.Name == "" {
		o.Name = "infra"
	}
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	s, err := gitmirror.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func poll(t *testing.T, s *gitmirror.Source) (gitsource.Revision, bool) {
	t.Helper()
	r, changed, err := s.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, changed
}

func fetchError(t *testing.T, err error, want gitsource.ErrorClass) *gitsource.FetchError {
	t.Helper()
	var fe *gitsource.FetchError
	if !errors.As(err, &fe) {
		t.Fatalf("got %v, want a FetchError", err)
	}
	if fe.Class != want {
		t.Fatalf("class of %v is %q, want %q", err, fe.Class, want)
	}
	return fe
}

func TestPollWithNothingNewIsOneRequest(t *testing.T) {
	t.Parallel()
	server, repo := setup(t)
	c := repo.Commit("first", map[string]string{"acme/dev/vpc.yaml": "kind: Vpc\n"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	r, changed := poll(t, s)
	if !changed || r.Commit != c || r.Branch != "main" || r.Subject != "first" || r.Author != "Ada" {
		t.Fatalf("changed %v, %+v", changed, r)
	}
	server.Requests()
	if _, changed := poll(t, s); changed {
		t.Error("nothing is new")
	}
	if got := server.Requests(); len(got) != 1 {
		t.Errorf("requests: %q, want one", got)
	}
	repo.Commit("second", map[string]string{"acme/dev/vpc.yaml": "kind: Subnet\n"})
	if _, changed := poll(t, s); !changed {
		t.Error("a commit is new")
	}
	if got := server.Requests(); len(got) != 2 {
		t.Errorf("requests: %q, want two", got)
	}
}

func TestSnapshotIsTheCommitAsAFileSystem(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	repo.Write(map[string]string{"a/b/x.yaml": "x", "a.yaml": "top", "a/run.sh": "#!", ".hidden/y": "y"})
	if err := errors.Join(os.Symlink("a.yaml", filepath.Join(repo.Work, "link")), os.Chmod(filepath.Join(repo.Work, "a/run.sh"), 0o755)); err != nil {
		t.Fatal(err)
	}
	repo.Commit("first", nil)
	s := open(t, gitmirror.Options{URL: repo.URL})
	r, _ := poll(t, s)
	one, err := s.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(one, "a/b/x.yaml", "a.yaml", "link"); err != nil {
		t.Error(err)
	}
	var got []string
	for b, err := range one.Blobs() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %v", b.Path, b.Size, b.Mode))
	}
	want := []string{"a.yaml 3 ----------", "a/b/x.yaml 1 ----------", "a/run.sh 2 ---x--x--x", "link 6 L---------"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	repo.Commit("second", map[string]string{"a/b/x.yaml": "new", "a/b/z.yaml": "z", ".hidden/y": "other"})
	r, _ = poll(t, s)
	two, err := s.Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := two.Changes(one.TreeHash())
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{}
	for _, c := range changes {
		paths = append(paths, c.Path)
	}
	if d := cmp.Diff([]string{"a/b/x.yaml", "a/b/z.yaml"}, paths); d != "" {
		t.Error(d)
	}
	if _, err := two.Changes(strings.Repeat("1", 40)); !errors.Is(err, schema.ErrUnknownTree) {
		t.Errorf("got %v, want ErrUnknownTree", err)
	}
	if raw, err := fs.ReadFile(one, "a/b/x.yaml"); err != nil || string(raw) != "x" {
		t.Errorf("the older snapshot gives %q, %v", raw, err)
	}
}

func TestForcePushIsFollowedAndTheOldCommitStays(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1"})
	s := open(t, gitmirror.Options{URL: repo.URL})
	old, _ := poll(t, s)
	repo.Git("checkout", "-q", "--orphan", "other")
	repo.Commit("rewritten", map[string]string{"a": "2"})
	repo.Git("push", "-q", "--force", "origin", "other:main")
	r, changed := poll(t, s)
	if !changed || r.Subject != "rewritten" {
		t.Fatalf("changed %v, %+v", changed, r)
	}
	snap, err := s.Snapshot(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := fs.ReadFile(snap, "a"); err != nil || string(raw) != "1" {
		t.Errorf("got %q, %v", raw, err)
	}
}

func TestFailureKeepsTheLastRevisionAndTellsTheClass(t *testing.T) {
	t.Parallel()
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if len(header) > 0 {
				w.Header().Set("Retry-After", header[0])
			}
			w.WriteHeader(code)
			return false
		}
	}
	for _, tt := range []struct {
		name  string
		fail  func(http.ResponseWriter, *http.Request) bool
		class gitsource.ErrorClass
		after time.Duration
	}{
		{"unauthorized", status(401), gitsource.ClassPerson, 0},
		{"forbidden", status(403), gitsource.ClassPerson, 0},
		{"gone", status(404), gitsource.ClassPerson, 0},
		{"too many", status(429, "7"), gitsource.ClassWait, 7 * time.Second},
		{"down", status(503), gitsource.ClassWait, 0},
		{"slow", func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return false }, gitsource.ClassWait, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, repo := setup(t)
			repo.Commit("first", map[string]string{"a": "1"})
			options := gitmirror.Options{URL: repo.URL, Cache: t.TempDir()}
			s := open(t, options)
			good, _ := poll(t, s)
			server.Before(tt.fail)
			if tt.name == "slow" { // a good one may need longer than that
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				options.Timeout = 100 * time.Millisecond
				s = open(t, options)
			}
			r, changed, err := s.Poll(t.Context())
			fe := fetchError(t, err, tt.class)
			if fe.RetryAfter != tt.after || changed {
				t.Errorf("retry after %v, changed %v", fe.RetryAfter, changed)
			}
			if d := cmp.Diff(good, r); d != "" {
				t.Error(d)
			}
			if tt.name == "slow" {
				return // that it goes on is seen with the others
			}
			server.Before(nil)
			if _, changed := poll(t, s); changed {
				t.Error("the same commit is not new after a failure")
			}
		})
	}
}

func TestDeletedBranchAndRepositoryAskAPerson(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1"})
	repo.Git("push", "-q", "origin", "main:live")
	s := open(t, gitmirror.Options{URL: repo.URL, Branch: "live"})
	good, _ := poll(t, s)
	repo.Git("push", "-q", "origin", ":live")
	_, _, err := s.Poll(t.Context())
	fetchError(t, err, gitsource.ClassPerson)
	if err := os.RemoveAll(repo.Bare); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Poll(t.Context())
	fetchError(t, err, gitsource.ClassPerson)
	if r != good {
		t.Errorf("got %+v, want %+v", r, good)
	}
	if _, err := s.Snapshot(t.Context(), good); err != nil {
		t.Errorf("the last good state: %v", err)
	}
}

func TestCredentialIsNeverShownOrStored(t *testing.T) {
	t.Parallel()
	const canary = "canary-6f1d0c"
	server, repo := setup(t)
	repo.Commit("first", map[string]string{"a": "1"})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		_, pass, _ := r.BasicAuth()
		if pass == "right" {
			return true
		}
		http.Error(w, "wrong: "+pass, http.StatusUnauthorized) // servers do repeat what they were sent
		return false
	})
	var log bytes.Buffer
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Credentials: remote.Credentials{Token: remote.SecretSource{File: file}}})
	_, _, err := s.Poll(t.Context())
	fetchError(t, err, gitsource.ClassPerson)
	if text := fmt.Sprintf("%v %+v %s", err, err, log.String()); strings.Contains(text, canary) {
		t.Errorf("the token is shown: %s", text)
	}
	if err := os.WriteFile(file, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(t, s) // the file is read anew
	err = filepath.WalkDir(cache, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(p)
		if bytes.Contains(raw, []byte(canary)) || bytes.Contains(raw, []byte("right")) {
			t.Errorf("%s holds the token", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"https://" + canary + "@example.com/x.git", "https://u:" + canary + "@example.com/x.git"} {
		if _, err := gitmirror.New(gitmirror.Options{Name: "x", URL: u, Cache: cache}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v", err)
		}
	}
}

func TestDamagedMirrorIsMovedAsideAndFetchedAnew(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	c := repo.Commit("first", map[string]string{"a": "1"})
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	poll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	if err := errors.Join(os.Chmod(packs[0], 0o600), os.Truncate(packs[0], 40)); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(packs[0]), "tmp_pack_1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s = open(t, gitmirror.Options{URL: repo.URL, Cache: cache, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if r, _ := poll(t, s); r.Commit != c {
		t.Errorf("got %s, want %s", r.Commit, c)
	}
	if !strings.Contains(log.String(), "mirror is damaged") {
		t.Errorf("the log says: %s", log.String())
	}
}

func TestManyFetchesLeaveFewPacks(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	cache := t.TempDir()
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache})
	var first gitsource.Revision
	for i := range 30 {
		repo.Commit("next", map[string]string{"a": fmt.Sprint(i)})
		r, _ := poll(t, s)
		if i == 0 {
			first = r
		}
	}
	packs, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack"))
	if err != nil || len(packs) > 25 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
	snap, err := s.Snapshot(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := fs.ReadFile(snap, "a"); err != nil || string(raw) != "0" {
		t.Errorf("got %q, %v", raw, err)
	}
}

func TestReadersGoOnWhileSmallPacksAreMerged(t *testing.T) {
	t.Parallel()
	_, repo := setup(t)
	cache := t.TempDir()
	var log bytes.Buffer
	s := open(t, gitmirror.Options{URL: repo.URL, Cache: cache, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var snaps []gitsource.Snapshot
	for i := range 24 { // as many packs as are left alone
		repo.Commit("next", map[string]string{fmt.Sprintf("d%d/f", i): fmt.Sprint(i)})
		r, _ := poll(t, s)
		snap, err := s.Snapshot(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, snap)
	}
	merged, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			for i, snap := range snaps {
				if raw, err := fs.ReadFile(snap, fmt.Sprintf("d%d/f", i)); err != nil || string(raw) != fmt.Sprint(i) {
					done <- fmt.Errorf("got %q, %w", raw, err)
					return
				}
			}
			select {
			case <-merged:
				done <- nil
				return
			default:
			}
		}
	}()
	for i := range 3 {
		repo.Commit("more", map[string]string{"more": fmt.Sprint(i)})
		poll(t, s)
	}
	close(merged)
	if err := <-done; err != nil {
		t.Error(err)
	}
	poll(t, s) // mends what was found damaged
	packs, err := filepath.Glob(filepath.Join(cache, "*.git/objects/pack/*.pack"))
	if err != nil || len(packs) > 24 {
		t.Errorf("%d packs, %v: nothing was merged", len(packs), err)
	}
	if strings.Contains(log.String(), "damaged") {
		t.Errorf("the log says: %s", log.String())
	}
}
