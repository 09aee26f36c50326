package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// calm is how long after a secondary limit writes are paced, and pace how far apart
	// they are then ("if you are making a large number of POST, PATCH, PUT, or DELETE
	// requests, wait at least one second between each request", GitHub's best practices).
	calm = time.Hour
	pace = time.Second
	// unnamed is the first pause after a secondary limit that names no time, and
	// longest the bound of its doubling.
	unnamed = time.Minute
	longest = 16 * time.Minute
	// window is the longest that a limit lasts anywhere; what is told to be longer comes
	// of a clock that is wrong, or of something that is not the forge.
	window = time.Hour
)

// limit is what is known of the forge's limits.
type limit struct {
	mu    sync.Mutex
	until time.Time // nothing is sent before
	met   time.Time // when the last secondary limit is over
	// strikes counts secondary limits that named no time, since one that passed.
	strikes int
	wrote   time.Time // when the last paced write was let go

	writing chan struct{} // holds one token: who has it may write
}

func newLimit() *limit {
	l := &limit{writing: make(chan struct{}, 1)}
	l.writing <- struct{}{}
	return l
}

// met is a limit that an answer told of.
type met struct {
	wait time.Duration
	// named tells that the forge said how long.
	named bool
	// secondary tells that the budget is not used up: there was too much at once.
	secondary bool
}

// limitOf reads an answer that refuses a request for a limit.
func limitOf(resp *http.Response, now time.Time) (met, bool) {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return met{}, false
	}
	left, counted := remaining(resp.Header)
	used := counted && left == 0
	if wait, ok := RetryAfter(resp.Header, now); ok {
		return met{wait: min(wait, window), named: true, secondary: !used}, true
	}
	if used {
		if wait, ok := reset(resp.Header, now); ok {
			return met{wait: wait, named: true}, true
		}
		return met{wait: unnamed, named: true}, true
	}
	if saysSecondary(resp) {
		return met{secondary: true}, true
	}
	// A plain 429 wants the usual pause; a plain 403 is a lack of rights.
	return met{named: true}, resp.StatusCode == http.StatusTooManyRequests
}

// saysSecondary looks for GitHub's words in an answer; neither header nor status tells.
func saysSecondary(resp *http.Response) bool {
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var said struct {
		Message string `json:"message"`
		Page    string `json:"documentation_url"`
	}
	if err != nil || json.Unmarshal(body, &said) != nil {
		return false
	}
	message := strings.ToLower(said.Message)
	return strings.Contains(message, "secondary rate limit") || strings.Contains(message, "abuse detection") ||
		strings.HasSuffix(said.Page, "secondary-rate-limits") || strings.HasSuffix(said.Page, "#abuse-rate-limits")
}

// meet notes a limit and returns how long it lasts.
func (l *limit) meet(m met, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !m.named {
		m.wait = min(unnamed<<min(l.strikes, 10), longest)
		l.strikes++
	}
	if m.secondary {
		l.met = now.Add(m.wait)
	}
	if until := now.Add(m.wait); m.wait > 0 && until.After(l.until) {
		l.until = until
	}
	return m.wait
}

// spent notes that an answer took the last of the budget, so that the next request need
// not be refused to learn it.
func (l *limit) spent(h http.Header, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strikes = 0
	if left, ok := remaining(h); !ok || left > 0 {
		return
	}
	if wait, ok := reset(h, now); ok && now.Add(wait).After(l.until) {
		l.until = now.Add(wait)
	}
}

// admit waits until the request may be sent. The function it returns must be called when
// the exchange is over.
func (t *Transport) admit(req *http.Request, p *patience) (func(), error) {
	release := func() {}
	if t.paces(req) {
		select {
		case <-t.limit.writing:
			release = func() { t.limit.writing <- struct{}{} }
		case <-req.Context().Done():
			return nil, &Error{Err: context.Cause(req.Context())}
		}
	}
	for {
		if req.Context().Err() != nil {
			release()
			return nil, &Error{Err: context.Cause(req.Context())}
		}
		wait := t.closedFor(req)
		if wait <= 0 {
			return release, nil
		}
		if !p.pause(wait + rand.N(min(wait/10, time.Second)+1)) { //nolint:gosec // jitter, so that not all come back at once
			release()
			if req.Context().Err() != nil {
				return nil, &Error{Err: context.Cause(req.Context())}
			}
			t.opts.Meter.count(req.Method, held)
			return nil, &Error{RetryAfter: wait, Err: fmt.Errorf("%s: %w", t.opts.Forge, ErrLimited)}
		}
	}
}

// paces tells whether the request is a write in the time after a secondary limit.
func (t *Transport) paces(req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return false
	}
	t.limit.mu.Lock()
	defer t.limit.mu.Unlock()
	return !t.limit.met.IsZero() && t.opts.Now().Sub(t.limit.met) < calm
}

// closedFor is how long a request must still wait; 0 lets it go, and notes a paced write.
func (t *Transport) closedFor(req *http.Request) time.Duration {
	paced := t.paces(req)
	t.limit.mu.Lock()
	defer t.limit.mu.Unlock()
	now := t.opts.Now()
	open := t.limit.until
	if next := t.limit.wrote.Add(pace); paced && next.After(open) {
		open = next
	}
	if open.After(now) {
		return open.Sub(now)
	}
	if paced {
		t.limit.wrote = now
	}
	return 0
}

// RetryAfter reads the header of that name, in seconds or as a date.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 && seconds < 1e8 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(serverNow(h, now))), true
	}
	return 0, false
}

// remaining reads what is left of the budget. GitHub tells of several budgets by the
// name of the resource; only the core's is ours.
func remaining(h http.Header) (int, bool) {
	if r := h.Get("X-RateLimit-Resource"); r != "" && r != "core" {
		return 0, false
	}
	for _, name := range []string{"X-RateLimit-Remaining", "RateLimit-Remaining"} {
		if n, err := strconv.Atoi(h.Get(name)); err == nil {
			return n, true
		}
	}
	return 0, false
}

// reset reads how long it takes until the budget is whole again.
func reset(h http.Header, now time.Time) (time.Duration, bool) {
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		if err != nil || n < 0 {
			continue
		}
		if n <= int64(window/time.Second) { // seconds from now, as the IETF's draft has it
			return time.Duration(n) * time.Second, true
		}
		// A second more: the reset is told in whole ones.
		return min(max(0, time.Unix(n, 0).Sub(serverNow(h, now)))+time.Second, window), true
	}
	return 0, false
}

// serverNow is the time by the forge's clock, which its points in time are to be held
// against.
func serverNow(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}
