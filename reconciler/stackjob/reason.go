package stackjob

import (
	"maps"
	"slices"
)

// ReasonCode is the closed set of reasons: a metric label, a word in JSON, and a
// sentence for people.
type ReasonCode string

// Reason says why something is as it is. Detail carries names; it is stable text
// (no timestamps, no map order), so that shown text does not flap.
type Reason struct {
	Code   ReasonCode `json:"code,omitempty"`
	Detail string     `json:"detail,omitempty"`
}

// String is the sentence, with the detail after a colon.
func (r Reason) String() string {
	s := r.Code.Sentence()
	if r.Detail == "" {
		return s
	}
	return s + ": " + r.Detail
}

// IsZero tells whether there is no reason.
func (r Reason) IsZero() bool { return r == Reason{} }

// Sentence is the code in words.
func (c ReasonCode) Sentence() string {
	if s, ok := reasonSentences[c]; ok {
		return s
	}
	return string(c)
}

// The reasons.
const (
	ReasonWaitsForProducer ReasonCode = "waits-for-producer"
	ReasonBlocked          ReasonCode = "blocked-by"
	ReasonStackBusy        ReasonCode = "stack-busy"
	ReasonManual           ReasonCode = "manual"
	ReasonPending          ReasonCode = "pending"
	ReasonNeedsApproval    ReasonCode = "needs-approval"
	// ReasonMassDeletion is about one environment, ReasonMassRemoval about all of
	// the repository together.
	ReasonMassDeletion     ReasonCode = "mass-deletion"
	ReasonMassRemoval      ReasonCode = "mass-deletion-in-all"
	ReasonPruneApproval    ReasonCode = "prune-approval"
	ReasonPruneForbidden   ReasonCode = "prune-forbidden"
	ReasonPreventDestroy   ReasonCode = "prevent-destroy"
	ReasonApproved         ReasonCode = "approved"
	ReasonOverridden       ReasonCode = "overridden"
	ReasonNoGate           ReasonCode = "no-gate"
	ReasonNoChanges        ReasonCode = "no-changes"
	ReasonRejected         ReasonCode = "rejected"
	ReasonCancelled        ReasonCode = "cancelled-by-user"
	ReasonStopping         ReasonCode = "daemon-stopping"
	ReasonNewerRevision    ReasonCode = "newer-revision"
	ReasonNothingToDo      ReasonCode = "nothing-to-do"
	ReasonMissingValue     ReasonCode = "missing-value"
	ReasonModule           ReasonCode = "module-unavailable"
	ReasonEngineMissing    ReasonCode = "engine-missing"
	ReasonEngineVersion    ReasonCode = "engine-version"
	ReasonEngineMove       ReasonCode = "engine-move"
	ReasonEngine           ReasonCode = "engine-failed"
	ReasonTimeout          ReasonCode = "timed-out"
	ReasonStateLocked      ReasonCode = "state-locked"
	ReasonDatabaseLocked   ReasonCode = "database-locked"
	ReasonStaleLock        ReasonCode = "stale-lock"
	ReasonStalePlan        ReasonCode = "stale-plan"
	ReasonPlanChanged      ReasonCode = "plan-changed"
	ReasonPolicyChanged    ReasonCode = "policy-changed"
	ReasonStateDamaged     ReasonCode = "state-damaged"
	ReasonDiskFull         ReasonCode = "disk-full"
	ReasonRunnerLost       ReasonCode = "runner-lost"
	ReasonRunnerNotStarted ReasonCode = "runner-not-started"
	ReasonAfterInterrupt   ReasonCode = "after-interrupt"
	ReasonApprovalExpired  ReasonCode = "approval-expired"
	ReasonFrozen           ReasonCode = "folder-has-errors"
	ReasonStillNeeded      ReasonCode = "still-needed"
	ReasonStateInUse       ReasonCode = "state-in-use"
	ReasonOtherRepository  ReasonCode = "other-repository"
	ReasonRepositoryLeft   ReasonCode = "repository-left"
	ReasonUntrusted        ReasonCode = "untrusted-author"
	ReasonConflict         ReasonCode = "merge-conflict"
	ReasonHeldByPull       ReasonCode = "held-by-pull"
	ReasonTurnEnded        ReasonCode = "turn-ended"
	ReasonTakesBack        ReasonCode = "takes-back"
	ReasonStateRestored    ReasonCode = "state-restored"
	ReasonStateNotRestored ReasonCode = "state-not-restored"
	ReasonRestoreUnknown   ReasonCode = "restore-unknown"
	ReasonInternal         ReasonCode = "internal"
)

