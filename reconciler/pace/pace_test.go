package pace_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pace"
)

func TestAPauseGrowsWithFailuresAndRespectsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		interval time.Duration
		failures int
		least    time.Duration
		want     time.Duration
	}{
		{time.Minute, 0, 0, time.Minute},
		{time.Minute, 0, time.Hour, time.Minute}, // nothing failed, so nobody asked for anything
		{time.Minute, 1, 0, time.Minute},
		{time.Minute, 2, 0, 2 * time.Minute},
		{time.Minute, 3, 0, 4 * time.Minute},
		{time.Minute, 4, 0, pace.Longest},
		{time.Minute, 1000, 0, pace.Longest},
		{time.Second, 1000, 0, 64 * time.Second},
		{time.Hour, 1, 0, time.Hour}, // never sooner than the interval
		{time.Hour, 9, 0, time.Hour},
		{time.Second, 1, 30 * time.Second, 30 * time.Second},
		{time.Second, 1, time.Hour, time.Hour}, // also longer than the longest
		{0, 1, 0, 0},
	} {
		t.Run(fmt.Sprintf("%s after %d, at least %s", c.interval, c.failures, c.least), func(t *testing.T) {
			t.Parallel()
			for range 50 {
				if got := pace.Pause(c.interval, c.failures, c.least); got < c.want || got > c.want+c.want/10 {
					t.Fatalf("the pause is %s, expected %s and at most a tenth more", got, c.want)
				}
			}
		})
	}
}

func TestPausesAreNotInStep(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 50 {
		seen[pace.Pause(time.Minute, 0, 0)] = true
	}
	if len(seen) < 2 {
		t.Error("fifty pauses are the same")
	}
}

func TestManyPokesAreOne(t *testing.T) {
	t.Parallel()
	c := make(chan struct{}, 1)
	for range 3 {
		pace.Poke(c)
	}
	<-c
	select {
	case <-c:
		t.Error("a second poke was kept")
	default:
	}
}
