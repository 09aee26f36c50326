package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

var _ store.Pulls = (*Store)(nil)

// Pull returns one pull request and its version.
func (s *Store) Pull(ctx context.Context, key pull.Key) (pull.Pull, int64, error) {
	var version int64
	var document string
	err := s.read.QueryRowContext(ctx, "SELECT version, document FROM pulls WHERE repository = ? AND number = ?", key.Repository, key.Number).
		Scan(&version, &document)
	if errors.Is(err, sql.ErrNoRows) {
		return pull.Pull{}, 0, fmt.Errorf("pull request %s: %w", key, store.ErrNotFound)
	}
	if err != nil {
		return pull.Pull{}, 0, fmt.Errorf("read pull request %s: %w", key, translate(err))
	}
	p, err := fromJSON[pull.Pull](document)
	if err != nil {
		return p, 0, fmt.Errorf("read pull request %s: %w", key, err)
	}
	return p, version, nil
}

// SavePull writes one, if it is still as it was read.
func (s *Store) SavePull(ctx context.Context, p pull.Pull, version int64) (int64, error) {
	if p.Key.Repository == "" || p.Key.Number <= 0 {
		return 0, errors.New("write a pull request: it has no name")
	}
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		query, args := `UPDATE pulls SET version = version + 1, phase = ?, updated_at = ?, document = ?
			WHERE repository = ? AND number = ? AND version = ?`,
			[]any{p.Phase, micros(s.now()), toJSON(p), p.Key.Repository, p.Key.Number, version}
		if version == 0 {
			query = `INSERT INTO pulls (phase, updated_at, document, repository, number, version) VALUES (?, ?, ?, ?, ?, ? + 1)
				ON CONFLICT DO NOTHING`
		}
		n, err := affected(tx.ExecContext(ctx, query, args...))
		if err == nil && n != 1 {
			err = store.ErrConflict
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write pull request %s: %w", p.Key, err)
	}
	return version + 1, nil
}

// Pulls selects pull requests, newest number first.
func (s *Store) Pulls(ctx context.Context, q store.PullQuery) ([]pull.Pull, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	query := "SELECT document FROM pulls WHERE (? = '' OR repository = ?)"
	if q.Unfinished {
		query += " AND phase <> 'done'"
	}
	out, err := documents[pull.Pull](ctx, s.read, query+" ORDER BY number DESC, repository LIMIT ?", q.Repository, q.Repository, limit)
	if err != nil {
		return nil, fmt.Errorf("list pull requests: %w", err)
	}
	return out, nil
}

// documents reads a column of documents.
func documents[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var document string
		if err := rows.Scan(&document); err != nil {
			return nil, translate(err)
		}
		v, err := fromJSON[T](document)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, translate(rows.Err())
}

// Receive puts a delivery into the inbox.
func (s *Store) Receive(ctx context.Context, d pull.Delivery) (fresh bool, err error) {
	if d.Repository == "" || d.ID == "" {
		return false, errors.New("receive a delivery: it has no id")
	}
	err = s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		n, err := affected(tx.ExecContext(ctx, "INSERT INTO deliveries (repository, id, received_at, document) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			d.Repository, d.ID, micros(d.ReceivedAt), toJSON(d)))
		fresh = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("receive a delivery: %w", err)
	}
	return fresh, nil
}

// Inbox returns the deliveries that are not finished, oldest first.
func (s *Store) Inbox(ctx context.Context, limit int) ([]pull.Delivery, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	out, err := documents[pull.Delivery](ctx, s.read, "SELECT document FROM deliveries WHERE finished_at IS NULL ORDER BY seq LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	return out, nil
}

// FinishDelivery takes a delivery out of the inbox.
func (s *Store) FinishDelivery(ctx context.Context, repository, id string) error {
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE deliveries SET finished_at = ? WHERE repository = ? AND id = ? AND finished_at IS NULL",
			micros(s.now()), repository, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish a delivery: %w", err)
	}
	return nil
}

// RecordApproval keeps what a person said of a plan.
func (s *Store) RecordApproval(ctx context.Context, a pull.Approval) error {
	if a.Stack.IsZero() || a.PlanDigest == "" || a.Actor.Name == "" {
		return errors.New("record an approval: it does not say of what or by whom")
	}
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		k := a.Stack
		// A new row, so that the order is that in which it was said.
		if _, err := tx.ExecContext(ctx, "DELETE FROM approvals WHERE org = ? AND env = ? AND kind = ? AND name = ? AND digest = ? AND actor IN (?, ?)",
			k.Org, k.Env, k.Kind, k.Name, a.PlanDigest, actorKey(a), loginKey(a)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO approvals (org, env, kind, name, digest, actor, given_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			k.Org, k.Env, k.Kind, k.Name, a.PlanDigest, actorKey(a), micros(a.At), toJSON(a))
		return err
	})
	if err != nil {
		return fmt.Errorf("record an approval of %s: %w", a.Stack, err)
	}
	s.watch.fire()
	return nil
}

