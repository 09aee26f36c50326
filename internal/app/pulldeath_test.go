package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// sends tells whether a call sends a text, as it stands in a JSON string.
func sends(r *http.Request, text string) bool {
	b, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(b))
	return err == nil && bytes.Contains(b, []byte(text))
}

// TestAnAnswerToWhatADeadDaemonWroteIsHeard kills the daemon when the plans have come to
// stand in the pull request and it does not know it yet. Somebody approves them before
// there is another daemon.
func TestAnAnswerToWhatADeadDaemonWroteIsHeard(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true // nobody is there to hear a delivery
		daemon := w.mortals()
		w.ready()
		w.connect()
		var back func()
		var once sync.Once
		dead := make(chan struct{})
		w.front.meet(func(r *http.Request) (f fate) {
			if isComment(r) && sends(r, "reeve approve dev") {
				once.Do(func() {
					f = fate{lost: true, after: func() { back = daemon.stay(); close(dead) }}
				})
			}
			return f
		})
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		<-dead
		yes := w.says(forgetest.Grace, n, "reeve approve dev")
		back()
		w.reacts(n, yes, forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		if got := w.lines("a"); got != "one" {
			t.Errorf("a was made %q", got)
		}
		w.once(n)
	})
}

// slowly is a stack whose apply writes its text and ends when it is let go.
func (w *pullWorld) slowly(name, text string) string {
	return strings.ReplaceAll(w.document(name, text), "/modules/counter", "/modules/slowly")
}

// slowModule is the counter with an apply that waits until it is let go, or the world is gone.
var slowModule = strings.Replace(counter, `>> ${var.file}"`, `>> ${var.file}; until test -e ${var.file}.go || ! test -d ${dirname(var.file)}; do sleep 0.1; done"`, 1)

// letsGo lets the slow apply of a stack end, and all that come after it.
func (w *pullWorld) letsGo(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name+".txt.go"), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// holds makes the next slow apply of a stack wait again.
func (w *pullWorld) holds(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.root, name+".txt.go")); err != nil {
		w.t.Fatal(err)
	}
}

// applies counts the jobs of a stack that began an apply.
func (w *pullWorld) applies(key string) (n int) {
	w.t.Helper()
	for _, j := range w.served.jobs(key) {
		for _, op := range j.Operations {
			if op.Kind == stackjob.OpApply {
				n++
			}
		}
	}
	return n
}

// TestADaemonThatIsKilledWhileItAppliesBeforeTheMerge kills the daemon while an apply
// runs from one pull request and that of another is queued behind it: the next one finds
// both as they are.
func TestADaemonThatIsKilledWhileItAppliesBeforeTheMerge(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/slowly/main.tf"] = slowModule
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.polls = true
		daemon := w.mortals()
		w.ready()
		w.connect()
		w.letsGo("a")
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.slowly("a", "zero")}, false)
		w.served.await(devA, stackjob.Succeeded)
		w.holds("a")
		open := func(text string) (n int, head string) {
			head = w.site.Push(t, forgetest.Ada, text, map[string]string{"acme/dev/a.yaml": w.slowly("a", text)}, false)
			n = w.site.Open(t, forgetest.Ada, text, "To "+text, false)
			w.tell(n, head)
			w.sees(n, "Ready to apply: nobody needs to approve", "reeve apply dev")
			return n, head
		}
		one, head := open("one")
		two, _ := open("two")
		first := w.says(forgetest.Ada, one, "reeve apply dev")
		w.served.until("the apply began", func() bool { return w.lines("a") == "zero one" })
		second := w.says(forgetest.Ada, two, "reeve apply dev")
		w.sees(two, "place 1", fmt.Sprintf("config#%d", one))

		daemon.kill()
		w.ready()
		w.letsGo("a")
		w.reacts(one, first, forge.ThumbsUp)
		w.sees(one, "/outcome-", "Applied")
		w.status(head, "reeve/apply: dev", forge.Success)
		daemon.kill() // while nothing runs and one waits for its turn
		w.ready()
		w.sees(two, "place 1", fmt.Sprintf("config#%d", one))

		w.site.Close(t, forgetest.Ada, one)
		w.sees(one, "/closed-", "is not as main wants it")
		w.reacts(two, second, forge.ThumbsDown) // its plan is another now, and waits
		w.sees(two, "/waits-", "reeve approve dev")
		w.reacts(two, w.says(forgetest.Grace, two, "reeve approve dev"), forge.ThumbsUp)
		w.sees(two, "/outcome-", "Applied")
		if got, n := w.lines("a"), w.applies(devA); got != "zero one two" || n != 3 {
			t.Errorf("a was made %q by %d applies, expected each once", got, n)
		}
		w.once(one)
		w.once(two)
	})
}
