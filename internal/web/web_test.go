package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The canaries: neither may ever be seen outside an Authorization header.
const (
	readCanary  = "canary-read-0123456789abcdef"
	writeCanary = "canary-write-0123456789abcdef"
)

// lockedBuffer is a log that a test can read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server on a real port and a real socket.
type running struct {
	*memory
	server *web.Server
	url    string
	socket string
	log    *lockedBuffer
	stop   func()
}

func start(t *testing.T, change ...func(*web.Options)) *running {
	t.Helper()
	m, log := newMemory(), &lockedBuffer{}
	o := web.Options{Backend: m, Version: "1.2.3", Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Access: web.Access{Tokens: []web.Token{
			{Name: "viewer", Secret: config.NewSecret(readCanary), Role: config.RoleRead},
			{Name: "ada", Secret: config.NewSecret(writeCanary), Role: config.RoleWrite},
		}, AllowedHosts: []string{"reeve.example"}},
		Schemas: map[string]json.RawMessage{"Environment": json.RawMessage(`{"type":"object"}`)},
	}
	for _, c := range change {
		c(&o)
	}
	s, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "reeve") // t.TempDir is too long for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "s")
	sl, err := web.ListenSocket(sock, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, serve := range []func() error{func() error { return s.ServeTCP(ctx, ln) }, func() error { return s.ServeSocket(ctx, sl) }} {
		wg.Go(func() {
			if err := serve(); err != nil {
				t.Error(err)
			}
		})
	}
	stop := sync.OnceFunc(func() { cancel(); wg.Wait(); _ = os.RemoveAll(dir) })
	t.Cleanup(stop)
	return &running{memory: m, server: s, url: "http://" + ln.Addr().String(), socket: sock, log: log, stop: stop}
}

func (r *running) client(t *testing.T, o api.Options) *api.Client {
	t.Helper()
	if o.URL == "" && o.Socket == "" {
		o.URL = r.url
	}
	c := api.NewClient(o)
	t.Cleanup(c.Close)
	return c
}

func (r *running) overSocket(t *testing.T) *api.Client {
	return r.client(t, api.Options{Socket: r.socket})
}

