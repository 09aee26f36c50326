// Package folderlock takes the lock that keeps a second process out of a folder.
package folderlock

import (
	"context"
	"errors"
	"time"

	"github.com/gofrs/flock"
)

// Patience is how long a lock is waited for. A process that is killed in the moment in
// which it starts a program leaves its locks to the copy of itself that is about to become
// that program, for some milliseconds.
const Patience = 2 * time.Second

// Take takes a lock; false means that another process holds it, and goes on to.
func Take(lock *flock.Flock) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	ok, err := lock.TryLockContext(ctx, 10*time.Millisecond)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return ok, err
}

// between is how often a lock that is waited for is tried.
const between = 100 * time.Millisecond

// Wait takes a lock as soon as no other process holds it. held is called, at most once,
// when it has to be waited for. The error is ctx's, or says that the lock cannot be had.
func Wait(ctx context.Context, lock *flock.Flock, held func()) error {
	ok, err := lock.TryLock()
	if ok || err != nil {
		return err
	}
	held()
	_, err = lock.TryLockContext(ctx, between)
	return err
}
