package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

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
