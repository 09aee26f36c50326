package app_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// connection is a forge with a repository, and the configuration of a daemon for it.
type connection struct {
	t        *testing.T
	site     forgetest.Site
	api      string
	dir      string
	now, was string // the files of the secrets
	file     string
	daemon   string
}

// connected runs a story on every forge.
func connected(t *testing.T, story func(t *testing.T, c *connection)) {
	t.Helper()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		dir := t.TempDir()
		answers := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(answers.Close)
		c := &connection{t: t, site: w.site, api: w.front.url, dir: dir, now: filepath.Join(dir, "secrets", "now"), was: filepath.Join(dir, "secrets", "was"),
			file: filepath.Join(dir, "reeve.yaml"), daemon: answers.URL}
		c.configure(fmt.Sprintf("webhookSecret: {file: %q}, previousWebhookSecret: {file: %q}", c.now, c.was), w.site.Token(forgetest.Reeve))
		// A forge takes a moment to know what was pushed to a new repository.
		(&served{w: w.world}).until("the repository is there", func() bool {
			_, err := w.site.Repository(t).OpenPullRequests(t.Context())
			return err == nil
		})
		story(t, c)
	})
}

// connect connects, and fails the test when that does not succeed.
func (c *connection) connect(o app.ConnectOptions) string {
	c.t.Helper()
	checks, err := app.Connect(c.t.Context(), o)
	if err != nil || slices.ContainsFunc(checks, func(ch app.Check) bool { return ch.Health == app.Missing }) {
		c.t.Fatal(told(checks, err))
	}
	return told(checks, err)
}

func (c *connection) configure(secrets, token string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "token"), []byte(token), 0o600); err != nil {
		c.t.Fatal(err)
	}
	text := fmt.Sprintf("dataDir: %q\nrepositories:\n- name: config\n  url: %q\n  forge: {kind: %s, url: %q, repository: %q, token: {file: %q}, %s}\n",
		c.dir, c.site.CloneURL(""), c.site.World().Kind(), c.api, c.site.Name(), filepath.Join(c.dir, "token"), secrets)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *connection) options() app.ConnectOptions {
	c.t.Helper()
	cfg, found, err := config.Load(config.Options{Path: c.file, Purpose: config.ForClient})
	if err != nil || found.HasErrors() {
		c.t.Fatalf("%v\n%s", err, diag.Text(found, diag.TextOptions{}))
	}
	return app.ConnectOptions{Config: cfg, URL: c.daemon}
}

func (c *connection) content(file string) string {
	c.t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (c *connection) hooks() []forge.Webhook {
	c.t.Helper()
	hooks, err := c.site.Repository(c.t).Webhooks(c.t.Context(), c.daemon+"/webhooks/config")
	if err != nil {
		c.t.Fatal(err)
	}
	return hooks
}

// told is all that Connect said.
func told(checks []app.Check, err error) string { return fmt.Sprintf("%+v %v", checks, err) }

func TestConnectingMakesOneWebhookHoweverOftenAndKeepsTheSecretToItself(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, c *connection) {
		o := c.options()
		o.DryRun = true
		checks, err := app.Connect(t.Context(), o)
		if said := told(checks, err); err != nil || !strings.Contains(said, "would create the webhook to "+c.daemon+"/webhooks/config") || len(c.hooks()) != 0 || c.content(c.now) != "" {
			t.Fatalf("a dry run: %s, with %d webhooks", said, len(c.hooks()))
		}
		o.DryRun = false
		checks, err = app.Connect(t.Context(), o)
		said, first := told(checks, err), c.content(c.now)
		if err != nil || len(c.hooks()) != 1 || !c.hooks()[0].Active || len(first) != 64 || c.content(c.was) != "" {
			t.Fatalf("%s; %d webhooks, a secret of %d characters", said, len(c.hooks()), len(first))
		}
		for _, want := range []string{"reeve-bot on ", "0 open in " + c.site.Name(), "Name:permission Health:ok", "was created", "no daemon answers at " + c.daemon} {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q: %s", want, said)
			}
		}
		checks, err = app.Connect(t.Context(), o)
		said += told(checks, err)
		second := c.content(c.now)
		if err != nil || len(c.hooks()) != 1 || second == first || c.content(c.was) != first || !strings.Contains(said, "was replaced") {
			t.Fatalf("again: %s; %d webhooks", said, len(c.hooks()))
		}
		for _, file := range []string{c.now, c.was} {
			if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", file, st.Mode(), err)
			}
		}
		o.KeepSecret = true
		checks, err = app.Connect(t.Context(), o)
		said += told(checks, err)
		if err != nil || c.content(c.now) != second || c.content(c.was) != first || len(c.hooks()) != 1 {
			t.Fatalf("with the secret that is there: %s", said)
		}
		for _, secret := range []string{first, second, c.site.Token(forgetest.Reeve)} {
			if strings.Contains(said, secret) {
				t.Error("a secret is told")
			}
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(c.now), "*"))
		if err != nil || len(left) != 2 {
			t.Errorf("beside the secrets are %v, %v", left, err)
		}
	})
}

