package store

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Arrangement is what an Enqueue does to the jobs that are open already: the pure
// half of Jobs.Enqueue, the same for every database.
type Arrangement struct {
	// Write are the new jobs, in order, their WaitsFor corrected, with the hold of
	// the jobs whose place they take.
	Write []stackjob.Job
	// Supersede are open jobs that end, with the new job in their place ("" when
	// the stack needs none).
	Supersede []Replaced
	// Waits are the open jobs whose WaitsFor changes, because a job they wait
	// for was replaced.
	Waits map[stackjob.JobID][]stackjob.JobID
}

// Replaced is a job that ends because another takes its place.
type Replaced struct {
	ID, By stackjob.JobID
}

// Arrange decides what becomes of an Enqueue. open are all open jobs of the store;
// only their id, key, purpose, action, digest, causes, hold, state and WaitsFor matter.
// A held job is never replaced by one that is not held and does the same to its stack.
// It fails when a job is malformed or waits for a job that is not there; known
// tells of jobs that have ended.
func Arrange(e Enqueue, open []stackjob.Job, known func(stackjob.JobID) bool) (Arrangement, error) {
	a := arranger{byID: map[stackjob.JobID]stackjob.Job{}, byStack: map[stackOf][]stackjob.Job{}, instead: map[stackjob.JobID]stackjob.JobID{}}
	for _, j := range open {
		a.byID[j.ID] = j
		k := stackOfJob(j)
		a.byStack[k] = append(a.byStack[k], j)
	}
	var out Arrangement
	written := map[stackjob.JobID]bool{}
	seen := map[stackOf]bool{}
	for _, j := range e.Jobs {
		if err := checkNew(j); err != nil {
			return out, err
		}
		k := stackOfJob(j)
		if old, ok := a.byID[j.ID]; written[j.ID] || ok && !sameWork(old, j) {
			return out, fmt.Errorf("enqueue: the id %s is in use", j.ID)
		}
		if seen[k] {
			return out, fmt.Errorf("enqueue: two jobs of stack %s", j.Desired.Key)
		}
		seen[k] = true
		mine := a.byStack[k]
		slices.SortFunc(mine, func(x, y stackjob.Job) int { return cmp.Compare(x.ID, y.ID) })
		if n := len(mine); n > 0 && sameWork(mine[n-1], j) {
			if there := mine[n-1].ID; there != j.ID { // else the very same Enqueue came again
				a.instead[j.ID] = there
			}
			continue
		}
		for _, old := range mine {
			if j.Hold == nil && holdsOn(old, j) {
				j.Hold = old.Hold
			}
			if !old.State.IsRunning() {
				out.Supersede = append(out.Supersede, Replaced{ID: old.ID, By: j.ID})
				a.instead[old.ID] = j.ID
			}
		}
		written[j.ID] = true
		out.Write = append(out.Write, j)
	}
	for _, id := range e.Supersede {
		old, ok := a.byID[id]
		if !ok || old.State.IsRunning() || a.instead[id] != "" {
			continue // it started or ended meanwhile, or has a successor
		}
		out.Supersede = append(out.Supersede, Replaced{ID: id})
	}
	return out, a.waits(&out, known)
}

// stackOf is where jobs meet: jobs of different purposes do not,
// nor do the plans of different pull requests.
type stackOf struct {
	key     schema.ResourceKey
	purpose stackjob.Purpose
	pull    string
}

func stackOfJob(j stackjob.Job) stackOf { return stackOf{j.Desired.Key, j.Purpose, j.Pull} }

type arranger struct {
	byID    map[stackjob.JobID]stackjob.Job
	byStack map[stackOf][]stackjob.Job
	// instead names the job in the place of one that was left out or superseded.
	instead map[stackjob.JobID]stackjob.JobID
}

func checkNew(j stackjob.Job) error {
	switch {
	case j.ID == "":
		return fmt.Errorf("enqueue: a job of %s has no id", j.Desired.Key)
	case j.Desired.Key.IsZero():
		return fmt.Errorf("enqueue: job %s has no stack", j.ID)
	case j.State != stackjob.Queued:
		return fmt.Errorf("enqueue: job %s is %q, not queued", j.ID, j.State)
	}
	return nil
}

