package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
)

func TestAFollowerReadsEachVersionOnceAndWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	old := time.Now().Add(-time.Hour)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	var f statefile.Follower
	var got []string
	read := func() {
		f.Read(path, func(b []byte) error {
			got = append(got, string(b))
			if string(b) == "tor" { // the engine goes on
				write("torn no more", old.Add(2*time.Second))
				return errors.New("not whole")
			}
			return nil
		})
	}
	read() // nothing is there
	write("one", old)
	read()
	read()
	write("two", old.Add(time.Second))
	read()
	write("tor", old.Add(time.Second*3/2))
	read()
	read()
	// A file of this moment may be written again within one tick of the file system's clock.
	write("now", time.Now().Add(time.Hour))
	read()
	read()
	want := []string{"one", "two", "tor", "torn no more", "now", "now"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestAFollowerLeavesWhatIsNeverWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(path, []byte("cut"), 0o600), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	var f statefile.Follower
	n := 0
	take := func([]byte) error { n++; return errors.New("not whole") }
	f.Read(path, take)
	first := n
	f.Read(path, take)
	if first < 2 || n != first {
		t.Errorf("read %d times, then %d times", first, n-first)
	}
}

// An engine empties the file, and on a busy machine it may be a while until it goes on.
func TestAFollowerWaitsForWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("")
	var f statefile.Follower
	var got []string
	half := errors.New("not whole")
	take := func(b []byte) error {
		if got = append(got, string(b)); len(got)%30 == 0 {
			put("whole")
		}
		if string(b) != "whole" {
			return half
		}
		return nil
	}
	f.Read(path, take) // an engine that was just started has made it
	if n := len(got); n == 0 || n >= 30 {
		t.Errorf("an empty file was read %d times", n)
	}
	got = nil
	f.Filled()
	f.Read(path, take)
	if len(got) != 31 || got[30] != "whole" {
		t.Errorf("read %d times: %q", len(got), got)
	}
	got = nil
	put("") // it had something before
	f.Read(path, take)
	if len(got) != 31 || got[30] != "whole" {
		t.Errorf("read %d times: %q", len(got), got)
	}
}
