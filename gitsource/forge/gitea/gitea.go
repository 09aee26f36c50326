// Package gitea works with pull requests on Gitea and Forgejo: it is [forge.Repository]
// and [forge.WebhookParser] on their API.
//
//	repo, err := gitea.New(gitea.Options{
//		URL: "https://git.example.com", Repository: "acme/infra", Token: token,
//		HTTPClient: &http.Client{Transport: transport.New(transport.Options{Repeatable: gitea.Repeatable})},
//	})
//
// The account needs to be an administrator of the repository: nobody else may ask
// what others are allowed, or set webhooks. Its token needs the scopes
// write:repository, write:issue and read:user, and read:organization where teams are
// allowed something.
//
// # What Gitea does differently
//
// All of it was seen on Gitea 1.26.0, on which the tests of this package run; Forgejo
// has the same API and was not tried.
//
//   - A pull request that is asked for by number tells as its head what the branch
//     points to at the moment, also long after it was merged; a listed one tells what
//     refs/pull/N/head points to. Here it is always the latter, for one more request:
//     a head that can be fetched, and that does not jump back and forth between
//     two answers.
//   - A pull request can come without a branch (git push origin HEAD:refs/for/main),
//     from anybody who may read. It counts as one of a fork.
//   - Comments are not cut into pages. Times are whole seconds, so an edit within the
//     second of writing is not told; what is written in a review is no comment.
//   - A review holds until its author writes another or is asked for one again, or
//     until somebody dismisses it; of a dismissal no webhook tells. "Stale" ones
//     hold: who asks compares [forge.Review].Commit.
//   - A webhook's secret cannot be changed. It is replaced by a new webhook, so that for
//     a moment both deliver.
//   - Setting a status on a commit that does not exist, and asking for or writing comments
//     of a pull request that does not, is an internal error (500). Another request then
//     tells [forge.ErrNotFound] from trouble.
//   - Lists have no ETag: asking again costs as much as asking. There are no rate limits
//     but those of a proxy in front.
//   - What a team is allowed is not among what its members are said to be allowed: see
//     [Repository.Permission].
//   - Deleting a fork closes its pull requests.
package gitea

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

// commentBytes is the longest comment. Gitea itself has no limit; reverse proxies
// have, 1 MB being nginx's, and pages of longer ones are slow to render. Comments of
// this length were written and read.
const commentBytes = 200_000

// statusChars is where a status' description is cut. Gitea keeps any length but shows
// one line.
const statusChars = 255

// pageSize is Gitea's default for the largest page that it gives (MAX_RESPONSE_ITEMS).
const pageSize = 50

// Options say which repository, and who asks.
type Options struct {
	// URL is the address of the site: "https://git.example.com", with a path when
	// Gitea is not at the root.
	URL string
	// Repository is "owner/name".
	Repository string
	// Token returns the access token to use now.
	Token func(context.Context) (string, error)
	// HTTPClient carries requests out; nil is [http.DefaultClient], which repeats
	// nothing.
	HTTPClient *http.Client
}

// Repository is a repository on a Gitea server.
type Repository struct {
	url, owner, name string
	token            func(context.Context) (string, error)
	http             *http.Client
}

var (
	_ forge.Repository   = (*Repository)(nil)
	_ forge.Contributors = (*Repository)(nil)
	_ forge.Accounts     = (*Repository)(nil)
)

// New checks the options. It asks nobody.
func New(o Options) (*Repository, error) {
	site, err := url.Parse(o.URL)
	if err != nil || site.Scheme != "https" && site.Scheme != "http" || site.Host == "" {
		return nil, fmt.Errorf("the address of Gitea is %q, want one like https://git.example.com", redacted(o.URL))
	}
	if site.User != nil || site.RawQuery != "" || site.Fragment != "" {
		return nil, fmt.Errorf("the address of Gitea is %q: it must hold no credentials and nothing after the path", site.Redacted())
	}
	if strings.HasSuffix(strings.TrimRight(site.Path, "/"), "/api/v1") {
		return nil, fmt.Errorf("the address of Gitea is %q: leave out /api/v1", site)
	}
	owner, name, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("the repository is %q, want owner/name", o.Repository)
	}
	if o.Token == nil {
		return nil, errors.New("no access token for Gitea")
	}
	client := o.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	return &Repository{url: strings.TrimRight(site.String(), "/"), owner: owner, name: name, token: o.Token, http: client}, nil
}

