// Package api holds the words in which Stackreeve's HTTP API, its command line and
// its console talk about what the daemon knows. It is the versioned surface (v1):
// fields are added, never renamed.
//
// [Backend] is what the daemon offers; internal/web serves it over HTTP and
// [Client] is the other end.
package api

import (
	"context"
	"io"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Filter narrows what is shown. Empty fields match all; Kind and Name may be globs.
type Filter struct {
	Org, Env, Kind, Name string
}

// ResourceStatus is one Cloud Resource as people see it.
type ResourceStatus struct {
	Key  schema.ResourceKey `json:"key"`
	Name string             `json:"name"`
	// Status is a word of a closed set: "applied", "changed" (a job is on its
	// way), "waiting" (for a person), "failed", "rejected", "cancelled", "expired" (nobody
	// answered), "interrupted", "blocked", "frozen" (its folder has errors), "pending" (policy lets
	// nothing start by itself), "removed" (its document is gone and the stack is still there), "new".
	Status string          `json:"status"`
	Reason stackjob.Reason `json:"reason,omitzero"`
	// Because is what moved, when it differs from what was applied.
	Because []stackjob.Because `json:"because,omitempty"`
	// Job is the open job, or else the last one.
	Job       stackjob.JobID     `json:"job,omitempty"`
	Module    string             `json:"module"`
	Revision  string             `json:"revision,omitempty"`
	Engine    schema.Provisioner `json:"engine"`
	Policy    string             `json:"policy,omitempty"`
	File      string             `json:"file"`
	Line      int                `json:"line,omitempty"`
	Commit    string             `json:"commit,omitempty"`
	AppliedAt time.Time          `json:"appliedAt,omitzero"`
}

// Explanation is all that `reeve explain` says of one resource.
type Explanation struct {
	Resource  ResourceStatus        `json:"resource"`
	Policy    stackjob.PolicyChoice `json:"policy"`
	Producers []schema.ResourceKey  `json:"producers,omitempty"`
	Consumers []schema.ResourceKey  `json:"consumers,omitempty"`
	Observed  *stackjob.Observed    `json:"observed,omitempty"`
	Job       *stackjob.Job         `json:"job,omitempty"`
	History   []stackjob.Job        `json:"history,omitempty"`
	// Released are the turns of the stack that operators ended, newest first.
	Released []pull.Release `json:"released,omitempty"`
	Lines    []string       `json:"lines"` // the explanation in sentences, most important first
	Next     []string       `json:"next"`  // commands that are valid now
}

// EngineChoice is the program that a job for a resource would get now, and why.
type EngineChoice struct {
	Key    schema.ResourceKey `json:"key"`
	Engine schema.Provisioner `json:"engine"`
	// EngineFrom says who chose the engine: "documents", "recorded" (no document names
	// one, and it made the stack) or "default" (the daemon's).
	EngineFrom string `json:"engineFrom"`
	// Constraint is the one on the engine's version that counts, with its place.
	Constraint   string `json:"constraint,omitempty"`
	ConstraintAt string `json:"constraintAt,omitempty"`
	// Version, Path and Origin are of the program; "" when there is a Problem with it.
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	Origin  string `json:"origin,omitempty"`
	// Recorded is what made the stack last: "terraform 1.11.4".
	Recorded string `json:"recorded,omitempty"`
	// Problem is why a job would not get that far: no program fits, or the engine may not
	// change.
	Problem string `json:"problem,omitempty"`
}

// EnvironmentStatus is one environment with counts of its resources by status.
type EnvironmentStatus struct {
	Org            string         `json:"org"`
	Name           string         `json:"name"`
	Description    string         `json:"description,omitempty"`
	PromotionOrder int            `json:"promotionOrder,omitempty"`
	Protected      bool           `json:"protected,omitempty"`
	Resources      int            `json:"resources"`
	ByStatus       map[string]int `json:"byStatus"`
	// Frozen is the diagnostic that keeps the folder from changing; "" if none.
	Frozen string `json:"frozen,omitempty"`
}

// PolicyStatus is one policy and how many resources it is in force for.
type PolicyStatus struct {
	Name     string          `json:"name"`
	Folder   string          `json:"folder"`
	Selector schema.Selector `json:"selector"`
	Controls schema.Controls `json:"controls"`
	Prune    schema.Prune    `json:"prune"`
	// Approvals is whose approvals it wants; nil when it does not say. Override are who
	// may go past them.
	Approvals        *schema.ApprovalRule `json:"approvals,omitempty"`
	Override         []string             `json:"override,omitempty"`
	ApplyBeforeMerge bool                 `json:"applyBeforeMerge,omitempty"`

	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Resources int    `json:"resources"`
}

// RepositoryStatus is how up to date the daemon is with one repository.
type RepositoryStatus struct {
	Name      string `json:"name"`
	URL       string `json:"url"` // or the folder; never with credentials
	Branch    string `json:"branch,omitempty"`
	Commit    string `json:"commit,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Resources int    `json:"resources"`
	// Errors and Warnings count the diagnostics of the newest tree; Report is their text.
	Errors       int       `json:"errors"`
	Warnings     int       `json:"warnings"`
	Report       string    `json:"report,omitempty"`
	PolledAt     time.Time `json:"polledAt,omitzero"`
	ReconciledAt time.Time `json:"reconciledAt,omitzero"`
	// FetchError is the last failure, "" when the last poll succeeded.
	FetchError string `json:"fetchError,omitempty"`
}

// PullStatus is how one pull request to a config repository stands.
type PullStatus struct {
	Repository string `json:"repository"`
	Number     int    `json:"number"`
	Title      string `json:"title"`
	URL        string `json:"url"`
	// Author is a login of the forge.
	Author string `json:"author"`
	// State is a word of a closed set: "planning", "refused" (nothing is planned), "failed",
	// "waiting" (somebody must approve), "approved", "nothing" (no resource changes), "applying"
	// (it was merged), "applied", "closed" (without a merge, or turned to a branch that is not followed).
	State string `json:"state"`
	// Head is the proposed commit, and Base the one of the followed branch that it is planned for.
	Head string `json:"head,omitempty"`
	Base string `json:"base,omitempty"`
	// Resources counts the affected resources, and Changes what their plans do together.
	Resources int             `json:"resources"`
	Changes   stackjob.Counts `json:"changes"`
	// Brief is what they do in a few words: "+1 ~2 -0 ±0", "outputs only"; "" while there is
	// no plan.
	Brief string `json:"brief,omitempty"`
	// WaitsFor is what is between now and the apply, one sentence each.
	WaitsFor []PullBlock `json:"waitsFor,omitempty"`
	// UpdatedAt is when the daemon last wrote something down about it.
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

// PullBlock is one thing that is between a pull request and its apply, and who can clear it.
type PullBlock struct {
	What string `json:"what"`
	Who  string `json:"who,omitempty"`
}

// PullFilter narrows the pull requests that are shown.
type PullFilter struct {
	// Repository is the name in the configuration; "" means all.
	Repository string
	// All shows also those with which nothing more is done.
	All bool
	// Limit 0 means 100.
	Limit int
}

// TurnStatus is the place of a pull request in the queue of a stack that it applies before
// it is merged.
type TurnStatus struct {
	Stack      schema.ResourceKey `json:"stack"`
	Repository string             `json:"repository"`
	Number     int                `json:"number"`
	// Place is 0 for the one that holds the stack, 1 for the next.
	Place int `json:"place"`
	// By asked for it, At is when.
	By stackjob.Actor `json:"by"`
	At time.Time      `json:"at"`
	// Applied tells that the stack is as this pull request made it.
	Applied bool `json:"applied,omitempty"`
	// Followed is false where the pull requests of the repository are not followed any
	// more: nobody but an operator can end the turn.
	Followed bool `json:"followed"`
}

// Unlock is an operator's word that ends turns.
type Unlock struct {
	Repository string         `json:"-"`
	Number     int            `json:"-"`
	Actor      stackjob.Actor `json:"-"`
	// Selectors choose among the stacks of the pull request, as in its comments; none
	// means all.
	Selectors []string `json:"selectors,omitempty"`
	// Reason is why; it is recorded and told in the pull request.
	Reason string `json:"reason"`
}

// Change is one line of `reeve diff`: what the newest revision would do.
type Change struct {
	Key     schema.ResourceKey `json:"key"`
	Action  stackjob.Action    `json:"action"`
	Because []stackjob.Because `json:"because"`
	// Hold is why it waits or is refused, zero when it goes on by itself.
	Hold stackjob.Reason `json:"hold,omitzero"`
	Job  stackjob.JobID  `json:"job,omitempty"`
}

// Answer is what a person says to a job.
type Answer struct {
	Job   stackjob.JobID `json:"-"`
	Actor stackjob.Actor `json:"-"`
	// PlanDigest is the plan that was seen; needed to approve an apply.
	PlanDigest string `json:"planDigest,omitempty"`
	Comment    string `json:"comment,omitempty"`
}

// States are the state of a stack and its backups. They tell nothing that is in a state but
// how much.
type States struct {
	Key    schema.ResourceKey `json:"key"`
	Engine schema.Provisioner `json:"engine"`
	// Backend is the kind of the backend that keeps the state, of which only backups are known
	// here; "" for a file of the daemon's.
	Backend string `json:"backend,omitempty"`
	// State is what is there now; nil when there is none, or a backend keeps it.
	State *StateCopy `json:"state,omitempty"`
	// Backups are newest first.
	Backups []StateCopy `json:"backups"`
}

// StateCopy is a state, or a backup of one.
type StateCopy struct {
	// Name is the file's; a restore names a backup by it.
	Name string `json:"name"`
	// At is when the backup was made, or the state last written.
	At time.Time `json:"at,omitzero"`
	// Job is the job before whose work the backup was made, and Action what it did: "apply",
	// "destroy" or "restore"; "" for a state, and when that is not known any more.
	Job    stackjob.JobID  `json:"job,omitempty"`
	Action stackjob.Action `json:"action,omitempty"`
	// Serial counts the writes of a state, Lineage names it through all of them.
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage,omitempty"`
	// Resources counts the managed resources; 0 and Encrypted when they cannot be counted.
	Resources int  `json:"resources"`
	Encrypted bool `json:"encrypted,omitempty"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Damaged tells that it cannot be read as a state, and cannot be restored.
	Damaged bool `json:"damaged,omitempty"`
	// Current tells that a backup is what the state is now.
	Current bool `json:"current,omitempty"`
}

// StateRestore is what a person asks for with `reeve state restore`.
type StateRestore struct {
	Key   schema.ResourceKey `json:"-"`
	Actor stackjob.Actor     `json:"-"`
	// Backup is the name of a backup; its suffix may be left out.
	Backup string `json:"backup"`
	// Reason is why, for the history.
	Reason string `json:"reason"`
	// Force restores a backup of another lineage too.
	Force bool `json:"force,omitempty"`
}

// Reading is what anybody who may read can ask.
type Reading interface {
	Resources(ctx context.Context, f Filter) ([]ResourceStatus, error)
	Environments(ctx context.Context, f Filter) ([]EnvironmentStatus, error)
	Policies(ctx context.Context, f Filter) ([]PolicyStatus, error)
	Repositories(ctx context.Context) ([]RepositoryStatus, error)
	Changes(ctx context.Context, f Filter) ([]Change, error)
	// Pulls lists the pull requests that are followed, newest number first.
	Pulls(ctx context.Context, f PullFilter) ([]PullStatus, error)
	// Turns lists which pull requests hold stacks or wait for them, by stack and in their
	// order.
	Turns(ctx context.Context, f Filter) ([]TurnStatus, error)
	Explain(ctx context.Context, k schema.ResourceKey) (Explanation, error)
	// Engine says which program a job for a resource would get.
	Engine(ctx context.Context, k schema.ResourceKey) (EngineChoice, error)
	// States lists the state of a stack and its backups.
	States(ctx context.Context, k schema.ResourceKey) (States, error)
	// Graph renders the graph of all organizations, of one (f.Org), or of what concerns one of its
	// environments (f.Env): format is "mermaid", "dot" or "json".
	Graph(ctx context.Context, f Filter, format string) (string, error)
}

// JobReading is what can be asked of jobs.
type JobReading interface {
	Jobs(ctx context.Context, q store.JobQuery) ([]stackjob.Job, error)
	Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error)
	Events(ctx context.Context, job stackjob.JobID, after int64, limit int) ([]store.JobEvent, error)
	// NewestEvent is the sequence number of the newest event, 0 when there was none.
	NewestEvent(ctx context.Context) (int64, error)
	// Watch fires, coalesced, after events were written; until ctx ends.
	Watch(ctx context.Context) <-chan struct{}
	// Log streams the job's log from a byte offset; follow waits for more until the
	// job's current phase ended. The caller closes it.
	Log(ctx context.Context, id stackjob.JobID, from int64, follow Follow) (io.ReadCloser, error)
}

// Follow tells whether a log is followed.
type Follow string

// The answers.
const (
	FollowNo  Follow = "no"
	FollowYes Follow = "yes"
)

// Acting is what a person with an identity can do.
type Acting interface {
	Approve(ctx context.Context, a Answer) (stackjob.Job, error)
	Reject(ctx context.Context, a Answer) (stackjob.Job, error)
	Cancel(ctx context.Context, a Answer) (stackjob.Job, error)
	// Rerun makes a new job for the same stack from its newest desired state.
	Rerun(ctx context.Context, a Answer) (stackjob.Job, error)
	// Unlock ends turns of a pull request that cannot be asked any more.
	Unlock(ctx context.Context, u Unlock) ([]pull.Release, error)
	// RestoreState puts a backup in the place of a stack's state and returns the job that
	// did. It is refused while another job of the stack runs.
	RestoreState(ctx context.Context, r StateRestore) (stackjob.Job, error)
	// Poll looks at a repository now.
	Poll(ctx context.Context, repository string, by stackjob.Actor) (RepositoryStatus, error)
}

// Backend is the whole of what the daemon offers.
type Backend interface {
	Reading
	JobReading
	Acting
}
