package app_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// rewrites has somebody who may edit the daemon's comments replace words in the living one,
// in a later second than the daemon wrote it.
func (w *pullWorld) rewrites(number int, from, to string) {
	w.t.Helper()
	w.later()
	is := w.living(number)
	for _, c := range w.site.Comments(w.t, number) {
		if c.Body == is {
			w.site.EditComment(w.t, forgetest.Reeve, number, c.ID, strings.ReplaceAll(c.Body, from, to))
		}
	}
}

// writesComment tells a call that edits a comment.
func writesComment(r *http.Request) bool {
	return (r.Method == http.MethodPatch || r.Method == http.MethodPut) && (strings.Contains(r.URL.Path, "/comments/") || strings.Contains(r.URL.Path, "/notes/"))
}

// harmless is what is shown in the place of shownA.
const shownA, harmless = "TerraformStack/a", "TerraformStack/harmless"

func TestAYesAfterACommentWasChangedAndChangedBackDoesNotCount(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/approval", forge.Pending)
		w.rewrites(n, shownA, harmless)
		// Grace has it before her now.
		w.rewrites(n, harmless, shownA)
		if !strings.Contains(w.living(n), shownA) || strings.Contains(w.living(n), harmless) {
			t.Fatalf("it is not as it was:\n%s", w.living(n))
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		w.sees(n, "somebody changed the comment")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)
		w.rests()
		w.once(n)
	})
}

func TestAYesBeforeTheCommentIsWrittenAnewDoesNotCount(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/approval", forge.Pending)
		w.rewrites(n, shownA, harmless)
		// The forge does not take what the daemon would write.
		var failing atomic.Bool
		failing.Store(true)
		w.front.meet(func(r *http.Request) fate {
			if failing.Load() && writesComment(r) {
				return fate{status: http.StatusServiceUnavailable}
			}
			return fate{}
		})
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		second := w.says(forgetest.Grace, n, "reeve approve dev")
		if !strings.Contains(w.living(n), harmless) {
			t.Fatalf("it was written anew:\n%s", w.living(n))
		}
		failing.Store(false)
		w.reacts(n, second, forge.ThumbsDown)
		w.served.until("the comment is as it was", func() bool { return !strings.Contains(w.living(n), harmless) })
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)
		w.rests()
		w.once(n)
	})
}

func TestAYesThatIsReadAfterTheCommentWasWrittenOverDoesNotCount(t *testing.T) {
	t.Parallel()
	files := early("pauseBetweenPreviewAndUpdateOrDestroy: true", "")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev", "0/1")
		w.status(head, "reeve/approval", forge.Pending)
		// From now on deliveries are late.
		l := w.keepsBack()
		repo, here := w.site.Repository(t), w.served.url+"/webhooks/config"
		hooks, err := repo.Webhooks(t.Context(), here)
		if err != nil || len(hooks) != 1 {
			t.Fatalf("%d webhooks, %v", len(hooks), err)
		}
		if _, err := repo.SetWebhook(t.Context(), hooks[0].ID, l.URL, webhookSecret); err != nil {
			t.Fatal(err)
		}
		w.rewrites(n, shownA, harmless)
		id := w.says(forgetest.Grace, n, "reeve approve dev")
		w.later()
		for name, text := range early("", "  approvals: {required: 2}\n") {
			w.site.Push(t, forgetest.Ada, "main", map[string]string{name: text}, false)
		}
		delivers := func(about string) {
			t.Helper()
			w.served.until("the forge has told", func() bool { return len(l.about(about)) > 0 })
			for _, d := range l.about(about) {
				if status, err := w.deliver(d); err != nil || status >= 300 {
					t.Fatalf("delivered: %d, %v", status, err)
				}
			}
		}
		// The daemon writes over what Grace has answered, and reads her answer then.
		delivers("refs/heads/main")
		w.shows(n, "0/2", shownA)
		if strings.Contains(w.living(n), harmless) {
			t.Fatalf("it was not written over:\n%s", w.living(n))
		}
		delivers("reeve approve dev")
		w.reacts(n, id, forge.ThumbsDown)
		w.sees(n, "somebody changed the comment")
		id = w.says(forgetest.Grace, n, "reeve approve dev\n\nonce more")
		delivers("once more")
		w.reacts(n, id, forge.ThumbsUp)
		w.shows(n, "1/2", "grace")
		w.rests()
		w.once(n)
	})
}
