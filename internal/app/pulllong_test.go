package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/hub"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// said is what a status of a commit says; "" when it is not there.
func (w *pullWorld) said(commit, context string) string {
	w.t.Helper()
	return w.site.Statuses(w.t, commit)[context].Description
}

func TestStatusesOfAClosedPullRequestAndOfAnOlderHeadDoNotStayPending(t *testing.T) {
	t.Parallel()
	onForges(t, early("", ""), func(t *testing.T, w *pullWorld) {
		w.start()
		// The plan reads a pipe into which nobody writes yet.
		pipe := w.pipe("pipe")
		first := w.site.Push(t, forgetest.Ada, "change", w.reading("a", pipe), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, first)
		w.status(first, "reeve/plan", forge.Pending)
		second := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/note.yaml": "# a newer head\n"}, false)
		w.tell(n, second)
		w.status(second, "reeve/plan", forge.Pending)
		last := map[forge.Kind]forge.StatusState{forge.GitLab: forge.Failure}[w.site.World().Kind()] // it has no error
		if last == "" {
			last = forge.Error
		}
		w.status(first, "reeve/plan", last)
		if got := w.said(first, "reeve/plan"); got != "superseded by "+second[:7] {
			t.Errorf("of the older head it says %q", got)
		}
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })

		w.site.Close(t, forgetest.Ada, n)
		w.status(second, "reeve/plan", last)
		w.status(second, "reeve/apply: dev", last)
		if got := w.said(second, "reeve/plan"); !strings.Contains(got, "1 of 1 plan stopped") {
			t.Errorf("after the close it says %q", got)
		}
		for name, s := range w.site.Statuses(t, second) {
			if s.State == forge.Pending {
				t.Errorf("%s stays pending: %s", name, s.Description)
			}
		}

		w.regular(pipe, "hello")
		w.site.Reopen(t, forgetest.Ada, n)
		w.shows(n, "Ready to apply")
		w.status(second, "reeve/plan", forge.Success)
		w.status(second, "reeve/approval", forge.Success)
		w.status(second, "reeve/apply: dev", forge.Pending)
		w.once(n)
	})
}

func TestAPullRequestThatTouchesNothingCanBeMergedWhateverIsRequired(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["acme/prod/readme.yaml"] = "# nothing yet\n"
	files["acme/dev/readme.yaml"] = "# nothing yet\n"
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		before := w.front.wrote()
		head := w.site.Push(t, forgetest.Ada, "words", map[string]string{"README.md": "# Words\n"}, false)
		n := w.site.Open(t, forgetest.Ada, "words", "Words", false)
		w.tell(n, head)
		for _, name := range []string{"reeve/plan", "reeve/approval", "reeve/apply: dev", "reeve/apply: prod"} {
			w.status(head, name, forge.Success)
		}
		if got := w.said(head, "reeve/apply: prod"); got != "nothing to apply before the merge" {
			t.Errorf("it says %q", got)
		}
		if wrote := w.front.wrote() - before; wrote != 4 {
			t.Errorf("%d writes to the forge, expected one for each status", wrote)
		}
		// What is touched in one environment does not hold up those who require another.
		second := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		other := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(other, second)
		w.status(second, "reeve/apply: prod", forge.Success)
		w.status(second, "reeve/apply: dev", forge.Pending)

		w.site.Merge(t, forgetest.Ada, n)
		w.site.Merge(t, forgetest.Ada, other)
		w.sees(other, "/outcome-")
		if all := w.ours(n); len(all) != 0 {
			t.Errorf("it was commented on:\n%s", strings.Join(all, "\n"))
		}
		if got := w.site.Statuses(t, head); len(got) != 4 {
			t.Errorf("its statuses are %v", got)
		}
	})
}

// asApp makes the daemon use the App of an imitation of GitHub, and returns its settings.
func (w *pullWorld) asApp(world *hub.World) settings {
	w.t.Helper()
	id, key := world.App(w.t)
	s := w.settings()
	token := fmt.Sprintf("      token: {file: %q}\n", w.secret("token", w.site.Token(forgetest.Reeve)))
	app := fmt.Sprintf("      app: {id: %q, privateKey: {file: %q}}\n", id, w.secret("app.pem", string(key)))
	if !strings.Contains(s.Repositories, token) {
		w.t.Fatalf("the settings have no token:\n%s", s.Repositories)
	}
	s.Repositories = strings.Replace(s.Repositories, token, app, 1)
	return s
}

