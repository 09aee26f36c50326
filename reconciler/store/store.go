// Package store is the port to what Stackreeve remembers: which revision was
// reconciled, every Stack Job with its events, what was last made of each stack,
// and the wake-ups that carry work on.
//
// The tables hold the truth. A wake-up only says "look at this job now": losing
// one delays work, doubling one changes nothing.
//
// A job is changed in one way: a [stackjob.Move] is applied to the recorded job and
// written with its consequences (event, what the stack now is, wake-ups of the
// jobs that wait for it) in one transaction, only if the job is still as it was.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// ErrNotFound means that there is no such job, stack or revision.
var ErrNotFound = errors.New("not found")

// ErrStackBusy means that another job of the same stack is running.
var ErrStackBusy = errors.New("another job runs on this stack")

// ErrInUse means that another process has the store open.
var ErrInUse = errors.New("the data folder is in use by another daemon")

// ErrReadOnly and ErrFull are storage that cannot be written.
var (
	ErrReadOnly = errors.New("the data folder cannot be written")
	ErrFull     = errors.New("the disk is full")
)

// ErrNewer means that a newer release wrote the records; this one must not touch
// them.
var ErrNewer = errors.New("the records were written by a newer release")

// ErrDamaged means that the records cannot be read: the file is no database, or
// not ours, or broken.
var ErrDamaged = errors.New("the records are damaged")

// ErrClearSecret means that a caller tried to record a sensitive value in clear.
// It is a bug in the caller; nothing was written.
var ErrClearSecret = errors.New("a sensitive value must not be recorded in clear")

// RevisionRecord is a revision that was compared: what it led to.
type RevisionRecord struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Subject    string `json:"subject,omitempty"`
	TreeHash   string `json:"treeHash"`
	// Errors and Warnings count the tree's diagnostics; Report is their text.
	Errors      int       `json:"errors"`
	Warnings    int       `json:"warnings"`
	Report      string    `json:"report,omitempty"`
	Changes     int       `json:"changes"`
	CommittedAt time.Time `json:"committedAt,omitzero"`
	ComparedAt  time.Time `json:"comparedAt"`
}

// Enqueue is the outcome of comparing one revision: its record and its jobs, in
// graph order. The store writes all of it or nothing.
type Enqueue struct {
	Revision RevisionRecord
	Jobs     []stackjob.Job
	// Supersede are older jobs that are neither running nor ended and whose
	// stack needs nothing any more (its desired state is what it is).
	Supersede []stackjob.JobID
	// Over are jobs that ended and whose wish the revision no longer has
	// (LastJob.Over). One that is not the last of its stack is left alone.
	Over []stackjob.JobID
}

// JobQuery selects jobs. The zero value selects all, newest first.
type JobQuery struct {
	// Kind and Name may be globs with * and ?.
	Org, Env, Kind, Name string
	States               []stackjob.State
	// Open selects jobs that have not ended.
	Open bool
	// Commit selects the jobs of one revision.
	Commit string
	// Before selects jobs older than this one (paging); Limit 0 means 100.
	Before stackjob.JobID
	Limit  int
}

// JobEvent is one entry in a job's history.
type JobEvent struct {
	// Seq grows over all jobs of the store.
	Seq    int64           `json:"seq"`
	Job    stackjob.JobID  `json:"job"`
	At     time.Time       `json:"at"`
	Event  stackjob.Event  `json:"event"`
	State  stackjob.State  `json:"state"`
	Reason stackjob.Reason `json:"reason,omitzero"`
	Actor  stackjob.Actor  `json:"actor"`
	// Operation is set for EvRecord.
	Operation stackjob.OperationKind `json:"operation,omitempty"`
	Result    stackjob.Result        `json:"result,omitempty"`
}

