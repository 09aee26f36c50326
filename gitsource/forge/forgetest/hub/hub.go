// Package hub imitates GitHub, for tests of what must hold on a forge that cannot run
// here: its REST API, webhooks that are really delivered, and Git over HTTP.
//
//	w := hub.New(t)
//	site := w.NewSite(t, map[string]string{"README.md": "hello"})
//	n := site.Open(t, forgetest.Ada, "a-branch", "A title", false)
//
// It has state (repositories, forks, pull requests, comments, reviews, statuses, check
// runs, webhooks, an App), pages, ETags, the primary limit and the secondary one for
// writes, and answers as GitHub documents it. What keeps it honest:
//
//   - Every request that it receives must be one that GitHub's published description
//     knows, with no field or parameter beyond it; else the test fails.
//   - Every answer is brought into the described form (what is not described is left out,
//     what is required and of no interest here is filled with dull values) and validated
//     against the description by another's library; else the test fails. Deliveries are,
//     too, against the published schemas.
//
// What no description says is belief, from GitHub's documentation and what people report:
// which refusal comes when several could (404 for webhooks that one may not see, 403
// elsewhere); 80 writes in a minute before the secondary limit, and its Retry-After; that
// a reaction leaves a comment's updated_at alone; that a 304 costs nothing; the order of
// deliveries, which here is that of the events, each within milliseconds. Not imitated
// are branch protection and required checks, merge queues, squash and rebase merges,
// refs/pull/N/merge, drafts' rules, deleted accounts, points, concurrency and the hourly
// limit of content, permissions of an App one by one, and GraphQL.
//
// Its clock is the real one and what was skipped of it: a client of [Site.Client] does not
// wait out limits, it skips them.
package hub

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// World is one GitHub.
type World struct {
	t      testing.TB
	server *httptest.Server
	rest   *description
	events *events
	git    *backend
	mail   *courier

	mu       sync.Mutex // guards what follows
	skipped  time.Duration
	lastID   int64
	accounts map[string]*account
	repos    map[string]*repo // by full name, in lower case
	moved    map[string]*repo // by the name that they had
	tokens   map[string]*token
	app      *app
	faults   []*fault
	calls    map[callOf]int
	budget   int // requests in an hour and for one token
	writes   int // writes in a minute and for one token
	lag      int // how often a new pull request is not found
}

var (
	_ forgetest.World  = (*World)(nil)
	_ forgetest.Faults = (*World)(nil)
	_ forgetest.Faults = (*Site)(nil)
)

// account is a user or a bot.
type account struct {
	id    int64
	login string
	kind  string // User, Bot or Organization
}

// token is a credential and what it used.
type token struct {
	who     *account
	ends    time.Time // zero: never
	revoked bool
	app     bool // of an installation
	used    int
	window  time.Time // the start of the hour that used counts
	wrote   []time.Time
}

// Bot is the account of an App that writes comments, and may write to every repository.
const Bot forgetest.Person = "release-train[bot]"

// owner is who the repositories belong to.
const owner = "acme"

// New starts a world, which stops with the test.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{t: t, lastID: 1000, accounts: map[string]*account{}, repos: map[string]*repo{}, moved: map[string]*repo{}, tokens: map[string]*token{},
		calls: map[callOf]int{}, budget: 5000, writes: 80}
	w.rest, w.events = describe()
	w.git = newBackend(t, w)
	w.mail = newCourier(w)
	w.server = httptest.NewServer(w)
	t.Cleanup(func() {
		w.mail.stop()
		w.server.Close()
	})
	w.account(owner, "Organization")
	for _, p := range []forgetest.Person{forgetest.Reeve, forgetest.Ada, forgetest.Grace, forgetest.Mallory} {
		w.account(string(p), "User")
	}
	w.account(string(Bot), "Bot")
	return w
}

// Kind is [forge.GitHub].
func (w *World) Kind() forge.Kind { return forge.GitHub }

// URL is where the world is: its pages would be below it, and its API is at /api/v3.
func (w *World) URL() string { return w.server.URL }

// account finds or makes an account. The caller holds the lock, or is alone.
func (w *World) account(login, kind string) *account {
	if a, ok := w.accounts[strings.ToLower(login)]; ok {
		return a
	}
	a := &account{id: w.id(), login: login, kind: kind}
	w.accounts[strings.ToLower(login)] = a
	return a
}

func (w *World) id() int64 { w.lastID++; return w.lastID }

// now is the world's time. GitHub's are whole seconds. The caller holds the lock.
func (w *World) now() time.Time { return time.Now().Add(w.skipped).UTC().Truncate(time.Second) }

