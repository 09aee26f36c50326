package gitlab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	gitlab "github.com/xanzy/go-gitlab"
)

// OpenPullRequests lists the open merge requests. One whose head GitLab has not worked
// out yet is left out: it comes a moment later.
func (r *Repository) OpenPullRequests(ctx context.Context) ([]forge.PullRequest, error) {
	c, err := r.begin(ctx, "list the open merge requests")
	if err != nil {
		return nil, err
	}
	all, err := pages(c, func(o gitlab.ListOptions) ([]*gitlab.MergeRequest, *gitlab.Response, error) {
		return r.client.MergeRequests.ListProjectMergeRequests(r.project, &gitlab.ListProjectMergeRequestsOptions{
			ListOptions: o, State: gitlab.Ptr("opened"), Scope: gitlab.Ptr("all"),
			OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"),
		}, c.opts...)
	}, func(m *gitlab.MergeRequest) int { return m.IID }, nil)
	if err != nil {
		return nil, err
	}
	out := make([]forge.PullRequest, 0, len(all))
	for _, m := range all {
		if m.SHA == "" {
			continue
		}
		p, err := r.pullRequest(ctx, m)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// PullRequest returns a merge request by its iid.
func (r *Repository) PullRequest(ctx context.Context, number int) (forge.PullRequest, error) {
	c, err := r.begin(ctx, fmt.Sprintf("look at merge request !%d", number))
	if err != nil {
		return forge.PullRequest{}, err
	}
	m, resp, err := r.client.MergeRequests.GetMergeRequest(r.project, number, nil, c.opts...)
	if err != nil {
		return forge.PullRequest{}, c.fail(resp, err)
	}
	if m.SHA == "" {
		return forge.PullRequest{}, &forge.CallError{Call: c.what, Class: forge.Wait, Err: errors.New("GitLab has not worked out its head yet")}
	}
	return r.pullRequest(ctx, m)
}

func (r *Repository) pullRequest(ctx context.Context, m *gitlab.MergeRequest) (forge.PullRequest, error) {
	p := forge.PullRequest{
		Number: m.IID, Title: m.Title, URL: m.WebURL,
		Draft: m.Draft || m.WorkInProgress,
		Head:  m.SHA, HeadBranch: m.SourceBranch, HeadRef: headRef(m.IID),
		Fork:       m.SourceProjectID != m.TargetProjectID, // 0 when the fork is gone
		BaseBranch: m.TargetBranch,
		UpdatedAt:  at(m.UpdatedAt),
	}
	if m.TargetProjectID != 0 {
		p.RepositoryID = strconv.Itoa(m.TargetProjectID)
	}
	if m.Author != nil {
		var err error
		if p.Author, err = r.user(ctx, m.Author.ID, m.Author.Username); err != nil {
			return forge.PullRequest{}, err
		}
	}
	switch m.State {
	case "opened", "locked": // locked is while GitLab merges it
		p.State = forge.Open
	case "closed":
		p.State = forge.Closed
	case "merged":
		p.State = forge.Merged
		// A merge commit, or the squashed one, or the head itself where the project
		// merges by moving the branch forward.
		for _, commit := range []string{m.MergeCommitSHA, m.SquashCommitSHA, m.SHA} {
			if p.MergeCommit == "" {
				p.MergeCommit = commit
			}
		}
	default:
		return forge.PullRequest{}, &forge.CallError{Call: fmt.Sprintf("look at merge request !%d", m.IID), Class: forge.Bug, Err: fmt.Errorf("GitLab says it is %q", transport.Line(m.State))}
	}
	return p, nil
}

func headRef(number int) string { return fmt.Sprintf("refs/merge-requests/%d/head", number) }

// robot are the names that GitLab gives the accounts of project and group tokens and
// of services.
var robot = regexp.MustCompile(`^((project|group)_\d+_bot(\d*|_[0-9a-f]+)|service_account_.+|(alert|support|security|automation|migration)-bot\d*|ghost\d*)$`)

// accountID is a user's number as the port has it.
func accountID(id int) string {
	if id <= 0 {
		return ""
	}
	return strconv.Itoa(id)
}

func botName(login string) bool { return robot.MatchString(login) }

// user tells whether an account is a bot. The short form of an account that stands in
// answers does not say, so it is asked once; where that is not allowed, the name
// decides.
func (r *Repository) user(ctx context.Context, id int, login string) (forge.User, error) {
	u := forge.User{Login: login, ID: accountID(id), Bot: botName(login)}
	if u.Bot || id == 0 {
		return u, nil
	}
	r.mu.Lock()
	bot, known := r.bots[id]
	r.mu.Unlock()
	if known {
		u.Bot = bot
		return u, nil
	}
	c, err := r.begin(ctx, "ask who "+login+" is")
	if err != nil {
		return forge.User{}, err
	}
	full, resp, err := r.client.Users.GetUser(id, gitlab.GetUsersOptions{}, c.opts...)
	if err != nil {
		e := c.fail(resp, err)
		if e.Class == forge.Person && (e.Status == 403 || e.Status == 404) {
			return u, nil
		}
		return forge.User{}, e
	}
	r.mu.Lock()
	r.bots[id] = full.Bot
	r.mu.Unlock()
	u.Bot = full.Bot
	return u, nil
}
