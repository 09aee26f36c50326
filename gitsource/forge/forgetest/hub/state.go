package hub

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// repo is a repository.
type repo struct {
	id         int64
	owner      *account
	name       string
	bare       string // its folder
	parent     *repo  // of a fork
	roles      map[string]string
	deleted    bool
	pushing    sync.Mutex // one push at a time
	createdAt  time.Time
	lastNumber int
	pulls      map[int]*pull
	comments   map[int64]*comment
	statuses   []*status
	checks     []*check
	hooks      []*hook
}

func (r *repo) full() string { return r.owner.login + "/" + r.name }

// may tells whether an account has a role's rights. Everybody may read: it is public.
func (r *repo) may(who *account, role string) bool {
	return rank(r.role(who)) >= rank(role)
}

func (r *repo) role(who *account) string {
	if role, ok := r.roles[strings.ToLower(who.login)]; ok {
		return role
	}
	return "read"
}

func rank(role string) int {
	switch role {
	case "admin":
		return 4
	case "hooks": // a custom role: writes, and sets webhooks
		return 3
	case "write":
		return 2
	case "read":
		return 1
	}
	return 0
}

type pull struct {
	id         int64
	number     int
	title      string
	author     *account
	headRepo   *repo
	headBranch string
	head       string
	base       string
	baseSHA    string
	closed     bool
	draft      bool
	merge      string
	createdAt  time.Time
	updatedAt  time.Time
	closedAt   time.Time
	mergedAt   time.Time
	mergedBy   *account
	reviews    []*review
	hidden     int // how often it is still not found
}

type review struct {
	id     int64
	author *account
	body   string
	state  string
	commit string
	at     time.Time
}

type comment struct {
	id        int64
	number    int
	author    *account
	body      string
	createdAt time.Time
	updatedAt time.Time
	reactions []*reaction
}

type reaction struct {
	id      int64
	who     *account
	content string
	at      time.Time
}

type status struct {
	id                                  int64
	commit, context, state, description string
	url                                 any // nil or a string
	creator                             *account
	at                                  time.Time
}

type check struct {
	id                     int64
	commit, name, state    string
	conclusion             any
	title, summary, text   any
	startedAt, completedAt time.Time
}

type hook struct {
	id                   int64
	url, secret, content string
	events               []string
	active               bool
	createdAt, updatedAt time.Time
}

// thread are the comments of a pull request, oldest first.
func (r *repo) thread(number int) []*comment {
	var out []*comment
	for _, c := range r.comments {
		if c.number == number {
			out = append(out, c)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id < out[j].id })
	return out
}

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// page is an address that people open, and api one for programs.
func (w *World) page(path string, args ...any) string {
	return w.server.URL + "/" + fmt.Sprintf(path, args...)
}

func (w *World) api(path string, args ...any) string {
	return w.server.URL + "/api/v3/" + fmt.Sprintf(path, args...)
}

// What follows is how things look from outside. What of it a place does not describe is
// left out there, and what it wants beside is filled in.

func (w *World) showAccount(a *account) any {
	if a == nil {
		return nil
	}
	u := w.api("users/%s", a.login)
	return map[string]any{
		"login": a.login, "id": a.id, "node_id": fmt.Sprintf("U_%d", a.id), "type": a.kind, "site_admin": false,
		"avatar_url": w.page("avatars/%s", a.login), "gravatar_id": "", "url": u, "html_url": w.page("%s", a.login),
		"followers_url": u + "/followers", "following_url": u + "/following{/other_user}", "gists_url": u + "/gists{/gist_id}",
		"starred_url": u + "/starred{/owner}{/repo}", "subscriptions_url": u + "/subscriptions", "organizations_url": u + "/orgs",
		"repos_url": u + "/repos", "events_url": u + "/events{/privacy}", "received_events_url": u + "/received_events",
	}
}

