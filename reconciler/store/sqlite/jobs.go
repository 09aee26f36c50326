package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// defaultLimit is the length of a page when none is asked for.
const defaultLimit = 100

// Job returns one job.
func (s *Store) Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	r, err := scanRow(s.byID.QueryRowContext(ctx, id), id)
	if err != nil {
		return stackjob.Job{}, err
	}
	return r.decode()
}

const selectJob = "SELECT version, document, plan FROM jobs WHERE id = ?"

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func loadRow(ctx context.Context, q querier, id stackjob.JobID) (row, error) {
	return scanRow(q.QueryRowContext(ctx, selectJob, id), id)
}

func scanRow(found *sql.Row, id stackjob.JobID) (row, error) {
	var r row
	err := found.Scan(&r.version, &r.document, &r.plan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("job %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return r, fmt.Errorf("read job %s: %w", id, translate(err))
	}
	return r, nil
}

// List selects jobs, newest first.
func (s *Store) List(ctx context.Context, q store.JobQuery) ([]stackjob.Job, error) {
	where, args := conditions(q)
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	rows, err := s.read.QueryContext(ctx, "SELECT document FROM jobs"+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...) //nolint:gosec // conditions are constant phrases; values are arguments
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", translate(err))
	}
	defer rows.Close()
	var out []stackjob.Job
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.document); err != nil {
			return nil, fmt.Errorf("list jobs: %w", translate(err))
		}
		j, err := r.decode()
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list jobs: %w", translate(err))
	}
	return out, nil
}

func conditions(q store.JobQuery) (where string, args []any) {
	var terms []string
	add := func(term string, values ...any) {
		terms, args = append(terms, term), append(args, values...)
	}
	for _, c := range []struct{ column, value string }{{"org", q.Org}, {"env", q.Env}, {"kind", q.Kind}, {"name", q.Name}, {"commit_hash", q.Commit}} {
		switch {
		case c.value == "":
		case strings.ContainsAny(c.value, "*?") && (c.column == "kind" || c.column == "name"): // neither can hold these
			add(c.column+" GLOB ?", c.value)
		default:
			add(c.column+" = ?", c.value)
		}
	}
	if len(q.States) > 0 {
		values := make([]any, len(q.States))
		for i, st := range q.States {
			values[i] = string(st)
		}
		add("state IN ("+placeholders(len(values))+")", values...)
	}
	if q.Open {
		add("ended_at IS NULL")
	}
	if q.Before != "" {
		add("id < ?", q.Before)
	}
	if len(terms) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// Events returns a part of the history.
func (s *Store) Events(ctx context.Context, job stackjob.JobID, after int64, limit int) ([]store.JobEvent, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	query, args := "SELECT seq, document FROM job_events WHERE seq > ? ORDER BY seq LIMIT ?", []any{after, limit}
	if job != "" {
		query, args = "SELECT seq, document FROM job_events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?", []any{job, after, limit}
	}
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", translate(err))
	}
	defer rows.Close()
	var out []store.JobEvent
	for rows.Next() {
		var seq int64
		var document string
		if err := rows.Scan(&seq, &document); err != nil {
			return nil, fmt.Errorf("read the events: %w", translate(err))
		}
		ev, err := fromJSON[store.JobEvent](document)
		if err != nil {
			return nil, fmt.Errorf("read event %d: %w", seq, err)
		}
		ev.Seq = seq
		out = append(out, ev)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the events: %w", translate(err))
	}
	return out, nil
}

// NewestEvent is where the history ends.
func (s *Store) NewestEvent(ctx context.Context) (int64, error) {
	var seq int64
	err := s.read.QueryRowContext(ctx, "SELECT seq FROM sqlite_sequence WHERE name = 'job_events'").Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the newest event: %w", translate(err))
	}
	return seq, nil
}
