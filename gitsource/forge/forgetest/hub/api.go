package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// call is one request to the API.
type call struct {
	w      *World
	r      *http.Request
	op     *operation
	params map[string]string
	body   map[string]any
	who    *account
	app    bool // by an installation's token
	signed bool // by the App's own key
	repo   *repo
}

// answer is what comes of it.
type answer struct {
	status int
	value  any
	header http.Header
	// items are cut into pages instead of value, within wrap when that is given.
	items []any
	wrap  func(page []any) any
	// injected is what a test wants answered, whether GitHub would or not.
	injected bool
}

func ok(value any) answer      { return answer{status: 200, value: value} }
func created(value any) answer { return answer{status: 201, value: value} }
func paged(items []any) answer {
	return answer{status: 200, items: items, wrap: func(page []any) any { return page }}
}

func refuse(status int, message string) answer {
	return answer{status: status, value: map[string]any{"message": message,
		"documentation_url": "https://docs.github.com/rest", "status": fmt.Sprint(status)}}
}

func invalid(resource, field, code, message string) answer {
	a := refuse(422, "Validation Failed")
	detail := map[string]any{"resource": resource, "code": code, "field": field}
	if message != "" {
		detail["message"] = message
	}
	a.value.(map[string]any)["errors"] = []any{detail}
	return a
}

var notFound = refuse(404, "Not Found")

// serveAPI answers one request.
func (w *World) serveAPI(rw http.ResponseWriter, r *http.Request, path string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	path = w.byName(path)
	op, params := w.rest.find(r.Method, path)
	w.count(r.Method, params)
	if op == nil {
		w.t.Errorf("GitHub's description has no %s %s, or it was cut off", r.Method, path)
		http.Error(rw, `{"message":"Not Found"}`, 404)
		return
	}
	if err := w.rest.checkRequest(op, r, params, body); err != nil {
		w.t.Errorf("%s %s does not fit GitHub's description: %v\n%s", r.Method, r.URL.RequestURI(), err, body)
	}
	if r.Header.Get("User-Agent") == "" {
		w.send(rw, r, op, params, refuse(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"))
		return
	}
	fault := w.fault(r.Method, path)
	if fault != nil && !fault.lost {
		a := refuse(fault.status, http.StatusText(fault.status))
		if fault.status == 403 || fault.status == 429 {
			if fault.seconds > 0 {
				a = refuse(fault.status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
			}
		}
		a.injected = true
		if fault.seconds > 0 {
			a.header = http.Header{"Retry-After": {strconv.Itoa(fault.seconds)}}
		}
		w.send(rw, r, op, params, a)
		return
	}
	if moved := w.moved[strings.ToLower(params["owner"]+"/"+params["repo"])]; moved != nil {
		w.send(rw, r, op, params, w.redirect(r, path, moved))
		return
	}
	c := &call{w: w, r: r, op: op, params: params}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &c.body); err != nil {
			w.send(rw, r, op, params, refuse(400, "Problems parsing JSON"))
			return
		}
	}
	a, used := c.authenticate()
	if a.status == 0 {
		a = c.handle()
	}
	if fault != nil { // it was carried out, and nobody hears of it
		panic(http.ErrAbortHandler)
	}
	w.finish(rw, r, op, params, a, used)
}

// byName turns the address of a repository by its id, which redirects lead to, into that
// by its name, which is described.
func (w *World) byName(path string) string {
	rest, ok := strings.CutPrefix(path, "/repositories/")
	if !ok {
		return path
	}
	id, rest, _ := strings.Cut(rest, "/")
	for _, r := range w.repos {
		if fmt.Sprint(r.id) == id {
			return strings.TrimSuffix("/repos/"+r.full()+"/"+rest, "/")
		}
	}
	return path
}

// redirect leads from the name that a repository had to what it is.
func (w *World) redirect(r *http.Request, path string, to *repo) answer {
	status := http.StatusTemporaryRedirect
	if r.Method == http.MethodGet {
		status = http.StatusMovedPermanently
	}
	address := w.api("repositories/%d", to.id)
	if parts := strings.SplitN(path, "/", 5); len(parts) == 5 {
		address += "/" + parts[4]
	}
	if r.URL.RawQuery != "" {
		address += "?" + r.URL.RawQuery
	}
	return answer{status: status, injected: true, header: http.Header{"Location": {address}},
		value: map[string]any{"message": "Moved Permanently", "url": address, "documentation_url": "https://docs.github.com/rest"}}
}

// authenticate finds out who asks and whether they may ask so much.
func (c *call) authenticate() (answer, *token) {
	value, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return refuse(401, "Requires authentication"), nil
	}
	if strings.Count(value, ".") == 2 {
		return c.w.verify(value, c), nil
	}
	t := c.w.credential(value)
	if t == nil {
		return refuse(401, "Bad credentials"), nil
	}
	c.who, c.app = t.who, t.app
	now := c.w.now()
	if now.Sub(t.window) >= time.Hour {
		t.window, t.used = now, 0
	}
	if t.used >= c.w.budget {
		return refuse(403, "API rate limit exceeded for user ID "+fmt.Sprint(t.who.id)+"."), t
	}
	if c.r.Method != http.MethodGet {
		t.wrote = slices.DeleteFunc(t.wrote, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
		if len(t.wrote) >= c.w.writes {
			a := refuse(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
			a.header = http.Header{"Retry-After": {fmt.Sprint(int(time.Minute/time.Second - now.Sub(t.wrote[0])/time.Second))}}
			return a, t
		}
		t.wrote = append(t.wrote, now)
	}
	return answer{}, t
}

// verify checks the App's own signature.
func (w *World) verify(value string, c *call) answer {
	if w.app == nil {
		return refuse(401, "A JSON web token could not be decoded")
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(w.now), jwt.WithExpirationRequired(), jwt.WithIssuedAt()).
		ParseWithClaims(value, &claims, func(*jwt.Token) (any, error) { return &w.app.key.PublicKey, nil })
	switch {
	case err != nil:
		return refuse(401, "A JSON web token could not be decoded")
	case claims.ExpiresAt.Sub(w.now()) > 10*time.Minute:
		return refuse(401, "'Expiration time' claim ('exp') is too far in the future")
	case claims.Issuer != fmt.Sprint(w.app.id):
		return refuse(401, "Integration not found")
	}
	c.signed = true
	return answer{}
}

// finish adds what depends on what was used, and sends.
func (w *World) finish(rw http.ResponseWriter, r *http.Request, op *operation, params map[string]string, a answer, used *token) {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.turn(w, r)
	text := w.render(op, a)
	if r.Method == http.MethodGet && a.status == 200 {
		sum := sha256.Sum256(append(text, r.Header.Get("Authorization")...))
		etag := fmt.Sprintf(`W/"%x"`, sum)
		a.header.Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			a.status, text = http.StatusNotModified, nil
		}
	}
	if used != nil {
		if a.status != http.StatusNotModified && used.used < w.budget { // a 304 is free
			used.used++
		}
		a.header.Set("X-RateLimit-Limit", strconv.Itoa(w.budget))
		a.header.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, w.budget-used.used)))
		a.header.Set("X-RateLimit-Used", strconv.Itoa(used.used))
		a.header.Set("X-RateLimit-Resource", "core")
		a.header.Set("X-RateLimit-Reset", strconv.FormatInt(used.window.Add(time.Hour).Unix(), 10))
	}
	w.write(rw, r, op, params, a, text)
}

