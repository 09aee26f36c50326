package app_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/app"
)

// knocked listens where nobody should call, and counts who does.
func knocked(t *testing.T) (address string, calls *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls = &atomic.Int32{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), calls
}

func TestAStrangersPullRequestThatTouchesNothingCanBeMerged(t *testing.T) {
	t.Parallel()
	onForgesWith(t, func(w *world) map[string]string {
		files := early("", "")
		files["acme/dev/a.yaml"] = (&pullWorld{world: w}).document("a", "one")
		return files
	}, func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.until("main is applied", func() bool { return w.lines("a") == "one" })
		head := w.site.PushFork(t, forgetest.Mallory, "words", map[string]string{"README.md": "# Words\n", "acme/dev/b.yaml": "# nothing yet\n"})
		n := w.site.Open(t, forgetest.Mallory, "words", "Words", true)
		w.tell(n, head)
		for _, name := range []string{"reeve/plan", "reeve/approval", "reeve/apply: dev"} {
			w.status(head, name, forge.Success)
		}
		if all := w.ours(n); len(all) != 0 {
			t.Errorf("it was commented on:\n%s", strings.Join(all, "\n"))
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve plan"), forge.ThumbsUp)
		if dry, err := w.planPull(app.PlanPullOptions{Pull: w.page("")}); err != nil || dry.Refused != nil || len(dry.Resources) != 0 {
			t.Errorf("planned here: %+v, %v", dry, err)
		}

		// What touches something waits for a word: a document, the code of a module, and a
		// module of some server, which nobody asks for it.
		address, calls := knocked(t)
		for _, files := range []map[string]string{
			{"acme/dev/b.yaml": w.document("b", "one")},
			{"acme/dev/b.yaml": "# nothing yet\n", "modules/counter/main.tf": counter + "# more\n"},
			{"modules/counter/main.tf": counter, "acme/dev/b.yaml": strings.Replace(w.document("b", "one"), "{path: /modules/counter}", `{url: "https://`+address+`/evil.git"}`, 1)},
			{"acme/dev/b.yaml": "# nothing yet\n", "acme/policies/only.yaml": policy("isManual: true", "")},
		} {
			head = w.site.PushFork(t, forgetest.Mallory, "words", files)
			w.tell(n, head)
			w.status(head, "reeve/plan", forge.Failure)
			w.shows(n, head[:7], "Not planned", "reeve plan")
		}
		if got := calls.Load(); got != 0 {
			t.Errorf("the daemon called a stranger's server %d times", got)
		}

		// What asks for an engine that is not there is told of, without a word: no code of it
		// runs for that.
		head = w.site.PushFork(t, forgetest.Mallory, "words", map[string]string{
			"acme/policies/only.yaml": early("", "")["acme/policies/only.yaml"], "acme/organization.yaml": organization("> 1.98, < 2")})
		w.status(head, "reeve/plan", forge.Success)
		w.shows(n, head[:7], "An engine that this asks for is not there", "`"+devA+"`: no ")
		if is := w.plans(); len(is) != 0 {
			t.Errorf("plans were made: %v", is)
		}
		w.once(n)
	})
}
