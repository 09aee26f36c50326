package lab

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type hook struct {
	id                  int
	url, token, signing string
	flags               map[string]bool // push_events and so on
	created             time.Time
	failed              int
	disabledUntil       time.Time
	uuid                string
	branchFilter        string
}

// hookFlags are the events that a webhook can ask for, and what holds when it does not
// say.
var hookFlags = map[string]bool{
	"push_events": true, "issues_events": false, "confidential_issues_events": false, "merge_requests_events": false, "tag_push_events": false,
	"note_events": false, "confidential_note_events": false, "job_events": false, "pipeline_events": false, "wiki_page_events": false,
	"deployment_events": false, "feature_flag_events": false, "releases_events": false, "milestone_events": false, "emoji_events": false,
	"resource_access_token_events": false, "resource_deploy_token_events": false, "vulnerability_events": false,
}

func (h *hook) answer(p *project, now time.Time) map[string]any {
	out := map[string]any{
		"id": h.id, "url": h.url, "name": nil, "description": nil, "created_at": stamp(h.created), "project_id": p.id,
		"enable_ssl_verification": h.flags["enable_ssl_verification"], "repository_update_events": false,
		"alert_status": h.state(now), "disabled_until": stamp(h.disabledUntil), "push_events_branch_filter": orNil(h.branchFilter),
		"branch_filter_strategy": "wildcard", "custom_webhook_template": nil, "custom_headers": []any{},
		"token_present": h.token != "", "signing_token_present": h.signing != "",
	}
	for name := range hookFlags {
		out[name] = h.flags[name]
	}
	return out
}

// state is whether a webhook delivers: after four failures in a row it pauses, for a
// minute and then longer, and after forty it ends.
func (h *hook) state(now time.Time) string {
	switch {
	case h.failed >= 40:
		return "disabled"
	case now.Before(h.disabledUntil):
		return "temporarily_disabled"
	}
	return "executable"
}

func listHooks(r *request) (int, any) {
	out := []any{}
	for _, h := range r.project.hooks {
		out = append(out, h.answer(r.project, time.Now()))
	}
	return http.StatusOK, out
}

func (h *hook) set(r *request) (int, any) {
	if raw, given := r.params["url"]; given {
		text, _ := raw.(string)
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return http.StatusUnprocessableEntity, map[string]any{"error": "Invalid url given"}
		}
		h.url = text
	}
	if s := r.text("signing_token"); s != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || !strings.HasPrefix(s, "whsec_") || len(key) != 32 {
			return http.StatusUnprocessableEntity, map[string]any{"error": "Invalid signing token given"}
		}
		h.signing = s
	}
	if _, given := r.params["token"]; given {
		h.token = r.text("token")
	}
	if _, given := r.params["push_events_branch_filter"]; given {
		h.branchFilter = r.text("push_events_branch_filter")
	}
	for name, v := range r.params {
		if on, ok := v.(bool); ok {
			h.flags[name] = on
		}
	}
	return 0, nil
}

func createHook(r *request) (int, any) {
	h := &hook{id: r.w.id(), created: r.w.tick(), uuid: uuid(), flags: map[string]bool{"enable_ssl_verification": true}}
	for name, on := range hookFlags {
		h.flags[name] = on
	}
	if status, problem := h.set(r); status != 0 {
		return status, problem
	}
	r.project.hooks = append(r.project.hooks, h)
	return http.StatusCreated, h.answer(r.project, time.Now())
}

func updateHook(r *request) (int, any) {
	for _, h := range r.project.hooks {
		if strconv.Itoa(h.id) == r.path["hook"] {
			if status, problem := h.set(r); status != 0 {
				return status, problem
			}
			return http.StatusOK, h.answer(r.project, time.Now())
		}
	}
	return http.StatusNotFound, said("404 Not found")
}

func uuid() string {
	r := random(16)
	return r[:8] + "-" + r[8:12] + "-4" + r[13:16] + "-a" + r[17:20] + "-" + r[20:]
}

