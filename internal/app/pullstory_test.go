package app_test

import (
	"fmt"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

func TestAPullRequestIsPlannedApprovedMergedAndApplied(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")})
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
		w.explained(devA, fmt.Sprintf("The job carries out the merge of pull request config#%d (%s)", n, w.page("")))
		w.once(n)
	})
}

func TestAPullRequestIsFollowedByPollingAlone(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		n, _ := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "acme/dev/TerraformStack/a", "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve --all"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "one" })
		w.sees(n, "/outcome-", "TerraformStack/a")
		w.once(n)
	})
}

func TestAPushAfterTheApprovalIsApprovedAnew(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
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
