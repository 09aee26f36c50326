// Package github is the adapter to GitHub and GitHub Enterprise Server.
//
//	repo, err := github.New(github.Options{Repository: "acme/live", Token: token, HTTPClient: client})
//
// Credentials are a personal token or a GitHub App's installation (see [App]), whose
// tokens are made when they are needed and live an hour. The client's transport is to be
// gitsource/forge/transport's with [Repeatable]: GitHub's client library remembers limits
// per client and answers for the server while one lasts, so that here each call gets a
// client of its own and limits are known in one place.
//
// Rights that are needed: to read contents, and to write issues (comments), pull requests
// (reactions, reviews), statuses and, of an App, checks; for SetWebhook, webhooks too.
// Asking for a person's permission needs the right to push.
//
// A repository that was renamed is found by its old name, by GitHub's redirects, until
// another takes that name.
//
// What GitHub makes special: comments belong to the issue of the same number; the merge
// commit of an open pull request is a trial of GitHub's and not told here; a head whose
// repository was deleted has none; the permission of an account that is not a
// collaborator is "read" where the repository is public.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// Options say which repository, and as whom.
type Options struct {
	// Repository is "owner/name".
	Repository string
	// APIURL is the API's address: "https://ghe.example.com/api/v3"; "" is github.com's.
	// The path may be left out.
	APIURL string
	// Token gives a personal token for each request; not used when App is set.
	Token func(context.Context) (string, error)
	// App is the GitHub App that has the repository in one of its installations.
	App *App
	// HTTPClient carries the requests; nil is a client without repeats and limits.
	HTTPClient *http.Client
}

// Repository is one repository on GitHub.
type Repository struct {
	owner, name string
	api         *api
	app         *App // nil for a personal token
}

var (
	_ forge.Repository   = (*Repository)(nil)
	_ forge.LongTexts    = (*Repository)(nil)
	_ forge.Contributors = (*Repository)(nil)
	_ forge.Accounts     = (*Repository)(nil)
)

// part is what an owner or a repository may be called.
var part = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// New makes the adapter. It asks GitHub nothing.
func New(opts Options) (*Repository, error) {
	owner, name, ok := strings.Cut(opts.Repository, "/")
	if !ok || !isPart(owner) || !isPart(name) {
		return nil, fmt.Errorf("%q is not a repository's name on GitHub: write owner/name", opts.Repository)
	}
	if opts.App == nil && opts.Token == nil {
		return nil, errors.New("GitHub wants a token or an App")
	}
	r := &Repository{owner: owner, name: name, app: opts.App}
	credential := credential{token: opts.Token}
	if opts.App != nil {
		credential.token = func(ctx context.Context) (string, error) { return opts.App.Token(ctx, opts.Repository) }
		credential.refused = opts.App.refused
	}
	a, err := newAPI(opts.APIURL, opts.HTTPClient, credential)
	if err != nil {
		return nil, err
	}
	r.api = a
	return r, nil
}

func isPart(s string) bool { return part.MatchString(s) && s != "." && s != ".." }

// Repeatable tells of the writes that may be done twice without harm: a status replaces
// itself, a reaction is there once, and a second token is one more token.
func Repeatable(req *http.Request) bool {
	return repeatable.MatchString(req.URL.Path)
}

var repeatable = regexp.MustCompile(`/repos/[^/]+/[^/]+/(statuses/[^/]+|issues/comments/\d+/reactions)$|/app/installations/\d+/access_tokens$`)

// Kind is [forge.GitHub].
func (r *Repository) Kind() forge.Kind { return forge.GitHub }

// Name is "owner/name" as it was given.
func (r *Repository) Name() string { return r.owner + "/" + r.name }

// Limits are GitHub's. A comment takes 65,536 characters; as many bytes are never more
// of them.
func (r *Repository) Limits() forge.Limits {
	return forge.Limits{CommentBytes: 65_000, Folds: true, Mermaid: true}
}

// Self asks who the token is of; an App is its bot.
func (r *Repository) Self(ctx context.Context) (forge.User, error) {
	if r.app != nil {
		return r.app.self(ctx)
	}
	u, resp, err := r.api.client().Users.Get(ctx, "")
	if err != nil {
		return forge.User{}, failure("ask GitHub whose token it is", resp, err)
	}
	return userOf(u), nil
}

// Account returns the account that has a login.
func (r *Repository) Account(ctx context.Context, login string) (forge.User, error) {
	call := "ask who " + login + " is"
	if !loginName.MatchString(login) {
		return forge.User{}, &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: nobody on GitHub is called so", forge.ErrNotFound)}
	}
	level, resp, err := r.api.client().Repositories.GetPermissionLevel(ctx, r.owner, r.name, url.PathEscape(login)) // which tells of anybody who
	if err != nil {
		return forge.User{}, failure(call, resp, err)
	}
	return userOf(level.GetUser()), nil
}

