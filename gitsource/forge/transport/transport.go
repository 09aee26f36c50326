// Package transport is what every exchange with a forge goes through: an
// [http.RoundTripper] that repeats what is safe to repeat, leaves a forge alone that asks
// for it, asks only for what changed, and counts.
//
//	meter := transport.NewMeter(registerer)
//	client := &http.Client{Transport: transport.New(transport.Options{
//		Forge: "github", Meter: meter.Forge("github"), Repeatable: github.Repeatable})}
//
// One Transport stands for one forge and one credential, because limits are counted per
// credential. An adapter puts its Authorization header above it.
//
// # What is repeated
//
//   - GET, HEAD, PUT, PATCH and DELETE, and writes that [Options.Repeatable] names: after a
//     lost connection, a broken answer, and 500, 502, 503 and 504.
//   - Every other request when the forge cannot have seen it (no connection was made), or
//     says that it did nothing: 429, 403 for a limit, 503 with Retry-After.
//   - Nothing after a certificate that does not fit: that is for a person.
//
// The pause doubles from half a second with jitter; Retry-After wins when it is longer.
// All pauses of a request together stay under [Options.MaxWait]; waiting for its turn
// behind other writes is not one. A longer limit is not
// waited out: the answer, or an [Error], tells the caller when to come back.
//
// # Limits
//
// A limit that one request meets holds for all: until it ends none is sent. Its length is
// Retry-After, or X-RateLimit-Reset (GitLab: RateLimit-Reset) when nothing remains, or a
// minute that doubles each time, which is GitHub's advice for secondary limits that name
// none. After a secondary limit writes go one by one, a second apart, for an hour.
//
// # Conditional requests
//
// Answers to GET that carry an ETag are kept in memory, and asked for again with
// If-None-Match. A 304 costs nothing of GitHub's budget; the caller sees the kept answer.
// What one credential was told is never shown to another.
//
// Answers are read whole before they are handed on, so that half an answer is a lost one.
package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Options are what a Transport is made of. The zero value works.
type Options struct {
	// Forge names the forge where a limit is told of; "" is "forge".
	Forge string
	// Base carries requests out; nil is a clone of [http.DefaultTransport].
	Base http.RoundTripper
	// Meter counts; nil counts nothing.
	Meter *Forge
	// Repeatable tells of a POST that doing it twice is like once. nil: none is.
	Repeatable func(*http.Request) bool
	// MaxWait bounds the pauses of one request, all together; 0 is 30 seconds.
	MaxWait time.Duration
	// Timeout bounds one exchange, from connecting to the answer's last byte; 0 is 30
	// seconds. A client that uses the Transport should have no timeout of its own: it
	// would count pauses too.
	Timeout time.Duration
	// CacheBytes bounds the answers that are kept; 0 is 32 MiB, less than 0 keeps none.
	CacheBytes int
	// Now and Sleep are the clock; nil is the real one. Sleep returns the context's
	// error when that ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

const (
	// attempts bounds repeats beside MaxWait: a forge that answers at once with
	// "Retry-After: 0" must not be asked in a circle.
	attempts = 8
	// answerBytes is the longest answer that is read. A page of a hundred comments of
	// the greatest length stays below it.
	answerBytes = 64 << 20
)

// Transport is the round tripper. It is safe for concurrent use.
type Transport struct {
	opts  Options
	cache *cache
	limit *limit
}

// New makes a Transport.
func New(opts Options) *Transport {
	if opts.Base == nil {
		opts.Base = http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // it is one, says its documentation
	}
	if opts.Forge == "" {
		opts.Forge = "forge"
	}
	if opts.MaxWait == 0 {
		opts.MaxWait = 30 * time.Second
	}
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 32 << 20
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	if opts.Repeatable == nil {
		opts.Repeatable = func(*http.Request) bool { return false }
	}
	return &Transport{opts: opts, cache: newCache(opts.CacheBytes), limit: newLimit()}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Error is an exchange that brought no answer.
type Error struct {
	// Unsent tells that the forge cannot have seen the request: a write has not happened.
	Unsent bool
	// RetryAfter is how long the limit still lasts that kept the request here; 0 when
	// it is none.
	RetryAfter time.Duration
	Err        error
}

// Error says why there is no answer.
func (e *Error) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("%v, for another %v", e.Err, e.RetryAfter.Round(time.Second))
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrLimited means that a request was not sent because the forge wants to be left alone.
var ErrLimited = errors.New("the rate limit is used up")

// patience is how long a request may still pause.
type patience struct {
	t    *Transport
	ctx  context.Context
	left time.Duration
}

// pause waits, and tells whether it did: not when that is longer than what is left or
// than the context lasts.
func (p *patience) pause(d time.Duration) bool {
	if d > p.left {
		return false
	}
	if deadline, ok := p.ctx.Deadline(); ok && p.t.opts.Now().Add(d).After(deadline) {
		return false
	}
	p.left -= d
	return p.t.opts.Sleep(p.ctx, d) == nil
}

// RoundTrip carries a request out as the package comment says.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, &Error{Unsent: true, Err: err}
	}
	kept := t.cache.look(req)
	pauses := backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 15 * time.Second}
	patience := patience{t, req.Context(), t.opts.MaxWait}
	unsent := true // no attempt may have reached the forge
	for attempt := 1; ; attempt++ {
		done, err := t.admit(req, &patience)
		if err != nil {
			var held *Error
			if errors.As(err, &held) {
				held.Unsent = unsent
			}
			return nil, err
		}
		resp, err := t.exchange(req, body, kept)
		done()
		verdict := t.judge(req, resp, err)
		unsent = unsent && (verdict.refused || err != nil && neverSent(err))
		wait := max(verdict.wait, pauses.NextBackOff())
		if verdict.again && attempt < attempts && req.Context().Err() == nil && patience.pause(wait) {
			continue
		}
		if err != nil {
			if cause := context.Cause(req.Context()); req.Context().Err() != nil && cause != nil {
				err = cause
			}
			return nil, &Error{Unsent: unsent, Err: err}
		}
		return t.cache.answer(req, kept, resp), nil
	}
}