// shown waits until the living comment, whoever wrote it, holds all texts.
func (w *pullWorld) shown(number int, texts ...string) string {
	w.t.Helper()
	var last string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("looked for %q in:\n%s", texts, last)
		}
	}()
	w.served.until(fmt.Sprintf("the comment says %q", texts), func() bool {
		for _, c := range w.site.Comments(w.t, number) {
			if strings.HasPrefix(c.Body, fmt.Sprintf("<!-- reeve:config/%d/plan -->", number)) {
				last = c.Body
			}
		}
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(last, text) })
	})
	return last
}

// A pull request whose plans are too long for a comment, with a value that nobody may see.
const (
	longStacks, longResources = 10, 60
	longSecret                = "long-text-canary-51c7"
	longModule                = `variable "text" { type = string }
variable "hidden" {
  type = string
  sensitive = true
}
resource "terraform_data" "this" {
  count = 60
  input = "${var.text}-${count.index}"
}
resource "terraform_data" "hidden" { input = var.hidden }
`
)

func (w *pullWorld) longFiles(text string) map[string]string {
	files := map[string]string{"modules/long/main.tf": longModule}
	for i := range longStacks {
		files[fmt.Sprintf("acme/dev/s%d.yaml", i)] = fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s%d}\nspec:\n  module: {path: /modules/long}\n  variables: {text: %q, hidden: %s}\n", i, text, longSecret)
	}
	return files
}

func TestWhatIsTooLongForACommentStandsInACheckRun(t *testing.T) {
	t.Parallel()
	world := hub.New(t)
	site := world.NewSite(t, nil)
	w := newWorld(t, tooltest.Engines(t)[0]).at(site)
	runs := func(head string) []string {
		t.Helper()
		all := site.(*hub.Site).CheckRuns(t, head)
		if len(all) > 1 {
			t.Fatalf("check runs of several names: %d", len(all))
		}
		for _, texts := range all {
			return texts
		}
		return nil
	}
	var mu sync.Mutex
	writes, checks, down := 0, 0, false
	w.front.meet(func(r *http.Request) fate {
		if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/access_tokens") {
			return fate{}
		}
		mu.Lock()
		defer mu.Unlock()
		writes++
		if !strings.Contains(r.URL.Path, "/check-runs") {
			return fate{}
		}
		if checks++; !down {
			return fate{}
		}
		if checks == 1 {
			return fate{lost: true}
		}
		return fate{status: http.StatusServiceUnavailable}
	})
	written := func() (all, long int) {
		mu.Lock()
		defer mu.Unlock()
		all, long, writes, checks = writes, checks, 0, 0
		return all, long
	}
	w.served = w.serve(w.asApp(world))
	w.ready()
	w.connect()

	written()
	from := time.Now()
	head := site.Push(t, forgetest.Ada, "change", w.longFiles("first"), false)
	n := site.Open(t, forgetest.Ada, "change", "Add much", false)
	body := w.shown(n, fmt.Sprintf("`+%d ~0", longStacks*(longResources+1)), "reeve approve dev", "What is left out is here")
	w.status(head, "reeve/approval", forge.Pending)
	// Beside the edits: the comment, its last edit, the check run, and three statuses.
	if all, long := written(); all > 6+editsIn(time.Since(from)) || long != 1 {
		t.Errorf("%d writes in %v, %d of them for the check run", all, time.Since(from), long)
	}
	whole := runs(head)
	if len(whole) != 1 {
		t.Fatalf("%d check runs", len(whole))
	}
	if len(body) > w.site.Repository(t).Limits().CommentBytes || !strings.Contains(body, "]("+site.URL()+"/runs/") {
		t.Errorf("a comment of %d bytes without a link to its check run", len(body))
	}
	for i := range longStacks {
		in := fmt.Sprintf("**Raw plan** of `acme/dev/TerraformStack/s%d`", i)
		if fold := fmt.Sprintf("acme/dev/TerraformStack/s%d</code>", i); !strings.Contains(body, fold) && !strings.Contains(whole[0], in) {
			t.Errorf("the plan of s%d stands nowhere", i)
		}
	}
	if !strings.Contains(whole[0], `input  = "first-59"`) {
		t.Errorf("there is no raw plan in\n%.3000s", whole[0])
	}

	// What a person says moves no plan, so that the text stays as it is.
	w.site.Comment(t, forgetest.Grace, n, "reeve explain dev/TerraformStack/s1")
	w.later()
	w.reacts(n, w.says(forgetest.Grace, n, "reeve approve --all"), forge.ThumbsUp)
	w.shown(n, "Approved: ready to merge", "What is left out is here")
	if _, long := written(); long != 0 {
		t.Errorf("%d writes of a check run whose text had not moved", long)
	}

	// The answer to the next one is lost, and for a while there are no more answers: the
	// comment says so long how to see it, and the check run is there once.
	trouble := func(is bool) {
		mu.Lock()
		defer mu.Unlock()
		down = is
	}
	trouble(true)
	second := site.Push(t, forgetest.Ada, "change", w.longFiles("second"), false)
	w.shown(n, second[:7], "wait for approval", "`reeve plan --pr 1` shows every difference")
	trouble(false)
	w.shown(n, second[:7], "wait for approval", "What is left out is here")
	if again := runs(second); len(again) != 1 || !strings.Contains(again[0], `"second-59"`) {
		t.Errorf("%d check runs of the second head", len(again))
	}
	for where, text := range map[string]string{"a check run": whole[0] + runs(second)[0], "the comment": body, "the log": w.log.String()} {
		if strings.Contains(text, longSecret) {
			t.Errorf("%s holds a sensitive value", where)
		}
	}
	if !strings.Contains(whole[0]+body, "(sensitive") {
		t.Error("nothing sensitive was hidden: this proves nothing")
	}
}