func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestEverythingInTheBackendRoundTrips(t *testing.T) {
	t.Parallel()
	r := start(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	r.emit(3)
	r.write("sj_1", "héllo\nworld\n")
	for name, c := range map[string]struct {
		client *api.Client
		actor  stackjob.Actor
	}{
		"tcp":    {r.client(t, api.Options{Token: config.NewSecret(writeCanary)}), stackjob.Actor{Name: "ada", Via: "token"}},
		"socket": {r.overSocket(t), stackjob.Actor{Name: me.Username, Via: "socket"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, b, cl := t.Context(), newMemory(), c.client
			f := api.Filter{Org: "acme", Env: "dev", Kind: "Aws*", Name: "ma in"}

			got, err := cl.Resources(ctx, f)
			want, _ := b.Resources(ctx, f)
			same(t, "resources", got, err, want)
			same(t, "filter", r.lastAsked(), nil, any(f))
			envs, err := cl.Environments(ctx, f)
			wantEnvs, _ := b.Environments(ctx, f)
			same(t, "environments", envs, err, wantEnvs)
			pols, err := cl.Policies(ctx, f)
			wantPols, _ := b.Policies(ctx, f)
			same(t, "policies", pols, err, wantPols)
			repos, err := cl.Repositories(ctx)
			wantRepos, _ := b.Repositories(ctx)
			same(t, "repositories", repos, err, wantRepos)
			changes, err := cl.Changes(ctx, f)
			wantChanges, _ := b.Changes(ctx, f)
			same(t, "changes", changes, err, wantChanges)
			pf := api.PullFilter{Repository: "con fig", All: true, Limit: 3}
			pulls, err := cl.Pulls(ctx, pf)
			wantPulls, _ := b.Pulls(ctx, pf)
			same(t, "pull requests", pulls, err, wantPulls)
			same(t, "pull request filter", r.lastAsked(), nil, any(pf))
			key := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "AwsVpc", Name: "a b%2F"}
			ex, err := cl.Explain(ctx, key)
			wantEx, _ := b.Explain(ctx, key)
			same(t, "explanation", ex, err, wantEx)
			same(t, "explained key", r.lastAsked(), nil, any(key))
			engine, err := cl.Engine(ctx, key)
			wantEngine, _ := b.Engine(ctx, key)
			same(t, "engine", engine, err, wantEngine)
			states, err := cl.States(ctx, key)
			wantStates, _ := b.States(ctx, key)
			same(t, "states", states, err, wantStates)
			same(t, "key of the states", r.lastAsked(), nil, any(key))
			restore := api.StateRestore{Key: key, Backup: "b", Reason: "the import went wrong ✓", Force: true, Actor: stackjob.Actor{Name: "somebody else"}}
			restored, err := cl.RestoreState(ctx, restore)
			same(t, "restored", restored, err, job)
			restore.Actor = c.actor
			same(t, "told to restore", r.lastAsked(), nil, any(restore))
			for _, format := range []string{"json", "mermaid", "dot"} {
				g, err := cl.Graph(ctx, api.Filter{Org: "acme", Env: "dev"}, format)
				same(t, "graph", g, err, "graph of acme/dev as "+format)
			}
			if _, err := cl.Graph(ctx, api.Filter{Env: "dev"}, "dot"); !errors.Is(err, api.ErrInvalid) {
				t.Errorf("the graph of an environment of no organization: %v", err)
			}

			q := store.JobQuery{Org: "acme", Env: "dev", Kind: "K", Name: "n", States: []stackjob.State{stackjob.Queued, stackjob.WaitingApply}, Open: true, Commit: "abc", Before: "sj_9", Limit: 1}
			jobs, err := cl.Jobs(ctx, q)
			wantJobs, _ := b.Jobs(ctx, q)
			same(t, "jobs", jobs, err, wantJobs)
			same(t, "job query", r.lastAsked(), nil, any(q))
			j, err := cl.Job(ctx, "sj_1")
			same(t, "job", j, err, job)
			events, err := cl.Events(ctx, "sj_1", 1, 1)
			wantEvents, _ := r.Events(ctx, "sj_1", 1, 1)
			same(t, "events", events, err, wantEvents)
			newest, err := cl.NewestEvent(ctx)
			wantNewest, _ := r.NewestEvent(ctx)
			same(t, "newest event", newest, err, wantNewest)
			rc, err := cl.Log(ctx, "sj_1", 7, api.FollowNo)
			if err != nil {
				t.Fatal(err)
			}
			log, err := io.ReadAll(rc)
			_ = rc.Close()
			same(t, "log", string(log), err, "world\n")

			for v, act := range map[string]func(context.Context, api.Answer) (stackjob.Job, error){
				"approve": cl.Approve, "reject": cl.Reject, "cancel": cl.Cancel, "rerun": cl.Rerun} {
				a := api.Answer{Job: "sj_1", PlanDigest: "sha256:0123", Comment: "lgtm ✓", Actor: stackjob.Actor{Name: "somebody else"}}
				j, err := act(ctx, a)
				same(t, v, j, err, job)
				a.Actor = c.actor
				same(t, "told to "+v, r.lastAsked(), nil, any(verb{v, a}))
			}
			u := api.Unlock{Repository: "a/config", Number: 7, Selectors: []string{"dev/*"}, Reason: "gone ✓", Actor: stackjob.Actor{Name: "somebody else"}}
			ended, err := cl.Unlock(ctx, u)
			same(t, "unlock", ended, err, []pull.Release{{Stack: vpc, Pull: pull.Key{Repository: "a/config", Number: 7}, By: c.actor, At: day, Reason: "gone ✓"}})
			u.Actor = c.actor
			same(t, "told to unlock", r.lastAsked(), nil, any(u))
			turns, err := cl.Turns(ctx, api.Filter{Org: "acme", Name: "v*"})
			same(t, "turns", turns, err, []api.TurnStatus{turn})
			same(t, "asked for turns", r.lastAsked(), nil, any(api.Filter{Org: "acme", Name: "v*"}))
			st, err := cl.Poll(ctx, "config", stackjob.System)
			same(t, "poll", st, err, api.RepositoryStatus{Name: "config"})
			same(t, "told to poll", r.lastAsked(), nil, any(verb{"poll config", api.Answer{Actor: c.actor}}))

			v, err := cl.Version(ctx)
			same(t, "version", v, err, api.Version{Version: "1.2.3", API: "v1", Identity: c.actor})
			s, err := cl.Schema(ctx, "Environment")
			same(t, "schema", string(s), err, `{"type":"object"}`)
		})
	}
}

