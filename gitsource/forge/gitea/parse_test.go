package gitea_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
)

func sign(secret, body string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(body))
	return hex.EncodeToString(sum.Sum(nil))
}

// delivered is a delivery's header. The name of its last field is X-<who>-….
func delivered(who, event, secret, body string) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("X-"+who+"-Event", event)
	h.Set("X-"+who+"-Delivery", "f9ad8a4c-0f3c-4b0f-a0c9-3d5b8a6ee7f1")
	h.Set("X-"+who+"-Signature", sign(secret, body))
	return h
}

const inRepository = `,"repository":{"full_name":"acme/infra"}}`

func TestDeliveriesAreReadByTheirEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event, body string
		want        forge.Delivery
	}{
		"push":               {"push", `{"ref":"refs/heads/feature/x"` + inRepository, forge.Delivery{Topic: forge.TopicPush, Branch: "feature/x"}},
		"pushed tag":         {"push", `{"ref":"refs/tags/v1"` + inRepository, forge.Delivery{Topic: forge.TopicOther}},
		"opened":             {"pull_request", `{"action":"opened","number":7` + inRepository, forge.Delivery{Topic: forge.TopicPullRequest, Number: 7}},
		"moved":              {"pull_request", `{"action":"synchronized","number":7,"pull_request":{"head":{"sha":"2f1e"}}` + inRepository, forge.Delivery{Topic: forge.TopicPullRequest, Number: 7, Head: "2f1e"}},
		"comment":            {"issue_comment", `{"action":"created","is_pull":true,"issue":{"number":7},"comment":{"id":31}` + inRepository, forge.Delivery{Topic: forge.TopicComment, Number: 7, Comment: "31", Created: true}},
		"edited":             {"issue_comment", `{"action":"edited","is_pull":true,"issue":{"number":7},"comment":{"id":31}` + inRepository, forge.Delivery{Topic: forge.TopicComment, Number: 7, Comment: "31"}},
		"deleted":            {"issue_comment", `{"action":"deleted","is_pull":true,"issue":{"number":7},"comment":{"id":31}` + inRepository, forge.Delivery{Topic: forge.TopicComment, Number: 7, Comment: "31"}},
		"comment on issue":   {"issue_comment", `{"action":"created","is_pull":false,"issue":{"number":7},"comment":{"id":31}` + inRepository, forge.Delivery{Topic: forge.TopicOther}},
		"approved":           {"pull_request_approved", `{"action":"reviewed","number":7` + inRepository, forge.Delivery{Topic: forge.TopicReview, Number: 7}},
		"rejected":           {"pull_request_rejected", `{"action":"reviewed","number":7` + inRepository, forge.Delivery{Topic: forge.TopicReview, Number: 7}},
		"review comments":    {"pull_request_comment", `{"action":"reviewed","number":7` + inRepository, forge.Delivery{Topic: forge.TopicReview, Number: 7}},
		"nobody's business":  {"release", `{"action":"published"` + inRepository, forge.Delivery{Topic: forge.TopicOther}},
		"without repository": {"package", `{}`, forge.Delivery{Topic: forge.TopicOther}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.ID = "f9ad8a4c-0f3c-4b0f-a0c9-3d5b8a6ee7f1"
			if strings.Contains(c.body, "acme") {
				c.want.Repository = "acme/infra"
			}
			for _, who := range []string{"Gitea", "Forgejo"} {
				got, err := gitea.Parser{}.ParseWebhook(delivered(who, c.event, "new", c.body), []byte(c.body), []string{"old", "new"})
				if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
					t.Errorf("%s: %v (-want +got):\n%s", who, err, diff)
				}
			}
		})
	}
}

func TestADeliveryWithoutAnIDHasOneOfItsContent(t *testing.T) {
	t.Parallel()
	parse := func(event, body string) string {
		t.Helper()
		h := delivered("Gitea", event, "s", body)
		h.Del("X-Gitea-Delivery")
		d, err := gitea.Parser{}.ParseWebhook(h, []byte(body), []string{"s"})
		if err != nil || d.ID == "" {
			t.Fatalf("%+v, %v", d, err)
		}
		return d.ID
	}
	body := `{"number":7` + inRepository
	id := parse("pull_request", body)
	if again := parse("pull_request", body); again != id {
		t.Error("the same delivery has two ids")
	}
	if parse("pull_request_approved", body) == id || parse("pull_request", body+" ") == id {
		t.Error("two deliveries have the same id")
	}
}

