// Package gitlab is the forge port on GitLab's REST API v4: gitlab.com and servers of
// one's own.
//
// What GitLab calls a merge request is a pull request here, its iid the number, and a
// note a comment. A project is named by its whole path, however deep its group is:
// "group/sub/name".
//
// What GitLab has no word for, and what is made of it:
//
//   - An approval does not say for which commit it was given. The commit is found from
//     the versions of the merge request: the one that stood when the approval came. An
//     approval less than a second after a push gets no commit.
//   - A commit status lives in a pipeline, and a pipeline on a ref. Statuses go to the
//     ref of the merge request's own newest pipeline when it is of that commit, so that
//     they stand beside those of its jobs; else to the source branch, or for a fork to
//     the merge request's ref. One that was set before the jobs' pipeline began stays
//     where it is, and nothing can be set in a pipeline of a merged result, whose commit
//     is GitLab's own. GitLab refuses a move to the state that a status has; that is
//     taken as done, and the description from before stays until the state moves.
//   - An award on a note that is there already is refused; that too is taken as done.
//   - A webhook's secret comes back in clear in a header (X-Gitlab-Token). GitLab can
//     sign as well (webhook-signature); either is accepted.
//
// GitLab takes lines of a note that begin with "/" outside of code as commands to it
// ("quick actions"): whoever writes comments must not let foreign text begin a line.
//
// The package has never talked to a real GitLab: it is proved on an imitation
// (forgetest/lab) and on recorded answers and payloads.
package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	gitlab "github.com/xanzy/go-gitlab"
)

// Options are what a [Repository] is made of.
type Options struct {
	// URL is where GitLab is, with the path that it is under if any:
	// "https://git.example.com/gitlab". "" is https://gitlab.com.
	URL string
	// Project is the path of the project: "group/sub/name".
	Project string
	// Token returns an access token (personal, group, project or OAuth) with the scope
	// "api". It is asked before every call.
	Token func(context.Context) (string, error)
	// HTTPClient does the calls; retries and limits are its affair. nil is one over a
	// [transport.Transport] of its own.
	HTTPClient *http.Client
}

// Repository is a GitLab project.
type Repository struct {
	client  *gitlab.Client //nolint:staticcheck // see New
	base    string
	project string
	token   func(context.Context) (string, error)

	mu sync.Mutex
	// bots remembers who is a bot by user id: nobody becomes one.
	bots map[int]bool
	// refs remembers where the jobs for a commit are, since they stay there.
	refs map[string]string
}

var (
	_ forge.Repository   = (*Repository)(nil)
	_ forge.Contributors = (*Repository)(nil)
	_ forge.Accounts     = (*Repository)(nil)
)

// New makes a Repository. It does no I/O; it fails when the address is none.
func New(o Options) (*Repository, error) {
	if o.URL == "" {
		o.URL = "https://gitlab.com"
	}
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no address of a GitLab: it should look like https://gitlab.example.com", bare(u))
	}
	project := strings.Trim(strings.TrimSuffix(strings.TrimSpace(o.Project), ".git"), "/")
	if !strings.Contains(project, "/") {
		return nil, fmt.Errorf("%q is no path of a GitLab project: it should look like group/name or group/sub/name", o.Project)
	}
	if o.Token == nil {
		return nil, errors.New("a GitLab project needs a token")
	}
	hc := http.Client{}
	if o.HTTPClient != nil {
		hc = *o.HTTPClient
	} else {
		hc.Transport = transport.New(transport.Options{Forge: string(forge.GitLab), Repeatable: Repeatable})
	}
	hc.CheckRedirect = stayOnHost
	hc.Transport = keepErrors{next: hc.Transport}
	base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(o.URL, "/"), "/api/v4"), "/")
	client, err := gitlab.NewOAuthClient("", //nolint:staticcheck // the module is frozen, its successor pulls in a keyring and a GraphQL server
		gitlab.WithBaseURL(base),
		gitlab.WithHTTPClient(&hc),
		gitlab.WithoutRetries(),
		gitlab.WithCustomLimiter(unlimited{}))
	if err != nil {
		return nil, fmt.Errorf("set up the GitLab client: %w", err)
	}
	client.UserAgent = "stackreeve"
	return &Repository{client: client, base: base, project: project, token: o.Token, bots: map[int]bool{}, refs: map[string]string{}}, nil
}