func TestErrorsKeepTheirMeaningOnTheOtherEnd(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := r.overSocket(t)
	for _, want := range []struct {
		err  error
		code api.ErrorCode
	}{
		{store.ErrNotFound, api.CodeNotFound}, {store.ErrStackBusy, api.CodeStackBusy}, {store.ErrReadOnly, api.CodeReadOnly},
		{store.ErrFull, api.CodeFull}, {stackjob.ErrStaleApproval, api.CodeStaleApproval}, {stackjob.ErrFenced, api.CodeClaimed},
		{api.ErrInvalid, api.CodeInvalid}, {api.ErrForbidden, api.CodeForbidden},
	} {
		r.failWith(fmt.Errorf("approve job sj_1: %w", want.err))
		_, err := c.Approve(t.Context(), api.Answer{Job: "sj_1"})
		var p *api.Problem
		if !errors.As(err, &p) || p.Code != want.code || !errors.Is(err, want.err) || p.Status != want.code.Status() {
			t.Errorf("%v came back as %#v", want.err, err)
			continue
		}
		if want.code == api.CodeStaleApproval && p.CurrentDigest != job.Plan.Digest {
			t.Errorf("stale approval says the current digest is %q", p.CurrentDigest)
		}
	}
	r.failWith(&stackjob.IllegalMove{State: stackjob.Failed, Event: stackjob.EvCancel})
	_, err := c.Cancel(t.Context(), api.Answer{Job: "sj_1"})
	var illegal *stackjob.IllegalMove
	if !errors.As(err, &illegal) || *illegal != (stackjob.IllegalMove{State: stackjob.Failed, Event: stackjob.EvCancel}) {
		t.Errorf("an illegal move came back as %#v", err)
	}
	r.failWith(errors.New("boom"))
	_, err = c.Resources(t.Context(), api.Filter{})
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodeInternal || p.Status != http.StatusInternalServerError {
		t.Errorf("an unknown error came back as %#v", err)
	}
	if !strings.Contains(r.log.String(), "boom") {
		t.Error("an internal error is not in the log")
	}
}

// do makes one plain request.
func do(t *testing.T, method, url string, header map[string]string, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
		}
		req.Header.Set(k, v)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func problemIn(t *testing.T, res *http.Response, body string) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Code == "" || p.Status != res.StatusCode ||
		res.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("no problem but %s %s: %s", res.Status, res.Header.Get("Content-Type"), body)
	}
	return p
}

