// Package stackjob holds the product's nouns: the Stack Job that carries one
// change of one stack through init, refresh, plan, approval and apply, and
// everything that is said about it on the way.
//
//	queued ─▶ (waiting-start) ─▶ planning ─▶ (waiting-apply) ─▶ applying ─▶ succeeded
//	   │            │               │              │               ├──▶ failed
//	   │            └▶ rejected     ├▶ failed      ├▶ rejected     └──▶ interrupted
//	   └▶ superseded, cancelled     └▶ cancelled   └▶ superseded, expired, cancelled
//
// [Next] is the only authority for a move. A [Move] is the only way to write one:
// it has a constructor for each legal change, and a store applies it only if the
// job is still in the state the move starts from.
//
// The package is pure. It knows no clock, no database and no engine.
package stackjob

import (
	"encoding/json"
	"time"

	"github.com/stackreeve/stackreeve/schema"
)

// JobID is the id of a Stack Job: "sj_" and a lower-case ULID, so ids sort by
// creation.
type JobID string

// Purpose says how far a job goes.
type Purpose string

// The purposes.
const (
	// Reconcile plans and, when it may, applies.
	Reconcile Purpose = "reconcile"
	// PlanOnly ends when the plan is made (pull requests).
	PlanOnly Purpose = "plan-only"
	// RestoreState puts a backup in the place of the stack's state. No engine runs for it;
	// it is a job so that none of the stack runs beside it and its history knows of it.
	RestoreState Purpose = "restore-state"
)

// Action is what a job wants of its stack.
type Action string

// The actions.
const (
	Apply   Action = "apply"
	Destroy Action = "destroy"
	// Restore is the action of RestoreState, and of nothing else.
	Restore Action = "restore"
)

// Desired is everything a job runs, frozen when it is created: enough to plan and
// to destroy the stack when the repository has long moved on. It holds no secret:
// references are in it unresolved.
type Desired struct {
	Key schema.ResourceKey `json:"key"`
	// Name is the display name.
	Name string `json:"name"`
	// Repository and Commit are where it was read; File and Line its document.
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	File       string `json:"file"`
	Line       int    `json:"line,omitempty"`
	// Inputs are schema.Resource.Inputs: canonical JSON, references unresolved.
	// Of what Secrets keeps only the references stand here (schema.Blank).
	Inputs json.RawMessage `json:"inputs"`
	// Secrets are the values of Inputs that are secret: by key for a PulumiStack, whose
	// document marks them, else by place (JSON pointer), as the kind's schema says.
	Secrets map[string]SecretInput `json:"secrets,omitempty"`
	// Spec is schema.Resource.Spec, for `spec.*` references of others.
	Spec     json.RawMessage     `json:"spec"`
	VarFiles []string            `json:"varFiles,omitempty"`
	Module   schema.ModuleSource `json:"module"`
	// ModuleRevision is the module's content: a commit for Git sources, the
	// folder's tree hash for local ones.
	ModuleRevision string             `json:"moduleRevision"`
	Provisioner    schema.Provisioner `json:"provisioner"`
	// EngineVersion is the constraint on the engine's version. It picks the program and
	// is no part of Digest.
	EngineVersion schema.EngineVersion `json:"engineVersion,omitzero"`
	Backend       schema.Backend       `json:"backend"`
	// Pulumi is for Pulumi, with the project where the repository tells it; nil for
	// other engines.
	Pulumi         *schema.PulumiSettings `json:"pulumi,omitempty"`
	PreventDestroy bool                   `json:"preventDestroy,omitempty"`
	// Producers are the stacks that it reads or must follow.
	Producers []schema.ResourceKey `json:"producers,omitempty"`
}

// Digest is the digest of what a stack is made of: inputs, module revision, var
// files, provisioner, backend and Pulumi's settings. Commit, file, name, policy and the
// constraint on the engine's version have no part in it: a move of a file changes nothing.
func (d Desired) Digest() string {
	hashes := map[string]string{}
	for k, s := range d.Secrets {
		hashes[k] = s.Hash
	}
	return digestOf(struct {
		Inputs      json.RawMessage
		VarFiles    []string
		Module      string
		Revision    string
		Provisioner schema.Provisioner
		Backend     schema.Backend
		// These two are left out where there are none, so that other digests stay what they were.
		Pulumi  *schema.PulumiSettings `json:",omitempty"`
		Secrets map[string]string      `json:",omitempty"`
	}{d.Inputs, d.VarFiles, d.Module.URL + "//" + d.Module.Path, d.ModuleRevision, d.Provisioner, d.Backend, d.Pulumi, hashes})
}

// StatePlace is the place that the state is in as far as it was written down, in words
// to compare; "" when only the stack itself has it, or nobody knows.
func (d Desired) StatePlace() string {
	if d.Pulumi != nil {
		return d.Pulumi.StatePlace(d.Module)
	}
	return d.Backend.StatePlace()
}

