package statefile_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
)

// checkpoint is a format as another engine may have it: JSON with a stack's name, no serial.
type checkpoint struct{ inUse bool }

func (checkpoint) File(folder string) (string, error) {
	return filepath.Join(folder, "state.json"), nil
}

func (checkpoint) Suffix() string { return ".checkpoint" }

func (checkpoint) Read(b []byte) (statefile.Summary, error) {
	var in struct {
		Stack     string
		Resources []string
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return statefile.Summary{}, err
	}
	return statefile.Summary{Lineage: in.Stack, Resources: len(in.Resources)}, nil
}

func (c checkpoint) InUse(string) (bool, error) { return c.inUse, nil }

// shelf is a folder with a state and backups, and a clock that moves with each use.
type shelf struct {
	*statefile.Keeper
	t   *testing.T
	at  engine.StateFiles
	now time.Time
}

const (
	secret = "canary-in-the-state"
	first  = `{"stack":"s","resources":["` + secret + `"]}`
	second = `{"stack":"s","resources":["` + secret + `","b"]}`
)

func setup(t *testing.T, f checkpoint) *shelf {
	t.Helper()
	dir := t.TempDir()
	s := &shelf{t: t, at: engine.StateFiles{State: dir, Backups: filepath.Join(dir, "backups")},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	s.Keeper = statefile.New(f, func() time.Time { s.now = s.now.Add(time.Second); return s.now })
	return s
}

func (s *shelf) file() string { return filepath.Join(s.at.State, "state.json") }

func (s *shelf) write(content string) {
	s.t.Helper()
	if err := os.WriteFile(s.file(), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) state() string {
	s.t.Helper()
	b, err := os.ReadFile(s.file())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *shelf) list() engine.StateList {
	s.t.Helper()
	l, err := s.List(s.at)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func TestWhatIsKeptIsListedAndPutBack(t *testing.T) {
	t.Parallel()
	s := setup(t, checkpoint{})
	if l := s.list(); l.State != nil || len(l.Backups) != 0 {
		t.Fatalf("with nothing there: %+v", l)
	}
	s.write(first)
	kept, err := s.Keep(s.at, "sj_1")
	if err != nil || kept == nil {
		t.Fatal(kept, err)
	}
	want := engine.StateFile{Name: "20261121T120001.000000000Z-0-sj_1.checkpoint", At: s.now, Job: "sj_1", Lineage: "s", Resources: 1, Size: int64(len(first))}
	if d := cmp.Diff(want, *kept); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
	s.write(second)
	later, err := s.Keep(s.at, "sj_2")
	if err != nil {
		t.Fatal(err)
	}
	l := s.list()
	current := *later
	current.Current = true
	if d := cmp.Diff([]engine.StateFile{current, want}, l.Backups); d != "" {
		t.Errorf("backups, newest first (-want +got):\n%s", d)
	}
	if l.State == nil || l.State.Resources != 2 || l.State.Name != "state.json" || l.State.Job != "" || l.State.At.IsZero() {
		t.Errorf("the state: %+v", l.State)
	}
	if b, err := json.Marshal(l); err != nil || strings.Contains(string(b), secret) {
		t.Errorf("the list tells what is in a state: %s, %v", b, err)
	}

	if err := s.Replace(s.at, want.Name); err != nil {
		t.Fatal(err)
	}
	if s.state() != first {
		t.Errorf("the state is %s", s.state())
	}
	fi, err := os.Stat(s.file())
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the state can be read by others: %v, %v", fi.Mode(), err)
	}
}

// TestKeepingTwiceForAJobIsKeepingOnce is what lets a restore that was cut off be done again:
// by then the state may be the backup already, and what was there before is kept.
func TestKeepingTwiceForAJobIsKeepingOnce(t *testing.T) {
	t.Parallel()
	s := setup(t, checkpoint{})
	s.write(first)
	kept, err := s.Keep(s.at, "sj_1")
	if err != nil {
		t.Fatal(err)
	}
	s.write(second)
	again, err := s.Keep(s.at, "sj_1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(kept, again); d != "" {
		t.Errorf("kept twice (-first +again):\n%s", d)
	}
	if n := len(s.list().Backups); n != 1 {
		t.Errorf("there are %d backups", n)
	}
}

func TestADamagedStateIsPutAsideAndIsNoBackup(t *testing.T) {
	t.Parallel()
	s := setup(t, checkpoint{})
	cut := first[:20]
	s.write(cut)
	if l := s.list(); l.State == nil || !l.State.Damaged {
		t.Errorf("the state is listed as %+v", l.State)
	}
	kept, err := s.Keep(s.at, "sj_1")
	if kept != nil || err != nil {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	aside, err := filepath.Glob(s.file() + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Fatalf("put aside: %v, %v", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || string(b) != cut || s.state() != cut {
		t.Errorf("put aside is %q, %v; the state is %q", b, err, s.state())
	}
	if n := len(s.list().Backups); n != 0 {
		t.Errorf("there are %d backups", n)
	}
}

func TestOnlyWholeBackupsOfTheFolderArePutBack(t *testing.T) {
	t.Parallel()
	s := setup(t, checkpoint{})
	s.write(first)
	if err := os.MkdirAll(s.at.Backups, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"cut.checkpoint": second[:9], "other.txt": second, "../outside.checkpoint": second, "by-hand.checkpoint": second} {
		if err := os.WriteFile(filepath.Join(s.at.Backups, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]error{
		"cut.checkpoint": engine.ErrStateDamaged, "other.txt": engine.ErrNoBackup, "../outside.checkpoint": engine.ErrNoBackup,
		"none.checkpoint": engine.ErrNoBackup, "": engine.ErrNoBackup,
	} {
		err := s.Replace(s.at, name)
		if !errors.Is(err, want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", name, err)
		}
		if s.state() != first {
			t.Fatalf("%q changed the state", name)
		}
	}
	if err := s.Replace(s.at, "by-hand.checkpoint"); err != nil || s.state() != second {
		t.Errorf("a backup that a person put there: %v, the state is %s", err, s.state())
	}
}

func TestAStateInUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := setup(t, checkpoint{})
	s.write(first)
	kept, err := s.Keep(s.at, "sj_1")
	if err != nil {
		t.Fatal(err)
	}
	s.write(second)
	busy := statefile.New(checkpoint{inUse: true}, nil)
	if _, err := busy.Keep(s.at, "sj_2"); !errors.Is(err, engine.ErrStateInUse) {
		t.Errorf("keep: %v", err)
	}
	if err := busy.Replace(s.at, kept.Name); !errors.Is(err, engine.ErrStateInUse) || s.state() != second {
		t.Errorf("replace: %v, the state is %s", err, s.state())
	}
}
