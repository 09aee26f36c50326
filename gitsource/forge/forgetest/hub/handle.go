package hub

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// handle does what was asked.
func (c *call) handle() answer {
	what := c.op.method + " " + strings.TrimPrefix(c.op.path, "/repos/{owner}/{repo}")
	if c.signed { // the App as itself
		switch what {
		case "GET /app":
			return ok(c.w.showApp())
		case "GET /installation":
			if c.w.repos[strings.ToLower(c.params["owner"]+"/"+c.params["repo"])] == nil {
				return notFound
			}
			return ok(map[string]any{"id": c.w.app.installation, "app_id": c.w.app.id, "app_slug": c.w.app.slug, "target_id": c.w.accounts[owner].id,
				"target_type": "Organization", "account": c.w.showAccount(c.w.accounts[owner]), "repository_selection": "all"})
		case "POST /app/installations/{installation_id}/access_tokens":
			if c.params["installation_id"] != fmt.Sprint(c.w.app.installation) {
				return notFound
			}
			ends := c.w.now().Add(time.Hour)
			return created(map[string]any{"token": c.w.grant(c.w.app.bot, "ghs_", ends), "expires_at": stamp(ends), "permissions": map[string]any{
				"contents": "read", "checks": "write", "issues": "write", "pull_requests": "write", "statuses": "write", "metadata": "read"}})
		}
		return refuse(401, "Bad credentials")
	}
	switch what {
	case "GET /user":
		if c.app {
			return refuse(403, "Resource not accessible by integration")
		}
		me := c.w.showAccount(c.who).(map[string]any)
		me["user_view_type"] = "private"
		return ok(me)
	case "GET /app", "GET /installation", "POST /app/installations/{installation_id}/access_tokens":
		return refuse(401, "A JSON web token could not be decoded")
	}
	if c.repo = c.w.repos[strings.ToLower(c.params["owner"]+"/"+c.params["repo"])]; c.repo == nil || c.repo.deleted {
		return notFound
	}
	switch what {
	case "GET ", "GET /repos/{owner}/{repo}":
		return ok(c.w.showRepo(c.repo))
	case "GET /pulls":
		return c.listPulls()
	case "GET /pulls/{pull_number}":
		return c.withPull("pull_number", func(p *pull) answer { return ok(c.w.showPull(c.repo, p)) })
	case "GET /pulls/{pull_number}/commits":
		return c.withPull("pull_number", c.listCommits)
	case "GET /pulls/{pull_number}/reviews":
		return c.withPull("pull_number", func(p *pull) answer {
			var items []any
			for _, v := range p.reviews {
				items = append(items, c.w.showReview(c.repo, p, v))
			}
			return paged(items)
		})
	case "GET /issues/{issue_number}/comments":
		return c.withPull("issue_number", c.listComments)
	case "POST /issues/{issue_number}/comments":
		return c.withPull("issue_number", func(p *pull) answer {
			if a := checkBody(c.body["body"]); a.status != 0 {
				return a
			}
			return created(c.w.showComment(c.repo, c.w.say(c.repo, p, c.who, c.body["body"].(string))))
		})
	case "GET /issues/comments/{comment_id}":
		return c.withComment(func(m *comment) answer { return ok(c.w.showComment(c.repo, m)) })
	case "PATCH /issues/comments/{comment_id}":
		return c.withComment(func(m *comment) answer {
			if m.author != c.who && !c.repo.may(c.who, "write") {
				return c.forbidden()
			}
			if a := checkBody(c.body["body"]); a.status != 0 {
				return a
			}
			c.w.rewrite(c.repo, m, c.who, c.body["body"].(string))
			return ok(c.w.showComment(c.repo, m))
		})
	case "POST /issues/comments/{comment_id}/reactions":
		return c.withComment(c.react)
	case "POST /statuses/{sha}":
		return c.setStatus()
	case "GET /collaborators/{username}/permission":
		return c.permission()
	case "GET /hooks", "POST /hooks", "PATCH /hooks/{hook_id}":
		return c.hooks()
	case "GET /commits/{ref}/check-runs", "POST /check-runs", "PATCH /check-runs/{check_run_id}":
		return c.checks()
	}
	c.w.t.Errorf("the imitation does not know %s", what)
	return notFound
}