// SecretInput is one input that is not written down in clear: its value before references
// are resolved, as canonical JSON.
type SecretInput struct {
	// Hash is a keyed hash of it: equal for equal values.
	Hash string `json:"hash"`
	// Sealed is encrypted for the daemon's key file, and differs each time.
	Sealed []byte `json:"sealed"`
}

// Cause is why a stack changes: which input moved. It is an enumeration that
// people see; see Sentence.
type Cause string

// The causes, in the order in which they are named when several apply.
const (
	CauseNew         Cause = "new"         // there is a document and no stack yet
	CauseRemoved     Cause = "removed"     // the document is gone
	CauseSpec        Cause = "spec"        // the spec or metadata moved
	CauseModule      Cause = "module"      // the module's revision moved
	CauseProvisioner Cause = "provisioner" // another engine
	CauseBackend     Cause = "backend"     // another place for the state
	CauseProducer    Cause = "producer"    // a resource that it reads is affected by the same proposal
	CauseOutput      Cause = "output"      // an output of a producer moved
	CauseRerun       Cause = "rerun"       // a person asked
	CauseUnfinished  Cause = "unfinished"  // the last apply failed or was interrupted
	CauseRestored    Cause = "restored"    // its state was restored from a backup
)

// Sentence is the cause in words.
func (c Cause) Sentence() string { return causeSentences[c] }

var causeSentences = map[Cause]string{
	CauseNew:         "the resource is new",
	CauseRemoved:     "its document was removed",
	CauseSpec:        "its spec changed",
	CauseModule:      "its module changed",
	CauseProvisioner: "its engine changed",
	CauseBackend:     "its state backend changed",
	CauseProducer:    "a resource that it reads is affected too",
	CauseOutput:      "a value that it reads changed",
	CauseRerun:       "a rerun was asked for",
	CauseUnfinished:  "the last apply did not finish",
	CauseRestored:    "its state was restored from a backup",
}

// Because is one cause with what it is about ("acme/dev/Network/main
// status.outputs.vpc_id", "a1b2c3d → d4e5f6a").
type Because struct {
	Cause  Cause  `json:"cause"`
	Detail string `json:"detail,omitempty"`
}

// Actor is who did something: an operating-system user, an API token's name, a login of
// a forge, or the daemon itself (System).
type Actor struct {
	Name string `json:"name"`
	// Via is how the identity was proved: "socket", "token", "system", or the forge that
	// says so: "github", "gitlab", "gitea".
	Via string `json:"via"`
	// ID is the number of the account on its forge, as the forge said; "" elsewhere, and
	// where the forge does not tell.
	ID string `json:"id,omitempty"`
}

// System is the daemon acting by itself.
var System = Actor{Name: "reeve", Via: "system"}

// Job is a Stack Job as it is recorded.
type Job struct {
	ID      JobID   `json:"id"`
	Purpose Purpose `json:"purpose"`
	Action  Action  `json:"action"`
	Desired Desired `json:"desired"`
	// DesiredDigest is Desired.Digest().
	DesiredDigest string    `json:"desiredDigest"`
	Because       []Because `json:"because"`
	// WaitsFor are the jobs of the same revision that must succeed first.
	WaitsFor []JobID `json:"waitsFor,omitempty"`
	// Hold is set when the job waits for a person whatever the policy says
	// (the brake on mass deletion, a tree restored from a backup).
	Hold  *Reason `json:"hold,omitempty"`
	State State   `json:"state"`
	// Reason says why it is in its state, for every state that needs a reason.
	Reason Reason `json:"reason"`
	// RerunOf is the job that this one repeats.
	RerunOf JobID `json:"rerunOf,omitempty"`
	Actor   Actor `json:"actor"`
	// Pull is the pull request ("infra#7") that the job is for: one that only plans, or
	// one that applies before the merge; "" for none.
	Pull string `json:"pull,omitempty"`
	// Shown is the digest of the plan that stood in the pull request when its apply was
	// asked for: another plan waits for a person whatever the policy says.
	Shown string `json:"shown,omitempty"`

	// Attempt counts the runs of the plan phase; a lost plan is run again.
	Attempt int `json:"attempt"`
	// Fence is the fencing token of the lease: it grows with each claim and each
	// write under an older one is refused.
	Fence int64  `json:"fence"`
	Owner string `json:"owner,omitempty"`
	// LeaseUntil is when the claim ends unless it is renewed.
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`

	// References are keyed hashes of the values that the current attempt read
	// for its references, as in Observed.References.
	References map[string]string `json:"references,omitempty"`
	// CancelledBy is who asked to stop it while an engine was running.
	CancelledBy *Actor `json:"cancelledBy,omitempty"`

	Plan      *Plan      `json:"plan,omitempty"`
	Approvals []Approval `json:"approvals,omitempty"`
	// Policy is the policy that was in force when it was last judged.
	Policy     *PolicyChoice `json:"policy,omitempty"`
	Operations []Operation   `json:"operations,omitempty"`
	// Restore is what a job of the purpose RestoreState puts back; nil for others.
	Restore *Restoration `json:"restore,omitempty"`

	CreatedAt time.Time `json:"createdAt"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	// WaitingSince is when it last began to wait for a person.
	WaitingSince time.Time `json:"waitingSince,omitzero"`
	EndedAt      time.Time `json:"endedAt,omitzero"`
}

