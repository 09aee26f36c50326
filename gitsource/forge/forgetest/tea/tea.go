// Package tea is a world with a real Gitea in it.
//
//	world := tea.New(t, tooltest.Gitea(t))
//	site := world.NewSite(t, map[string]string{"a.txt": "one\n"})
//
// The server is shared by all tests of a process; each site is a public repository of
// its own in one organization, on which Ada and Grace may write, and of which the
// daemon's account is an administrator, as it has to be to set webhooks. People act on
// the server itself. The adapter under test talks to it through a proxy that belongs to
// the site, counts its calls and can make them fail.
package tea

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// Server is a running Gitea: what tooltest.Gitea returns.
type Server interface {
	// URL is its address.
	URL() string
	// Account makes sure that there is an account and returns its password.
	Account(t testing.TB, login string) (password string)
}

// The organization that has the repositories, and the account that makes them.
const (
	organization                  = "acme"
	owner        forgetest.Person = "olivia"
)

// World is a Gitea server with people.
type World struct {
	server Server
}

var _ forgetest.World = (*World)(nil)

// New makes a world of a server. Several worlds of one server are the same world.
func New(t testing.TB, server Server) *World {
	t.Helper()
	w := &World{server: server}
	for _, p := range []forgetest.Person{owner, forgetest.Reeve, forgetest.Ada, forgetest.Grace, forgetest.Mallory} {
		server.Account(t, string(p))
	}
	// Another test may be making it at this moment, so what counts is that it is there.
	_, said := w.ask(t, w.asPerson(t, owner), http.MethodPost, "/orgs", map[string]any{"username": organization, "visibility": "public"}, nil)
	until(t, "make the organization "+organization+": "+said, func() (bool, string) {
		status, said := w.ask(t, w.asPerson(t, owner), http.MethodGet, "/orgs/"+organization, nil, nil)
		return status == http.StatusOK, said
	})
	return w
}

// Kind is [forge.Gitea].
func (w *World) Kind() forge.Kind { return forge.Gitea }

// as puts credentials into a request.
type as func(*http.Request)

func (w *World) asPerson(t testing.TB, p forgetest.Person) as {
	t.Helper()
	password := w.server.Account(t, string(p))
	return func(r *http.Request) { r.SetBasicAuth(string(p), password) }
}

// ask does one exchange with the API of the server and returns its status and what it
// said.
func (w *World) ask(t testing.TB, who as, method, path string, in, out any) (int, string) {
	t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, w.server.URL()+"/api/v1"+path, body) //nolint:noctx // also when the test's context has ended, to clean up
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	who(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if out != nil && resp.StatusCode < http.StatusMultipleChoices {
		if err := json.Unmarshal(said, out); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, path, err, said)
		}
	}
	return resp.StatusCode, strings.TrimSpace(string(said))
}

// NewSite makes a repository.
func (w *World) NewSite(t testing.TB, files map[string]string) forgetest.Site {
	t.Helper()
	s := &Site{world: w, name: newName(), tokens: map[forgetest.Person]token{}}
	s.do(t, owner, http.MethodPost, "/orgs/"+organization+"/repos", map[string]any{"name": s.name, "default_branch": "main"}, nil)
	t.Cleanup(func() { s.remove(t) })
	for p, may := range map[forgetest.Person]string{forgetest.Reeve: "admin", forgetest.Ada: "write", forgetest.Grace: "write"} {
		s.do(t, owner, http.MethodPut, s.path("/collaborators/%s", p), map[string]any{"permission": may}, nil)
	}
	s.proxy = newProxy(t, w.server.URL())
	s.work = newWork(t)
	s.awaitBranch(t, s.Name(), "main", s.work.begin(t, s.CloneURL(forgetest.Ada), files))
	return s
}

// Site is a repository on the server.
type Site struct {
	world *World
	name  string
	work  *work
	*proxy

	mu     sync.Mutex // guards tokens and forks
	tokens map[forgetest.Person]token
	forks  []forgetest.Person
}