// bodyOf reads the body, once, so that every attempt can send it.
func bodyOf(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	return body, errors.Join(err, req.Body.Close())
}

// exchange is one attempt: one request and its whole answer.
func (t *Transport) exchange(req *http.Request, body []byte, kept *entry) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.opts.Timeout)
	defer cancel()
	sent := req.Clone(ctx)
	if body != nil {
		sent.Body = io.NopCloser(bytes.NewReader(body))
		sent.ContentLength = int64(len(body))
		sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	if kept != nil {
		sent.Header.Set("If-None-Match", kept.etag)
	}
	start := t.opts.Now()
	resp, err := t.opts.Base.RoundTrip(sent)
	if err == nil {
		err = slurp(resp)
	}
	t.opts.Meter.seconds(t.opts.Now().Sub(start))
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// slurp replaces the body by one in memory.
func slurp(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes+1))
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > answerBytes {
		return fmt.Errorf("read the answer: it is longer than %d MiB", answerBytes>>20)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return nil
}

// verdict is what to do after an attempt.
type verdict struct {
	again bool
	// wait is the least pause before the next.
	wait time.Duration
	// refused tells that the forge did nothing, so that even a write may be repeated.
	refused bool
}

// judge counts an attempt, learns limits from it and decides.
func (t *Transport) judge(req *http.Request, resp *http.Response, err error) verdict {
	safe := req.Method != http.MethodPost || t.opts.Repeatable(req)
	if err != nil {
		t.opts.Meter.count(req.Method, lost)
		return verdict{again: !isCertificate(err) && (safe || neverSent(err))}
	}
	now := t.opts.Now()
	if left, ok := remaining(resp.Header); ok {
		t.opts.Meter.budget(left)
	}
	if met, ok := limitOf(resp, now); ok {
		t.opts.Meter.count(req.Method, limited)
		// The gate keeps everybody waiting, this request included; wait only says that
		// it comes back after it.
		return verdict{again: true, wait: t.limit.meet(met, now), refused: true}
	}
	t.limit.spent(resp.Header, now)
	t.opts.Meter.count(req.Method, resultOf(resp.StatusCode))
	wait, told := RetryAfter(resp.Header, now)
	switch resp.StatusCode {
	case http.StatusServiceUnavailable:
		return verdict{again: safe || told, wait: wait, refused: told}
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return verdict{again: safe, wait: wait}
	}
	return verdict{}
}
