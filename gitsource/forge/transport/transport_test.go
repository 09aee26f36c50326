package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// clock is a time that passes only when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.slept {
		sum += d
	}
	return sum
}

// step is one answer of a server.
type step struct {
	status int
	header map[string]string
	body   string
	// drop closes the connection instead: before anything, or after half the body.
	drop, half bool
}

// world is a server that answers by a script, its last step for ever, and a client.
type world struct {
	clock  *clock
	meter  *Meter
	reg    *prometheus.Registry
	server *httptest.Server
	client *http.Client
	script []step

	mu   sync.Mutex
	seen []*http.Request
	sent []string
}

func setup(t *testing.T, opts Options, script ...step) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, reg: prometheus.NewRegistry(), script: script}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	w.meter = NewMeter(w.reg)
	opts.Forge, opts.Meter, opts.Now, opts.Sleep = "hub", w.meter.Forge("hub"), w.clock.Now, w.clock.Sleep
	base := &http.Transport{DisableKeepAlives: true} // Go's own repeats would blur the count
	t.Cleanup(base.CloseIdleConnections)
	if opts.Base == nil {
		opts.Base = base
	}
	w.client = &http.Client{Transport: New(opts)}
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	s := w.script[min(len(w.seen), len(w.script)-1)]
	w.seen, w.sent = append(w.seen, r), append(w.sent, string(body))
	w.mu.Unlock()
	if s.drop {
		panic(http.ErrAbortHandler)
	}
	rw.Header().Set("Date", w.clock.Now().Format(http.TimeFormat))
	for name, value := range s.header {
		rw.Header().Set(name, value)
	}
	if s.half {
		rw.Header().Set("Content-Length", strconv.Itoa(2*len(s.body)))
	}
	if inm := r.Header.Get("If-None-Match"); inm != "" && inm == rw.Header().Get("ETag") {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	rw.WriteHeader(s.status)
	io.WriteString(rw, s.body) //nolint:errcheck // the client's reading shows it
	if s.half {
		panic(http.ErrAbortHandler)
	}
}

func (w *world) do(t *testing.T, method, path, body string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(read), nil
}

func (w *world) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

func (w *world) count(method, result string) float64 {
	return testutil.ToFloat64(w.meter.requests.WithLabelValues("hub", method, result))
}

func TestWhatIsSafeIsRepeatedAndWhatIsNotIsNot(t *testing.T) {
	t.Parallel()
	good := step{status: 200, body: "good"}
	for name, test := range map[string]struct {
		method     string
		repeatable bool
		first      step
		requests   int
		status     int // 0: an error
		unknown    bool
	}{
		"GET after 500":                {"GET", false, step{status: 500}, 2, 200, false},
		"GET after 502":                {"GET", false, step{status: 502}, 2, 200, false},
		"GET after a dropped line":     {"GET", false, step{drop: true}, 2, 200, false},
		"GET after half an answer":     {"GET", false, step{status: 200, body: "go", half: true}, 2, 200, false},
		"PUT after 503":                {"PUT", false, step{status: 503}, 2, 200, false},
		"PATCH after 504":              {"PATCH", false, step{status: 504}, 2, 200, false},
		"DELETE after a dropped line":  {"DELETE", false, step{drop: true}, 2, 200, false},
		"GET after 404":                {"GET", false, step{status: 404}, 1, 404, false},
		"GET after 501":                {"GET", false, step{status: 501}, 1, 501, false},
		"GET after a plain 403":        {"GET", false, step{status: 403, body: `{"message":"Resource not accessible by integration"}`}, 1, 403, false},
		"POST after 500":               {"POST", false, step{status: 500}, 1, 500, true},
		"POST after 502":               {"POST", false, step{status: 502}, 1, 502, true},
		"POST after 503":               {"POST", false, step{status: 503}, 1, 503, true},
		"POST after a dropped line":    {"POST", false, step{drop: true}, 1, 0, true},
		"POST after half an answer":    {"POST", false, step{status: 201, body: "go", half: true}, 1, 0, true},
		"POST after 503, Retry-After":  {"POST", false, step{status: 503, header: map[string]string{"Retry-After": "2"}}, 2, 200, false},
		"POST after 429":               {"POST", false, step{status: 429}, 2, 200, false},
		"POST after a limit by 403":    {"POST", false, step{status: 403, header: map[string]string{"Retry-After": "2"}}, 2, 200, false},
		"POST after 422":               {"POST", false, step{status: 422}, 1, 422, false},
		"repeatable POST after 502":    {"POST", true, step{status: 502}, 2, 200, false},
		"repeatable POST, line droppe": {"POST", true, step{drop: true}, 2, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, Options{Repeatable: func(*http.Request) bool { return test.repeatable }}, test.first, good)
			resp, body, err := w.do(t, test.method, "/x", "body")
			if got := w.requests(); got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
			for _, sent := range w.sent {
				if sent != "body" {
					t.Errorf("sent %q", sent)
				}
			}
			failure := err
			if resp != nil && resp.StatusCode >= 300 {
				failure = errors.New(resp.Status)
			}
			if got := IsUnknown(resp, failure); got != test.unknown {
				t.Errorf("outcome unknown: %v, want %v", got, test.unknown)
			}
			switch {
			case test.status == 0 && err == nil:
				t.Error("no error")
			case test.status != 0 && (err != nil || resp.StatusCode != test.status):
				t.Errorf("got %v, %v", resp, err)
			case test.status == 200 && body != "good":
				t.Errorf("body %q", body)
			}
		})
	}
}

