package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// asleep keeps everything from the daemon that its forge says, until the test is done
// with what the daemon must not see in the order in which it happens.
func (w *pullWorld) asleep(while func()) {
	w.front.meet(func(*http.Request) fate { return fate{status: http.StatusServiceUnavailable} })
	while()
	w.front.meet(nil)
}

// TestAWordForTheCodeOfAStrangerIsForWhatStoodThere has a stranger push other code right
// after somebody has let the code run that was there to read.
func TestAWordForTheCodeOfAStrangerIsForWhatStoodThere(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harmless")})
		n := w.site.Open(t, forgetest.Mallory, "evil", "From outside", true)
		w.sees(n, "may not write to the repository", "reeve plan")
		var id, head string
		w.asleep(func() {
			id = w.says(forgetest.Grace, n, "reeve plan")
			head = w.site.PushFork(t, forgetest.Mallory, "evil", map[string]string{"acme/dev/m.yaml": w.document("m", "harm")})
		})
		w.tell(n, head)
		w.reacts(n, id, forge.ThumbsDown)
		said := w.sees(n, "may run when somebody says so", head[:7])
		if strings.Contains(said, "TerraformStack/m") || len(w.served.jobs("acme/dev/TerraformStack/m")) > 0 {
			t.Fatalf("code ran that nobody has let run:\n%s", said)
		}
		w.shows(n, head[:7], "may not write to the repository")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve plan"), forge.ThumbsUp)
		w.shows(n, "acme/dev/TerraformStack/m", "+1 ~0")
	})
}