// TestManyWhoConnectAtOnceEndWithOneSecret has the daemon take deliveries that are signed
// with what the last of them left.
func TestManyWhoConnectAtOnceEndWithOneSecret(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start() // which polls each second; the deliveries are counted below
		cfg, found, err := config.Load(config.Options{Path: w.served.file, Purpose: config.ForClient})
		if err != nil || found.HasErrors() {
			t.Fatal(err, found)
		}
		var all sync.WaitGroup
		errs := make(chan error, 5)
		for range cap(errs) {
			all.Go(func() {
				checks, err := app.Connect(t.Context(), app.ConnectOptions{Config: cfg, URL: w.served.url})
				if err == nil && !strings.Contains(told(checks, nil), "a daemon answers at "+w.served.url) {
					err = errors.New(told(checks, nil))
				}
				errs <- err
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		hooks, err := w.site.Repository(t).Webhooks(t.Context(), w.served.url+"/webhooks/config")
		if err != nil || len(hooks) != 1 {
			t.Fatalf("%d webhooks, %v", len(hooks), err)
		}
		w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.served.until("a delivery is taken", func() bool {
			for _, s := range w.served.scrape() {
				if s.name == "reeve_pull_deliveries_total" && s.value > 0 {
					return true
				}
			}
			return false
		})
	})
}

func TestAForgeThatRefusesLeavesTheSecretsAsTheyWere(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, c *connection) {
		o := c.options()
		c.connect(o)
		first := c.content(c.now)
		faults, ok := c.site.(forgetest.Faults)
		if !ok {
			t.Skip("this forge makes no mistakes on order")
		}
		method := map[forge.Kind]string{forge.Gitea: http.MethodPost, forge.GitHub: http.MethodPatch, forge.GitLab: http.MethodPut}[c.site.World().Kind()]
		faults.Fail(1, method, "/hooks", http.StatusForbidden, 0, false)
		checks, err := app.Connect(t.Context(), o)
		if !errors.Is(err, app.ErrNotConnected) || !strings.Contains(err.Error(), "the secret is as it was before") {
			t.Fatal(told(checks, err))
		}
		if c.content(c.now) != first || c.content(c.was) != "" || len(c.hooks()) != 1 {
			t.Errorf("the secrets moved, or there are %d webhooks", len(c.hooks()))
		}
		// An answer that is lost: both secrets are there, so that whichever the forge has is accepted.
		if method == http.MethodPost { // elsewhere replacing it is repeated until an answer comes
			faults.Fail(1, method, "/hooks", 0, 0, true)
			checks, err = app.Connect(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), "call this again") {
				t.Fatal(told(checks, err))
			}
			if c.content(c.now) == first || c.content(c.was) != first {
				t.Error("one of the secrets is lost")
			}
		}
		if c.connect(o); !c.hooks()[0].Active {
			t.Errorf("%+v", c.hooks())
		}
	})
}

