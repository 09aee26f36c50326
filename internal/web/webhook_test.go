package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// deliveries has a server take deliveries, and tells how many bytes each had.
func deliveries(arrive time.Duration) (func(*web.Options), chan int) {
	kept := make(chan int, 10)
	return func(o *web.Options) {
		o.Limits.Arrive = arrive
		o.Webhook = func(_ context.Context, _ string, _ http.Header, body []byte) error {
			kept <- len(body)
			return nil
		}
	}, kept
}

// dribble begins a delivery and sends a part of it.
func (r *running) dribble(t *testing.T, length, sent int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "POST /webhooks/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", sent)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSlowDeliveriesHoldUpNobody(t *testing.T) {
	t.Parallel()
	take, kept := deliveries(time.Minute)
	r := start(t, take)
	for range 100 {
		r.dribble(t, 100_000, 1)
	}
	for _, size := range []int{100, 64 << 10, 5 << 20} {
		res, err := http.Post(r.url+"/webhooks/config", "application/json", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("%d bytes are answered %s", size, res.Status)
		}
		if got := <-kept; got != size {
			t.Errorf("kept are %d bytes, sent were %d", got, size)
		}
	}
	res, err := http.Post(r.url+"/webhooks/config", "application/json", strings.NewReader(strings.Repeat("x", 5<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if p := problemIn(t, res, string(b)); p.Code != api.CodeTooLarge || !strings.Contains(p.Detail, fmt.Sprint(5<<20)) {
		t.Errorf("%+v", p)
	}
}

func TestADeliveryThatDoesNotArriveIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	take, kept := deliveries(time.Second) // in which what is sent arrives
	r := start(t, take)
	for _, sent := range []int{1, 70_000} {
		c := r.dribble(t, 100_000, sent)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if p := problemIn(t, res, string(b)); p.Code != api.CodeInvalid {
			t.Errorf("%+v", p)
		}
		if len(kept) > 0 {
			t.Error("a part of a delivery was kept")
		}
	}
}

// TestOnlyWhatIsKeptIsAccepted has every failure of keeping a delivery answered by a
// status with which a forge knows that it must send it again, or need not.
func TestOnlyWhatIsKeptIsAccepted(t *testing.T) {
	t.Parallel()
	const inside = "/var/lib/reeve/state.db"
	var fails error
	r := start(t, func(o *web.Options) {
		o.Webhook = func(context.Context, string, http.Header, []byte) error { return fails }
	})
	for what, c := range map[string]struct {
		err  error
		code api.ErrorCode
		want int
	}{
		"the store is full":     {errors.New(inside + ": database or disk is full"), api.CodeNotReady, http.StatusServiceUnavailable},
		"it is forged":          {fmt.Errorf("%s: %w", inside, forge.ErrSignature), api.CodeSignature, http.StatusUnauthorized},
		"nobody takes it":       {fmt.Errorf("%s: %w", inside, store.ErrNotFound), api.CodeNotFound, http.StatusNotFound},
		"it cannot be read":     {web.NoDelivery(errors.New(inside)), api.CodeInvalid, http.StatusUnprocessableEntity},
		"it is kept, and known": {nil, "", http.StatusAccepted},
	} {
		fails = c.err
		res, err := http.Post(r.url+"/webhooks/config", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.want || strings.Contains(string(b), inside) {
			t.Errorf("%s: answered %s: %s", what, res.Status, b)
		}
		if c.code != "" {
			if p := problemIn(t, res, string(b)); p.Code != c.code {
				t.Errorf("%s: %+v", what, p)
			}
		}
	}
}
