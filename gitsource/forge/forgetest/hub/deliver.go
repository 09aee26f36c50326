package hub

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // GitHub sends the older signature too
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Delivered is a webhook's delivery and how it was taken.
type Delivered struct {
	ID      string
	Event   string
	Payload []byte
	// Status is what the receiver answered; 0 when nobody did.
	Status int
	to     *hook
}

// courier delivers, one after the other, as they happened.
type courier struct {
	w      *World
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	more  *sync.Cond // told of every change below
	queue []*Delivered
	busy  bool
	sent  []Delivered
	over  bool
}

func newCourier(w *World) *courier {
	c := &courier{w: w, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}}, done: make(chan struct{})}
	c.more = sync.NewCond(&c.mu)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

func (c *courier) stop() {
	c.cancel()
	c.mu.Lock()
	c.over = true
	c.more.Broadcast()
	c.mu.Unlock()
	<-c.done
	c.client.CloseIdleConnections()
}

func (c *courier) run() {
	defer close(c.done)
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.over {
			c.more.Wait()
		}
		if c.over {
			c.mu.Unlock()
			return
		}
		d := c.queue[0]
		c.queue, c.busy = c.queue[1:], true
		c.mu.Unlock()
		d.Status = c.deliver(d)
		c.mu.Lock()
		c.sent, c.busy = append(c.sent, *d), false
		c.more.Broadcast()
		c.mu.Unlock()
	}
}

func (c *courier) deliver(d *Delivered) int {
	c.w.mu.Lock()
	to := *d.to
	c.w.mu.Unlock()
	body, kind := d.Payload, "application/json"
	if to.content == "form" {
		body, kind = []byte(url.Values{"payload": {string(d.Payload)}}.Encode()), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "GitHub-Hookshot/0a1b2c3")
	req.Header.Set("X-GitHub-Event", d.Event)
	req.Header.Set("X-GitHub-Delivery", d.ID)
	req.Header.Set("X-GitHub-Hook-ID", fmt.Sprint(to.id))
	if to.secret != "" {
		req.Header.Set("X-Hub-Signature", "sha1="+mac(sha1.New, to.secret, body))
		req.Header.Set("X-Hub-Signature-256", "sha256="+mac(sha256.New, to.secret, body))
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) //nolint:errcheck // nobody reads it
	return resp.StatusCode
}

func mac(h func() hash.Hash, secret string, body []byte) string {
	m := hmac.New(h, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// Deliveries waits until all that happened was delivered, and returns it.
func (w *World) Deliveries() []Delivered {
	c := w.mail
	c.mu.Lock()
	defer c.mu.Unlock()
	for (len(c.queue) > 0 || c.busy) && !c.over {
		c.more.Wait()
	}
	return slices.Clone(c.sent)
}

// Redeliver sends a delivery again, under the same id, as the button on GitHub does.
func (w *World) Redeliver(t testing.TB, id string) {
	t.Helper()
	c := w.mail
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.sent {
		if c.sent[i].ID == id {
			again := c.sent[i]
			c.queue = append(c.queue, &again)
			c.more.Broadcast()
			return
		}
	}
	t.Fatalf("there was no delivery %s", id)
}

// tell delivers an event to the webhooks that want it. The caller holds the lock.
func (w *World) tell(r *repo, event, action string, payload map[string]any) {
	for _, h := range r.hooks {
		if h.active && (slices.Contains(h.events, event) || slices.Contains(h.events, "*")) {
			w.tellHook(r, h, event, action, payload)
		}
	}
}

func (w *World) tellHook(r *repo, h *hook, event, action string, payload map[string]any) {
	payload["repository"] = w.showRepo(r)
	name := event + "$event"
	if action != "" {
		name = event + "$" + action
		payload["action"] = action
	}
	text, err := w.events.event(name, payload)
	if err != nil {
		w.t.Errorf("the delivery %s does not fit its published schema: %v\n%.2000s", name, err, text)
		return
	}
	id := random(16)
	id = id[:8] + "-" + id[8:12] + "-11f0-" + id[16:20] + "-" + id[20:]
	w.mail.mu.Lock()
	defer w.mail.mu.Unlock()
	w.mail.queue = append(w.mail.queue, &Delivered{ID: id, Event: event, Payload: text, to: h})
	w.mail.more.Broadcast()
}

func (w *World) ping(r *repo, h *hook, who *account) {
	w.tellHook(r, h, "ping", "", map[string]any{"zen": "Keep it logically awesome.", "hook_id": h.id, "hook": w.showHook(r, h), "sender": w.showAccount(who)})
}

func (w *World) tellPush(r *repo, who *account, branch, old, now string) {
	isNew, isGone := old == "", now == ""
	if isNew {
		old = zero
	}
	if isGone {
		now = zero
	}
	forced := false
	if !isNew && !isGone {
		_, err := w.git.run(r.bare, "merge-base", "--is-ancestor", old, now)
		forced = err != nil
	}
	w.tell(r, "push", "", map[string]any{
		"ref": "refs/heads/" + branch, "before": old, "after": now, "created": isNew, "deleted": isGone, "forced": forced, "base_ref": nil,
		"compare": w.page("%s/compare/%.12s...%.12s", r.full(), old, now), "commits": []any{}, "head_commit": nil,
		"pusher": map[string]any{"name": who.login, "email": who.login + "@example.com"}, "sender": w.showAccount(who),
	})
}

func (w *World) tellPull(r *repo, p *pull, who *account, action string, more map[string]any) {
	payload := map[string]any{"number": p.number, "pull_request": w.showPull(r, p), "sender": w.showAccount(who)}
	for name, value := range more {
		payload[name] = value
	}
	w.tell(r, "pull_request", action, payload)
}

// closePull closes without merging.
func (w *World) closePull(r *repo, p *pull, who *account) {
	p.closed, p.closedAt, p.updatedAt = true, w.now(), w.now()
	w.tellPull(r, p, who, "closed", nil)
}

// say writes a comment.
func (w *World) say(r *repo, p *pull, who *account, body string) *comment {
	m := &comment{id: w.id(), number: p.number, author: who, body: body, createdAt: w.now(), updatedAt: w.now()}
	r.comments[m.id] = m
	p.updatedAt = w.now()
	w.tellComment(r, p, m, who, "created", nil)
	return m
}

// rewrite changes a comment.
func (w *World) rewrite(r *repo, m *comment, who *account, body string) {
	from := m.body
	m.body, m.updatedAt = body, w.now()
	p := r.pulls[m.number]
	p.updatedAt = w.now()
	w.tellComment(r, p, m, who, "edited", map[string]any{"changes": map[string]any{"body": map[string]any{"from": from}}})
}

func (w *World) tellComment(r *repo, p *pull, m *comment, who *account, action string, more map[string]any) {
	payload := map[string]any{"issue": w.showIssue(r, p), "comment": w.showComment(r, m), "sender": w.showAccount(who)}
	for name, value := range more {
		payload[name] = value
	}
	w.tell(r, "issue_comment", action, payload)
}
