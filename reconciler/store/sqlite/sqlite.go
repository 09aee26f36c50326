// Package sqlite is the store in one SQLite file, for one daemon on one machine.
//
// The data folder holds reeve.db (with SQLite's -wal and -shm beside it), the lock
// file that keeps a second daemon out, and copies made before an upgrade:
//
//	reeve.db  reeve.db-wal  reeve.db-shm  reeve.lock  backups/
//
// One connection writes and a small pool reads. SQLite has one writer at a time
// anyway; giving it one connection turns "database is locked" into a queue. Each
// commit is flushed to the disk before it returns (WAL with synchronous=FULL), so
// that an intent to apply survives a power cut. The write connection is shared with
// River, which carries the wake-ups in the same file and the same transactions.
//
// The package does not decide anything: what a job may become is decided by
// stackjob, what an Enqueue replaces by store.Arrange.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/store"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// FileName is the database file in the data folder.
const FileName = "reeve.db"

// readers is the size of the read pool: enough for the console, the API and the
// workers, few enough to keep page caches small.
const readers = 4

// Options say where the records are.
type Options struct {
	// Folder is the data folder. It is made, with mode 0700, when missing.
	Folder string
	// Clock is the time for what the store itself records; nil means time.Now.
	Clock func() time.Time
	// Log gets warnings of the queue; nil discards them.
	Log *slog.Logger
	// Registerer gets the metrics; nil means none.
	Registerer prometheus.Registerer
	// Poll is how often wake-ups whose time has come are looked for; 0 means one second. New
	// ones do not wait for it.
	Poll time.Duration
}

// Store is the store in a file. It is safe for concurrent use.
type Store struct {
	o       Options
	lock    *flock.Flock
	write   *sql.DB // one connection
	read    *sql.DB
	byID    *sql.Stmt // of read; the most frequent question, which takes longer to parse than to answer
	queue   *queue
	watch   watchers
	metrics *metrics
	working atomic.Bool
	closed  atomic.Bool
}

var (
	_ store.Jobs      = (*Store)(nil)
	_ store.Stacks    = (*Store)(nil)
	_ store.Revisions = (*Store)(nil)
	_ store.Wakeups   = (*Store)(nil)
	_ store.Watcher   = (*Store)(nil)
	_ store.Upkeep    = (*Store)(nil)
)

// Open opens the records, or makes them. It fails with store.ErrInUse when another
// process has the folder, store.ErrReadOnly when it cannot be written,
// store.ErrFull, store.ErrNewer and store.ErrDamaged.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lock, err := claimFolder(o.Folder)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, lock: lock, metrics: newMetrics(o.Registerer)}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(translate(err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	path := filepath.Join(s.o.Folder, FileName)
	if err := makeFile(path); err != nil {
		return err
	}
	var err error
	if s.write, err = connect(path, writePragmas, 1, "immediate"); err != nil {
		return err
	}
	if err := migrate(ctx, s.write, s.o); err != nil {
		return err
	}
	if s.read, err = connect(path, readPragmas, readers, "deferred"); err != nil {
		return err
	}
	if s.byID, err = s.read.PrepareContext(ctx, selectJob); err != nil {
		return err
	}
	s.queue, err = newQueue(s.write, s.o)
	return err
}

// Close ends the use of the file. Work must have ended before.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	var errs []error
	if s.byID != nil {
		errs = append(errs, s.byID.Close())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		// What is learned about the tables' shape makes the next start quick;
		// it is no loss when it fails.
		_, _ = s.write.Exec("PRAGMA optimize")
		errs = append(errs, s.write.Close())
	}
	s.watch.close()
	errs = append(errs, s.lock.Unlock())
	return errors.Join(errs...)
}

var (
	writePragmas = []string{
		"busy_timeout(5000)", // an operator's sqlite3 shell may hold the lock for a moment
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"fullfsync(1)", // macOS: fsync alone does not reach the disk
		"checkpoint_fullfsync(1)",
		"foreign_keys(1)",
		"secure_delete(1)", // pruned records are gone from the file
		"journal_size_limit(67108864)",
		"cache_size(-16384)",
		"temp_store(MEMORY)",
	}
	readPragmas = []string{"busy_timeout(5000)", "query_only(1)", "cache_size(-8192)", "temp_store(MEMORY)"}
)

func connect(path string, pragmas []string, conns int, lock string) (*sql.DB, error) {
	q := url.Values{"_pragma": pragmas, "_txlock": {lock}}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// inTx runs f in a write transaction. ctx can end the wait for the connection, not
// the transaction: a record that has begun to be written is written, because the
// caller that stops is the one whose outcome must not be lost.
func (s *Store) inTx(ctx context.Context, op writeOp, f func(ctx context.Context, tx *sql.Tx) error) (err error) {
	started := time.Now()
	defer func() { s.metrics.wrote(op, time.Since(started), err) }()
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Close()
	ctx = context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return translate(err)
	}
	if err := f(ctx, tx); err != nil {
		// SQLite has rolled back by itself after a full disk or an I/O error.
		_ = tx.Rollback()
		return translate(err)
	}
	return translate(tx.Commit())
}

// now is the clock without what does not survive being written.
func (s *Store) now() time.Time { return s.o.Clock().Round(0).UTC() }

func micros(t time.Time) int64 { return t.UnixMicro() }

// placeholders is "?, ?, ?".
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// makeFile makes the database file before SQLite does, so that it, and with it the
// files beside it, can be read by its owner alone.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
