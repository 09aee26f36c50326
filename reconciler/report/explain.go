package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Subject is what an explanation is about. Only Key must be set.
type Subject struct {
	Key schema.ResourceKey
	// Status is the word of `reeve get resources`, Reason why it is so.
	Status string
	Reason stackjob.Reason
	// Because is what moved, when the stack is not as desired.
	Because []stackjob.Because
	// Policy is the choice that is in force.
	Policy               stackjob.PolicyChoice
	Producers, Consumers []schema.ResourceKey
	// Observed is what was last made; nil when nothing is there.
	Observed *stackjob.Observed
	// Job is the open job, or else the last one.
	Job *stackjob.Job
	// NoEngine says why its next job would find no engine; "" when one is there.
	NoEngine string
	// Pulls are the pull requests that have to do with it.
	Pulls []PullOf
	// Released are the turns that operators ended, newest first.
	Released []pull.Release
}

// PullOf is a pull request that has to do with a resource.
type PullOf struct {
	// Name is "infra#7", URL its page.
	Name, URL string
	Role      PullRole
	// Place is its place in the queue, for PullQueues.
	Place int
}

// PullRole is what a pull request has to do with a resource.
type PullRole string

// The roles.
const (
	PullHolds   PullRole = "holds"   // what it applies before its merge nobody else applies meanwhile
	PullQueues  PullRole = "queues"  // it waits for its turn to apply
	PullApplies PullRole = "applies" // the job applies it before its merge
	PullMerged  PullRole = "merged"  // the job carries its merge out
)

// Sentence says it in a line.
func (p PullOf) Sentence() string {
	of := "pull request " + p.Name
	if p.URL != "" {
		of += " (" + p.URL + ")"
	}
	switch p.Role {
	case PullHolds:
		return "It is held for " + of + " until that is merged or closed."
	case PullQueues:
		return "For its turn waits " + of + ", at place " + strconv.Itoa(p.Place) + "."
	case PullApplies:
		return "The job is of " + of + ", before its merge."
	case PullMerged:
		return "The job carries out the merge of " + of + "."
	}
	return "It has to do with " + of + "."
}

// Explain says in sentences how a resource is: its state and what it waits for, who
// can clear that, why it changed, which policy is in force and why, what was last
// made, and who it needs and who needs it.
func Explain(s Subject) []string {
	lines := []string{s.state()}
	add := func(more ...string) {
		for _, l := range more {
			if l != "" {
				lines = append(lines, l)
			}
		}
	}
	add(s.whoClears())
	if len(s.Because) > 0 {
		add("It changes because " + Because(s.Because) + ".")
	}
	add(s.job()...)
	if s.NoEngine != "" && (s.Job == nil || s.Job.Reason.Detail != s.NoEngine) { // else its job has said it
		add("Its next job would fail: " + s.NoEngine + ".")
	}
	for _, p := range s.Pulls {
		add(p.Sentence())
	}
	add(s.policy()...)
	add(s.lastMade())
	add(s.released())
	add(keys("It needs ", s.Producers), keys("It is needed by ", s.Consumers))
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return lines
}

// statusSentences are the words of a resource's status in sentences.
var statusSentences = map[string]string{
	"applied":     "is as its document says",
	"changed":     "is on its way to what its document says",
	"waiting":     "waits for a person",
	"failed":      "failed",
	"rejected":    "has a change that was rejected",
	"cancelled":   "has a change that was cancelled",
	"expired":     "has a change that nobody answered to in time",
	"interrupted": "was interrupted in the middle of an apply: nobody knows how far it came",
	"blocked":     "is blocked",
	"frozen":      "stays as it is",
	"pending":     "has a change that does not start by itself",
	"removed":     "has no document any more, and its stack is still there",
	"new":         "is new",
}

func (s Subject) state() string {
	what, ok := statusSentences[s.Status]
	switch {
	case s.Status == "" && s.Job != nil && !s.Job.State.IsFinal():
		what = "has a job that " + s.Job.State.Sentence()
	case s.Status == "":
		what = "is not known"
	case !ok:
		what = "is " + s.Status
	}
	line := s.Key.String() + " " + what
	if !s.Reason.IsZero() {
		line += ": " + s.Reason.String()
	}
	return line + "."
}

