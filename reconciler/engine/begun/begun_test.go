package begun_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
)

func TestANoteTellsWhatWasBegunAndNotDone(t *testing.T) {
	t.Parallel()
	file := begun.FileOf(engine.Task{StateBackups: filepath.Join(t.TempDir(), "backups"), Workspace: t.TempDir()})
	if left, err := begun.Read(file); left != nil || err != nil {
		t.Fatalf("no note is read as %+v, %v", left, err)
	}
	n, err := begun.Open(file, "sha256:x sj_1/2")
	if err != nil {
		t.Fatal(err)
	}
	n.Line(begun.Began, "a.b")
	n.Line(begun.Began, `c["d e"]`)
	n.Line(begun.Done, "a.b")
	n.Line(begun.Began, "a.b") // a replacement's other half
	left, err := begun.Read(file)
	if err != nil || left == nil {
		t.Fatalf("note = %v, %v", left, err)
	}
	if left.Plan != "sha256:x sj_1/2" {
		t.Errorf("plan = %q", left.Plan)
	}
	if diff := cmp.Diff([]string{"a.b", `c["d e"]`}, left.Order); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`c["d e"]`}, left.Unfinished()); diff != "" {
		t.Errorf("not done (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the note: %v, %v", st.Mode(), err)
	}
	if err := n.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := begun.Read(file); left != nil || err != nil {
		t.Errorf("a note that was removed is read as %+v, %v", left, err)
	}
}

func TestAnApplyThatNeverBeganLeavesTheNoteThatWasThere(t *testing.T) {
	t.Parallel()
	file := begun.FileOf(engine.Task{Workspace: t.TempDir()})
	undo := func(plan string) *begun.Work {
		t.Helper()
		n, err := begun.Open(file, plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Undo(); err != nil {
			t.Fatal(err)
		}
		left, err := begun.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if left := undo("one"); left != nil {
		t.Errorf("where nothing was: %+v", left)
	}
	killed, err := begun.Open(file, "two")
	if err != nil {
		t.Fatal(err)
	}
	killed.Line(begun.Began, "a.b")
	if err := killed.Keep(); err != nil {
		t.Fatal(err)
	}
	left := undo("three")
	if left == nil || left.Plan != "two" {
		t.Fatalf("the note that was there: %+v", left)
	}
	if diff := cmp.Diff([]string{"a.b"}, left.Unfinished()); diff != "" {
		t.Errorf("not done (-want +got):\n%s", diff)
	}
}

// A kill, or a full disk, must not find the old note emptied and the new one not written.
func TestANoteTakesThePlaceOfAnOlderOneInOneStep(t *testing.T) {
	t.Parallel()
	file := begun.FileOf(engine.Task{Workspace: t.TempDir()})
	older, err := begun.Open(file, "one")
	if err != nil {
		t.Fatal(err)
	}
	older.Line(begun.Began, "a.b")
	if err := older.Keep(); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, file+".seen"); err != nil {
		t.Fatal(err)
	}
	n, err := begun.Open(file, "two")
	if err != nil {
		t.Fatal(err)
	}
	n.Line(begun.Began, "c.d")
	if err := n.Keep(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file + ".seen": "plan one\nbegin a.b\n", file: "plan two\nbegin c.d\n"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%q, %v, expected %q", b, err, want)
		}
	}
}
