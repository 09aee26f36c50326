package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// halves is a module of two resources: the apply of the second fails until somebody
// mends what is wrong.
const halves = `variable "file" { type = string }
variable "text" { type = string }
resource "terraform_data" "first" {
  input = var.text
  provisioner "local-exec" { command = "echo ${var.text} >> ${var.file}" }
}
resource "terraform_data" "second" {
  input = terraform_data.first.output
  provisioner "local-exec" { command = "test -e ${var.file}.mended" }
}
`

// half is a stack of that module.
func (w *pullWorld) half(name, text string) string {
	return strings.ReplaceAll(w.document(name, text), "/modules/counter", "/modules/halves")
}

// mends what is wrong with such a stack.
func (w *pullWorld) mends(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name+".txt.mended"), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatWasAppliedInPartBeforeTheMergeIsRunAgain(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/halves/main.tf"] = halves
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.half("b", "one")})
		w.shows(n, "reeve apply dev", "+3 ~0")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.sees(n, "/outcome-", "1 of 2 failed, 1 applied")
		w.status(head, "reeve/apply: dev", forge.Failure)
		w.shows(n, "1 of 2 applies failed", "reeve rerun dev")

		// What is left is planned, and shown before it is applied.
		w.mends("b")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve rerun dev"), forge.ThumbsUp)
		w.shows(n, "reeve apply dev", "±1")
		if n := w.applies(devB); n != 1 {
			t.Errorf("b was applied %d times before anybody said so again", n)
		}
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "/outcome-", "All 2 applied")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "before its merge")
		if a, b := w.lines("a"), w.lines("b"); a != "one" || b != "one" || w.applies(devA) != 1 || w.applies(devB) != 2 {
			t.Errorf("a was made %q by %d applies, b %q by %d", a, w.applies(devA), b, w.applies(devB))
		}
		w.once(n)
	})
}

func TestWhatAMergeAppliedInPartIsRunAgain(t *testing.T) {
	t.Parallel()
	onOneForge(t, map[string]string{"modules/halves/main.tf": halves}, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.half("b", "one")})
		w.shows(n, "reeve approve dev", "+3 ~0")
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "1 of 2 failed, 1 applied", "reeve rerun dev")
		w.status(head, "reeve/apply: dev", forge.Failure)
		w.mends("b")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve rerun dev"), forge.ThumbsUp)
		// What is left is another plan than the one that was approved.
		w.sees(n, "/waits-", "±1", "reeve approve dev")
		if n := w.applies(devB); n != 1 {
			t.Errorf("b was applied %d times with one approval", n)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "/outcome-", "All 2 applied")
		if a, b := w.lines("a"), w.lines("b"); a != "one" || b != "one" || w.applies(devA) != 1 || w.applies(devB) != 2 {
			t.Errorf("a was made %q by %d applies, b %q by %d", a, w.applies(devA), b, w.applies(devB))
		}
		w.once(n)
	})
}

// One that failed after its merge is left alone; a comment, the branch and its jobs are heard.
func TestWhatFailedAfterTheMergeIsRunAgainByPollingAlone(t *testing.T) {
	t.Parallel()
	onOneForge(t, map[string]string{"modules/halves/main.tf": halves}, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/b.yaml": w.half("b", "one")})
		w.shows(n, "reeve approve dev")
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "The apply failed", "reeve rerun dev")
		w.status(head, "reeve/apply: dev", forge.Failure)
		w.mends("b")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve rerun dev"), forge.ThumbsUp)
		w.sees(n, "/waits-", "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.once(n)
	})
}

// What somebody mends with another pull request is told in the one that failed.
func TestWhatFailedAfterTheMergeIsMendedByTheBranch(t *testing.T) {
	t.Parallel()
	onOneForge(t, map[string]string{"modules/halves/main.tf": halves, "acme/policies/only.yaml": policy("", "")}, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/b.yaml": w.half("b", "one")})
		w.shows(n, "Ready to merge")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "The apply failed")
		w.status(head, "reeve/apply: dev", forge.Failure)
		w.mends("b")
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/b.yaml": w.half("b", "two")}, false)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.once(n)
	})
}

func TestAProducerAndItsConsumerAreAppliedBeforeTheMerge(t *testing.T) {
	t.Parallel()
	files := early("pauseBetweenPreviewAndUpdateOrDestroy: true", "")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		reader := strings.Replace(w.document("b", "PLACE"), `"PLACE"`, "{valueFrom: {kind: TerraformStack, name: a, fieldPath: status.outputs.text}}", 1)
		n, head := w.proposes("Add two that hang together", map[string]string{"acme/dev/a.yaml": w.document("a", "first"), "acme/dev/b.yaml": reader})
		w.shows(n, "⏸️ `"+devB+"` can be planned once `"+devA+"` is applied", "reeve approve dev")
		w.yes(n)
		w.shows(n, "reeve apply dev")

		// One command: the producer is applied, its consumer cannot be yet.
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.sees(n, "/answer-", devB, "deferred")
		w.shows(n, "reeve approve dev", `"first"`) // planned with what the producer gave, and gated
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		if a, b := w.lines("a"), w.lines("b"); a != "first" || b != "" {
			t.Fatalf("a was made %q and b %q, whose plan nobody has approved", a, b)
		}
		w.yes(n)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "/outcome-", "All 2 applied")

		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "before its merge")
		if a, b := w.lines("a"), w.lines("b"); a != "first" || b != "first" || w.applies(devA) != 1 || w.applies(devB) != 1 {
			t.Errorf("a was made %q by %d applies, b %q by %d", a, w.applies(devA), b, w.applies(devB))
		}
		w.once(n)
	})
}

