package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// wakeup is the only kind of River job: look at this Stack Job now.
type wakeup struct {
	Job stackjob.JobID `json:"job"`
}

// Kind names it in River's table.
func (wakeup) Kind() string { return "advance" }

// queue puts wake-ups into River's table, in the transaction of what they are about.
//
// River's own uniqueness cannot be used: it insists on counting a running job as a
// double, which would swallow the wake-up that arrives while its Stack Job is being
// advanced, and a scheduled one, which would swallow "now" because of "tomorrow".
// So a wake-up is left out only when one waits that is due no later.
type queue struct {
	driver *nudgedDriver
	client *river.Client[*sql.Tx] // inserts only
}

func newQueue(db *sql.DB, o Options) (*queue, error) {
	d := &nudgedDriver{Driver: riversqlite.New(db), nudges: make(chan struct{}, 1)}
	client, err := river.NewClient(d, &river.Config{Logger: quiet(o.Log)})
	if err != nil {
		return nil, fmt.Errorf("prepare the queue: %w", err)
	}
	return &queue{driver: d, client: client}, nil
}

// nudge tells a working River that there is something to fetch. It is called after
// the commit: before it there is nothing to see.
func (q *queue) nudge() {
	select {
	case q.driver.nudges <- struct{}{}:
	default: // it was told and has not looked yet
	}
}

// pending finds a wake-up of a job that waits and is due by a time. Its WHERE has
// the words of wakeIndex.
const pending = `SELECT EXISTS (SELECT 1 FROM river_job WHERE args ->> 'job' = ?
	AND state IN ('available', 'scheduled', 'retryable') AND scheduled_at <= ?)`

// riverTime is River's format of times in SQLite, which are compared as text.
const riverTime = "2006-01-02 15:04:05.000"

// wakeTx wakes jobs now.
func (q *queue) wakeTx(ctx context.Context, tx *sql.Tx, ids []stackjob.JobID) error {
	now := time.Now()
	var missing []stackjob.JobID
	for _, id := range ids {
		there, err := isPending(ctx, tx, id, now)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, id)
		}
	}
	return q.wakeNewTx(ctx, tx, missing)
}

func isPending(ctx context.Context, tx *sql.Tx, id stackjob.JobID, at time.Time) (bool, error) {
	var there bool
	if err := tx.QueryRowContext(ctx, pending, string(id), at.UTC().Format(riverTime)).Scan(&there); err != nil {
		return false, fmt.Errorf("look for wake-ups of job %s: %w", id, err)
	}
	return there, nil
}

// wakeNewTx wakes jobs that cannot have a wake-up yet.
func (q *queue) wakeNewTx(ctx context.Context, tx *sql.Tx, ids []stackjob.JobID) error {
	if len(ids) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(ids))
	for i, id := range ids {
		params[i] = river.InsertManyParams{Args: wakeup{Job: id}, InsertOpts: &river.InsertOpts{MaxAttempts: math.MaxInt16}}
	}
	if _, err := q.client.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("write wake-ups: %w", err)
	}
	return nil
}

// wakeAtTx wakes a job at a time.
func (q *queue) wakeAtTx(ctx context.Context, tx *sql.Tx, id stackjob.JobID, at time.Time) error {
	there, err := isPending(ctx, tx, id, at)
	if err != nil || there {
		return err
	}
	if _, err := q.client.InsertTx(ctx, tx, wakeup{Job: id}, &river.InsertOpts{MaxAttempts: math.MaxInt16, ScheduledAt: at}); err != nil {
		return fmt.Errorf("write a wake-up: %w", err)
	}
	return nil
}

// nudgedDriver is River's SQLite driver with another ear. The original one writes a
// row for each notification and reads for it twenty times a second on the only
// write connection; we are the only process and can say it in memory: wake-ups
// start within a few milliseconds, and an idle daemon is idle.
type nudgedDriver struct {
	*riversqlite.Driver
	nudges chan struct{}
}

// SupportsListenNotify is false: no rows are written to notify anybody.
func (d *nudgedDriver) SupportsListenNotify() bool { return false }

// GetListener returns the ear.
func (d *nudgedDriver) GetListener(p *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &ear{nudges: d.nudges, schema: p.Schema}
}

// ear hears nudges as River's "a job was inserted".
type ear struct {
	nudges chan struct{}
	schema string
}

func (e *ear) Close(context.Context) error            { return nil }
func (e *ear) Connect(context.Context) error          { return nil }
func (e *ear) Listen(context.Context, string) error   { return nil }
func (e *ear) Ping(context.Context) error             { return nil }
func (e *ear) Schema() string                         { return e.schema }
func (e *ear) SetAfterConnectExec(string)             {}
func (e *ear) Unlisten(context.Context, string) error { return nil }

// WaitForNotification returns when there was a nudge.
func (e *ear) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case <-e.nudges:
		return &riverdriver.Notification{Topic: "river_insert", Payload: `{"queue":"` + river.QueueDefault + `"}`}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
