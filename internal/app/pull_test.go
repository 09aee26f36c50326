package app_test

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/hub"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// pullWorld is a forge with a config repository, and the daemon that follows it.
type pullWorld struct {
	*world
	site   forgetest.Site
	served *served
	// front is between the daemon and the API of its forge.
	front *front
	// clone is the address that the daemon fetches from; "" for the forge's own.
	clone string
	// hooks has the forge tell the daemon; without it the daemon polls.
	hooks bool
	// polls has it poll beside.
	polls bool
	// jobSettings, forge and rest are appended to what reeve.yaml says of these.
	jobSettings, forge, rest string
}

// forges are those that stories are told on.
func forges() map[string]func(testing.TB) forgetest.World {
	return map[string]func(testing.TB) forgetest.World{
		"gitea":  func(t testing.TB) forgetest.World { return tea.New(t, tooltest.Gitea(t)) },
		"github": func(t testing.TB) forgetest.World { return hub.New(t) },
		"gitlab": func(t testing.TB) forgetest.World { return lab.New(t) },
	}
}

// onForges tells a story on every forge: one in which the forge has a part, by what it
// says, takes or forbids. The files are those of the config repository.
func onForges(t *testing.T, files map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	onForgesWith(t, func(*world) map[string]string { return files }, story)
}

// onForgesWith is onForges with files that name files of the world.
func onForgesWith(t *testing.T, files func(*world) map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	tellOn(t, slices.Sorted(maps.Keys(forges())), files, story)
}

// onOneForge tells a story on one of the forges, or on all of them with
// REEVE_TEST_FORGES=all: one in which any forge would do. The story's name says which it
// is, so that all of them have their share.
func onOneForge(t *testing.T, files map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	onOneForgeWith(t, func(*world) map[string]string { return files }, story)
}

// onOneForgeWith is onOneForge with files that name files of the world.
func onOneForgeWith(t *testing.T, files func(*world) map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	names := slices.Sorted(maps.Keys(forges()))
	if os.Getenv("REEVE_TEST_FORGES") != "all" {
		i := crc32.ChecksumIEEE([]byte(t.Name())) % uint32(len(names))
		names = names[i : i+1]
	}
	tellOn(t, names, files, story)
}

func tellOn(t *testing.T, names []string, files func(*world) map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := newWorld(t, tooltest.Engines(t)[0])
			all := map[string]string{"modules/counter/main.tf": counter}
			for n, text := range files(base) {
				all[n] = text
			}
			story(t, base.at(forges()[name](t).NewSite(t, all)))
		})
	}
}

// at is the world with its config repository on a forge, which tells by webhooks.
func (w *world) at(site forgetest.Site) *pullWorld {
	return &pullWorld{world: w, site: site, hooks: true, front: newFront(w.t, site.APIURL())}
}

const webhookSecret = "0123456789-webhook-canary"