// OpenPullRequests lists them by age, so that one that is changed meanwhile does not
// move to another page.
func (r *Repository) OpenPullRequests(ctx context.Context) ([]forge.PullRequest, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
		return r.api.client().PullRequests.List(ctx, r.owner, r.name,
			&github.PullRequestListOptions{State: "open", Sort: "created", Direction: "asc", ListOptions: page})
	})
	if err != nil {
		return nil, err.of("list the open pull requests of " + r.Name())
	}
	seen := map[int]bool{}
	out := make([]forge.PullRequest, 0, len(all))
	for _, pr := range all {
		if !seen[pr.GetNumber()] { // one that was closed meanwhile moves the pages
			out = append(out, pullRequestOf(pr))
		}
		seen[pr.GetNumber()] = true
	}
	return out, nil
}

// PullRequest returns one.
func (r *Repository) PullRequest(ctx context.Context, number int) (forge.PullRequest, error) {
	pr, resp, err := r.api.client().PullRequests.Get(ctx, r.owner, r.name, number)
	if err != nil {
		return forge.PullRequest{}, failure("read pull request "+r.at(number), resp, err)
	}
	return pullRequestOf(pr), nil
}

// at names a pull request in errors.
func (r *Repository) at(number int) string { return fmt.Sprintf("%s#%d", r.Name(), number) }

func pullRequestOf(pr *github.PullRequest) forge.PullRequest {
	head, base := pr.GetHead(), pr.GetBase()
	out := forge.PullRequest{
		Number: pr.GetNumber(), Title: pr.GetTitle(), URL: pr.GetHTMLURL(), Author: userOf(pr.GetUser()),
		State: forge.Open, Draft: pr.GetDraft(),
		Head: head.GetSHA(), HeadBranch: head.GetRef(), HeadRef: fmt.Sprintf("refs/pull/%d/head", pr.GetNumber()),
		Fork:       head.Repo == nil || head.Repo.GetID() != base.GetRepo().GetID(),
		BaseBranch: base.GetRef(), UpdatedAt: pr.GetUpdatedAt().Time,
	}
	if id := base.GetRepo().GetID(); id != 0 {
		out.RepositoryID = strconv.FormatInt(id, 10)
	}
	switch { // a list tells no "merged", but always the time of it
	case !pr.GetMergedAt().IsZero():
		out.State, out.MergeCommit = forge.Merged, pr.GetMergeCommitSHA()
	case pr.GetState() == "closed":
		out.State = forge.Closed
	}
	return out
}

// userOf reads an account; one that was deleted is "ghost", as GitHub's pages say.
func userOf(u *github.User) forge.User {
	login := u.GetLogin()
	if login == "" {
		login = "ghost"
	}
	out := forge.User{Login: login, Bot: u.GetType() == "Bot" || strings.HasSuffix(login, "[bot]")}
	if u.GetLogin() != "" && u.GetID() > 0 {
		out.ID = strconv.FormatInt(u.GetID(), 10)
	}
	return out
}