func (w *World) showRepo(r *repo) any {
	if r == nil || r.deleted {
		return nil
	}
	out := map[string]any{
		"id": r.id, "node_id": fmt.Sprintf("R_%d", r.id), "name": r.name, "full_name": r.full(), "private": false, "owner": w.showAccount(r.owner),
		"html_url": w.page("%s", r.full()), "url": w.api("repos/%s", r.full()), "clone_url": w.page("%s.git", r.full()),
		"git_url": "git://example.com/" + r.full() + ".git", "ssh_url": "git@example.com:" + r.full() + ".git", "svn_url": w.page("%s", r.full()),
		"default_branch": "main", "visibility": "public", "fork": r.parent != nil, "description": nil, "homepage": nil, "language": nil,
		"created_at": stamp(r.createdAt), "updated_at": stamp(r.createdAt), "pushed_at": stamp(r.createdAt),
		"has_issues": true, "topics": []any{}, "permissions": map[string]any{"admin": false, "push": true, "pull": true},
	}
	if r.parent != nil {
		out["parent"], out["source"] = w.showRepo(r.parent), w.showRepo(r.parent)
	}
	return out
}

func (w *World) showPull(r *repo, p *pull) map[string]any {
	at := w.api("repos/%s/pulls/%d", r.full(), p.number)
	issue := w.api("repos/%s/issues/%d", r.full(), p.number)
	state := "open"
	if p.closed {
		state = "closed"
	}
	var merge any
	switch {
	case p.merge != "":
		merge = p.merge
	case !p.closed:
		merge = strings.Repeat("7e57", 10) // GitHub's trial of a merge, which nobody may take for one
	}
	end := func(label, ref, sha string, repository any, user any) map[string]any {
		return map[string]any{"label": label + ":" + ref, "ref": ref, "sha": sha, "repo": repository, "user": user}
	}
	link := func(href string) map[string]any { return map[string]any{"href": href} }
	return map[string]any{
		"id": p.id, "node_id": fmt.Sprintf("PR_%d", p.id), "number": p.number, "title": p.title, "body": nil, "user": w.showAccount(p.author),
		"state": state, "locked": false, "draft": p.draft, "merged": !p.mergedAt.IsZero(), "merged_by": w.showAccount(p.mergedBy),
		"merge_commit_sha": merge, "merged_at": stamp(p.mergedAt), "closed_at": stamp(p.closedAt), "created_at": stamp(p.createdAt), "updated_at": stamp(p.updatedAt),
		"mergeable": nil, "mergeable_state": "unknown", "rebaseable": nil, "auto_merge": nil, "active_lock_reason": nil, "milestone": nil, "assignee": nil,
		"assignees": []any{}, "labels": []any{}, "requested_reviewers": []any{}, "requested_teams": []any{}, "author_association": "MEMBER",
		"head": end(p.headRepo.owner.login, p.headBranch, p.head, w.showRepo(p.headRepo), w.showAccount(p.headRepo.owner)),
		"base": end(r.owner.login, p.base, p.baseSHA, w.showRepo(r), w.showAccount(r.owner)),
		"url":  at, "html_url": w.page("%s/pull/%d", r.full(), p.number), "diff_url": w.page("%s/pull/%d.diff", r.full(), p.number),
		"patch_url": w.page("%s/pull/%d.patch", r.full(), p.number), "issue_url": issue, "commits_url": at + "/commits",
		"review_comments_url": at + "/comments", "review_comment_url": w.api("repos/%s/pulls/comments{/number}", r.full()),
		"comments_url": issue + "/comments", "statuses_url": w.api("repos/%s/statuses/%s", r.full(), p.head),
		"_links": map[string]any{"self": link(at), "html": link(w.page("%s/pull/%d", r.full(), p.number)), "issue": link(issue), "comments": link(issue + "/comments"),
			"review_comments": link(at + "/comments"), "review_comment": link(w.api("repos/%s/pulls/comments{/number}", r.full())),
			"commits": link(at + "/commits"), "statuses": link(w.api("repos/%s/statuses/%s", r.full(), p.head))},
	}
}

// showIssue is a pull request as an issue, which comments belong to.
func (w *World) showIssue(r *repo, p *pull) any {
	out := w.showPull(r, p)
	at := w.api("repos/%s/issues/%d", r.full(), p.number)
	out["url"], out["repository_url"] = at, w.api("repos/%s", r.full())
	out["labels_url"], out["events_url"] = at+"/labels{/name}", at+"/events"
	out["comments"] = len(r.thread(p.number))
	out["pull_request"] = map[string]any{"url": w.api("repos/%s/pulls/%d", r.full(), p.number), "html_url": out["html_url"], "diff_url": out["diff_url"], "patch_url": out["patch_url"]}
	return out
}

