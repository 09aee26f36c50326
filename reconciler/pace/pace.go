// Package pace is how loops wait and are woken: the loop of stacks and that of pull
// requests ask others again and again, and both must ask less of who fails, and not in
// step with other daemons.
//
//	nudge := make(chan struct{}, 1)
//	pace.Poke(nudge)                             // look now, however often it is said
//	time.NewTimer(pace.Pause(interval, failures, retryAfter))
//
// It waits for nothing itself.
package pace

import (
	"math/rand/v2"
	"time"
)

// Longest is the longest pause after failures, unless the interval itself is longer.
const Longest = 5 * time.Minute

// Pause is how long to wait before the next try: the interval, twice as long with each
// further failure in a row, and after a failure no less than least, which is what the
// other side asked for. A tenth of it is by chance.
func Pause(interval time.Duration, failures int, least time.Duration) time.Duration {
	d := interval
	if failures > 0 {
		d = max(min(interval<<min(failures-1, 6), max(Longest, interval)), least)
	}
	return d + time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // jitter is no secret
}

// Poke wakes who waits at a channel with room for one; several pokes are one.
func Poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
