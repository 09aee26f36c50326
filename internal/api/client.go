package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// ErrNoDaemon means that nobody answers where the daemon should be.
var ErrNoDaemon = errors.New("no daemon answers")

// ErrInterrupted means that a stream broke off and could not be resumed in time.
var ErrInterrupted = errors.New("the stream broke off")

// Options say where the daemon is. Exactly one of Socket and URL is set.
type Options struct {
	// Socket is the path of the daemon's unix socket.
	Socket string
	// URL is where the daemon's TCP listener is: "http://127.0.0.1:7468".
	URL string
	// Token is sent with every request over TCP; zero means none.
	Token config.Secret
	// ResumeFor is how long a broken stream is tried again before it is given up; zero
	// means two minutes.
	ResumeFor time.Duration
}

// Client is a Backend over HTTP. Who acts is who the daemon takes the caller for; the
// Actor of an Answer is ignored. Its errors are *[Problem] or wrap [ErrNoDaemon]. It is safe for
// concurrent use.
type Client struct {
	// wrong is what is wrong with the options; every call fails with it.
	wrong     error
	http      *http.Client
	base      *url.URL
	where     string
	token     config.Secret
	resumeFor time.Duration
}

var _ Backend = (*Client)(nil)

// NewClient makes a client; it does not connect yet. What is wrong with the options is told by the first
// call.
func NewClient(o Options) *Client {
	c := &Client{token: o.Token, resumeFor: o.ResumeFor, base: &url.URL{}, http: &http.Client{}}
	if c.resumeFor == 0 {
		c.resumeFor = 2 * time.Minute
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	tr := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, DialContext: dialer.DialContext}
	switch {
	case o.Socket != "" && o.URL == "":
		c.where, c.base, c.token = o.Socket, &url.URL{Scheme: "http", Host: "localhost"}, config.Secret{}
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.Socket)
		}
	case o.URL != "" && o.Socket == "":
		tr.Proxy = http.ProxyFromEnvironment
		if c.base, c.wrong = daemonURL(o.URL); c.wrong != nil {
			return c
		}
		c.where = c.base.String()
	default:
		c.wrong = fmt.Errorf("%w: either a socket or a URL says where the daemon is", ErrInvalid)
		return c
	}
	// A redirect would carry the token to wherever it points.
	c.http = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// daemonURL reads a URL; its errors do not quote it, for it may hold a password.
func daemonURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: the daemon's URL: expected http://host:port or https://host:port", ErrInvalid)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: the daemon's URL holds a user name or password; give the token by itself", ErrInvalid)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// Where is the socket's path or the URL.
func (c *Client) Where() string { return c.where }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) request(ctx context.Context, method, path string, q url.Values, body any) (*http.Request, error) {
	if c.wrong != nil {
		return nil, c.wrong
	}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+Prefix+path, r)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = q.Encode()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	return req, nil
}

// send does a request; an answer that is no success becomes its problem.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var p Problem
	if json.Unmarshal(b, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s answered %s, and not as a Stackreeve daemon does", c.where, res.Status)
	}
	return nil, &p
}

// unreachable says what to do when there is no connection. The transport's own words are kept behind
// it, without the URL.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the daemon's socket %s may only be used by the daemon's own user and root: %w", ErrForbidden, c.where, syscall.EACCES)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w at %s; start one with `reeve serve`", ErrNoDaemon, c.where)
	}
	return fmt.Errorf("%w at %s: %w", ErrNoDaemon, c.where, err)
}

