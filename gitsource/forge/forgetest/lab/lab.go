// Package lab is an imitation of GitLab for tests: REST API v4, webhooks that are
// delivered over HTTP, and Git over HTTP with real repositories, in one process.
//
// GitLab itself cannot run where these tests do. The imitation is therefore held to what
// others published, each time that it answers:
//
//   - A request must be an operation of the table in contract.go, with parameters that
//     GitLab documents for it. Anything else fails the test.
//   - An answer must have the fields and types that the library github.com/xanzy/go-gitlab
//     reads, and a webhook's payload those of the payloads recorded in that library's
//     testdata. Fields that are newer than the library are listed one by one.
//   - Where GitLab's OpenAPI description is at hand (REEVE_GITLAB_OPENAPI names the file
//     doc/api/openapi/openapi_v2.yaml of GitLab's source), requests and answers are held
//     to it as well. It does not describe notes and users at all.
//
// What is imitated beyond shapes was read in GitLab's documentation, in its public source
// where that tells more (statuses), and in reports of others, or is what we believe
// (when failing webhooks pause, the words of some errors): offset pagination with Link and X-… headers, ETags, rate limits, statuses that
// refuse a move to where they are, awards that refuse a second one with 404, quick
// actions, approvals that outlive a push, heads that are worked out a moment after the
// merge request is there, webhooks that are switched off when they fail.
//
// What it is not: nothing here was compared with a running GitLab. Pipelines hold
// commit statuses and no jobs; there are no protected branches, no approval rules, no
// groups' members, no merge trains, no discussions with replies.
package lab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// World is a running imitation.
type World struct {
	// URL is where it is, without a slash at the end.
	URL string

	t       testing.TB
	root    string // of the repositories
	server  *httptest.Server
	shapes  *shapes
	backend http.Handler
	client  *http.Transport // of adapters and people, so that nothing is left open

	ending     sync.Mutex
	ended      bool
	complaints map[string]bool // those that were made

	mu       sync.Mutex
	now      time.Time // the newest time that was given
	ahead    time.Duration
	last     int // the newest id that was given
	users    []*user
	projects []*project
	faults   []*fault
	calls    map[string]int
	lag      int
	limit    rateLimit
	hooks    *deliverer
	sent     []Sent
}

var (
	_ forgetest.World  = (*World)(nil)
	_ forgetest.Faults = (*World)(nil)
)

// The access levels of GitLab.
const (
	reporter   = 20
	developer  = 30
	maintainer = 40
	owner      = 50
)

type user struct {
	id      int
	name    string
	bot     bool
	token   string
	revoked bool
}

type project struct {
	id         int
	path       string
	bare       string
	visibility string
	created    time.Time
	members    map[int]int // access level by user id
	forkOf     *project
	hooks      []*hook
	merges     []*mergeRequest
	pipelines  []*pipeline
	heads      map[string]string // branches as they were last seen
}

// New starts an imitation, which ends with the test. What does not fit GitLab's contract
// fails that test.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{t: t, root: t.TempDir(), calls: map[string]int{}, complaints: map[string]bool{}, last: 100, client: &http.Transport{}, shapes: loadShapes(t)}
	for _, p := range []forgetest.Person{forgetest.Reeve, forgetest.Ada, forgetest.Grace, forgetest.Mallory} {
		w.users = append(w.users, &user{id: w.id(), name: string(p), token: "glpat-" + random(10)})
	}
	for _, p := range []forgetest.Person{Bot, Service} {
		w.users = append(w.users, &user{id: w.id(), name: string(p), bot: true, token: "glpat-" + random(10)})
	}
	w.backend = gitBackend(t, w.root)
	w.server = httptest.NewServer(w)
	w.URL = w.server.URL
	w.hooks = newDeliverer(w)
	t.Cleanup(func() {
		w.hooks.stop()
		w.client.CloseIdleConnections()
		w.server.CloseClientConnections()
		w.server.Close()
		w.ending.Lock()
		w.ended = true
		w.ending.Unlock()
	})
	return w
}

// Kind is [forge.GitLab].
func (w *World) Kind() forge.Kind { return forge.GitLab }

