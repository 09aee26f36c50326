package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func messages(t *testing.T, text string) ([]message, int) {
	t.Helper()
	var out []message
	lines := 0
	if err := readMessages(strings.NewReader(text), func() { lines++ }, func(m message) error { out = append(out, m); return nil }); err != nil {
		t.Fatal(err)
	}
	return out, lines
}

func TestStreamIsReadMessageByMessage(t *testing.T) {
	t.Parallel()
	got, lines := messages(t, ": still here\n\nevent: job\nid: 1\ndata: {}\n\nevent:log\nid:7\ndata:a\ndata: b\nretry: 5\n\nevent: job\nid: 2\ndata: cut of")
	want := []message{{event: "job", id: "1", data: []byte("{}")}, {event: "log", id: "7", data: []byte("a\nb")}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(message{})); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
	if lines < 10 {
		t.Errorf("only %d lines were signs of life", lines)
	}
}

func TestHandlerEndsTheStream(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	n := 0
	err := readMessages(strings.NewReader("data: 1\n\ndata: 2\n\n"), func() {}, func(message) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add("event: log\nid: 3\ndata: \"x\"\n\n")
	f.Add("data\n\n:\n\n\n")
	f.Add("event: log-base64\ndata: \"/w==\"\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readMessages(strings.NewReader(s), func() {}, func(m message) error {
			if strings.Contains(m.event, "\n") || strings.Contains(m.id, "\n") {
				t.Errorf("a field holds a line break: %+v", m)
			}
			_, _ = logBytes(m) // must not panic
			return nil
		})
	})
}

func TestWrongOptionsAreToldByTheFirstCall(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Socket: "s", URL: "http://x"}, {URL: "127.0.0.1:7468"}, {URL: "ftp://x"}, {URL: "http://a:canary@x"}} {
		_, err := NewClient(o).Repositories(t.Context())
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
