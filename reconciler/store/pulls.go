package store

import (
	"context"
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/schema"
)

// ErrConflict means that somebody else wrote the record since it was read.
var ErrConflict = errors.New("the record was changed meanwhile")

// PullQuery selects pull requests.
type PullQuery struct {
	// Repository is the name in the configuration; "" means all.
	Repository string
	// Unfinished leaves out those with nothing left to do.
	Unfinished bool
	// Limit 0 means 100.
	Limit int
}

// Pulls is what is remembered of pull requests, and what came in about them.
type Pulls interface {
	// Pull returns one and its version, or ErrNotFound.
	Pull(ctx context.Context, key pull.Key) (pull.Pull, int64, error)
	// SavePull writes one whose record is still at a version; 0 is for a new one. It
	// returns the new version, or ErrConflict.
	SavePull(ctx context.Context, p pull.Pull, version int64) (int64, error)
	// Pulls selects, newest number first.
	Pulls(ctx context.Context, q PullQuery) ([]pull.Pull, error)

	// Receive puts a delivery into the inbox. It is durable when Receive returns.
	// fresh is false when one with its id was received before, finished or not.
	Receive(ctx context.Context, d pull.Delivery) (fresh bool, err error)
	// Inbox returns the deliveries that are not finished, oldest first, at most
	// limit.
	Inbox(ctx context.Context, limit int) ([]pull.Delivery, error)
	// FinishDelivery takes a delivery out of the inbox. Its id is remembered until
	// the next Prune that forgets as much.
	FinishDelivery(ctx context.Context, repository, id string) error

	// RecordApproval keeps a person's yes or no to a plan of a stack, in the place of
	// what the same person said of that plan before.
	RecordApproval(ctx context.Context, a pull.Approval) error
	// Approvals returns what was said of a plan of a stack, oldest first. An apply of
	// the stack that starts, and a restore of its state, forget all that was said of its
	// plans: they were made for a state that is no more.
	Approvals(ctx context.Context, stack schema.ResourceKey, digest string) ([]pull.Approval, error)
	// WithdrawReview forgets what a forge's review said of the plans of a stack; what
	// the same person has said since stays. An unknown one is no error.
	WithdrawReview(ctx context.Context, stack schema.ResourceKey, p pull.Key, review string) error
	// ForgetApprovals forgets what was said in a pull request of any plan, and returns the
	// stacks that it was said of, sorted. What jobs have counted stays with them.
	ForgetApprovals(ctx context.Context, p pull.Key) ([]schema.ResourceKey, error)

	// TakeTurn puts a pull request at the end of a stack's queue; one that is in it
	// already stays where it is.
	TakeTurn(ctx context.Context, t pull.Turn) error
	// Turns returns the queues of all stacks, each in the order in which they asked.
	Turns(ctx context.Context) (pull.Turns, error)
	// EndTurns takes a pull request out of the queues of stacks, or of all when none
	// are named, and returns those that it held or waited for.
	EndTurns(ctx context.Context, p pull.Key, stacks ...schema.ResourceKey) ([]schema.ResourceKey, error)
	// Release ends one turn and keeps who ended it and why, both or neither. It fails with
	// ErrNotFound when there is no such turn, and with ErrStackBusy while a job of the
	// pull request is applied to the stack.
	Release(ctx context.Context, r pull.Release) error
	// Releases returns the turns of a stack that were ended so, newest first, at most
	// limit.
	Releases(ctx context.Context, stack schema.ResourceKey, limit int) ([]pull.Release, error)
}

// DeliveriesKept is how long the ids of finished deliveries are remembered at least:
// forges repeat a delivery within days.
const DeliveriesKept = 7 * 24 * time.Hour
