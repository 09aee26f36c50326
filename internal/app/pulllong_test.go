package app_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
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
