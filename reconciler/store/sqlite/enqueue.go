package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// Enqueue writes a revision and its jobs, all or nothing.
func (s *Store) Enqueue(ctx context.Context, e store.Enqueue) ([]stackjob.JobID, error) {
	var ids, woken []stackjob.JobID
	err := s.inTx(ctx, opEnqueue, func(ctx context.Context, tx *sql.Tx) error {
		if err := recordRevision(ctx, tx, e.Revision); err != nil {
			return err
		}
		for _, id := range e.Over {
			if _, err := tx.ExecContext(ctx, "UPDATE stacks SET last = json_set(last, '$.over', json('true')) WHERE last_job = ?", id); err != nil {
				return fmt.Errorf("note that %s is over: %w", id, err)
			}
		}
		if len(e.Jobs) == 0 && len(e.Supersede) == 0 {
			return nil
		}
		a, err := arrange(ctx, tx, e)
		if err != nil {
			return err
		}
		if ids, err = s.insertJobs(ctx, tx, a.Write); err != nil {
			return err
		}
		for _, id := range sortedIDs(a.Waits) {
			if err := s.changeWaits(ctx, tx, id, a.Waits[id]); err != nil {
				return err
			}
		}
		for _, r := range a.Supersede {
			m := stackjob.Unneeded(s.now(), nil, stackjob.Reason{Code: stackjob.ReasonNothingToDo})
			if r.By != "" {
				m = stackjob.Supersede(s.now(), nil, r.By)
			}
			_, _, more, err := moveTx(ctx, tx, r.ID, m, s.now())
			if err != nil {
				return err
			}
			woken = append(woken, more...)
		}
		isNew := make(map[stackjob.JobID]bool, len(ids))
		for _, id := range ids {
			isNew[id] = true
		}
		slices.Sort(woken)
		woken = slices.DeleteFunc(slices.Compact(woken), func(id stackjob.JobID) bool { return isNew[id] })
		if err := s.queue.wakeTx(ctx, tx, woken); err != nil {
			return err
		}
		return s.queue.wakeNewTx(ctx, tx, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	s.watch.fire()
	s.queue.nudge()
	return ids, nil
}

// arrange reads the open jobs and decides.
func arrange(ctx context.Context, tx *sql.Tx, e store.Enqueue) (store.Arrangement, error) {
	open, err := openJobs(ctx, tx)
	if err != nil {
		return store.Arrangement{}, err
	}
	var broken error
	a, err := store.Arrange(e, open, func(id stackjob.JobID) bool {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM jobs WHERE id = ?", id).Scan(&n); err != nil {
			broken = err
		}
		return n > 0
	})
	return a, errors.Join(broken, err)
}

// openJobs reads of every open job what Arrange needs.
func openJobs(ctx context.Context, tx *sql.Tx) ([]stackjob.Job, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, org, env, kind, name, purpose, pull, action, state, desired_digest, because, coalesce(json_extract(document, '$.hold'), 'null'),
		(SELECT json_group_array(producer) FROM job_waits w WHERE w.job = jobs.id) FROM jobs WHERE ended_at IS NULL`)
	if err != nil {
		return nil, fmt.Errorf("read the open jobs: %w", err)
	}
	defer rows.Close()
	var out []stackjob.Job
	for rows.Next() {
		var j stackjob.Job
		var because, waits string
		var held string
		k := &j.Desired.Key
		if err := rows.Scan(&j.ID, &k.Org, &k.Env, &k.Kind, &k.Name, &j.Purpose, &j.Pull, &j.Action, &j.State, &j.DesiredDigest, &because, &held, &waits); err != nil {
			return nil, fmt.Errorf("read the open jobs: %w", err)
		}
		if j.Hold, err = fromJSON[*stackjob.Reason](held); err != nil {
			return nil, fmt.Errorf("read what holds job %s: %w", j.ID, err)
		}
		if j.Because, err = fromJSON[[]stackjob.Because](because); err != nil {
			return nil, fmt.Errorf("read why job %s is there: %w", j.ID, err)
		}
		if j.WaitsFor, err = fromJSON[[]stackjob.JobID](waits); err != nil {
			return nil, fmt.Errorf("read what job %s waits for: %w", j.ID, err)
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

func (s *Store) insertJobs(ctx context.Context, tx *sql.Tx, jobs []stackjob.Job) ([]stackjob.JobID, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO jobs (id, version, org, env, kind, name, purpose, pull, action, state, desired_digest,
		because, commit_hash, created_at, ended_at, document, plan) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)`)
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	var ids []stackjob.JobID
	for _, j := range jobs {
		if err := store.RefuseClearSecrets(j, nil); err != nil {
			return nil, err
		}
		r, err := encode(j)
		if err != nil {
			return nil, err
		}
		k := j.Desired.Key
		_, err = insert.ExecContext(ctx, j.ID, k.Org, k.Env, k.Kind, k.Name, j.Purpose, j.Pull, j.Action, j.State, j.DesiredDigest,
			toJSON(j.Because), j.Desired.Commit, micros(j.CreatedAt), r.document, r.plan)
		if isDouble(err) {
			return nil, fmt.Errorf("the id %s is in use", j.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("write job %s: %w", j.ID, err)
		}
		if err := insertWaits(ctx, tx, j.ID, j.WaitsFor); err != nil {
			return nil, err
		}
		if err := addEvent(ctx, tx, store.JobEvent{Job: j.ID, At: s.now(), Event: stackjob.EvEnqueue, State: j.State,
			Reason: j.Reason, Actor: actorOf(j)}); err != nil {
			return nil, err
		}
		ids = append(ids, j.ID)
	}
	return ids, nil
}

func actorOf(j stackjob.Job) stackjob.Actor {
	if j.Actor == (stackjob.Actor{}) {
		return stackjob.System
	}
	return j.Actor
}

func insertWaits(ctx context.Context, tx *sql.Tx, id stackjob.JobID, producers []stackjob.JobID) error {
	for _, p := range producers {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO job_waits (job, producer) VALUES (?, ?)", id, p); err != nil {
			return fmt.Errorf("write what job %s waits for: %w", id, err)
		}
	}
	return nil
}

// changeWaits writes what an open job waits for after a replacement.
func (s *Store) changeWaits(ctx context.Context, tx *sql.Tx, id stackjob.JobID, producers []stackjob.JobID) error {
	r, err := loadRow(ctx, tx, id)
	if err != nil {
		return err
	}
	j, err := r.decode()
	if err != nil {
		return err
	}
	j.WaitsFor = producers
	if err := updateJob(ctx, tx, r, j, s.now()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM job_waits WHERE job = ?", id); err != nil {
		return fmt.Errorf("write what job %s waits for: %w", id, err)
	}
	return insertWaits(ctx, tx, id, producers)
}

func sortedIDs(m map[stackjob.JobID][]stackjob.JobID) []stackjob.JobID {
	ids := make([]stackjob.JobID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
