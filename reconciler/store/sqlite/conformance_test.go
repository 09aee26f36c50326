package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/reconciler/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newFixture)
}

// newFixture is a data folder. A crash is what a power cut leaves: the files as
// they are at that moment, without any orderly end.
func newFixture(tb testing.TB) storetest.Fixture {
	folder := tb.TempDir()
	return storetest.Fixture{
		Open: func(tb testing.TB, clock func() time.Time) storetest.Records {
			tb.Helper()
			return open(tb, sqlite.Options{Folder: folder, Clock: clock})
		},
		Crash: func(tb testing.TB, r storetest.Records) {
			tb.Helper()
			left := tb.TempDir()
			for _, name := range []string{sqlite.FileName, sqlite.FileName + "-wal"} {
				copyFile(tb, filepath.Join(folder, name), filepath.Join(left, name))
			}
			if err := r.Close(); err != nil {
				tb.Fatalf("close: %v", err)
			}
			folder = left
		},
	}
}

func open(tb testing.TB, o sqlite.Options) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), o)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	return s
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}
