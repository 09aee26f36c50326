package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func job(id, stack, digest string, state stackjob.State, waits ...stackjob.JobID) stackjob.Job {
	return stackjob.Job{ID: stackjob.JobID(id), Desired: stackjob.Desired{Key: schema.ResourceKey{Org: "o", Env: "e", Kind: "K", Name: stack}},
		Purpose: stackjob.Reconcile, DesiredDigest: digest, State: state, WaitsFor: waits}
}

func nobody(stackjob.JobID) bool { return false }

func TestAReplacementMayComeLaterThanWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	open := []stackjob.Job{job("1", "a", "x", stackjob.Queued)}
	got, err := Arrange(Enqueue{Jobs: []stackjob.Job{job("2", "b", "x", stackjob.Queued, "1"), job("3", "a", "y", stackjob.Queued)}}, open, nobody)
	if err != nil {
		t.Fatal(err)
	}
	want := Arrangement{Write: []stackjob.Job{job("2", "b", "x", stackjob.Queued, "3"), job("3", "a", "y", stackjob.Queued)},
		Supersede: []Replaced{{ID: "1", By: "3"}}}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTheVerySameEnqueueChangesNothing(t *testing.T) {
	t.Parallel()
	open := []stackjob.Job{job("1", "a", "x", stackjob.Queued), job("2", "b", "x", stackjob.Queued, "1")}
	got, err := Arrange(Enqueue{Jobs: open}, open, nobody)
	if d := cmp.Diff(Arrangement{}, got, cmpopts.EquateEmpty()); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestAHeldJobIsNeverReplacedByOneThatIsNotHeld(t *testing.T) {
	t.Parallel()
	mass := &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of the 20 recorded stacks of o/e"}
	lost := &stackjob.Reason{Code: stackjob.ReasonAfterInterrupt, Detail: "sj_1"}
	of := func(id string, a stackjob.Action, digest string, s stackjob.State, hold *stackjob.Reason, because ...stackjob.Because) stackjob.Job {
		j := job(id, "a", digest, s)
		j.Action, j.Hold, j.Because = a, hold, because
		return j
	}
	rerun := stackjob.Because{Cause: stackjob.CauseRerun, Detail: "by ada"}
	output := stackjob.Because{Cause: stackjob.CauseOutput, Detail: "o/e/K/b status.outputs.id"}
	for _, tt := range []struct {
		name string
		open []stackjob.Job
		next stackjob.Job
		// wantHold is what holds the job that is the stack's newest afterwards;
		// written tells that it is the new one.
		wantHold *stackjob.Reason
		written  bool
	}{
		{"the same again", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, mass)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, nil), mass, false},
		{"the same again, held for another number", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, mass)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "13"}), mass, false},
		{"a hold that is new", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.Ready, nil)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, mass), mass, true},
		{"a rerun by a person", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, mass)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, nil, rerun), mass, true},
		{"a rerun of a rerun", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, mass, rerun)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, nil, rerun), mass, false},
		{"an output that moved", []stackjob.Job{of("1", stackjob.Apply, "x", stackjob.WaitingApply, lost)},
			of("2", stackjob.Apply, "x", stackjob.Queued, nil, output), lost, true},
		{"another digest of what is removed", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.Queued, mass)},
			of("2", stackjob.Destroy, "y", stackjob.Queued, nil), mass, true},
		{"another desired state", []stackjob.Job{of("1", stackjob.Apply, "x", stackjob.WaitingStart, lost)},
			of("2", stackjob.Apply, "y", stackjob.Queued, nil), lost, true},
		{"a held plan that is being made", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.Planning, mass)},
			of("2", stackjob.Destroy, "y", stackjob.Queued, nil), mass, true},
		{"a held one behind one that runs", []stackjob.Job{of("1", stackjob.Apply, "x", stackjob.Applying, nil), of("2", stackjob.Destroy, "x", stackjob.Queued, mass)},
			of("3", stackjob.Destroy, "y", stackjob.Queued, nil), mass, true},
		{"the document is back", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, mass)},
			of("2", stackjob.Apply, "y", stackjob.Queued, nil), nil, true},
		{"removed after an interruption", []stackjob.Job{of("1", stackjob.Apply, "x", stackjob.WaitingApply, lost)},
			of("2", stackjob.Destroy, "x", stackjob.Queued, nil), lost, true},
		{"the document of what was interrupted is back", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.WaitingApply, lost)},
			of("2", stackjob.Apply, "x", stackjob.Queued, nil), lost, true},
		{"no hold, and none comes", []stackjob.Job{of("1", stackjob.Destroy, "x", stackjob.Queued, nil)},
			of("2", stackjob.Destroy, "y", stackjob.Queued, nil), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := Arrange(Enqueue{Jobs: []stackjob.Job{tt.next}}, tt.open, nobody)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(a.Write) == 1; got != tt.written {
				t.Fatalf("written: %t, want %t (%+v)", got, tt.written, a)
			}
			newest := tt.open[len(tt.open)-1]
			if tt.written {
				newest = a.Write[0]
			}
			if d := cmp.Diff(tt.wantHold, newest.Hold); d != "" {
				t.Errorf("the hold (-want +got):\n%s", d)
			}
			for _, r := range a.Supersede {
				if r.By != tt.next.ID {
					t.Errorf("%s is superseded by %q", r.ID, r.By)
				}
			}
		})
	}
}

// TestNoArrangementMakesJobsWaitForEachOther draws rounds of jobs whose order changes
// from round to round, as when relations between stacks are turned round.
func TestNoArrangementMakesJobsWaitForEachOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var open []stackjob.Job
		n := 0
		for range rapid.IntRange(1, 6).Draw(r, "rounds") {
			var jobs []stackjob.Job
			for _, stack := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 5, rapid.ID).Draw(r, "stacks") {
				n++
				j := job(fmt.Sprintf("%03d", n), stack, rapid.SampledFrom([]string{"x", "y"}).Draw(r, "digest"), stackjob.Queued)
				for _, other := range slices.Concat(jobs, open) {
					if other.Desired.Key != j.Desired.Key && rapid.Bool().Draw(r, "waits") {
						j.WaitsFor = append(j.WaitsFor, other.ID)
					}
				}
				jobs = append(jobs, j)
			}
			a, err := Arrange(Enqueue{Jobs: jobs}, open, nobody)
			if err != nil {
				r.Fatal(err)
			}
			open = slices.DeleteFunc(open, func(j stackjob.Job) bool {
				return slices.ContainsFunc(a.Supersede, func(s Replaced) bool { return s.ID == j.ID })
			})
			for i := range open {
				if w, ok := a.Waits[open[i].ID]; ok {
					open[i].WaitsFor = w
				}
			}
			open = append(open, a.Write...)
			for i := range open {
				if open[i].State = stackjob.Queued; rapid.Bool().Draw(r, "runs") {
					open[i].State = stackjob.Planning
				}
			}
			edges := map[stackjob.JobID][]stackjob.JobID{}
			for _, j := range open {
				edges[j.ID] = j.WaitsFor
			}
			for _, j := range open {
				for _, w := range j.WaitsFor {
					if reaches(edges, w, j.ID, map[stackjob.JobID]bool{}) {
						r.Fatalf("%s waits for itself through %s: %v", j.ID, w, edges)
					}
				}
			}
		}
	})
}
