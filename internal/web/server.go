// Package web serves what the daemon knows over HTTP: the JSON API with its
// OpenAPI description, server-sent events for logs and job events, metrics, and
// health.
//
//	TCP listener ──▶ host and site check ─▶ token ──┐
//	                                                ├─▶ role ─▶ route ─▶ api.Backend
//	unix socket ───▶ peer's user (kernel) ──────────┘
//
// Who calls is decided once, before any route: by a bearer token over TCP, by the
// kernel's word over the socket. Nothing is ever taken from a cookie. The package
// decides nothing about jobs; it translates.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
)

// Token is a bearer token that is accepted.
type Token struct {
	Name   string
	Secret config.Secret
	Role   config.Role
}

// Access says who may come in over TCP. It can be replaced while the server runs.
type Access struct {
	Tokens []Token
	// AllowedHosts are host names that requests may be for, beside loopback names.
	AllowedHosts []string
}

// Options is what a server is made of. Backend is required.
type Options struct {
	Backend api.Backend
	Access  Access
	// Registry is served at /metrics and gets the server's own metrics; nil means a
	// registry of its own.
	Registry *prometheus.Registry
	// Log is where acts and internal errors go; nil means nowhere.
	Log     *slog.Logger
	Version string
	// Schemas are the JSON Schemas that are served at /api/v1/schema, by kind.
	Schemas map[string]json.RawMessage
	// Ready tells why the daemon is not ready, or nil; nil means always ready.
	Ready func(context.Context) error
	// Webhook receives deliveries of forges; nil means that none are.
	Webhook Webhook
	// Limits may be left zero.
	Limits Limits
}

// Limits bound what one client can cost. Zero fields mean what is written here.
type Limits struct {
	// Body is the largest request body; 64 KiB.
	Body int64
	// Arrive is how long a request body may take to arrive; 10 s.
	Arrive time.Duration
	// Streams is how many streams may be open at once; 256.
	Streams int
	// Heartbeat is how often a silent stream sends a comment; 15 s.
	Heartbeat time.Duration
	// Write is how long one write to a stream may take before the reader counts as
	// gone; 30 s.
	Write time.Duration
	// Answer is how long any other request may take; 5 min.
	Answer time.Duration
	// Stop is how long Serve waits for requests when it ends; 10 s.
	Stop time.Duration
}

func (l Limits) complete() Limits {
	if l.Body == 0 {
		l.Body = 64 << 10
	}
	if l.Streams == 0 {
		l.Streams = 256
	}
	for d, v := range map[*time.Duration]time.Duration{&l.Arrive: 10 * time.Second, &l.Heartbeat: 15 * time.Second, &l.Write: 30 * time.Second,
		&l.Answer: 5 * time.Minute, &l.Stop: 10 * time.Second} {
		if *d == 0 {
			*d = v
		}
	}
	return l
}

// Server answers on any number of listeners. It is safe for concurrent use.
type Server struct {
	backend api.Backend
	log     *slog.Logger
	version string
	schemas map[string]json.RawMessage
	ready   func(context.Context) error
	limits  Limits
	access  atomic.Pointer[grants]
	mux     *http.ServeMux
	metrics *metrics
	openAPI openAPI
	streams chan struct{} // a place for each open stream
	webhook Webhook
	// arriving has a place for each large delivery that is read.
	arriving chan struct{}
	user     func(uid uint32) string
}

// New makes a server. It fails when a metric of the same name is already registered.
func New(o Options) (*Server, error) {
	if o.Backend == nil {
		return nil, errors.New("web: no backend")
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	l := o.Limits.complete()
	s := &Server{backend: o.Backend, log: o.Log.With("component", "web"), version: o.Version, schemas: map[string]json.RawMessage{},
		ready: o.Ready, limits: l, streams: make(chan struct{}, l.Streams), webhook: o.Webhook, arriving: make(chan struct{}, deliveries), mux: http.NewServeMux(), user: userName}
	for kind, b := range o.Schemas {
		s.schemas[kind] = b
	}
	s.SetAccess(o.Access)
	var err error
	if s.metrics, err = newMetrics(o.Registry, func() int { return len(s.streams) }); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.openAPI = s.routes(o.Registry)
	s.metrics.begin(s.openAPI.routes)
	return s, nil
}

// SetAccess replaces tokens and host names; requests that have begun are not affected.
func (s *Server) SetAccess(a Access) { s.access.Store(newGrants(a)) }

// Routes lists every route as "METHOD /path/{parameter}".
func (s *Server) Routes() []string { return slices.Clone(s.openAPI.routes) }

// OpenAPI is the API's description as JSON.
func (s *Server) OpenAPI() []byte { return s.openAPI.json }

// ServeTCP answers on ln until ctx ends; then it ends the streams, waits for the other
// requests (Limits.Stop) and returns nil. ln is closed.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, tcpEntrance(ln.Addr()))
}

// ServeSocket does the same on a socket made by ListenSocket.
func (s *Server) ServeSocket(ctx context.Context, ln *SocketListener) error {
	return s.serve(ctx, ln, entrance{socket: true, group: ln.group})
}

func (s *Server) serve(ctx context.Context, ln net.Listener, e entrance) error {
	closing, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	hs := &http.Server{
		Handler:           s.handler(e),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), closingKey{}, closing)
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return withPeer(ctx, c, e) },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var stopping sync.WaitGroup
	done := make(chan struct{})
	stopping.Go(func() {
		select {
		case <-ctx.Done():
		case <-done:
			return
		}
		end() // streams first, or Shutdown would wait for them
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Stop)
		defer cancel()
		if err := hs.Shutdown(limit); err != nil {
			s.log.Warn("requests cut off at stop", "error", err)
			_ = hs.Close()
		}
	})
	err := hs.Serve(ln)
	close(done)
	stopping.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", ln.Addr(), err)
}

// closingKey finds the context that ends when the server does: streams watch it.
type closingKey struct{}

func userName(uid uint32) string {
	id := fmt.Sprint(uid)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + id
}
