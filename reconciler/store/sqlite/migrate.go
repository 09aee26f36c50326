package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/stackreeve/stackreeve/reconciler/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// applicationID marks the file as ours ("reev"), so that another program's database
// is refused instead of migrated.
const applicationID = 0x72656576

// backupFolder holds the copies made before upgrades.
const backupFolder = "backups"

// wakeIndex finds the wake-ups of a job that nobody works on yet. River may
// rebuild its table when it is upgraded, so it is made at every start.
const wakeIndex = `CREATE INDEX IF NOT EXISTS reeve_pending_wakeups ON river_job (args ->> 'job', scheduled_at)
	WHERE state IN ('available', 'scheduled', 'retryable')`

// migrate brings the tables to this release's shape. Each step is a transaction; a
// database that exists already is copied before the first one.
func migrate(ctx context.Context, db *sql.DB, o Options) error {
	var id, tables int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("%s: %w: it is the database of another program", filepath.Join(o.Folder, FileName), store.ErrDamaged)
	}
	own, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	ours, err := goose.NewProvider(goose.DialectSQLite3, db, own, goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	rivers, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: quiet(o.Log)})
	if err != nil {
		return fmt.Errorf("prepare the queue's migrations: %w", err)
	}
	pending, err := pendingMigrations(ctx, db, ours, rivers)
	if err != nil {
		return err
	}
	if tables > 0 && pending {
		if err := backupBefore(ctx, db, o); err != nil {
			return fmt.Errorf("copy the database before the upgrade: %w", err)
		}
	}
	if pending {
		if err := upgrade(ctx, db, ours, rivers); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, wakeIndex); err != nil {
		return fmt.Errorf("index the wake-ups: %w", err)
	}
	return nil
}

func upgrade(ctx context.Context, db *sql.DB, ours *goose.Provider, rivers *rivermigrate.Migrator[*sql.Tx]) error {
	// The mark comes first: a start that is interrupted here goes on next time.
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return fmt.Errorf("mark the database: %w", err)
	}
	if _, err := ours.Up(ctx); err != nil {
		return fmt.Errorf("migrate the tables: %w", err)
	}
	if _, err := rivers.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate the queue's tables: %w", err)
	}
	return nil
}

// pendingMigrations tells whether there is something to migrate, and refuses a
// database that is ahead of this release.
func pendingMigrations(ctx context.Context, db *sql.DB, ours *goose.Provider, rivers *rivermigrate.Migrator[*sql.Tx]) (bool, error) {
	have, want, err := ours.GetVersions(ctx)
	if err != nil {
		return false, fmt.Errorf("read the version of the tables: %w", err)
	}
	if have > want {
		return false, fmt.Errorf("%w: its tables have version %d, this release knows %d; start that release, or go back to a copy in %q",
			store.ErrNewer, have, want, backupFolder)
	}
	known := rivers.AllVersions()
	newest := known[len(known)-1].Version
	existing, err := queueVersion(ctx, db)
	if err != nil {
		return false, fmt.Errorf("read the version of the queue's tables: %w", err)
	}
	if existing > newest {
		return false, fmt.Errorf("%w: its queue has version %d, this release knows %d; start that release, or go back to a copy in %q",
			store.ErrNewer, existing, newest, backupFolder)
	}
	return have < want || existing < newest, nil
}

// queueVersion reads River's table itself: its migrator has no answer for a version
// that it does not know.
func queueVersion(ctx context.Context, db *sql.DB) (int, error) {
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'river_migration')").Scan(&there); err != nil || !there {
		return 0, err
	}
	var version sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version) FROM river_migration").Scan(&version)
	return int(version.Int64), err
}

func backupBefore(ctx context.Context, db *sql.DB, o Options) error {
	folder := filepath.Join(o.Folder, backupFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	path := filepath.Join(folder, "before-upgrade-"+o.Clock().UTC().Format("20060102T150405.000")+".db")
	if err := backup(ctx, db, path); err != nil {
		return err
	}
	o.Log.Info("copied the database before its upgrade", "file", path)
	return nil
}

// backup copies the database into a new file.
func backup(ctx context.Context, db *sql.DB, path string) error {
	// SQLite makes the file with its own mode; an empty file of ours it fills.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return errors.Join(syncFile(path), syncFolder(filepath.Dir(path)))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// quiet lets warnings and errors of a library through.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(atLeastWarn{log.Handler()}).With("component", "queue")
}

type atLeastWarn struct{ slog.Handler }

func (h atLeastWarn) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h atLeastWarn) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(a)}
}
func (h atLeastWarn) WithGroup(n string) slog.Handler { return atLeastWarn{h.Handler.WithGroup(n)} }
