package lab

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mergeRequest is a merge request of a project, its target.
type mergeRequest struct {
	id, iid                    int
	title, description, state  string
	author                     *user
	source, target             *project // source is nil when the fork is gone
	sourceBranch, targetBranch string
	// sha is the head that the API shows; coming is the one that it will show after
	// so many more looks.
	sha, base   string
	coming      string
	comingBy    *user // who pushed it; nil for the author
	looks       int
	created     time.Time
	updated     time.Time
	prepared    time.Time
	mergeCommit string
	mergedBy    *user
	mergedAt    time.Time
	closedBy    *user
	closedAt    time.Time
	notes       []*note
	approvals   []approval
	reviewers   []*reviewer
	versions    []version
}

type approval struct {
	by *user
	at time.Time
}

type reviewer struct {
	user  *user
	state string
	asked time.Time
}

type version struct {
	id         int
	head, base string
	at         time.Time
}

func (p *project) merge(iid string) *mergeRequest {
	for _, m := range p.merges {
		if strconv.Itoa(m.iid) == iid {
			return m
		}
	}
	return nil
}

// settle counts a look at a merge request, and gives it its newest head when it has been
// looked at often enough.
func (w *World) settle(m *mergeRequest) {
	if m.coming == "" {
		return
	}
	if m.looks--; m.looks >= 0 {
		return
	}
	w.refresh(m)
}

// refresh gives a merge request the head that is coming: GitLab does so in the
// background.
func (w *World) refresh(m *mergeRequest) {
	head := m.coming
	m.coming = ""
	if head == "" || head == m.sha {
		return
	}
	ref := fmt.Sprintf("refs/merge-requests/%d/head", m.iid)
	var err error
	if m.source == m.target {
		_, err = git(m.target.bare, "update-ref", ref, head)
	} else {
		_, err = git(m.target.bare, "fetch", "-q", "--no-tags", m.source.bare, "+refs/heads/"+m.sourceBranch+":"+ref)
	}
	if err != nil {
		w.complain("keep %s: %v", ref, err)
		return
	}
	base, err := git(m.target.bare, "merge-base", "refs/heads/"+m.targetBranch, head)
	if err != nil {
		base = ""
	}
	first, old := m.sha == "", m.sha
	m.sha, m.base, m.updated = head, base, w.tick()
	if m.prepared.IsZero() {
		m.prepared = m.updated
	}
	m.versions = append([]version{{w.id(), head, base, m.updated}}, m.versions...)
	if !first {
		w.noted(m, old)
	}
}

// noted writes GitLab's note of a push: what is new, by who pushed.
func (w *World) noted(m *mergeRequest, old string) {
	text, err := git(m.target.bare, "log", "--reverse", "--first-parent", "--abbrev=8", "--format=<li>%h - %s</li>", old+".."+m.sha)
	if err != nil {
		w.complain("list what was pushed to !%d: %v", m.iid, err)
		return
	}
	n := strings.Count(text, "<li>")
	body := fmt.Sprintf("added %d commits", n)
	if n == 1 {
		body = "added 1 commit"
	}
	by := m.comingBy
	if by == nil {
		by = m.author
	}
	m.system(w, by, body+"\n\n<ul>"+strings.ReplaceAll(text, "\n", "")+"</ul>\n\n[Compare with previous version]")
}

// pushed tells merge requests of a branch about its new head.
func (w *World) pushed(p *project, branch, head string, by *user) {
	for _, target := range w.projects {
		for _, m := range target.merges {
			if m.state != "opened" || m.source != p || m.sourceBranch != branch {
				continue
			}
			old := m.sha
			m.coming, m.comingBy, m.looks = head, by, w.lag
			if m.looks == 0 {
				w.refresh(m)
			}
			w.mergeHook(m, by, "update", map[string]any{"oldrev": old})
		}
	}
}

func (m *mergeRequest) draft() bool {
	for _, mark := range []string{"draft:", "[draft]", "(draft)"} {
		if strings.HasPrefix(strings.ToLower(m.title), mark) {
			return true
		}
	}
	return false
}