func TestAMergeWhileItAppliesLeavesNothingToDo(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/slowly/main.tf"] = slowModule
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.slowly("a", "one")})
		w.shows(n, "reeve apply dev")
		id := w.says(forgetest.Ada, n, "reeve apply dev")
		w.served.until("the apply began", func() bool { return w.lines("a") == "one" })
		w.compares(w.site.Merge(t, forgetest.Ada, n))
		w.letsGo("a")
		w.reacts(n, id, forge.ThumbsUp)
		w.sees(n, "/outcome-", "before its merge", "Applied")
		w.status(head, "reeve/apply: dev", forge.Success)
		if got, n := w.lines("a"), w.applies(devA); got != "one" || n != 1 {
			t.Errorf("a was made %q by %d applies", got, n)
		}
		w.once(n)
	})
}

func TestACloseWhileItAppliesGivesTheStackBackWhenThatEnds(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/slowly/main.tf"] = slowModule
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.letsGo("a")
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.slowly("a", "zero")}, false)
		w.served.await(devA, stackjob.Succeeded)
		w.holds("a")
		n, _ := w.proposes("To one", map[string]string{"acme/dev/a.yaml": w.slowly("a", "one")})
		w.shows(n, "reeve apply dev")
		id := w.says(forgetest.Ada, n, "reeve apply dev")
		w.served.until("the apply began", func() bool { return w.lines("a") == "zero one" })
		w.site.Close(t, forgetest.Ada, n)
		w.shows(n, "Closed without a merge")
		if j := w.served.jobs(devA)[0]; j.State != stackjob.Applying || j.Pull != fmt.Sprintf("config#%d", n) || w.lines("a") != "zero one" {
			t.Fatalf("the newest job is %s for %q, and a was made %q", j.State, j.Pull, w.lines("a"))
		}
		w.letsGo("a")
		w.sees(n, "/closed-", "is not as main wants it")
		w.reacts(n, id, forge.ThumbsUp)
		w.settle(devA) // what takes it back waits for a person
		if got, n := w.lines("a"), w.applies(devA); got != "zero one zero" || n != 3 {
			t.Errorf("a was made %q by %d applies", got, n)
		}
		w.once(n)
	})
}

func TestAMergeWhilePlansAreMadeAppliesNothingThatNobodyApproved(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		pipe := w.pipe("pipe")
		n, head := w.proposes("Read a pipe", w.reading("a", pipe))
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		w.site.Merge(t, forgetest.Ada, n)
		w.givenUp(pipe, "hello")
		w.sees(n, "/waits-", "reeve approve dev")
		if n := w.applies(devA); n != 0 {
			t.Fatalf("%d applies of what nobody approved", n)
		}
		w.yes(n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		if n := w.applies(devA); n != 1 {
			t.Errorf("%d applies", n)
		}
		w.once(n)
	})
}

func TestAnApproverWhoLeavesTheTeamCountsNoLonger(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/crew]}\n")
	crew := func(members string) string {
		return account(forgetest.Grace, "") + "---\n" + account(forgetest.Mallory, "") +
			"---\napiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: crew}\nspec: {members: [" + members + "]}\n"
	}
	files["acme/teams/crew.yaml"] = crew("grace, mallory")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")})
		w.shows(n, "reeve approve dev", "0/1")
		w.yes(n)
		w.shows(n, "reeve apply dev", "1/1 (grace)")
		w.status(head, "reeve/approval", forge.Success)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev/TerraformStack/b"), forge.ThumbsUp)

		// Grace leaves while her word on a is in force.
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/teams/crew.yaml": crew("mallory")}, false)
		w.shows(n, "0/1", "grace", "not among `team/crew`", "1/1 (grace)") // which counted when b was applied
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.sees(n, "`"+devA+"` is not approved yet")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/waits-", devA, "reeve approve dev")
		if a, b := w.lines("a"), w.lines("b"); a != "" || b != "one" {
			t.Fatalf("a was made %q, b %q: nobody who counts has approved a", a, b)
		}
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.served.until("a is applied", func() bool { return w.lines("a") == "one" })
		w.sees(n, "/outcome-", "All 2 applied")
		w.status(head, "reeve/apply: dev", forge.Success)
		if a, b := w.applies(devA), w.applies(devB); a != 1 || b != 1 {
			t.Errorf("%d applies of a and %d of b", a, b)
		}
		w.once(n)
	})
}
