package transport

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

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
