package github

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what is refused
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
)

func sign(h func() hash.Hash, prefix, secret string, body []byte) string {
	mac := hmac.New(h, []byte(secret))
	mac.Write(body)
	return prefix + hex.EncodeToString(mac.Sum(nil))
}

func header(event, secret string, body []byte) http.Header {
	h := http.Header{}
	h.Set("X-GitHub-Event", event)
	h.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	h.Set("X-Hub-Signature-256", sign(sha256.New, "sha256=", secret, body))
	h.Set("Content-Type", "application/json")
	return h
}

func TestRecordedDeliveriesAreUnderstood(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d recorded deliveries, %v", len(files), err)
	}
	var got strings.Builder
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		event, _, _ := strings.Cut(name, ".")
		d, err := Parser{}.ParseWebhook(header(event, "new", body), body, []string{"old", "new"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d.ID = ""
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%-45s %s\n", name, line)
	}
	goldentest.Compare(t, "testdata/webhooks.golden", got.String())
}

func TestOnlyWhatIsSignedIsRead(t *testing.T) {
	t.Parallel()
	body := []byte(`{"zen":"x","repository":{"full_name":"acme/live"}}`)
	good := header("ping", "s3cret", body)
	with := func(change func(http.Header)) http.Header {
		h := good.Clone()
		change(h)
		return h
	}
	for name, test := range map[string]struct {
		header  http.Header
		secrets []string
		ok      bool
	}{
		"the secret":                   {good, []string{"s3cret"}, true},
		"the older of two":             {good, []string{"newer", "s3cret"}, true},
		"the newer of two":             {good, []string{"s3cret", "older"}, true},
		"another":                      {good, []string{"other"}, false},
		"none":                         {good, nil, false},
		"an empty one, signed with it": {header("ping", "", body), []string{""}, false},
		"no signature":                 {with(func(h http.Header) { h.Del("X-Hub-Signature-256") }), []string{"s3cret"}, false},
		"SHA-1 in its own header": {with(func(h http.Header) {
			h.Del("X-Hub-Signature-256")
			h.Set("X-Hub-Signature", sign(sha1.New, "sha1=", "s3cret", body))
		}), []string{"s3cret"}, false},
		"SHA-1 in the newer header":       {with(func(h http.Header) { h.Set("X-Hub-Signature-256", sign(sha1.New, "sha1=", "s3cret", body)) }), []string{"s3cret"}, false},
		"half a signature":                {with(func(h http.Header) { h.Set("X-Hub-Signature-256", good.Get("X-Hub-Signature-256")[:40]) }), []string{"s3cret"}, false},
		"a signature that is no hex":      {with(func(h http.Header) { h.Set("X-Hub-Signature-256", "sha256=zz") }), []string{"s3cret"}, false},
		"the signature of another's body": {header("ping", "s3cret", []byte(`{}`)), []string{"s3cret"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Parser{}.ParseWebhook(test.header, body, test.secrets)
			if test.ok != (err == nil) || !test.ok && !errors.Is(err, forge.ErrSignature) {
				t.Fatalf("got %v", err)
			}
			if test.ok && d != (forge.Delivery{ID: "72d3162e-cc78-11e3-81ab-4c9367dc0958", Topic: forge.TopicPing, Repository: "acme/live"}) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestADeliveryWithoutAnIDHasThatOfItsContent(t *testing.T) {
	t.Parallel()
	parse := func(event, body string) string {
		h := header(event, "s", []byte(body))
		h.Del("X-GitHub-Delivery")
		d, err := Parser{}.ParseWebhook(h, []byte(body), []string{"s"})
		if err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	a, b, c := parse("ping", `{"a":1}`), parse("ping", `{"a":1}`), parse("ping", `{"a":2}`)
	if a == "" || a != b || a == c || a == parse("star", `{"a":1}`) {
		t.Errorf("got %q, %q, %q", a, b, c)
	}
}

func TestAFormIsReadAndNonsenseIsNot(t *testing.T) {
	t.Parallel()
	body := []byte(url.Values{"payload": {`{"ref":"refs/heads/main","repository":{"full_name":"acme/live"}}`}}.Encode())
	h := header("push", "s", body)
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	d, err := Parser{}.ParseWebhook(h, body, []string{"s"})
	if err != nil || d.Topic != forge.TopicPush || d.Branch != "main" || d.Repository != "acme/live" {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, body := range []string{"", "{", "[]", "null", "{}", `{"number":"seven"}`, `{"number":7}`, `{"number":-7,"repository":{"full_name":"a/b"}}`} {
		_, err := Parser{}.ParseWebhook(header("pull_request", "s", []byte(body)), []byte(body), []string{"s"})
		if err == nil || errors.Is(err, forge.ErrSignature) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func FuzzParseWebhook(f *testing.F) {
	for _, event := range []string{"push", "pull_request", "issue_comment", "pull_request_review", "ping", "star"} {
		f.Add(event, []byte(`{"number":7,"issue":{"pull_request":{}},"repository":{"full_name":"a/b"},"ref":"refs/heads/x"}`))
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		d, err := Parser{}.ParseWebhook(header(event, "s", body), body, []string{"s"})
		if err == nil && (d.ID == "" || d.Topic == "" || d.Number < 0 || d.Topic == forge.TopicPullRequest && (d.Number == 0 || d.Repository == "")) {
			t.Errorf("%q %q: %+v", event, body, d)
		}
		if _, err := (Parser{}).ParseWebhook(header(event, "other", body), body, []string{"s"}); !errors.Is(err, forge.ErrSignature) {
			t.Errorf("a forged delivery: %v", err)
		}
	})
}

// The published collection has no comment on a pull request; GitHub marks its issue so.
func TestACommentOnAPullRequestIsTold(t *testing.T) {
	t.Parallel()
	for action, created := range map[string]bool{"created": true, "edited": false, "deleted": false} {
		recorded, err := os.ReadFile("testdata/webhooks/issue_comment." + action + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var payload map[string]any
		if err := json.Unmarshal(recorded, &payload); err != nil {
			t.Fatal(err)
		}
		payload["issue"].(map[string]any)["pull_request"] = map[string]any{"url": "https://api.github.com/repos/Codertocat/Hello-World/pulls/1"}
		payload["comment"].(map[string]any)["id"] = 492700400000 // longer than 32 bits
		body, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parser{}.ParseWebhook(header("issue_comment", "s", body), body, []string{"s"})
		want := forge.Delivery{ID: "72d3162e-cc78-11e3-81ab-4c9367dc0958", Topic: forge.TopicComment, Repository: "Codertocat/Hello-World", Number: 1, Comment: "492700400000", Created: created}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", action, got, err)
		}
	}
}
