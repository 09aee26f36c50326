package gitlab

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	gitlab "github.com/xanzy/go-gitlab"
)

// Webhooks lists the project's webhooks that deliver to an address.
func (r *Repository) Webhooks(ctx context.Context, url string) ([]forge.Webhook, error) {
	c, err := r.begin(ctx, "list the webhooks")
	if err != nil {
		return nil, err
	}
	hooks, err := pages(c, func(o gitlab.ListOptions) ([]*gitlab.ProjectHook, *gitlab.Response, error) {
		list := gitlab.ListProjectHooksOptions(o)
		return r.client.Projects.ListProjectHooks(r.project, &list, c.opts...)
	}, func(h *gitlab.ProjectHook) int { return h.ID }, nil)
	if err != nil {
		return nil, err
	}
	out := []forge.Webhook{}
	for _, h := range hooks {
		if h.URL == url {
			out = append(out, webhook(h))
		}
	}
	return out, nil
}

// SetWebhook registers a webhook for pushes, merge requests and notes, or makes one so.
// The secret comes back with every delivery, so the address should be https.
func (r *Repository) SetWebhook(ctx context.Context, id, url, secret string) (forge.Webhook, error) {
	what := "create the webhook"
	if id != "" {
		what = "change webhook " + id
	}
	c, err := r.begin(ctx, what)
	if err != nil {
		return forge.Webhook{}, err
	}
	yes, no, all := gitlab.Ptr(true), gitlab.Ptr(false), gitlab.Ptr("")
	if id == "" {
		h, resp, err := r.client.Projects.AddProjectHook(r.project, &gitlab.AddProjectHookOptions{
			URL: &url, Token: &secret, EnableSSLVerification: yes, PushEventsBranchFilter: all,
			PushEvents: yes, MergeRequestsEvents: yes, NoteEvents: yes,
			IssuesEvents: no, ConfidentialIssuesEvents: no, ConfidentialNoteEvents: no, TagPushEvents: no, JobEvents: no,
			PipelineEvents: no, WikiPageEvents: no, DeploymentEvents: no, ReleasesEvents: no,
		}, c.opts...)
		if err != nil {
			return forge.Webhook{}, c.failWrite(resp, err, secret)
		}
		return webhook(h), nil
	}
	n, err := number(what, id)
	if err != nil {
		return forge.Webhook{}, err
	}
	h, resp, err := r.client.Projects.EditProjectHook(r.project, n, &gitlab.EditProjectHookOptions{
		URL: &url, Token: &secret, EnableSSLVerification: yes, PushEventsBranchFilter: all,
		PushEvents: yes, MergeRequestsEvents: yes, NoteEvents: yes,
		IssuesEvents: no, ConfidentialIssuesEvents: no, ConfidentialNoteEvents: no, TagPushEvents: no, JobEvents: no,
		PipelineEvents: no, WikiPageEvents: no, DeploymentEvents: no, ReleasesEvents: no,
	}, c.opts...)
	if err != nil {
		return forge.Webhook{}, c.fail(resp, err, secret)
	}
	return webhook(h), nil
}

func webhook(h *gitlab.ProjectHook) forge.Webhook {
	// GitLab switches off webhooks that fail, for a time or for good. Old ones do not
	// tell.
	return forge.Webhook{ID: strconv.Itoa(h.ID), URL: h.URL, Active: h.AlertStatus == "" || h.AlertStatus == "executable"}
}

// Webhook verifies and reads GitLab's deliveries.
type Webhook struct{}

var _ forge.WebhookParser = Webhook{}

// payload is what is read of a delivery.
type payload struct {
	Kind    string `json:"object_kind"`
	Ref     string `json:"ref"`
	Project struct {
		Path string `json:"path_with_namespace"`
	} `json:"project"`
	Object struct {
		ID           int64           `json:"id"`
		IID          int             `json:"iid"`
		LastCommit   lastCommit      `json:"last_commit"`
		Action       string          `json:"action"`
		NoteableType string          `json:"noteable_type"` //nolint:misspell // GitLab's word
		System       bool            `json:"system"`
		CreatedAt    json.RawMessage `json:"created_at"`
		UpdatedAt    json.RawMessage `json:"updated_at"`
	} `json:"object_attributes"`
	MergeRequest struct {
		IID int `json:"iid"`
	} `json:"merge_request"`
}

// lastCommit is the head of a merge request.
type lastCommit struct {
	ID string `json:"id"`
}

// ParseWebhook verifies a delivery by X-Gitlab-Token, which is the secret itself, or by
// GitLab's signature where the secret is a signing token (whsec_…), and reads it.
func (Webhook) ParseWebhook(header http.Header, body []byte, secrets []string) (forge.Delivery, error) {
	if !verified(header, body, secrets) {
		return forge.Delivery{}, forge.ErrSignature
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return forge.Delivery{}, fmt.Errorf("read the delivery of GitLab: %w", err)
	}
	event := header.Get("X-Gitlab-Event")
	d := forge.Delivery{ID: deliveryID(header, event, body), Topic: forge.TopicOther, Repository: p.Project.Path}
	switch p.Kind {
	case "push":
		if branch, ok := strings.CutPrefix(p.Ref, "refs/heads/"); ok {
			d.Topic, d.Branch = forge.TopicPush, branch
		}
	case "merge_request":
		d.Topic, d.Number, d.Head = forge.TopicPullRequest, p.Object.IID, p.Object.LastCommit.ID
		switch p.Object.Action {
		case "approved", "unapproved", "approval", "unapproval":
			d.Topic, d.Head = forge.TopicReview, ""
		}
	case "note":
		if p.Object.NoteableType != "MergeRequest" || p.Object.System {
			break
		}
		d.Topic, d.Number, d.Comment = forge.TopicComment, p.MergeRequest.IID, strconv.FormatInt(p.Object.ID, 10)
		// Old GitLabs deliver no action.
		d.Created = p.Object.Action == "create" || p.Object.Action == "" && string(p.Object.CreatedAt) == string(p.Object.UpdatedAt)
	}
	if d.Topic != forge.TopicOther && d.Topic != forge.TopicPush && d.Number <= 0 {
		return forge.Delivery{}, fmt.Errorf("the delivery of GitLab (%s) names no merge request", transport.Line(p.Kind))
	}
	return d, nil
}

// verified compares with every secret, so that the time tells nothing of which one fits.
func verified(header http.Header, body []byte, secrets []string) bool {
	token := sha256.Sum256([]byte(header.Get("X-Gitlab-Token")))
	hasToken := header.Get("X-Gitlab-Token") != ""
	signatures := strings.Fields(header.Get("Webhook-Signature"))
	signed := header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "." + string(body)
	ok := 0
	for _, s := range secrets {
		if s == "" {
			continue
		}
		want := sha256.Sum256([]byte(s))
		if hasToken {
			ok |= subtle.ConstantTimeCompare(token[:], want[:])
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || !strings.HasPrefix(s, "whsec_") || len(key) == 0 {
			continue
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		sum := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for _, have := range signatures {
			ok |= subtle.ConstantTimeCompare([]byte(have), []byte(sum))
		}
	}
	return ok == 1
}

// deliveryID is the same whenever GitLab repeats a delivery. X-Gitlab-Event-UUID alone
// is not enough: what one request causes has one, be it several deliveries.
func deliveryID(header http.Header, event string, body []byte) string {
	for _, name := range []string{"Idempotency-Key", "Webhook-Id"} {
		if id := header.Get(name); id != "" && len(id) <= 200 {
			return id
		}
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%s\n", header.Get("X-Gitlab-Event-UUID"), event)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}