// day is how webhooks tell times.
func day(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (p *project) payload(w *World) map[string]any {
	at := w.URL + "/" + p.path
	namespace := p.path[:strings.LastIndex(p.path, "/")]
	return map[string]any{
		"id": p.id, "name": p.path[len(namespace)+1:], "description": "", "web_url": at, "avatar_url": nil,
		"git_ssh_url": "git@localhost:" + p.path + ".git", "git_http_url": at + ".git", "namespace": namespace, "visibility_level": 0,
		"path_with_namespace": p.path, "default_branch": "main", "homepage": at, "url": at + ".git",
		"ssh_url": "git@localhost:" + p.path + ".git", "http_url": at + ".git",
	}
}

func (p *project) short(w *World) map[string]any {
	return map[string]any{"name": p.path[strings.LastIndex(p.path, "/")+1:], "url": w.URL + "/" + p.path + ".git", "description": "", "homepage": w.URL + "/" + p.path}
}

func (u *user) payload() map[string]any {
	return map[string]any{"id": u.id, "name": u.name, "username": u.name, "avatar_url": nil, "email": "[REDACTED]"}
}

func (m *mergeRequest) payload(w *World) map[string]any {
	source := m.target
	if m.source != nil {
		source = m.source
	}
	head := m.sha
	if m.coming != "" {
		head = m.coming
	}
	return map[string]any{
		"id": m.id, "iid": m.iid, "target_branch": m.targetBranch, "source_branch": m.sourceBranch, "source_project_id": source.id,
		"target_project_id": m.target.id, "author_id": m.author.id, "assignee_id": nil, "title": m.title, "description": m.description,
		"created_at": day(m.created), "updated_at": day(m.updated), "milestone_id": nil, "state": m.state, "merge_status": "checking",
		"detailed_merge_status": "checking", "work_in_progress": m.draft(), "source": source.payload(w), "target": m.target.payload(w),
		"last_commit": map[string]any{
			"id": head, "message": "", "title": "", "timestamp": m.updated.Format(time.RFC3339),
			"url": w.URL + "/" + m.target.path + "/-/commit/" + head, "author": map[string]any{"name": m.author.name, "email": m.author.name + "@example.com"},
		},
	}
}

// mergeHook sends the event of a merge request.
func (w *World) mergeHook(m *mergeRequest, by *user, action string, more map[string]any) {
	object := m.payload(w)
	object["action"] = action
	for _, name := range []string{"last_edited_at", "last_edited_by_id", "human_total_time_spent", "human_time_change", "human_time_estimate"} {
		object[name] = nil
	}
	for _, name := range []string{"assignee_ids", "reviewer_ids", "labels"} {
		object[name] = []any{}
	}
	object["blocking_discussions_resolved"], object["first_contribution"] = true, false
	object["total_time_spent"], object["time_change"] = 0, 0
	object["state_id"] = map[string]int{"opened": 1, "closed": 2, "merged": 3}[m.state]
	object["url"] = fmt.Sprintf("%s/%s/-/merge_requests/%d", w.URL, m.target.path, m.iid)
	body := map[string]any{
		"object_kind": "merge_request", "event_type": "merge_request", "user": by.payload(), "project": m.target.payload(w),
		"repository": m.target.short(w), "object_attributes": object, "labels": []any{}, "changes": map[string]any{},
	}
	for k, v := range more {
		if k == "changes" {
			body[k] = v
			continue
		}
		object[k] = v
	}
	w.send(m.target, "merge_requests_events", "Merge Request Hook", "merge_request", body)
}

func (w *World) noteHook(m *mergeRequest, n *note, action string) {
	w.send(m.target, "note_events", "Note Hook", "note", map[string]any{
		"object_kind": "note", "event_type": "note", "user": n.author.payload(), "project_id": m.target.id, "project": m.target.payload(w),
		"repository": m.target.short(w), "merge_request": m.payload(w),
		"object_attributes": map[string]any{
			"id": n.id, "note": n.body, target + "_type": "MergeRequest", "author_id": n.author.id, "created_at": day(n.created), "updated_at": day(n.updated),
			"project_id": m.target.id, "attachment": nil, "line_code": nil, "commit_id": "", target + "_id": m.id, "system": false, "st_diff": nil, "action": action,
			"url": fmt.Sprintf("%s/%s/-/merge_requests/%d#note_%d", w.URL, m.target.path, m.iid, n.id),
		},
	})
}

func (w *World) pushHook(p *project, by *user, branch, before, after string) {
	zero := strings.Repeat("0", 40)
	checkout := any(after)
	if after == "" {
		after, checkout = zero, nil
	}
	if before == "" {
		before = zero
	}
	w.send(p, "push_events", "Push Hook", "push", map[string]any{
		"object_kind": "push", "event_name": "push", "before": before, "after": after, "ref": "refs/heads/" + branch, "checkout_sha": checkout,
		"user_id": by.id, "user_name": by.name, "user_username": by.name, "user_email": "", "user_avatar": nil, "project_id": p.id,
		"project": p.payload(w), "repository": map[string]any{
			"name": p.short(w)["name"], "url": p.short(w)["url"], "description": "", "homepage": p.short(w)["homepage"],
			"git_http_url": w.URL + "/" + p.path + ".git", "git_ssh_url": "git@localhost:" + p.path + ".git", "visibility_level": 0,
		},
		"commits": []any{}, "total_commits_count": 1,
	})
}

// Sent is a delivery that was made, or tried.
type Sent struct {
	URL    string
	Header http.Header
	Body   []byte
	// Status is what came back; 0 when nothing did.
	Status int
}

// Sent are the deliveries until now.
func (w *World) Sent() []Sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// send gives a delivery to every webhook that asks for it. The lock is held.
func (w *World) send(p *project, flag, event, kind string, body map[string]any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // of our own values
	}
	for _, text := range w.shapes.payload(kind, data) {
		w.complain("webhook %s: %s", event, text)
	}
	eventUUID := uuid()
	for _, h := range p.hooks {
		if !h.flags[flag] || h.state(time.Now()) != "executable" {
			continue
		}
		header := http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"GitLab/19.0.0"}, "X-Gitlab-Event": {event}, "X-Gitlab-Instance": {w.URL},
			"X-Gitlab-Webhook-Uuid": {h.uuid}, "X-Gitlab-Event-Uuid": {eventUUID}, "Idempotency-Key": {uuid()},
		}
		if h.token != "" {
			header.Set("X-Gitlab-Token", h.token)
		}
		if h.signing != "" {
			id, now := header.Get("Idempotency-Key"), strconv.FormatInt(time.Now().Unix(), 10)
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.signing, "whsec_"))
			if err != nil {
				panic(err) // it was checked when it was set
			}
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(id + "." + now + "." + string(data)))
			header.Set("Webhook-Id", id)
			header.Set("Webhook-Timestamp", now)
			header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
		w.hooks.add(outgoing{h, Sent{URL: h.url, Header: header, Body: data}})
	}
}

