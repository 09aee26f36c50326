package pullrequest

import (
	"testing"
	"time"
)

func TestAMergeThatNeverComesIsAskedForLessAndLess(t *testing.T) {
	t.Parallel()
	for since, want := range map[time.Duration]time.Duration{
		-time.Minute: time.Second, 0: time.Second, 4 * time.Second: time.Second, 80 * time.Second: 10 * time.Second, 24 * time.Hour: 5 * time.Minute,
	} {
		if got := landsIn(since); got != want {
			t.Errorf("%v after the merge: %v, expected %v", since, got, want)
		}
	}
	asked := 0
	for at := time.Duration(0); at < 24*time.Hour; at += landsIn(at) {
		asked++
	}
	if asked > 400 {
		t.Errorf("asked %d times in a day", asked)
	}
}
