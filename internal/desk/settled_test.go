package desk

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestTheNewestJobThatEndedInVainIsTheOneThatIsTold(t *testing.T) {
	t.Parallel()
	compared := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	v := &reconciler.View{ComparedAt: compared}
	known := &stackjob.LastJob{ID: "known", State: stackjob.Failed, Action: stackjob.Apply}
	ch := &diff.Change{Action: stackjob.Apply, Settled: known}
	digest := ch.Desired.Digest()
	rerun := func(state stackjob.State, after time.Duration) stackjob.Stack {
		return stackjob.Stack{Last: &stackjob.LastJob{ID: "rerun", State: state, Action: stackjob.Apply, DesiredDigest: digest, EndedAt: compared.Add(after)}}
	}
	for name, c := range map[string]struct {
		stack stackjob.Stack
		want  stackjob.JobID
	}{
		"a rerun that failed, too":    {rerun(stackjob.Failed, time.Second), "rerun"},
		"a rerun that a person ended": {rerun(stackjob.Rejected, time.Second), "rerun"},
		"what the view knows":         {rerun(stackjob.Failed, -time.Second), "known"},
		"no job":                      {stackjob.Stack{}, "known"},
	} {
		if got := settled(v, ch, c.stack); got == nil || got.ID != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}