type outgoing struct {
	hook *hook
	sent Sent
}

// deliverer makes deliveries one after another.
type deliverer struct {
	w      *World
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	queue []outgoing
	more  chan struct{}
}

func newDeliverer(w *World) *deliverer {
	ctx, cancel := context.WithCancel(context.Background())
	d := &deliverer{w: w, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}}, cancel: cancel, done: make(chan struct{}), more: make(chan struct{}, 1)}
	go d.run(ctx)
	return d
}

func (d *deliverer) stop() {
	d.cancel()
	<-d.done
	d.client.CloseIdleConnections()
}

func (d *deliverer) add(o outgoing) {
	d.mu.Lock()
	d.queue = append(d.queue, o)
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

func (d *deliverer) run(ctx context.Context) {
	defer close(d.done)
	for {
		d.mu.Lock()
		queue := d.queue
		d.queue = nil
		d.mu.Unlock()
		for _, o := range queue {
			if ctx.Err() == nil {
				d.deliver(ctx, o)
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-d.more:
		}
	}
}

func (d *deliverer) deliver(ctx context.Context, o outgoing) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.sent.URL, bytes.NewReader(o.sent.Body))
	if err == nil {
		req.Header = o.sent.Header.Clone()
		var resp *http.Response
		if resp, err = d.client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
			o.sent.Status = resp.StatusCode
		}
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.sent = append(d.w.sent, o.sent)
	if err == nil && o.sent.Status < 300 {
		o.hook.failed, o.hook.disabledUntil = 0, time.Time{}
		return
	}
	if o.hook.failed++; o.hook.failed >= 4 {
		o.hook.disabledUntil = time.Now().Add(time.Minute << min(o.hook.failed-4, 10))
	}
}
