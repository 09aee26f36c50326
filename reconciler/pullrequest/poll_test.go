package pullrequest

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

func TestWhatMovesInTheSecondOfAListIsLookedAt(t *testing.T) {
	t.Parallel()
	at := func(after time.Duration) time.Time { return time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC).Add(after) }
	pr := func(second int, head string) forge.PullRequest {
		return forge.PullRequest{Number: 1, Head: head, UpdatedAt: at(time.Duration(second) * time.Second)}
	}
	turned := func(pr forge.PullRequest) forge.PullRequest {
		pr.BaseBranch = "release"
		return pr
	}
	for name, lists := range map[string][]struct {
		at   time.Duration
		pr   forge.PullRequest
		look bool
	}{
		"once more, and then left alone": {
			{400 * time.Millisecond, pr(0, "a"), true}, {time.Minute, pr(0, "a"), true}, {2 * time.Minute, pr(0, "a"), false}, {time.Hour, pr(0, "a"), false}},
		"until the second is over": {
			{0, pr(0, "a"), true}, {time.Second, pr(0, "a"), true}, {2 * time.Second, pr(0, "a"), true}, {3 * time.Second, pr(0, "a"), false}},
		"again whenever it moves": {
			{0, pr(0, "a"), true}, {3 * time.Second, pr(0, "a"), true}, {6 * time.Second, pr(5, "a"), true}, {9 * time.Second, pr(5, "a"), true}, {12 * time.Second, pr(5, "a"), false}},
		"a head that moved no time": {
			{0, pr(0, "a"), true}, {3 * time.Second, pr(0, "a"), true}, {6 * time.Second, pr(0, "b"), true}, {9 * time.Second, pr(0, "b"), true}, {12 * time.Second, pr(0, "b"), false}},
		"another base that moved no time": {
			{0, pr(0, "a"), true}, {3 * time.Second, pr(0, "a"), true}, {6 * time.Second, turned(pr(0, "a")), true}, {9 * time.Second, turned(pr(0, "a")), true}, {12 * time.Second, turned(pr(0, "a")), false}},
		"by our clock, whatever the forge's says": {
			{0, pr(3600, "a"), true}, {3 * time.Second, pr(3600, "a"), true}, {6 * time.Second, pr(3600, "a"), false}, {9 * time.Second, pr(-3600, "a"), true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s sighting
			for i, l := range lists {
				var look bool
				if s, look = s.next(l.pr, at(l.at)); look != l.look {
					t.Errorf("list %d: looked at %t, want %t", i, look, l.look)
				}
			}
		})
	}
}
