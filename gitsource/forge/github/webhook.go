package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// events are what a webhook is asked to deliver; GitHub sends "ping" by itself.
var events = []string{"issue_comment", "pull_request", "pull_request_review", "push"}

// Webhooks lists the repository's webhooks that deliver to an address.
func (r *Repository) Webhooks(ctx context.Context, address string) ([]forge.Webhook, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.Hook, *github.Response, error) {
		return r.api.client().Repositories.ListHooks(ctx, r.owner, r.name, &page)
	})
	if err != nil {
		return nil, err.of("list the webhooks of " + r.Name())
	}
	var out []forge.Webhook
	for _, hook := range all {
		if hook.GetConfig().GetURL() == address {
			out = append(out, webhookOf(hook))
		}
	}
	return out, nil
}

func webhookOf(h *github.Hook) forge.Webhook {
	return forge.Webhook{ID: fmt.Sprint(h.GetID()), URL: h.GetConfig().GetURL(), Active: h.GetActive()}
}

// SetWebhook creates a webhook or replaces one.
func (r *Repository) SetWebhook(ctx context.Context, id, address, secret string) (forge.Webhook, error) {
	hook := &github.Hook{Events: events, Active: github.Bool(true), Config: &github.HookConfig{
		URL: &address, Secret: &secret, ContentType: github.String("json"), InsecureSSL: github.String("0")}}
	if id == "" {
		made, resp, err := r.api.client().Repositories.CreateHook(ctx, r.owner, r.name, hook)
		if err != nil {
			return forge.Webhook{}, failureOfWrite("create a webhook in "+r.Name(), resp, err)
		}
		return webhookOf(made), nil
	}
	call := fmt.Sprintf("change webhook %s of %s", id, r.Name())
	n, err := idOf(call, id)
	if err != nil {
		return forge.Webhook{}, err
	}
	changed, resp, err := r.api.client().Repositories.EditHook(ctx, r.owner, r.name, n, hook)
	if err != nil {
		return forge.Webhook{}, failure(call, resp, err)
	}
	return webhookOf(changed), nil
}

// Parser reads deliveries of GitHub's webhooks.
type Parser struct{}

var _ forge.WebhookParser = Parser{}

// ParseWebhook verifies X-Hub-Signature-256 and reads the delivery. The older
// X-Hub-Signature, by SHA-1, is not taken. A delivery's content may be JSON, or a form
// with JSON in it, as a webhook that was made by hand may have it.
func (Parser) ParseWebhook(header http.Header, body []byte, secrets []string) (forge.Delivery, error) {
	if !isSigned(header.Get(github.SHA256SignatureHeader), body, secrets) {
		return forge.Delivery{}, forge.ErrSignature
	}
	payload := body
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return forge.Delivery{}, fmt.Errorf("read a delivery of GitHub: its form is broken: %w", err)
		}
		payload = []byte(form.Get("payload"))
	}
	event := header.Get(github.EventTypeHeader)
	d, err := read(event, payload)
	if err != nil {
		return forge.Delivery{}, fmt.Errorf("read a delivery of GitHub: %w", err)
	}
	d.ID = header.Get(github.DeliveryIDHeader)
	if d.ID == "" {
		sum := sha256.Sum256([]byte(event + "\n" + string(body)))
		d.ID = hex.EncodeToString(sum[:])
	}
	return d, nil
}

// isSigned tries every secret, whichever fits, so that time tells nothing of them. The
// comparison itself is the library's and takes constant time. An empty secret would be
// one that everybody knows.
func isSigned(signature string, body []byte, secrets []string) bool {
	if !strings.HasPrefix(signature, "sha256=") {
		return false
	}
	fits := false
	for _, secret := range secrets {
		if secret != "" && github.ValidateSignature(signature, body, []byte(secret)) == nil {
			fits = true
		}
	}
	return fits
}

// read finds out what a payload is about.
func read(event string, payload []byte) (forge.Delivery, error) {
	switch event {
	case "push", "pull_request", "issue_comment", "pull_request_review":
	default:
		var about struct {
			Repository struct {
				Name string `json:"full_name"`
			} `json:"repository"`
		}
		if err := json.Unmarshal(payload, &about); err != nil {
			return forge.Delivery{}, fmt.Errorf("the payload of %q is not JSON: %w", event, err)
		}
		d := forge.Delivery{Topic: forge.TopicOther, Repository: about.Repository.Name}
		if event == "ping" {
			d.Topic = forge.TopicPing
		}
		return d, nil
	}
	parsed, err := github.ParseWebHook(event, payload)
	if err != nil {
		return forge.Delivery{}, fmt.Errorf("the payload of %q: %w", event, err)
	}
	d := forge.Delivery{Topic: forge.TopicOther}
	switch e := parsed.(type) {
	case *github.PushEvent:
		d.Repository = e.GetRepo().GetFullName()
		if branch, ok := strings.CutPrefix(e.GetRef(), "refs/heads/"); ok { // else a tag
			d.Topic, d.Branch = forge.TopicPush, branch
		}
	case *github.PullRequestEvent:
		d.Topic, d.Repository, d.Number = forge.TopicPullRequest, e.GetRepo().GetFullName(), e.GetNumber()
		d.Head = e.GetPullRequest().GetHead().GetSHA()
	case *github.PullRequestReviewEvent:
		d.Topic, d.Repository, d.Number = forge.TopicReview, e.GetRepo().GetFullName(), e.GetPullRequest().GetNumber()
	case *github.IssueCommentEvent:
		d.Repository = e.GetRepo().GetFullName()
		if e.Issue != nil && e.Issue.IsPullRequest() {
			d.Topic, d.Number = forge.TopicComment, e.Issue.GetNumber()
			d.Comment, d.Created = fmt.Sprint(e.GetComment().GetID()), e.GetAction() == "created"
		}
	default:
		return forge.Delivery{}, fmt.Errorf("the payload of %q is a %T", event, parsed)
	}
	about := d.Topic == forge.TopicPullRequest || d.Topic == forge.TopicReview || d.Topic == forge.TopicComment
	if d.Repository == "" || about && d.Number <= 0 {
		return forge.Delivery{}, fmt.Errorf("the payload of %q does not say what it is about", event)
	}
	return d, nil
}
