package tea

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxy stands between the adapter and the server.
type proxy struct {
	address string

	mu     sync.Mutex // guards what follows
	calls  map[string]int
	faults []*fault
}

type fault struct {
	left            int
	method, path    string
	status, seconds int
	lost            bool
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{calls: map[string]int{}}
	pass := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0), // of calls that were called off; their callers know
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch f := p.count(r); {
		case f == nil:
			pass.ServeHTTP(w, r)
		case f.lost:
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			if f.seconds > 0 {
				w.Header().Set("Retry-After", fmt.Sprint(f.seconds))
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(f.status)
			// A gateway that shows what it was sent, credentials and all.
			fmt.Fprintf(w, `{"message":"refused by the test\nwith %s"}`, r.Header.Get("Authorization")) //nolint:errcheck // nobody listens then
		}
	}))
	t.Cleanup(front.Close)
	p.address = front.URL
	return p
}

// count notes a call to the API and returns the fault that it meets.
func (p *proxy) count(r *http.Request) *fault {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[r.Method]++
	for _, f := range p.faults {
		if f.left > 0 && (f.method == "" || f.method == r.Method) && strings.Contains(r.URL.Path, f.path) {
			f.left--
			return f
		}
	}
	return nil
}

// Fail makes the next calls of the site's adapter go wrong.
func (p *proxy) Fail(n int, method, path string, status, seconds int, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault{n, method, path, status, seconds, lost})
}

// Calls counts the adapter's calls since it was last asked.
func (p *proxy) Calls() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counted := p.calls
	p.calls = map[string]int{}
	return counted
}
