package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const (
	// defaultPoll is Options.Poll.
	defaultPoll = time.Second
	// fetchCooldown is the shortest pause between two fetches.
	fetchCooldown = 2 * time.Millisecond
	// keepDone is how long River's rows of done wake-ups stay.
	keepDone = 2 * time.Minute
	// never is past any run of a job: no call is taken for dead, because the only
	// process that could have lost it is gone when another can start.
	never = 10 * 365 * 24 * time.Hour
	// firstRetry and lastRetry bound the back-off of calls that fail.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Wake asks for a look at a job at a time. A time is on the store's clock.
func (s *Store) Wake(ctx context.Context, id stackjob.JobID, at time.Time) error {
	err := s.inTx(ctx, opWake, func(ctx context.Context, tx *sql.Tx) error {
		wait := at.Sub(s.o.Clock())
		if at.IsZero() || wait <= 0 {
			return s.queue.wakeTx(ctx, tx, []stackjob.JobID{id})
		}
		return s.queue.wakeAtTx(ctx, tx, id, time.Now().Add(wait)) // River has its own clock
	})
	if err != nil {
		return fmt.Errorf("wake job %s: %w", id, err)
	}
	s.queue.nudge()
	return nil
}

// wakesAtOnce is how many jobs are woken in one transaction: a flush to the disk for each
// job would take tens of seconds for 10,000, and one transaction for all of them would
// keep other writers waiting.
const wakesAtOnce = 500

// WakeAll asks for a look at many jobs now.
func (s *Store) WakeAll(ctx context.Context, ids []stackjob.JobID) error {
	for some := range slices.Chunk(ids, wakesAtOnce) {
		err := s.inTx(ctx, opWake, func(ctx context.Context, tx *sql.Tx) error { return s.queue.wakeTx(ctx, tx, some) })
		if err != nil {
			return fmt.Errorf("wake %d jobs: %w", len(ids), err)
		}
		s.queue.nudge()
	}
	return nil
}

// Work calls advance for every wake-up. See store.Wakeups.
func (s *Store) Work(ctx context.Context, slots int, advance func(context.Context, stackjob.JobID) error) error {
	if slots < 1 {
		return fmt.Errorf("work: %d slots", slots)
	}
	if !s.working.CompareAndSwap(false, true) {
		return errors.New("work: this store is worked on already")
	}
	defer s.working.Store(false)
	if ctx.Err() != nil {
		return nil
	}
	if err := s.restart(ctx); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{ctx: ctx, advance: advance, log: s.o.Log.With("component", "queue"),
		calls: map[stackjob.JobID]*call{}, failures: map[stackjob.JobID]int{}})
	client, err := river.NewClient(s.queue.driver, &river.Config{
		Logger:                      quiet(s.o.Log),
		Workers:                     workers,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: slots}},
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           cmp.Or(s.o.Poll, defaultPoll),
		JobTimeout:                  -1,
		RescueStuckJobsAfter:        never,
		CompletedJobRetentionPeriod: keepDone,
		CancelledJobRetentionPeriod: keepDone,
		DiscardedJobRetentionPeriod: keepDone,
		ReindexerSchedule:           river.NeverSchedule(),
	})
	if err != nil {
		return fmt.Errorf("work: %w", err)
	}
	// River must not see ctx end: it would stop recording what was done. Stop
	// fetches nothing new and waits for the calls, whose context has ended.
	detached := context.WithoutCancel(ctx)
	if err := client.Start(detached); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	<-ctx.Done()
	if err := client.Stop(detached); err != nil {
		return fmt.Errorf("stop working: %w", err)
	}
	return nil
}

// restart forgets what a dead process left of the queue and wakes all open jobs.
// The lock of the data folder says that nobody else is at work.
func (s *Store) restart(ctx context.Context) error {
	return s.inTx(ctx, opWake, func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range []string{
			"DELETE FROM river_job WHERE state NOT IN ('available', 'scheduled', 'retryable')",
			"DELETE FROM river_job WHERE args ->> 'job' IN (SELECT id FROM jobs WHERE ended_at IS NOT NULL)",
			"DELETE FROM river_leader", // or nobody leads until the dead one's term ends
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("clear the queue: %w", err)
			}
		}
		ids, err := queryIDs(ctx, tx, "SELECT id FROM jobs WHERE ended_at IS NULL ORDER BY id")
		if err != nil {
			return err
		}
		return s.queue.wakeTx(ctx, tx, ids)
	})
}

// worker is River's view of advance.
type worker struct {
	river.WorkerDefaults[wakeup]

	ctx     context.Context // of Work: River's own ends too late for a quick stop
	advance func(context.Context, stackjob.JobID) error
	log     *slog.Logger

	mu       sync.Mutex // guards what follows
	calls    map[stackjob.JobID]*call
	failures map[stackjob.JobID]int // in a row
}

// call is a job that is being advanced.
type call struct {
	// again is set by a wake-up that came meanwhile: what the call has seen may
	// be old.
	again bool
}

// Work makes one call, or leaves word for the one that is going on, which frees the
// slot at once. It returns no error but
// a snooze: River would keep the text of every failure in the row.
func (w *worker) Work(_ context.Context, job *river.Job[wakeup]) error {
	id := job.Args.Job
	w.mu.Lock()
	if c := w.calls[id]; c != nil {
		c.again = true
		w.mu.Unlock()
		return nil
	}
	c := &call{}
	w.calls[id] = c
	w.mu.Unlock()
	if w.ctx.Err() != nil {
		w.end(id, c, nil)
		return nil
	}
	for {
		err := w.guarded(id)
		if again := w.end(id, c, err); !again {
			return w.later(id, err)
		}
	}
}

// end closes a call, unless a wake-up came meanwhile: then there is another one.
func (w *worker) end(id stackjob.JobID, c *call, err error) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failures, id)
	} else {
		w.failures[id]++
	}
	if c.again && w.ctx.Err() == nil {
		c.again = false
		return true
	}
	delete(w.calls, id)
	return false
}

// later asks River for another look after a call that failed. A call that was
// stopped is not repeated: the next Work wakes every open job.
func (w *worker) later(id stackjob.JobID, err error) error {
	if err == nil || w.ctx.Err() != nil {
		return nil
	}
	w.mu.Lock()
	n := w.failures[id]
	w.mu.Unlock()
	wait := min(firstRetry<<min(n-1, 10), lastRetry)
	w.log.Warn("advancing a job failed; it is tried again", "job", id, "error", err, "failures", n, "after", wait)
	return river.JobSnooze(wait)
}

// guarded turns a panic into an error: a bug met by one job must not end the others.
func (w *worker) guarded(id stackjob.JobID) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			w.log.Error("a bug while advancing a job", "job", id, "error", err, "stack", string(debug.Stack()))
		}
	}()
	return w.advance(w.ctx, id)
}
