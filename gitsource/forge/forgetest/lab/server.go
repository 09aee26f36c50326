package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is a call of the API on its way to a handler, which runs under the world's
// lock.
type request struct {
	w       *World
	user    *user
	path    map[string]string
	params  map[string]any // of the body and the query
	project *project
	merge   *mergeRequest
	header  http.Header // of the answer
}

// said is the body of an error.
func said(text string) map[string]any { return map[string]any{"message": text} }

// ServeHTTP is GitLab: the API, and Git for every other path that ends as Git's do.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/v4/") {
		if strings.Contains(r.URL.Path, ".git/") {
			w.serveGit(rw, r)
			return
		}
		http.NotFound(rw, r)
		return
	}
	var f *fault
	within := true
	if r.Header.Get(peopleHeader) == "" {
		w.mu.Lock()
		w.calls[r.Method]++
		f = w.faultFor(r)
		within = w.limit.spend(rw.Header(), time.Now())
		w.mu.Unlock()
	}
	if f != nil && !f.lost {
		fail(rw, f)
		return
	}
	if !within {
		http.Error(rw, "Retry later", http.StatusTooManyRequests)
		return
	}
	rec := httptest.NewRecorder()
	w.serveAPI(rec, r)
	if f != nil {
		lose(rw)
		return
	}
	for k, v := range rec.Header() {
		rw.Header()[k] = v
	}
	body := rec.Body.Bytes()
	if rec.Code == http.StatusOK && r.Method == http.MethodGet {
		sum := sha256.Sum256(body)
		tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		rw.Header().Set("ETag", tag)
		rw.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
		if r.Header.Get("If-None-Match") == tag {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
	}
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(body)
}

// lose breaks the connection in the middle of the answer's first line: a connection that
// is closed without a word makes clients ask again by themselves.
func lose(rw http.ResponseWriter) {
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = buf.WriteString("HTTP/1.1 2")
	_ = buf.Flush()
	_ = conn.Close()
}

