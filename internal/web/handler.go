package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
)

// handler is the way of every request that comes in at e: measured, limited, admitted, routed.
func (s *Server) handler(e entrance) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := s.routeOf(r)
		started := time.Now()
		seen := &watched{ResponseWriter: w}
		defer func() { s.metrics.observe(route, r.Method, seen, time.Since(started)) }()
		defer s.rescue(seen, r)
		_ = http.NewResponseController(w).SetWriteDeadline(started.Add(s.limits.Answer))
		seen.Header().Set("X-Content-Type-Options", "nosniff")
		seen.Header().Set("Cache-Control", "no-store")
		c, p := s.admit(e, r)
		if p != nil {
			if p.Status == http.StatusUnauthorized {
				seen.Header().Set("WWW-Authenticate", `Bearer realm="reeve"`)
			}
			writeProblem(seen, p)
			return
		}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), callerKey{}, c))
		defer cancel()
		if closing, ok := ctx.Value(closingKey{}).(context.Context); ok && isStream(r) {
			stop := context.AfterFunc(closing, cancel)
			defer stop()
		}
		if !isDelivery(r) { // these are larger, and read in turn
			if p := s.readBody(seen, r); p != nil {
				writeProblem(seen, p)
				return
			}
		}
		s.dispatch(seen, r.WithContext(ctx))
	})
}

// readBody reads the body before any route does, and then takes the read deadline off again: left on, it
// would cancel an act that works longer than a body may take to arrive.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) *api.Problem {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b, p := s.bytesOf(w, r, 0, s.limits.Body)
	if p == nil {
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	return p
}

// bytesOf reads what is left of a body, of which so many bytes were read, and that has at
// most so many.
func (s *Server) bytesOf(w http.ResponseWriter, r *http.Request, read, most int64) ([]byte, *api.Problem) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(s.limits.Arrive))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most-read))
	if err == nil {
		_ = ctl.SetReadDeadline(time.Time{})
	} else { // what is left of it would be waited for
		w.Header().Set("Connection", "close")
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, api.NewProblem(api.CodeTooLarge, fmt.Sprintf("a body has at most %d bytes", most))
	case err != nil:
		return nil, api.NewProblem(api.CodeInvalid, "the body did not arrive whole")
	}
	return b, nil
}

// routeOf names the route in a closed set of words.
func (s *Server) routeOf(r *http.Request) string {
	_, pattern := s.mux.Handler(r)
	return routeName(pattern)
}

// dispatch routes; what no route is there for gets a problem too, not plain text.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	rec := &discarded{header: http.Header{}}
	h.ServeHTTP(rec, r)
	p := api.NewProblem(api.CodeNoRoute, r.Method+" "+shown(r.URL.Path))
	if rec.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", rec.header.Get("Allow"))
		p = api.NewProblem(api.CodeMethodNotAllowed, "allowed: "+rec.header.Get("Allow"))
	}
	writeProblem(w, p)
}

// rescue turns a panic in a route into an answer and a log line with the stack.
func (s *Server) rescue(w *watched, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.log.Error("request panicked", "route", s.routeOf(r), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.status == 0 {
		writeProblem(w, api.NewProblem(api.CodeInternal, "a bug in Stackreeve; the daemon's log has more"))
	}
}

func writeProblem(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the reader is gone: nobody to tell
}

// watched remembers what was answered.
type watched struct {
	http.ResponseWriter
	status int
	stream bool
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discarded takes an answer of the mux that is written anew.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
