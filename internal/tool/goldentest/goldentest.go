// Package goldentest compares what a test got with a file that somebody has read: a
// change of the file is a change of what is promised.
//
//	goldentest.Compare(t, "testdata/table.golden", table.String())
//
// Tests that are run with -update write the file anew and compare with that. The package
// reads nothing else and normalises nothing: what differs by a space differs.
package goldentest

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Updates tells whether the test is to write its files anew.
func Updates() bool { return *update }

// Compare fails the test when a file does not hold what it got.
func Compare(t testing.TB, file, got string) {
	t.Helper()
	if Updates() {
		write(t, file, got)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; run with -update when it is meant):\n%s", file, d)
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // of the source tree
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // of the source tree
		t.Fatal(err)
	}
}
