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
