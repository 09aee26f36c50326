package web_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sse opens a stream and gives its lines.
func sse(t *testing.T, url string, header map[string]string) (*bufio.Scanner, func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("%s %s", res.Status, ct)
	}
	done := sync.OnceFunc(func() { _ = res.Body.Close() })
	t.Cleanup(done)
	return bufio.NewScanner(res.Body), done
}

// ids reads so many ids of messages.
func ids(t *testing.T, sc *bufio.Scanner, n int) []string {
	t.Helper()
	var out []string
	for len(out) < n && sc.Scan() {
		if id, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
			out = append(out, id)
		}
	}
	if len(out) < n {
		t.Fatalf("the stream ended after %v: %v", out, sc.Err())
	}
	return out
}

func TestEventStreamResumesAfterTheLastEventID(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.emit(3)
	sc, done := sse(t, r.url+"/api/v1/events?follow=true", nil)
	same(t, "first ids", ids(t, sc, 3), nil, []string{"1", "2", "3"})
	r.emit(1)
	same(t, "what came while it was open", ids(t, sc, 1), nil, []string{"4"})
	done()
	r.emit(2)
	sc, _ = sse(t, r.url+"/api/v1/events?follow=true&after=0", map[string]string{"Last-Event-ID": "4"})
	same(t, "ids after resuming", ids(t, sc, 2), nil, []string{"5", "6"})
	sc, _ = sse(t, r.url+"/api/v1/events?follow=true&after=now", nil)
	r.emit(1)
	same(t, "ids from now on", ids(t, sc, 1), nil, []string{"7"})
}

func TestSilentStreamSendsHeartbeats(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *web.Options) { o.Limits.Heartbeat = 5 * time.Millisecond })
	r.write("sj_1", "")
	for _, path := range []string{"/api/v1/events?follow=true", "/api/v1/jobs/sj_1/log?follow=true"} {
		sc, _ := sse(t, r.url+path, nil)
		for range 3 {
			if !sc.Scan() || sc.Text() != ": still here" || !sc.Scan() {
				t.Fatalf("%s: %q %v", path, sc.Text(), sc.Err())
			}
		}
	}
}

func TestFollowedEventsSurviveARestartWithoutLossOrRepetition(t *testing.T) {
	t.Parallel()
	r := start(t)
	cut := newCutter(t, strings.TrimPrefix(r.url, "http://"))
	c := r.client(t, api.Options{URL: "http://" + cut.addr()})
	r.emit(2)
	var got []int64
	for e, err := range c.FollowEvents(soon(t), "sj_1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq)
		if len(got) == 2 || len(got) == 5 {
			cut.all()
			r.emit(3)
		}
		if len(got) == 8 {
			break
		}
	}
	same(t, "events", got, nil, []int64{1, 2, 3, 4, 5, 6, 7, 8})
}

func TestFollowedLogIsWholeWhateverBreaks(t *testing.T) {
	t.Parallel()
	r := start(t)
	cut := newCutter(t, strings.TrimPrefix(r.url, "http://"))
	c := r.client(t, api.Options{URL: "http://" + cut.addr()})
	r.write("sj_1", "skipped;première\r\n")
	rc, err := c.Log(soon(t), "sj_1", 8, api.FollowYes)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close() //nolint:errcheck // it was only read
	var got bytes.Buffer
	read := func(want string) {
		t.Helper()
		if _, err := io.CopyN(&got, rc, int64(len(want))); err != nil {
			t.Fatal(err)
		}
	}
	read("première\r\n")
	cut.all()
	r.write("sj_1", "a cut character: \xe2\x82")
	r.write("sj_1", "\xac and \xff\xfe no text\n\n")
	read("a cut character: € and \xff\xfe no text\n\n")
	cut.all()
	long := strings.Repeat("ligne très longue ", 10_000) + "\n"
	r.write("sj_1", long)
	r.endLog("sj_1")
	rest, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	got.Write(rest)
	want := "première\r\na cut character: € and \xff\xfe no text\n\n" + long
	if got.String() != want {
		t.Errorf("the log differs: %d bytes for %d, %s", got.Len(), len(want), cmp.Diff(want[:80], got.String()[:80]))
	}
}

func TestWatchFiresForNewEventsAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx, cancel := context.WithCancel(soon(t))
	c := r.client(t, api.Options{})
	news := c.Watch(ctx)
	<-news // the first one is for the connection
	if !r.until(ctx, func() bool { return r.watchers > 0 }) {
		t.Fatal("the stream was not opened")
	}
	r.emit(1)
	if _, ok := <-news; !ok {
		t.Fatal("it ended before its context")
	}
	cancel()
	for range news { // drained until it is closed
	}
	if !r.until(soon(t), func() bool { return r.watchers == 0 }) {
		t.Error("the daemon still watches for a reader that is gone")
	}
}

func TestReaderThatDoesNotReadIsLeftBehind(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *web.Options) { o.Limits.Write = 50 * time.Millisecond; o.Limits.Streams = 1 })
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it is only held open
	if err := c.(*net.TCPConn).SetReadBuffer(1024); err != nil {
		t.Fatal(err)
	}
	r.write("sj_1", strings.Repeat("x", 64<<20))
	if _, err := fmt.Fprintf(c, "GET /api/v1/jobs/sj_1/log?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := io.ReadFull(c, one); err != nil { // it has begun, and takes the only place
		t.Fatal(err)
	}
	r.awaitStreams(t, 0) // though nobody closed the connection
}

func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *web.Options) { o.Limits.Streams = 2 })
	r.write("sj_1", "x")
	r.emit(1)
	sc, done := sse(t, r.url+"/api/v1/events?follow=true", nil)
	ids(t, sc, 1)
	sc, _ = sse(t, r.url+"/api/v1/jobs/sj_1/log?follow=true", nil)
	ids(t, sc, 1)
	res, body := do(t, "GET", r.url+"/api/v1/events?follow=true", nil, "")
	if p := problemIn(t, res, body); p.Code != api.CodeTooManyStreams || p.Status != 503 {
		t.Errorf("the third stream got %+v", p)
	}
	if res, _ := do(t, "GET", r.url+"/api/v1/jobs", nil, ""); res.StatusCode != 200 {
		t.Error("full streams keep other requests out")
	}
	done()
	r.awaitStreams(t, 1)
	for e, err := range r.client(t, api.Options{}).FollowEvents(soon(t), "", 0) {
		same(t, "event after a place became free", e, err, r.events[0])
		break
	}
}

// awaitStreams waits until so many streams are open, by the daemon's own metric.
func (r *running) awaitStreams(t *testing.T, n int) {
	t.Helper()
	ctx := soon(t)
	for ctx.Err() == nil {
		if _, body := do(t, "GET", r.url+"/metrics", nil, ""); strings.Contains(body, fmt.Sprintf("reeve_http_streams %d\n", n)) {
			return
		}
	}
	t.Fatalf("there are never %d streams", n)
}

func TestEventPagesFollowEachOther(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.emit(5)
	c := r.client(t, api.Options{})
	var got []int64
	after := int64(0)
	for {
		page, err := c.Events(t.Context(), "", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got, after = append(got, e.Seq), e.Seq
		}
	}
	same(t, "events", got, nil, []int64{1, 2, 3, 4, 5})
	var none []store.JobEvent
	page, err := c.Events(t.Context(), "", 5, 2)
	if err != nil || len(page) != len(none) {
		t.Errorf("after the last: %v %v", page, err)
	}
}

// cutter passes connections on, and can cut them all.
type cutter struct {
	ln    net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{ln: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); c.all(); wg.Wait() })
	return c
}

func (c *cutter) addr() string { return c.ln.Addr().String() }

func (c *cutter) all() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.conns {
		_ = x.Close()
	}
	c.conns = nil
}
