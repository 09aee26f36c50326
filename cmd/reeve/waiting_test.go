package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatTakesLongIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		live bool
		want string
	}{
		"on a screen": {live: true, want: "reading b …\r\033[Kreading d …\r\033[K"},
		"in a file":   {want: "reading b …\nreading d …\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				w := &waiting{out: &out, live: c.live}
				for _, step := range []struct {
					what string
					long time.Duration
				}{{"reading a", waitingAfter - 1}, {"reading b", 3 * waitingAfter}, {"reading c", 0}, {"reading d", 2 * waitingAfter}, {"reading e", 1}} {
					w.at(step.what)
					time.Sleep(step.long) // of the bubble's clock: nobody waits
				}
				w.end()
				time.Sleep(2 * waitingAfter)
				if out.String() != c.want {
					t.Errorf("%q, expected %q", out.String(), c.want)
				}
			})
		})
	}
}
