package lab

import (
	"net/http"
	"strconv"
)

func (u *user) full(w *World) map[string]any {
	out := u.basic(w)
	out["bot"] = u.bot
	out["created_at"] = "2024-01-01T00:00:00.000Z"
	out["bio"] = ""
	out["location"] = ""
	return out
}

func getSelf(r *request) (int, any) { return http.StatusOK, r.user.full(r.w) }

func listUsers(r *request) (int, any) {
	out := []any{}
	if u := r.w.userNamed(r.text("username")); u != nil {
		out = append(out, u.basic(r.w))
	}
	return http.StatusOK, out
}

func (r *request) someone() *user {
	for _, u := range r.w.users {
		if strconv.Itoa(u.id) == r.path["user"] {
			return u
		}
	}
	return nil
}

func getUser(r *request) (int, any) {
	u := r.someone()
	if u == nil {
		return http.StatusNotFound, said("404 User Not Found")
	}
	return http.StatusOK, u.full(r.w)
}

func getMember(r *request) (int, any) {
	u := r.someone()
	if u == nil || r.project.members[u.id] == 0 {
		return http.StatusNotFound, said("404 Not found")
	}
	out := u.basic(r.w)
	out["access_level"] = r.project.members[u.id]
	out["created_at"] = stamp(r.project.created)
	out["expires_at"] = nil
	out["membership_state"] = "active"
	return http.StatusOK, out
}

func getProject(r *request) (int, any) {
	p := r.project
	name := p.path
	for i, c := range p.path {
		if c == '/' {
			name = p.path[i+1:]
		}
	}
	return http.StatusOK, map[string]any{
		"id": p.id, "description": nil, "name": name, "name_with_namespace": p.path, "path": name, "path_with_namespace": p.path,
		"created_at": stamp(p.created), "default_branch": "main", "tag_list": []any{}, "topics": []any{},
		"http_url_to_repo": r.w.URL + "/" + p.path + ".git", "ssh_url_to_repo": "git@localhost:" + p.path + ".git", "web_url": r.w.URL + "/" + p.path,
		"avatar_url": nil, "forks_count": 0, "star_count": 0, "last_activity_at": stamp(p.created), "visibility": p.visibility,
	}
}
