package gitlab_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitlab"
)

const secret = "s3cret-canary"

func header(event string, more ...string) http.Header {
	h := http.Header{"X-Gitlab-Event": {event}, "X-Gitlab-Token": {secret}, "Idempotency-Key": {"key-1"}}
	for i := 0; i < len(more); i += 2 {
		h.Del(more[i])
		if more[i+1] != "" {
			h.Set(more[i], more[i+1])
		}
	}
	return h
}

// TestRecordedPayloadsAreRead reads every payload that was recorded of GitLab's
// webhooks.
func TestRecordedPayloadsAreRead(t *testing.T) {
	t.Parallel()
	about := func(repository string, d forge.Delivery) forge.Delivery {
		d.Repository = repository
		if d.Topic == "" {
			d.Topic = forge.TopicOther
		}
		return d
	}
	want := map[string]forge.Delivery{
		"push.json":                  about("mike/diaspora", forge.Delivery{Topic: forge.TopicPush, Branch: "master"}),
		"merge_request.json":         about("gitlabhq/gitlab-test", forge.Delivery{Topic: forge.TopicPullRequest, Number: 1, Head: "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}),
		"service_merge_request.json": about("test/woodpecker", forge.Delivery{Topic: forge.TopicPullRequest, Number: 2, Head: "0ab96a10266b95b4b533dcfd98738015fbe70889"}),
		"note_merge_request.json":    about("gitlab-org/gitlab-test", forge.Delivery{Topic: forge.TopicComment, Number: 1, Comment: "1244", Created: true}),
	}
	files, err := filepath.Glob(filepath.Join(lab.Recorded(t), "webhooks", "*.json"))
	if err != nil || len(files) != 21 {
		t.Fatalf("there are %d payloads, want 21: %v", len(files), err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		got, err := gitlab.Webhook{}.ParseWebhook(header("x"), body, []string{secret})
		if name == "group_merge_request.json" { // its keys end with spaces: "iid "
			if err == nil {
				t.Errorf("%s was read as %+v", name, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if w, ok := want[name]; ok {
			if diff := cmp.Diff(w, got, cmpopts.IgnoreFields(forge.Delivery{}, "ID")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		} else if got.Topic != forge.TopicOther {
			t.Errorf("%s is about %q, want nothing that matters", name, got.Topic)
		}
	}
}

func mergeRequest(action string) string {
	return fmt.Sprintf(`{"object_kind":"merge_request","project":{"path_with_namespace":"a/b/c"},"object_attributes":{"iid":7,"action":%q}}`, action)
}

func note(attributes string) string {
	return `{"object_kind":"note","project":{"path_with_namespace":"a/b/c"},"object_attributes":{"id":4,"noteable_type":"MergeRequest",` + attributes + `},"merge_request":{"iid":7}}`
}

func TestDeliveriesSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	pull := forge.Delivery{ID: "key-1", Topic: forge.TopicPullRequest, Repository: "a/b/c", Number: 7}
	review, comment := pull, pull
	review.Topic = forge.TopicReview
	comment.Topic, comment.Comment = forge.TopicComment, "4"
	created := comment
	created.Created = true
	other := forge.Delivery{ID: "key-1", Topic: forge.TopicOther, Repository: "a/b/c"}
	for body, want := range map[string]forge.Delivery{
		mergeRequest("open"): pull, mergeRequest("update"): pull, mergeRequest("close"): pull, mergeRequest("reopen"): pull, mergeRequest("merge"): pull,
		mergeRequest("approved"): review, mergeRequest("approval"): review, mergeRequest("unapproved"): review, mergeRequest("unapproval"): review,
		note(`"action":"create"`): created, note(`"action":"update"`): comment,
		note(`"created_at":"2026-01-01 10:00:00 UTC","updated_at":"2026-01-01 10:00:00 UTC"`): created,
		note(`"created_at":"2026-01-01 10:00:00 UTC","updated_at":"2026-01-01 10:00:01 UTC"`): comment,
		note(`"action":"create","system":true`):                                               other,
		`{"object_kind":"push","ref":"refs/heads/a/b","project":{"path_with_namespace":"a/b/c"}}`: {
			ID: "key-1", Topic: forge.TopicPush, Repository: "a/b/c", Branch: "a/b"},
		`{"object_kind":"push","ref":"refs/tags/v1","project":{"path_with_namespace":"a/b/c"}}`: other,
		`{"object_kind":"from the future","project":{"path_with_namespace":"a/b/c"}}`:           other,
	} {
		got, err := gitlab.Webhook{}.ParseWebhook(header("x"), []byte(body), []string{secret})
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestOnlyTheSecretsOpenADelivery(t *testing.T) {
	t.Parallel()
	body := mergeRequest("open")
	const token = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" // of 32 digits
	sign := func(id, at, text string) string {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "." + text))
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	signed := func(signature string) http.Header {
		return header("x", "X-Gitlab-Token", "", "Webhook-Id", "key-1", "Webhook-Timestamp", "1795000000", "Webhook-Signature", signature)
	}
	good := sign("key-1", "1795000000", body)
	for name, c := range map[string]struct {
		header  http.Header
		secrets []string
		opens   bool
	}{
		"the secret":                 {header("x"), []string{secret}, true},
		"the older of two":           {header("x"), []string{"new", secret}, true},
		"another":                    {header("x"), []string{"new"}, false},
		"a beginning":                {header("x"), []string{secret[:4]}, false},
		"none known":                 {header("x"), nil, false},
		"an empty one known":         {header("x", "X-Gitlab-Token", ""), []string{""}, false},
		"none sent":                  {header("x", "X-Gitlab-Token", ""), []string{secret}, false},
		"a signature":                {signed(good), []string{"new", token}, true},
		"one of two signatures":      {signed("v1,AAAA " + good), []string{token}, true},
		"another body's signature":   {signed(sign("key-1", "1795000000", body+" ")), []string{token}, false},
		"another time's signature":   {signed(sign("key-1", "1795000001", body)), []string{token}, false},
		"another version":            {signed("v2" + good[2:]), []string{token}, false},
		"a signature, other secrets": {signed(good), []string{secret}, false},
		"a token that signs nothing": {signed(good), []string{"whsec_", "whsec_!"}, false},
	} {
		_, err := gitlab.Webhook{}.ParseWebhook(c.header, []byte(body), c.secrets)
		if c.opens && err != nil || !c.opens && !errors.Is(err, forge.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func TestRepeatedDeliveriesHaveOneID(t *testing.T) {
	t.Parallel()
	id := func(h http.Header, body string) string {
		t.Helper()
		d, err := gitlab.Webhook{}.ParseWebhook(h, []byte(body), []string{secret})
		if err != nil || d.ID == "" {
			t.Fatalf("id %q: %v", d.ID, err)
		}
		return d.ID
	}
	if got := id(header("x", "Webhook-Id", "key-2", "X-Gitlab-Event-UUID", "event"), mergeRequest("open")); got != "key-1" {
		t.Errorf("the id is %q, want the idempotency key", got)
	}
	old := func(event, uuid string) http.Header {
		return header(event, "Idempotency-Key", "", "X-Gitlab-Event-UUID", uuid)
	}
	first := id(old("x", "event"), mergeRequest("open"))
	if again := id(old("x", "event"), mergeRequest("open")); again != first {
		t.Errorf("repeated it is %q, was %q", again, first)
	}
	// One request may cause several deliveries, all of one event id.
	for _, other := range []string{
		id(old("x", "event"), mergeRequest("update")), id(old("x", "event-2"), mergeRequest("open")), id(old("y", "event"), mergeRequest("open")),
	} {
		if other == first {
			t.Errorf("another delivery has the id %q too", other)
		}
	}
}

func TestUnreadableDeliveriesAreRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[]", "{", `{"object_kind":"merge_request"}`, note(`"action":"create"`)[:90] + "}}", `{"object_kind":7}`} {
		if d, err := (gitlab.Webhook{}).ParseWebhook(header("x"), []byte(body), []string{secret}); err == nil {
			t.Errorf("%s was read as %+v", body, d)
		}
	}
}

func FuzzParseWebhook(f *testing.F) {
	f.Add([]byte(mergeRequest("open")))
	f.Add([]byte(note(`"action":"create"`)))
	f.Add([]byte(`{"object_kind":"push","ref":"refs/heads/main"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := gitlab.Webhook{}.ParseWebhook(header("x"), body, []string{secret})
		if err != nil {
			return
		}
		if d.ID == "" || d.Topic == "" || d.Number < 0 || d.Topic == forge.TopicComment && (d.Comment == "" || d.Number == 0) || d.Topic == forge.TopicPush && d.Number != 0 {
			t.Errorf("%q was read as %+v", body, d)
		}
	})
}
