package stackjob

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldentest.Compare(t, filepath.Join("testdata", name), got)
}

var allEvents = []Event{EvPostpone, EvHoldStart, EvAllowStart, EvStartPlan, EvRequeue, EvHoldApply, EvAllowApply, EvStartApply, EvStartRestore,
	EvSucceed, EvFail, EvCancel, EvReject, EvExpire, EvSupersede, EvInterrupt, EvRenew, EvRecord, EvEnqueue}

// TestEveryStateAndEvent pins the whole machine: a change of it is a change of the
// golden file, to be read line by line.
func TestEveryStateAndEvent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, s := range States() {
		for _, e := range allEvents {
			to, err := Next(s, e)
			if err != nil {
				fmt.Fprintf(&b, "%-14s %-12s no: %v\n", s, e, err)
				if to != s {
					t.Errorf("%s %s: refused and moved to %s", s, e, to)
				}
				continue
			}
			fmt.Fprintf(&b, "%-14s %-12s %s\n", s, e, to)
		}
	}
	golden(t, "machine.txt", b.String())
}

func TestNothingLeavesAFinalState(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		for _, e := range allEvents {
			_, err := Next(s, e)
			var illegal *IllegalMove
			if s.IsFinal() && (!errors.As(err, &illegal) || *illegal != IllegalMove{State: s, Event: e}) {
				t.Errorf("%s %s: %v", s, e, err)
			}
		}
	}
}

func TestEveryStateIsReachableAndEveryOpenOneCanEnd(t *testing.T) {
	t.Parallel()
	reach := func(from State) map[State]bool {
		seen := map[State]bool{from: true}
		for todo := []State{from}; len(todo) > 0; todo = todo[1:] {
			for _, to := range transitions[todo[0]] {
				if !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		return seen
	}
	fromQueued := reach(Queued)
	for _, s := range States() {
		if !fromQueued[s] {
			t.Errorf("%s cannot be reached", s)
		}
		if s.IsFinal() {
			continue
		}
		can := reach(s)
		for _, end := range []State{Succeeded, Failed, Cancelled} {
			if !can[end] {
				t.Errorf("%s can never end as %s", s, end)
			}
		}
	}
}

func TestApplyingEndsOnlyTruthfully(t *testing.T) {
	t.Parallel()
	// An apply that began is never superseded or rejected; back into the queue leads
	// only what did not begin.
	got := map[State]bool{}
	for _, to := range transitions[Applying] {
		got[to] = true
	}
	for name, m := range allMoves() {
		if after, err := m.Apply(jobIn(Applying)); err == nil && after.State == Queued && name != "PutBack" {
			t.Errorf("%s puts an apply back into the queue", name)
		}
	}
	want := map[State]bool{Applying: true, Queued: true, Succeeded: true, Failed: true, Cancelled: true, Interrupted: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// And it begins only with the intent, of an apply or of a restore.
	for s, events := range transitions {
		for e, to := range events {
			if to == Applying && s != Applying && e != EvStartApply && e != EvStartRestore {
				t.Errorf("%s gets to applying by %s", s, e)
			}
		}
	}
}

func TestEveryEnumeratedValueHasASentence(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	check := func(kind, value, sentence string) {
		if sentence == "" || sentence == value && kind != "state" {
			t.Errorf("%s %q has no sentence", kind, value)
		}
		fmt.Fprintf(&b, "%-7s %-20s %s\n", kind, value, sentence)
	}
	for _, s := range States() {
		check("state", string(s), s.Sentence())
	}
	for _, c := range []Cause{CauseNew, CauseRemoved, CauseSpec, CauseModule, CauseProvisioner, CauseBackend, CauseOutput, CauseRerun, CauseUnfinished, CauseRestored} {
		check("cause", string(c), c.Sentence())
	}
	for _, c := range ReasonCodes() {
		if c == ReasonRejected {
			continue // the word is the sentence
		}
		check("reason", string(c), c.Sentence())
	}
	golden(t, "sentences.txt", b.String())
}

// TestEveryConstantIsInItsList reads the source: a constant without a sentence is
// in no list that a test could walk.
func TestEveryConstantIsInItsList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, kind string
		known      []string
	}{
		{"reason.go", "ReasonCode", texts(ReasonCodes())},
		{"state.go", "Event", texts(allEvents)},
		{"state.go", "State", texts(States())},
		{"stackjob.go", "Cause", keysOf(causeSentences)},
	} {
		for _, v := range constants(t, c.file, c.kind) {
			if !slices.Contains(c.known, v) {
				t.Errorf("%s: %s %q is in no list", c.file, c.kind, v)
			}
		}
	}
}

func texts[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}

func keysOf[K ~string, V any](m map[K]V) []string {
	var out []string
	for k := range m {
		out = append(out, string(k))
	}
	return out
}