func TestWithoutAnAppTheCommentSaysHowToSeeAllOfIt(t *testing.T) {
	t.Parallel()
	site := hub.New(t).NewSite(t, nil)
	w := newWorld(t, tooltest.Engines(t)[0]).at(site)
	w.start()
	head := w.site.Push(t, forgetest.Ada, "change", w.longFiles("first"), false)
	n := w.site.Open(t, forgetest.Ada, "change", "Add much", false)
	w.tell(n, head)
	body := w.shows(n, "reeve approve dev", "Left out to stay within the length of a comment", "`reeve plan --pr 1` shows every difference and `reeve logs JOB` prints a raw plan", "in a terminal, `reeve logs sj_")
	if runs := site.(*hub.Site).CheckRuns(t, head); len(runs) != 0 {
		t.Errorf("check runs of a personal token: %v", runs)
	}
	if strings.Contains(body, longSecret) || strings.Contains(w.log.String(), "was not written") {
		t.Error("a sensitive value is shown, or the log tells of what cannot be")
	}
}

func TestWhatMovedSinceAnApprovalIsShown(t *testing.T) {
	t.Parallel()
	onOneForge(t, map[string]string{"modules/small/main.tf": "variable \"text\" { type = string }\nresource \"terraform_data\" \"this\" { input = var.text }\n"}, func(t *testing.T, w *pullWorld) {
		w.start()
		small := func(text string) map[string]string {
			return map[string]string{"acme/dev/a.yaml": fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: a}\nspec:\n  module: {path: /modules/small}\n  variables: {text: %s}\n", text)}
		}
		w.site.Push(t, forgetest.Ada, "change", small("first"), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.shows(n, "reeve approve dev")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		head := w.site.Push(t, forgetest.Ada, "change", small("second"), false)
		w.tell(n, head)
		w.shows(n, head[:7], "another than the one that was approved", "Differences from what was approved", "-   input: \"first\"\n+   input: \"second\"")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		if body := w.living(n); strings.Contains(body, "Differences from what was approved") {
			t.Errorf("what is approved now is held against what was before:\n%s", body)
		}
		w.once(n)
	})
}
