package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	gitlab "github.com/xanzy/go-gitlab"
)

// operation is one of the API's that is imitated: what it takes, what it answers, and
// who may do it. Parameters were read in GitLab's documentation of its REST API and in
// its OpenAPI description (of 2026); a type is a letter (string, integer, boolean,
// array), and "!" means that it is required.
type operation struct {
	method, path string
	params       string // "state:s page:i"
	level        int
	answer       reflect.Type // of an entry when it is a list; nil when there is no body
	list, paged  bool
	partial      bool // only the fields that matter are answered
	handle       func(*request) (int, any)
}

const paging = " page:i per_page:i"

func of[T any]() reflect.Type { return reflect.TypeFor[T]() }

// operations is the table. It is never changed.
var operations = []operation{
	{method: "GET", path: "/user", answer: of[gitlab.User](), handle: getSelf},
	{method: "GET", path: "/users", params: "username:s active:b" + paging, answer: of[gitlab.User](), list: true, paged: true, handle: listUsers},
	{method: "GET", path: "/users/:user", answer: of[gitlab.User](), handle: getUser},
	{method: "GET", path: "/projects/:id", params: "statistics:b license:b", answer: of[gitlab.Project](), partial: true, handle: getProject},
	{method: "GET", path: "/projects/:id/members/all/:user", answer: of[gitlab.ProjectMember](), handle: getMember},

	{method: "GET", path: "/projects/:id/merge_requests", params: "state:s scope:s order_by:s sort:s view:s source_branch:s target_branch:s with_merge_status_recheck:b updated_after:s" + paging, answer: of[gitlab.MergeRequest](), list: true, paged: true, handle: listMerges},
	{method: "POST", path: "/projects/:id/merge_requests", params: "title:s! source_branch:s! target_branch:s! target_project_id:i description:s", answer: of[gitlab.MergeRequest](), handle: createMerge},
	{method: "GET", path: "/projects/:id/merge_requests/:iid", params: "include_diverged_commits_count:b include_rebase_in_progress:b render_html:b", answer: of[gitlab.MergeRequest](), handle: getMerge},
	{method: "PUT", path: "/projects/:id/merge_requests/:iid", params: "state_event:s title:s description:s target_branch:s", level: developer, answer: of[gitlab.MergeRequest](), handle: updateMerge},
	{method: "PUT", path: "/projects/:id/merge_requests/:iid/merge", params: "sha:s merge_commit_message:s should_remove_source_branch:b squash:b auto_merge:b", level: developer, answer: of[gitlab.MergeRequest](), handle: acceptMerge},
	{method: "GET", path: "/projects/:id/merge_requests/:iid/versions", params: strings.TrimSpace(paging), answer: of[gitlab.MergeRequestDiffVersion](), list: true, paged: true, handle: listVersions},
	{method: "GET", path: "/projects/:id/merge_requests/:iid/reviewers", answer: of[gitlab.MergeRequestReviewer](), list: true, handle: listReviewers},
	{method: "GET", path: "/projects/:id/merge_requests/:iid/approvals", answer: of[gitlab.MergeRequestApprovals](), handle: getApprovals},
	{method: "POST", path: "/projects/:id/merge_requests/:iid/approve", params: "sha:s", level: developer, answer: of[gitlab.MergeRequestApprovals](), handle: approve},
	{method: "POST", path: "/projects/:id/merge_requests/:iid/unapprove", level: developer, handle: unapprove},

	{method: "GET", path: "/projects/:id/merge_requests/:iid/notes", params: "sort:s order_by:s" + paging, answer: of[gitlab.Note](), list: true, paged: true, handle: listNotes},
	{method: "POST", path: "/projects/:id/merge_requests/:iid/notes", params: "body:s! created_at:s internal:b", answer: of[gitlab.Note](), handle: createNote},
	{method: "GET", path: "/projects/:id/merge_requests/:iid/notes/:note", answer: of[gitlab.Note](), handle: getNote},
	{method: "PUT", path: "/projects/:id/merge_requests/:iid/notes/:note", params: "body:s!", answer: of[gitlab.Note](), handle: updateNote},
	{method: "DELETE", path: "/projects/:id/merge_requests/:iid/notes/:note", handle: deleteNote},
	{method: "GET", path: "/projects/:id/merge_requests/:iid/notes/:note/award_emoji", params: strings.TrimSpace(paging), answer: of[gitlab.AwardEmoji](), list: true, paged: true, handle: listAwards},
	{method: "POST", path: "/projects/:id/merge_requests/:iid/notes/:note/award_emoji", params: "name:s!", answer: of[gitlab.AwardEmoji](), handle: createAward},

	{method: "POST", path: "/projects/:id/statuses/:sha", params: "state:s! ref:s name:s context:s target_url:s description:s pipeline_id:i", level: developer, answer: of[gitlab.CommitStatus](), handle: setStatus},
	{method: "GET", path: "/projects/:id/repository/commits/:sha/statuses", params: "ref:s stage:s name:s all:b pipeline_id:i order_by:s sort:s" + paging, answer: of[gitlab.CommitStatus](), list: true, paged: true, handle: listStatuses},
	{method: "GET", path: "/projects/:id/repository/commits/:sha/merge_requests", params: "state:s" + paging, answer: of[gitlab.MergeRequest](), list: true, paged: true, handle: mergesOfCommit},

	{method: "GET", path: "/projects/:id/hooks", params: strings.TrimSpace(paging), level: maintainer, answer: of[gitlab.ProjectHook](), list: true, paged: true, handle: listHooks},
	{method: "POST", path: "/projects/:id/hooks", params: "url:s! " + hookParams, level: maintainer, answer: of[gitlab.ProjectHook](), handle: createHook},
	{method: "PUT", path: "/projects/:id/hooks/:hook", params: "url:s " + hookParams, level: maintainer, answer: of[gitlab.ProjectHook](), handle: updateHook},
}

