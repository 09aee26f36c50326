package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

// site is one project of the world.
type site struct {
	w *World
	p *project
}

var _ forgetest.Site = (*site)(nil)

// NewSite makes a project in a group within a group, with one commit on main. Reeve
// maintains it, Ada, Grace, [Bot] and [Service] develop, Mallory reports.
func (w *World) NewSite(t testing.TB, files map[string]string) forgetest.Site {
	t.Helper()
	w.mu.Lock()
	p, err := w.newProject(fmt.Sprintf("acme/platform/infra-%d", len(w.projects)+1), nil)
	if err != nil {
		w.mu.Unlock()
		t.Fatal(err)
	}
	for who, level := range map[forgetest.Person]int{forgetest.Reeve: maintainer, forgetest.Ada: developer, forgetest.Grace: developer, Bot: developer, Service: developer, forgetest.Mallory: reporter} {
		p.members[w.userNamed(string(who)).id] = level
	}
	w.mu.Unlock()
	s := &site{w, p}
	s.commit(t, forgetest.Reeve, p, "main", files, false)
	return s
}

func (s *site) World() forgetest.World { return s.w }
func (s *site) Name() string           { return s.p.path }
func (s *site) URL() string            { return s.w.URL + "/" + s.p.path }
func (s *site) APIURL() string         { return s.w.URL }

func (s *site) CloneURL(as forgetest.Person) string { return s.cloneURL(as, s.p) }

func (s *site) cloneURL(as forgetest.Person, p *project) string {
	u, err := url.Parse(s.w.URL + "/" + p.path + ".git")
	if err != nil {
		panic(err) // made by httptest
	}
	if as != "" {
		u.User = url.UserPassword(string(as), s.Token(as))
	}
	return u.String()
}

func (s *site) Token(as forgetest.Person) string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if u := s.w.userNamed(string(as)); u != nil {
		return u.token
	}
	return ""
}

