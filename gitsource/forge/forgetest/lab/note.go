package lab

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type note struct {
	id               int
	body             string
	author           *user
	system           bool
	created, updated time.Time
	awards           []award
}

type award struct {
	id   int
	name string
	by   *user
	at   time.Time
}

// target begins the fields about what a note is on.
const target = "noteable" //nolint:misspell // GitLab's word

// maxNote is the most characters of a note.
const maxNote = 1_000_000

// system writes one of GitLab's own notes.
func (m *mergeRequest) system(w *World, u *user, text string) {
	now := w.tick()
	m.notes = append(m.notes, &note{id: w.id(), body: text, author: u, system: true, created: now, updated: now})
}

func (n *note) answer(w *World, m *mergeRequest) map[string]any {
	return map[string]any{
		"id": n.id, "type": nil, "body": n.body, "author": n.author.basic(w), "created_at": stamp(n.created), "updated_at": stamp(n.updated),
		"system": n.system, target + "_id": m.id, target + "_type": "MergeRequest", "project_id": m.target.id, "resolvable": false,
		"confidential": false, "internal": false, "imported": false, "imported_from": "none", target + "_iid": m.iid, "commands_changes": map[string]any{},
	}
}

func listNotes(r *request) (int, any) {
	byUpdate, ascending := r.text("order_by") == "updated_at", r.text("sort") == "asc"
	list := slices.Clone(r.merge.notes)
	slices.SortStableFunc(list, func(a, b *note) int {
		c := a.created.Compare(b.created)
		if byUpdate {
			c = a.updated.Compare(b.updated)
		}
		if c == 0 {
			c = a.id - b.id
		}
		if !ascending {
			c = -c
		}
		return c
	})
	out := []any{}
	for _, n := range list {
		out = append(out, n.answer(r.w, r.merge))
	}
	return http.StatusOK, out
}

// quick are lines that GitLab takes as commands to itself, those that matter here.
var quick = regexp.MustCompile(`^/(approve|unapprove|close|reopen|merge|draft|ready|rebase|label|unlabel|assign|unassign|assign_reviewer|title|lock|unlock|todo|done|subscribe|unsubscribe|target_branch|request_changes|submit_review|copy_metadata|milestone|shrug|tableflip)\b`)

// withoutCommands takes quick actions out of a text, as GitLab does: whole lines that
// begin with one, but for those in code. It does not carry them out.
func withoutCommands(text string) (left string, any bool) {
	var kept []string
	fence := ""
	for line := range strings.SplitSeq(text, "\n") {
		bare := strings.TrimLeft(line, " ")
		switch {
		case fence == "" && (strings.HasPrefix(bare, "```") || strings.HasPrefix(bare, "~~~")):
			fence = bare[:len(bare)-len(strings.TrimLeft(bare, bare[:1]))]
		case fence != "" && strings.HasPrefix(bare, fence) && strings.Trim(bare, fence[:1]+" \r") == "":
			fence = ""
		case fence == "" && quick.MatchString(line):
			any = true
			continue
		}
		kept = append(kept, line)
	}
	return strings.TrimSpace(strings.Join(kept, "\n")), any
}

// checkNote says what GitLab has against a text.
func checkNote(body string) (int, any) {
	switch {
	case strings.TrimSpace(body) == "":
		return http.StatusBadRequest, said(`400 Bad request - Note {:note=>["can't be blank"]}`)
	case utf8.RuneCountInString(body) > maxNote:
		return http.StatusBadRequest, said(fmt.Sprintf(`400 Bad request - Note {:note=>["is too long (maximum is %d characters)"]}`, maxNote))
	}
	return 0, nil
}

func createNote(r *request) (int, any) {
	body := r.text("body")
	if left, found := withoutCommands(body); found {
		if left == "" {
			return http.StatusAccepted, map[string]any{"commands_changes": map[string]any{}, "summary": []any{"Commands applied"}}
		}
		body = left
	}
	if status, problem := checkNote(body); status != 0 {
		return status, problem
	}
	now := r.w.tick()
	n := &note{id: r.w.id(), body: body, author: r.user, created: now, updated: now}
	r.merge.notes = append(r.merge.notes, n)
	r.merge.updated = now
	r.w.noteHook(r.merge, n, "create")
	return http.StatusCreated, n.answer(r.w, r.merge)
}

// note finds the note of a path.
func (r *request) note() *note {
	for _, n := range r.merge.notes {
		if strconv.Itoa(n.id) == r.path["note"] {
			return n
		}
	}
	return nil
}

func getNote(r *request) (int, any) {
	n := r.note()
	if n == nil {
		return http.StatusNotFound, said("404 Note Not Found")
	}
	return http.StatusOK, n.answer(r.w, r.merge)
}

func updateNote(r *request) (int, any) {
	n := r.note()
	switch {
	case n == nil:
		return http.StatusNotFound, said("404 Note Not Found")
	case n.system, n.author != r.user && r.project.level(r.user) < maintainer:
		return http.StatusForbidden, said("403 Forbidden")
	}
	if status, problem := checkNote(r.text("body")); status != 0 {
		return status, problem
	}
	n.body, n.updated = r.text("body"), r.w.tick()
	r.w.noteHook(r.merge, n, "update")
	return http.StatusOK, n.answer(r.w, r.merge)
}

func deleteNote(r *request) (int, any) {
	n := r.note()
	switch {
	case n == nil:
		return http.StatusNotFound, said("404 Note Not Found")
	case n.system, n.author != r.user && r.project.level(r.user) < maintainer:
		return http.StatusForbidden, said("403 Forbidden")
	}
	r.merge.notes = slices.DeleteFunc(r.merge.notes, func(x *note) bool { return x == n })
	return http.StatusNoContent, nil
}

// emoji are the names that are known here.
var emoji = []string{"eyes", "rocket", "thumbsup", "thumbsdown", "confused", "tada", "heart"}

func (a award) answer(w *World, n *note, m *mergeRequest) map[string]any {
	return map[string]any{
		"id": a.id, "name": a.name, "user": a.by.basic(w), "created_at": stamp(a.at), "updated_at": stamp(a.at),
		"awardable_id": n.id, "awardable_type": "Note", "url": nil,
	}
}

func listAwards(r *request) (int, any) {
	n := r.note()
	if n == nil {
		return http.StatusNotFound, said("404 Note Not Found")
	}
	out := []any{}
	for _, a := range n.awards {
		out = append(out, a.answer(r.w, n, r.merge))
	}
	return http.StatusOK, out
}

func createAward(r *request) (int, any) {
	n := r.note()
	if n == nil {
		return http.StatusNotFound, said("404 Note Not Found")
	}
	name := r.text("name")
	switch {
	case !slices.Contains(emoji, name):
		return http.StatusNotFound, said("404 Award Emoji Name is not a valid emoji name Not Found")
	case slices.ContainsFunc(n.awards, func(a award) bool { return a.by == r.user && a.name == name }):
		return http.StatusNotFound, said("404 Award Emoji Name has already been taken Not Found")
	}
	a := award{r.w.id(), name, r.user, r.w.tick()}
	n.awards = append(n.awards, a)
	return http.StatusCreated, a.answer(r.w, n, r.merge)
}
