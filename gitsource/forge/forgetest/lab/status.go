package lab

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

type pipeline struct {
	id, iid          int
	project          *project
	sha, ref, source string
	user             *user
	created, updated time.Time
	statuses         []*status
}

type status struct {
	id                        int
	name, state, text, target string
	by                        *user
	created, started, ended   time.Time
}

// pipeline is the newest of a merge request's head.
func (m *mergeRequest) pipeline() *pipeline {
	for _, p := range slices.Backward(m.target.pipelines) {
		mine := p.ref == m.sourceBranch && m.source == m.target || strings.HasPrefix(p.ref, fmt.Sprintf("refs/merge-requests/%d/", m.iid))
		if p.sha == m.sha && mine {
			return p
		}
	}
	return nil
}

// RunPipeline makes a pipeline for a merge request, as a project with jobs for merge
// requests has: its ref is not the branch.
func (w *World) RunPipeline(path string, number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.project(path)
	m := p.merge(fmt.Sprint(number))
	w.newPipeline(p, m.sha, fmt.Sprintf("refs/merge-requests/%d/head", number), "merge_request_event", m.author)
}

// StatusRefs are the refs that the statuses of a commit are at, each once.
func (w *World) StatusRefs(path, sha string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.project(path).pipelines {
		if p.sha == sha && len(p.statuses) > 0 {
			out = append(out, p.ref)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (w *World) newPipeline(p *project, sha, ref, source string, u *user) *pipeline {
	now := w.tick()
	out := &pipeline{id: w.id(), iid: len(p.pipelines) + 1, project: p, sha: sha, ref: ref, source: source, user: u, created: now, updated: now}
	p.pipelines = append(p.pipelines, out)
	return out
}

// state is that of the newest statuses together.
func (p *pipeline) state() string {
	has := map[string]bool{}
	for _, s := range p.latest("") {
		has[s.state] = true
	}
	for _, state := range []string{"running", "pending", "failed", "canceled"} {
		if has[state] {
			return state
		}
	}
	if has["success"] {
		return "success"
	}
	return "created"
}

// latest are the newest statuses by name.
func (p *pipeline) latest(name string) []*status {
	var out []*status
	for i, s := range p.statuses {
		newer := slices.ContainsFunc(p.statuses[i+1:], func(x *status) bool { return x.name == s.name })
		if !newer && (name == "" || s.name == name) {
			out = append(out, s)
		}
	}
	return out
}

func (p *pipeline) basic(w *World) map[string]any {
	return map[string]any{
		"id": p.id, "iid": p.iid, "project_id": p.project.id, "sha": p.sha, "ref": p.ref, "status": p.state(), "source": p.source,
		"created_at": stamp(p.created), "updated_at": stamp(p.updated), "web_url": fmt.Sprintf("%s/%s/-/pipelines/%d", w.URL, p.project.path, p.id),
	}
}

func (p *pipeline) full(w *World) map[string]any {
	out := p.basic(w)
	for _, name := range []string{"yaml_errors", "started_at", "finished_at", "committed_at", "duration", "queued_duration", "coverage"} {
		out[name] = nil
	}
	out["before_sha"] = strings.Repeat("0", 40)
	out["tag"] = false
	out["archived"] = false
	out["user"] = p.user.basic(w)
	out["detailed_status"] = map[string]any{
		"icon": "status_" + p.state(), "text": p.state(), "label": p.state(), "group": p.state(), "tooltip": p.state(),
		"has_details": true, "details_path": fmt.Sprintf("/%s/-/pipelines/%d", p.project.path, p.id), "illustration": nil, "favicon": "/assets/ci_favicons/favicon.png",
	}
	return out
}

func (s *status) answer(w *World, p *pipeline) map[string]any {
	return map[string]any{
		"id": s.id, "sha": p.sha, "ref": p.ref, "status": s.state, "name": s.name, "target_url": orNil(s.target), "description": orNil(s.text),
		"created_at": stamp(s.created), "started_at": stamp(s.started), "finished_at": stamp(s.ended), "allow_failure": false, "coverage": nil,
		"pipeline_id": p.id, "author": s.by.basic(w),
	}
}

func setStatus(r *request) (int, any) {
	sha, state, name := r.path["sha"], r.text("state"), cmp.Or(r.text("name"), r.text("context"), "default")
	if !slices.Contains([]string{"pending", "running", "success", "failed", "canceled", "skipped"}, state) {
		return http.StatusBadRequest, map[string]any{"error": "state does not have a valid value"}
	}
	if _, err := git(r.project.bare, "cat-file", "-e", sha+"^{commit}"); err != nil {
		return http.StatusNotFound, said("404 Commit Not Found")
	}
	for _, text := range []string{name, r.text("description"), r.text("target_url")} {
		if len([]rune(text)) > 255 {
			return http.StatusBadRequest, said("is too long (maximum is 255 characters)")
		}
	}
	var p *pipeline
	for _, x := range slices.Backward(r.project.pipelines) {
		if x.sha == sha && (r.text("ref") == "" || x.ref == r.text("ref")) {
			p = x
			break
		}
	}
	if p == nil {
		ref := r.text("ref")
		if ref == "" {
			branches, err := git(r.project.bare, "for-each-ref", "--format=%(refname:short)", "--contains", sha, "refs/heads")
			if err != nil || branches == "" {
				return http.StatusNotFound, said("404 References for commit Not Found")
			}
			ref = strings.Fields(branches)[0]
		}
		p = r.w.newPipeline(r.project, sha, ref, "external", r.user)
	}
	var s *status
	for _, x := range p.statuses {
		if x.name == name && x.by == r.user && (x.state == "pending" || x.state == "running") {
			s = x
		}
	}
	from := "created"
	if s != nil {
		from = s.state
	}
	event := map[string]string{"pending": "enqueue", "running": "run"}[state]
	if event == "enqueue" && from != "created" || event == "run" && from == "running" {
		return http.StatusBadRequest, said(fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via %q)", event, from, event))
	}
	now := r.w.tick()
	if s == nil {
		s = &status{id: r.w.id(), name: name, by: r.user, created: now}
		p.statuses = append(p.statuses, s)
	}
	s.state, p.updated = state, now
	if _, given := r.params["description"]; given {
		s.text = r.text("description")
	}
	if _, given := r.params["target_url"]; given {
		s.target = r.text("target_url")
	}
	switch state {
	case "running":
		s.started = now
	case "success", "failed", "canceled", "skipped":
		s.ended = now
	}
	return http.StatusCreated, s.answer(r.w, p)
}

func listStatuses(r *request) (int, any) {
	all, _ := r.params["all"].(bool)
	out := []any{}
	for _, p := range r.project.pipelines {
		if p.sha != r.path["sha"] || r.text("ref") != "" && p.ref != r.text("ref") {
			continue
		}
		list := p.latest(r.text("name"))
		if all {
			list = p.statuses
		}
		for _, s := range list {
			out = append(out, s.answer(r.w, p))
		}
	}
	return http.StatusOK, out
}
