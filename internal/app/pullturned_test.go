package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// broken is how a status that says "error" reads on the forge: GitLab has no such word.
func (w *pullWorld) broken() forge.StatusState {
	if w.site.World().Kind() == forge.GitLab {
		return forge.Failure
	}
	return forge.Error
}

func TestAPullRequestThatIsTurnedToAnotherBranchSaysSo(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Grace, "release", map[string]string{"readme.md": "released\n"}, false)
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/approval", forge.Pending)

		w.site.Turn(t, forgetest.Ada, n, "release")
		said := w.shows(n, "no longer goes into `main`, but into `release`", "Nothing of it is planned")
		if strings.Contains(said, "TerraformStack/a") || strings.Contains(said, "reeve approve") || strings.Contains(said, "Closed") {
			t.Errorf("it still tells of a plan, or that it is closed:\n%s", said)
		}
		w.status(head, "reeve/approval", w.broken())
		if got := w.said(head, "reeve/approval"); got != "it goes into release now and not into main; nothing is planned" {
			t.Errorf("reeve/approval says %q", got)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		w.sees(n, "goes into release, and only those into main are planned")

		w.site.Turn(t, forgetest.Ada, n, "main")
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)

		// Merged into the other branch, it applies nothing.
		w.site.Turn(t, forgetest.Ada, n, "release")
		w.shows(n, "no longer goes into `main`")
		w.site.Merge(t, forgetest.Ada, n)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		w.shows(n, "no longer goes into `main`, but into `release`")
		if jobs := w.served.jobs(devA); len(jobs) == 0 || w.lines("a") != "" {
			t.Errorf("%d jobs, applied: %q", len(jobs), w.lines("a"))
		}
		w.rests()
		w.once(n)
	})
}

// Nobody tells the daemon, and what was applied before the merge is no longer held.
func TestWhatAPullRequestAppliedThatIsTurnedAwayIsGivenBack(t *testing.T) {
	t.Parallel()
	onOneForge(t, early("", ""), func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.site.Push(t, forgetest.Grace, "release", map[string]string{"readme.md": "released\n"}, false)
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")})
		w.shows(n, "Ready to apply")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev/TerraformStack/a"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Pending)

		w.site.Turn(t, forgetest.Ada, n, "release")
		w.sees(n, fmt.Sprintf("reeve:config/%d/closed-", n), "is not as main wants it", "no longer goes into `main`")
		w.status(head, "reeve/apply: dev", w.broken())
		w.takesBack(devA, n)
		w.shows(n, "no longer goes into `main`", devA)

		w.site.Turn(t, forgetest.Ada, n, "main")
		w.shows(n, "reeve apply dev", devB)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		if got := w.lines("a") + "|" + w.lines("b"); got != "one|one" {
			t.Errorf("applied: %s", got)
		}
		w.rests()
		w.once(n)
	})
}

// A close stops no apply that has begun, and a status that says how it ended says so when it
// has.
func TestTheStatusOfAnApplyThatOutlivesItsPullRequestIsTrue(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/slowly/main.tf"] = slowModule
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.slowly("a", "one")})
		w.shows(n, "Ready to apply")
		id := w.says(forgetest.Ada, n, "reeve apply dev")
		w.served.until("the apply began", func() bool { return w.lines("a") == "one" })
		w.site.Close(t, forgetest.Ada, n)
		w.shows(n, "Closed without a merge", "applying")
		// An answer to a command comes after all that the close changed.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve help"), forge.ThumbsUp)
		if got := w.site.Statuses(t, head)["reeve/apply: dev"]; got.State != forge.Pending {
			t.Errorf("while it is applied the status is %s: %s", got.State, got.Description)
		}
		w.letsGo("a")
		w.reacts(n, id, forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		if got := w.said(head, "reeve/apply: dev"); got != "1 resource applied" {
			t.Errorf("afterwards it says %q", got)
		}
		w.sees(n, fmt.Sprintf("reeve:config/%d/closed-", n), "is not as main wants it")
		w.takesBack(devA, n)
		w.once(n)
	})
}
