package pullrequest

import (
	"context"
	"errors"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// keptInMind is how many pull requests are searched, from the newest, for those that a job
// carries out.
const keptInMind = 500

// Concerning are the pull requests that have to do with a resource: who holds it or waits
// for that, and those that its job applies, if any.
func (l *Loop) Concerning(ctx context.Context, key schema.ResourceKey, job *stackjob.Job) ([]report.PullOf, error) {
	turns, err := l.o.Records.Turns(ctx)
	if err != nil {
		return nil, err
	}
	var out []report.PullOf
	add := func(k pull.Key, role report.PullRole, place int) error {
		p, _, err := l.o.Records.Pull(ctx, k)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		out = append(out, report.PullOf{Name: k.String(), URL: p.Proposal.URL, Role: role, Place: place})
		return nil
	}
	for _, t := range turns {
		if t.Stack != key {
			continue
		}
		role, place := report.PullQueues, turns.Place(key, t.Pull)
		if place == 0 {
			role = report.PullHolds
		}
		if err := add(t.Pull, role, place); err != nil {
			return nil, err
		}
	}
	if job == nil || job.Purpose != stackjob.Reconcile {
		return out, nil
	}
	if k, is := pull.ParseKey(job.Pull); is {
		return out, add(k, report.PullApplies, 0)
	}
	list, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: job.Desired.Repository, Limit: keptInMind})
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		row := p.Round.Row(key)
		if row == nil || row.Unchanged || p.Landed == "" {
			continue
		}
		if job.Desired.Commit == p.Landed || p.Phase == pull.Landing && !job.State.IsFinal() {
			out = append(out, report.PullOf{Name: p.Key.String(), URL: p.Proposal.URL, Role: report.PullMerged})
		}
	}
	return out, nil
}