func TestPausesDoubleWithJitterAndHaveABound(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{MaxWait: 20 * time.Second}, step{status: 500})
	resp, _, err := w.do(t, "GET", "/x", "")
	if err != nil || resp.StatusCode != 500 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if n := len(w.clock.slept); n < 4 || n > 7 || w.requests() != n+1 {
		t.Errorf("%d pauses and %d requests: %v", n, w.requests(), w.clock.slept)
	}
	if total := w.clock.total(); total > 20*time.Second {
		t.Errorf("paused %v", total)
	}
	for i, d := range w.clock.slept {
		base := 500 * time.Millisecond << i
		if d < base/2 || d > min(base, 15*time.Second)*3/2+1 {
			t.Errorf("pause %d is %v", i, d)
		}
	}
	if got := w.count("GET", failed); got != float64(w.requests()) {
		t.Errorf("counted %v", got)
	}
}

func TestWhatTheForgeCannotHaveSeenIsRepeatedAndSaysSo(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	base := &http.Transport{DisableKeepAlives: true}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	w := setup(t, Options{Base: base}, step{status: 201})
	if resp, _, err := w.do(t, "POST", "/x", "body"); err != nil || resp.StatusCode != 201 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if w.requests() != 1 || dials.Load() != 2 {
		t.Errorf("%d requests, %d dials", w.requests(), dials.Load())
	}

	w = setup(t, Options{}, step{status: 201})
	w.server.Close()
	_, _, err := w.do(t, "POST", "/x", "body")
	var e *Error
	if !errors.As(err, &e) || !e.Unsent || IsUnknown(nil, err) {
		t.Errorf("got %v, unknown %v", err, IsUnknown(nil, err))
	}
	failure := Failure("create a comment", nil, "", err)
	if failure.Class != forge.Wait || failure.Status != 0 || strings.Contains(failure.Error(), "/x") {
		t.Errorf("got %+v", failure)
	}
}

func TestACertificateThatDoesNotFitIsForAPerson(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200})
	tls := httptest.NewTLSServer(w)
	t.Cleanup(tls.Close)
	w.server.URL = tls.URL
	_, _, err := w.do(t, "GET", "/x", "")
	if err == nil || len(w.clock.slept) != 0 {
		t.Fatalf("got %v after %v", err, w.clock.slept)
	}
	if f := Failure("read the pull request", nil, "", err); f.Class != forge.Person {
		t.Errorf("got %+v", f)
	}
}

