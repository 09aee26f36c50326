package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// Receive writes a verified delivery into the inbox and returns when it is durable;
// then it is worked on.
func (l *Loop) Receive(ctx context.Context, repository string, d forge.Delivery) error {
	fresh, err := l.o.Records.Receive(ctx, pull.Delivery{Repository: repository, ID: d.ID, ReceivedAt: l.o.Now(),
		Topic: string(d.Topic), Number: d.Number, Head: d.Head, Branch: d.Branch, Comment: d.Comment})
	if err != nil {
		return err
	}
	l.metrics.delivery(d.Topic, fresh)
	if fresh {
		pace.Poke(l.inbox)
	}
	return nil
}

// inboxBatch is how many deliveries are worked on at once. One that the forge does not
// let succeed holds up no other.
const inboxBatch = 1000

// work takes deliveries out of the inbox. A delivery is finished when the look that it
// asks for has succeeded.
func (l *Loop) work(ctx context.Context) {
	type id struct{ repository, delivery string }
	var mu sync.Mutex
	under := map[id]bool{}
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.inbox:
		}
		batch, err := l.o.Records.Inbox(ctx, inboxBatch)
		if err != nil {
			if ctx.Err() == nil {
				l.log.Warn("cannot read the inbox", "error", err)
				time.AfterFunc(inboxAgain, func() { pace.Poke(l.inbox) })
			}
			continue
		}
		for _, d := range batch {
			name := id{d.Repository, d.ID}
			mu.Lock()
			begun := under[name]
			under[name] = true
			mu.Unlock()
			if begun {
				continue
			}
			all.Go(func() {
				l.deliver(ctx, d)
				mu.Lock()
				delete(under, name)
				mu.Unlock()
				if len(batch) == inboxBatch {
					pace.Poke(l.inbox) // there may be more than were read
				}
			})
		}
	}
}

// inboxAgain is when an inbox that could not be read is read again.
const inboxAgain = time.Second

// deliver does what a delivery asks for, until it has succeeded.
func (l *Loop) deliver(ctx context.Context, d pull.Delivery) {
	for failures := 1; ; failures++ {
		err := l.handle(ctx, d)
		if err == nil {
			err = l.o.Records.FinishDelivery(ctx, d.Repository, d.ID)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if failures == maxTries {
			// What it was about is found by the poll.
			l.log.Warn("a delivery is given up; polling will find what it was about", "repository", d.Repository, "delivery", d.ID, "error", err)
			if err := l.o.Records.FinishDelivery(ctx, d.Repository, d.ID); err != nil {
				l.log.Warn("cannot finish a delivery", "error", err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace.Pause(time.Second, failures, retryAfter(err))):
		}
	}
}

// maxTries is how often a delivery is tried.
const maxTries = 5

func (l *Loop) handle(ctx context.Context, d pull.Delivery) error {
	f := l.repository(d.Repository)
	if f == nil {
		return nil // no longer followed
	}
	switch forge.Topic(d.Topic) {
	case forge.TopicPush:
		if view := l.o.Planner.View(d.Repository); view != nil && view.Revision.Branch != "" && view.Revision.Branch != d.Branch {
			return nil
		}
		if err := l.o.Planner.Poll(ctx, d.Repository); err != nil {
			return fmt.Errorf("poll %s: %w", d.Repository, err)
		}
		return l.moved(ctx, d.Repository)
	case forge.TopicPullRequest, forge.TopicComment, forge.TopicReview:
		if d.Number <= 0 {
			return nil
		}
		key := pull.Key{Repository: d.Repository, Number: d.Number}
		err := l.lookFor(ctx, key, d)
		if errors.Is(err, forge.ErrNotFound) && l.o.Now().Sub(d.ReceivedAt) > settles {
			return nil // it is gone, or was never there
		}
		return err
	}
	return nil
}

// late is when to look again after a look that did not find what a delivery tells of: a
// forge may deliver before its own API knows.
var late = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// lookFor looks at a pull request until what a delivery tells of has shown up, a few times
// at most; those who wait for the same pull request share looks. A delivery is believed no
// more than that there is something to look for: what is planned is what the forge's API
// tells. What shows up later than that is found by the poll.
func (l *Loop) lookFor(ctx context.Context, key pull.Key, d pull.Delivery) error {
	before, err := l.known(ctx, key)
	if err != nil {
		return err
	}
	for again := 0; ; again++ {
		if err := l.Look(ctx, key); err != nil {
			return err
		}
		after, err := l.known(ctx, key)
		if err != nil || again == len(late) || !isBehind(d, before, after) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(late[again]):
		}
	}
}

// isBehind tells whether the forge has yet to tell of what a delivery was about.
func isBehind(d pull.Delivery, before, after pull.Pull) bool {
	switch forge.Topic(d.Topic) {
	case forge.TopicPullRequest: // an old delivery, of a head that is gone, ends with the last look
		return d.Head != "" && after.Phase == pull.Open && !after.Proposal.Closed && after.Proposal.Head != d.Head
	case forge.TopicReview: // as far as any policy counts them
		return after.ByReview && slices.EqualFunc(before.Reviewed, after.Reviewed, func(a, b pull.Reviewed) bool { return a.ID == b.ID })
	}
	return false
}

// known is what is recorded of a pull request; nothing for one that nobody knows yet.
func (l *Loop) known(ctx context.Context, key pull.Key) (pull.Pull, error) {
	p, _, err := l.o.Records.Pull(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return p, err
}
