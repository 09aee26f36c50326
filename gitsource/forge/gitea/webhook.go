package gitea

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// events are those that [Parser] understands. "pull_request" alone would bring labels,
// milestones and assignees too.
var events = []string{"push", "pull_request_only", "pull_request_sync", "pull_request_comment", "pull_request_review"}

// Webhooks lists the webhooks that deliver to an address.
func (r *Repository) Webhooks(ctx context.Context, url string) ([]forge.Webhook, error) {
	var found []*sdk.Hook
	err := r.call(ctx, "list the webhooks", func(c *sdk.Client) (resp *sdk.Response, err error) {
		found, resp, err = pages(func(h *sdk.Hook) int64 { return h.ID }, func(o sdk.ListOptions) ([]*sdk.Hook, *sdk.Response, error) {
			return c.ListRepoHooks(r.owner, r.name, sdk.ListHooksOptions{ListOptions: o})
		})
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	var hooks []forge.Webhook
	for _, h := range found {
		if h.Config["url"] == url {
			hooks = append(hooks, webhookOf(h))
		}
	}
	return hooks, nil
}

// SetWebhook creates a webhook. With an id it puts the new one in the place of that
// one, because Gitea does not change secrets: the id that is returned is another. When
// the old one cannot be removed both are there, and the error comes with the new one.
func (r *Repository) SetWebhook(ctx context.Context, id, url, secret string) (forge.Webhook, error) {
	var old int64
	if id != "" {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return forge.Webhook{}, &forge.CallError{Call: "replace webhook " + id, Class: forge.Person, Err: fmt.Errorf("%w: that is no number of a webhook", forge.ErrNotFound)}
		}
		old = n
	}
	var made *sdk.Hook
	err := r.create(ctx, "create a webhook", func(c *sdk.Client) (resp *sdk.Response, err error) {
		made, resp, err = c.CreateRepoHook(r.owner, r.name, sdk.CreateHookOption{
			Type: sdk.HookTypeGitea, Active: true, Events: events,
			Config: map[string]string{"url": url, "content_type": "json", "secret": secret},
		})
		return resp, err
	})
	if err != nil {
		return forge.Webhook{}, err
	}
	if old == 0 {
		return webhookOf(made), nil
	}
	err = r.call(ctx, "remove webhook "+id+", which has a successor", func(c *sdk.Client) (*sdk.Response, error) {
		return c.DeleteRepoHook(r.owner, r.name, old)
	})
	if errors.Is(err, forge.ErrNotFound) {
		err = nil
	}
	return webhookOf(made), err
}

func webhookOf(h *sdk.Hook) forge.Webhook {
	return forge.Webhook{ID: fmt.Sprint(h.ID), URL: h.Config["url"], Active: h.Active}
}

// Parser reads what Gitea and Forgejo deliver.
type Parser struct{}

var _ forge.WebhookParser = Parser{}

// payload is what deliveries have in common and what tells them apart.
type payload struct {
	Action     string `json:"action"`
	Number     int    `json:"number"`
	Ref        string `json:"ref"`
	IsPull     bool   `json:"is_pull"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	PullRequest struct {
		Head struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`
	Issue struct {
		Number int `json:"number"`
	} `json:"issue"`
	Comment struct {
		ID int64 `json:"id"`
	} `json:"comment"`
}

// ParseWebhook verifies and reads a delivery. The events, the delivery's id and the
// signature are in headers that Gitea also sends under the names of others.
func (Parser) ParseWebhook(header http.Header, body []byte, secrets []string) (forge.Delivery, error) {
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		return forge.Delivery{}, fmt.Errorf("%w: it is sent as a form; set the webhook's content type to application/json", forge.ErrSignature)
	}
	if !isSigned(header, body, secrets) {
		return forge.Delivery{}, forge.ErrSignature
	}
	event := cmp.Or(header.Get("X-Gitea-Event"), header.Get("X-Forgejo-Event"))
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return forge.Delivery{}, fmt.Errorf("read a delivery of %q: %w", event, err)
	}
	d := forge.Delivery{ID: cmp.Or(header.Get("X-Gitea-Delivery"), header.Get("X-Forgejo-Delivery")), Topic: forge.TopicOther, Repository: p.Repository.FullName}
	switch event {
	case "ping":
		d.Topic = forge.TopicPing
	case "push":
		if branch, ok := strings.CutPrefix(p.Ref, "refs/heads/"); ok {
			d.Topic, d.Branch = forge.TopicPush, branch
		}
	case "pull_request": // opened, closed, reopened, edited, synchronized…: a look tells
		d.Topic, d.Number, d.Head = forge.TopicPullRequest, p.Number, p.PullRequest.Head.SHA
	case "pull_request_approved", "pull_request_rejected", "pull_request_comment": // the last is a review that only comments
		d.Topic, d.Number = forge.TopicReview, p.Number
	case "issue_comment":
		if p.IsPull {
			d.Topic, d.Number = forge.TopicComment, p.Issue.Number
			d.Comment, d.Created = fmt.Sprint(p.Comment.ID), p.Action == "created"
		}
	}
	if d.ID == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", d.Topic, body))
		d.ID = hex.EncodeToString(sum[:])
	}
	switch {
	case d.Topic == forge.TopicOther:
	case d.Repository == "":
		return forge.Delivery{}, fmt.Errorf("read a delivery of %q: it names no repository", event)
	case d.Number <= 0 && d.Topic != forge.TopicPush && d.Topic != forge.TopicPing:
		return forge.Delivery{}, fmt.Errorf("read a delivery of %q: it names no pull request", event)
	case d.Topic == forge.TopicComment && p.Comment.ID <= 0:
		return forge.Delivery{}, fmt.Errorf("read a delivery of %q: it names no comment", event)
	}
	return d, nil
}

// isSigned compares the signature with that of each secret, always all, so that the
// time tells nothing. An empty secret signs nothing.
func isSigned(header http.Header, body []byte, secrets []string) bool {
	text := cmp.Or(header.Get("X-Gitea-Signature"), header.Get("X-Forgejo-Signature"), strings.TrimPrefix(header.Get("X-Hub-Signature-256"), "sha256="))
	signature, err := hex.DecodeString(text)
	if err != nil || len(signature) != sha256.Size {
		return false
	}
	fits := false
	for _, secret := range secrets {
		sum := hmac.New(sha256.New, []byte(secret))
		sum.Write(body)
		if hmac.Equal(sum.Sum(nil), signature) && secret != "" {
			fits = true
		}
	}
	return fits
}