// redacted leaves of an address that cannot be read what certainly is no secret.
func redacted(address string) string {
	if _, host, ok := strings.Cut(address, "@"); ok {
		return "…@" + host
	}
	return address
}

var repeatable = regexp.MustCompile(`/api/v1/repos/[^/]+/[^/]+/(statuses/[^/]+|issues/comments/[0-9]+/reactions)$`)

// Repeatable tells of the POST requests that doing twice is like doing once: statuses
// replace one another, and a reaction is there or not. It is for
// [transport.Options].Repeatable.
func Repeatable(req *http.Request) bool { return repeatable.MatchString(req.URL.EscapedPath()) }

// Kind is [forge.Gitea].
func (r *Repository) Kind() forge.Kind { return forge.Gitea }

// Name is "owner/name".
func (r *Repository) Name() string { return r.owner + "/" + r.name }

// Limits are what Gitea takes.
func (r *Repository) Limits() forge.Limits {
	return forge.Limits{CommentBytes: commentBytes, Folds: true, Mermaid: true}
}

// Self is the account that the token is of.
func (r *Repository) Self(ctx context.Context) (forge.User, error) {
	var me *sdk.User
	err := r.call(ctx, "ask whose token it is", func(c *sdk.Client) (resp *sdk.Response, err error) {
		me, resp, err = c.GetMyUserInfo()
		return resp, err
	})
	if err != nil {
		return forge.User{}, err
	}
	return userOf(me), nil
}

// Account returns the account that has a login.
func (r *Repository) Account(ctx context.Context, login string) (forge.User, error) {
	what := "ask who " + login + " is"
	if login == "" {
		return forge.User{}, &forge.CallError{Call: what, Class: forge.Person, Err: fmt.Errorf("%w: no login", forge.ErrNotFound)}
	}
	var u *sdk.User
	err := r.call(ctx, what, func(c *sdk.Client) (resp *sdk.Response, err error) {
		u, resp, err = c.GetUserInfo(login)
		return resp, err
	})
	if err != nil {
		return forge.User{}, err
	}
	return userOf(u), nil
}

// SetStatus sets a commit status. Nothing is lost when it is done twice.
func (r *Repository) SetStatus(ctx context.Context, commit string, s forge.Status) error {
	if commit == "" {
		return &forge.CallError{Call: "set the status " + s.Context, Class: forge.Bug, Err: errors.New("no commit")}
	}
	err := r.call(ctx, "set the status "+s.Context, func(c *sdk.Client) (*sdk.Response, error) {
		_, resp, err := c.CreateStatus(r.owner, r.name, commit, sdk.CreateStatusOption{
			State: sdk.StatusState(s.State), TargetURL: s.URL, Description: cut(s.Description, statusChars), Context: s.Context,
		})
		return resp, err
	})
	return r.orMissing(ctx, err, func(c *sdk.Client) (*sdk.Response, error) {
		_, resp, err := c.GetSingleCommit(r.owner, r.name, commit)
		return resp, err
	})
}

// orMissing looks after an internal error whether what a call was about is there: Gitea
// says that also of what is not.
func (r *Repository) orMissing(ctx context.Context, err error, look func(*sdk.Client) (*sdk.Response, error)) error {
	var failed *forge.CallError
	if !errors.As(err, &failed) || failed.Status != http.StatusInternalServerError {
		return err
	}
	if missing := r.call(ctx, failed.Call, look); errors.Is(missing, forge.ErrNotFound) {
		return missing
	}
	return err
}

func (r *Repository) lookAtPull(number int) func(*sdk.Client) (*sdk.Response, error) {
	return func(c *sdk.Client) (*sdk.Response, error) {
		_, resp, err := c.GetPullRequest(r.owner, r.name, int64(number))
		return resp, err
	}
}

// cut makes one line of at most n characters.
func cut(s string, n int) string {
	line := []rune(strings.Join(strings.Fields(s), " "))
	if len(line) <= n {
		return string(line)
	}
	return string(line[:n-1]) + "…"
}

