package sqlite_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/reconciler/store/storetest"
)

// raw opens the file behind the store's back.
func raw(t *testing.T, folder string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(folder, sqlite.FileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func execute(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestNobodyElseCanReadTheFiles(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "data")
	s := open(t, sqlite.Options{Folder: folder})
	defer s.Close()
	if _, err := s.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	got := map[string]fs.FileMode{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		got[name] = fi.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{".": 0o700, "reeve.db": 0o600, "reeve.db-wal": 0o600, "reeve.db-shm": 0o600, "reeve.lock": 0o600}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("modes (-want +got):\n%s", d)
	}
}

func TestTheSameProcessCannotOpenAFolderTwice(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Folder: folder}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, sqlite.Options{Folder: folder}).Close(); err != nil {
		t.Fatal(err)
	}
}

// A killed daemon's lock can outlive it for a moment, in a program that it was starting.
func TestAFolderThatIsFreeInAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	time.AfterFunc(100*time.Millisecond, func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := open(t, sqlite.Options{Folder: folder}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseOfANewerReleaseIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]string{
		"our tables":       "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)",
		"the queue tables": "INSERT INTO river_migration (line, version) VALUES ('main', 9000)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := open(t, sqlite.Options{Folder: folder}).Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, raw(t, folder), ahead)
			_, err := sqlite.Open(t.Context(), sqlite.Options{Folder: folder})
			if !errors.Is(err, store.ErrNewer) {
				t.Fatalf("got %v", err)
			}
			if _, err := os.Stat(filepath.Join(folder, "backups")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it was prepared for an upgrade: %v", err)
			}
		})
	}
}

func TestAnotherProgramsDatabaseIsNotTouched(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	execute(t, raw(t, folder), "CREATE TABLE theirs (x)")
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Folder: folder}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	var n int
	if err := raw(t, folder).QueryRow("SELECT count(*) FROM sqlite_master").Scan(&n); err != nil || n != 1 {
		t.Errorf("it has %d tables now, %v", n, err)
	}
}

