package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// maxEventBytes is the longest line of a stream: an event's reason is short, and a piece of log at most
// 32 KiB before it is escaped.
const maxEventBytes = 1 << 20

// errStreamEnd means that the daemon said that nothing follows.
var errStreamEnd = errors.New("end of stream")

// message is one server-sent event.
type message struct {
	event, id string
	data      []byte
}

// silence is how long a stream may say nothing, not even that it is still here, before the connection
// counts as dead. The daemon's heartbeat is much shorter.
const silence = time.Minute

// stream reads server-sent events until the connection ends or handle fails. It calls alive for
// every line, and returns nil when the connection ended without a word.
func (c *Client) stream(ctx context.Context, path string, q url.Values, last string, alive func(), handle func(message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream, application/json")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	dead := time.AfterFunc(silence, cancel)
	defer dead.Stop()
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	return readMessages(res.Body, func() { dead.Reset(silence); alive() }, handle)
}

// readMessages parses a stream. alive is called for every line, heartbeats too. A message whose empty line
// never came is dropped: it may be half of one.
func readMessages(r io.Reader, alive func(), handle func(message) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxEventBytes)
	var m message
	for sc.Scan() {
		alive()
		line := sc.Bytes()
		if len(line) == 0 {
			if m.event != "" || m.data != nil {
				if err := handle(m); err != nil {
					return err
				}
			}
			m = message{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			m.event = string(value)
		case "id":
			m.id = string(value)
		case "data":
			if m.data != nil {
				m.data = append(m.data, '\n')
			}
			m.data = append(m.data, value...)
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("read stream: %w", sc.Err())
	}
	return nil
}

// retries tells how long to wait before each next try; it gives up after resumeFor without progress.
type retries struct {
	b     *backoff.ExponentialBackOff
	give  time.Duration
	since time.Time
}

func newRetries(give time.Duration) *retries {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 100*time.Millisecond, 5*time.Second
	return &retries{b: b, give: give}
}

// progress forgets failures.
func (r *retries) progress() { r.b.Reset(); r.since = time.Time{} }

// wait sleeps before the next try, or returns why there is none.
func (r *retries) wait(ctx context.Context, cause error) error {
	if r.since.IsZero() {
		r.since = time.Now()
	}
	if time.Since(r.since) > r.give {
		return fmt.Errorf("%w: %w", ErrInterrupted, cause)
	}
	t := time.NewTimer(r.b.NextBackOff())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// passing tells whether an error may go away by itself while a stream is resumed.
func passing(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
	}
	return err == nil || errors.Is(err, ErrNoDaemon) || errors.Is(err, context.Canceled)
}

// resume streams until handle fails, the daemon says end, ctx ends, or nothing can be had for too long. The first
// connection must succeed: a daemon that is not there is told at once.
func (c *Client) resume(ctx context.Context, path string, q func() (url.Values, string), handle func(message) error) error {
	again := newRetries(c.resumeFor)
	connected := false
	for {
		values, last := q()
		var failed error
		alive := func() { connected = true; again.progress() }
		err := c.stream(ctx, path, values, last, alive, func(m message) error {
			failed = handle(m)
			return failed
		})
		switch {
		case errors.Is(err, errStreamEnd):
			return nil
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err), err != nil && !connected:
			return err
		}
		connected = true // it answered once, if only with nothing
		if err == nil {
			err = errors.New("the connection ended")
		}
		if err := again.wait(ctx, err); err != nil {
			return err
		}
	}
}

// FollowEvents yields the events after a sequence number, those of job or (job "") of all jobs, as they are
// written, until ctx ends. A broken connection is resumed where it broke: no event is lost or
// doubled. The last pair holds the error.
func (c *Client) FollowEvents(ctx context.Context, job stackjob.JobID, after int64) iter.Seq2[store.JobEvent, error] {
	return func(yield func(store.JobEvent, error) bool) {
		stopped := errors.New("stopped")
		err := c.resume(ctx, "/events", func() (url.Values, string) {
			return values("follow", "true", "job", string(job), "after", strconv.FormatInt(after, 10)), ""
		}, func(m message) error {
			if m.event != StreamJob {
				return nil
			}
			var e store.JobEvent
			if err := json.Unmarshal(m.data, &e); err != nil {
				return fmt.Errorf("read event: %w", err)
			}
			if e.Seq <= after {
				return nil
			}
			after = e.Seq
			if !yield(e, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(store.JobEvent{}, err)
		}
	}
}

// Watch implements Backend: it fires after each event, and once after each new connection, for
// something may have happened in between.
func (c *Client) Watch(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	fire := func() {
		select {
		case out <- struct{}{}:
		default: // one is waiting already
		}
	}
	go func() {
		defer close(out)
		last := ""
		for ctx.Err() == nil {
			q := values("follow", "true", "after", "now")
			_ = c.resume(ctx, "/events", func() (url.Values, string) { fire(); return q, last }, func(m message) error {
				last = m.id
				fire()
				return nil
			})
			// What could not be had shows where the caller asks for it; the next try is slow.
			t := time.NewTimer(5 * time.Second)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
		}
	}()
	return out
}

// Log implements Backend. A followed log is resumed at its byte offset when the connection breaks.
func (c *Client) Log(ctx context.Context, id stackjob.JobID, from int64, follow Follow) (io.ReadCloser, error) {
	path := route("jobs", string(id)) + "/log"
	if follow != FollowYes {
		req, err := c.request(ctx, http.MethodGet, path, values("from", strconv.FormatInt(from, 10)), nil)
		if err != nil {
			return nil, err
		}
		res, err := c.send(req)
		if err != nil {
			return nil, err
		}
		return res.Body, nil
	}
	if _, err := c.Job(ctx, id); err != nil { // so that a job that is not there is told here, not by Read
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		offset := from
		err := c.resume(ctx, path, func() (url.Values, string) {
			return values("follow", "true", "from", strconv.FormatInt(offset, 10)), ""
		}, func(m message) error {
			if m.event == StreamEnd {
				return errStreamEnd
			}
			p, err := logBytes(m)
			if err != nil || len(p) == 0 {
				return err
			}
			n, err := strconv.ParseInt(m.id, 10, 64)
			if err != nil {
				return fmt.Errorf("read log: %w", err)
			}
			offset = n
			_, err = pw.Write(p)
			return err
		})
		_ = pw.CloseWithError(err) // nil means io.EOF
	}()
	return &logReader{PipeReader: pr, cancel: cancel, ended: ended}, nil
}

func logBytes(m message) ([]byte, error) {
	var text string
	switch m.event {
	case StreamLog, StreamLogBase64:
		if err := json.Unmarshal(m.data, &text); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
	default:
		return nil, nil
	}
	if m.event == StreamLog {
		return []byte(text), nil
	}
	return io.ReadAll(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
}

// logReader ends the goroutine behind it when it is closed.
type logReader struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

func (r *logReader) Close() error {
	r.cancel()
	err := r.PipeReader.Close()
	<-r.ended
	return err
}
