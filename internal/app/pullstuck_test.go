package app_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// reader is a document whose text is the output of another stack.
func (w *pullWorld) reader(name, of string) string {
	return strings.Replace(w.document(name, "PLACE"), `"PLACE"`, "{valueFrom: {kind: TerraformStack, name: "+of+", fieldPath: status.outputs.text}}", 1)
}

func TestWhatIsQueuedAfterTheMergeHidesNotThatSomebodyMustAct(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, _ := w.proposes("Add two that hang together", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.reader("b", "a")})
		w.shows(n, "reeve approve dev")
		w.site.Merge(t, forgetest.Ada, n) // approved by nobody: b is queued behind a, which waits
		w.sees(n, "/waits-", devA, "reeve approve dev")
		w.shows(n, "1 of 2 plans waits for approval")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve reject dev/TerraformStack/a"), forge.ThumbsUp)
		w.sees(n, "/outcome-", "1 of 2 stopped, nothing was applied", "rejected: by grace")
		w.once(n)
	})
}

func TestAnApplyBehindOneThatFailedIsAnswered(t *testing.T) {
	t.Parallel()
	files := func(w *world) map[string]string {
		all := early("", "")
		for name, text := range dev(w) {
			all[name] = text
		}
		return all
	}
	onOneForgeWith(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.until("both are there", func() bool { return w.lines("a") == "one" && w.lines("b") == "one" })
		after := strings.Replace(w.document("b", "PLACE"), `"PLACE"`, "{valueFrom: {kind: TerraformStack, name: a, fieldPath: metadata.name}}", 1)
		n, _ := w.proposes("One that cannot be made, and one after it", map[string]string{
			"acme/dev/a.yaml": strings.Replace(w.document("a", "two"), "a.txt", "no-such-folder/a.txt", 1), "acme/dev/b.yaml": after})
		w.shows(n, "±2", "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.sees(n, "/answer-", devA, devB+"` waits: blocked by what goes before it")
		w.sees(n, "/outcome-", "1 of 2 failed")
		if got := w.lines("b"); got != "one" {
			t.Errorf("b was applied after what failed: %s", got)
		}
		w.once(n)
	})
}

func TestANoToAPlanFailsTheStatusOfItsApproval(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve reject dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Failure)
		body := w.shows(n, "The plan is rejected", "rejected: by grace", "**who:** whoever said so", "reeve approve dev")
		if strings.Contains(body, "reeve rerun") {
			t.Errorf("what was planned and rejected is offered to be run again:\n%s", body)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.once(n)
	})
}
