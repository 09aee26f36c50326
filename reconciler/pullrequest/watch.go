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
	plans := underWay{}
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
		moved := map[stackjob.JobID]stackjob.State{}
		for {
			events, err := l.o.Records.Events(ctx, "", last, 500)
			if err != nil || len(events) == 0 {
				break
			}
			for _, e := range events {
				last = e.Seq
				if e.Event != stackjob.EvRecord { // how far a phase is stands in no pull request
					moved[e.Job] = e.State
				}
			}
		}
		if len(moved) > 0 {
			l.concerned(ctx, plans, moved)
		}
	}
}

// underWay are the plans that are being made of each pull request, by the name of its key.
type underWay map[string]map[stackjob.JobID]bool

// moved notes where a plan is now.
func (u underWay) moved(pr string, job stackjob.JobID, to stackjob.State) {
	jobs := u[pr]
	switch to {
	case stackjob.Queued, stackjob.Planning:
		if jobs == nil {
			jobs = map[stackjob.JobID]bool{}
			u[pr] = jobs
		}
		jobs[job] = true
	default:
		delete(jobs, job)
		if len(jobs) == 0 {
			delete(u, pr)
		}
	}
}

// concerned has the pull requests derived anew that moved jobs belong to, or whose
// resources they are of. It costs no call to a forge unless something else is to stand
// there. One of which plans are still being made can wait: its comment is not edited
// for each of them.
func (l *Loop) concerned(ctx context.Context, plans underWay, moved map[stackjob.JobID]stackjob.State) {
	stacks := map[schema.ResourceKey]bool{}
	pulls, urgent := map[string]bool{}, map[string]bool{}
	for id, to := range moved {
		job, err := l.o.Records.Job(ctx, id)
		if err != nil {
			continue // forgotten meanwhile
		}
		switch {
		case job.Purpose != stackjob.PlanOnly: // it changes what others have planned
			stacks[job.Desired.Key] = true
			if job.Pull != "" {
				pulls[job.Pull], urgent[job.Pull] = true, true
			}
		case job.Pull != "":
			plans.moved(job.Pull, id, to)
			pulls[job.Pull] = true
		}
	}
	for name := range pulls {
		key, ok := pull.ParseKey(name)
		if !ok {
			continue
		}
		if urgent[name] || len(plans[name]) == 0 {
			l.schedule(key, func(*task) {})
		} else {
			l.lookWithin(key, l.o.Quiet)
		}
	}
	if len(stacks) > 0 {
		l.each(ctx, func(p pull.Pull) bool {
			return p.Round != nil && slices.ContainsFunc(p.Round.Rows, func(r pull.Row) bool { return stacks[r.Key] })
		})
	}
}

// unfinished has every unfinished pull request derived anew.
func (l *Loop) unfinished(ctx context.Context) { l.each(ctx, func(pull.Pull) bool { return true }) }