func TestAShortLimitIsWaitedOutAndALongOneIsTold(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	spent := func(in time.Duration) map[string]string {
		return map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(noon.Add(in).Unix())}
	}
	secondary := `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`
	for name, test := range map[string]struct {
		first     step
		least     time.Duration // waited; 0: handed to the caller
		retry     time.Duration // what the caller is told then
		secondary bool
	}{
		"Retry-After":                {step{status: 429, header: map[string]string{"Retry-After": "7"}}, 7 * time.Second, 0, true},
		"Retry-After as a date":      {step{status: 429, header: map[string]string{"Retry-After": noon.Add(9 * time.Second).Format(http.TimeFormat)}}, 9 * time.Second, 0, true},
		"primary":                    {step{status: 403, header: spent(10 * time.Second)}, 11 * time.Second, 0, false},
		"primary, long":              {step{status: 403, header: spent(10 * time.Minute)}, 0, 601 * time.Second, false},
		"Retry-After of a year":      {step{status: 429, header: map[string]string{"Retry-After": "31536000"}}, 0, time.Hour, true},
		"primary, clock wrong":       {step{status: 403, header: spent(1000 * time.Hour)}, 0, time.Hour, false},
		"GitLab's":                   {step{status: 429, header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": fmt.Sprint(noon.Add(5 * time.Second).Unix())}}, 6 * time.Second, 0, false},
		"secondary with Retry-After": {step{status: 403, body: secondary, header: map[string]string{"Retry-After": "5", "X-RateLimit-Remaining": "4000"}}, 5 * time.Second, 0, true},
		"secondary without a time":   {step{status: 403, body: secondary, header: map[string]string{"X-RateLimit-Remaining": "4000"}}, 0, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, Options{}, test.first, step{status: 200})
			resp, body, err := w.do(t, "POST", "/x", "{}")
			if err != nil {
				t.Fatal(err)
			}
			if test.least > 0 {
				if got := w.clock.total(); resp.StatusCode != 200 || got < test.least || got > test.least+2*time.Second {
					t.Errorf("HTTP %d after %v", resp.StatusCode, got)
				}
			} else {
				if w.requests() != 1 || resp.StatusCode != test.first.status || body != test.first.body {
					t.Errorf("%d requests, HTTP %d, %q", w.requests(), resp.StatusCode, body)
				}
				// The next request is not even sent.
				_, _, err := w.do(t, "GET", "/y", "")
				var e *Error
				if !errors.As(err, &e) || !e.Unsent || !errors.Is(err, ErrLimited) || e.RetryAfter != test.retry || w.requests() != 1 {
					t.Errorf("got %v (%d requests)", err, w.requests())
				}
				if f := Failure("read", nil, "", err); f.Class != forge.Wait || f.RetryAfter != test.retry {
					t.Errorf("failure %+v", f)
				}
				if got := w.count("GET", held); got != 1 {
					t.Errorf("held %v", got)
				}
				// But when the limit is over it is.
				w.clock.Sleep(t.Context(), test.retry) //nolint:errcheck // the context lasts
				if resp, _, err := w.do(t, "GET", "/y", ""); err != nil || resp.StatusCode != 200 {
					t.Errorf("after the limit: %v, %v", resp, err)
				}
			}
			if got := w.count("POST", limited); got != 1 {
				t.Errorf("counted %v", got)
			}
			if paced := w.client.Transport.(*Transport).paces(httptest.NewRequest("POST", "/", nil)); paced != test.secondary {
				t.Errorf("writes are paced: %v", paced)
			}
		})
	}
}

func TestAnUnnamedSecondaryLimitDoubles(t *testing.T) {
	t.Parallel()
	l := newLimit()
	now := time.Now()
	var got []time.Duration
	for range 6 {
		got = append(got, l.meet(met{secondary: true}, now))
	}
	l.spent(http.Header{}, now) // one that passed
	got = append(got, l.meet(met{secondary: true}, now))
	want := []time.Duration{1, 2, 4, 8, 16, 16, 1}
	for i := range want {
		want[i] *= time.Minute
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheLastOfTheBudgetStopsTheNextRequest(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200, header: map[string]string{"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset": fmt.Sprint(time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC).Unix())}})
	if resp, _, err := w.do(t, "GET", "/x", ""); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if _, _, err := w.do(t, "GET", "/x", ""); !errors.Is(err, ErrLimited) || w.requests() != 1 {
		t.Errorf("got %v after %d requests", err, w.requests())
	}
	if got := testutil.ToFloat64(w.meter.left.WithLabelValues("hub")); got != 0 {
		t.Errorf("budget %v", got)
	}
}