// call does a request and reads the JSON answer.
func call[T any](ctx context.Context, c *Client, method, path string, q url.Values, body any) (T, error) {
	var out T
	req, err := c.request(ctx, method, path, q, body)
	if err != nil {
		return out, err
	}
	res, err := c.send(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return out, nil
}

func values(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func (f Filter) values() url.Values {
	return values("org", f.Org, "env", f.Env, "kind", f.Kind, "name", f.Name)
}

func items[T any](ctx context.Context, c *Client, path string, q url.Values) ([]T, error) {
	l, err := call[List[T]](ctx, c, http.MethodGet, path, q, nil)
	return l.Items, err
}

// Version tells which daemon answers, and who it takes the caller for.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return call[Version](ctx, c, http.MethodGet, "/version", nil, nil)
}

// Resources implements Backend.
func (c *Client) Resources(ctx context.Context, f Filter) ([]ResourceStatus, error) {
	return items[ResourceStatus](ctx, c, "/resources", f.values())
}

// Environments implements Backend.
func (c *Client) Environments(ctx context.Context, f Filter) ([]EnvironmentStatus, error) {
	return items[EnvironmentStatus](ctx, c, "/environments", f.values())
}

// Policies implements Backend.
func (c *Client) Policies(ctx context.Context, f Filter) ([]PolicyStatus, error) {
	return items[PolicyStatus](ctx, c, "/policies", f.values())
}

// Repositories implements Backend.
func (c *Client) Repositories(ctx context.Context) ([]RepositoryStatus, error) {
	return items[RepositoryStatus](ctx, c, "/repositories", nil)
}

// Changes implements Backend.
func (c *Client) Changes(ctx context.Context, f Filter) ([]Change, error) {
	return items[Change](ctx, c, "/changes", f.values())
}

// Pulls implements Backend.
func (c *Client) Pulls(ctx context.Context, f PullFilter) ([]PullStatus, error) {
	v := values("repository", f.Repository)
	if f.All {
		v.Set("all", "true")
	}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	return items[PullStatus](ctx, c, "/pulls", v)
}

// Turns implements Backend.
func (c *Client) Turns(ctx context.Context, f Filter) ([]TurnStatus, error) {
	return items[TurnStatus](ctx, c, "/turns", f.values())
}

// Explain implements Backend.
func (c *Client) Explain(ctx context.Context, k schema.ResourceKey) (Explanation, error) {
	return call[Explanation](ctx, c, http.MethodGet, route("resources", k.Org, k.Env, k.Kind, k.Name), nil, nil)
}

// Engine implements Backend.
func (c *Client) Engine(ctx context.Context, k schema.ResourceKey) (EngineChoice, error) {
	return call[EngineChoice](ctx, c, http.MethodGet, route("resources", k.Org, k.Env, k.Kind, k.Name, "engine"), nil, nil)
}

// States implements Backend.
func (c *Client) States(ctx context.Context, k schema.ResourceKey) (States, error) {
	return call[States](ctx, c, http.MethodGet, route("resources", k.Org, k.Env, k.Kind, k.Name, "states"), nil, nil)
}

// RestoreState implements Backend.
func (c *Client) RestoreState(ctx context.Context, r StateRestore) (stackjob.Job, error) {
	return call[stackjob.Job](ctx, c, http.MethodPost, route("resources", r.Key.Org, r.Key.Env, r.Key.Kind, r.Key.Name, "restore"), nil, r)
}

// Graph implements Backend.
func (c *Client) Graph(ctx context.Context, f Filter, format string) (string, error) {
	b, err := c.text(ctx, "/graph", values("org", f.Org, "env", f.Env, "format", format))
	return string(b), err
}

// Schema is the JSON Schema of a kind that the daemon knows.
func (c *Client) Schema(ctx context.Context, kind string) (json.RawMessage, error) {
	return c.text(ctx, route("schema", kind), nil)
}

func (c *Client) text(ctx context.Context, path string, q url.Values) ([]byte, error) {
	req, err := c.request(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	return io.ReadAll(res.Body)
}

// Jobs implements Backend.
func (c *Client) Jobs(ctx context.Context, q store.JobQuery) ([]stackjob.Job, error) {
	v := values("org", q.Org, "env", q.Env, "kind", q.Kind, "name", q.Name, "commit", q.Commit, "before", string(q.Before))
	if q.Open {
		v.Set("open", "true")
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if len(q.States) > 0 {
		var s []string
		for _, st := range q.States {
			s = append(s, string(st))
		}
		v.Set("state", strings.Join(s, ","))
	}
	p, err := call[JobPage](ctx, c, http.MethodGet, "/jobs", v, nil)
	return p.Items, err
}

// Job implements Backend.
func (c *Client) Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	return call[stackjob.Job](ctx, c, http.MethodGet, route("jobs", string(id)), nil, nil)
}

// Events implements Backend.
func (c *Client) Events(ctx context.Context, job stackjob.JobID, after int64, limit int) ([]store.JobEvent, error) {
	v := values("job", string(job), "after", strconv.FormatInt(after, 10))
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	p, err := call[EventPage](ctx, c, http.MethodGet, "/events", v, nil)
	return p.Items, err
}

// NewestEvent implements Backend.
func (c *Client) NewestEvent(ctx context.Context) (int64, error) {
	p, err := call[EventPage](ctx, c, http.MethodGet, "/events", values("after", "now"), nil)
	return p.Next, err
}

// Approve implements Backend.
func (c *Client) Approve(ctx context.Context, a Answer) (stackjob.Job, error) {
	return c.answer(ctx, "approve", a)
}

// Reject implements Backend.
func (c *Client) Reject(ctx context.Context, a Answer) (stackjob.Job, error) {
	return c.answer(ctx, "reject", a)
}

// Cancel implements Backend.
func (c *Client) Cancel(ctx context.Context, a Answer) (stackjob.Job, error) {
	return c.answer(ctx, "cancel", a)
}

// Rerun implements Backend.
func (c *Client) Rerun(ctx context.Context, a Answer) (stackjob.Job, error) {
	return c.answer(ctx, "rerun", a)
}

func (c *Client) answer(ctx context.Context, verb string, a Answer) (stackjob.Job, error) {
	return call[stackjob.Job](ctx, c, http.MethodPost, route("jobs", string(a.Job), verb), nil, a)
}

// Unlock implements Backend; the actor is ignored, see Client.
func (c *Client) Unlock(ctx context.Context, u Unlock) ([]pull.Release, error) {
	l, err := call[List[pull.Release]](ctx, c, http.MethodPost, route("pulls", u.Repository, strconv.Itoa(u.Number), "unlock"), nil, u)
	return l.Items, err
}

// Poll implements Backend; by is ignored, see Client.
func (c *Client) Poll(ctx context.Context, repository string, _ stackjob.Actor) (RepositoryStatus, error) {
	return call[RepositoryStatus](ctx, c, http.MethodPost, route("repositories", repository, "poll"), nil, nil)
}

// route joins path segments, each escaped.
func route(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
