package forgetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// receiver takes deliveries on loopback.
type receiver struct {
	url  string
	mu   sync.Mutex // guards took
	took []taken
}

type taken struct {
	header http.Header
	body   []byte
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender went away
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.took = append(r.took, taken{req.Header, body})
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + "/hooks/" + t.Name()
	return r
}

func (r *receiver) all() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

// awaitDelivery waits for a delivery, whose id does not matter. Topics that mean the
// same here may be several.
func (r *receiver) awaitDelivery(t *testing.T, parser forge.WebhookParser, secret string, want forge.Delivery, or ...forge.Topic) {
	t.Helper()
	await(t, fmt.Sprintf("wait for %+v", want), func(context.Context) error {
		var got []forge.Delivery
		for _, d := range r.all() {
			parsed, err := parser.ParseWebhook(d.header, d.body, []string{"of-yesterday", secret})
			if err != nil {
				t.Fatalf("a delivery cannot be read: %v\n%v\n%s", err, d.header, d.body)
			}
			if slices.Contains(or, parsed.Topic) {
				parsed.Topic, parsed.Head = want.Topic, want.Head
			}
			if differs(want, parsed, cmpopts.IgnoreFields(forge.Delivery{}, "ID")) == nil {
				return nil
			}
			got = append(got, parsed)
		}
		return fmt.Errorf("there are only %+v", got)
	})
}

func checkDeliveries(t *testing.T, w World) {
	site := w.NewSite(t, map[string]string{"a.txt": "one\n"})
	repo, parser, r := site.Repository(t), site.Parser(), receive(t)
	const secret = "s3cret-of-the-webhook"
	set, err := repo.SetWebhook(t.Context(), "", r.url, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := differs(forge.Webhook{ID: set.ID, URL: r.url, Active: true}, set); err != nil || set.ID == "" {
		t.Errorf("the webhook is %+v: %v", set, err)
	}
	about := forge.Delivery{Repository: site.Name()}
	expect := func(d forge.Delivery, or ...forge.Topic) { t.Helper(); r.awaitDelivery(t, parser, secret, d, or...) }
	push, pull, comment, review := about, about, about, about

	head := site.Push(t, Ada, "change", map[string]string{"a.txt": "two\n"}, false)
	push.Topic, push.Branch = forge.TopicPush, "change"
	expect(push)
	number := site.Open(t, Ada, "change", "Change a", false)
	pull.Topic, pull.Number, pull.Head = forge.TopicPullRequest, number, head
	expect(pull)
	id := site.Comment(t, Grace, number, "reeve plan")
	comment.Topic, comment.Number, comment.Comment, comment.Created = forge.TopicComment, number, id, true
	expect(comment)
	site.EditComment(t, Grace, number, id, "reeve plan prod")
	comment.Created = false
	expect(comment)
	site.Review(t, Grace, number, true, "fine")
	review.Topic, review.Number = forge.TopicReview, number
	expect(review, forge.TopicPullRequest)
	pull.Head = site.Push(t, Ada, "change", map[string]string{"a.txt": "three\n"}, false)
	expect(pull)
	site.Merge(t, Grace, number)
	push.Branch = "main"
	expect(push)

	ids := map[string]bool{}
	for _, d := range r.all() {
		parsed, err := parser.ParseWebhook(d.header, d.body, []string{secret})
		if err != nil {
			t.Fatal(err)
		}
		if parsed.ID == "" || ids[parsed.ID] {
			t.Errorf("the id %q is empty or was there before", parsed.ID)
		}
		ids[parsed.ID] = true
		for name, secrets := range map[string][]string{"another": {secret + "x", "x"}, "an empty": {""}, "no": nil} {
			if _, err := parser.ParseWebhook(d.header, d.body, secrets); !errors.Is(err, forge.ErrSignature) {
				t.Errorf("with %s secret: %v", name, err)
			}
		}
		if _, err := parser.ParseWebhook(http.Header{}, d.body, []string{secret}); !errors.Is(err, forge.ErrSignature) {
			t.Errorf("without headers: %v", err)
		}
		forged := bytes.Replace(d.body, []byte(`"`), []byte(` "`), 1) // it means the same
		if _, err := parser.ParseWebhook(d.header, forged, []string{secret}); w.Kind() != forge.GitLab && !errors.Is(err, forge.ErrSignature) {
			t.Errorf("with another body: %v", err) // GitLab's token says nothing about the body
		}
	}
}

func checkWebhookReplaced(t *testing.T, w World) {
	p := propose(t, w)
	before, after := receive(t), receive(t)
	after.url += "/new"
	hooks := func(url string, want ...forge.Webhook) {
		t.Helper()
		await(t, "list the webhooks", func(ctx context.Context) error {
			got, err := p.repo.Webhooks(ctx, url)
			if err != nil {
				return err
			}
			return differs(want, got, cmpopts.EquateEmpty())
		})
	}
	hooks(before.url)
	set := func(id, url, secret string) forge.Webhook {
		t.Helper()
		h, err := p.repo.SetWebhook(t.Context(), id, url, secret)
		if err != nil {
			t.Fatalf("set the webhook to %s: %v", url, err)
		}
		return h
	}
	old := set("", before.url, "secret-one")
	hooks(before.url, old)
	p.site.Comment(t, Ada, p.number, "first")
	moved := set(old.ID, after.url, "secret-two")
	hooks(before.url)
	hooks(after.url, moved)
	id := p.site.Comment(t, Ada, p.number, "second")
	after.awaitDelivery(t, p.site.Parser(), "secret-two", forge.Delivery{
		Topic: forge.TopicComment, Repository: p.site.Name(), Number: p.number, Comment: id, Created: true,
	})
}
