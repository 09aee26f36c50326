package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Move carries a move out, with its consequences, in one transaction.
func (s *Store) Move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	var after stackjob.Job
	var woken []stackjob.JobID
	err := s.inTx(ctx, opMove, func(ctx context.Context, tx *sql.Tx) error {
		before, moved, ids, err := moveTx(ctx, tx, id, m, s.now())
		if after, woken = before, ids; err != nil {
			return err
		}
		if err := s.queue.wakeTx(ctx, tx, woken); err != nil {
			return err
		}
		after = moved
		return nil
	})
	if err != nil {
		return after, fmt.Errorf("%s: %w", m.Event(), err)
	}
	if m.Event() != stackjob.EvRenew {
		s.watch.fire()
	}
	if len(woken) > 0 {
		s.queue.nudge()
	}
	return after, nil
}

// moveTx is a move inside a transaction. It returns the job before and after it and
// the jobs that must be looked at because of it.
func moveTx(ctx context.Context, tx *sql.Tx, id stackjob.JobID, m stackjob.Move, now time.Time) (before, after stackjob.Job, woken []stackjob.JobID, err error) {
	r, err := loadRow(ctx, tx, id)
	if err != nil {
		return before, after, nil, err
	}
	if before, err = r.decode(); err != nil {
		return before, after, nil, err
	}
	if after, err = m.Apply(before); err != nil {
		return before, after, nil, err
	}
	if err := store.RefuseClearSecrets(after, m.Observed()); err != nil {
		return before, after, nil, err
	}
	if err := updateJob(ctx, tx, r, after, now); err != nil {
		return before, after, nil, err
	}
	if m.Event() == stackjob.EvRenew {
		return before, after, nil, nil // would flood the history, and concerns nobody
	}
	if err := addEvent(ctx, tx, moveEvent(before, after, m)); err != nil {
		return before, after, nil, err
	}
	if err := recordStack(ctx, tx, after, m); err != nil {
		return before, after, nil, err
	}
	if m.Event() == stackjob.EvStartApply || m.Event() == stackjob.EvStartRestore {
		if err := forgetApprovals(ctx, tx, after.Desired.Key); err != nil {
			return before, after, nil, err
		}
	}
	woken, err = concerned(ctx, tx, before, after, m)
	return before, after, woken, err
}