// token is one that was made for this site, so that it can be revoked.
type token struct {
	id   int64
	text string
}

var (
	_ forgetest.Site   = (*Site)(nil)
	_ forgetest.Faults = (*Site)(nil)
)

// World is the server's.
func (s *Site) World() forgetest.World { return s.world }

// Name is "acme/…".
func (s *Site) Name() string { return organization + "/" + s.name }

// URL is the repository's page.
func (s *Site) URL() string { return s.world.server.URL() + "/" + s.Name() }

// APIURL is the address of the proxy, which stands for the site.
func (s *Site) APIURL() string { return s.address }

// CloneURL is for Git; "" is nobody.
func (s *Site) CloneURL(p forgetest.Person) string { return s.cloneURL(s.Name(), p) }

func (s *Site) cloneURL(repository string, p forgetest.Person) string {
	u, err := url.Parse(s.world.server.URL() + "/" + repository + ".git")
	if err != nil {
		panic(fmt.Sprintf("the server's own address: %v", err))
	}
	if p != "" {
		u.User = url.UserPassword(string(p), s.Token(p))
	}
	return u.String()
}

// Token is an API token of a person, made for this site when it is first asked for.
func (s *Site) Token(p forgetest.Person) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.tokens[p]; ok {
		return known.text
	}
	var made struct {
		ID   int64  `json:"id"`
		SHA1 string `json:"sha1"`
	}
	w, t := s.world, s.work.t
	status, said := w.ask(t, w.asPerson(t, p), http.MethodPost, "/users/"+string(p)+"/tokens", map[string]any{"name": s.name, "scopes": []string{"all"}}, &made)
	if status != http.StatusCreated {
		t.Fatalf("make a token of %s: %d %s", p, status, said)
	}
	s.tokens[p] = token{made.ID, made.SHA1}
	return made.SHA1
}

// Revoke deletes the token. [Site.Token] goes on telling it.
func (s *Site) Revoke(t testing.TB, p forgetest.Person) {
	t.Helper()
	s.Token(p)
	s.mu.Lock()
	id := s.tokens[p].id
	s.mu.Unlock()
	w := s.world
	if status, said := w.ask(t, w.asPerson(t, p), http.MethodDelete, fmt.Sprintf("/users/%s/tokens/%d", p, id), nil, nil); status != http.StatusNoContent {
		t.Fatalf("revoke the token of %s: %d %s", p, status, said)
	}
}

// remove deletes the repository and its forks, so that nothing is delivered any more.
func (s *Site) remove(t testing.TB) {
	t.Helper()
	gone := func(p forgetest.Person, name string) {
		status, said := s.world.ask(t, s.world.asPerson(t, p), http.MethodDelete, "/repos/"+name, nil, nil)
		if status != http.StatusNoContent && status != http.StatusNotFound {
			t.Errorf("remove %s: %d %s", name, status, said)
		}
	}
	for _, p := range s.forks {
		gone(p, string(p)+"/"+s.name)
	}
	gone(owner, s.Name())
}

// do does one exchange as a person, which must succeed.
func (s *Site) do(t testing.TB, p forgetest.Person, method, path string, in, out any) {
	t.Helper()
	if status, said := s.world.ask(t, s.world.asPerson(t, p), method, path, in, out); status >= http.StatusMultipleChoices {
		t.Fatalf("%s: %s %s: %d %s", p, method, path, status, said)
	}
}

func (s *Site) path(format string, args ...any) string {
	return "/repos/" + s.Name() + fmt.Sprintf(format, args...)
}

func (s *Site) fork(t testing.TB, p forgetest.Person) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.forks, p) {
		s.do(t, p, http.MethodPost, s.path("/forks"), map[string]any{"name": s.name}, nil)
		s.forks = append(s.forks, p)
	}
	return string(p) + "/" + s.name
}
