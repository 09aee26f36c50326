package web

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// eventPage is how many events are read at once.
const eventPage = 500

// logChunk is the most log bytes in one server-sent event.
const logChunk = 32 << 10

// isStream tells whether a request asks for a stream.
func isStream(r *http.Request) bool { return r.URL.Query().Get("follow") == "true" }

type eventsInput struct {
	Job         string `query:"job" maxLength:"64" doc:"Only events of this job."`
	After       string `query:"after" maxLength:"20" doc:"Only events after this sequence number; \"now\" means only those that are yet to come."`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"At most so many, when not followed."`
	Follow      bool   `query:"follow" doc:"Stream what happens as server-sent events, whose ids are the sequence numbers."`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Resumes a stream: outranks after."`
}

type logInput struct {
	JobPath
	From        string `query:"from" maxLength:"20" doc:"The byte offset to begin at."`
	Follow      bool   `query:"follow" doc:"Stream the log while it is written as server-sent events, whose ids are byte offsets."`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Resumes a stream: outranks from."`
}

func (r registrar) streams() {
	page := r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.EventPage](), true, "")
	op := r.operation(http.MethodGet, "/events", "listEvents", "What happened to jobs, oldest first; a page or a stream")
	op.Responses["200"] = &huma.Response{Description: "A page of events, or with follow a stream: event \"job\", id the sequence number, data an event.",
		Content: map[string]*huma.MediaType{"application/json": {Schema: page}, "text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}
	huma.Register(r.api, op, translated(r.Server, r.events))

	op = r.operation(http.MethodGet, "/jobs/{id}/log", "jobLog", "A job's log; as it is or as a stream")
	op.Responses["200"] = &huma.Response{Description: "The log as text, or with follow a stream: event \"log\" (or \"log-base64\"), id the byte offset after it, data a JSON string; event \"end\" when the log is complete.",
		Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}, "text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}
	huma.Register(r.api, op, translated(r.Server, r.jobLog))
}

// position reads where a stream begins.
func position(lastEventID, given string) (int64, error) {
	text := given
	if lastEventID != "" {
		text = lastEventID
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: position %s: expected a whole number, 0 or more", api.ErrInvalid, shown(text))
	}
	return n, nil
}

func (s *Server) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	job := stackjob.JobID(in.Job)
	if job != "" {
		if _, err := s.backend.Job(ctx, job); err != nil {
			return nil, err
		}
	}
	var (
		after int64
		err   error
	)
	if in.After == "now" && in.LastEventID == "" {
		after, err = s.backend.NewestEvent(ctx)
	} else {
		after, err = position(in.LastEventID, in.After)
	}
	if err != nil {
		return nil, err
	}
	if !in.Follow {
		found, err := s.backend.Events(ctx, job, after, in.Limit)
		if err != nil {
			return nil, err
		}
		page := api.EventPage{Items: found, Next: after}
		if len(found) > 0 {
			page.Next = found[len(found)-1].Seq
		} else {
			page.Items = []store.JobEvent{}
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			h.SetHeader("Content-Type", "application/json")
			_ = json.NewEncoder(h.BodyWriter()).Encode(page)
		}}, nil
	}
	release, err := s.place()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer release()
		s.followEvents(h, job, after)
	}}, nil
}

// place takes one of the places for streams.
func (s *Server) place() (release func(), err error) {
	select {
	case s.streams <- struct{}{}:
		return func() { <-s.streams }, nil
	default:
		return nil, api.NewProblem(api.CodeTooManyStreams, fmt.Sprintf("%d are open; close some, or try again later", cap(s.streams)))
	}
}

func (s *Server) followEvents(h huma.Context, job stackjob.JobID, after int64) {
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	news := s.backend.Watch(ctx) // before the first look, so that nothing falls between
	out := s.openStream(h)
	beat := time.NewTicker(s.limits.Heartbeat)
	defer beat.Stop()
	for {
		found, err := s.backend.Events(ctx, job, after, eventPage)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("event stream ended", "error", err)
			}
			return
		}
		for _, e := range found {
			data, err := json.Marshal(e)
			if err != nil {
				s.log.Error("event stream ended", "error", err)
				return
			}
			if out.send(api.StreamJob, strconv.FormatInt(e.Seq, 10), data) != nil {
				return
			}
			after = e.Seq
		}
		if out.flush() != nil {
			return
		}
		if len(found) == eventPage {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case _, ok := <-news:
			if !ok {
				news = nil // the heartbeat goes on looking
			}
		case <-beat.C:
			if out.comment() != nil {
				return
			}
		}
	}
}