// send is finish for an answer that costs nothing.
func (w *World) send(rw http.ResponseWriter, r *http.Request, op *operation, params map[string]string, a answer) {
	if a.header == nil {
		a.header = http.Header{}
	}
	w.write(rw, r, op, params, a, w.render(op, a))
}

// render writes a value in the described form.
func (w *World) render(op *operation, a answer) []byte {
	if schema := w.rest.responseSchema(op, a.status); schema != nil {
		a.value = w.rest.conform(schema, a.value)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(a.value); err != nil {
		w.t.Errorf("render an answer: %v", err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

func (w *World) write(rw http.ResponseWriter, r *http.Request, op *operation, params map[string]string, a answer, text []byte) {
	a.header.Set("Date", w.now().Format(http.TimeFormat))
	if a.status != http.StatusNotModified {
		a.header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if a.status != http.StatusNotModified && !a.injected {
		check := a.header.Clone()
		check.Set("Content-Type", "application/json")
		if err := w.rest.checkResponse(op, r, params, a.status, check, text); err != nil {
			w.t.Errorf("the answer to %s %s does not fit GitHub's description: %v\n%.2000s", r.Method, r.URL.Path, err, text)
		}
	}
	for name, values := range a.header {
		rw.Header()[http.CanonicalHeaderKey(name)] = values
	}
	rw.WriteHeader(a.status)
	rw.Write(text)
}

// turn cuts out the page that was asked for, and links to the others.
func (a *answer) turn(w *World, r *http.Request) {
	if a.wrap == nil {
		return
	}
	query := r.URL.Query()
	number := func(name string, without, most int) int {
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 1 {
			return without
		}
		return min(n, most)
	}
	size, page := number("per_page", 30, 100), number("page", 1, 1<<30)
	last := max(1, (len(a.items)+size-1)/size)
	var links []string
	link := func(page int, rel string) {
		query.Set("page", strconv.Itoa(page))
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", w.server.URL, r.URL.Path, query.Encode(), rel))
	}
	if page > 1 {
		link(page-1, "prev")
		link(1, "first")
	}
	if page < last {
		link(page+1, "next")
		link(last, "last")
	}
	if len(links) > 0 {
		a.header.Set("Link", strings.Join(links, ", "))
	}
	from := min(len(a.items), (page-1)*size)
	some := a.items[from:min(len(a.items), from+size)]
	if some == nil {
		some = []any{}
	}
	a.value = a.wrap(some)
}

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