func (s *site) Repository(t testing.TB) forge.Repository {
	t.Helper()
	r, err := gitlab.New(gitlab.Options{
		URL: s.w.URL, Project: s.p.path,
		Token:      func(context.Context) (string, error) { return s.Token(forgetest.Reeve), nil },
		HTTPClient: &http.Client{Transport: s.w.client}, // nothing is repeated: what goes wrong is seen
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *site) Parser() forge.WebhookParser { return gitlab.Webhook{} }

func (s *site) Push(t testing.TB, as forgetest.Person, branch string, files map[string]string, force bool) string {
	t.Helper()
	return s.commit(t, as, s.p, branch, files, force)
}

func (s *site) PushFork(t testing.TB, as forgetest.Person, branch string, files map[string]string) string {
	t.Helper()
	return s.commit(t, as, s.fork(t, as), branch, files, false)
}

// fork is the person's copy of the project, which is made when there is none.
func (s *site) fork(t testing.TB, as forgetest.Person) *project {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	path := string(as) + "/" + s.p.path[strings.LastIndex(s.p.path, "/")+1:]
	if p := s.w.project(path); p != nil {
		return p
	}
	p, err := s.w.newProject(path, s.p)
	if err != nil {
		t.Fatal(err)
	}
	p.members[s.w.userNamed(string(as)).id] = owner
	return p
}

func (s *site) commit(t testing.TB, as forgetest.Person, p *project, branch string, files map[string]string, force bool) string {
	t.Helper()
	run := func(dir string, args ...string) string {
		t.Helper()
		out, err := gitAs(string(as), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	dir := t.TempDir()
	run(dir, "clone", "-q", "--no-tags", s.cloneURL(as, p), ".")
	_, err := git(dir, "rev-parse", "--verify", "-q", "refs/remotes/origin/"+branch)
	switch {
	case branch == "main" && err != nil: // the first commit
	case force || err != nil:
		run(dir, "checkout", "-q", "-B", branch, "origin/main")
	default:
		run(dir, "checkout", "-q", "-B", branch, "origin/"+branch)
	}
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(file), 0o750)
		switch {
		case err != nil:
		case text == "":
			err = os.Remove(file)
		default:
			err = os.WriteFile(file, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run(dir, "add", "-A")
	run(dir, "commit", "-q", "--allow-empty", "-m", "Change "+branch)
	push := []string{"push", "-q", "origin", "HEAD:refs/heads/" + branch}
	if force {
		push = append(push, "--force")
	}
	run(dir, push...)
	return run(dir, "rev-parse", "HEAD")
}

// call does what a person does, and fails the test when GitLab refuses.
func (s *site) call(t testing.TB, as forgetest.Person, method, path string, body, into any) {
	t.Helper()
	s.callIn(t, s.p, as, method, path, body, into)
}

func (s *site) callIn(t testing.TB, p *project, as forgetest.Person, method, path string, body, into any) {
	t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, s.w.URL+"/api/v4/projects/"+url.PathEscape(p.path)+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Private-Token", s.Token(as))
	req.Header.Set(peopleHeader, "1")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Transport: s.w.client}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s as %s: %s: %s", method, path, as, resp.Status, got)
	}
	if into != nil {
		if err := json.Unmarshal(got, into); err != nil {
			t.Fatal(err)
		}
	}
}

// object is a body.
type object = map[string]any

func merge(number int, more string) string { return fmt.Sprintf("/merge_requests/%d%s", number, more) }

func (s *site) Open(t testing.TB, as forgetest.Person, branch, title string, fork bool) int {
	t.Helper()
	from, body := s.p, object{"source_branch": branch, "target_branch": "main", "title": title}
	if fork {
		from = s.fork(t, as)
		body["target_project_id"] = s.p.id
	}
	var got struct {
		IID int `json:"iid"`
	}
	s.callIn(t, from, as, http.MethodPost, "/merge_requests", body, &got)
	return got.IID
}

func (s *site) Close(t testing.TB, as forgetest.Person, number int) {
	t.Helper()
	s.call(t, as, http.MethodPut, merge(number, ""), object{"state_event": "close"}, nil)
}

func (s *site) Reopen(t testing.TB, as forgetest.Person, number int) {
	t.Helper()
	s.call(t, as, http.MethodPut, merge(number, ""), object{"state_event": "reopen"}, nil)
}

func (s *site) Turn(t testing.TB, as forgetest.Person, number int, branch string) {
	t.Helper()
	s.call(t, as, http.MethodPut, merge(number, ""), object{"target_branch": branch}, nil)
}

func (s *site) Entitle(t testing.TB, as forgetest.Person, number int, title string) {
	t.Helper()
	s.call(t, as, http.MethodPut, merge(number, ""), object{"title": title}, nil)
}

func (s *site) Merge(t testing.TB, as forgetest.Person, number int) string {
	t.Helper()
	var got struct {
		Commit string `json:"merge_commit_sha"`
	}
	s.call(t, as, http.MethodPut, merge(number, "/merge"), object{}, &got)
	return got.Commit
}

func (s *site) Comment(t testing.TB, as forgetest.Person, number int, body string) string {
	t.Helper()
	var got struct {
		ID int `json:"id"`
	}
	s.call(t, as, http.MethodPost, merge(number, "/notes"), object{"body": body}, &got)
	return strconv.Itoa(got.ID)
}

func (s *site) EditComment(t testing.TB, as forgetest.Person, number int, id, body string) {
	t.Helper()
	s.call(t, as, http.MethodPut, merge(number, "/notes/"+id), object{"body": body}, nil)
}

func (s *site) DeleteComment(t testing.TB, as forgetest.Person, number int, id string) {
	t.Helper()
	s.call(t, as, http.MethodDelete, merge(number, "/notes/"+id), nil, nil)
}

func (s *site) Comments(t testing.TB, number int) []forgetest.Said {
	t.Helper()
	var out []forgetest.Said
	for page := 1; ; page++ {
		var got []struct {
			ID     int    `json:"id"`
			Body   string `json:"body"`
			System bool   `json:"system"`
			Author struct {
				Username string `json:"username"`
			} `json:"author"`
		}
		s.call(t, forgetest.Grace, http.MethodGet, merge(number, fmt.Sprintf("/notes?sort=asc&order_by=created_at&per_page=100&page=%d", page)), nil, &got)
		for _, n := range got {
			if !n.System {
				out = append(out, forgetest.Said{ID: strconv.Itoa(n.ID), By: n.Author.Username, Body: n.Body})
			}
		}
		if len(got) < 100 {
			return out
		}
	}
}

func (s *site) Review(t testing.TB, as forgetest.Person, number int, approve bool, body string) {
	t.Helper()
	if body != "" {
		s.Comment(t, as, number, body)
	}
	if approve {
		s.call(t, as, http.MethodPost, merge(number, "/approve"), object{}, nil)
		return
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.requestChanges(s.p.merge(strconv.Itoa(number)), s.w.userNamed(string(as)))
}

func (s *site) Statuses(t testing.TB, commit string) map[string]forge.Status {
	t.Helper()
	var got []struct {
		Name   string `json:"name"`
		Status string `json:"status"`
		Text   string `json:"description"`
		URL    string `json:"target_url"`
	}
	s.call(t, forgetest.Grace, http.MethodGet, "/repository/commits/"+commit+"/statuses?per_page=100", nil, &got)
	states := map[string]forge.StatusState{"pending": forge.Pending, "running": forge.Pending, "success": forge.Success, "failed": forge.Failure}
	out := map[string]forge.Status{}
	for _, x := range got {
		out[x.Name] = forge.Status{Context: x.Name, State: states[x.Status], Description: x.Text, URL: x.URL}
	}
	return out
}

func (s *site) Reactions(t testing.TB, number int, id string) []forge.Reaction {
	t.Helper()
	var got []struct {
		Name string `json:"name"`
	}
	s.call(t, forgetest.Grace, http.MethodGet, merge(number, "/notes/"+id+"/award_emoji?per_page=100"), nil, &got)
	names := map[string]forge.Reaction{"thumbsup": forge.ThumbsUp, "thumbsdown": forge.ThumbsDown}
	var out []forge.Reaction
	for _, x := range got {
		r, other := names[x.Name]
		if !other {
			r = forge.Reaction(x.Name)
		}
		out = append(out, r)
	}
	return out
}

func (s *site) Revoke(t testing.TB, p forgetest.Person) {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.userNamed(string(p)).revoked = true
}
