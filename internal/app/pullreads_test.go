package app_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
)

// chain is a, b that reads it and c that reads b, under a policy.
func chain(only string) func(*world) map[string]string {
	return func(w *world) map[string]string {
		p := &pullWorld{world: w}
		files := map[string]string{"acme/dev/a.yaml": p.document("a", "one"), "acme/dev/b.yaml": p.reader("b", "a"), "acme/dev/c.yaml": p.reader("c", "b")}
		maps.Copy(files, map[string]string{"acme/policies/only.yaml": only})
		return files
	}
}

const (
	bLater = "⏸️ `" + devB + "` can be planned once `" + devA + "` is applied"
	cLater = "⏸️ `acme/dev/TerraformStack/c` can be planned once `" + devB + "` is applied"
)

func TestWhatReadsAnOutputThatMovesIsNotCalledUnchanged(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, chain(policy("pauseBetweenPreviewAndUpdateOrDestroy: true", "")), func(t *testing.T, w *pullWorld) {
		w.start()
		w.settle(devA, devB, "acme/dev/TerraformStack/c")
		n, _ := w.proposes("Another text", map[string]string{"acme/dev/a.yaml": w.document("a", "two")})
		if body := w.shows(n, bLater, cLater, "reeve approve dev"); strings.Contains(body, "⚪ unchanged") {
			t.Errorf("a row is called unchanged:\n%s", body)
		}
		w.yes(n)
		w.shows(n, "Approved: ready to merge", "1/1 (", bLater)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("a is applied", func() bool { return w.lines("a") == "one two" })
		if body := w.sees(n, "/waits-", devB, "reeve approve dev"); strings.Contains(body, "approved plan") {
			t.Errorf("a plan is called approved that nobody was asked about:\n%s", body)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.served.until("b is applied", func() bool { return w.lines("b") == "one two" })
		w.sees(n, "/waits-", "✋ waiting | `acme/dev/TerraformStack/c`", "reeve approve dev", "1 of 3 plans waits")
		for _, body := range w.ours(n) {
			if strings.Contains(body, "/outcome-") {
				t.Errorf("an outcome is told while c is to be applied yet:\n%s", body)
			}
		}
		w.yes(n)
		w.sees(n, "/outcome-", "All 3 applied")
		w.once(n)
	})
}

func TestWhatReadsAnOutputThatMovesIsPlannedWhenThatIsAppliedFromThePullRequest(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, chain(policy("", "  applyBeforeMerge: true\n")), func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.until("all are there", func() bool { return w.lines("c") == "one" })
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/c.yaml": ""}, false)
		w.served.until("two are left", func() bool {
			e, err := w.served.Explain(t.Context(), w.key("acme/dev/TerraformStack/c"))
			return err != nil || e.Observed == nil
		})
		n, head := w.proposes("Another text", map[string]string{"acme/dev/a.yaml": w.document("a", "two")})
		w.shows(n, bLater, "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.shows(n, "📋 planned | `"+devB)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "All 2 applied", "before its merge")
		if got := w.lines("a") + "|" + w.lines("b"); got != "one two|one two" {
			t.Errorf("applied: %s", got)
		}
		w.once(n)
	})
}

// TestTheBranchAppliesNothingThatReadsWhatIsNotMerged applies the first two of a chain from
// a pull request. The second is then as its document wants it, also in the branch's eyes.
func TestTheBranchAppliesNothingThatReadsWhatIsNotMerged(t *testing.T) {
	t.Parallel()
	const c = "acme/dev/TerraformStack/c"
	onOneForgeWith(t, chain(policy("", "  applyBeforeMerge: true\n")), func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.until("all are there", func() bool { return w.lines("c") == "one" })
		n, _ := w.proposes("Another text", map[string]string{"acme/dev/a.yaml": w.document("a", "two")})
		w.shows(n, bLater, cLater, "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev/TerraformStack/a"), forge.ThumbsUp)
		w.shows(n, "📋 planned | `"+devB)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev/TerraformStack/b"), forge.ThumbsUp)
		w.shows(n, "📋 planned | `"+c)

		// The branch looks again and leaves what reads them alone.
		other := w.site.Push(t, forgetest.Grace, "main", map[string]string{"readme.md": "moved\n"}, false)
		w.compares(other)
		w.explained(c, devA+" (held-by-pull), by way of "+devB)
		if got := w.lines("a") + "|" + w.lines("b") + "|" + w.lines("c"); got != "one two|one two|one" {
			t.Fatalf("applied: %s", got)
		}

		// Given back, the branch takes back the first, then what reads it; the last is as it was.
		w.says(forgetest.Grace, n, "reeve unlock")
		back := w.takesBack(devA, n)
		w.explained(c, "by way of "+devB)
		if _, err := w.served.Approve(t.Context(), api.Answer{Job: back.ID, PlanDigest: back.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		back = w.takesBack(devB, n)
		if _, err := w.served.Approve(t.Context(), api.Answer{Job: back.ID, PlanDigest: back.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		w.served.until("the branch has it back", func() bool { return w.lines("b") == "one two one" })
		w.served.until("nothing differs", func() bool {
			list, err := w.served.Changes(t.Context(), api.Filter{})
			return err == nil && len(list) == 0
		})
		if got := w.lines("a") + "|" + w.lines("c"); got != "one two one|one" {
			t.Errorf("applied: %s", got)
		}
		w.once(n)
	})
}
