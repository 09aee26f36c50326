package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// TestAReloadFollowsPullRequestsAsTheConfigurationSays takes the forge away, gives a bad
// one and brings it back, and loses no pull request by it.
func TestAReloadFollowsPullRequestsAsTheConfigurationSays(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		s := w.served
		knock := func(status int) {
			t.Helper()
			res, err := http.Post(s.url+"/webhooks/config", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("an unsigned delivery: HTTP %d, expected %d", res.StatusCode, status)
			}
		}
		repository := func(forge string) settings {
			return settings{Repositories: fmt.Sprintf("  - name: config\n    url: %q\n    pollInterval: 1s\n    credentials: {username: %s, token: {file: %q}}\n%s",
				w.site.CloneURL(""), forgetest.Reeve, filepath.Join(w.root, "token"), forge)}
		}
		file := func(name, text string) string {
			path := filepath.Join(w.root, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		knock(http.StatusUnauthorized)
		w.site.Push(t, forgetest.Ada, "first", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		first := w.site.Open(t, forgetest.Ada, "first", "Add one", false)
		w.sees(first, "acme/dev/TerraformStack/a", "reeve approve dev")

		// A key that is none is found before the forge that is followed is left.
		s.writeSettings(repository(fmt.Sprintf("    forge: {kind: github, app: {id: '7', privateKey: {file: %q}}}\n", file("key", "key-canary-that-is-no-PEM"))))
		s.told(notInForce, 1)
		knock(http.StatusUnauthorized)

		s.writeSettings(repository(""))
		s.told(inForce, 1)
		knock(http.StatusNotFound)
		w.site.Push(t, forgetest.Ada, "second", map[string]string{"acme/dev/b.yaml": w.document("b", "one")}, false)
		second := w.site.Open(t, forgetest.Ada, "second", "Add another", false)

		s.writeSettings(repository(fmt.Sprintf("    forge: {kind: %s, url: %q, repository: %q, token: {file: %q}, webhookSecret: {file: %q}, pollInterval: 2s}\n",
			w.site.World().Kind(), w.front.url, w.site.Name(), file("token2", w.site.Token(forgetest.Reeve)), file("webhook2", "another-webhook-canary-0123456789"))))
		s.told(inForce, 2)
		knock(http.StatusUnauthorized)
		w.sees(second, "acme/dev/TerraformStack/b", "reeve approve dev")
		if n := len(w.ours(first)); n != 1 {
			t.Errorf("%d comments on the first pull request", n)
		}
		for _, secret := range []string{"canary", w.site.Token(forgetest.Reeve)} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log tells a secret:\n%s", w.log.String())
			}
		}
	})
}