func orNil[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

func (w *World) someone(u *user) any {
	if u == nil {
		return nil
	}
	return u.basic(w)
}

// basic is a merge request in a list.
func (m *mergeRequest) basic(w *World) map[string]any {
	source := any(nil)
	if m.source != nil {
		source = m.source.id
	}
	reviewers := []any{}
	for _, r := range m.reviewers {
		reviewers = append(reviewers, r.user.basic(w))
	}
	said := 0
	for _, n := range m.notes {
		if !n.system {
			said++
		}
	}
	status := "mergeable"
	switch {
	case m.state != "opened":
		status = "not_open"
	case m.sha == "":
		status = "preparing"
	case m.draft():
		status = "draft_status"
	}
	return map[string]any{
		"id": m.id, "iid": m.iid, "project_id": m.target.id, "title": m.title, "description": m.description, "state": m.state,
		"created_at": stamp(m.created), "updated_at": stamp(m.updated),
		"merged_by": w.someone(m.mergedBy), "merge_user": w.someone(m.mergedBy), "merged_at": stamp(m.mergedAt),
		"closed_by": w.someone(m.closedBy), "closed_at": stamp(m.closedAt),
		"target_branch": m.targetBranch, "source_branch": m.sourceBranch, "user_notes_count": said, "upvotes": 0, "downvotes": 0,
		"author": m.author.basic(w), "assignees": []any{}, "assignee": nil, "reviewers": reviewers,
		"source_project_id": source, "target_project_id": m.target.id, "labels": []any{},
		"draft": m.draft(), "imported": false, "imported_from": "none", "work_in_progress": m.draft(), "milestone": nil,
		"merge_when_pipeline_succeeds": false, "merge_status": "can_be_merged", "detailed_merge_status": status, "merge_after": nil,
		"sha": orNil(m.sha), "merge_commit_sha": orNil(m.mergeCommit), "squash_commit_sha": nil,
		"discussion_locked": nil, "should_remove_source_branch": nil, "force_remove_source_branch": false, "prepared_at": stamp(m.prepared),
		"reference":  fmt.Sprintf("!%d", m.iid),
		"references": map[string]any{"short": fmt.Sprintf("!%d", m.iid), "relative": fmt.Sprintf("!%d", m.iid), "full": fmt.Sprintf("%s!%d", m.target.path, m.iid)},
		"web_url":    fmt.Sprintf("%s/%s/-/merge_requests/%d", w.URL, m.target.path, m.iid),
		"time_stats": map[string]any{"time_estimate": 0, "total_time_spent": 0, "human_time_estimate": nil, "human_total_time_spent": nil},
		"squash":     false, "squash_on_merge": false, "task_completion_status": map[string]any{"count": 0, "completed_count": 0},
		"has_conflicts": false, "blocking_discussions_resolved": true, "approvals_before_merge": nil,
	}
}

// full is a merge request by itself.
func (m *mergeRequest) full(w *World, asks *user) map[string]any {
	out := m.basic(w)
	out["subscribed"] = false
	out["changes_count"] = "1"
	out["latest_build_started_at"] = nil
	out["latest_build_finished_at"] = nil
	out["first_deployed_to_production_at"] = nil
	out["pipeline"] = nil
	out["head_pipeline"] = nil
	if p := m.pipeline(); p != nil {
		out["pipeline"] = p.basic(w)
		out["head_pipeline"] = p.full(w)
	}
	out["diff_refs"] = nil
	if m.sha != "" {
		out["diff_refs"] = map[string]any{"base_sha": m.base, "head_sha": m.sha, "start_sha": m.base}
	}
	out["merge_error"] = nil
	out["user"] = map[string]any{"can_merge": m.target.level(asks) >= developer}
	return out
}

func listMerges(r *request) (int, any) {
	state := cmp.Or(r.text("state"), "all")
	if !slices.Contains([]string{"opened", "closed", "locked", "merged", "all"}, state) {
		return http.StatusBadRequest, map[string]any{"error": "state does not have a valid value"}
	}
	list := []*mergeRequest{}
	for _, m := range r.project.merges {
		r.w.settle(m)
		if (state == "all" || m.state == state) && (r.text("source_branch") == "" || m.sourceBranch == r.text("source_branch")) {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b *mergeRequest) int {
		c := a.created.Compare(b.created)
		if r.text("order_by") == "updated_at" {
			c = a.updated.Compare(b.updated)
		}
		if r.text("sort") != "asc" {
			c = -c
		}
		return c
	})
	out := []any{}
	for _, m := range list {
		out = append(out, m.basic(r.w))
	}
	return http.StatusOK, out
}

func getMerge(r *request) (int, any) { return http.StatusOK, r.merge.full(r.w, r.user) }

func createMerge(r *request) (int, any) {
	if r.project.level(r.user) < developer {
		return http.StatusForbidden, said("403 Forbidden")
	}
	target := r.project
	if id, ok := r.params["target_project_id"].(int); ok {
		if target = r.w.project(strconv.Itoa(id)); target == nil || target.level(r.user) == 0 {
			return http.StatusNotFound, said("404 Project Not Found")
		}
	}
	branch, into := r.text("source_branch"), r.text("target_branch")
	head, err := git(r.project.bare, "rev-parse", "--verify", "-q", "refs/heads/"+branch)
	if err != nil {
		return http.StatusBadRequest, said("Validation failed: Source branch does not exist")
	}
	for _, m := range target.merges {
		if m.state == "opened" && m.source == r.project && m.sourceBranch == branch && m.targetBranch == into {
			return http.StatusConflict, map[string]any{"message": []any{fmt.Sprintf("Another open merge request already exists for this source branch: !%d", m.iid)}}
		}
	}
	now := r.w.tick()
	m := &mergeRequest{
		id: r.w.id(), iid: len(target.merges) + 1, title: r.text("title"), description: r.text("description"), state: "opened",
		author: r.user, source: r.project, target: target, sourceBranch: branch, targetBranch: into,
		created: now, updated: now, coming: head, looks: r.w.lag,
	}
	target.merges = append(target.merges, m)
	if m.looks == 0 {
		r.w.refresh(m)
	}
	r.w.mergeHook(m, r.user, "open", nil)
	return http.StatusCreated, m.full(r.w, r.user)
}

func updateMerge(r *request) (int, any) {
	m, action := r.merge, "update"
	changes := map[string]any{}
	switch event := r.text("state_event"); {
	case event == "close" && m.state == "opened":
		m.state, m.closedBy, m.closedAt, action = "closed", r.user, r.w.tick(), "close"
		m.system(r.w, r.user, "closed")
	case event == "reopen" && m.state == "closed":
		m.state, m.closedBy, m.closedAt, action = "opened", nil, time.Time{}, "reopen"
		m.system(r.w, r.user, "reopened")
		if m.source != nil {
			if head, err := git(m.source.bare, "rev-parse", "--verify", "-q", "refs/heads/"+m.sourceBranch); err == nil {
				m.coming = head
				r.w.refresh(m)
			}
		}
	case event != "":
		return http.StatusUnprocessableEntity, map[string]any{"message": map[string]any{"state": []any{"cannot transition via \"" + event + "\""}}}
	}
	if title := r.text("title"); title != "" && title != m.title {
		changes["title"] = map[string]any{"previous": m.title, "current": title}
		m.title = title
	}
	if into := r.text("target_branch"); into != "" && into != m.targetBranch {
		base, err := git(m.target.bare, "merge-base", "refs/heads/"+into, m.sha)
		if err != nil {
			return http.StatusBadRequest, said("Validation failed: Target branch does not exist")
		}
		m.targetBranch, m.base = into, base
	}
	m.updated = r.w.tick()
	r.w.mergeHook(m, r.user, action, map[string]any{"changes": changes})
	return http.StatusOK, m.full(r.w, r.user)
}

func acceptMerge(r *request) (int, any) {
	m := r.merge
	switch {
	case m.state != "opened", m.sha == "", m.draft():
		return http.StatusMethodNotAllowed, said("405 Method Not Allowed")
	case r.text("sha") != "" && r.text("sha") != m.sha:
		return http.StatusConflict, said("SHA does not match HEAD of source branch: " + m.sha)
	}
	into := "refs/heads/" + m.targetBranch
	old, err := git(m.target.bare, "rev-parse", into)
	if err != nil {
		return http.StatusUnprocessableEntity, said("Branch cannot be merged")
	}
	tree, err := git(m.target.bare, "merge-tree", "--write-tree", old, m.sha)
	if err != nil {
		return http.StatusUnprocessableEntity, said("Branch cannot be merged")
	}
	commit, err := gitAs(r.user.name, m.target.bare, "commit-tree", tree, "-p", old, "-p", m.sha, "-m", fmt.Sprintf("Merge branch '%s' into '%s'", m.sourceBranch, m.targetBranch))
	if err == nil {
		_, err = git(m.target.bare, "update-ref", into, commit, old)
	}
	if err != nil {
		return http.StatusConflict, said(err.Error())
	}
	now := r.w.tick()
	m.state, m.mergeCommit, m.mergedBy, m.mergedAt, m.updated = "merged", commit, r.user, now, now
	m.system(r.w, r.user, "merged")
	r.w.mergeHook(m, r.user, "merge", nil)
	r.w.received(m.target, r.user)
	return http.StatusOK, m.full(r.w, r.user)
}

func listVersions(r *request) (int, any) {
	out := []any{}
	for _, v := range r.merge.versions {
		out = append(out, map[string]any{
			"id": v.id, "head_commit_sha": v.head, "base_commit_sha": v.base, "start_commit_sha": v.base, "created_at": stamp(v.at),
			"merge_request_id": r.merge.id, "state": "collected", "real_size": "1", "patch_id_sha": nil,
		})
	}
	return http.StatusOK, out
}

func listReviewers(r *request) (int, any) {
	out := []any{}
	for _, v := range r.merge.reviewers {
		out = append(out, map[string]any{"user": v.user.basic(r.w), "state": v.state, "created_at": stamp(v.asked)})
	}
	return http.StatusOK, out
}

func getApprovals(r *request) (int, any) { return http.StatusOK, r.merge.approved(r.w, r.user) }

func (m *mergeRequest) approved(w *World, asks *user) map[string]any {
	by, mine := []any{}, false
	for _, a := range m.approvals {
		by = append(by, map[string]any{"user": a.by.basic(w), "approved_at": stamp(a.at)})
		mine = mine || a.by == asks
	}
	return map[string]any{
		"user_has_approved": mine, "user_can_approve": !mine && m.target.level(asks) >= developer,
		"approved": len(by) > 0, "approved_by": by,
	}
}

func approve(r *request) (int, any) {
	m := r.merge
	if sha := r.text("sha"); sha != "" && sha != m.sha {
		return http.StatusConflict, said("SHA does not match HEAD of source branch: " + m.sha)
	}
	if slices.ContainsFunc(m.approvals, func(a approval) bool { return a.by == r.user }) || m.state == "merged" {
		return http.StatusUnauthorized, said("401 Unauthorized")
	}
	now := r.w.tick()
	m.approvals = append(m.approvals, approval{r.user, now})
	m.review(r.user, "approved", now)
	m.system(r.w, r.user, "approved this merge request")
	m.updated = now
	r.w.mergeHook(m, r.user, "approved", nil)
	return http.StatusCreated, m.approved(r.w, r.user)
}

func unapprove(r *request) (int, any) {
	m := r.merge
	before := len(m.approvals)
	m.approvals = slices.DeleteFunc(m.approvals, func(a approval) bool { return a.by == r.user })
	if len(m.approvals) == before {
		return http.StatusNotFound, said("404 Not Found")
	}
	m.review(r.user, "unapproved", r.w.tick())
	m.system(r.w, r.user, "unapproved this merge request")
	r.w.mergeHook(m, r.user, "unapproved", nil)
	return http.StatusCreated, nil
}

// review sets what a reviewer says; approving makes one a reviewer.
func (m *mergeRequest) review(u *user, state string, now time.Time) {
	for _, r := range m.reviewers {
		if r.user == u {
			r.state = state
			return
		}
	}
	m.reviewers = append(m.reviewers, &reviewer{u, state, now})
}

// requestChanges is what a person does in GitLab's pages; its REST API has no word for
// it.
func (w *World) requestChanges(m *mergeRequest, u *user) {
	m.approvals = slices.DeleteFunc(m.approvals, func(a approval) bool { return a.by == u })
	now := w.tick()
	m.review(u, "requested_changes", now)
	m.system(w, u, "requested changes")
	m.updated = now
	w.mergeHook(m, u, "update", nil)
}

func mergesOfCommit(r *request) (int, any) {
	sha := r.path["sha"]
	if _, err := git(r.project.bare, "cat-file", "-e", sha+"^{commit}"); err != nil {
		return http.StatusNotFound, said("404 Commit Not Found")
	}
	out := []any{}
	for _, m := range slices.Backward(r.project.merges) {
		r.w.settle(m)
		if m.sha == "" {
			continue
		}
		has := sha == m.sha || sha == m.mergeCommit
		if !has && m.base != "" {
			list, err := git(r.project.bare, "rev-list", m.base+".."+m.sha)
			has = err == nil && slices.Contains(strings.Fields(list), sha)
		}
		if has {
			out = append(out, m.basic(r.w))
		}
	}
	return http.StatusOK, out
}
