package app_test

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

func TestAPlanIsMadeAnewWhenAnotherPullRequestWasAppliedToItsStack(t *testing.T) {
	t.Parallel()
	files := func(w *world) map[string]string {
		all := early("pauseBetweenPreviewAndUpdateOrDestroy: true", "")
		for name, text := range dev(w) {
			all[name] = text
		}
		return all
	}
	onOneForgeWith(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.settle(devA, devB)
		w.site.Push(t, forgetest.Ada, "one", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		one := w.site.Open(t, forgetest.Ada, "one", "To two", false)
		head := w.site.Push(t, forgetest.Ada, "other", map[string]string{"acme/dev/a.yaml": w.document("a", "three")}, false)
		other := w.site.Open(t, forgetest.Ada, "other", "To three", false)
		w.tell(other, head)
		w.shows(one, "reeve approve dev")
		w.shows(other, "changes from `\"one\"` to `\"three\"`", "reeve approve dev")
		w.yes(one)
		w.yes(other)
		w.status(head, "reeve/approval", forge.Success)

		w.reacts(one, w.says(forgetest.Ada, one, "reeve apply dev"), forge.ThumbsUp)
		w.shows(other, "changes from `\"two\"` to `\"three\"`", "another than the one that was approved", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.once(other)
	})
}
