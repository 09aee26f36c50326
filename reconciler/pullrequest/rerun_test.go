package pullrequest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// gone is a Planner of stacks some of which nothing can be run of.
type gone struct {
	Planner
	which []string
	ran   []stackjob.JobID
}

func (*gone) View(string) *reconciler.View { return nil }

func (g *gone) Rerun(_ context.Context, id stackjob.JobID, _ stackjob.Actor) (stackjob.Job, error) {
	for _, name := range g.which {
		if id == stackjob.JobID("sj_"+name) {
			return stackjob.Job{}, fmt.Errorf("%s: its document is gone: %w", key(name), store.ErrNotFound)
		}
	}
	g.ran = append(g.ran, id)
	return stackjob.Job{}, nil
}

// TestAStackThatCannotRunAgainKeepsNoOtherFromIt: documents go while a merged pull request
// still has what failed of them.
func TestAStackThatCannotRunAgainKeepsNoOtherFromIt(t *testing.T) {
	t.Parallel()
	pic := merged(of(made("a", carriedOut(stackjob.Failed)), made("b", carriedOut(stackjob.Succeeded)), made("c", carriedOut(stackjob.Failed))))
	for which, want := range map[string]struct {
		answer pull.Answer
		reason string
		ran    string
	}{
		"":    {pull.Yes, "", "[sj_a sj_c]"},
		"a":   {pull.No, key("a").String() + ": its document is gone: not found; what else failed runs again", "[sj_c]"},
		"a c": {pull.No, key("a").String() + ": its document is gone: not found, " + key("c").String() + ": its document is gone: not found", "[]"},
	} {
		g := &gone{which: strings.Fields(which)}
		s := &sitting{l: &Loop{o: Options{Planner: g}}, p: pull.Pull{Phase: pull.Landing, Landed: "merge"}}
		got, err := s.rerun(t.Context(), &pull.Command{}, pic, []int{0, 1, 2})
		if err != nil || got.answer != want.answer || got.reason != want.reason || fmt.Sprint(g.ran) != want.ran {
			t.Errorf("of %q nothing can be run: %s %q, %v; ran %v", which, got.answer, got.reason, err, g.ran)
		}
	}
}
