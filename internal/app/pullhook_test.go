package app_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// listener hears what a forge delivers and passes it on to the daemon.
type listener struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	heard []delivery
}

type delivery struct {
	header http.Header
	body   []byte
}

func (w *pullWorld) listen() *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		d := delivery{r.Header.Clone(), body}
		l.mu.Lock()
		l.heard = append(l.heard, d)
		l.mu.Unlock()
		status, err := w.deliver(d)
		if err != nil {
			status = http.StatusBadGateway
		}
		rw.WriteHeader(status)
	}))
	w.t.Cleanup(l.Close)
	return l
}

// about are the deliveries whose body holds a text.
func (l *listener) about(text string) []delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []delivery
	for _, d := range l.heard {
		if bytes.Contains(d.body, []byte(text)) {
			out = append(out, d)
		}
	}
	return out
}

// deliver sends a delivery to the daemon and returns the status it answers.
func (w *pullWorld) deliver(d delivery) (int, error) {
	req, err := http.NewRequest(http.MethodPost, w.served.url+"/webhooks/config", bytes.NewReader(d.body)) //nolint:noctx // ends with the daemon
	if err != nil {
		return 0, err
	}
	req.Header = d.header.Clone()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// secretHeaders are those that prove that a delivery comes from the forge.
var secretHeaders = []string{"X-Hub-Signature", "X-Hub-Signature-256", "X-Gitea-Signature", "X-Gogs-Signature", "X-Forgejo-Signature",
	"X-Gitlab-Token", "Webhook-Signature"}

func TestDeliveriesThatAreDoubledForgedOversizedOrUnsigned(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.hooks = true
		l := w.listen()
		if _, err := w.site.Repository(t).SetWebhook(t.Context(), "", l.URL, webhookSecret); err != nil {
			t.Fatal(err)
		}
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, "change")
		w.shows(n, "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve help"), forge.ThumbsUp)
		w.sees(n, "/answer-")
		w.served.until("the comment was delivered", func() bool { return len(l.about("reeve help")) > 0 })
		d := l.about("reeve help")[0]
		send := func(what string, d delivery, want ...int) {
			t.Helper()
			got, err := w.deliver(d)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for _, status := range want {
				if got == status {
					return
				}
			}
			t.Errorf("%s: the answer is %d, expected one of %v", what, got, want)
		}
		for range 3 {
			send("the same again", d, http.StatusAccepted)
		}
		w.served.until("the doubles were dropped", func() bool {
			return sum(w.served.scrape(), "reeve_pull_deliveries_total", "fresh", "no") >= 3
		})
		forged := delivery{d.header.Clone(), bytes.Replace(d.body, []byte("reeve help"), []byte("reeve plan"), 1)}
		if w.site.World().Kind() == forge.GitLab && d.header.Get("Webhook-Signature") == "" {
			forged.header.Set("X-Gitlab-Token", "another")
		}
		send("forged", forged, http.StatusUnauthorized, http.StatusForbidden)
		unsigned := delivery{d.header.Clone(), d.body}
		for _, h := range secretHeaders {
			unsigned.header.Del(h)
		}
		send("unsigned", unsigned, http.StatusUnauthorized, http.StatusForbidden)
		send("oversized", delivery{d.header, append(bytes.Clone(d.body), bytes.Repeat([]byte(" "), 6<<20)...)}, http.StatusRequestEntityTooLarge)

		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		if got := w.lines("a"); got != "one" {
			t.Errorf("a was made %q", got)
		}
		w.once(n)
	})
}

