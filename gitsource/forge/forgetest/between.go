package forgetest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// Between starts a server that stands between somebody and the server at an address, and
// returns the address at which it stands for it; it stops with the test. Every call is
// handed to meets, which passes it on, or does not.
func Between(t testing.TB, address string, meets func(w http.ResponseWriter, r *http.Request, pass http.Handler)) string {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0) // of calls that were called off; their callers know
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
			r.Out.Header.Del("Accept-Encoding")
		},
		ErrorLog: quiet,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { meets(w, r, pass) }))
	s.Config.ErrorLog = quiet
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return strings.TrimSuffix(s.URL+to.Path, "/")
}

// Lose carries a call out and tells nobody the answer: it does not return.
func Lose(r *http.Request, pass http.Handler, after func()) {
	pass.ServeHTTP(httptest.NewRecorder(), r)
	if after != nil {
		after()
	}
	panic(http.ErrAbortHandler)
}

// Refuse answers a call in the place of the server. Without a body it is a gateway that
// shows what it was sent, credentials and all.
func Refuse(w http.ResponseWriter, r *http.Request, status int, header map[string]string, body string) {
	w.Header().Set("Content-Type", "application/json")
	for name, value := range header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	if body == "" {
		body = `{"message":"refused by the test\nwith ` + r.Header.Get("Authorization") + r.Header.Get("Private-Token") + `"}`
	}
	_, _ = io.WriteString(w, body)
}

// Read reads the body of a call, which can be passed on afterwards.
func Read(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}
