package app_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// front stands between a daemon and the API of its forge. It counts what the daemon
// asks, and has a say in it.
type front struct {
	url string
	// passing is how many calls are under way: passed on, or about to be, and not answered.
	passing atomic.Int32

	mu    sync.Mutex // guards what follows
	calls map[string]int
	// failed are the calls that change something and that the forge did not carry out, for a
	// trouble of its own: they are made again.
	failed int
	// meets is asked of every call before it is passed on; may be nil.
	meets func(r *http.Request) fate
	// hears is told of every call that was answered; may be nil.
	hears func(exchange)
}

// exchange is a call that was passed on and answered.
type exchange struct {
	method, path string
	header       http.Header
	body         []byte
	status       int
	// came is when it was asked, went when the answer had been passed on.
	came, went time.Time
}

// fate is what becomes of a call.
type fate struct {
	// status is answered instead of what the forge would say; 0 passes the call on.
	status int
	header map[string]string
	body   string
	// lost passes it on and tells nobody the answer; then after is called, or before
	// without passing it on.
	lost          bool
	before, after func()
}

func newFront(t testing.TB, api string) *front {
	t.Helper()
	f := &front{calls: map[string]int{}}
	f.url = forgetest.Between(t, api, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		f.passing.Add(1)
		defer f.passing.Add(-1)
		switch met := f.count(r); {
		case met.before != nil:
			met.before()
			panic(http.ErrAbortHandler)
		case met.lost:
			forgetest.Lose(r, pass, met.after)
		case met.status != 0:
			forgetest.Refuse(w, r, met.status, met.header, met.body)
		default:
			f.pass(pass, w, r)
		}
	})
	return f
}

// pass passes a call on, and tells of it when somebody wants to hear.
func (f *front) pass(to http.Handler, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	hears := f.hears
	f.mu.Unlock()
	told := &teller{ResponseWriter: w}
	if hears == nil {
		to.ServeHTTP(told, r)
		f.answered(r, told.status)
		return
	}
	x := exchange{method: r.Method, path: r.URL.Path, header: r.Header.Clone(), came: time.Now()}
	x.body = forgetest.Read(r)
	to.ServeHTTP(told, r)
	f.answered(r, told.status)
	x.status, x.went = told.status, time.Now()
	hears(x)
}

func (f *front) answered(r *http.Request, status int) {
	if status < http.StatusInternalServerError || !changesSomething(r.Method) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed++
}

func changesSomething(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}

// teller remembers the status.
type teller struct {
	http.ResponseWriter
	status int
}

func (t *teller) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Unwrap lets answers be flushed.
func (t *teller) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// hear tells of every call that is answered from now on; nil for none.
func (f *front) hear(with func(exchange)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hears = with
}

func (f *front) count(r *http.Request) fate {
	f.mu.Lock()
	meets := f.meets
	f.calls[r.Method]++
	f.mu.Unlock()
	if meets == nil {
		return fate{}
	}
	return meets(r)
}

// meet has calls meet a fate from now on; nil for none.
func (f *front) meet(with func(r *http.Request) fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meets = with
}

// asked counts the calls by method.
func (f *front) asked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for m, n := range f.calls {
		out[m] = n
	}
	return out
}

// wrote counts the calls that change something, without those that the forge itself failed at.
func (f *front) wrote() int {
	n := 0
	for m, k := range f.asked() {
		if changesSomething(m) {
			n += k
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return n - f.failed
}

// editsIn is how often the living comment is edited at most while plans come in for so long:
// after two seconds, and each time as many more are over.
func editsIn(planned time.Duration) (n int) {
	for at := 2 * time.Second; at <= planned; at *= 2 {
		n++
	}
	return n
}

// isComment tells a call that writes a comment, new or again.
func isComment(r *http.Request) bool {
	if r.Method != http.MethodPost && r.Method != http.MethodPatch && r.Method != http.MethodPut {
		return false
	}
	path := strings.ToLower(r.URL.Path)
	return (strings.Contains(path, "/comments") || strings.Contains(path, "/notes")) &&
		!strings.Contains(path, "/reactions") && !strings.Contains(path, "/award_emoji")
}