var reasonSentences = map[ReasonCode]string{
	ReasonWaitsForProducer: "waits until what goes before it has succeeded",
	ReasonBlocked:          "blocked by what goes before it and did not succeed",
	ReasonStackBusy:        "another job runs on this stack",
	ReasonManual:           "the policy wants a person to start it",
	ReasonPending:          "the policy lets no change start by itself; start it by hand",
	ReasonNeedsApproval:    "the policy wants its plan approved",
	ReasonMassDeletion:     "many resources would be destroyed at once; a person must look",
	ReasonMassRemoval:      "many resources of the repository would be destroyed at once; a person must look",
	ReasonPruneApproval:    "the policy wants every removal approved",
	ReasonPruneForbidden:   "the policy forbids to destroy it",
	ReasonPreventDestroy:   "prevent-destroy forbids to destroy it",
	ReasonApproved:         "the plan was approved",
	ReasonOverridden:       "somebody who may went past the policy's approvals",
	ReasonNoGate:           "the policy asks for no approval",
	ReasonNoChanges:        "the plan changes nothing",
	ReasonRejected:         "rejected",
	ReasonCancelled:        "cancelled",
	ReasonStopping:         "the daemon stops",
	ReasonNewerRevision:    "a newer revision of the resource took its place",
	ReasonNothingToDo:      "the resource is already as desired",
	ReasonMissingValue:     "a reference has no value",
	ReasonModule:           "the module cannot be had",
	ReasonEngineMissing:    "the engine is not installed",
	ReasonEngineVersion:    "no version of the engine that is there is allowed",
	ReasonEngineMove:       "its engine would change, and its document does not say how its state moves",
	ReasonEngine:           "the engine reported an error",
	ReasonTimeout:          "it took longer than allowed and was stopped",
	ReasonStateLocked:      "somebody else holds the lock of the state",
	ReasonDatabaseLocked:   "another run locks the whole database of the state; it is tried again",
	ReasonStaleLock:        "the lock of a run that was killed was still held",
	ReasonStalePlan:        "the state moved after the plan was made",
	ReasonPlanChanged:      "the plan is not the one that was approved",
	ReasonPolicyChanged:    "the policy changed after the plan was made",
	ReasonStateDamaged:     "the state file was damaged",
	ReasonDiskFull:         "the disk is full",
	ReasonRunnerLost:       "the runner was killed",
	ReasonRunnerNotStarted: "the runner could not be started",
	ReasonAfterInterrupt:   "an earlier apply was interrupted; what it did must be looked at",
	ReasonApprovalExpired:  "nobody answered in time",
	ReasonFrozen:           "its folder has errors, so nothing in it is changed",
	ReasonStillNeeded:      "a stack that stays still reads it",
	ReasonStateInUse:       "a stack that stays has the same state",
	ReasonOtherRepository:  "the stack is recorded for another repository",
	ReasonRepositoryLeft:   "its repository is no longer followed",
	ReasonUntrusted:        "its code does not run by itself",
	ReasonConflict:         "it cannot be merged",
	ReasonHeldByPull:       "a pull request applies it before its merge, and holds it until then",
	ReasonTurnEnded:        "its pull request does not hold the stack any more",
	ReasonTakesBack:        "it takes back what a pull request applied that is not merged; a person must look",
	ReasonStateRestored:    "its state was put back from a backup; a person must look at what is planned now",
	ReasonStateNotRestored: "the state was not restored, and is as it was",
	ReasonRestoreUnknown:   "whether the state was restored is not known",
	ReasonInternal:         "a bug in Stackreeve",
}

// ReasonCodes lists every code, for documentation and tests.
func ReasonCodes() []ReasonCode {
	return slices.Sorted(maps.Keys(reasonSentences))
}
