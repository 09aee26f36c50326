package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcPercent keeps the heap of a daemon nearer to what it holds. It has long
	// pauses between little work, so processor time is what it can spare.
	gcPercent = 50
	// restEvery is how often it is asked whether the daemon rests.
	restEvery = 5 * time.Second
	// busyBytes is what a daemon allocates in that time when it does not rest.
	busyBytes = 2 << 20
	// worthBytes is how much must have been allocated since memory was last given
	// back, to give it back again.
	worthBytes = 32 << 20
)

// beThrifty makes the garbage collector thrifty, unless the environment says how it
// is to be.
func beThrifty() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// giveBack gives memory back to the operating system when the daemon rests after
// work, until ctx ends. The runtime would do so by itself, but minutes later and only
// in part: loading a large repository takes several times what its tree holds.
func giveBack(ctx context.Context) error {
	t := time.NewTicker(restEvery)
	defer t.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if r.isDue(allocated()) {
			debug.FreeOSMemory()
		}
	}
}

// rest tells when memory is worth giving back.
type rest struct {
	// last and given are how much had been allocated when it was asked last, and
	// when memory was given back last.
	last, given uint64
}

// isDue tells whether the process, which has allocated so many bytes in its life,
// rests after work.
func (r *rest) isDue(allocated uint64) bool {
	busy := allocated-r.last >= busyBytes
	r.last = allocated
	if busy || allocated-r.given < worthBytes {
		return false
	}
	r.given = allocated
	return true
}

// allocated is how much this process has allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
