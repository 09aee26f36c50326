package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SealedFor returns for which key the records are, its public half ("age1…"); "" while
// nobody has said that.
func (s *Store) SealedFor(ctx context.Context) (string, error) {
	var recipient string
	err := s.read.QueryRowContext(ctx, "SELECT recipient FROM sealing_key").Scan(&recipient)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read which key the records are sealed with: %w", translate(err))
	}
	return recipient, nil
}

// SealFor records for which key the records are.
func (s *Store) SealFor(ctx context.Context, recipient string) error {
	_, err := s.write.ExecContext(ctx, "INSERT INTO sealing_key (id, recipient) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET recipient = excluded.recipient", recipient)
	if err != nil {
		return fmt.Errorf("record which key the records are sealed with: %w", translate(err))
	}
	return nil
}

// KeyOf is SealedFor of the records in a folder that a daemon may have open; "" also where
// there are none, or those of an older release.
func KeyOf(ctx context.Context, folder string) (recipient string, err error) {
	source := filepath.Join(folder, FileName)
	if _, err := os.Stat(source); err != nil {
		return "", nil //nolint:nilerr // there are none
	}
	db, err := connect(source, []string{"busy_timeout(5000)", "query_only(1)"}, 1, "deferred")
	if err != nil {
		return "", fmt.Errorf("read which key the records are sealed with: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'sealing_key')").Scan(&there); err != nil || !there {
		return "", translate(err)
	}
	return (&Store{read: db}).SealedFor(ctx)
}
