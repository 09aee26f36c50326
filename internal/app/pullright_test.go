package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// account is an IdentityAccount with one login, the same on every forge.
func account(p forgetest.Person, rest string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: IdentityAccount\nmetadata: {name: %s}\nspec:\n  logins: [\"gitea:%s\", \"github:%s\", \"gitlab:%s\"]\n%s", p, p, p, p, rest)
}

// rests waits until no plan is being made: a test that ends before leaves an engine
// behind that writes into its folder.
func (w *pullWorld) rests() {
	w.t.Helper()
	w.served.until("all plans are made", func() bool {
		is := w.plans()
		return is[stackjob.Queued]+is[stackjob.Planning] == 0
	})
}

func TestWhomThePolicyNamesMayApproveWithoutARightOnTheForge(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/auditors]}\n  override: {from: [team/auditors]}\n")
	team := "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [%s]}\n"
	files["acme/teams/crew.yaml"] = account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "mallory")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"),
			// That the head wants Grace among them is for after the merge.
			"acme/teams/crew.yaml": account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "mallory, grace")})
		w.sees(n, "reeve approve dev", "0/1", "team/auditors")

		// Who may only read, and is named, says yes and no and goes past; nothing else.
		for _, verb := range []string{"plan", "apply dev", "unlock", "cancel --all", "rerun --all"} {
			w.reacts(n, w.says(forgetest.Mallory, n, "reeve "+verb), forge.Confused)
		}
		w.sees(n, "`reeve apply` needs the right to write to it")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "grace is not among them")
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.sees(n, "1/1", "mallory")
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve reject dev"), forge.ThumbsUp)
		w.sees(n, "rejected")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		if got := w.lines("a"); got != "one" {
			t.Errorf("applied: %s", got)
		}
		w.rests()
		w.once(n)
	})
}

func TestWhoPushedToAPullRequestDoesNotApproveIt(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/crew]}\n")
	files["acme/teams/crew.yaml"] = account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") +
		"---\napiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: crew}\nspec: {members: [mallory, grace]}\n"
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.sees(n, "reeve approve dev", "0/1")
		head := w.site.Push(t, forgetest.Grace, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		w.tell(n, head)
		w.sees(n, head[:7], "0/1")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "somebody else must approve")
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)

		// Nobody else's commits stand in the way of who opened nothing and wrote nothing.
		other := w.site.Push(t, forgetest.Ada, "other", map[string]string{"acme/dev/b.yaml": w.document("b", "one")}, false)
		second := w.site.Open(t, forgetest.Ada, "other", "Add another", false)
		w.sees(second, "reeve approve dev", "0/1")
		w.reacts(second, w.says(forgetest.Grace, second, "reeve approve dev"), forge.ThumbsUp)
		w.status(other, "reeve/approval", forge.Success)
	})
}

func TestAnAddressInACommitIsItsOwners(t *testing.T) {
	t.Parallel()
	files := map[string]string{"acme/teams/crew.yaml": account(forgetest.Grace, "  emails: [Grace@example.com]\n")}
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		// Pushed before there is a pull request, which Ada then opens.
		head := w.site.Push(t, forgetest.Grace, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, head)
		w.sees(n, "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "part of this change", head[:7], "somebody else must approve")
		w.status(head, "reeve/approval", forge.Pending)
		// A no is heard from everybody.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve reject dev"), forge.ThumbsUp)
		w.sees(n, "rejected")
	})
}

func TestAReviewThatIsListedLateIsLookedForAgain(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, byReview: true}\n")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "reeve approve dev", "0/1")
		w.later()
		// The forge tells of the review and does not list it, twice. Nobody polls.
		var late atomic.Int32
		late.Store(2)
		w.front.meet(func(r *http.Request) fate {
			switch {
			case r.Method != http.MethodGet:
			case strings.HasSuffix(r.URL.Path, "/approvals") && late.Add(-1) >= 0:
				return fate{status: http.StatusOK, body: `{"approved_by":[]}`}
			case strings.HasSuffix(r.URL.Path, "/reviews") && late.Add(-1) >= 0:
				return fate{status: http.StatusOK, body: "[]"}
			}
			return fate{}
		})
		w.site.Review(t, forgetest.Grace, n, true, "good")
		w.status(head, "reeve/approval", forge.Success)
		w.sees(n, "1/1", "grace")
		if left := late.Load(); left >= 0 {
			t.Errorf("it was not late: %d more answers would have been without it", left)
		}
	})
}

// A policy is no resource and passes no gate of its own: who reviews it must be told.
func TestAChangeOfWhoMustApproveIsToldThoughItTouchesNoResource(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/auditors]}\n")
	team := "apiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [%s]}\n"
	files["acme/teams/crew.yaml"] = account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "grace")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		head := w.site.Push(t, forgetest.Ada, "people", map[string]string{
			"acme/teams/crew.yaml": account(forgetest.Mallory, "") + "---\n" + account(forgetest.Grace, "") + "---\n" + fmt.Sprintf(team, "mallory, grace")}, false)
		n := w.site.Open(t, forgetest.Ada, "people", "One more auditor", false)
		w.tell(n, head)
		w.shows(n, "This changes who must approve what", "means other persons", "acme/policies/only.yaml")
		w.status(head, "reeve/plan", forge.Success)
		w.site.Merge(t, forgetest.Ada, n)
		w.shows(n, "This changed who must approve what")
		w.once(n)
		for _, body := range w.ours(n) {
			if strings.Contains(body, "/outcome-") {
				t.Errorf("an outcome of nothing was told:\n%s", body)
			}
		}
	})
}
