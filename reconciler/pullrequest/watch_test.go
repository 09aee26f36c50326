package pullrequest

import (
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestPlansAreUnderWayUntilTheyNeedNobodyOrSomebody(t *testing.T) {
	const one, other = "config#1", "config#2"
	u := underWay{}
	for _, step := range []struct {
		job  stackjob.JobID
		to   stackjob.State
		left int
	}{
		{"a", stackjob.Queued, 1},
		{"b", stackjob.Queued, 2},
		{"a", stackjob.Planning, 2},
		{"a", stackjob.Succeeded, 1},
		{"unseen", stackjob.Failed, 1},
		{"b", stackjob.Planning, 1},
		{"b", stackjob.WaitingStart, 0},
		{"b", stackjob.Planning, 1},
		{"b", stackjob.Superseded, 0},
	} {
		u.moved(one, step.job, step.to)
		if len(u[one]) != step.left {
			t.Fatalf("after %s became %s, %d plans are under way, want %d", step.job, step.to, len(u[one]), step.left)
		}
		if len(u[other]) != 0 {
			t.Fatal("plans of one pull request are counted for another")
		}
	}
	if len(u) != 0 {
		t.Errorf("what has ended is kept: %v", u)
	}
}