const hookParams = "name:s description:s token:s signing_token:s enable_ssl_verification:b push_events:b push_events_branch_filter:s branch_filter_strategy:s " +
	"issues_events:b confidential_issues_events:b merge_requests_events:b tag_push_events:b note_events:b confidential_note_events:b job_events:b pipeline_events:b " +
	"wiki_page_events:b deployment_events:b feature_flag_events:b releases_events:b milestone_events:b emoji_events:b resource_access_token_events:b custom_webhook_template:s"

// read reads the parameters of a request and says what is wrong with them.
func (op *operation) read(query url.Values, kind string, body []byte) (map[string]any, []string) {
	var wrong []string
	params := map[string]any{}
	if len(body) > 0 {
		switch {
		case strings.HasPrefix(kind, "application/json"):
			if err := json.Unmarshal(body, &params); err != nil {
				wrong = append(wrong, "the body is no JSON object: "+err.Error())
			}
		case strings.HasPrefix(kind, "application/x-www-form-urlencoded"):
			form, err := url.ParseQuery(string(body))
			if err != nil {
				wrong = append(wrong, "the body is no form: "+err.Error())
			}
			for k, v := range form {
				params[k] = v[0]
			}
		default:
			wrong = append(wrong, fmt.Sprintf("a body of type %q", kind))
		}
	}
	for k, v := range query {
		params[k] = v[0]
	}
	types := map[string]string{}
	for _, p := range strings.Fields(op.params) {
		name, kind, _ := strings.Cut(p, ":")
		types[name] = kind
		if strings.HasSuffix(kind, "!") && params[name] == nil {
			wrong = append(wrong, name+" is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		kind, known := types[name]
		if !known {
			wrong = append(wrong, fmt.Sprintf("has no parameter %q", name))
			continue
		}
		value, ok := as(strings.TrimSuffix(kind, "!"), params[name])
		if !ok {
			wrong = append(wrong, name+" is invalid")
		}
		params[name] = value
	}
	return params, wrong
}

// as reads a value as a parameter's type; texts of numbers and booleans are taken for
// them, as GitLab does.
func as(kind string, v any) (any, bool) {
	switch kind {
	case "s":
		s, ok := v.(string)
		return s, ok
	case "i":
		switch v := v.(type) {
		case float64:
			return int(v), v == float64(int(v))
		case string:
			n, err := strconv.Atoi(v)
			return n, err == nil
		}
	case "b":
		switch v := v.(type) {
		case bool:
			return v, true
		case string:
			b, err := strconv.ParseBool(v)
			return b, err == nil
		}
	}
	return nil, false
}

// newer are the fields that GitLab answers and the library, which is frozen, does not
// know. They are in GitLab's OpenAPI description, but for those of notes and of users,
// which nothing here checks.
var newer = map[string]string{
	"MergeRequest":             "merge_user imported imported_from merge_after prepared_at squash_on_merge approvals_before_merge latest_build_started_at latest_build_finished_at first_deployed_to_production_at",
	"MergeRequestApproverUser": "approved_at",
	"MergeRequestDiffVersion":  "patch_id_sha",
	"BasicUser":                "public_email locked",
	"User":                     "public_email locked",
	"ProjectMember":            "public_email locked membership_state",
	"Note":                     "commands_changes imported imported_from",
	"AwardEmoji":               "url",
	"ProjectHook":              "repository_update_events disabled_until branch_filter_strategy token_present signing_token_present feature_flag_events milestone_events emoji_events resource_deploy_token_events vulnerability_events",
	"":                         "public_email locked avatar_url web_url state", // accounts within others
	"Author":                   "public_email locked avatar_url web_url",
	"Pipeline":                 "archived",
}