func fail(rw http.ResponseWriter, f *fault) {
	if f.seconds > 0 {
		rw.Header().Set("Retry-After", strconv.Itoa(f.seconds))
	}
	if f.status == http.StatusTooManyRequests || f.status >= 502 {
		http.Error(rw, "Retry later", f.status) // not from the API, so not JSON
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(f.status)
	_ = json.NewEncoder(rw).Encode(said(fmt.Sprintf("%d %s", f.status, http.StatusText(f.status))))
}

// peopleHeader marks what people do in a story: it is not counted, and no fault meets it.
const peopleHeader = "X-Lab-People"

// serveAPI finds the operation, checks the request, answers, and checks the answer.
func (w *World) serveAPI(rw *httptest.ResponseRecorder, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4")
	op, vars := find(r.Method, path)
	if op == nil {
		w.complain("%s %s is not among the operations that are imitated", r.Method, path)
		reply(rw, http.StatusNotFound, map[string]any{"error": "404 Not Found"})
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	params, wrong := op.read(r.URL.Query(), r.Header.Get("Content-Type"), data)
	for _, text := range wrong {
		w.complain("%s %s: %s", r.Method, op.path, text)
	}
	if len(wrong) > 0 {
		reply(rw, http.StatusBadRequest, map[string]any{"error": wrong[0]})
		return
	}
	req := &request{w: w, path: vars, params: params, header: rw.Header()}
	w.mu.Lock()
	status, body := req.handle(op, r.Header)
	w.mu.Unlock()
	if list, ok := body.([]any); ok && status == http.StatusOK && op.paged {
		body = req.page(r, list)
	}
	reply(rw, status, body)
	for _, text := range w.shapes.answer(op, r, data, status, rw.Body.Bytes()) {
		w.complain("%s %s answers %d: %s", r.Method, op.path, status, text)
	}
}

func reply(rw http.ResponseWriter, status int, body any) {
	if body == nil {
		rw.WriteHeader(status)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(true)
	_ = e.Encode(body) // of our own values
	_, _ = rw.Write(bytes.TrimSpace(b.Bytes()))
}

// handle checks who asks and for what, and carries the operation out.
func (req *request) handle(op *operation, h http.Header) (int, any) {
	token := h.Get("Private-Token")
	if token == "" {
		token = strings.TrimPrefix(h.Get("Authorization"), "Bearer ")
	}
	for _, u := range req.w.users {
		if token != "" && u.token == token {
			req.user = u
		}
	}
	switch {
	case req.user == nil:
		return http.StatusUnauthorized, said("401 Unauthorized")
	case req.user.revoked:
		return http.StatusUnauthorized, map[string]any{"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize from the user."}
	}
	if id, ok := req.path["id"]; ok && strings.HasPrefix(op.path, "/projects/") {
		req.project = req.w.project(id)
		if req.project == nil || req.project.level(req.user) == 0 {
			return http.StatusNotFound, said("404 Project Not Found")
		}
		if req.project.level(req.user) < op.level {
			return http.StatusForbidden, said("403 Forbidden")
		}
		if iid, ok := req.path["iid"]; ok {
			if req.merge = req.project.merge(iid); req.merge == nil {
				return http.StatusNotFound, said("404 Not found")
			}
			req.w.settle(req.merge)
		}
	}
	return op.handle(req)
}

// page cuts a list and writes the headers of offset pagination.
func (req *request) page(r *http.Request, list []any) []any {
	number := func(name string, otherwise int) int {
		if n, ok := req.params[name].(int); ok && n > 0 {
			return n
		}
		return otherwise
	}
	page, per := number("page", 1), min(number("per_page", 20), 100)
	pages := max((len(list)+per-1)/per, 1)
	h := req.header
	set := func(name string, n int) {
		text := ""
		if n > 0 {
			text = strconv.Itoa(n)
		}
		h.Set(name, text)
	}
	set("X-Page", page)
	set("X-Per-Page", per)
	h.Set("X-Total", strconv.Itoa(len(list)))
	set("X-Total-Pages", pages)
	next, prev := 0, 0
	if page < pages {
		next = page + 1
	}
	if page > 1 {
		prev = page - 1
	}
	set("X-Next-Page", next)
	set("X-Prev-Page", prev)
	var links []string
	link := func(n int, rel string) {
		if n == 0 {
			return
		}
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(n))
		q.Set("per_page", strconv.Itoa(per))
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", req.w.URL, r.URL.EscapedPath(), q.Encode(), rel))
	}
	link(prev, "prev")
	link(next, "next")
	link(1, "first")
	link(pages, "last")
	h.Set("Link", strings.Join(links, ", "))
	from := min((page-1)*per, len(list))
	return list[from:min(from+per, len(list))]
}

// find returns the operation of a path and the values of its variables.
func find(method, path string) (*operation, map[string]string) {
	parts := strings.Split(path, "/")
	for i := range operations {
		op := &operations[i]
		want := strings.Split(op.path, "/")
		if op.method != method || len(want) != len(parts) {
			continue
		}
		vars := map[string]string{}
		if !slices.ContainsFunc(slices.Collect(indexes(want)), func(i int) bool {
			value, err := url.PathUnescape(parts[i])
			if name, ok := strings.CutPrefix(want[i], ":"); ok && err == nil && value != "" {
				vars[name] = value
				return false
			}
			return want[i] != parts[i]
		}) {
			return op, vars
		}
	}
	return nil, nil
}

func indexes(s []string) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range s {
			if !yield(i) {
				return
			}
		}
	}
}

func (req *request) text(name string) string { s, _ := req.params[name].(string); return s }

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (u *user) basic(w *World) map[string]any {
	return map[string]any{
		"id": u.id, "username": u.name, "public_email": nil, "name": u.name, "state": "active", "locked": false,
		"avatar_url": nil, "web_url": w.URL + "/" + u.name,
	}
}