// Done is what the job's applies changed, as far as their engine told: less than the plan
// where one failed or was stopped, and too little where the engine was lost.
func (j Job) Done() Counts {
	var sum Counts
	for _, op := range j.Operations {
		if op.Kind == OpApply || op.Kind == OpDestroy {
			sum = sum.Plus(op.Counts)
		}
	}
	return sum
}

// OperationKind is a step of a job.
type OperationKind string

// The operations, in order. Refresh is done by the plan's own process and is
// recorded as its own step.
const (
	OpInit    OperationKind = "init"
	OpRefresh OperationKind = "refresh"
	OpPlan    OperationKind = "plan"
	OpApply   OperationKind = "apply"
	OpDestroy OperationKind = "destroy"
	// OpBackup and OpRestore are the two steps of a job that restores a state.
	OpBackup  OperationKind = "backup"
	OpRestore OperationKind = "restore"
)

// Result is how an operation ended.
type Result string

// The results. ResultNone is an operation that has not ended.
const (
	ResultNone        Result = ""
	ResultSucceeded   Result = "succeeded"
	ResultFailed      Result = "failed"
	ResultCancelled   Result = "cancelled"
	ResultSkipped     Result = "skipped"
	ResultInterrupted Result = "interrupted"
)

// Operation is the record of one step: written before it starts and when it ends.
type Operation struct {
	Kind OperationKind `json:"kind"`
	// Attempt is Job.Attempt at the time.
	Attempt   int       `json:"attempt"`
	Result    Result    `json:"result,omitempty"`
	Reason    Reason    `json:"reason,omitzero"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	// Counts are the resources that it changed (apply) or would (plan).
	Counts Counts `json:"counts,omitzero"`
	// LogFrom and LogTo are byte offsets into the job's log; LogTo 0 while it
	// runs.
	LogFrom int64 `json:"logFrom"`
	LogTo   int64 `json:"logTo,omitempty"`
	// EngineProcesses is how many engine processes it started.
	EngineProcesses int `json:"engineProcesses"`
	// Killed tells that its engine was killed instead of ending by itself, whatever
	// Result and Reason say of the cause (a time limit, a cancel): what it held, a
	// lock on the state above all, it may hold still.
	Killed bool `json:"killed,omitempty"`
}

// Approval is a person's yes or no. It binds to what was seen.
type Approval struct {
	Actor Actor `json:"actor"`
	// Gate is the gate that it answers: "start" or "apply".
	Gate Gate `json:"gate"`
	// PlanDigest is the plan that was approved; "" for the start gate, where
	// DesiredDigest stands for it.
	PlanDigest    string    `json:"planDigest,omitempty"`
	DesiredDigest string    `json:"desiredDigest,omitempty"`
	Rejected      bool      `json:"rejected,omitempty"`
	Comment       string    `json:"comment,omitempty"`
	At            time.Time `json:"at"`
	// OwnProposal tells that who gave it had proposed the change, or a part of it.
	OwnProposal bool `json:"ownProposal,omitempty"`
	// Override tells that it goes past the approvals that the policy wants; Comment is
	// the reason.
	Override bool `json:"override,omitempty"`
}

// Gate is a place where a job can wait for a person.
type Gate string

// The gates.
const (
	GateStart Gate = "start"
	GateApply Gate = "apply"
)

// Decision is the heart of a verdict.
type Decision string

// The decisions.
const (
	Proceed Decision = "proceed"
	Wait    Decision = "wait"
	Refuse  Decision = "refuse"
)

// Verdict is what flow control says of a job at a gate.
type Verdict struct {
	Decision Decision     `json:"decision"`
	Gate     Gate         `json:"gate"`
	Reason   Reason       `json:"reason"`
	Policy   PolicyChoice `json:"policy"`
}

// PolicyChoice is which policy is in force for a resource and how it was found.
type PolicyChoice struct {
	// Name is "folder/name" of the policy; "built-in default" when none matches.
	Name string `json:"name"`
	// File and Line are where it stands; "" for the built-in one.
	File     string          `json:"file,omitempty"`
	Line     int             `json:"line,omitempty"`
	Controls schema.Controls `json:"controls"`
	Prune    schema.Prune    `json:"prune,omitempty"`
	// Approvals is whose approvals are wanted; nil when the policy does not say who.
	Approvals *Approvals `json:"approvals,omitempty"`
	// Override are who may go past the approvals; nobody when it is empty.
	Override []schema.Approver `json:"override,omitempty"`
	// ApplyBeforeMerge lets an approved plan be applied from its pull request.
	ApplyBeforeMerge bool `json:"applyBeforeMerge,omitempty"`
	// Visited are the policies that were looked at, with why each won or lost,
	// most specific first.
	Visited []string `json:"visited,omitempty"`
}