// clears says, for each reason that stops a resource, who or what can clear it.
var clears = map[stackjob.ReasonCode]string{
	stackjob.ReasonConflict:         "Its author merges or rebases it.",
	stackjob.ReasonUntrusted:        "Somebody who may write to the repository reads it and comments `reeve plan`.",
	stackjob.ReasonWaitsForProducer: "It goes on by itself when they have succeeded.",
	stackjob.ReasonBlocked:          "It goes on by itself when those have succeeded: look at them first.",
	stackjob.ReasonStillNeeded:      "Remove the references to it, or its readers, first.",
	stackjob.ReasonHeldByPull:       "Whoever merges or closes that pull request, or comments `reeve unlock` there; an operator with `reeve unlock` where it cannot be asked any more.",
	stackjob.ReasonTurnEnded:        "Nothing of it is applied. Comment `reeve apply` in the pull request again if it is still wanted.",
	stackjob.ReasonStateRestored:    "Look at what the plan does to what exists, then approve it; or restore what was there before, which `reeve state list` names.",
	stackjob.ReasonStateNotRestored: "The state is as it was: mend the cause, then restore it again.",
	stackjob.ReasonRestoreUnknown:   "Find what kills the runner, then restore it again; until then the stack's next plan waits for a person.",
	stackjob.ReasonTakesBack:        "Anybody who may approve can let it go on, after looking at the plan. To keep what was applied, merge that pull request.",
	stackjob.ReasonStateInUse:       "Nothing of it is destroyed: what it made belongs to that stack now. To have it destroyed, give that stack another place for its state first.",
	stackjob.ReasonStackBusy:        "It goes on by itself when that job has ended.",
	stackjob.ReasonManual:           "Anybody who may approve can start it.",
	stackjob.ReasonPending:          "Anybody who may approve can start it; it never starts by itself.",
	stackjob.ReasonNeedsApproval:    "Anybody who may approve can let it go on, after looking at the plan.",
	stackjob.ReasonMassDeletion:     "Look at what would be destroyed; anybody who may approve can let it go on. If it is a mistake, put the documents back.",
	stackjob.ReasonMassRemoval:      "Look at what would be destroyed, in all environments; anybody who may approve can let it go on. If it is a mistake, put the documents back.",
	stackjob.ReasonPruneApproval:    "Anybody who may approve can let it be destroyed.",
	stackjob.ReasonPruneForbidden:   "Nobody can approve this: change the policy, or put the document back.",
	stackjob.ReasonPreventDestroy:   "Nobody can approve this: put the document back, or take the protection away first.",
	stackjob.ReasonAfterInterrupt:   "Look at what the interrupted apply did, then approve the fresh plan.",
	stackjob.ReasonFrozen:           "Mend the errors that `reeve validate` shows.",
	stackjob.ReasonModule:           "It goes on by itself when the module can be had.",
	stackjob.ReasonOtherRepository:  "Remove it from one of the two repositories, or give this one the recorded name.",
	stackjob.ReasonRejected:         "It is not tried again by itself: change the document, or rerun the job.",
	stackjob.ReasonCancelled:        "It is not tried again by itself: change the document, or rerun the job.",
	stackjob.ReasonApprovalExpired:  "It is not tried again by itself: change the document, or rerun the job.",
	stackjob.ReasonEngine:           "It is not tried again by itself: mend the cause, then change the document or rerun the job.",
	stackjob.ReasonEngineVersion:    "Install a version that the constraint allows, then rerun the job; or change the constraint.",
	stackjob.ReasonEngineMove:       "Nothing of it is planned before its document says so, or names the engine from before.",
	stackjob.ReasonEngineMissing:    "Install the engine (`reeve doctor` says how), then rerun the job.",
	stackjob.ReasonMissingValue:     "Mend the reference, or let its producer have that output; then it is tried again.",
	stackjob.ReasonTimeout:          "It is not tried again by itself: look at the log, then rerun the job.",
	stackjob.ReasonStateLocked:      "Whoever holds the lock must end, or it must be released as the job's log says; then rerun the job.",
	stackjob.ReasonDatabaseLocked:   "It goes on by itself when that run has ended; the job's log says how to find it.",
	stackjob.ReasonPlanChanged:      "Look at the fresh plan: an approval counts for the plan that it names only.",
	stackjob.ReasonPolicyChanged:    "It is judged again by the new policy; nobody needs to do anything.",
	stackjob.ReasonStalePlan:        "A fresh plan is made by itself.",
	stackjob.ReasonRepositoryLeft:   "It goes on when its repository is in the daemon's configuration again.",
	stackjob.ReasonStaleLock:        "The lock was our own and is released by the next plan.",
	stackjob.ReasonStateDamaged:     "Compare what exists with the state that was put back, then approve the fresh plan or rerun the job.",
	stackjob.ReasonRunnerLost:       "Look at the log; an apply that was lost waits for a person, a plan is made again.",
	stackjob.ReasonRunnerNotStarted: "Nothing was run: look at the daemon's log, then rerun the job.",
	stackjob.ReasonStopping:         "It goes on when the daemon runs again.",
	stackjob.ReasonInternal:         "Please report it, with the job's log; the stack stays as it is until the job is rerun.",
	stackjob.ReasonDiskFull:         "Make room, then rerun the job.",
}

func (s Subject) whoClears() string {
	if s.Job != nil && s.Job.State == stackjob.Succeeded && s.Status == "applied" {
		return ""
	}
	return clears[s.Reason.Code]
}

