package transport

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