// Now is the world's time, to the fraction.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skipped)
}

// Skip lets time pass at once. It fits [transport.Options], as Sleep.
func (w *World) Skip(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped += d
	return ctx.Err()
}

// SetBudget sets how many requests a token has in an hour, and how many writes in a
// minute, and forgets what was used.
func (w *World) SetBudget(requests, writes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget, w.writes = requests, writes
	for _, t := range w.tokens {
		t.used, t.wrote = 0, nil
	}
}

// Lag makes each pull request that is opened from now on unknown to its next n calls, as
// GitHub's copies of itself are behind one another.
func (w *World) Lag(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag = n
}

// fault is calls that go wrong.
type fault struct {
	left         int
	repo         string // "/repos/owner/name", of a site's
	method, path string
	status       int
	seconds      int
	lost         bool
}

// callOf names calls that are counted together; repo is "" for those of no repository.
type callOf struct{ repo, method string }

// Fail is as [forgetest.Faults] says. A path is one below /api/v3.
func (w *World) Fail(n int, method, path string, status, seconds int, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, &fault{n, "", method, path, status, seconds, lost})
}

// Fail makes calls for the site fail; a path is one below the repository's.
func (s *Site) Fail(n int, method, path string, status, seconds int, lost bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.faults = append(s.w.faults, &fault{n, repoPath(s.repo), method, path, status, seconds, lost})
}

func repoPath(r *repo) string { return "/repos/" + strings.ToLower(r.full()) }

// within tells which path below a repository's a request is for.
func within(repo, path string) (string, bool) {
	if repo == "" {
		return path, true
	}
	if len(path) < len(repo) || !strings.EqualFold(path[:len(repo)], repo) {
		return "", false
	}
	rest := path[len(repo):]
	return rest, rest == "" || rest[0] == '/'
}

// fault takes the first that a request meets. The caller holds the lock.
func (w *World) fault(method, path string) *fault {
	for _, f := range w.faults {
		rest, ok := within(f.repo, path)
		if ok && f.left > 0 && (f.method == "" || f.method == method) && strings.Contains(rest, f.path) {
			f.left--
			return f
		}
	}
	return nil
}

// count counts a call. The caller holds the lock.
func (w *World) count(method string, params map[string]string) {
	name := ""
	if params["repo"] != "" {
		name = strings.ToLower(params["owner"] + "/" + params["repo"])
	}
	w.calls[callOf{name, method}]++
}

// Calls counts the API calls since it was last asked, by method.
func (w *World) Calls() map[string]int { return w.take(func(string) bool { return true }) }

// Calls counts the calls for the site's repository.
func (s *Site) Calls() map[string]int {
	return s.w.take(func(repo string) bool { return strings.EqualFold(repo, s.repo.full()) })
}

func (w *World) take(wants func(repo string) bool) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for call, n := range w.calls {
		if wants(call.repo) {
			out[call.method] += n
			delete(w.calls, call)
		}
	}
	return out
}

// grant makes a token. The caller holds the lock.
func (w *World) grant(who *account, prefix string, ends time.Time) string {
	value := prefix + random(18)
	w.tokens[value] = &token{who: who, ends: ends, app: prefix == "ghs_"}
	return value
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return hex.EncodeToString(b)
}

// credential finds who a token is of; nil when it is worth nothing. The caller holds the
// lock.
func (w *World) credential(value string) *token {
	t := w.tokens[value]
	if t == nil || t.revoked || !t.ends.IsZero() && !w.now().Before(t.ends) {
		return nil
	}
	return t
}

// app is the world's GitHub App.
type app struct {
	id           int64
	slug         string
	key          *rsa.PrivateKey
	installation int64
	bot          *account
}

// App returns the id and the private key of the App that is installed for every
// repository. It may write, and make check runs.
func (w *World) App(t testing.TB) (id string, privateKey []byte) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.app == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		w.app = &app{id: w.id(), slug: "reeve-app", key: key, installation: w.id()}
		w.app.bot = w.account("reeve-app[bot]", "Bot")
	}
	return fmt.Sprint(w.app.id), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(w.app.key)})
}

// RevokeInstallationTokens makes the tokens worthless that the App has by now.
func (w *World) RevokeInstallationTokens() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tokens {
		if t.app {
			t.revoked = true
		}
	}
}

// ServeHTTP is the API below /api/v3, and Git elsewhere.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if path, ok := strings.CutPrefix(r.URL.Path, "/api/v3"); ok {
		w.serveAPI(rw, r, path)
		return
	}
	w.git.serve(rw, r)
}
