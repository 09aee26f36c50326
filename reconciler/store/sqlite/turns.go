package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
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
