package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// pullWorld is a forge with a config repository, and the daemon that follows it.
type pullWorld struct {
	*world
	site   forgetest.Site
	served *served
	// hooks has the forge tell the daemon; without it the daemon polls.
	hooks bool
}

// onForges runs a story on every forge.
func onForges(t *testing.T, files map[string]string, story func(t *testing.T, w *pullWorld)) {
	t.Helper()
	forges := map[string]func(testing.TB) forgetest.World{
		"gitea": func(t testing.TB) forgetest.World { return tea.New(t, tooltest.Gitea(t)) },
	}
	for name, open := range forges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := map[string]string{"modules/counter/main.tf": counter}
			for n, text := range files {
				all[n] = text
			}
			e := tooltest.Engines(t)[0]
			story(t, &pullWorld{world: newWorld(t, e), site: open(t).NewSite(t, all), hooks: true})
		})
	}
}

const webhookSecret = "0123456789-webhook-canary"

// start starts the daemon and, with hooks, connects the forge to it.
func (w *pullWorld) start() {
	w.t.Helper()
	secret := func(name, text string) string {
		path := filepath.Join(w.root, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	poll := "1h"
	if !w.hooks {
		poll = "1s"
	}
	w.served = w.serve(settings{Repositories: fmt.Sprintf(`  - name: config
    url: %q
    pollInterval: %s
    forge:
      kind: %s
      url: %q
      repository: %q
      token: {file: %q}
      webhookSecret: {file: %q}
      pollInterval: %s
`, w.site.CloneURL(""), poll, w.site.World().Kind(), w.site.APIURL(), w.site.Name(), secret("token", w.site.Token(forgetest.Reeve)),
		secret("webhook", webhookSecret), poll)})
	w.served.until("the daemon is ready", func() bool {
		res, err := http.Get(w.served.url + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	if w.hooks {
		if _, err := w.site.Repository(w.t).SetWebhook(w.t.Context(), "", w.served.url+"/webhooks/config", webhookSecret); err != nil {
			w.t.Fatal(err)
		}
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

func TestAPullRequestIsPlannedApprovedMergedAndApplied(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add two", false)
		w.tell(n, head)
		w.sees(n, "acme/dev/TerraformStack/a", "acme/dev/TerraformStack/b", "reeve approve dev", "+2 ~0")
		w.status(head, "reeve/plan", forge.Success)
		w.status(head, "reeve/approval", forge.Pending)
		if got := w.lines("a"); got != "" {
			t.Fatalf("a plan had a side effect: %s", got)
		}

		own := w.says(forgetest.Ada, n, "reeve approve dev")
		w.reacts(n, own, forge.Confused)
		w.sees(n, "somebody else must approve")

		id := w.says(forgetest.Grace, n, "reeve approve dev\n\nLooks good.")
		w.reacts(n, id, forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		if got := w.lines("a"); got != "" {
			t.Fatalf("an approval had a side effect: %s", got)
		}

		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("both are applied", func() bool { return w.lines("a") == "one" && w.lines("b") == "one" })
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "All 2 applied")
		w.once(n)
	})
}

func TestAPullRequestIsFollowedByPollingAlone(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, head)
		w.sees(n, "acme/dev/TerraformStack/a", "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve --all"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "one" })
		w.sees(n, "/outcome-", "TerraformStack/a")
		w.once(n)
	})
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

func TestAPushAfterTheApprovalIsApprovedAnew(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add two", false)
		w.sees(n, "reeve approve dev", "+2 ~0")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		// By force, from main: b is another, a is the same.
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "two")}, true)
		w.tell(n, head)
		w.sees(n, head[:7], "another than the one that was approved")
		w.status(head, "reeve/approval", forge.Pending)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("what was approved is applied", func() bool { return w.lines("a") == "one" })
		w.sees(n, "reeve:config/"+fmt.Sprint(n)+"/waits-", "reeve approve dev", "TerraformStack/b")
		if got := w.lines("b"); got != "" {
			t.Fatalf("a plan that nobody approved was applied: %s", got)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.served.until("b is applied", func() bool { return w.lines("b") == "two" })
		w.status(head, "reeve/apply: dev", forge.Success)
		w.once(n)
	})
}

func TestAConflictAndAForkAreSaid(t *testing.T) {
	t.Parallel()
	onForges(t, map[string]string{"acme/dev/readme.yaml": "# one\n"}, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/readme.yaml": "# two\n"}, false)
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/readme.yaml": "# three\n"}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "In conflict", false)
		w.tell(n, "change")
		w.sees(n, "cannot be merged", "acme/dev/readme.yaml")

		head := w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "one")})
		fork := w.site.Open(t, forgetest.Mallory, "evil", "From outside", true)
		w.tell(fork, head)
		w.sees(fork, "may not write to the repository", "reeve plan")
		w.reacts(fork, w.says(forgetest.Mallory, fork, "reeve plan"), forge.Confused)
		w.sees(fork, "needs the right to write")
		w.reacts(fork, w.says(forgetest.Grace, fork, "reeve plan"), forge.ThumbsUp)
		w.sees(fork, "acme/dev/TerraformStack/m", "+1 ~0")
	})
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
