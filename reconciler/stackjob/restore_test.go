package stackjob

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// restoring is the job of a restore in a state.
func restoring(s State) Job {
	j := Job{ID: "sj_2", Purpose: RestoreState, Action: Restore, State: s, Fence: 3, Actor: ada, Restore: &Restoration{Backup: "b", Why: "w", By: ada, Job: "sj_2"}, CreatedAt: at}
	if s.IsRunning() {
		j.Owner, j.LeaseUntil, j.StartedAt = held.Owner, until, at
	}
	return j
}

func TestARestoreIsClaimedAndEndsWithWhatIsKnownOfTheStack(t *testing.T) {
	t.Parallel()
	claimed, err := StartRestore(at, held.Owner, until).Apply(restoring(Queued))
	if err != nil || claimed.State != Applying || claimed.Owner != held.Owner || claimed.Fence != 4 {
		t.Fatalf("claimed: %+v, %v", claimed, err)
	}
	done := *claimed.Restore
	done.Replaced = &StateVersion{Serial: 7, Lineage: "l", Backup: "kept"}
	was := Observed{JobID: "sj_2", Complete: true, Interrupted: true, Pull: "infra#7", Outputs: []Output{{Name: "o", Hash: "hmac:1"}}}
	op := Operation{Kind: OpRestore, Result: ResultSucceeded, StartedAt: at, EndedAt: at}
	m := Restored(at, Lease{Owner: held.Owner, Fence: 4}, op, done, was)
	after, err := m.Apply(claimed)
	if err != nil || after.State != Succeeded || len(after.Operations) != 1 || after.Operations[0] != op {
		t.Fatalf("restored: %+v, %v", after, err)
	}
	if d := cmp.Diff(&done, after.Restore); d != "" {
		t.Errorf("what was restored (-want +got):\n%s", d)
	}
	want := Observed{JobID: "sj_2", Pull: "infra#7", Outputs: was.Outputs, Restored: &done}
	if d := cmp.Diff(&want, m.Observed()); d != "" {
		t.Errorf("what is known of the stack (-want +got):\n%s", d)
	}
	if m.Actor() != ada || claimed.Restore.Replaced != nil {
		t.Errorf("done by %+v; the job before it says %+v", m.Actor(), claimed.Restore)
	}
}

// TestARestoreIsNoApply keeps the ways of the two apart: a plan is never made of a restore's
// job, and no other job restores.
func TestARestoreIsNoApply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		move Move
		job  Job
	}{
		"a plan of a restore":          {StartPlan(at, "d2", until, PolicyChoice{}), restoring(Queued)},
		"an apply of a restore":        {StartApply(at, "d2", until, full), restoring(Queued)},
		"a cancel of a restore":        {RequestCancel(at, ada), restoring(Applying)},
		"a restore by another job":     {StartRestore(at, "d2", until), jobIn(Queued)},
		"an apply that ends restored":  {Restored(at, held, Operation{}, Restoration{}, Observed{}), jobIn(Applying)},
		"a restore that has not begun": {Restored(at, Lease{Fence: 3}, Operation{}, Restoration{}, Observed{}), restoring(Queued)},
	} {
		after, err := c.move.Apply(c.job)
		var illegal *IllegalMove
		if !errors.As(err, &illegal) {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.job, after); d != "" {
			t.Errorf("%s changes the job (-was +is):\n%s", name, d)
		}
	}
	if _, err := Restored(at, Lease{Owner: "another", Fence: 3}, Operation{}, Restoration{}, Observed{}).Apply(restoring(Applying)); !errors.Is(err, ErrFenced) {
		t.Errorf("a restore ended under another's lease: %v", err)
	}
}