// userOf is an account. Numbers below 1 are Gitea's own: a deleted account is "Ghost",
// and there are some for its automation.
func userOf(u *sdk.User) forge.User {
	if u == nil {
		return forge.User{Login: "Ghost", Bot: true}
	}
	if u.ID < 1 {
		return forge.User{Login: u.UserName, Bot: true}
	}
	return forge.User{Login: u.UserName, ID: strconv.FormatInt(u.ID, 10)}
}

// call does one exchange. The SDK's clients hold the context and the token, so each
// call has its own. The error is a *forge.CallError.
func (r *Repository) call(ctx context.Context, what string, do func(*sdk.Client) (*sdk.Response, error)) error {
	token, err := r.token(ctx)
	if err != nil {
		return &forge.CallError{Call: what, Class: forge.Person, Err: fmt.Errorf("get the access token: %w", err)}
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return &forge.CallError{Call: what, Class: forge.Person, Err: errors.New("the access token is empty")}
	}
	client, err := sdk.NewClient(r.url, sdk.SetGiteaVersion(""), sdk.SetHTTPClient(r.http), sdk.SetContext(ctx), sdk.SetToken(token), sdk.SetUserAgent("stackreeve"))
	if err != nil {
		return &forge.CallError{Call: what, Class: forge.Bug, Err: err}
	}
	resp, err := do(client)
	if err == nil {
		return nil
	}
	return failure(what, httpOf(resp), token, err) //nolint:bodyclose // the SDK has read and closed it
}

// create is call for what must not be done twice.
func (r *Repository) create(ctx context.Context, what string, do func(*sdk.Client) (*sdk.Response, error)) error {
	var unknown bool
	err := r.call(ctx, what, func(c *sdk.Client) (*sdk.Response, error) {
		resp, err := do(c)
		unknown = transport.IsUnknown(httpOf(resp), err) //nolint:bodyclose // the SDK has read and closed it
		return resp, err
	})
	var failed *forge.CallError
	if unknown && errors.As(err, &failed) {
		failed.Err = fmt.Errorf("%w: %w", forge.ErrUnknownOutcome, failed.Err)
	}
	return err
}

func httpOf(resp *sdk.Response) *http.Response {
	if resp == nil {
		return nil
	}
	return resp.Response
}

// failure classifies what went wrong. What the server wrote is quoted, but for our
// token, which a proxy may have echoed.
func failure(what string, resp *http.Response, token string, err error) *forge.CallError {
	if resp == nil {
		return transport.Failure(what, nil, "", err)
	}
	if resp.StatusCode == http.StatusNoContent { // "that is no comment"
		return &forge.CallError{Call: what, Status: resp.StatusCode, Class: forge.Person, Err: forge.ErrNotFound}
	}
	said := err.Error()
	if strings.HasPrefix(said, "unknown API error") { // not of Gitea; a whole page perhaps
		said = ""
	}
	return transport.Failure(what, resp, strings.ReplaceAll(said, token, "[token]"), err)
}

// pages asks for every page of a list. Lists change while they are read, and one that
// became shorter may have moved an entry to a page that was read already: then it is
// read anew, twice at most.
func pages[T any](id func(T) int64, page func(sdk.ListOptions) ([]T, *sdk.Response, error)) ([]T, *sdk.Response, error) {
	for again := 2; ; again-- {
		all, resp, shrunk, err := pagesOnce(id, page)
		if err != nil || !shrunk || again == 0 {
			return all, resp, err
		}
	}
}

func pagesOnce[T any](id func(T) int64, page func(sdk.ListOptions) ([]T, *sdk.Response, error)) (all []T, resp *sdk.Response, shrunk bool, err error) {
	seen := map[int64]bool{}
	first := -1
	for number := 1; ; number++ {
		var items []T
		items, resp, err = page(sdk.ListOptions{Page: number, PageSize: pageSize})
		if err != nil {
			return nil, resp, false, err
		}
		before := len(all)
		for _, item := range items {
			if !seen[id(item)] {
				seen[id(item)] = true
				all = append(all, item)
			}
		}
		total, err := strconv.Atoi(resp.Header.Get("X-Total-Count"))
		isTotal := err == nil
		if number == 1 && isTotal {
			first = total
		}
		switch {
		case isTotal && total < first:
			return all, resp, true, nil
		case len(all) == before, isTotal && len(all) >= total, !isTotal && resp.NextPage == 0:
			return all, resp, false, nil // an unpaged list repeats itself on the next page
		}
	}
}