func TestWhatKeepsFromConnectingIsSaidAndChangesNothing(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, c *connection) {
		fails := func(o app.ConnectOptions, want string) {
			t.Helper()
			checks, err := app.Connect(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, expected %q", told(checks, err), want)
			}
		}
		o := c.options()
		for _, address := range []string{"reeve.example.com", "ftp://x", "https://ada:pw-canary@x", "https://x?q=1", ""} {
			o.URL = address
			fails(o, "expected https://HOST")
			if _, err := app.Connect(t.Context(), o); strings.Contains(err.Error(), "canary") {
				t.Error("a password is told")
			}
		}
		o = c.options()
		o.Repository = "other"
		fails(o, "there are: config")
		c.configure("webhookSecret: {env: HOOK_SECRET}", c.site.Token(forgetest.Reeve))
		fails(c.options(), "--keep-secret")
		o = c.options()
		o.KeepSecret, o.Environ = true, []string{"HOOK_SECRET=tiny"}
		fails(o, "at least 16 characters")
		c.configure("pollInterval: 1m", c.site.Token(forgetest.Reeve))
		fails(c.options(), "webhookSecret: {file: ")

		// A token that may only read.
		c.configure(fmt.Sprintf("webhookSecret: {file: %q}", c.now), c.site.Token(forgetest.Mallory))
		checks, err := app.Connect(t.Context(), c.options())
		if said := told(checks, err); err != nil || checks[len(checks)-1].Health != app.Missing || !strings.Contains(said, "give mallory the right to write") {
			t.Error(said)
		}
		c.site.Revoke(t, forgetest.Reeve)
		c.configure(fmt.Sprintf("webhookSecret: {file: %q}", c.now), c.site.Token(forgetest.Reeve))
		checks, err = app.Connect(t.Context(), c.options())
		if said := told(checks, err); err != nil || len(checks) != 1 || checks[0].Health != app.Missing || strings.Contains(said, c.site.Token(forgetest.Reeve)) {
			t.Error(said)
		}
		if c.content(c.now) != "" {
			t.Error("a secret was written")
		}
	})
}

func TestTheDoctorTellsOfTheForge(t *testing.T) {
	t.Parallel()
	connected(t, func(t *testing.T, c *connection) {
		look := func(address string) map[string]app.Check {
			out := map[string]app.Check{}
			for _, ch := range app.Doctor(context.Background(), c.options().Config, os.Environ(), address, nil) {
				out[ch.Name] = ch
			}
			return out
		}
		is := func(checks map[string]app.Check, name string, h app.Health, detail string) {
			t.Helper()
			if ch := checks[name]; ch.Health != h || !strings.Contains(ch.Detail, detail) {
				t.Errorf("%s: %+v, expected %s with %q", name, ch, h, detail)
			}
		}
		checks := look(c.daemon)
		is(checks, "git", app.Well, "/git")
		is(checks, "forge of config", app.Well, "reeve-bot on ")
		is(checks, "webhook of config", app.Unwell, "now: no such file")
		c.connect(c.options())
		is(look(c.daemon), "webhook of config", app.Well, "delivers to "+c.daemon+"/webhooks/config")
		is(look("https://elsewhere.example.com"), "webhook of config", app.Unwell, "none delivers to https://elsewhere.example.com: polling alone, every 1m")
		is(look(""), "webhook of config", app.Unwell, "is not known")
		c.configure("pollInterval: 30s", c.site.Token(forgetest.Reeve))
		is(look(""), "webhook of config", app.Well, "polling alone, every 30s")
		c.site.Revoke(t, forgetest.Reeve)
		is(look(""), "forge of config", app.Missing, "account: ")
	})
}
