package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// asleep keeps everything from the daemon that its forge says, until the test is done
// with what the daemon must not see in the order in which it happens.
func (w *pullWorld) asleep(while func()) {
	w.front.meet(func(*http.Request) fate { return fate{status: http.StatusServiceUnavailable} })
	w.served.until("nothing is on its way from the forge", func() bool { return w.front.passing.Load() == 0 })
	while()
	w.front.meet(nil)
}

// TestAWordForTheCodeOfAStrangerIsForWhatStoodThere has a stranger push other code right
// after somebody has let the code run that was there to read.
func TestAWordForTheCodeOfAStrangerIsForWhatStoodThere(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harmless")})
		n := w.site.Open(t, forgetest.Mallory, "evil", "From outside", true)
		w.sees(n, "may not write to the repository", "reeve plan")
		var id, head string
		w.asleep(func() {
			id = w.says(forgetest.Grace, n, "reeve plan")
			head = w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harm")})
		})
		w.tell(n, head)
		w.reacts(n, id, forge.ThumbsDown)
		said := w.sees(n, "may run when somebody says so", head[:7])
		if strings.Contains(said, "TerraformStack/m") || len(w.served.jobs("acme/dev/TerraformStack/m")) > 0 {
			t.Fatalf("code ran that nobody has let run:\n%s", said)
		}
		w.shows(n, head[:7], "may not write to the repository")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve plan"), forge.ThumbsUp)
		w.shows(n, "acme/dev/TerraformStack/m", "+1 ~0")
	})
}

var commentsPath = regexp.MustCompile(`/(issues|merge_requests)/[0-9]+/(comments|notes)$`)

// TestAWordIsNotAnsweredByWhatWasThereBefore has other code pushed between what the daemon
// reads of a pull request and what it reads of its comments: it knows the word, and of the
// code only that it is not there any more.
func TestAWordIsNotAnsweredByWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harmless")})
		n := w.site.Open(t, forgetest.Mallory, "evil", "From outside", true)
		w.sees(n, "may not write to the repository", "reeve plan")
		var once sync.Once
		reads, goOn := make(chan struct{}), make(chan struct{})
		w.front.meet(func(r *http.Request) fate {
			if r.Method == http.MethodGet && commentsPath.MatchString(r.URL.Path) {
				once.Do(func() { close(reads); <-goOn })
			}
			return fate{}
		})
		id := w.says(forgetest.Grace, n, "reeve plan")
		w.served.until("the comments are read", func() bool {
			select {
			case <-reads:
				return true
			default:
				return false
			}
		})
		head := w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harm")})
		close(goOn)
		w.reacts(n, id, forge.ThumbsDown)
		w.sees(n, "may run when somebody says so", head[:7])
		w.reacts(n, w.says(forgetest.Grace, n, "reeve plan"), forge.ThumbsUp)
		w.shows(n, "acme/dev/TerraformStack/m", "+1 ~0")
	})
}

// TestAYesToACommentThatSomebodyChangedDoesNotCount shows people something else than the
// daemon wrote.
func TestAYesToACommentThatSomebodyChangedDoesNotCount(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/approval", forge.Pending)
		for _, c := range w.site.Comments(t, n) {
			if c.Body == w.living(n) {
				w.site.EditComment(t, forgetest.Reeve, n, c.ID, strings.ReplaceAll(c.Body, "TerraformStack/a", "TerraformStack/harmless"))
			}
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		w.sees(n, "somebody changed the comment")
		w.served.until("the comment is as it was", func() bool { return !strings.Contains(w.living(n), "harmless") })
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)
		w.once(n)
	})
}

// listsPulls tells a call that asks for the open pull requests.
func listsPulls(r *http.Request) bool {
	return r.Method == http.MethodGet && (strings.HasSuffix(r.URL.Path, "/pulls") || strings.HasSuffix(r.URL.Path, "/merge_requests"))
}

// ask asks the forge what a call asks.
func (w *pullWorld) ask(r *http.Request) fate {
	w.t.Helper()
	to, err := url.Parse(w.site.APIURL())
	if err != nil {
		w.t.Error(err)
		return fate{}
	}
	req, err := http.NewRequestWithContext(w.t.Context(), r.Method, to.Scheme+"://"+to.Host+r.URL.RequestURI(), nil)
	if err != nil {
		w.t.Error(err)
		return fate{}
	}
	req.Header = r.Header.Clone()
	req.Header.Del("Accept-Encoding")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return fate{}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Errorf("the list: HTTP %d, %v", res.StatusCode, err)
	}
	out := fate{status: res.StatusCode, body: string(body), header: map[string]string{}}
	for name := range res.Header {
		if name != "Content-Length" {
			out.header[name] = res.Header.Get(name)
		}
	}
	return out
}

// wait waits for something that a test and the daemon's calls do in turn.
func wait(t *testing.T, c chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Error("gave up waiting for the other side")
	}
}

