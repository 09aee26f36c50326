package pullrequest

import (
	"context"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// watch has the pull requests looked at whose jobs moved.
func (l *Loop) watch(ctx context.Context) {
	var last int64 = -1
	for range l.o.Watcher.Watch(ctx) {
		if last < 0 {
			newest, err := l.o.Records.NewestEvent(ctx)
			if err != nil {
				continue // the store is what fires: it is asked again
			}
			last = newest
			l.unfinished(ctx) // what moved while nobody watched
			continue
		}
		moved := map[stackjob.JobID]bool{}
		for {
			events, err := l.o.Records.Events(ctx, "", last, 500)
			if err != nil || len(events) == 0 {
				break
			}
			for _, e := range events {
				last = e.Seq
				if e.Event != stackjob.EvRecord { // how far a phase is stands in no pull request
					moved[e.Job] = true
				}
			}
		}
		if len(moved) > 0 {
			l.concerned(ctx, moved)
		}
	}
}

// concerned has the pull requests derived anew that moved jobs belong to, or whose
// resources they are of. It costs no call to a forge unless something else is to stand
// there.
func (l *Loop) concerned(ctx context.Context, moved map[stackjob.JobID]bool) {
	stacks := map[schema.ResourceKey]bool{}
	pulls := map[string]bool{}
	for id := range moved {
		job, err := l.o.Records.Job(ctx, id)
		if err != nil {
			continue // forgotten meanwhile
		}
		if job.Pull != "" {
			pulls[job.Pull] = true
		}
		if job.Purpose != stackjob.PlanOnly { // it changes what others have planned
			stacks[job.Desired.Key] = true
		}
	}
	l.each(ctx, func(p pull.Pull) bool {
		return pulls[p.Key.String()] || p.Round != nil && slices.ContainsFunc(p.Round.Rows, func(r pull.Row) bool { return stacks[r.Key] })
	})
}

// unfinished has every unfinished pull request derived anew.
func (l *Loop) unfinished(ctx context.Context) { l.each(ctx, func(pull.Pull) bool { return true }) }
