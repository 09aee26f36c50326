package app_test

import (
	"slices"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Who said yes to a proposal that was given up said so of that one.
func TestApprovalsEndWithThePullRequestThatWasClosed(t *testing.T) {
	t.Parallel()
	files := map[string]string{"acme/policies/only.yaml": policy("", "  approvals: {required: 1, byReview: true}\n")}
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		one, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(one, "reeve approve dev", "0/1")
		w.yes(one)
		w.status(head, "reeve/approval", forge.Success)
		// The same again: an equal plan, and as long as the first stands the same yes.
		same := w.site.Push(t, forgetest.Ada, "same", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		two := w.site.Open(t, forgetest.Ada, "same", "Add the same", false)
		w.tell(two, same)
		w.status(same, "reeve/approval", forge.Success)

		w.site.Close(t, forgetest.Ada, one)
		w.shows(one, "Closed without a merge")
		w.status(same, "reeve/approval", forge.Pending)
		w.shows(two, "reeve approve dev", "0/1")

		// Neither what was said before the close holds after a reopen, nor what was said
		// while it was closed.
		w.reacts(one, w.says(forgetest.Grace, one, "reeve approve dev"), forge.ThumbsDown)
		w.site.Reopen(t, forgetest.Ada, one)
		w.shows(one, "reeve approve dev", "0/1")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(one)
		w.status(head, "reeve/approval", forge.Success)

		w.site.Close(t, forgetest.Ada, two)
		w.shows(two, "Closed without a merge")
		w.site.Merge(t, forgetest.Ada, one)
		w.served.until("it is applied", func() bool { return w.lines("a") == "one" })
		w.sees(one, "/outcome-")
		w.rests()
		w.once(one)
		w.once(two)
	})
}

// A review stands on the forge also after a close and a reopen.
func TestAReviewFromBeforeACloseIsNoAnswerAfterTheReopen(t *testing.T) {
	t.Parallel()
	files := map[string]string{"acme/policies/only.yaml": policy("", "  approvals: {required: 1, byReview: true}\n")}
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "0/1")
		w.later()
		w.site.Review(t, forgetest.Grace, n, true, "good")
		w.status(head, "reeve/approval", forge.Success)
		w.site.Close(t, forgetest.Ada, n)
		w.shows(n, "Closed without a merge")
		w.site.Reopen(t, forgetest.Ada, n)
		w.shows(n, "reeve approve dev", "0/1")
		w.status(head, "reeve/approval", forge.Pending)
		w.later()
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/waits-", devA)
		if got := w.lines("a"); got != "" {
			t.Fatalf("applied: %s", got)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.served.until("it is applied", func() bool { return w.lines("a") == "one" })
		w.rests()
	})
}

// What was applied is taken back by a job of the branch, which has its own approvals.
func TestWhatIsTakenBackAfterACloseKeepsItsApprovals(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1}\n")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, _ := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "0/1")
		w.yes(n)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.site.Close(t, forgetest.Ada, n)
		w.sees(n, "/closed-", "is not as main wants it")
		j := w.takesBack(devA, n)
		if _, err := w.served.Approve(t.Context(), api.Answer{Job: j.ID, PlanDigest: j.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		w.served.until("it is taken back", func() bool {
			return slices.ContainsFunc(w.served.jobs(devA), func(is stackjob.Job) bool { return is.ID == j.ID && is.State == stackjob.Succeeded })
		})
		w.rests()
	})
}
