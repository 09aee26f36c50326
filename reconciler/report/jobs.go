package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Jobs lists jobs in the order given. Age is since the job was made, or, once it has
// ended, since it ended.
func Jobs(jobs []stackjob.Job, now time.Time) Table {
	t := Table{Header: []string{"JOB", "STATE", "RESOURCE", "ACTION", "CHANGES", "AGE", "REASON"}}
	for _, j := range jobs {
		t.Add(string(j.ID), string(j.State), j.Desired.Key.String(), actionOf(j), changesOf(j), Ago(cmp.Or(j.EndedAt, j.CreatedAt), now), whyOf(j))
	}
	return t
}

func actionOf(j stackjob.Job) string {
	if j.Purpose == stackjob.PlanOnly {
		return "plan " + string(j.Action)
	}
	return string(j.Action)
}

func changesOf(j stackjob.Job) string {
	if j.Plan == nil {
		return ""
	}
	return j.Plan.Brief()
}

// whyOf is why the job is where it is, or else why there is a job.
func whyOf(j stackjob.Job) string {
	if !j.Reason.IsZero() {
		return j.Reason.String()
	}
	return Because(j.Because)
}

// Because is a list of causes in one line: "its spec changed: spec.cidr; its module
// changed: a1b2c3d → e4f5a6b".
func Because(list []stackjob.Because) string {
	parts := make([]string, 0, len(list))
	for _, b := range list {
		s := b.Cause.Sentence()
		if b.Detail != "" {
			s += ": " + b.Detail
		}
		parts = append(parts, s)
	}
	return Clean(strings.Join(parts, "; "))
}

// Controls are the controls that are in effect, in a few words; required is how many
// approvals the policy wants beside, 0 when it does not say.
func Controls(c schema.Controls, required int) string {
	var parts []string
	if c.IsManual {
		parts = append(parts, "starts by hand")
	}
	if c.DisableOnLifecycleEvents {
		parts = append(parts, "changes stay pending")
	}
	if c.SkipRefresh {
		parts = append(parts, "no refresh")
	}
	switch {
	case required == 1 || required == 0 && c.PauseBetweenPreviewAndUpdateOrDestroy:
		parts = append(parts, "plan needs approval")
	case required > 1:
		parts = append(parts, fmt.Sprintf("plan needs %d approvals", required))
	default:
		parts = append(parts, "applies by itself")
	}
	return strings.Join(parts, ", ")
}

// Ago is how long ago t was, in one unit: "12s", "5m", "3h", "9d"; "" for never. The
// future is "0s".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// Next are the commands that are valid for a job now, the most likely one first.
func Next(j stackjob.Job) []string {
	id := " " + Clean(string(j.ID))
	if j.Purpose == stackjob.RestoreState { // over in a moment, without a log, and repeated by nobody
		return []string{"reeve state list " + Clean(j.Desired.Key.String())}
	}
	switch j.State {
	case stackjob.Queued, stackjob.Ready:
		return []string{"reeve cancel" + id}
	case stackjob.WaitingStart:
		return []string{"reeve approve" + id, "reeve reject" + id, "reeve cancel" + id}
	case stackjob.WaitingApply:
		out := []string{"reeve logs" + id, "reeve reject" + id, "reeve cancel" + id}
		if j.Plan == nil || j.Plan.Digest == "" {
			return out
		}
		return append([]string{"reeve approve" + id + " --plan " + Clean(j.Plan.ShortDigest())}, out...)
	case stackjob.Planning, stackjob.Applying:
		return []string{"reeve logs" + id + " -f", "reeve cancel" + id}
	case stackjob.Failed, stackjob.Interrupted, stackjob.Cancelled, stackjob.Rejected, stackjob.Expired:
		if j.Purpose == stackjob.PlanOnly {
			return withLog(j, id)
		}
		return append(withLog(j, id), "reeve rerun"+id)
	}
	return withLog(j, id)
}

// withLog is the command for the log of a job that has one.
func withLog(j stackjob.Job, id string) []string {
	if j.Attempt == 0 && len(j.Operations) == 0 {
		return nil
	}
	return []string{"reeve logs" + id}
}