func TestAFileThatIsNoDatabaseIsSaidToBeDamaged(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, sqlite.FileName), bytes.Repeat([]byte("not a database "), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Folder: folder}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	// The folder is free for whoever repairs it.
	if err := os.Remove(filepath.Join(folder, sqlite.FileName)); err != nil {
		t.Fatal(err)
	}
	if err := open(t, sqlite.Options{Folder: folder}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnUpgradeCopiesTheDatabaseFirst(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	if _, err := s.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// An older release knew one migration of the queue less.
	db := raw(t, folder)
	execute(t, db, "DELETE FROM river_migration WHERE version = 7")
	for _, q := range []string{"DROP TABLE river_notification", "DROP INDEX reeve_pending_wakeups",
		"CREATE TABLE river_client (id text PRIMARY KEY, created_at timestamp, metadata blob, paused_at timestamp, updated_at timestamp)",
		"CREATE TABLE river_client_queue (river_client_id text, name text, created_at timestamp, max_workers integer, metadata blob, num_jobs_completed integer, num_jobs_running integer, updated_at timestamp)"} {
		execute(t, db, q)
	}
	s = open(t, sqlite.Options{Folder: folder})
	defer s.Close()
	if _, err := s.Job(t.Context(), "sj_1"); err != nil {
		t.Errorf("after the upgrade: %v", err)
	}
	copies, err := filepath.Glob(filepath.Join(folder, "backups", "before-upgrade-*.db"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %v, %v", copies, err)
	}
	restored := t.TempDir()
	copyFile(t, copies[0], filepath.Join(restored, sqlite.FileName))
	var n int
	if err := raw(t, restored).QueryRow("SELECT count(*) FROM jobs").Scan(&n); err != nil || n != 1 {
		t.Errorf("the copy has %d jobs, %v", n, err)
	}
}

func TestABackupCanBeOpened(t *testing.T) {
	t.Parallel()
	s := open(t, sqlite.Options{Folder: t.TempDir()})
	defer s.Close()
	if _, err := s.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	want, err := s.Job(t.Context(), "sj_1")
	if err != nil {
		t.Fatal(err)
	}
	restored := t.TempDir()
	if err := s.Backup(t.Context(), filepath.Join(restored, sqlite.FileName)); err != nil {
		t.Fatal(err)
	}
	r := open(t, sqlite.Options{Folder: restored})
	defer r.Close()
	got, err := r.Job(t.Context(), "sj_1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestNoSecretReachesAFile takes jobs through every way a value can come in, with
// secrets where the rules allow sealed ones only, and searches the files.
func TestNoSecretReachesAFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, sqlite.Options{Folder: folder})
	ctx := t.Context()
	now := time.Now()
	if _, err := s.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	j, err := s.Move(ctx, "sj_1", stackjob.StartPlan(now, "d", now.Add(time.Minute), stackjob.PolicyChoice{}))
	if err != nil {
		t.Fatal(err)
	}
	l := stackjob.Lease{Owner: "d", Fence: j.Fence}
	secret := json.RawMessage(`"` + storetest.Canary + `"`)
	plan := stackjob.Plan{Digest: "sha256:aa", Resources: []stackjob.ResourceChange{{Address: "a",
		Attributes: []stackjob.AttributeChange{{Path: "p", Sensitive: true, After: secret}}}}}
	if _, err := s.Move(ctx, j.ID, stackjob.Planned(now, l, plan, stackjob.Verdict{Decision: stackjob.Proceed})); !errors.Is(err, store.ErrClearSecret) {
		t.Errorf("a plan in clear: %v", err)
	}
	plan.Resources[0].Attributes[0].After = json.RawMessage(`"hmac:1"`)
	if _, err = s.Move(ctx, j.ID, stackjob.Planned(now, l, plan, stackjob.Verdict{Decision: stackjob.Proceed})); err != nil {
		t.Fatal(err)
	}
	if j, err = s.Move(ctx, j.ID, stackjob.StartApply(now, "d", now.Add(time.Minute), "sha256:aa")); err != nil {
		t.Fatal(err)
	}
	l.Fence = j.Fence
	o := &stackjob.Observed{Key: j.Desired.Key, JobID: j.ID, Outputs: []stackjob.Output{{Name: "key", Sensitive: true, Value: secret}}}
	if _, err := s.Move(ctx, j.ID, stackjob.Applied(now, l, stackjob.Outcome{Result: stackjob.ResultSucceeded}, o)); !errors.Is(err, store.ErrClearSecret) {
		t.Errorf("an output in clear: %v", err)
	}
	// Errors of calls may tell anything: the queue must not keep them.
	failed := make(chan struct{}, 1)
	workUntil(t, s, func(id stackjob.JobID) error {
		select {
		case failed <- struct{}{}:
		default:
		}
		return errors.New("could not read " + storetest.Canary)
	}, failed)
	search(t, folder, storetest.Canary)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	search(t, folder, storetest.Canary)
}

// search looks for a text in every file of a folder. It wants to find files.
func search(t *testing.T, folder, text string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += len(b)
		if strings.Contains(string(b), text) {
			t.Errorf("%s holds %q", path, text)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("searched %d bytes: %v", n, err)
	}
}

func TestMetricsCountWritesAndTheirFailures(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	s := open(t, sqlite.Options{Folder: t.TempDir(), Registerer: r})
	defer s.Close()
	if _, err := s.Enqueue(t.Context(), store.Enqueue{Jobs: []stackjob.Job{newJob("sj_1", "net", "1")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Move(t.Context(), "sj_1", stackjob.Expire(time.Now())); err == nil {
		t.Fatal("it expired")
	}
	got := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName() + " " + m.Label[0].GetValue()
			if h := m.GetHistogram(); h != nil {
				got[name] = float64(h.GetSampleCount())
			} else {
				got[name] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{}
	for _, op := range []string{"enqueue", "move", "prune", "pull", "revision", "wake"} {
		want["reeve_store_write_seconds "+op] = 0
	}
	for _, reason := range []string{"busy", "cancelled", "clear-secret", "damaged", "full", "not-found", "other", "read-only", "refused", "stack-busy"} {
		want["reeve_store_errors_total "+reason] = 0
	}
	want["reeve_store_write_seconds enqueue"], want["reeve_store_write_seconds move"] = 1, 1
	want["reeve_store_errors_total refused"] = 1
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
