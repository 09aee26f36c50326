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
