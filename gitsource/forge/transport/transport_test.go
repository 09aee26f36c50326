package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

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