func (s *Server) jobLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	from, err := position(in.LastEventID, in.From)
	if err != nil {
		return nil, err
	}
	if !in.Follow {
		rc, err := s.backend.Log(ctx, in.ID, from, api.FollowNo)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			defer rc.Close() //nolint:errcheck // it was only read
			h.SetHeader("Content-Type", "text/plain; charset=utf-8")
			_, w := humago.Unwrap(h)
			if _, err := io.Copy(w, rc); err != nil && ctx.Err() == nil {
				s.log.Warn("log cut off", "job", string(in.ID), "error", err)
				panic(http.ErrAbortHandler) // the reader must see that it is not whole
			}
		}}, nil
	}
	release, err := s.place()
	if err != nil {
		return nil, err
	}
	// The body of a stream outlives this call; cancel makes a read that waits for more return.
	ctx, cancel := context.WithCancel(ctx)
	rc, err := s.backend.Log(ctx, in.ID, from, api.FollowYes)
	if err != nil {
		cancel()
		release()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer release()
		s.followLog(h, &following{ReadCloser: rc, cancel: cancel}, from)
	}}, nil
}

// following is a log whose Close also ends a read that waits.
type following struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (f *following) Close() error {
	f.cancel()
	return f.ReadCloser.Close()
}

// read is one result of reading a log.
type read struct {
	p   []byte
	err error
}

// reads reads rc in a goroutine of its own, so that heartbeats go out while the log is silent. It ends
// when rc does; whoever calls it must close rc and drain the channel.
func reads(rc io.Reader, done <-chan struct{}) <-chan read {
	out := make(chan read)
	go func() {
		defer close(out)
		for {
			buf := make([]byte, logChunk)
			n, err := rc.Read(buf)
			select {
			case out <- read{p: buf[:n], err: err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

func (s *Server) followLog(h huma.Context, rc io.ReadCloser, offset int64) {
	done := make(chan struct{})
	in := reads(rc, done)
	defer func() {
		close(done)
		_ = rc.Close()
		for range in { // the goroutine has ended when this has
		}
	}()
	out := s.openStream(h)
	if out.flush() != nil {
		return
	}
	beat := time.NewTicker(s.limits.Heartbeat)
	defer beat.Stop()
	var held []byte // the beginning of a character whose end has not come yet
	for {
		select {
		case <-h.Context().Done():
			return
		case <-beat.C:
			if out.comment() != nil {
				return
			}
		case r := <-in:
			p := append(held, r.p...)
			if r.err == nil {
				p, held = wholeCharacters(p)
			}
			if len(p) > 0 {
				offset += int64(len(p))
				if out.log(p, offset) != nil || out.flush() != nil {
					return
				}
			}
			if r.err != nil {
				if errors.Is(r.err, io.EOF) {
					_ = out.send(api.StreamEnd, strconv.FormatInt(offset, 10), []byte("{}"))
					_ = out.flush()
				} else if h.Context().Err() == nil {
					s.log.Warn("log stream ended", "error", r.err)
				}
				return
			}
		}
	}
}

// wholeCharacters splits p before a character that is not complete.
func wholeCharacters(p []byte) (whole, rest []byte) {
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		c := p[len(p)-i]
		if utf8.RuneStart(c) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return p[:len(p)-i], bytes.Clone(p[len(p)-i:])
			}
			break
		}
	}
	return p, nil
}

// stream writes server-sent events; a reader that takes too long counts as gone.
type stream struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	write time.Duration
}

func (s *Server) openStream(h huma.Context) *stream {
	_, w := humago.Unwrap(h)
	if seen, ok := w.(*watched); ok {
		seen.stream = true
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // reverse proxies must not collect it
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, ctl: http.NewResponseController(w), write: s.limits.Write}
}

func (o *stream) put(text string) error {
	if err := o.ctl.SetWriteDeadline(time.Now().Add(o.write)); err != nil {
		return err
	}
	_, err := io.WriteString(o.w, text)
	return err
}

// send writes one event; data is JSON and so one line.
func (o *stream) send(event, id string, data []byte) error {
	return o.put("event: " + event + "\nid: " + id + "\ndata: " + string(data) + "\n\n")
}

func (o *stream) log(p []byte, offset int64) error {
	event, v := api.StreamLog, string(p)
	if !utf8.Valid(p) {
		event, v = api.StreamLogBase64, base64.StdEncoding.EncodeToString(p)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.send(event, strconv.FormatInt(offset, 10), data)
}

func (o *stream) comment() error {
	if err := o.put(": still here\n\n"); err != nil {
		return err
	}
	return o.flush()
}

func (o *stream) flush() error {
	if err := o.ctl.SetWriteDeadline(time.Now().Add(o.write)); err != nil {
		return err
	}
	return o.ctl.Flush()
}