// actorKey tells persons apart: the same name may stand for two on two forges, and for
// another one on the same forge when it was given away. Who is renamed stays who it is.
func actorKey(a pull.Approval) string {
	if a.Actor.ID != "" {
		return a.Actor.Via + "#" + a.Actor.ID
	}
	return loginKey(a)
}

// loginKey is of what was recorded without the account's number, as by an older release.
func loginKey(a pull.Approval) string { return a.Actor.Via + ":" + a.Actor.Name }

// Approvals returns what was said of a plan.
func (s *Store) Approvals(ctx context.Context, stack schema.ResourceKey, digest string) ([]pull.Approval, error) {
	out, err := documents[pull.Approval](ctx, s.read, "SELECT document FROM approvals WHERE org = ? AND env = ? AND kind = ? AND name = ? AND digest = ? ORDER BY seq",
		stack.Org, stack.Env, stack.Kind, stack.Name, digest)
	if err != nil {
		return nil, fmt.Errorf("read the approvals of %s: %w", stack, err)
	}
	return out, nil
}

// forgetApprovals is for a stack whose state is about to move.
func forgetApprovals(ctx context.Context, tx *sql.Tx, k schema.ResourceKey) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM approvals WHERE org = ? AND env = ? AND kind = ? AND name = ?", k.Org, k.Env, k.Kind, k.Name); err != nil {
		return fmt.Errorf("forget the approvals of %s: %w", k, err)
	}
	return nil
}

// ForgetApprovals forgets what was said in a pull request.
func (s *Store) ForgetApprovals(ctx context.Context, p pull.Key) ([]schema.ResourceKey, error) {
	var stacks []schema.ResourceKey
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		stacks = nil // it may be tried again
		said, err := documents[pull.Approval](ctx, tx, `DELETE FROM approvals
			WHERE json_extract(document, '$.pull.repository') = ? AND json_extract(document, '$.pull.number') = ? RETURNING document`, p.Repository, p.Number)
		for _, a := range said {
			stacks = append(stacks, a.Stack)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("forget the approvals of %s: %w", p, err)
	}
	slices.SortFunc(stacks, schema.ResourceKey.Compare)
	return slices.Compact(stacks), nil
}

// WithdrawReview forgets what a review said of a stack's plans.
func (s *Store) WithdrawReview(ctx context.Context, stack schema.ResourceKey, p pull.Key, review string) error {
	if review == "" {
		return errors.New("withdraw a review: it has no id")
	}
	err := s.inTx(ctx, opPull, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM approvals WHERE org = ? AND env = ? AND kind = ? AND name = ?
			AND json_extract(document, '$.review') = ? AND json_extract(document, '$.pull.repository') = ? AND json_extract(document, '$.pull.number') = ?`,
			stack.Org, stack.Env, stack.Kind, stack.Name, review, p.Repository, p.Number)
		return err
	})
	if err != nil {
		return fmt.Errorf("withdraw a review of %s: %w", stack, err)
	}
	s.watch.fire()
	return nil
}
