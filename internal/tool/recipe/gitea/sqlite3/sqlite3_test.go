package sqlite3_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/stackreeve/stackreeve/internal/tool/recipe/gitea/sqlite3"
)

// The data source name is the one that Gitea makes.
func TestANameOfGoSQLite3IsTakenAndReadersDoNotWaitForAWriter(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "gitea.db")+"?cache=shared&mode=rwc&_busy_timeout=500&_txlock=immediate&_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(on interface {
		Exec(string, ...any) (sql.Result, error)
	}, statement string,
	) {
		t.Helper()
		if _, err := on.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec(db, "CREATE TABLE issue (id INTEGER PRIMARY KEY)")
	exec(db, "INSERT INTO issue VALUES (1)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec(tx, "INSERT INTO issue VALUES (2)")
	count := func() (n int) {
		t.Helper()
		if err := db.QueryRow("SELECT count(*) FROM issue").Scan(&n); err != nil {
			t.Fatalf("read: %v", err)
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("before the commit there are %d rows, want 1", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 {
		t.Errorf("after the commit there are %d rows, want 2", n)
	}
	var mode string
	var timeout int
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
	if err := db.QueryRow("PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != 500 {
		t.Errorf("busy timeout %d, %v", timeout, err)
	}
}
