package desk

import (
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// settled is the job that tried a change and ended without success: the one that the
// view knows of, or one that has ended since the view was made.
func settled(v *reconciler.View, ch *diff.Change, st stackjob.Stack) *stackjob.LastJob {
	if ch.Settled != nil {
		return ch.Settled
	}
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