// sameWork tells whether a new job would do what an open one does. What it is said to
// be because of does not matter, as it changes when another job of the stack ends; but
// a person who asks again and an output that has moved since want another plan, and a
// new hold wants a person. A hold that is there stays: the removals that made it may
// have been carried out one by one since.
func sameWork(open, j stackjob.Job) bool {
	return open.Action == j.Action && open.DesiredDigest == j.DesiredDigest && (j.Hold == nil || open.Hold != nil) &&
		!slices.ContainsFunc(j.Because, func(b stackjob.Because) bool {
			return (b.Cause == stackjob.CauseRerun || b.Cause == stackjob.CauseOutput) && !slices.Contains(open.Because, b)
		})
}

// holdsOn tells whether what holds an open job holds the one that takes its place: what
// a person must look at is not settled by another revision, nor by asking again. A hold
// on a removal ends with the wish to remove; what an interrupted apply left behind must
// be looked at whatever is to be done with it.
func holdsOn(open, j stackjob.Job) bool {
	return open.Hold != nil && (open.Action == j.Action || open.Hold.Code == stackjob.ReasonAfterInterrupt)
}

// waits corrects what new and old jobs wait for.
//
// New jobs come in graph order, so their waits close no circle, and neither do
// those of old jobs that stay as they are. What can is an old job that now waits
// for a new one, when the order of two stacks was turned round while older jobs
// are open. Such a wait is dropped: two jobs that wait for each other would wait
// for ever.
func (a arranger) waits(out *Arrangement, known func(stackjob.JobID) bool) error {
	edges := map[stackjob.JobID][]stackjob.JobID{}
	isNew, ended := map[stackjob.JobID]bool{}, map[stackjob.JobID]bool{}
	for _, r := range out.Supersede {
		ended[r.ID] = true
	}
	outOfOrder := false
	for i, j := range out.Write {
		if err := a.exist(j, isNew, known); err != nil {
			return err
		}
		isNew[j.ID] = true
		settled := a.follow(j.ID, j.WaitsFor)
		// A replacement may come later in the order than a job that named what
		// it replaces.
		outOfOrder = outOfOrder || slices.ContainsFunc(settled, func(w stackjob.JobID) bool {
			_, open := a.byID[w]
			return !open && !isNew[w] && !known(w)
		})
		if outOfOrder {
			settled = withoutCircles(edges, j.ID, settled)
		}
		out.Write[i].WaitsFor, edges[j.ID] = settled, settled
	}
	var moved []stackjob.Job
	for _, j := range a.byID {
		switch {
		case ended[j.ID] || len(j.WaitsFor) == 0:
		case slices.ContainsFunc(j.WaitsFor, func(w stackjob.JobID) bool { return a.instead[w] != "" }):
			moved = append(moved, j)
		default:
			edges[j.ID] = j.WaitsFor
		}
	}
	slices.SortFunc(moved, func(x, y stackjob.Job) int { return cmp.Compare(x.ID, y.ID) })
	for _, j := range moved {
		if out.Waits == nil {
			out.Waits = map[stackjob.JobID][]stackjob.JobID{}
		}
		settled := withoutCircles(edges, j.ID, a.follow(j.ID, j.WaitsFor))
		out.Waits[j.ID], edges[j.ID] = settled, settled
	}
	return nil
}

// exist fails when a new job waits for a job that is not there.
func (a arranger) exist(j stackjob.Job, earlier map[stackjob.JobID]bool, known func(stackjob.JobID) bool) error {
	for _, w := range j.WaitsFor {
		if _, open := a.byID[w]; !open && !earlier[w] && a.instead[w] == "" && !known(w) {
			return fmt.Errorf("enqueue: job %s waits for %s, which comes later or does not exist", j.ID, w)
		}
	}
	return nil
}

// follow puts replacements in the place of what they replace, without doubles.
func (a arranger) follow(id stackjob.JobID, waits []stackjob.JobID) []stackjob.JobID {
	var out []stackjob.JobID
	for _, w := range waits {
		if n := a.instead[w]; n != "" {
			w = n
		}
		if w != id && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func withoutCircles(edges map[stackjob.JobID][]stackjob.JobID, id stackjob.JobID, waits []stackjob.JobID) []stackjob.JobID {
	return slices.DeleteFunc(waits, func(w stackjob.JobID) bool {
		return reaches(edges, w, id, map[stackjob.JobID]bool{})
	})
}

func reaches(edges map[stackjob.JobID][]stackjob.JobID, from, to stackjob.JobID, seen map[stackjob.JobID]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(edges[from], func(n stackjob.JobID) bool { return reaches(edges, n, to, seen) })
}