func (w *World) showComment(r *repo, c *comment) any {
	count := map[string]int{}
	for _, reaction := range c.reactions {
		count[reaction.content]++
	}
	reactions := map[string]any{"url": w.api("repos/%s/issues/comments/%d/reactions", r.full(), c.id), "total_count": len(c.reactions)}
	for _, name := range contents {
		reactions[name] = count[name]
	}
	return map[string]any{
		"id": c.id, "node_id": fmt.Sprintf("IC_%d", c.id), "url": w.api("repos/%s/issues/comments/%d", r.full(), c.id),
		"html_url": w.page("%s/pull/%d#issuecomment-%d", r.full(), c.number, c.id), "issue_url": w.api("repos/%s/issues/%d", r.full(), c.number),
		"body": c.body, "user": w.showAccount(c.author), "created_at": stamp(c.createdAt), "updated_at": stamp(c.updatedAt),
		"author_association": "MEMBER", "performed_via_github_app": nil, "reactions": reactions,
	}
}

// contents are the reactions that GitHub has.
var contents = []string{"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"}

func (w *World) showReview(r *repo, p *pull, v *review) map[string]any {
	html := w.page("%s/pull/%d#pullrequestreview-%d", r.full(), p.number, v.id)
	at := w.api("repos/%s/pulls/%d", r.full(), p.number)
	return map[string]any{
		"id": v.id, "node_id": fmt.Sprintf("PRR_%d", v.id), "user": w.showAccount(v.author), "body": v.body, "state": v.state, "commit_id": v.commit,
		"submitted_at": stamp(v.at), "html_url": html, "pull_request_url": at, "author_association": "MEMBER",
		"_links": map[string]any{"html": map[string]any{"href": html}, "pull_request": map[string]any{"href": at}},
	}
}

func (w *World) showStatus(r *repo, s *status) any {
	return map[string]any{
		"id": s.id, "node_id": fmt.Sprintf("SC_%d", s.id), "url": w.api("repos/%s/statuses/%s", r.full(), s.commit), "state": s.state, "context": s.context,
		"description": s.description, "target_url": s.url, "creator": w.showAccount(s.creator), "created_at": stamp(s.at), "updated_at": stamp(s.at),
		"avatar_url": w.page("avatars/%s", s.creator.login),
	}
}

func (w *World) showHook(r *repo, h *hook) any {
	events := []any{}
	for _, e := range h.events {
		events = append(events, e)
	}
	at := w.api("repos/%s/hooks/%d", r.full(), h.id)
	config := map[string]any{"url": h.url, "content_type": h.content, "insecure_ssl": "0"}
	if h.secret != "" {
		config["secret"] = "********"
	}
	return map[string]any{
		"type": "Repository", "id": h.id, "name": "web", "active": h.active, "events": events, "config": config,
		"created_at": stamp(h.createdAt), "updated_at": stamp(h.updatedAt), "url": at, "test_url": at + "/test", "ping_url": at + "/pings",
		"deliveries_url": at + "/deliveries", "last_response": map[string]any{"code": nil, "status": "unused", "message": nil},
	}
}

func (w *World) showApp() any {
	return map[string]any{
		"id": w.app.id, "slug": w.app.slug, "node_id": fmt.Sprintf("A_%d", w.app.id), "owner": w.showAccount(w.accounts[owner]), "name": "Reeve",
		"description": nil, "external_url": "https://example.com/", "html_url": w.page("apps/%s", w.app.slug),
		"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "events": []any{}, "permissions": map[string]any{"metadata": "read"},
	}
}

func (w *World) showCheck(r *repo, c *check) any {
	return map[string]any{
		"id": c.id, "node_id": fmt.Sprintf("CR_%d", c.id), "head_sha": c.commit, "name": c.name, "status": c.state, "conclusion": c.conclusion, "external_id": "",
		"url": w.api("repos/%s/check-runs/%d", r.full(), c.id), "html_url": w.page("%s/runs/%d", r.full(), c.id), "details_url": nil,
		"started_at": stamp(c.startedAt), "completed_at": stamp(c.completedAt), "app": w.showApp(), "pull_requests": []any{}, "check_suite": nil,
		"output": map[string]any{"title": c.title, "summary": c.summary, "text": c.text, "annotations_count": 0,
			"annotations_url": w.api("repos/%s/check-runs/%d/annotations", r.full(), c.id)},
	}
}
