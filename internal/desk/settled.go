package desk

import (
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// settled is the job that tried a change and ended without success: one that has ended
// since the view was made, else the one that the view knows of.
func settled(v *reconciler.View, ch *diff.Change, st stackjob.Stack) *stackjob.LastJob {
	if last := endedSince(v, ch, st); last != nil {
		return last
	}
	return ch.Settled
}

// endedSince is the job that tried a change in vain since the view was made.
func endedSince(v *reconciler.View, ch *diff.Change, st stackjob.Stack) *stackjob.LastJob {
	last := st.Last
	if st.Open != nil || last == nil || last.Action != ch.Action || !last.EndedAt.After(v.ComparedAt) || last.DesiredDigest != ch.Desired.Digest() {
		return nil
	}
	if last.Reason.Code == stackjob.ReasonStopping || last.Reason.Code == stackjob.ReasonStalePlan {
		return nil // it is tried again
	}
	switch last.State {
	case stackjob.Failed, stackjob.Rejected, stackjob.Cancelled, stackjob.Expired:
		return last
	}
	return nil
}

// settledStatus is the word for a job that ended without success: nothing has failed
// where a person said no, or nobody answered.
func settledStatus(s stackjob.State) string {
	switch s {
	case stackjob.Rejected, stackjob.Cancelled, stackjob.Expired:
		return string(s)
	}
	return "failed"
}