// Comments lists the comments; GitHub gives them by age.
func (r *Repository) Comments(ctx context.Context, number int, since time.Time) ([]forge.Comment, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.IssueComment, *github.Response, error) {
		opts := &github.IssueListCommentsOptions{ListOptions: page}
		if !since.IsZero() {
			whole := since.UTC().Truncate(time.Second) // GitHub's times are whole seconds
			opts.Since = &whole
		}
		return r.api.client().Issues.ListComments(ctx, r.owner, r.name, number, opts)
	})
	if err != nil {
		return nil, err.of("list the comments of " + r.at(number))
	}
	seen := map[int64]bool{}
	out := make([]forge.Comment, 0, len(all))
	for _, c := range all {
		if !seen[c.GetID()] {
			out = append(out, commentOf(c))
		}
		seen[c.GetID()] = true
	}
	slices.SortStableFunc(out, func(a, b forge.Comment) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

func commentOf(c *github.IssueComment) forge.Comment {
	out := forge.Comment{ID: fmt.Sprint(c.GetID()), Author: userOf(c.User), Body: c.GetBody(), URL: c.GetHTMLURL(), CreatedAt: c.GetCreatedAt().Time}
	if edited := c.GetUpdatedAt().Time; edited.After(out.CreatedAt) {
		out.EditedAt = edited
	}
	return out
}

// Comment returns one comment. One of another pull request is not found.
func (r *Repository) Comment(ctx context.Context, number int, id string) (forge.Comment, error) {
	call := fmt.Sprintf("read comment %s of %s", id, r.at(number))
	n, err := idOf(call, id)
	if err != nil {
		return forge.Comment{}, err
	}
	c, resp, err := r.api.client().Issues.GetComment(ctx, r.owner, r.name, n)
	if err != nil {
		return forge.Comment{}, failure(call, resp, err)
	}
	if !strings.HasSuffix(c.GetIssueURL(), fmt.Sprintf("/issues/%d", number)) {
		return forge.Comment{}, &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: it belongs to another", forge.ErrNotFound)}
	}
	return commentOf(c), nil
}

// CreateComment writes a comment.
func (r *Repository) CreateComment(ctx context.Context, number int, body string) (forge.Comment, error) {
	c, resp, err := r.api.client().Issues.CreateComment(ctx, r.owner, r.name, number, &github.IssueComment{Body: &body})
	if err != nil {
		return forge.Comment{}, failureOfWrite("create a comment on "+r.at(number), resp, err)
	}
	return commentOf(c), nil
}

// EditComment replaces a body.
func (r *Repository) EditComment(ctx context.Context, number int, id, body string) (forge.Comment, error) {
	call := fmt.Sprintf("edit comment %s of %s", id, r.at(number))
	n, err := idOf(call, id)
	if err != nil {
		return forge.Comment{}, err
	}
	c, resp, err := r.api.client().Issues.EditComment(ctx, r.owner, r.name, n, &github.IssueComment{Body: &body})
	if err != nil {
		return forge.Comment{}, failure(call, resp, err)
	}
	return commentOf(c), nil
}

// React puts a reaction on a comment.
func (r *Repository) React(ctx context.Context, number int, comment string, reaction forge.Reaction) error {
	call := fmt.Sprintf("react to comment %s of %s", comment, r.at(number))
	n, err := idOf(call, comment)
	if err != nil {
		return err
	}
	_, resp, err := r.api.client().Reactions.CreateIssueCommentReaction(ctx, r.owner, r.name, n, string(reaction))
	return failure(call, resp, err)
}

// descriptionRunes is what a status takes.
const descriptionRunes = 140

// SetStatus sets a commit status. GitHub takes a thousand of one context for a commit.
func (r *Repository) SetStatus(ctx context.Context, commit string, s forge.Status) error {
	call := fmt.Sprintf("set the status %q of commit %s in %s", s.Context, commit, r.Name())
	if !isCommit(commit) {
		return &forge.CallError{Call: call, Class: forge.Bug, Err: errors.New("this is not a commit's name")}
	}
	status := &github.RepoStatus{State: github.String(string(s.State)), Context: &s.Context, Description: github.String(cut(s.Description, descriptionRunes))}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, resp, err := r.api.client().Repositories.CreateStatus(ctx, r.owner, r.name, commit, status)
	return failure(call, resp, err)
}

var commitName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

func isCommit(s string) bool { return commitName.MatchString(s) }

// cut shortens a line to a number of characters.
func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// Reviews lists the reviews that are in force.
func (r *Repository) Reviews(ctx context.Context, number int) ([]forge.Review, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.PullRequestReview, *github.Response, error) {
		return r.api.client().PullRequests.ListReviews(ctx, r.owner, r.name, number, &page)
	})
	if err != nil {
		return nil, err.of("list the reviews of " + r.at(number))
	}
	return inForce(all), nil
}

// inForce keeps each person's newest opinion. A remark ("COMMENTED") is none and leaves
// the one before standing; a dismissed review is one that no longer counts, and what it
// replaced does not come back. Nobody can be asked about the review of a deleted account.
func inForce(all []*github.PullRequestReview) []forge.Review {
	slices.SortStableFunc(all, func(a, b *github.PullRequestReview) int {
		return a.GetSubmittedAt().Compare(b.GetSubmittedAt().Time)
	})
	newest := map[string]forge.Review{}
	for _, review := range all {
		author := review.GetUser()
		if author.GetLogin() == "" {
			continue
		}
		out := forge.Review{ID: fmt.Sprint(review.GetID()), Author: userOf(author), Commit: review.GetCommitID(), At: review.GetSubmittedAt().Time}
		switch review.GetState() {
		case "APPROVED":
			out.State = forge.Approved
		case "CHANGES_REQUESTED":
			out.State = forge.ChangesRequested
		case "DISMISSED":
			delete(newest, author.GetLogin())
			continue
		default:
			continue
		}
		newest[author.GetLogin()] = out
	}
	out := make([]forge.Review, 0, len(newest))
	for _, review := range newest {
		out = append(out, review)
	}
	slices.SortFunc(out, func(a, b forge.Review) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// loginName is what accounts are called; Apps end in "[bot]", and accounts that a
// company manages have an underscore.
var loginName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}(\[bot\])?$`)

// Permission tells what an account may do. GitHub folds its five roles into these:
// "triage" reads, "maintain" writes.
func (r *Repository) Permission(ctx context.Context, login string) (forge.Permission, error) {
	if !loginName.MatchString(login) {
		return forge.None, nil
	}
	call := fmt.Sprintf("ask what %s may do in %s", login, r.Name())
	level, resp, err := r.api.client().Repositories.GetPermissionLevel(ctx, r.owner, r.name, url.PathEscape(login))
	if err != nil && resp != nil && resp.StatusCode == http.StatusNotFound {
		// There is no such account, or this token may not see the repository.
		if _, resp, err := r.api.client().Repositories.Get(ctx, r.owner, r.name); err != nil {
			return forge.None, failure(call, resp, err)
		}
		return forge.None, nil
	}
	if err != nil {
		return forge.None, failure(call, resp, err)
	}
	switch level.GetPermission() {
	case "admin":
		return forge.Admin, nil
	case "write", "maintain":
		return forge.Write, nil
	case "read", "triage":
		return forge.Read, nil
	}
	return forge.None, nil
}
