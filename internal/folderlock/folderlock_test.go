package folderlock_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/gofrs/flock"

	"github.com/stackreeve/stackreeve/internal/folderlock"
)

func TestALockIsWaitedForUntilItIsFreeOrNobodyWantsItAnyMore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "lock")
	first := flock.New(file)
	if err := folderlock.Wait(t.Context(), first, func() { t.Error("a free lock was waited for") }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := folderlock.Wait(ctx, flock.New(file), cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	second, waited := flock.New(file), 0
	err := folderlock.Wait(t.Context(), second, func() {
		waited++
		if err := first.Unlock(); err != nil {
			t.Error(err)
		}
	})
	if err != nil || waited != 1 || !second.Locked() {
		t.Errorf("%v, waited %d times, locked: %t", err, waited, second.Locked())
	}
}