func TestBadRequestsAreExplained(t *testing.T) {
	t.Parallel()
	r := start(t)
	write := map[string]string{"Authorization": "Bearer " + writeCanary}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               api.ErrorCode
		field              string
	}{
		"no route":          {"GET", "/api/v1/nothing", "", 404, api.CodeNoRoute, ""},
		"root":              {"GET", "/", "", 404, api.CodeNoRoute, ""},
		"wrong method":      {"POST", "/api/v1/resources", "", 405, api.CodeMethodNotAllowed, ""},
		"unknown parameter": {"GET", "/api/v1/resources?orgg=a", "", 422, api.CodeInvalid, "query.orgg"},
		"limit too large":   {"GET", "/api/v1/jobs?limit=5000", "", 422, api.CodeInvalid, "query.limit"},
		"limit no number":   {"GET", "/api/v1/jobs?limit=many", "", 422, api.CodeInvalid, "query.limit"},
		"unknown state":     {"GET", "/api/v1/jobs?state=lost", "", 422, api.CodeInvalid, ""},
		"unknown format":    {"GET", "/api/v1/graph?format=png", "", 422, api.CodeInvalid, "query.format"},
		"bad position":      {"GET", "/api/v1/events?after=-1", "", 422, api.CodeInvalid, ""},
		"bad log position":  {"GET", "/api/v1/jobs/sj_1/log?from=x", "", 422, api.CodeInvalid, ""},
		"missing job":       {"GET", "/api/v1/jobs/sj_0", "", 404, api.CodeNotFound, ""},
		"missing log":       {"GET", "/api/v1/jobs/sj_0/log?follow=true", "", 404, api.CodeNotFound, ""},
		"missing schema":    {"GET", "/api/v1/schema/Nothing", "", 404, api.CodeNotFound, ""},
		"events of nothing": {"GET", "/api/v1/events?job=sj_0&follow=true", "", 404, api.CodeNotFound, ""},
		"no JSON":           {"POST", "/api/v1/jobs/sj_1/approve", "yes", 400, api.CodeInvalid, "body"},
		"unknown field":     {"POST", "/api/v1/jobs/sj_1/approve", `{"digest":"x"}`, 422, api.CodeInvalid, "body.digest"},
		"too large":         {"POST", "/api/v1/jobs/sj_1/approve", `{"comment":"` + strings.Repeat("x", 70_000) + `"}`, 413, api.CodeTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := do(t, c.method, r.url+c.path, write, c.body)
			p := problemIn(t, res, body)
			if p.Status != c.status || p.Code != c.code {
				t.Errorf("got %d %s, want %d %s: %s", p.Status, p.Code, c.status, c.code, body)
			}
			if c.field != "" && (len(p.Fields) == 0 || p.Fields[0].Field != c.field) {
				t.Errorf("fields %v, want %s", p.Fields, c.field)
			}
			if c.code == api.CodeMethodNotAllowed && !strings.Contains(res.Header.Get("Allow"), "GET") {
				t.Errorf("Allow is %q", res.Header.Get("Allow"))
			}
		})
	}
	if n := r.askedCount(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

func TestAnActNeedsNoBody(t *testing.T) {
	t.Parallel()
	r := start(t)
	res, body := do(t, "POST", r.url+"/api/v1/jobs/sj_1/cancel", map[string]string{"Authorization": "Bearer " + writeCanary}, "")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, body)
	}
	same(t, "told", r.lastAsked(), nil, any(verb{"cancel", api.Answer{Job: "sj_1", Actor: stackjob.Actor{Name: "ada", Via: "token"}}}))
}

// slow is a backend whose acts take longer than a body may take to arrive.
type slow struct{ *memory }

func (s slow) Cancel(ctx context.Context, a api.Answer) (stackjob.Job, error) {
	work := time.NewTimer(2 * time.Second)
	defer work.Stop()
	select {
	case <-ctx.Done():
		return stackjob.Job{}, ctx.Err()
	case <-work.C:
		return s.memory.Cancel(ctx, a)
	}
}

func TestLongActIsNotCutOffByTheBodysDeadline(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *web.Options) {
		o.Backend, o.Limits.Arrive = slow{o.Backend.(*memory)}, time.Second
	})
	if _, err := r.overSocket(t).Cancel(t.Context(), api.Answer{Job: "sj_1", Comment: "c"}); err != nil {
		t.Error(err)
	}
}

func TestBodyThatDoesNotArriveIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *web.Options) { o.Limits.Arrive = 20 * time.Millisecond })
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	if _, err := fmt.Fprintf(c, "POST /api/v1/jobs/sj_1/cancel HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: 10\r\n\r\n{", writeCanary); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	b, _ := io.ReadAll(res.Body)
	if p := problemIn(t, res, string(b)); p.Code != api.CodeInvalid {
		t.Errorf("%+v", p)
	}
	if n := r.askedCount(); n != 0 {
		t.Error("half a request was carried out")
	}
}

//go:generate go test . -count=1 -run TestOpenAPIDescriptionIsAsRecorded -update

func TestOpenAPIDescriptionIsAsRecorded(t *testing.T) {
	t.Parallel()
	r := start(t)
	got := r.server.OpenAPI()
	goldentest.Compare(t, filepath.Join("testdata", "openapi.json"), string(got)+"\n")
	for path, contentType := range map[string]string{"/api/v1/openapi.json": "application/openapi+json", "/api/v1/openapi.yaml": "application/openapi+yaml"} {
		res, body := do(t, "GET", r.url+path, nil, "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != contentType || !strings.Contains(body, "/api/v1/jobs/{id}/approve") {
			t.Errorf("%s: %s %s", path, res.Status, res.Header.Get("Content-Type"))
		}
	}
	if bytes.Contains(got, []byte("ErrorModel")) {
		t.Error("the description names a shape that no answer has")
	}
}

