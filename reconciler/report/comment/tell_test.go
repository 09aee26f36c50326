package comment_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
)

func TestWhoIsAskedIsToldOfNoDangerThatIsOver(t *testing.T) {
	t.Parallel()
	p := waiting()
	p.Merged = true
	body := comment.NeedsYou(p, comment.Limits{}).Body
	if !strings.Contains(body, "[!CAUTION]") {
		t.Fatalf("this pull request is in no danger:\n%s", body)
	}
	for i := range p.Rows { // all is applied but the last, which loses nothing
		p.Rows[i].State = comment.RowApplied
	}
	last := &p.Rows[len(p.Rows)-1]
	last.State, last.Plan = comment.RowWaiting, nil
	if body := comment.NeedsYou(p, comment.Limits{}).Body; strings.Contains(body, "[!CAUTION]") {
		t.Errorf("what was applied is told as a danger of what waits:\n%s", body)
	}
}

func TestAnApplyBeforeTheMergeSaysThatItHoldsItsStacks(t *testing.T) {
	t.Parallel()
	const held = "held for this pull request until it is merged or closed"
	p := waiting()
	p.State, p.AppliesBeforeMerge, p.Rows = comment.Applied, true, p.Rows[:1]
	p.Rows[0].State = comment.RowApplied
	for name, text := range map[string]func(comment.Pull, comment.Limits) comment.Text{"living": comment.Living, "outcome": comment.Outcome} {
		for _, merged := range []bool{false, true} {
			p.Merged = merged
			if body := text(p, comment.Limits{}).Body; strings.Contains(body, held) == merged {
				t.Errorf("%s, merged %t:\n%s", name, merged, body)
			}
		}
	}
}

func TestAnOutcomeTellsOfAnotherPlanThatNobodyWasAskedAbout(t *testing.T) {
	t.Parallel()
	p := waiting()
	p.State, p.Merged, p.Rows = comment.Applied, true, p.Rows[:1]
	shown := *p.Rows[0].Plan
	shown.Digest, shown.Resources = "sha256:000000000000aaaa", nil
	p.Rows[0].State, p.Rows[0].Approved = comment.RowApplied, &shown
	for needs, want := range []bool{true, false} { // who was asked has seen it
		p.Rows[0].Needs = needs
		if body := comment.Outcome(p, comment.Limits{}).Body; strings.Contains(body, "**What moved in") != want {
			t.Errorf("with %d approvals needed:\n%s", needs, body)
		}
	}
}
