// Package sqlite3 stands in for github.com/mattn/go-sqlite3 when Gitea is built for
// tests: that one is C and needs a compiler for it, this one is SQLite as Go.
//
// The recipe of Gitea replaces the module with this folder (go.mod.txt becomes its
// go.mod). Gitea wants nothing of it but a driver that is called "sqlite3" and takes
// the same data source names, which [modernc.org/sqlite] does.
package sqlite3

import (
	"database/sql"
	"database/sql/driver"
	"strings"

	"modernc.org/sqlite"
)

//nolint:gochecknoinits // a database driver is registered by being imported
func init() { sql.Register("sqlite3", &Driver{}) }

// Driver opens SQLite databases.
type Driver struct{ sqlite sqlite.Driver }

// Open opens the database that a data source name of go-sqlite3 names. Connections
// never share a cache, whatever it says: readers would then be refused while another
// connection writes, and go-sqlite3 waits there where this driver does not always.
func (d *Driver) Open(name string) (driver.Conn, error) {
	return d.sqlite.Open(strings.Replace(name, "cache=shared", "cache=private", 1))
}