func TestAnotherResourcesBudgetIsNotOurs(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200, header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Resource": "search",
		"X-RateLimit-Reset": fmt.Sprint(time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC).Unix())}})
	for range 2 {
		if _, _, err := w.do(t, "GET", "/x", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWritesGoOneByOneASecondApartAfterASecondaryLimit(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{MaxWait: time.Minute}, step{status: 403, header: map[string]string{"Retry-After": "3"}}, step{status: 201})
	for range 3 {
		if resp, _, err := w.do(t, "POST", "/x", ""); err != nil || resp.StatusCode != 201 {
			t.Fatalf("got %v, %v", resp, err)
		}
	}
	if got := w.clock.total(); got < 5*time.Second || got > 6*time.Second {
		t.Errorf("paused %v: %v", got, w.clock.slept)
	}
	before := w.clock.total()
	for range 3 { // reading is not paced
		if _, _, err := w.do(t, "GET", "/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Sleep(t.Context(), time.Hour) //nolint:errcheck // the context lasts
	for range 3 {                         // and an hour later nothing is
		if _, _, err := w.do(t, "POST", "/x", ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.clock.total() - before - time.Hour; got != 0 {
		t.Errorf("paused %v more", got)
	}
}

func TestPacedWritesDoNotOverlap(t *testing.T) {
	t.Parallel()
	var under, most atomic.Int32
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		return &http.Response{StatusCode: 201, Header: http.Header{}, Body: http.NoBody}, nil
	})
	c := &clock{now: time.Now()}
	tr := New(Options{Base: base, Now: c.Now, Sleep: c.Sleep, MaxWait: time.Hour})
	tr.limit.meet(met{secondary: true, named: true}, c.Now())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			req := httptest.NewRequest("POST", "http://hub/x", nil)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
	if got := c.total(); got < 19*time.Second {
		t.Errorf("twenty writes took %v", got)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatDidNotChangeIsNotSentAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200, body: "one", header: map[string]string{"ETag": `W/"1"`, "Link": `<x>; rel="next"`, "X-RateLimit-Remaining": "9"}})
	for i := range 3 {
		resp, body, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a")
		if err != nil || resp.StatusCode != 200 || body != "one" || resp.Header.Get("Link") == "" {
			t.Fatalf("round %d: %v, %q, %v", i, resp, body, err)
		}
	}
	if got := w.seen[2].Header.Get("If-None-Match"); got != `W/"1"` {
		t.Errorf("asked with %q", got)
	}
	if a, b := w.count("GET", ok), w.count("GET", unchanged); a != 1 || b != 2 {
		t.Errorf("counted %v and %v", a, b)
	}
	// Who asks with another credential, or for another form, gets nothing of it.
	for _, header := range [][]string{{"Authorization", "Bearer b"}, {"Private-Token", "a"}, {"Authorization", "Bearer a", "Accept", "text/x-diff"}} {
		if _, _, err := w.do(t, "GET", "/x", "", header...); err != nil {
			t.Fatal(err)
		}
		if got := w.seen[len(w.seen)-1].Header.Get("If-None-Match"); got != "" {
			t.Errorf("%v asked with %q", header, got)
		}
	}
	// What changed is shown, and kept in its turn.
	w.script = []step{{status: 200, body: "two", header: map[string]string{"ETag": `W/"2"`}}}
	for range 2 {
		if _, body, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a"); err != nil || body != "two" {
			t.Errorf("%q, %v", body, err)
		}
	}
	// What is gone is not kept.
	w.script = []step{{status: 404}}
	for range 2 {
		if resp, _, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a"); err != nil || resp.StatusCode != 404 {
			t.Errorf("%v, %v", resp, err)
		}
	}
	if got := w.seen[len(w.seen)-1].Header.Get("If-None-Match"); got != "" {
		t.Errorf("after it was gone: asked with %q", got)
	}
}

