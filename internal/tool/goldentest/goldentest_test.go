package goldentest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// witness takes the place of a test that fails.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper()                   {}
func (w *witness) Errorf(f string, _ ...any) { w.said = append(w.said, f) }

func TestWhatIsNotInTheFileIsToldAndUpdateWritesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "testdata", "a.golden")
	compare := func(got string) int {
		w := &witness{TB: t}
		Compare(w, file, got)
		return len(w.said)
	}
	set := func(to bool) {
		was := *update
		*update = to
		t.Cleanup(func() { *update = was })
	}
	set(true)
	if compare("one\n") != 0 {
		t.Error("what was just written is told to be another")
	}
	set(false)
	if compare("one\n") != 0 {
		t.Error("the same is told to be another")
	}
	if compare("one") != 1 || compare("two\n") != 1 {
		t.Error("another is told to be the same")
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "one") {
		t.Errorf("a comparison left %q, %v", text, err)
	}
}
