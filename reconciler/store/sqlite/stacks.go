package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Stacks returns what is recorded of every stack, as of one moment.
func (s *Store) Stacks(ctx context.Context, org string) (map[schema.ResourceKey]stackjob.Stack, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the stacks: %w", translate(err))
	}
	defer func() { _ = tx.Rollback() }() // it read only
	out := map[schema.ResourceKey]stackjob.Stack{}
	if err := readStacks(ctx, tx, out, "(? = '' OR org = ?)", org, org); err != nil {
		return nil, err
	}
	return out, nil
}

// Stack returns one; one that was never heard of has only its key.
func (s *Store) Stack(ctx context.Context, key schema.ResourceKey) (stackjob.Stack, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return stackjob.Stack{}, fmt.Errorf("read %s: %w", key, translate(err))
	}
	defer func() { _ = tx.Rollback() }() // it read only
	out := map[schema.ResourceKey]stackjob.Stack{}
	if err := readStacks(ctx, tx, out, "org = ? AND env = ? AND kind = ? AND name = ?", key.Org, key.Env, key.Kind, key.Name); err != nil {
		return stackjob.Stack{}, err
	}
	st := out[key]
	st.Key = key
	return st, nil
}

func readStacks(ctx context.Context, tx *sql.Tx, out map[schema.ResourceKey]stackjob.Stack, where string, args ...any) error {
	rows, err := tx.QueryContext(ctx, "SELECT org, env, kind, name, observed, last FROM stacks WHERE "+where, args...) //nolint:gosec // where is one of two constants; values are arguments
	if err != nil {
		return fmt.Errorf("read the stacks: %w", translate(err))
	}
	defer rows.Close()
	for rows.Next() {
		var st stackjob.Stack
		var observed, last sql.NullString
		if err := rows.Scan(&st.Key.Org, &st.Key.Env, &st.Key.Kind, &st.Key.Name, &observed, &last); err != nil {
			return fmt.Errorf("read the stacks: %w", translate(err))
		}
		if st.Observed, err = fromColumn[stackjob.Observed](observed); err != nil {
			return fmt.Errorf("read what %s is: %w", st.Key, err)
		}
		if st.Last, err = fromColumn[stackjob.LastJob](last); err != nil {
			return fmt.Errorf("read the last job of %s: %w", st.Key, err)
		}
		out[st.Key] = st
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the stacks: %w", translate(err))
	}
	return readOpen(ctx, tx, out, where, args...)
}

// readOpen adds the newest open job of each stack; a plan-only one is no part of
// what becomes of the stack.
func readOpen(ctx context.Context, tx *sql.Tx, out map[schema.ResourceKey]stackjob.Stack, where string, args ...any) error {
	rows, err := tx.QueryContext(ctx, "SELECT document FROM jobs WHERE ended_at IS NULL AND purpose <> 'plan-only' AND "+where+" ORDER BY id", args...) //nolint:gosec // where is one of two constants; values are arguments
	if err != nil {
		return fmt.Errorf("read the open jobs: %w", translate(err))
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.document); err != nil {
			return fmt.Errorf("read the open jobs: %w", translate(err))
		}
		j, err := r.decode()
		if err != nil {
			return err
		}
		st := out[j.Desired.Key]
		st.Key, st.Open = j.Desired.Key, &j
		out[j.Desired.Key] = st
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the open jobs: %w", translate(err))
	}
	return nil
}

func fromColumn[T any](c sql.NullString) (*T, error) {
	if !c.Valid {
		return nil, nil
	}
	v, err := fromJSON[T](c.String)
	return &v, err
}

// LastRevision returns the newest revision of a repository.
func (s *Store) LastRevision(ctx context.Context, repository string) (store.RevisionRecord, error) {
	var document string
	err := s.read.QueryRowContext(ctx, "SELECT document FROM revisions WHERE repository = ? ORDER BY seq DESC LIMIT 1", repository).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return store.RevisionRecord{}, fmt.Errorf("revision of %s: %w", repository, store.ErrNotFound)
	}
	if err != nil {
		return store.RevisionRecord{}, fmt.Errorf("read the last revision of %s: %w", repository, translate(err))
	}
	return fromJSON[store.RevisionRecord](document)
}

// RecordRevision notes a revision.
func (s *Store) RecordRevision(ctx context.Context, r store.RevisionRecord) error {
	if r.Repository == "" {
		return errors.New("record a revision: it names no repository")
	}
	err := s.inTx(ctx, opRevision, func(ctx context.Context, tx *sql.Tx) error { return recordRevision(ctx, tx, r) })
	if err != nil {
		return fmt.Errorf("record revision %s: %w", r.Commit, err)
	}
	return nil
}

// recordRevision writes one row per commit, and the newest comparison of it: a tree
// that is compared again and again is one revision.
func recordRevision(ctx context.Context, tx *sql.Tx, r store.RevisionRecord) error {
	if r.Repository == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO revisions (repository, commit_hash, compared_at, document) VALUES (?, ?, ?, ?)",
		r.Repository, r.Commit, micros(r.ComparedAt), toJSON(r))
	return err
}