func TestOnlyWhatASecretSignedIsRead(t *testing.T) {
	t.Parallel()
	body := `{"number":7` + inRepository
	good := delivered("Gitea", "pull_request", "secret", body)
	with := func(change func(http.Header)) http.Header {
		h := good.Clone()
		change(h)
		return h
	}
	github := with(func(h http.Header) {
		h.Del("X-Gitea-Signature")
		h.Set("X-Hub-Signature-256", "sha256="+sign("secret", body))
	})
	if d, err := (gitea.Parser{}).ParseWebhook(github, []byte(body), []string{"secret"}); err != nil || d.Number != 7 {
		t.Errorf("signed as GitHub signs: %+v, %v", d, err)
	}
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		secrets []string
	}{
		"another secret":       {good, body, []string{"other"}},
		"no secret":            {good, body, nil},
		"only an empty secret": {delivered("Gitea", "pull_request", "", body), body, []string{""}},
		"another body":         {good, strings.Replace(body, "7", "8", 1), []string{"secret"}},
		"no signature":         {with(func(h http.Header) { h.Del("X-Gitea-Signature") }), body, []string{"secret"}},
		"not hexadecimal":      {with(func(h http.Header) { h.Set("X-Gitea-Signature", "zz") }), body, []string{"secret"}},
		"half a signature":     {with(func(h http.Header) { h.Set("X-Gitea-Signature", sign("secret", body)[:32]) }), body, []string{"secret"}},
		"the body in a form":   {with(func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded") }), body, []string{"secret"}},
	} {
		d, err := gitea.Parser{}.ParseWebhook(c.header, []byte(c.body), c.secrets)
		if !errors.Is(err, forge.ErrSignature) || d != (forge.Delivery{}) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func TestASignedDeliveryThatMakesNoSenseIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ event, body, want string }{
		"no JSON":         {"push", `ref=main`, `read a delivery of "push"`},
		"no repository":   {"pull_request", `{"number":7}`, "names no repository"},
		"no number":       {"pull_request", `{"action":"opened"` + inRepository, "names no pull request"},
		"a bad number":    {"pull_request_approved", `{"number":-1` + inRepository, "names no pull request"},
		"no comment":      {"issue_comment", `{"is_pull":true,"issue":{"number":7}` + inRepository, "names no comment"},
		"a list":          {"push", `[1]`, "read a delivery"},
		"number too long": {"pull_request", `{"number":99999999999999999999` + inRepository, "read a delivery"},
	} {
		_, err := gitea.Parser{}.ParseWebhook(delivered("Gitea", c.event, "s", c.body), []byte(c.body), []string{"s"})
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, forge.ErrSignature) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParseWebhook(f *testing.F) {
	for _, event := range []string{"push", "pull_request", "issue_comment", "pull_request_approved"} {
		f.Add(event, `{"number":7,"ref":"refs/heads/x","is_pull":true,"issue":{"number":7},"comment":{"id":1}`+inRepository)
	}
	f.Fuzz(func(t *testing.T, event, body string) {
		h := delivered("Gitea", "push", "s", body)
		h["X-Gitea-Event"] = []string{event}
		d, err := gitea.Parser{}.ParseWebhook(h, []byte(body), []string{"s"})
		switch {
		case err != nil:
			if d != (forge.Delivery{}) {
				t.Errorf("%v, and %+v", err, d)
			}
		case d.ID == "" || d.Topic == "":
			t.Errorf("without id or topic: %+v", d)
		case d.Topic != forge.TopicOther && d.Topic != forge.TopicPing && (d.Repository == "" || d.Number < 0):
			t.Errorf("about nothing: %+v", d)
		}
		if _, err := (gitea.Parser{}).ParseWebhook(h, []byte(body), []string{fmt.Sprint("not ", event)}); !errors.Is(err, forge.ErrSignature) {
			t.Errorf("with another secret: %v", err)
		}
	})
}
