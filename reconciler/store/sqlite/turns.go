package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// TakeTurn puts a pull request at the end of a stack's queue.
func (s *Store) TakeTurn(ctx context.Context, t pull.Turn) error {
	if t.Stack.IsZero() || t.Pull.Repository == "" || t.Pull.Number <= 0 {
		return errors.New("take a turn: it does not say of what or for whom")
	}
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		k := t.Stack
		_, err := tx.ExecContext(ctx, "INSERT INTO turns (org, env, kind, name, repository, number, document) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			k.Org, k.Env, k.Kind, k.Name, t.Pull.Repository, t.Pull.Number, toJSON(t))
		return err
	})
	if err != nil {
		return fmt.Errorf("take the turn of %s: %w", t.Stack, err)
	}
	return nil
}

// Turns returns the queues of all stacks.
func (s *Store) Turns(ctx context.Context) (pull.Turns, error) {
	out, err := documents[pull.Turn](ctx, s.read, "SELECT document FROM turns ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("read the turns: %w", err)
	}
	return out, nil
}

// EndTurns takes a pull request out of queues.
func (s *Store) EndTurns(ctx context.Context, p pull.Key, stacks ...schema.ResourceKey) ([]schema.ResourceKey, error) {
	var ended []schema.ResourceKey
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		ended = nil
		list, err := documents[pull.Turn](ctx, tx, "SELECT document FROM turns WHERE repository = ? AND number = ? ORDER BY seq", p.Repository, p.Number)
		if err != nil {
			return err
		}
		for _, t := range list {
			k := t.Stack
			if len(stacks) > 0 && !slices.Contains(stacks, k) {
				continue
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM turns WHERE org = ? AND env = ? AND kind = ? AND name = ? AND repository = ? AND number = ?",
				k.Org, k.Env, k.Kind, k.Name, p.Repository, p.Number); err != nil {
				return err
			}
			ended = append(ended, k)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("end the turns of %s: %w", p, err)
	}
	return ended, nil
}

// Release ends one turn by an operator's word.
func (s *Store) Release(ctx context.Context, r pull.Release) error {
	if r.Stack.IsZero() || r.By.Name == "" || r.Reason == "" {
		return errors.New("end a turn: it does not say of what, by whom or why")
	}
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		k := r.Stack
		var busy bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM jobs WHERE org = ? AND env = ? AND kind = ? AND name = ? AND state = ?
			AND json_extract(document, '$.pull') = ?)`, k.Org, k.Env, k.Kind, k.Name, stackjob.Applying, r.Pull.String()).Scan(&busy); err != nil {
			return err
		}
		if busy {
			return store.ErrStackBusy
		}
		n, err := affected(tx.ExecContext(ctx, "DELETE FROM turns WHERE org = ? AND env = ? AND kind = ? AND name = ? AND repository = ? AND number = ?",
			k.Org, k.Env, k.Kind, k.Name, r.Pull.Repository, r.Pull.Number))
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO releases (org, env, kind, name, released_at, document) VALUES (?, ?, ?, ?, ?, ?)",
			k.Org, k.Env, k.Kind, k.Name, micros(r.At), toJSON(r))
		return err
	})
	if err != nil {
		return fmt.Errorf("end the turn of %s of %s: %w", r.Stack, r.Pull, err)
	}
	return nil
}

// Releases returns the turns of a stack that an operator ended.
func (s *Store) Releases(ctx context.Context, stack schema.ResourceKey, limit int) ([]pull.Release, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	out, err := documents[pull.Release](ctx, s.read, "SELECT document FROM releases WHERE org = ? AND env = ? AND kind = ? AND name = ? ORDER BY seq DESC LIMIT ?",
		stack.Org, stack.Env, stack.Kind, stack.Name, limit)
	if err != nil {
		return nil, fmt.Errorf("read the ended turns of %s: %w", stack, err)
	}
	return out, nil
}
