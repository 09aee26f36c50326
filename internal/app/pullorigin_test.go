package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// TestAnotherRepositoryUnderTheSameNameBeginsAnew points the configuration to another
// repository, whose pull request has the number of one that holds a stack.
func TestAnotherRepositoryUnderTheSameNameBeginsAnew(t *testing.T) {
	t.Parallel()
	files := early("", "  prune: follow\n")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		first := w.site
		n, _ := w.proposes("Add a", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply"), forge.ThumbsUp)
		w.sees(n, "/outcome-", "Applied")
		waits := w.says(forgetest.Ada, n, "reeve apply prod") // a word that the other must not be answered with
		w.reacts(n, waits, forge.Confused)

		all := map[string]string{"modules/counter/main.tf": counter}
		for name, text := range files {
			all[name] = text
		}
		w.site = first.World().NewSite(t, all)
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/b.yaml": w.document("b", "one")}, false)
		second := w.site.Open(t, forgetest.Ada, "change", "Add b", false)
		if second != n {
			t.Fatalf("the pull requests have the numbers %d and %d", n, second)
		}
		w.tell(second, head)
		told := len(first.Comments(t, n))
		w.served.writeSettings(w.settings())
		w.served.told(inForce, 1)

		// It is planned for itself, and holds nothing that the other one held.
		w.sees(second, "acme/dev/TerraformStack/b", "reeve apply dev")
		for _, body := range w.ours(second) {
			if slices.ContainsFunc([]string{"TerraformStack/a", "/outcome-", "Add a"}, func(s string) bool { return strings.Contains(body, s) }) {
				t.Errorf("it is told what another repository's pull request came to:\n%s", body)
			}
		}
		w.served.until("nothing is held", func() bool {
			turns, err := w.served.Turns(t.Context(), api.Filter{})
			return err == nil && len(turns) == 0
		})
		if got := len(first.Comments(t, n)); got != told {
			t.Errorf("the other repository's pull request has %d comments, it had %d", got, told)
		}

		// What the other one applied is in no branch, and waits for a person: also when
		// this one, of the same number, was merged.
		back := w.takesBack(devA, n)
		w.site.Merge(t, forgetest.Ada, second)
		w.sees(second, "/outcome-", "Applied")
		w.served.until("b is applied", func() bool { return w.lines("b") == "one" })
		if _, err := w.served.Poll(t.Context(), "config", stackjob.Actor{}); err != nil {
			t.Fatal(err)
		}
		if again := w.takesBack(devA, n); again.ID != back.ID || again.State != stackjob.WaitingApply {
			t.Errorf("job %s is %s", again.ID, again.State)
		}
		list, err := w.served.Pulls(t.Context(), api.PullFilter{All: true})
		if err != nil || len(list) != 1 || list[0].Title != "Add b" {
			t.Errorf("the pull requests are %s, %v", fmt.Sprint(list), err)
		}
		w.once(second)
	})
}
