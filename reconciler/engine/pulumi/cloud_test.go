package pulumi_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// cloud stands in for Pulumi Cloud as far as a refusal goes: it answers nothing but who
// has the token, and no to all else.
type cloud struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // method, path and Authorization of each request
}

// whoIs is what Pulumi asks before it does anything (github.com/pulumi/pulumi/pkg/v3,
// backend/httpstate/client).
var whoIs = map[string]string{
	"/api/user":                       `{"githubLogin": "ada", "organizations": [{"githubLogin": "acme"}]}`,
	"/api/user/organizations/default": `{"GitHubLogin": "acme"}`,
	"/api/capabilities":               `{"capabilities": []}`,
}

// inCloud puts a stack's state there. The server speaks TLS, with a certificate of its own.
func (b *bench) inCloud(t *testing.T, status int, knows string) *cloud {
	t.Helper()
	c := &cloud{}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		if answer, ok := whoIs[r.URL.Path]; ok && r.Header.Get("Authorization") == "token "+knows {
			fmt.Fprint(w, answer)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code": %d, "message": "it says no"}`, status)
	}))
	t.Cleanup(c.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Task.Env["SSL_CERT_FILE"] = file
	b.Task.Pulumi.BackendURL, b.Task.Pulumi.Organization, b.Task.StateFile = c.URL, "acme", ""
	return c
}

func TestPulumiCloudGetsTheTokenAndItsRefusalIsOneClearFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token, says string
		status      int
		asked       string
	}{
		"a token that nobody knows": {"canary-cloud-token-1", "token", http.StatusUnauthorized, "GET /api/user token canary-cloud-token-1"},
		"a token without the right": {"canary-cloud-token-2", "it says no", http.StatusForbidden, "POST /api/stacks/acme/demo token canary-cloud-token-2"},
		"no token":                  {"", "PULUMI_ACCESS_TOKEN", http.StatusUnauthorized, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			server := b.inCloud(t, c.status, "canary-cloud-token-2")
			if c.token != "" {
				b.Task.Env["PULUMI_ACCESS_TOKEN"] = c.token
			}
			b.program(simple)
			b.Inputs(map[string]any{"text": "one"})
			processes := b.Counting()
			r := b.Plan(t.Context())
			if r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, c.says) {
				t.Errorf("failure = %+v", r.Failure)
			}
			server.mu.Lock()
			asked := slices.Clone(server.asked)
			server.mu.Unlock()
			if c.asked != "" && !slices.Contains(asked, c.asked) {
				t.Errorf("it was asked %q, not %q", asked, c.asked)
			}
			log, events := b.Sink.Told()
			where := files(t, filepath.Dir(b.Task.Workspace))
			where["log, events, failure, command lines"] = log + fmt.Sprint(events, r.Failure, r.Operations, processes())
			for place, text := range where {
				if strings.Contains(text, "canary-cloud-token") {
					t.Errorf("the token is in %s", place)
				}
			}
		})
	}
}
