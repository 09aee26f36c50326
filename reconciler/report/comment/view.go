// Package comment renders what stands in a pull request: the living comment with its
// plans, the notices that somebody must act or how it ended, and answers to commands,
// all as Markdown that GitHub, GitLab and Gitea show alike.
//
// It is a function of values: equal values give equal text, so that nothing is written
// to a forge that stands there already. What comes from outside (names, addresses,
// values, what engines and people say) cannot leave its place: it opens no fence, ends
// no comment, mentions nobody, closes no issue, turns no text around. Sensitive values
// are never in it.
//
// A body is kept under the forge's limit by leaving out, in a fixed order: raw plans,
// attribute differences, unchanged rows, folds. The danger block and the table are
// never left out; what was is said, with where to read it.
package comment

import (
	"cmp"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// State is how the whole pull request stands.
type State string

// The states.
const (
	Planning State = "planning" // at least one plan is not there yet
	Refused  State = "refused"  // nothing is planned; Pull.Refused says why
	Failed   State = "failed"   // at least one plan or apply failed
	Waiting  State = "waiting"  // somebody must approve
	Approved State = "approved" // everything that needs it is approved; not merged
	Nothing  State = "nothing"  // no resource changes
	Applying State = "applying"
	Applied  State = "applied"
	Closed   State = "closed" // closed without a merge
)

// RowState is how one resource stands.
type RowState string

// The states of a row.
const (
	RowQueued    RowState = "queued"
	RowPlanning  RowState = "planning"
	RowPlanned   RowState = "planned"   // nobody needs to approve it
	RowWaiting   RowState = "waiting"   // needs approvals
	RowApproved  RowState = "approved"  // has them
	RowUnchanged RowState = "unchanged" // the plan changes nothing
	RowDeferred  RowState = "deferred"  // can be planned when another is applied
	RowForbidden RowState = "forbidden" // no approval helps
	RowFailed    RowState = "failed"
	RowApplying  RowState = "applying"
	RowApplied   RowState = "applied"
	RowStopped   RowState = "stopped" // cancelled, rejected, superseded, expired
)

// Pull is everything that the comments of a pull request say.
type Pull struct {
	// Mark is put into the comment, invisible, so that it can be found again; it is
	// letters, digits, dots, dashes and slashes.
	Mark   string
	Number int
	State  State
	// Head and Base are commits; Round counts the rounds of plans.
	Head, Base string
	Round      int
	// Refused says why nothing is planned; Conflicts are the paths that cannot be
	// merged; Report is the text of the tree's diagnostics, Errors their number.
	Refused   string
	Conflicts []string
	Report    string
	Errors    int
	// Policies are those that the merge makes others.
	Policies []pull.PolicyMove
	// Engines are those that the merge asks for and that are not there.
	Engines []pull.EngineLack
	Rows    []Row
	// Blocks are what is between now and the apply, with who can clear it.
	Blocks []Block
	// Moved says what changed since somebody approved: one line each.
	Moved []string
	// Commands are those that are valid now, ready to be copied.
	Commands []string
	// Page is where the whole is shown; "" for nowhere. Long is where the text of [Rest]
	// stands; "" for nowhere.
	Page, Long string
	// PlannedIn is how long the plans took; ExpiresAt is when approvals do, zero for
	// never.
	PlannedIn time.Duration
	ExpiresAt time.Time
	// AppliesBeforeMerge tells that plans are applied from the pull request.
	AppliesBeforeMerge bool
	// Elsewhere tells of a pull request that was turned to another branch than the one that is
	// followed, and is Closed for that; nil for none.
	Elsewhere *Elsewhere
	// Merged tells that it was merged: what its rows say is of the apply that follows.
	Merged bool
	// Environments are all that there are, whether the pull request touches them or not.
	Environments []Environment
}

// Elsewhere is where a pull request goes that nothing is planned for: Into is its branch,
// Followed the one that is followed, "" where that is not known.
type Elsewhere struct{ Into, Followed string }

// Environment is one of an organization.
type Environment struct {
	Org, Name string
	// AppliesBeforeMerge tells that something in it may be applied from a pull request.
	AppliesBeforeMerge bool
}

// Compare orders environments by organization and name.
func (e Environment) Compare(o Environment) int {
	return cmp.Or(cmp.Compare(e.Org, o.Org), cmp.Compare(e.Name, o.Name))
}

// Row is one resource.
type Row struct {
	Key    schema.ResourceKey
	State  RowState
	Action stackjob.Action
	// Engine is "terraform 1.11.4", or "terraform" while no plan tells the version; "" is
	// that of Plan.
	Engine string
	// Plan is nil until there is one.
	Plan *stackjob.Plan
	// Approved is the plan that stood in the pull request, for whoever had to approve it,
	// where Plan is another; nil else.
	Approved *stackjob.Plan
	// Because says why it is affected, one line each.
	Because []string
	// Detail is one line about the state: why it failed, what it waits for.
	Detail string
	// Policy is the policy in force. Has and Needs count approvals; ApprovedBy are
	// those who gave them.
	Policy     string
	Has, Needs int
	ApprovedBy []string
	// Queued is the place in the queue, 0 when it is not known.
	Queued int
	// MovedFrom is the file that the document was in.
	MovedFrom string
	// Deferred is what must be applied first.
	Deferred schema.ResourceKey
	// After are those that are applied before this one: the edges of the graph.
	After []schema.ResourceKey
	// Done is what an apply that failed or was stopped had changed by then: it stays. Doubtful
	// tells that its engine was lost, and that nobody knows how far it came.
	Done     stackjob.Counts
	Doubtful bool
	// Log is the end of the log of what failed.
	Log  string
	Took time.Duration
	// Job is the job's id, and Link where it is shown; "" for nowhere.
	Job, Link string
}

// Block is one thing that keeps plans from being applied.
type Block struct {
	// Cleared tells that it no longer does.
	Cleared bool
	// What is in the way, for which resources, and Who can clear it, one line each.
	What, Who string
}

// Limits are what a forge takes; see forge.Limits.
type Limits struct {
	// Bytes is the longest body; 0 is no limit.
	Bytes int
	// Folds and Mermaid tell whether <details> and mermaid blocks are shown as meant.
	Folds, Mermaid bool
}

// Text is a body that is ready to be posted.
type Text struct {
	Body string
	// Left says what was left out to stay under the limit, largest first; none means
	// that Body is all there is.
	Left []string
}