// Jobs is the record of Stack Jobs.
type Jobs interface {
	// Enqueue writes a revision's jobs. It is idempotent: a job whose stack's
	// newest open job does the same work is left out; older
	// open jobs of the same stacks that do not run are superseded by the new
	// one, which takes over what holds them; a running one is left alone (the new
	// job waits for the stack). It
	// returns the ids that were written, in order, and wakes them. Only jobs of
	// one purpose meet: a plan-only job never takes a reconciling job's place.
	// What waits for a job that was left out or superseded waits for the one in
	// its place (see Arrange). A revision without a repository is not recorded:
	// a rerun asked for by a person has none.
	Enqueue(ctx context.Context, e Enqueue) ([]stackjob.JobID, error)
	// Job returns one job.
	Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error)
	// List selects jobs. Plans are left out of the result but for their digest,
	// counts and times (Resources, Outputs, Drift and Text are nil).
	List(ctx context.Context, q JobQuery) ([]stackjob.Job, error)
	// Move carries a move out and returns the job after it. It fails with what
	// Move.Apply fails with, with ErrNotFound, or with ErrStackBusy when the
	// move would make two jobs of a stack run at once. Jobs that wait for this
	// one, and the next of its stack, are woken when it ends; so is the job
	// itself when the move gives the daemon something to do (an approval).
	// A move that would record a sensitive value in clear fails with
	// ErrClearSecret. With an error comes the job as it is recorded, when it
	// could be read.
	Move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error)
	// Events returns the events after a sequence number, oldest first, at most
	// limit; job "" means of all jobs.
	Events(ctx context.Context, job stackjob.JobID, after int64, limit int) ([]JobEvent, error)
	// NewestEvent is the sequence number of the newest event that was ever written, 0
	// when there was none: also when that event has been pruned since.
	NewestEvent(ctx context.Context) (int64, error)
}

// Stacks is what was last made.
type Stacks interface {
	// Stacks returns what is recorded of every stack of a repository's
	// organizations; org "" means all.
	Stacks(ctx context.Context, org string) (map[schema.ResourceKey]stackjob.Stack, error)
	// Stack returns one; a stack that was never heard of has only its key.
	Stack(ctx context.Context, key schema.ResourceKey) (stackjob.Stack, error)
}

// Revisions is the history of compared revisions.
type Revisions interface {
	// LastRevision returns the newest one of a repository, or ErrNotFound.
	LastRevision(ctx context.Context, repository string) (RevisionRecord, error)
	// RecordRevision notes a revision that led to no comparison or no job.
	RecordRevision(ctx context.Context, r RevisionRecord) error
}

// Wakeups carries work on. The truth stays in the tables.
type Wakeups interface {
	// Wake asks for a look at a job at a time (zero: now).
	Wake(ctx context.Context, id stackjob.JobID, at time.Time) error
	// WakeAll asks for a look at many jobs now, at the cost of few writes. When it
	// fails some of them may have been woken.
	WakeAll(ctx context.Context, ids []stackjob.JobID) error
	// Work calls advance for every wake-up, at most slots at once and never twice at
	// once for one job, until ctx ends; then it waits for the calls to return. A call that
	// fails is repeated with back-off. Open jobs are woken at its start. The
	// context of a call ends with ctx. A wake-up that arrives while its job is
	// in a call leads to another call.
	Work(ctx context.Context, slots int, advance func(context.Context, stackjob.JobID) error) error
}

// Watcher tells that something happened, so that nobody has to poll Events.
type Watcher interface {
	// Watch returns a channel that receives after events were committed, many
	// of them as one; it is closed when ctx ends. A receiver asks Events for
	// what is new. The first value is there at once, so that no event between
	// an earlier question and the watch is missed.
	Watch(ctx context.Context) <-chan struct{}
}

// PruneOptions say which ended jobs may be forgotten.
type PruneOptions struct {
	// OlderThan is the time before which a job must have ended; the zero time
	// forgets nothing.
	OlderThan time.Time
	// KeepPerStack are that many newest ended jobs of each stack kept anyway.
	KeepPerStack int
}

// Pruned counts what was forgotten.
type Pruned struct {
	Jobs, Events, Revisions int
	// Pulls are pull requests with nothing left to do, Deliveries finished ones,
	// Approvals those that no plan has asked for since.
	Pulls, Deliveries, Approvals int
}

// Plus adds up.
func (p Pruned) Plus(o Pruned) Pruned {
	return Pruned{p.Jobs + o.Jobs, p.Events + o.Events, p.Revisions + o.Revisions,
		p.Pulls + o.Pulls, p.Deliveries + o.Deliveries, p.Approvals + o.Approvals}
}

// Upkeep is what an operator does to the records.
type Upkeep interface {
	// Prune forgets old ended jobs with their events, old revisions, pull requests
	// and approvals, and finished deliveries after DeliveriesKept. It
	// never forgets a job that a stack's record names (the job that was last
	// applied, the last one that ended), nor the newest revision of a
	// repository.
	Prune(ctx context.Context, o PruneOptions) (Pruned, error)
	// Backup writes a consistent copy of the records to a file that must not
	// exist yet, while work goes on.
	Backup(ctx context.Context, path string) error
}
