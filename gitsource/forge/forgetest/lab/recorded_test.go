package lab_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
)

func TestPagesHaveHeaders(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i := range 5 {
		s.site.Comment(t, forgetest.Ada, 1, fmt.Sprint("remark ", i))
	}
	_, h, body := s.api(t, forgetest.Ada, http.MethodGet, "/merge_requests/1/notes?per_page=2&page=2&sort=asc", nil)
	var notes []struct {
		Body string `json:"body"`
	}
	ok(t, json.Unmarshal(body, &notes))
	got := []string{h.Get("X-Page"), h.Get("X-Per-Page"), h.Get("X-Next-Page"), h.Get("X-Prev-Page"), h.Get("X-Total"), h.Get("X-Total-Pages"), notes[0].Body, notes[1].Body}
	if diff := cmp.Diff([]string{"2", "2", "3", "1", "5", "3", "remark 2", "remark 3"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, rel := range []string{"prev", "next", "first", "last"} {
		if !strings.Contains(h.Get("Link"), fmt.Sprintf("rel=%q", rel)) {
			t.Errorf("no link to the %s page: %s", rel, h.Get("Link"))
		}
	}
}

// lacks are the fields of a recorded object that another one does not have.
func lacks(t *testing.T, recorded, got any, path ...string) []string {
	t.Helper()
	for _, name := range path {
		recorded, got = recorded.(map[string]any)[name], got.(map[string]any)[name]
	}
	var out []string
	for name := range recorded.(map[string]any) {
		if _, has := got.(map[string]any)[name]; !has {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// TestNothingThatWasRecordedIsLeftOut compares with what a GitLab once said.
func TestNothingThatWasRecordedIsLeftOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	recorded := func(name string) any {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(lab.Recorded(t), name))
		ok(t, err)
		var v any
		ok(t, json.Unmarshal(data, &v))
		return v
	}
	h := takeHooks(t, "x")
	_, err := s.repo.SetWebhook(t.Context(), "", h.url, "x")
	ok(t, err)
	s.site.Comment(t, forgetest.Ada, 1, "remark")
	s.site.Push(t, forgetest.Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	got := map[string]any{}
	for range 3 {
		h.next(t)
	}
	await(t, func() error { // they are written down when their answer is back
		if n := len(s.w.Sent()); n < 3 {
			return fmt.Errorf("%d deliveries were made", n)
		}
		return nil
	})
	for _, sent := range s.w.Sent() {
		var v map[string]any
		ok(t, json.Unmarshal(sent.Body, &v))
		got[fmt.Sprint(v["object_kind"])] = v
	}
	var answer any
	_, _, body := s.api(t, forgetest.Ada, http.MethodGet, "/merge_requests/1", nil)
	ok(t, json.Unmarshal(body, &answer))
	// What a merge request has only at times.
	for name, c := range map[string]struct{ left, want []string }{
		"the merge request":              {lacks(t, recorded("get_merge_request.json"), answer), []string{"first_contribution"}},
		"a merge request's payload":      {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"]), []string{"assignees", "reviewers"}},
		"the merge request in a payload": {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "object_attributes"), nil},
		"the project in a payload":       {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "project"), nil},
		"a note's payload":               {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"]), nil},
		"the note in a payload":          {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"], "object_attributes"), nil},
		"the merge request of a note":    {lacks(t, recorded("webhooks/note_merge_request.json"), got["note"], "merge_request"), []string{"assignee", "labels", "position"}},
		"a push's payload":               {lacks(t, recorded("webhooks/push.json"), got["push"]), nil},
		"the repository of a push":       {lacks(t, recorded("webhooks/push.json"), got["push"], "repository"), nil},
		"the person in a payload":        {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "user"), nil},
		"the newest commit in a payload": {lacks(t, recorded("webhooks/merge_request.json"), got["merge_request"], "object_attributes", "last_commit"), nil},
	} {
		if diff := cmp.Diff(c.want, c.left); diff != "" {
			t.Errorf("%s lacks (-want +got):\n%s", name, diff)
		}
	}
}
