package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/store"
)

// pruneBatch is how many jobs one transaction forgets: the writer is not kept from
// others for long.
const pruneBatch = 500

// Prune forgets old ended jobs and revisions, a batch at a time.
func (s *Store) Prune(ctx context.Context, o store.PruneOptions) (store.Pruned, error) {
	var total store.Pruned
	if o.OlderThan.IsZero() {
		return total, nil
	}
	for {
		var n store.Pruned
		err := s.inTx(ctx, opPrune, func(ctx context.Context, tx *sql.Tx) (err error) {
			n, err = pruneTx(ctx, tx, o, s.now())
			return err
		})
		if err != nil {
			return total, fmt.Errorf("prune: %w", err)
		}
		total = total.Plus(n)
		if n.Jobs < pruneBatch {
			return total, nil
		}
	}
}

func pruneTx(ctx context.Context, tx *sql.Tx, o store.PruneOptions, now time.Time) (n store.Pruned, err error) {
	before := micros(o.OlderThan)
	ids, err := queryIDs(ctx, tx, `SELECT j.id FROM jobs j WHERE j.ended_at < ?
		AND NOT EXISTS (SELECT 1 FROM stacks s WHERE s.org = j.org AND s.env = j.env AND s.kind = j.kind AND s.name = j.name
			AND (s.observed_job = j.id OR s.last_job = j.id))
		AND (SELECT count(*) FROM (SELECT 1 FROM jobs n WHERE n.org = j.org AND n.env = j.env AND n.kind = j.kind AND n.name = j.name
			AND n.id > j.id AND n.ended_at IS NOT NULL LIMIT ?)) >= ?
		ORDER BY j.id LIMIT ?`, before, o.KeepPerStack, o.KeepPerStack, pruneBatch)
	if err != nil {
		return n, err
	}
	for _, id := range ids {
		events, err := affected(tx.ExecContext(ctx, "DELETE FROM job_events WHERE job = ?", id))
		if err != nil {
			return n, fmt.Errorf("job %s: %w", id, err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM jobs WHERE id = ?", id); err != nil {
			return n, fmt.Errorf("job %s: %w", id, err)
		}
		n.Jobs, n.Events = n.Jobs+1, n.Events+events
	}
	for _, f := range []struct {
		count *int
		query string
		args  []any
	}{
		{&n.Revisions, `DELETE FROM revisions WHERE compared_at < ?
			AND seq < (SELECT max(r.seq) FROM revisions r WHERE r.repository = revisions.repository)`, []any{before}},
		{&n.Pulls, "DELETE FROM pulls WHERE phase = 'done' AND updated_at < ?", []any{before}},
		{new(int), "DELETE FROM releases WHERE released_at < ?", []any{before}},
		{&n.Approvals, "DELETE FROM approvals WHERE given_at < ?", []any{before}},
		{&n.Deliveries, "DELETE FROM deliveries WHERE finished_at < ?", []any{micros(now.Add(-store.DeliveriesKept))}},
	} {
		if *f.count, err = affected(tx.ExecContext(ctx, f.query, f.args...)); err != nil {
			return n, err
		}
	}
	return n, nil
}

func affected(res sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// Backup writes a consistent copy of the records to a new file, mode 0600.
func (s *Store) Backup(ctx context.Context, path string) error {
	// A connection of its own: the readers' may not write, not even elsewhere, and
	// the writer has work to do.
	db, err := connect(filepath.Join(s.o.Folder, FileName), []string{"busy_timeout(5000)"}, 1, "deferred")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := backup(ctx, db, path); err != nil {
		return fmt.Errorf("back up to %s: %w", path, translate(err))
	}
	return nil
}
