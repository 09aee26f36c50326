package lab_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

// hookServer takes deliveries and answers with a status.
type hookServer struct {
	url    string
	mu     sync.Mutex
	status int
	got    chan forge.Delivery
}

func takeHooks(t *testing.T, secrets ...string) *hookServer {
	t.Helper()
	h := &hookServer{status: http.StatusOK, got: make(chan forge.Delivery, 100)}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		status := h.status
		h.mu.Unlock()
		d, err := gitlab.Webhook{}.ParseWebhook(r.Header, body, secrets)
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		w.WriteHeader(status)
		h.got <- d
	}))
	t.Cleanup(ts.Close)
	h.url = ts.URL
	return h
}

func (h *hookServer) next(t *testing.T) forge.Delivery {
	t.Helper()
	select {
	case d := <-h.got:
		return d
	case <-time.After(10 * time.Minute):
		t.Fatal("no delivery came")
		return forge.Delivery{}
	}
}

func TestSignedDeliveriesAreVerified(t *testing.T) {
	t.Parallel()
	s := setup(t)
	token := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	h := takeHooks(t, token)
	status, _, body := s.api(t, forgetest.Reeve, http.MethodPost, "/hooks", map[string]any{"url": h.url, "signing_token": token, "note_events": true})
	if status != http.StatusCreated || bytes.Contains(body, []byte(token)) {
		t.Fatalf("%d %s", status, body)
	}
	id := s.site.Comment(t, forgetest.Ada, 1, "reeve plan")
	want := forge.Delivery{Topic: forge.TopicComment, Repository: s.site.Name(), Number: 1, Comment: id, Created: true}
	if diff := cmp.Diff(want, h.next(t), cmpopts.IgnoreFields(forge.Delivery{}, "ID")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWebhookThatFailsIsSwitchedOff(t *testing.T) {
	t.Parallel()
	s := setup(t)
	h := takeHooks(t, "x")
	h.status = http.StatusInternalServerError
	set, err := s.repo.SetWebhook(t.Context(), "", h.url, "x")
	ok(t, err)
	for i := range 4 {
		s.site.Comment(t, forgetest.Ada, 1, fmt.Sprint("remark ", i))
		h.next(t)
	}
	await(t, func() error { // the answer comes back after the delivery
		hooks, err := s.repo.Webhooks(t.Context(), h.url)
		if err == nil && !cmp.Equal([]forge.Webhook{{ID: set.ID, URL: h.url}}, hooks) {
			err = fmt.Errorf("after four failures it is %+v", hooks)
		}
		return err
	})
	sent := len(s.w.Sent())
	s.site.Comment(t, forgetest.Ada, 1, "unheard")
	if now := len(s.w.Sent()); now != sent {
		t.Errorf("%d more were sent", now-sent)
	}
}
