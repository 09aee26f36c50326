package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// notes is a module with files that somebody can change from outside.
const notes = `variable "folder" { type = string }
variable "text" { type = string }
resource "local_file" "note" {
  for_each = toset(["changed", "gone", "kept"])
  filename = "${var.folder}/${each.key}.txt"
  content  = "as applied\n"
}
resource "terraform_data" "this" { input = var.text }
`

func (w *pullWorld) noted(text string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: a}\nspec:\n  module: {path: /modules/notes}\n  variables: {folder: %q, text: %q}\n",
		filepath.Join(w.root, "notes"), text)
}

// TestDriftIsToldApartFromTheChange has files of a stack changed and deleted by somebody
// else, and then another resource of that stack changed by a pull request.
func TestDriftIsToldApartFromTheChange(t *testing.T) {
	t.Parallel()
	files := func(base *world) map[string]string {
		w := &pullWorld{world: base}
		w.cliConfig = tooltest.CLIConfig(base.t)
		return map[string]string{"modules/notes/main.tf": notes, "acme/dev/a.yaml": w.noted("one"), "acme/dev/b.yaml": w.document("b", "one")}
	}
	onOneForgeWith(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.settle(devA, devB)
		changed, gone := filepath.Join(w.root, "notes", "changed.txt"), filepath.Join(w.root, "notes", "gone.txt")
		if err := os.WriteFile(changed, []byte("by somebody else\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}

		w.site.Push(t, forgetest.Ada, "other", map[string]string{"acme/dev/b.yaml": w.document("b", "two")}, false)
		other := w.site.Open(t, forgetest.Ada, "other", "Change the other stack", false)
		n, head := w.proposes("Change the text", map[string]string{"acme/dev/a.yaml": w.noted("two")})
		body := w.shows(n, "reeve approve dev", "**Drift:** 2 of these 3 changes are drift, not from this pull request.")
		drift, own := toldChanges(body)
		if want := []string{`@@ create local_file.note["changed"]`, `@@ create local_file.note["gone"]`}; !slices.Equal(drift, want) {
			t.Errorf("told as drift: %q, expected %q", drift, want)
		}
		if want := []string{"@@ update terraform_data.this @@"}; !slices.Equal(own, want) {
			t.Errorf("told as the change: %q, expected %q", own, want)
		}
		if body := w.shows(other, "reeve approve dev"); strings.Contains(strings.ToLower(body), "drift") {
			t.Errorf("a pull request that does not touch the stack tells of its drift:\n%s", body)
		}

		// The drift was shown, and is put back with what was approved.
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		for _, path := range []string{changed, gone} {
			if b, err := os.ReadFile(path); err != nil || string(b) != "as applied\n" {
				t.Errorf("%s holds %q (%v)", filepath.Base(path), b, err)
			}
		}
		w.once(n)
		w.once(other)
	})
}

// toldChanges are the changes that a plan's comment shows: what is drift, sorted and without
// the words that say so, and what is the pull request's own.
func toldChanges(body string) (drift, own []string) {
	const mark = " (drift, not from this pull request) @@"
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		switch is, of := strings.CutSuffix(line, mark); {
		case of:
			drift = append(drift, is)
		case strings.HasPrefix(line, "@@ "):
			own = append(own, line)
		}
	}
	slices.Sort(drift)
	return drift, own
}