// bare is an address without what may be secret in it.
func bare(u *url.URL) string {
	if u == nil {
		return "the URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// unlimited replaces the library's own limiter: limits are the transport's affair.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

// stayOnHost follows redirects of reads within one server: a moved project is found by
// its old path. Anything else is answered as it is, since the library would carry the
// token to wherever it is sent, and a write would become a read.
func stayOnHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) >= 5 || first.Method != http.MethodGet || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Repeatable tells the transport which POSTs may be repeated: an award and a status that
// are there already are refused.
func Repeatable(req *http.Request) bool {
	p := req.URL.Path
	return req.Method == http.MethodPost && (strings.HasSuffix(p, "/award_emoji") || strings.Contains(p, "/statuses/"))
}

// Kind is [forge.GitLab].
func (r *Repository) Kind() forge.Kind { return forge.GitLab }

// Name is the path of the project.
func (r *Repository) Name() string { return r.project }

// Limits are GitLab's: a note has at most 1,000,000 characters.
func (r *Repository) Limits() forge.Limits {
	return forge.Limits{CommentBytes: 990_000, Folds: true, Mermaid: true}
}

// Self is the account of the token.
func (r *Repository) Self(ctx context.Context) (forge.User, error) {
	c, err := r.begin(ctx, "ask who we are")
	if err != nil {
		return forge.User{}, err
	}
	u, resp, err := r.client.Users.CurrentUser(c.opts...)
	if err != nil {
		return forge.User{}, c.fail(resp, err)
	}
	return forge.User{Login: u.Username, ID: accountID(u.ID), Bot: u.Bot || botName(u.Username)}, nil
}

// call is one thing that is done at the forge, in one or more exchanges.
type call struct {
	what   string
	token  string
	answer *answer
	opts   []gitlab.RequestOptionFunc
}

// begin readies a call with the token of now.
func (r *Repository) begin(ctx context.Context, what string) (*call, error) {
	token, err := r.token(ctx)
	if err != nil {
		return nil, &forge.CallError{Call: what, Class: forge.Person, Err: fmt.Errorf("get the GitLab token: %w", err)}
	}
	a := &answer{}
	return &call{what: what, token: token, answer: a, opts: []gitlab.RequestOptionFunc{
		gitlab.WithContext(context.WithValue(ctx, answerKey{}, a)), gitlab.WithToken(gitlab.OAuthToken, token),
	}}, nil
}

// get asks for what the library has no complete type for. path has no query.
func (r *Repository) get(c *call, path string, into any) error {
	req, err := r.client.NewRequest(http.MethodGet, "projects/"+gitlab.PathEscape(r.project)+"/"+path, nil, c.opts)
	if err != nil {
		return c.fail(nil, err)
	}
	resp, err := r.client.Do(req, into)
	if err != nil {
		return c.fail(resp, err)
	}
	return nil
}

const perPage = 100

// restarts is how often a list is begun again because it lost entries while it was
// read.
const restarts = 3

// pages reads every page of a list, each entry once. When the list becomes shorter
// while it is read, an entry may have slipped from a page that comes to one that was
// read: then it is begun again. A last page is one after which stop says so of an entry
// (nil never does).
func pages[T any](c *call, list func(gitlab.ListOptions) ([]T, *gitlab.Response, error), id func(T) int, stop func(T) bool) ([]T, error) {
	for try := 0; ; try++ {
		out, whole, err := onePass(c, list, id, stop)
		if err != nil {
			return nil, err
		}
		if whole || try == restarts {
			return out, nil
		}
	}
}

func onePass[T any](c *call, list func(gitlab.ListOptions) ([]T, *gitlab.Response, error), id func(T) int, stop func(T) bool) (out []T, whole bool, err error) {
	seen := map[int]bool{}
	total := 0
	for page := 1; ; {
		got, resp, err := list(gitlab.ListOptions{Page: page, PerPage: perPage})
		if err != nil {
			return nil, false, c.fail(resp, err)
		}
		if resp.TotalItems < total { // 0 when there are too many to count: then it was 0 before
			return out, false, nil
		}
		total = resp.TotalItems
		for _, x := range got {
			if stop != nil && stop(x) {
				return out, true, nil
			}
			if !seen[id(x)] {
				seen[id(x)] = true
				out = append(out, x)
			}
		}
		if resp.NextPage <= page {
			return out, true, nil
		}
		page = resp.NextPage
	}
}

// number reads an id that the forge gave us earlier.
func number(what, id string) (int, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n <= 0 {
		return 0, &forge.CallError{Call: what, Class: forge.Bug, Err: fmt.Errorf("%q is no id of GitLab: %w", id, forge.ErrNotFound)}
	}
	return n, nil
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
