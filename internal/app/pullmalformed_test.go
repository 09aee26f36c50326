package app_test

import (
	"bytes"
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// pushTree pushes a branch whose tree is main's with entries that Git would not write,
// and returns the commit.
func (w *pullWorld) pushTree(branch string, entries func(blob []byte) []byte) string {
	w.t.Helper()
	dir := w.t.TempDir()
	git := func(stdin []byte, args ...string) string {
		w.t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "credential.helper=", "-c", "transfer.fsckObjects=false", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			var said string
			if e, is := err.(*exec.ExitError); is { //nolint:errorlint // Output wraps nothing
				said = string(e.Stderr)
			}
			w.t.Fatalf("git %s: %v\n%s", args[0], err, said)
		}
		return string(out)
	}
	git(nil, "clone", "--quiet", w.site.CloneURL(forgetest.Ada), ".")
	tree := []byte(git(nil, "cat-file", "tree", "HEAD^{tree}"))
	blob, err := hex.DecodeString(strings.TrimSpace(git([]byte("words\n"), "hash-object", "-w", "--stdin")))
	if err != nil {
		w.t.Fatal(err)
	}
	id := strings.TrimSpace(git(append(tree, entries(blob)...), "hash-object", "-t", "tree", "-w", "--literally", "--stdin"))
	commit := strings.TrimSpace(git(nil, "commit-tree", id, "-p", "HEAD", "-m", "Malformed"))
	git(nil, "push", "--quiet", "origin", commit+":refs/heads/"+branch)
	return commit
}

func entry(mode, name string, id []byte) []byte {
	return append([]byte(mode+" "+name+"\x00"), id...)
}

func TestAHeadThatCannotBeReadIsSaidAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.pushTree("bad", func(blob []byte) []byte { return entry("100644", "z/z", blob) })
		bad := w.site.Open(t, forgetest.Ada, "bad", "Malformed", false)
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.shows(n, "reeve approve dev")
		w.shows(bad, "Not planned", "names an entry as no file can be named")
		if strings.Contains(w.log.String(), "given up") {
			t.Error("a delivery was given up for a head that can be told of")
		}
	})
}