// TestAListThatWasOvertakenOpensNothingAgain holds back what the forge says of its open
// pull requests until one of them is merged and done.
func TestAListThatWasOvertakenOpensNothingAgain(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		arrived, ask, asked, answer := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		var begun atomic.Bool
		var after atomic.Int32
		w.front.meet(func(r *http.Request) fate {
			switch {
			case !listsPulls(r):
			case begun.CompareAndSwap(false, true):
				close(arrived)
				wait(t, ask)
				f := w.ask(r)
				close(asked)
				wait(t, answer)
				return f
			default:
				after.Add(1)
			}
			return fate{}
		})
		wait(t, arrived)
		w.yes(n) // what is listed is newer than what was listed before
		close(ask)
		wait(t, asked)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		done := w.living(n)
		close(answer)
		w.served.until("it was listed again", func() bool { return after.Load() > 2 })
		other := w.site.Open(t, forgetest.Grace, w.branch("other"), "Another", false)
		w.shows(other, "TerraformStack/other", "reeve approve dev")
		outcomes := 0
		for _, body := range w.ours(n) {
			if strings.Contains(body, "/outcome-") {
				outcomes++
			}
		}
		if now := w.living(n); outcomes != 1 || now != done {
			t.Errorf("%d outcomes; the living comment is now\n%s\nand was\n%s", outcomes, now, done)
		}
		w.once(n)
	})
}

// TestWhoProposedAChangeApprovesItByNoOtherDoor has the author of a pull request approve
// what it led to with a token, and in a pull request of somebody else that the same job
// carries out.
func TestWhoProposedAChangeApprovesItByNoOtherDoor(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.rest = fmt.Sprintf("tokens:\n  - {name: ada-cli, role: write, valueFrom: {file: %q}}\n", w.secret("ada-token", "0123456789abcdef-of-ada"))
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/teams/ada.yaml": fmt.Sprintf(
			"apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: ada}\nspec: {logins: [%q], tokenName: ada-cli}\n", string(w.site.World().Kind())+":ada")}, false)
		w.start()
		merged := func(as forgetest.Person, branch, text string) int {
			w.site.Push(t, as, branch, map[string]string{"acme/dev/a.yaml": w.document("a", text)}, false)
			n := w.site.Open(t, as, branch, "Make it "+text, false)
			w.tell(n, branch)
			w.shows(n, "reeve approve dev")
			w.site.Merge(t, as, n)
			w.sees(n, fmt.Sprintf("reeve:config/%d/waits-", n), "reeve approve dev")
			return n
		}
		merged(forgetest.Ada, "one", "one")
		ada := api.NewClient(api.Options{URL: w.served.url, Token: config.NewSecret("0123456789abcdef-of-ada")})
		t.Cleanup(ada.Close)
		j := w.served.await("acme/dev/TerraformStack/a", stackjob.WaitingApply)
		j, err := ada.Approve(t.Context(), api.Answer{Job: j.ID, PlanDigest: j.Plan.Digest})
		if err != nil || j.State != stackjob.WaitingApply || !strings.Contains(j.Reason.Detail, "proposed the change") {
			t.Fatalf("the author's yes by the API: %s (%s), %v", j.State, j.Reason, err)
		}

		n := merged(forgetest.Grace, "two", "two")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "proposed this change", "somebody else must approve")
		if got := w.lines("a"); got != "" {
			t.Fatalf("a was made %q, which only those approved who proposed it", got)
		}
		w.settle("acme/dev/TerraformStack/a")
		if got := w.lines("a"); got != "two" {
			t.Errorf("a was made %q", got)
		}
	})
}

// TestAYesToAStartIsForWhatWaitedThere merges something else between the yes and the
// moment in which the daemon reads it.
func TestAYesToAStartIsForWhatWaitedThere(t *testing.T) {
	t.Parallel()
	onOneForge(t, map[string]string{"acme/policies/only.yaml": policy("isManual: true", "")}, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, "change")
		w.shows(n, "TerraformStack/a", "+1 ~0")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, fmt.Sprintf("reeve:config/%d/waits-", n))
		first := w.served.await("acme/dev/TerraformStack/a", stackjob.WaitingStart)
		var id string
		w.asleep(func() {
			id = w.says(forgetest.Grace, n, "reeve approve dev")
			w.site.Push(t, forgetest.Ada, "main", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
			w.served.until("another job waits", func() bool {
				j := w.served.jobs("acme/dev/TerraformStack/a")[0]
				return j.ID != first.ID && j.State == stackjob.WaitingStart
			})
		})
		w.reacts(n, id, forge.ThumbsDown)
		if got := w.lines("a"); got != "" {
			t.Fatalf("a was made %q, and nobody let it start", got)
		}
		w.yes(n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "two" })
	})
}

// TestAPullRequestDestroysNothingThatItsBaseProtects protects a stack on the followed branch
// when what is recorded of it does not say so yet.
func TestAPullRequestDestroysNothingThatItsBaseProtects(t *testing.T) {
	t.Parallel()
	onOneForge(t, early("", ""), func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		w.served.until("main is applied", func() bool { return w.lines("a") == "one" })
		w.served.await("acme/dev/TerraformStack/a", stackjob.Succeeded)
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/policies/only.yaml": early("isManual: true", "")["acme/policies/only.yaml"],
			"acme/dev/a.yaml": w.document("a", "one") + "  preventDestroy: true\n"}, false)
		w.served.await("acme/dev/TerraformStack/a", stackjob.WaitingStart)
		n, _ := w.proposes("Remove it", map[string]string{"acme/dev/a.yaml": ""})
		said := w.shows(n, "whoever may change the policy or the document that forbids it")
		if strings.Contains(said, "reeve apply") {
			t.Errorf("it may be applied:\n%s", said)
		}
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply --all"), forge.ThumbsDown)
		for _, j := range w.served.jobs("acme/dev/TerraformStack/a") {
			if j.Action == stackjob.Destroy {
				t.Errorf("job %s would destroy it: %s", j.ID, j.State)
			}
		}
	})
}
