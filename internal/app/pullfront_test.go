package app_test

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// front stands between a daemon and the API of its forge. It counts what the daemon
// asks, and has a say in it.
type front struct {
	url string

	mu    sync.Mutex // guards what follows
	calls map[string]int
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
	to, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{calls: map[string]int{}}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
			r.Out.Header.Del("Accept-Encoding")
		},
		ErrorLog: log.New(io.Discard, "", 0), // of calls that were called off; their callers know
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch met := f.count(r); {
		case met.before != nil:
			met.before()
			panic(http.ErrAbortHandler)
		case met.lost:
			pass.ServeHTTP(httptest.NewRecorder(), r)
			if met.after != nil {
				met.after()
			}
			panic(http.ErrAbortHandler)
		case met.status != 0:
			w.Header().Set("Content-Type", "application/json")
			for name, value := range met.header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(met.status)
			if met.body == "" {
				// A gateway that shows what it was sent, credentials and all.
				met.body = `{"message":"refused by the test with ` + r.Header.Get("Authorization") + r.Header.Get("Private-Token") + `"}`
			}
			_, _ = io.WriteString(w, met.body)
		default:
			f.pass(pass, w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.url = strings.TrimSuffix(server.URL+to.Path, "/")
	return f
}

// pass passes a call on, and tells of it when somebody wants to hear.
func (f *front) pass(to http.Handler, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	hears := f.hears
	f.mu.Unlock()
	if hears == nil {
		to.ServeHTTP(w, r)
		return
	}
	x := exchange{method: r.Method, path: r.URL.Path, header: r.Header.Clone(), came: time.Now()}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller went away
	}
	x.body, r.Body = body, io.NopCloser(bytes.NewReader(body))
	told := &teller{ResponseWriter: w}
	to.ServeHTTP(told, r)
	x.status, x.went = told.status, time.Now()
	hears(x)
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

// wrote counts the calls that change something.
func (f *front) wrote() int {
	n := 0
	for m, k := range f.asked() {
		if m != http.MethodGet && m != http.MethodHead {
			n += k
		}
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
