package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

// api is where GitHub's API is, and how to ask there.
type api struct {
	base *url.URL // ends with a slash
	http *http.Client
}

// credential is who asks.
type credential struct {
	token func(context.Context) (string, error)
	// refused is told a token that GitHub did not take; may be nil.
	refused func(token string)
}

// newAPI checks the address and puts the credential above the client's transport.
func newAPI(address string, client *http.Client, who credential) (*api, error) {
	if address == "" {
		address = "https://api.github.com/"
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the address of GitHub's API is not an http(s) URL: write https://ghe.example.com/api/v3")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the address of GitHub's API has credentials, a query or a fragment in it: leave them out")
	}
	if host := strings.ToLower(u.Host); host == "github.com" || host == "www.github.com" {
		u = &url.URL{Scheme: "https", Host: "api.github.com", Path: "/"}
	}
	c, err := github.NewClient(nil).WithEnterpriseURLs(u.String(), u.String()) // adds /api/v3/ where it belongs
	if err != nil {
		return nil, fmt.Errorf("the address of GitHub's API: %w", err)
	}
	if client == nil {
		client = &http.Client{}
	}
	signing := *client
	base := signing.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	signing.Transport = &signer{base: base, api: c.BaseURL, who: who}
	return &api{base: c.BaseURL, http: &signing}, nil
}

// client is a new one for each call: one that is kept refuses by itself while it
// believes in a limit, and its clock is not ours.
func (a *api) client() *github.Client {
	c := github.NewClient(a.http)
	c.BaseURL = a.base
	c.UserAgent = "stackreeve"
	return c
}

// signer writes the credential into requests, and once more when it was refused and
// there is another by now: tokens rotate.
type signer struct {
	base http.RoundTripper
	api  *url.URL
	who  credential
}

// RoundTrip signs what goes to the API, and nothing that a redirect takes elsewhere.
func (s *signer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != s.api.Host || req.URL.Scheme != s.api.Scheme {
		return s.base.RoundTrip(req)
	}
	token, err := s.who.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, &transport.Error{Unsent: true, Err: fmt.Errorf("get a token: %w", err)}
	}
	resp, err := s.base.RoundTrip(signed(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if s.who.refused != nil {
		s.who.refused(token)
	}
	again, err := s.who.token(req.Context())
	if err != nil || again == token || req.Body != nil && req.GetBody == nil {
		return resp, nil
	}
	resp.Body.Close()
	second := signed(req, again)
	if req.GetBody != nil {
		if second.Body, err = req.GetBody(); err != nil {
			return nil, &transport.Error{Unsent: true, Err: err}
		}
	}
	return s.base.RoundTrip(second)
}

func signed(req *http.Request, token string) *http.Request {
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return out
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// callError is a failed call whose name is not known yet.
type callError struct {
	resp *github.Response
	err  error
}

func (e *callError) of(call string) error { return failure(call, e.resp, e.err) }

// mostPages bounds a list: GitHub gives at most a hundred to a page, and 2,500 comments
// or 1,000 reviews to a pull request.
const mostPages = 1000

// pages asks for every page.
func pages[T any](ask func(github.ListOptions) ([]T, *github.Response, error)) ([]T, *callError) {
	var all []T
	page := github.ListOptions{PerPage: 100}
	for range mostPages {
		some, resp, err := ask(page)
		if err != nil {
			return nil, &callError{resp, err}
		}
		all = append(all, some...)
		if resp.NextPage <= page.Page {
			return all, nil
		}
		page.Page = resp.NextPage
	}
	return nil, &callError{nil, fmt.Errorf("there are more than %d pages", mostPages)}
}

// idOf reads an id that this adapter gave out.
func idOf(call, id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return 0, &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: GitHub's ids are numbers", forge.ErrNotFound)}
	}
	return n, nil
}

// failure is the port's error of a call; nil for nil.
func failure(call string, resp *github.Response, err error) error {
	if err == nil {
		return nil
	}
	return transport.Failure(call, answerOf(resp), said(err), err) //nolint:bodyclose // the library closed it
}

// failureOfWrite is failure, for a write that is not to be done twice.
func failureOfWrite(call string, resp *github.Response, err error) error {
	f := transport.Failure(call, answerOf(resp), said(err), err) //nolint:bodyclose // the library closed it
	if transport.IsUnknown(answerOf(resp), err) {                //nolint:bodyclose // the same
		f.Err = fmt.Errorf("%w: %w", forge.ErrUnknownOutcome, f.Err)
	}
	return f
}

func answerOf(resp *github.Response) *http.Response {
	if resp == nil {
		return nil
	}
	return resp.Response
}

// said is what GitHub wrote about an error, with the first of its details.
func said(err error) string {
	var refused *github.ErrorResponse
	var primary *github.RateLimitError
	var secondary *github.AbuseRateLimitError
	var factor *github.TwoFactorAuthError
	switch {
	case errors.As(err, &primary):
		return primary.Message
	case errors.As(err, &secondary):
		return secondary.Message
	case errors.As(err, &factor):
		return factor.Message
	case errors.As(err, &refused):
		text := refused.Message
		if len(refused.Errors) > 0 {
			detail := refused.Errors[0]
			words := strings.TrimSpace(strings.Join([]string{detail.Field, detail.Code, detail.Message}, " "))
			text += ": " + words
		}
		return text
	}
	return ""
}
