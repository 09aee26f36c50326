// Package engine is the port to Terraform, OpenTofu and Pulumi, and the words in
// which a job's daemon and its runner talk.
//
// An engine never runs under the daemon. The daemon writes a [Task] into a folder
// and starts a runner, a small process of the same binary (`reeve run-job FOLDER`)
// in its own session. The runner asks the [Driver] for the phase of the task and
// journals what happens:
//
//	FOLDER/            one per job, attempt and phase; 0700
//	  task.json        the Task; 0600; holds secrets; removed by the runner when it ends
//	  lock             held (flock) by the runner as long as it lives
//	  journal.jsonl    one Event a line, fsynced, appended by the runner only
//	  log              what the engine says, secrets masked; appended while it runs
//	  result.json      the Result, written once and atomically: the phase's truth
//	  abandoned        written by a daemon that gave the phase up: a runner that
//	                   starts late must not begin
//	  plan.sealed      the saved plan between the phases, sealed (age)
//
// The daemon tails journal and log. When it dies, the runner goes on; the next
// daemon finds the folder and attaches. Lock free and no result means that the
// runner was killed.
//
// A phase is "plan" (init, refresh, plan) or "apply" (the saved plan, never a fresh
// one). The package knows no store and no forge.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// SealedPlan is the name of the sealed plan in the folder of a plan phase.
const SealedPlan = "plan.sealed"

// Phase is what one runner carries out.
type Phase string

// The phases.
const (
	PhasePlan  Phase = "plan"
	PhaseApply Phase = "apply"
	// PhaseRestore puts a backup of the state back where a backend keeps it (Restorer).
	PhaseRestore Phase = "restore"
)

// Program is an engine binary.
type Program struct {
	Provisioner schema.Provisioner `json:"provisioner"`
	Path        string             `json:"path"`
	Version     string             `json:"version"`
}

// String is "terraform 1.11.4".
func (p Program) String() string { return string(p.Provisioner) + " " + p.Version }

// Wanted is what is asked of the program for a job.
type Wanted struct {
	Provisioner schema.Provisioner
	// Version is the constraint that counts for the stack, with its place.
	Version schema.EngineVersion
	// Runtime is the language of a Pulumi program, for which there must be a host; "" when
	// it is not known, and the driver finds out.
	Runtime string
}

// ErrVersion tells that programs of an engine are there, and none of a version that the
// stack allows.
var ErrVersion = errors.New("no version of the engine is allowed")

// Task is all that a runner is told. It holds resolved inputs and so may hold
// secrets.
type Task struct {
	Job     stackjob.JobID     `json:"job"`
	Attempt int                `json:"attempt"`
	Phase   Phase              `json:"phase"`
	Action  stackjob.Action    `json:"action"`
	Key     schema.ResourceKey `json:"key"`
	Program Program            `json:"program"`
	// ModuleRoot is an immutable checkout, shared by jobs and never written to;
	// ModulePath the module's folder below it, slash-separated.
	ModuleRoot     string `json:"moduleRoot"`
	ModulePath     string `json:"modulePath"`
	ModuleRevision string `json:"moduleRevision"`
	// Workspace is the stack's own folder: the engine's data folder, links to
	// the module, what the next run reuses. One job at a time uses it.
	Workspace string `json:"workspace"`
	// ProviderCache is a folder in which downloaded providers are shared between
	// stacks ("" for none). Drivers serialise what writes to it.
	ProviderCache string `json:"providerCache,omitempty"`
	// StateFile is the local state ("" for other backends; for Pulumi not "" when the
	// state is the stack's own in the data folder); StateBackups the folder in which it
	// is backed up before an apply.
	StateFile    string         `json:"stateFile,omitempty"`
	StateBackups string         `json:"stateBackups,omitempty"`
	Backend      schema.Backend `json:"backend"`
	// Pulumi is for Pulumi, nil for other engines.
	Pulumi *PulumiStack `json:"pulumi,omitempty"`
	// Inputs are the engine's variables with every reference resolved.
	Inputs   json.RawMessage `json:"inputs"`
	VarFiles []string        `json:"varFiles,omitempty"`
	// Secrets are strings that must be masked in logs and errors.
	Secrets []string `json:"secrets,omitempty"`
	// Env is the whole environment of the engine: nothing of the daemon's own
	// gets in beside it.
	Env         map[string]string `json:"env"`
	SkipRefresh bool              `json:"skipRefresh,omitempty"`
	// Outputs says whether a plan without changes must tell the outputs too.
	Outputs OutputsWanted `json:"outputs,omitempty"`
	// PlanDigest and PlanFileDigest are what the apply phase must find.
	PlanDigest     string `json:"planDigest,omitempty"`
	PlanFileDigest string `json:"planFileDigest,omitempty"`
	// PlanStatePlace is the place of the state that the plan was made of (stackjob.Plan).
	PlanStatePlace string `json:"planStatePlace,omitempty"`
	// PlanFile is where the apply phase finds the sealed plan of the plan phase.
	PlanFile string `json:"planFile,omitempty"`
	// ReleaseLock is a lock that the daemon has recognised as left behind by an
	// own run that was killed: the plan phase releases it first (Driver.Unlock),
	// and only this one.
	ReleaseLock *StateLock `json:"releaseLock,omitempty"`
	// Restore is what the restore phase puts back; nil in the others.
	Restore *StateRestore `json:"restore,omitempty"`
	// Identity is the age identity that opens PlanFile (apply phase only);
	// Recipient seals plan and sensitive outputs.
	Identity  string `json:"identity,omitempty"`
	Recipient string `json:"recipient"`
	// HashKey keys the hashes of sensitive values in plans, inputs and outputs.
	HashKey []byte `json:"hashKey"`
	// Timeouts by operation; zero means none. Grace is how long an interrupted
	// engine may take before its process group is killed.
	Timeouts map[stackjob.OperationKind]time.Duration `json:"timeouts,omitempty"`
	Grace    time.Duration                            `json:"grace"`
	Limits   Limits                                   `json:"limits"`
}