func (c *call) forbidden() answer {
	if c.app {
		return refuse(403, "Resource not accessible by integration")
	}
	return refuse(403, "Resource not accessible by personal access token")
}

func (c *call) withPull(param string, do func(*pull) answer) answer {
	n, err := strconv.Atoi(c.params[param])
	p := c.repo.pulls[n]
	if err != nil || p == nil {
		return notFound
	}
	if p.hidden > 0 {
		p.hidden--
		return notFound
	}
	return do(p)
}

func (c *call) withComment(do func(*comment) answer) answer {
	n, err := strconv.ParseInt(c.params["comment_id"], 10, 64)
	m := c.repo.comments[n]
	if err != nil || m == nil {
		return notFound
	}
	return do(m)
}

func (c *call) listPulls() answer {
	query := c.r.URL.Query()
	var pulls []*pull
	for _, p := range c.repo.pulls {
		if state := query.Get("state"); state == "all" || p.closed == (state == "closed") {
			pulls = append(pulls, p)
		}
	}
	slices.SortFunc(pulls, func(a, b *pull) int {
		order := a.number - b.number
		if query.Get("sort") == "updated" {
			order = a.updatedAt.Compare(b.updatedAt)
		}
		if direction := query.Get("direction"); direction == "desc" || direction == "" && query.Get("sort") != "updated" {
			order = -order
		}
		return order
	})
	var items []any
	for _, p := range pulls {
		items = append(items, c.w.showPull(c.repo, p))
	}
	return paged(items)
}

// mostCommits is how many commits of a pull request GitHub lists.
const mostCommits = 250

// listCommits lists what a pull request proposes, the oldest first. GitHub knows the
// account of an address when somebody has it there.
func (c *call) listCommits(p *pull) answer {
	text, err := c.w.git.run(c.repo.bare, "log", "--reverse", "--topo-order", "--format=%H %T %ae %ce %P", p.baseSHA+".."+p.head)
	if err != nil {
		c.w.t.Errorf("list the commits of #%d: %v", p.number, err)
		return notFound
	}
	var items []any
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 4 || len(items) == mostCommits {
			break
		}
		at := func(kind, sha string) string { return c.w.api("repos/%s/%s/%s", c.repo.full(), kind, sha) }
		who := func(email string) any {
			return map[string]any{"name": strings.Split(email, "@")[0], "email": email, "date": stamp(p.createdAt)}
		}
		var parents []any
		for _, sha := range words[4:] {
			parents = append(parents, map[string]any{"sha": sha, "url": at("commits", sha), "html_url": c.w.page("%s/commit/%s", c.repo.full(), sha)})
		}
		items = append(items, map[string]any{
			"sha": words[0], "node_id": "C_" + words[0], "url": at("commits", words[0]), "html_url": c.w.page("%s/commit/%s", c.repo.full(), words[0]),
			"comments_url": at("commits", words[0]) + "/comments", "parents": parents,
			"author": c.w.showAccount(c.w.addressed(words[2])), "committer": c.w.showAccount(c.w.addressed(words[3])),
			"commit": map[string]any{"author": who(words[2]), "committer": who(words[3]), "comment_count": 0, "message": "", "url": at("git/commits", words[0]),
				"tree": map[string]any{"sha": words[1], "url": at("git/trees", words[1])}},
		})
	}
	return paged(items)
}

// addressed is the account that has an address; nil for none.
func (w *World) addressed(email string) *account {
	login, _ := strings.CutSuffix(email, "@example.com")
	return w.accounts[login]
}

