package tea

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
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
	p := &proxy{calls: map[string]int{}}
	p.address = forgetest.Between(t, server, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		switch f := p.count(r); {
		case f == nil:
			pass.ServeHTTP(w, r)
		case f.lost:
			forgetest.Lose(r, pass, nil)
		case f.seconds > 0:
			forgetest.Refuse(w, r, f.status, map[string]string{"Retry-After": strconv.Itoa(f.seconds)}, "")
		default:
			forgetest.Refuse(w, r, f.status, nil, "")
		}
	})
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