// StateRestore names a backup that an apply has made of a state that a backend keeps.
type StateRestore struct {
	File string `json:"file"`
	// Force takes a backup that the engine says is another stack's.
	Force bool `json:"force,omitempty"`
}

// PulumiStack is what only Pulumi must be told of a stack.
type PulumiStack struct {
	// Organization, Project and Stack are its full name. Organization "" is the
	// backend's own, Project "" the name in the program's Pulumi.yaml.
	Organization string `json:"organization,omitempty"`
	Project      string `json:"project,omitempty"`
	Stack        string `json:"stack"`
	// BackendURL is where the state is: "file:///…", "s3://…", "https://…".
	BackendURL string `json:"backendUrl"`
	// SecretsProvider is "passphrase" or a key's URL; Passphrase goes with the former.
	SecretsProvider string `json:"secretsProvider"`
	Passphrase      string `json:"passphrase,omitempty"`
	// SecretConfig are the keys of Task.Inputs whose values are secret, sorted.
	SecretConfig []string `json:"secretConfig,omitempty"`
	// StackInput says that Task.Inputs are Planton's stack input, {"target": …}, which the
	// program reads as one value, and no configuration of many keys.
	StackInput bool `json:"stackInput,omitempty"`
	// SecretInput are the places in such Inputs (JSON pointers) of what is secret, sorted.
	// A "provider_config" in them is secret without being named.
	SecretInput []string `json:"secretInput,omitempty"`
	// Home is Pulumi's own folder, with its plugins; stacks share it.
	Home string `json:"home"`
	// NoPluginDownload forbids the engine to fetch plugins that it does not have.
	NoPluginDownload bool `json:"noPluginDownload,omitempty"`
}

// OutputsWanted says whether outputs are read when nothing will be applied.
type OutputsWanted string

// The answers. Reading them can cost one more engine process when the state is not
// a local file, so they are read only when the record of them is missing or in doubt.
const (
	OutputsKnown   OutputsWanted = ""
	OutputsMissing OutputsWanted = "missing"
)

// Limits are the runner's resource limits; zero means unlimited.
type Limits struct {
	// LogBytes is the largest log that is kept; what comes after is counted and dropped.
	LogBytes int64 `json:"logBytes,omitempty"`
	// OpenFiles, Processes, MemoryBytes and FileBytes become rlimits of the runner and
	// all below it.
	OpenFiles   uint64 `json:"openFiles,omitempty"`
	Processes   uint64 `json:"processes,omitempty"`
	MemoryBytes uint64 `json:"memoryBytes,omitempty"`
	FileBytes   uint64 `json:"fileBytes,omitempty"`
}

// EventType is what a journal line tells.
type EventType string

// The journal's events.
const (
	RunnerStarted    EventType = "runner-started"
	OperationStarted EventType = "operation-started"
	OperationEnded   EventType = "operation-ended"
	EngineStarted    EventType = "engine-started" // PID and Command are set
	EngineEnded      EventType = "engine-ended"
	ResourceProgress EventType = "resource" // Resource is set
	Message          EventType = "message"
	RunnerEnded      EventType = "runner-ended"
)