// updateJob writes a job back, if it still is as it was read.
func updateJob(ctx context.Context, tx *sql.Tx, old row, j stackjob.Job, now time.Time) error {
	r, err := encode(j)
	if err != nil {
		return err
	}
	query, args := "UPDATE jobs SET version = version + 1, state = ?, ended_at = ?, document = ?", []any{j.State, endedAt(j, now), r.document}
	if r.plan != old.plan { // large, and mostly the same
		query, args = query+", plan = ?", append(args, r.plan)
	}
	res, err := tx.ExecContext(ctx, query+" WHERE id = ? AND version = ?", append(args, j.ID, old.version)...)
	if isStackBusy(err) {
		return fmt.Errorf("job %s: %w", j.ID, store.ErrStackBusy)
	}
	if err != nil {
		return fmt.Errorf("write job %s: %w", j.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("write job %s: %w", j.ID, stackjob.ErrFenced)
	}
	if j.State.IsFinal() {
		if _, err := tx.ExecContext(ctx, "DELETE FROM job_waits WHERE job = ?", j.ID); err != nil {
			return fmt.Errorf("write job %s: %w", j.ID, err)
		}
	}
	return nil
}

// moveEvent is the entry in the history.
func moveEvent(before, after stackjob.Job, m stackjob.Move) store.JobEvent {
	ev := store.JobEvent{Job: after.ID, At: m.At(), Event: m.Event(), State: after.State, Reason: m.Reason(), Actor: m.Actor()}
	if m.Event() == stackjob.EvRecord {
		for i, op := range after.Operations {
			if i >= len(before.Operations) || before.Operations[i] != op {
				ev.Operation, ev.Result, ev.Reason = op.Kind, op.Result, op.Reason
			}
		}
	}
	return ev
}

func addEvent(ctx context.Context, tx *sql.Tx, ev store.JobEvent) error {
	ev.Seq = 0 // the row's own number
	if _, err := tx.ExecContext(ctx, "INSERT INTO job_events (job, document) VALUES (?, ?)", ev.Job, toJSON(ev)); err != nil {
		return fmt.Errorf("write an event of job %s: %w", ev.Job, err)
	}
	return nil
}

// concerned lists the open jobs to look at after a move: those that wait for a job
// that ended, those of a stack that became free, and the job itself when somebody
// else than its worker made it go on.
func concerned(ctx context.Context, tx *sql.Tx, before, after stackjob.Job, m stackjob.Move) ([]stackjob.JobID, error) {
	var ids []stackjob.JobID
	if after.State.IsFinal() {
		// Of the whole stack: a rerun of a producer that failed is another job than
		// the one that its consumers wait for.
		k := after.Desired.Key
		waiting, err := queryIDs(ctx, tx, `SELECT DISTINCT w.job FROM job_waits w JOIN jobs j ON j.id = w.job
			WHERE w.producer IN (SELECT id FROM jobs WHERE org = ? AND env = ? AND kind = ? AND name = ?)
			AND j.ended_at IS NULL ORDER BY w.job`, k.Org, k.Env, k.Kind, k.Name)
		if err != nil {
			return nil, err
		}
		ids = waiting
	}
	if after.State.IsFinal() || before.State.IsRunning() && !after.State.IsRunning() {
		k := after.Desired.Key
		same, err := queryIDs(ctx, tx, `SELECT id FROM jobs WHERE org = ? AND env = ? AND kind = ? AND name = ?
			AND ended_at IS NULL AND id <> ? ORDER BY id`, k.Org, k.Env, k.Kind, k.Name, after.ID)
		if err != nil {
			return nil, err
		}
		ids = append(ids, same...)
	}
	goesOn := after.State == stackjob.Queued || after.State == stackjob.Ready
	if goesOn && !before.State.IsRunning() && m.Event() != stackjob.EvPostpone {
		ids = append(ids, after.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func queryIDs(ctx context.Context, q querier, query string, args ...any) ([]stackjob.JobID, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read job ids: %w", err)
	}
	defer rows.Close()
	var out []stackjob.JobID
	for rows.Next() {
		var id stackjob.JobID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read job ids: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// recordStack writes what a move says of its stack.
func recordStack(ctx context.Context, tx *sql.Tx, j stackjob.Job, m stackjob.Move) error {
	k := j.Desired.Key
	if o := m.Observed(); o != nil {
		if o.Key != k {
			return fmt.Errorf("job %s of %s: it cannot record what %s is", j.ID, k, o.Key)
		}
		if err := upsertStack(ctx, tx, k, setObserved, toJSON(o), o.JobID); err != nil {
			return err
		}
	}
	if m.Forgets() {
		if _, err := tx.ExecContext(ctx, `UPDATE stacks SET observed = NULL, observed_job = NULL
			WHERE org = ? AND env = ? AND kind = ? AND name = ?`, k.Org, k.Env, k.Kind, k.Name); err != nil {
			return fmt.Errorf("forget %s: %w", k, err)
		}
	}
	// A plan of a pull request says nothing of the stack, and a job that never
	// had its turn neither.
	if !j.State.IsFinal() || j.State == stackjob.Superseded || j.Purpose == stackjob.PlanOnly {
		return nil
	}
	// A restore that came to nothing left everything as it was, how the last job ended too;
	// and one that perhaps came to something says so in what is observed.
	if j.Purpose == stackjob.RestoreState && j.State != stackjob.Succeeded {
		return nil
	}
	last := stackjob.LastJob{ID: j.ID, State: j.State, Reason: j.Reason, Action: j.Action,
		DesiredDigest: j.DesiredDigest, EngineVersion: j.Desired.EngineVersion.Constraint, Hold: j.Hold, Commit: j.Desired.Commit, EndedAt: j.EndedAt}
	return upsertStack(ctx, tx, k, setLast, toJSON(last), j.ID)
}

// The statements of upsertStack.
const (
	setObserved = `INSERT INTO stacks (org, env, kind, name, observed, observed_job) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, env, kind, name) DO UPDATE SET observed = excluded.observed, observed_job = excluded.observed_job`
	setLast = `INSERT INTO stacks (org, env, kind, name, last, last_job) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, env, kind, name) DO UPDATE SET last = excluded.last, last_job = excluded.last_job`
)

// upsertStack carries out one of the two statements.
func upsertStack(ctx context.Context, tx *sql.Tx, k schema.ResourceKey, statement, document string, job stackjob.JobID) error {
	if _, err := tx.ExecContext(ctx, statement, k.Org, k.Env, k.Kind, k.Name, document, job); err != nil {
		return fmt.Errorf("record %s: %w", k, err)
	}
	return nil
}
