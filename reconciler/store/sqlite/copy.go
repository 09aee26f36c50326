package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CopyRecords copies what a daemon has recorded in one data folder into another one
// that has no records yet, while the daemon goes on. Open jobs are left out: they
// are the daemon's to carry on. A folder without records copies nothing.
func CopyRecords(ctx context.Context, from, to string) error {
	source := filepath.Join(from, FileName)
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := connect(source, []string{"busy_timeout(5000)"}, 1, "deferred")
	if err != nil {
		return fmt.Errorf("copy the records: %w", err)
	}
	target := filepath.Join(to, FileName)
	err = backup(ctx, db, target)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy the records: %w", translate(err))
	}
	db, err = connect(target, []string{"busy_timeout(5000)", "foreign_keys(1)"}, 1, "immediate")
	if err != nil {
		return fmt.Errorf("copy the records: %w", err)
	}
	_, err = db.ExecContext(ctx, "DELETE FROM river_job; DELETE FROM jobs WHERE ended_at IS NULL")
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("copy the records without open jobs: %w", translate(err))
	}
	return nil
}