func (c *call) listComments(p *pull) answer {
	var since time.Time
	if value := c.r.URL.Query().Get("since"); value != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, value); err != nil {
			return invalid("IssueComment", "since", "invalid", "")
		}
	}
	var items []any
	for _, m := range c.repo.thread(p.number) {
		if !m.updatedAt.Before(since) {
			items = append(items, c.w.showComment(c.repo, m))
		}
	}
	return paged(items)
}

// commentRunes is the longest comment.
const commentRunes = 65536

func checkBody(body any) answer {
	text, _ := body.(string)
	switch {
	case strings.TrimSpace(text) == "":
		return invalid("IssueComment", "body", "missing_field", "")
	case utf8.RuneCountInString(text) > commentRunes:
		return invalid("IssueComment", "data", "unprocessable", "Body is too long (maximum is 65536 characters)")
	}
	return answer{}
}

func (c *call) react(m *comment) answer {
	content, _ := c.body["content"].(string)
	if !slices.Contains(contents, content) {
		return invalid("Reaction", "content", "invalid", "")
	}
	show := func(r *reaction) any {
		return map[string]any{"id": r.id, "node_id": fmt.Sprintf("REA_%d", r.id), "user": c.w.showAccount(r.who), "content": r.content, "created_at": stamp(r.at)}
	}
	for _, r := range m.reactions {
		if r.who == c.who && r.content == content {
			return ok(show(r))
		}
	}
	r := &reaction{c.w.id(), c.who, content, c.w.now()}
	m.reactions = append(m.reactions, r)
	return created(show(r))
}

func (c *call) setStatus() answer {
	sha := c.params["sha"]
	if !c.repo.may(c.who, "write") {
		return c.forbidden()
	}
	if !c.w.git.has(c.repo, sha) {
		return refuse(422, "No commit found for SHA: "+sha)
	}
	description, _ := c.body["description"].(string)
	if utf8.RuneCountInString(description) > 140 {
		return invalid("Status", "description", "custom", "description is too long (maximum is 140 characters)")
	}
	target := c.body["target_url"]
	if text, given := target.(string); given {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return invalid("Status", "target_url", "custom", "target_url must use http(s) scheme")
		}
	}
	name, given := c.body["context"].(string)
	if !given {
		name = "default"
	}
	same := 0
	for _, s := range c.repo.statuses {
		if s.commit == sha && s.context == name {
			same++
		}
	}
	if same >= 1000 {
		return refuse(422, "Validation Failed: This SHA and context has reached the maximum number of statuses.")
	}
	state, _ := c.body["state"].(string)
	s := &status{c.w.id(), sha, name, state, description, target, c.who, c.w.now()}
	c.repo.statuses = append(c.repo.statuses, s)
	return created(c.w.showStatus(c.repo, s))
}

func (c *call) permission() answer {
	if !c.repo.may(c.who, "write") {
		return refuse(403, "Must have push access to view collaborator permission.")
	}
	login := c.params["username"]
	who := c.w.accounts[strings.ToLower(login)]
	if who == nil || who.kind == "Organization" {
		return refuse(404, login+" is not a user")
	}
	role := c.repo.role(who)
	permission := map[string]string{"hooks": "write", "maintain": "write", "triage": "read"}[role]
	if permission == "" {
		permission = role
	}
	name := role
	if role == "hooks" {
		name = "webhook-keeper" // an organization's own role
	}
	user := c.w.showAccount(who).(map[string]any)
	user["role_name"] = name
	user["permissions"] = map[string]any{"pull": true, "push": permission != "read", "admin": permission == "admin", "maintain": false, "triage": true}
	return ok(map[string]any{"permission": permission, "role_name": name, "user": user})
}

