package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	gitlab "github.com/xanzy/go-gitlab"
)

// maxStatusText is how many characters GitLab takes for a status's description, its
// name and its URL.
const maxStatusText = 255

var statusStates = map[forge.StatusState]gitlab.BuildStateValue{
	forge.Pending: gitlab.Pending, forge.Success: gitlab.Success, forge.Failure: gitlab.Failed, forge.Error: gitlab.Failed,
}

// refused is what GitLab says when a status is not to move as asked:
// "Cannot transition status via :enqueue from :pending".
var refused = regexp.MustCompile(`Cannot transition status via :\w+ from :(\w+)`)

// SetStatus sets a commit status in the pipeline of the commit's merge request. GitLab
// has no error state: it is a failure there.
func (r *Repository) SetStatus(ctx context.Context, commit string, s forge.Status) error {
	c, err := r.begin(ctx, fmt.Sprintf("set the status %q of commit %.8s", s.Context, commit))
	if err != nil {
		return err
	}
	state, ok := statusStates[s.State]
	if !ok {
		return &forge.CallError{Call: c.what, Class: forge.Bug, Err: fmt.Errorf("%q is no state of a status", s.State)}
	}
	ref, err := r.statusRef(ctx, commit)
	if err != nil {
		return err
	}
	o := gitlab.SetCommitStatusOptions{State: state, Name: gitlab.Ptr(cut(s.Context, maxStatusText)), Description: gitlab.Ptr(cut(s.Description, maxStatusText))}
	if ref != "" {
		o.Ref = &ref
	}
	if s.URL != "" && len(s.URL) <= maxStatusText { // half an address is worse than none
		o.TargetURL = &s.URL
	}
	_, resp, err := r.client.Commits.SetCommitStatus(r.project, commit, &o, c.opts...)
	if err == nil {
		return nil
	}
	if resp != nil && resp.Response != nil && resp.StatusCode == http.StatusBadRequest {
		if m := refused.FindStringSubmatch(c.said()); m != nil && (m[1] == string(state) || m[1] == "running" && state == gitlab.Pending) {
			return nil // it is there already
		}
	}
	return c.fail(resp, err)
}

// statusRef is the ref whose pipeline gets a commit's statuses; "" leaves it to GitLab,
// which takes a branch that has the commit.
func (r *Repository) statusRef(ctx context.Context, commit string) (string, error) {
	r.mu.Lock()
	ref, known := r.refs[commit]
	r.mu.Unlock()
	if known {
		return ref, nil
	}
	c, err := r.begin(ctx, fmt.Sprintf("find the merge request of commit %.8s", commit))
	if err != nil {
		return "", err
	}
	ms, resp, err := r.client.Commits.ListMergeRequestsByCommit(r.project, commit, c.opts...)
	if err != nil {
		return "", c.fail(resp, err)
	}
	stays := false
	for _, m := range ms {
		if m.SHA != commit {
			continue // it has the commit, and newer ones
		}
		// The list does not tell pipelines.
		full, resp, err := r.client.MergeRequests.GetMergeRequest(r.project, m.IID, nil, c.opts...)
		if err != nil {
			return "", c.fail(resp, err)
		}
		switch {
		case full.HeadPipeline != nil && full.HeadPipeline.SHA == commit:
			// One of statuses only ("external") makes way for one of jobs, which may
			// begin a moment from now.
			ref, stays = full.HeadPipeline.Ref, full.HeadPipeline.Source != "external"
		case full.SourceProjectID == full.TargetProjectID:
			ref = full.SourceBranch
		default:
			// A fork's branch may have the name of one of ours.
			ref = headRef(full.IID)
		}
		break
	}
	if !stays { // "" for a commit that was merged, or whose merge request GitLab does not know yet
		return ref, nil
	}
	r.mu.Lock()
	if len(r.refs) > 10_000 { // of commits long gone
		clear(r.refs)
	}
	r.refs[commit] = ref
	r.mu.Unlock()
	return ref, nil
}