func TestHealthReadinessAndMetrics(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ready := errors.New("the first reconciliation is not done")
	r := start(t, func(o *web.Options) {
		o.Ready = func(context.Context) error { mu.Lock(); defer mu.Unlock(); return ready }
	})
	if res, body := do(t, "GET", r.url+"/healthz", nil, ""); res.StatusCode != 200 || body != "ok\n" {
		t.Errorf("healthz: %s %q", res.Status, body)
	}
	res, body := do(t, "GET", r.url+"/readyz", nil, "")
	if p := problemIn(t, res, body); p.Code != api.CodeNotReady || p.Status != 503 || p.Detail != ready.Error() {
		t.Errorf("readyz: %+v", p)
	}
	mu.Lock()
	ready = nil
	mu.Unlock()
	if res, body := do(t, "GET", r.url+"/readyz", nil, ""); res.StatusCode != 200 || body != "ready\n" {
		t.Errorf("readyz: %s %q", res.Status, body)
	}
	do(t, "GET", r.url+"/api/v1/jobs/sj_1", nil, "")
	do(t, "GET", r.url+"/api/v1/jobs/sj_unheard", nil, "")
	do(t, "BREW", r.url+"/coffee", nil, "")
	_, body = do(t, "GET", r.url+"/metrics", nil, "")
	for _, line := range []string{
		`reeve_http_requests_total{method="GET",route="/api/v1/jobs/{id}",status="2xx"} 1`,
		`reeve_http_requests_total{method="GET",route="/api/v1/jobs/{id}",status="4xx"} 1`,
		`reeve_http_requests_total{method="POST",route="/api/v1/jobs/{id}/approve",status="2xx"} 0`,
		`reeve_http_requests_total{method="other",route="none",status="4xx"} 1`,
		`reeve_http_streams 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	for _, never := range []string{"sj_1", "coffee", "BREW"} {
		if strings.Contains(body, never) {
			t.Errorf("metrics hold %q", never)
		}
	}
}

func TestPortInUseSaysWhichAndWhatToDo(t *testing.T) {
	t.Parallel()
	ln, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // it was only held
	addr := ln.Addr().String()
	_, err = web.Listen(addr)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("the error is: %v", err)
	}
}

func TestNoDaemonIsSaidWithTheWayOut(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	for _, o := range []api.Options{{URL: "http://" + addr}, {Socket: filepath.Join(t.TempDir(), "no.sock")}} {
		c := api.NewClient(o)
		_, err = c.Jobs(t.Context(), store.JobQuery{})
		if !errors.Is(err, api.ErrNoDaemon) || !strings.Contains(err.Error(), c.Where()) || !strings.Contains(err.Error(), "reeve serve") {
			t.Errorf("the error is: %v", err)
		}
		if rc, err := c.Log(t.Context(), "sj_1", 0, api.FollowYes); !errors.Is(err, api.ErrNoDaemon) {
			t.Errorf("following a log: %v %v", rc, err)
		}
		for _, err := range c.FollowEvents(t.Context(), "", 0) {
			if !errors.Is(err, api.ErrNoDaemon) {
				t.Errorf("following events: %v", err)
			}
		}
	}
}

func TestStoppingEndsStreamsAndWaitsForNobody(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.write("sj_1", "begun\n")
	res, err := http.Get(r.url + "/api/v1/jobs/sj_1/log?follow=true") //nolint:noctx // it ends with the server
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	line := make([]byte, 10)
	if _, err := io.ReadFull(res.Body, line); err != nil || string(line) != "event: log" {
		t.Fatalf("%q, %v", line, err)
	}
	if r.stop(); strings.Contains(r.log.String(), "cut off") {
		t.Error("a reader of a log is waited for")
	}
	if rest, _ := io.ReadAll(res.Body); strings.Contains(string(rest), "event: end") {
		t.Error("a log that goes on was said to be complete")
	}
}