func TestTheCacheStaysUnderItsBound(t *testing.T) {
	t.Parallel()
	const limit = 100 << 10
	w := setup(t, Options{CacheBytes: limit}, step{status: 200, body: strings.Repeat("x", 8<<10), header: map[string]string{"ETag": `"1"`}})
	c := w.client.Transport.(*Transport).cache
	for i := range 40 {
		if _, _, err := w.do(t, "GET", fmt.Sprintf("/%d", i), ""); err != nil {
			t.Fatal(err)
		}
		if c.bytes > limit {
			t.Fatalf("%d bytes are kept", c.bytes)
		}
	}
	sum := 0
	for _, e := range c.entries.Values() {
		sum += e.cost()
	}
	if sum != c.bytes || c.entries.Len() < 8 {
		t.Errorf("%d entries of %d bytes, counted as %d", c.entries.Len(), sum, c.bytes)
	}
	w.script = []step{{status: 200, body: strings.Repeat("x", limit/2), header: map[string]string{"ETag": `"2"`}}}
	if _, _, err := w.do(t, "GET", "/39", ""); err != nil { // too great for its place: it leaves
		t.Fatal(err)
	}
	if _, _, err := w.do(t, "GET", "/39", ""); err != nil || w.seen[len(w.seen)-1].Header.Get("If-None-Match") != "" {
		t.Errorf("asked with %q, %v", w.seen[len(w.seen)-1].Header.Get("If-None-Match"), err)
	}
}

func TestACallerThatStopsIsNotKept(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 500})
	ctx, cancel := context.WithDeadline(t.Context(), w.clock.Now().Add(time.Hour*24*365*100))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	stopping := errors.New("stopping")
	w.client.Transport.(*Transport).opts.Sleep = func(ctx context.Context, _ time.Duration) error { stop(stopping); return ctx.Err() }
	req, _ := http.NewRequestWithContext(ctx, "GET", w.server.URL, nil)
	resp, err := w.client.Do(req)
	if err == nil {
		defer resp.Body.Close()
	}
	if w.requests() != 1 {
		t.Errorf("%d requests", w.requests())
	}
}

func TestAForgeThatIsAskedForAgainKeepsItsBudget(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200, header: map[string]string{"X-RateLimit-Remaining": "7"}})
	if got := testutil.ToFloat64(w.meter.Budget("hub")); !math.IsNaN(got) {
		t.Errorf("before the first answer: %v", got)
	}
	if _, _, err := w.do(t, "GET", "/x", ""); err != nil {
		t.Fatal(err)
	}
	w.meter.Forge("hub")
	if got := testutil.ToFloat64(w.meter.Budget("hub")); got != 7 {
		t.Errorf("got %v", got)
	}
}

func TestSeriesAreFixedHoweverManyRequests(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200})
	before, err := testutil.GatherAndCount(w.reg)
	if err != nil {
		t.Fatal(err)
	}
	for i, method := range []string{"GET", "PURGE", "POST", "DELETE"} {
		if _, _, err := w.do(t, method, fmt.Sprintf("/repos/%d", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := testutil.GatherAndCount(w.reg); err != nil || after != before || before < 40 {
		t.Errorf("%d series, then %d, %v", before, after, err)
	}
	if got := w.count(other, ok); got != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestWhatAForgeSaidBecomesOneCleanLineAndAClass(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]forge.Class{
		400: forge.Bug, 401: forge.Person, 403: forge.Person, 404: forge.Person, 409: forge.Wait, 410: forge.Person, 422: forge.Bug,
		429: forge.Wait, 500: forge.Wait, 502: forge.Wait, 503: forge.Wait, 301: forge.Person, 200: forge.Wait, 451: forge.Person,
	} {
		resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
		f := Failure("set a status", resp, "bad \x1b[31mthing\x1b[0m\r\nsecond \u202eline"+strings.Repeat("x", 500), errors.New("library"))
		if f.Class != want || f.Status != status {
			t.Errorf("%d: %+v", status, f)
		}
		if (status == 404 || status == 410) != errors.Is(f, forge.ErrNotFound) {
			t.Errorf("%d: not found is %v", status, errors.Is(f, forge.ErrNotFound))
		}
		if text := f.Error(); strings.ContainsAny(text, "\n\r\x1b\u202e") || len(text) > 400 {
			t.Errorf("%d: %q", status, text)
		}
	}
	if got := Failure("x", &http.Response{StatusCode: 502, Header: http.Header{"Retry-After": {"4"}}}, "", nil); got.RetryAfter != 4*time.Second || got.Error() != "x: HTTP 502: bad gateway" {
		t.Errorf("got %v, %v", got, got.RetryAfter)
	}
}