// job says where the job is, unless the first line has said it all.
func (s Subject) job() []string {
	if s.Job == nil {
		return nil
	}
	j := s.Job
	line := fmt.Sprintf("Job %s (%s) %s", j.ID, actionOf(*j), j.State.Sentence())
	if !j.Reason.IsZero() && j.Reason != s.Reason {
		line += ": " + j.Reason.String()
	}
	out := []string{line + "."}
	if j.Hold != nil && !j.State.IsFinal() && *j.Hold != s.Reason && *j.Hold != j.Reason {
		out = append(out, "It needs an approval whatever the policy says: "+j.Hold.String()+".")
	}
	if j.Plan != nil {
		out = append(out, "Its plan "+j.Plan.ShortDigest()+": "+changesOf(*j)+".")
	}
	if done := j.Done(); j.State.IsFinal() && j.State != stackjob.Succeeded && done.Changes() {
		out = append(out, "Of that "+done.String()+" had been applied when it ended.")
	}
	for _, a := range j.Approvals {
		what := "approved"
		if a.Rejected {
			what = "rejected"
		}
		if a.Override {
			what = "asked to go past the approvals of"
		}
		name := a.Actor.Name
		if a.OwnProposal {
			name += ", who proposed the change,"
		}
		line := name + " " + what + " it"
		switch {
		case a.PlanDigest != "" && j.Plan != nil && a.PlanDigest != j.Plan.Digest:
			line += " as plan " + stackjob.ShortDigest(a.PlanDigest) + ", which is no longer its plan"
		case a.PlanDigest != "":
			line += " as plan " + stackjob.ShortDigest(a.PlanDigest)
		}
		if a.Comment != "" {
			line += ": " + strconv.Quote(a.Comment)
		}
		out = append(out, line+".")
	}
	return out
}

func (s Subject) policy() []string {
	p := s.Policy
	if p.Name == "" {
		return nil
	}
	line := "Policy " + p.Name
	if p.File != "" {
		line += fmt.Sprintf(" (%s:%d)", p.File, p.Line)
	}
	line += " is in force: " + Controls(p.Controls, required(p))
	switch p.Prune {
	case schema.PruneApprove:
		line += ", removal needs approval"
	case schema.PruneForbid:
		line += ", removal is forbidden"
	}
	out := append([]string{line + "."}, people(p)...)
	for _, v := range p.Visited {
		out = append(out, "  "+v)
	}
	return out
}

func (s Subject) lastMade() string {
	o := s.Observed
	if o == nil {
		return "Nothing of it has been made."
	}
	how, by := "Last applied", o.JobID
	switch {
	case o.Restored != nil && o.Restored.Applied == "":
		return restoredLine(*o.Restored) + " Nothing else is recorded of it."
	case o.Restored != nil:
		how, by = restoredLine(*o.Restored)+" Before that it was applied", o.Restored.Applied
	case !o.Complete:
		how = "Last applied, not to its end,"
	}
	line := fmt.Sprintf("%s by job %s at commit %s", how, by, shortCommit(o.Desired.Commit))
	if o.Engine != "" {
		line += " with " + o.Engine
	}
	return line + "."
}

// released says by whom it was last given back for a pull request that could not be asked.
func (s Subject) released() string {
	if len(s.Released) == 0 {
		return ""
	}
	r := s.Released[0]
	return fmt.Sprintf("It was held for pull request %s until %s ended that on %s: %s.", r.Pull, r.By.Name, r.At.UTC().Format("2006-01-02 15:04 MST"), strconv.Quote(r.Reason))
}

// restoredLine says that a state was restored, by whom and why, and how it is undone.
func restoredLine(r stackjob.Restoration) string {
	was := "was"
	if r.Unknown { // whoever put it back was killed
		was = "was perhaps"
	}
	line := fmt.Sprintf("Its state %s restored by %s in job %s from the backup %s (serial %d): %s.", was, r.By.Name, r.Job, r.Backup, r.State.Serial, strconv.Quote(r.Why))
	if r.Replaced != nil {
		line += fmt.Sprintf(" What was there (serial %d) is kept as %s.", r.Replaced.Serial, r.Replaced.Backup)
	}
	return line + " No plan has been settled since."
}

// shortCommit is a commit as people read it; "folder:" stays in front of a folder's
// hash.
func shortCommit(c string) string {
	mark := ""
	if rest, ok := strings.CutPrefix(c, "folder:"); ok {
		mark, c = "folder:", rest
	}
	if len(c) > 7 {
		c = c[:7]
	}
	if c == "" {
		return "unknown"
	}
	return mark + c
}

// maxKeys is how many neighbours an explanation names.
const maxKeys = 10

func keys(head string, list []schema.ResourceKey) string {
	if len(list) == 0 {
		return ""
	}
	names := make([]string, 0, min(len(list), maxKeys))
	for _, k := range list[:min(len(list), maxKeys)] {
		names = append(names, k.String())
	}
	line := head + strings.Join(names, ", ")
	if n := len(list) - maxKeys; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	return line + "."
}