func TestAWebhookSecretIsRotatedWithTwoInForce(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		const old, older = "the-old-webhook-secret-000", "one-that-never-was-in-force"
		w.forge = "      previousWebhookSecret: {file: " + w.secret("old", old) + "}\n"
		w.hooks = false
		settings := w.settings()
		settings.Repositories = strings.ReplaceAll(settings.Repositories, "pollInterval: 1s", "pollInterval: 1h")
		w.served = w.serve(settings)
		w.ready()
		w.hooks = true
		l := w.listen()
		id := ""
		for i, secret := range []string{old, webhookSecret} {
			made, err := w.site.Repository(t).SetWebhook(t.Context(), id, l.URL, secret)
			if err != nil {
				t.Fatal(err)
			}
			id = made.ID
			name := string(rune('a' + i))
			w.site.Push(t, forgetest.Ada, "change-"+name, map[string]string{"acme/dev/" + name + ".yaml": w.document(name, "one")}, false)
			n := w.site.Open(t, forgetest.Ada, "change-"+name, "Add one", false)
			w.shows(n, "reeve approve dev")
		}
		if _, err := w.site.Repository(t).SetWebhook(t.Context(), id, l.URL, older); err != nil {
			t.Fatal(err)
		}
		n := w.site.Open(t, forgetest.Ada, w.branch("change-c"), "Add one", false)
		w.served.until("it was delivered", func() bool { return len(l.about("change-c")) > 0 })
		for _, d := range l.about("change-c") {
			if got, err := w.deliver(d); err != nil || got != http.StatusUnauthorized && got != http.StatusForbidden {
				t.Errorf("a delivery with a secret that is not in force is answered %d (%v)", got, err)
			}
		}
		if got := w.ours(n); len(got) != 0 {
			t.Errorf("it was heard:\n%s", got[0])
		}
	})
}

// branch pushes a branch with a stack of its own and returns its name.
func (w *pullWorld) branch(name string) string {
	w.t.Helper()
	w.site.Push(w.t, forgetest.Ada, name, map[string]string{"acme/dev/" + name + ".yaml": w.document(name, "one")}, false)
	return name
}

func TestNoSecretIsToldAnywhere(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		const sensitive = "plan-value-canary-8d1f"
		w.start()
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{
			"modules/hidden/main.tf": "variable \"text\" {\n  type = string\n  sensitive = true\n}\nresource \"terraform_data\" \"this\" { input = var.text }\noutput \"text\" {\n  value = terraform_data.this.output\n  sensitive = true\n}\n",
			"acme/dev/a.yaml":        "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: a}\nspec:\n  module: {path: /modules/hidden}\n  variables: {text: {valueFrom: {kind: TerraformStack, name: b, fieldPath: status.outputs.text}}}\n",
			"modules/source/main.tf": "output \"text\" {\n  value = file(\"" + filepath.Join(w.root, "source") + "\")\n  sensitive = true\n}\n",
			"acme/dev/b.yaml":        "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: b}\nspec:\n  module: {path: /modules/source}\n"}, false)
		if err := os.WriteFile(filepath.Join(w.root, "source"), []byte(sensitive), 0o600); err != nil {
			t.Fatal(err)
		}
		n := w.site.Open(t, forgetest.Ada, "change", "Hide something", false)
		w.tell(n, head)
		w.shows(n, "reeve approve dev", "acme/dev/TerraformStack/b")
		// A forge that shows in its refusals what it was sent.
		left := w.front.troubles(trouble{lists, fate{status: 403}}, trouble{edits, fate{status: 502}}, trouble{sets, fate{status: 401}})
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/waits-", "acme/dev/TerraformStack/a")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve explain dev\nreeve approve dev"), forge.ThumbsUp)
		w.sees(n, "/outcome-", "All 2 applied")
		w.served.until("the forge was in trouble", func() bool { return left() == 0 })

		told := map[string]string{"the log": w.log.String()}
		for _, c := range w.site.Comments(t, n) {
			told["comment "+c.ID] = c.Body
		}
		for name, s := range w.site.Statuses(t, head) {
			told["status "+name] = s.Description
		}
		res, err := http.Get(w.served.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		told["the metrics"] = string(metrics)
		files := 0
		err = filepath.WalkDir(filepath.Join(w.root, "data"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.Contains(d.Name(), ".db") {
				return err
			}
			b, err := os.ReadFile(path)
			told["the database "+d.Name()] = string(b)
			files++
			return err
		})
		if err != nil || files == 0 {
			t.Fatalf("%d files of the database: %v", files, err)
		}
		for where, text := range told {
			for what, secret := range map[string]string{"the token": w.site.Token(forgetest.Reeve), "the webhook's secret": webhookSecret, "a sensitive value": sensitive} {
				if i := strings.Index(text, secret); i >= 0 {
					t.Errorf("%s holds %s: …%q…", where, what, text[max(0, i-80):min(len(text), i+len(secret)+20)])
				}
			}
		}
	})
}