// Event is one line of the journal. It holds no secret.
type Event struct {
	Seq       int64                  `json:"seq"`
	At        time.Time              `json:"at"`
	Type      EventType              `json:"type"`
	Operation stackjob.OperationKind `json:"operation,omitempty"`
	// Ended is the operation's record, at OperationEnded.
	Ended *stackjob.Operation `json:"ended,omitempty"`
	// PID and Command (its words, without values) are of the engine.
	PID      int       `json:"pid,omitempty"`
	Command  []string  `json:"command,omitempty"`
	ExitCode *int      `json:"exitCode,omitempty"`
	Resource *Progress `json:"resource,omitempty"`
	Message  string    `json:"message,omitempty"`
}

// Progress is how far the engine is with one resource.
type Progress struct {
	Address string                `json:"address"`
	Action  stackjob.ChangeAction `json:"action"`
	// Status is "started", "running", "done" or "failed".
	Status  string        `json:"status"`
	Elapsed time.Duration `json:"elapsed,omitempty"`
}

// Class says what happens after a failure: see docs/decisions.
type Class string

// The classes of failure.
const (
	ClassAuthor Class = "author" // the author's mistake: shown, not retried
	ClassWait   Class = "wait"   // passes by itself: retried later
	ClassPerson Class = "person" // a person must decide
	ClassBug    Class = "bug"
)

// Failure is how a phase did not end well. Text is for people, secrets masked.
type Failure struct {
	Class  Class           `json:"class"`
	Reason stackjob.Reason `json:"reason"`
	Text   string          `json:"text,omitempty"`
	// Lock is set when the state was locked: whose lock it is.
	Lock *StateLock `json:"lock,omitempty"`
}

// StateLock is what an engine says of a lock that it could not have.
type StateLock struct {
	ID        string    `json:"id"`
	Path      string    `json:"path,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Who       string    `json:"who,omitempty"`
	Version   string    `json:"version,omitempty"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	// PID is the process that took it, on the machine in Who; 0 when the engine's locks
	// do not tell. Those that do (Pulumi's) tell neither operation nor version.
	PID int `json:"pid,omitempty"`
}

// Result is the truth about a phase that ended. Exactly one of Plan, Outcome and
// Failure is set; an apply that failed has an Outcome with its Failure beside it.
type Result struct {
	Phase      Phase                `json:"phase"`
	Operations []stackjob.Operation `json:"operations"`
	Plan       *stackjob.Plan       `json:"plan,omitempty"`
	Outcome    *stackjob.Outcome    `json:"outcome,omitempty"`
	Failure    *Failure             `json:"failure,omitempty"`
	// Outputs are those of the state that a plan without changes was made
	// against: what the stack has, though nothing will be applied. nil when they
	// were not read (Task.Outputs).
	Outputs []stackjob.Output `json:"outputs,omitempty"`
	// Replaced is the state whose place a backup took in the restore phase, whose Outcome tells
	// that it did; nil when there was no state.
	Replaced *stackjob.StateVersion `json:"replaced,omitempty"`
	// Cancelled tells that the phase was interrupted on request.
	Cancelled bool `json:"cancelled,omitempty"`
}

// Sink takes what a driver has to tell while it works. Its methods may block on
// the disk and are safe for concurrent use.
type Sink interface {
	// Emit journals an event; Seq and At are set by the sink.
	Emit(Event)
	// Log takes bytes of the engine's output; secrets are masked by the sink.
	Log(p []byte)
	// Hide names strings that are secret and that the task did not know of, such as what a
	// state holds: from here on they are masked as the task's are, in the result too.
	Hide(secrets []string)
	// LogOffset is how much log there is.
	LogOffset() int64
}

// Driver runs the phases of one kind of engine, inside the runner. ctx done means:
// interrupt the engine, wait, and tell truthfully how far it came.
type Driver interface {
	// Plan makes and saves a plan. The saved plan is written to planFile, in
	// clear; the runner seals it.
	Plan(ctx context.Context, t Task, planFile string, s Sink) Result
	// Apply runs the saved plan at planFile (in clear, removed by the runner).
	Apply(ctx context.Context, t Task, planFile string, s Sink) Result
	// Unlock releases a state lock that an earlier run of ours left behind.
	Unlock(ctx context.Context, t Task, lock StateLock, s Sink) error
}

// Restorer is a Driver that can put back a state that is not a file of the data folder.
type Restorer interface {
	// Restore backs the state up and puts Task.Restore in its place. Doing it again is doing
	// it once. scratch is the name of a file, which nobody needs, in the private folder.
	Restore(ctx context.Context, t Task, scratch string, s Sink) Result
}