// secret writes a secret into a file, as whoever rotates it does, and returns the file.
func (w *pullWorld) secret(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.root, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// settings are those of a daemon that follows the site.
func (w *pullWorld) settings() settings {
	w.t.Helper()
	poll := "1h"
	if !w.hooks || w.polls {
		poll = "1s"
	}
	token := w.secret("token", w.site.Token(forgetest.Reeve))
	return settings{Jobs: w.jobSettings, Rest: w.rest, Repositories: fmt.Sprintf(`  - name: config
    url: %q
    pollInterval: %s
    credentials: {username: %s, token: {file: %q}}
    forge:
      kind: %s
      url: %q
      repository: %q
      token: {file: %q}
      webhookSecret: {file: %q}
      pollInterval: %s
%s`, cmp.Or(w.clone, w.site.CloneURL("")), poll, forgetest.Reeve, token, w.site.World().Kind(), w.front.url, w.site.Name(), token,
		w.secret("webhook", webhookSecret), poll, w.forge)}
}

// start starts the daemon and, with hooks, connects the forge to it.
func (w *pullWorld) start() {
	w.t.Helper()
	w.served = w.serve(w.settings())
	w.ready()
	w.connect()
}

// ready waits until the daemon has read the repository.
func (w *pullWorld) ready() {
	w.t.Helper()
	w.served.until("the daemon is ready", func() bool {
		res, err := http.Get(w.served.url + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// connect makes the webhook.
func (w *pullWorld) connect() {
	w.t.Helper()
	if !w.hooks {
		return
	}
	if _, err := w.site.Repository(w.t).SetWebhook(w.t.Context(), "", w.served.url+"/webhooks/config", webhookSecret); err != nil {
		w.t.Fatal(err)
	}
}

// ours are the comments of the daemon.
func (w *pullWorld) ours(number int) []string {
	w.t.Helper()
	var out []string
	for _, c := range w.site.Comments(w.t, number) {
		if c.By == string(forgetest.Reeve) {
			out = append(out, c.Body)
		}
	}
	return out
}

// sees waits until a comment of the daemon holds all texts, and returns it.
func (w *pullWorld) sees(number int, texts ...string) string {
	w.t.Helper()
	var found string
	var last []string
	defer func() {
		if found == "" {
			w.t.Logf("looked for %q in:\n%s", texts, strings.Join(last, "\n-----\n"))
		}
	}()
	w.served.until(fmt.Sprintf("a comment says %q", texts), func() bool {
		last = w.ours(number)
	next:
		for _, body := range last {
			for _, text := range texts {
				if !strings.Contains(body, text) {
					continue next
				}
			}
			found = body
			return true
		}
		return false
	})
	return found
}

// status waits for a commit status.
func (w *pullWorld) status(commit, context string, state forge.StatusState) {
	w.t.Helper()
	var last map[string]forge.Status
	w.served.until(fmt.Sprintf("%s is %s", context, state), func() bool {
		last = w.site.Statuses(w.t, commit)
		return last[context].State == state
	})
}

// proposes has Ada push files to the branch "change" and open a pull request, which is
// logged when the test fails.
func (w *pullWorld) proposes(title string, files map[string]string) (number int, head string) {
	w.t.Helper()
	head = w.site.Push(w.t, forgetest.Ada, "change", files, false)
	number = w.site.Open(w.t, forgetest.Ada, "change", title, false)
	w.tell(number, head)
	return number, head
}

// tell logs what stands in a pull request, for a test that failed.
func (w *pullWorld) tell(number int, head string) {
	w.t.Helper()
	w.t.Cleanup(func() {
		if !w.t.Failed() {
			return
		}
		for _, c := range w.site.Comments(w.t, number) {
			w.t.Logf("%s %s:\n%s", c.ID, c.By, c.Body)
		}
		for name, s := range w.site.Statuses(w.t, head) {
			w.t.Logf("%s: %s %s", name, s.State, s.Description)
		}
	})
}

// lines are what the counter module has written for a resource.
func (w *pullWorld) lines(name string) string {
	b, err := os.ReadFile(filepath.Join(w.root, name+".txt"))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", " ")
}

func (w *pullWorld) document(name, text string) string {
	return fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: TerraformStack
metadata: {name: %s}
spec:
  module: {path: /modules/counter}
  variables: {file: %q, text: %q}
`, name, filepath.Join(w.root, name+".txt"), text)
}

// says writes a comment, in a later second than what stands there: forges tell no more,
// and what is said in the second of a change is not taken for an answer to it.
func (w *pullWorld) says(as forgetest.Person, number int, text string) string {
	w.t.Helper()
	began := time.Now().Unix()
	w.served.until("a second is over", func() bool { return time.Now().Unix() > began })
	return w.site.Comment(w.t, as, number, text)
}

// once fails when the daemon has written the same twice.
func (w *pullWorld) once(number int) {
	w.t.Helper()
	seen := map[string]int{}
	for _, body := range w.ours(number) {
		mark, _, _ := strings.Cut(body, "\n")
		if seen[mark]++; seen[mark] > 1 {
			w.t.Errorf("there are two comments %s", mark)
		}
	}
}

// reacts waits for a reaction on a comment.
func (w *pullWorld) reacts(number int, id string, want forge.Reaction) {
	w.t.Helper()
	var last []forge.Reaction
	w.served.until(fmt.Sprintf("%s stands on the comment", want), func() bool {
		last = w.site.Reactions(w.t, number, id)
		for _, r := range last {
			if r == want {
				return true
			}
		}
		return false
	})
}
