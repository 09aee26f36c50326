package pullrequest

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
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

func TestAMergedPullRequestThatFailedIsAskedForMoreSeldomTheLongerItRests(t *testing.T) {
	t.Parallel()
	const poll = time.Minute
	merged := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	asked, last, longest := map[string]int{}, merged, time.Duration(0)
	for at := merged.Add(poll); at.Before(merged.Add(30 * 24 * time.Hour)); at = at.Add(poll) {
		if at.Sub(last) < restFor(at.Sub(merged)) {
			continue
		}
		longest = max(longest, at.Sub(last))
		switch since := at.Sub(merged); {
		case since <= 8*time.Minute:
			asked["while somebody may be at it"]++
		case since <= 24*time.Hour:
			asked["in a day"]++
		default:
			asked["in a month"]++
		}
		last = at
	}
	if asked["while somebody may be at it"] != 8 || asked["in a day"] > 60 || asked["in a month"] > 30*24 || longest > restsAtLast+poll {
		t.Errorf("asked %v, at most %s apart", asked, longest)
	}
}

func TestOnlyWhatFailedAfterTheMergeIsAtRest(t *testing.T) {
	t.Parallel()
	base := func(change func(*pull.Pull)) pull.Pull {
		p := pull.Pull{Phase: pull.Landing, Landed: "1a2b3c4", Posts: []pull.Post{{Name: planPost, State: string(comment.Failed)}},
			Commands: []pull.Command{{State: pull.Ended}}}
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		p    pull.Pull
		want bool
	}{
		"it failed":                      {base(func(*pull.Pull) {}), true},
		"it is open":                     {base(func(p *pull.Pull) { p.Phase = pull.Open }), false},
		"its merge is not here yet":      {base(func(p *pull.Pull) { p.Landed = "" }), false},
		"somebody is asked":              {base(func(p *pull.Pull) { p.Posts[0].State = string(comment.Waiting) }), false},
		"it is applied":                  {base(func(p *pull.Pull) { p.Posts[0].State = string(comment.Applying) }), false},
		"nothing was said of it":         {base(func(p *pull.Pull) { p.Posts = nil }), false},
		"a command is to be carried out": {base(func(p *pull.Pull) { p.Commands[0].State = pull.Started }), false},
	} {
		if got := isAtRest(c.p); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
