package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// translate gives the errors of SQLite and of the file system the store's names.
// The message of the cause stays readable; errors.Is finds both.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{store.ErrFull, store.ErrReadOnly, store.ErrDamaged, store.ErrStackBusy, store.ErrInUse, store.ErrNewer} {
		if errors.Is(err, known) {
			return err
		}
	}
	var e *driver.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff { // the rest is the extended code
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%w: %w", store.ErrFull, err)
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
			return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	return err
}

// isStackBusy tells whether the index that lets one job of a stack run has refused.
func isStackBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// isDouble tells whether a primary key was taken.
func isDouble(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// errorReason is the closed set of reasons that writes fail for.
func errorReason(err error) string {
	var illegal *stackjob.IllegalMove
	var e *driver.Error
	switch {
	case errors.Is(err, store.ErrFull):
		return "full"
	case errors.Is(err, store.ErrReadOnly):
		return "read-only"
	case errors.Is(err, store.ErrDamaged):
		return "damaged"
	case errors.Is(err, store.ErrStackBusy):
		return "stack-busy"
	case errors.Is(err, store.ErrNotFound):
		return "not-found"
	case errors.Is(err, store.ErrClearSecret):
		return "clear-secret"
	case errors.As(err, &illegal), errors.Is(err, stackjob.ErrFenced), errors.Is(err, stackjob.ErrStaleApproval):
		return "refused"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	case errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY:
		return "busy"
	}
	return "other"
}

var errorReasons = []string{"full", "read-only", "damaged", "stack-busy", "not-found", "clear-secret", "refused", "cancelled", "busy", "other"}