func (c *call) hooks() answer {
	if !c.repo.may(c.who, "hooks") {
		return notFound // as GitHub does for what one may not know of
	}
	if c.op.method == http.MethodGet {
		var items []any
		for _, h := range c.repo.hooks {
			items = append(items, c.w.showHook(c.repo, h))
		}
		return paged(items)
	}
	h := &hook{id: c.w.id(), active: true, content: "form", events: []string{"push"}, createdAt: c.w.now()}
	if id, isEdit := c.params["hook_id"]; isEdit {
		i := slices.IndexFunc(c.repo.hooks, func(h *hook) bool { return fmt.Sprint(h.id) == id })
		if i < 0 {
			return notFound
		}
		h = c.repo.hooks[i]
	}
	config := mapOf(c.body["config"])
	address, _ := config["url"].(string)
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return invalid("Hook", "url", "custom", "Config must contain URL for webhooks")
	}
	for _, other := range c.repo.hooks {
		if other != h && other.url == address {
			return invalid("Hook", "", "custom", "Hook already exists on this repository")
		}
	}
	if len(c.repo.hooks) >= 20 && c.op.method == http.MethodPost {
		return invalid("Hook", "", "custom", "The \"push\" event cannot have more than 20 hooks")
	}
	h.url, h.updatedAt = address, c.w.now()
	h.secret, _ = config["secret"].(string) // one that is not given is taken away
	if content, given := config["content_type"].(string); given {
		h.content = content
	}
	if active, given := c.body["active"].(bool); given {
		h.active = active
	}
	if events := list(c.body["events"]); events != nil {
		h.events = nil
		for _, e := range events {
			h.events = append(h.events, e.(string))
		}
	}
	if c.op.method == http.MethodPatch {
		return ok(c.w.showHook(c.repo, h))
	}
	c.repo.hooks = append(c.repo.hooks, h)
	c.w.ping(c.repo, h, c.who)
	return created(c.w.showHook(c.repo, h))
}

func (c *call) checks() answer {
	if c.op.method == http.MethodGet {
		query := c.r.URL.Query()
		var items []any
		for _, run := range c.repo.checks {
			if run.commit == c.params["ref"] && (query.Get("check_name") == "" || query.Get("check_name") == run.name) {
				items = append(items, c.w.showCheck(c.repo, run))
			}
		}
		return answer{status: 200, items: items, wrap: func(page []any) any {
			return map[string]any{"total_count": len(items), "check_runs": page}
		}}
	}
	if !c.app {
		return refuse(403, "You must authenticate via a GitHub App.")
	}
	output := mapOf(c.body["output"])
	for _, field := range []string{"summary", "text"} {
		if text, _ := output[field].(string); utf8.RuneCountInString(text) > 65535 {
			return invalid("CheckRun", field, "custom", "Only 65535 characters are allowed")
		}
	}
	run := &check{id: c.w.id(), state: "queued", startedAt: c.w.now()}
	if id, isEdit := c.params["check_run_id"]; isEdit {
		i := slices.IndexFunc(c.repo.checks, func(r *check) bool { return fmt.Sprint(r.id) == id })
		if i < 0 {
			return notFound
		}
		run = c.repo.checks[i]
	} else {
		run.commit, _ = c.body["head_sha"].(string)
		if !c.w.git.has(c.repo, run.commit) {
			return refuse(422, "No commit found for SHA: "+run.commit)
		}
	}
	if name, given := c.body["name"].(string); given {
		run.name = name
	}
	if state, given := c.body["status"].(string); given {
		run.state = state
	}
	if conclusion, given := c.body["conclusion"].(string); given {
		run.state, run.conclusion, run.completedAt = "completed", conclusion, c.w.now()
	}
	if output != nil {
		run.title, run.summary, run.text = output["title"], output["summary"], output["text"]
	}
	if c.op.method == http.MethodPatch {
		return ok(c.w.showCheck(c.repo, run))
	}
	c.repo.checks = append(c.repo.checks, run)
	return created(c.w.showCheck(c.repo, run))
}