// Accounts that are no people, and may write everywhere.
const (
	// Bot is that of a project access token, as its name tells.
	Bot forgetest.Person = "project_7_bot_0f0e0d0c"
	// Service is a service account with a name like a person's.
	Service forgetest.Person = "release-train"
)

// Lag makes heads come late: the next merge requests that are opened have none for so
// many looks, and pushes are seen after as many.
func (w *World) Lag(looks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag = looks
}

// Pass puts GitLab's clock forward.
func (w *World) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// Publish makes a project visible for everybody.
func (w *World) Publish(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.project(path).visibility = "public"
}

// complain fails the test for something that GitLab would not do or understand.
func (w *World) complain(format string, args ...any) {
	w.ending.Lock()
	defer w.ending.Unlock()
	text := fmt.Sprintf(format, args...)
	if !w.ended && !w.complaints[text] { // a test that has ended cannot fail any more
		w.complaints[text] = true
		w.t.Errorf("lab: %s", text)
	}
}

func (w *World) id() int { w.last++; return w.last }

// tick is the time in milliseconds, as GitLab tells it, and never the same twice.
func (w *World) tick() time.Time {
	now := time.Now().Add(w.ahead).UTC().Truncate(time.Millisecond)
	if !now.After(w.now) {
		now = w.now.Add(time.Millisecond)
	}
	w.now = now
	return now
}

func (w *World) userNamed(p string) *user {
	for _, u := range w.users {
		if strings.EqualFold(u.name, p) {
			return u
		}
	}
	return nil
}

func (w *World) project(path string) *project {
	for _, p := range w.projects {
		if p.path == path || fmt.Sprint(p.id) == path {
			return p
		}
	}
	return nil
}

// level is what a user may do with a project; 0 is nothing.
func (p *project) level(u *user) int {
	if u == nil {
		return 0
	}
	if l := p.members[u.id]; l > 0 {
		return l
	}
	if p.visibility == "public" {
		return 1
	}
	return 0
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	return hex.EncodeToString(b)
}

// fault is something that is to go wrong.
type fault struct {
	left         int
	method, path string
	status       int
	seconds      int
	lost         bool
}

// Fail makes the next calls of the API that match go wrong.
func (w *World) Fail(n int, method, path string, status, seconds int, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, &fault{n, method, path, status, seconds, lost})
}

// faultFor takes the fault that a request meets, if any.
func (w *World) faultFor(r *http.Request) *fault {
	for i, f := range w.faults {
		if (f.method == "" || f.method == r.Method) && (strings.Contains(r.URL.Path, f.path) || strings.Contains(r.URL.EscapedPath(), f.path)) {
			if f.left--; f.left <= 0 {
				w.faults = slices.Delete(w.faults, i, i+1)
			}
			return f
		}
	}
	return nil
}

// Calls counts the calls of the API by method since it was last asked.
func (w *World) Calls() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.calls
	w.calls = map[string]int{}
	return out
}

// rateLimit counts requests in a window of time.
type rateLimit struct {
	most   int // 0 is none to speak of
	window time.Duration
	used   int
	ends   time.Time
}

// LimitRate lets so many calls of the API through in each window, as GitLab's limits of
// authenticated requests do.
func (w *World) LimitRate(most int, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = rateLimit{most: most, window: window}
}

// spend takes one request from the limit and writes GitLab's headers; false is over it.
func (l *rateLimit) spend(h http.Header, now time.Time) bool {
	most, window := l.most, l.window
	if most == 0 {
		most, window = 1_000_000, time.Minute
	}
	if now.After(l.ends) {
		l.used, l.ends = 0, now.Add(window)
	}
	l.used++
	h.Set("RateLimit-Name", "throttle_authenticated_api")
	h.Set("RateLimit-Limit", fmt.Sprint(most))
	h.Set("RateLimit-Observed", fmt.Sprint(l.used))
	h.Set("RateLimit-Remaining", fmt.Sprint(max(most-l.used, 0)))
	h.Set("RateLimit-Reset", fmt.Sprint(l.ends.Add(time.Second-1).Unix()))
	h.Set("RateLimit-ResetTime", l.ends.UTC().Format(http.TimeFormat))
	if l.used > most {
		h.Set("Retry-After", fmt.Sprint(max(int(time.Until(l.ends).Seconds()+0.999), 1)))
		return false
	}
	return true
}
