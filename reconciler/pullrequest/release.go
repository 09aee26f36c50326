package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Release ends the turns that a pull request has of chosen stacks, by the word of an
// operator: for one whose repository is not followed any more, or that the forge has no
// longer, and that so cannot be asked to give them back. Otherwise it is what `reeve
// unlock` does there: what was applied stays until somebody approves the branch's plan.
//
// It ends nothing while one of them is applied, and fails with store.ErrStackBusy then;
// with store.ErrNotFound when there is no such turn.
func (l *Loop) Release(ctx context.Context, key pull.Key, chosen func(schema.ResourceKey) bool, by stackjob.Actor, reason string) ([]pull.Release, error) {
	var ended []pull.Release
	err := l.alone(ctx, key, func() (err error) {
		ended, err = l.release(ctx, key, chosen, by, reason)
		return err
	})
	if len(ended) == 0 {
		return nil, err
	}
	turns, other := l.o.Records.Turns(ctx)
	for _, r := range ended {
		l.log.Info("a turn was ended by an operator", "pull", key.String(), "resource", r.Stack.String(), "actor", by.Name, "via", by.Via, "reason", reason)
		if next, is := turns.Holder(r.Stack); is {
			l.schedule(next, func(*task) {})
		}
	}
	l.compareOwners(ctx, ended)
	return ended, errors.Join(err, other)
}

func (l *Loop) release(ctx context.Context, key pull.Key, chosen func(schema.ResourceKey) bool, by stackjob.Actor, reason string) ([]pull.Release, error) {
	turns, err := l.o.Records.Turns(ctx)
	if err != nil {
		return nil, err
	}
	var stacks []schema.ResourceKey
	for _, t := range turns {
		if t.Pull == key && chosen(t.Stack) {
			stacks = append(stacks, t.Stack)
		}
	}
	if len(stacks) == 0 {
		return nil, fmt.Errorf("a turn of pull request %s: %w", key, store.ErrNotFound)
	}
	p, version, err := l.o.Records.Pull(ctx, key)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	// First all are asked, so that nothing is stopped when one of them is applied.
	var open []stackjob.JobID
	for _, k := range stacks {
		jobs, err := l.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Open: true})
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if j.Purpose != stackjob.Reconcile || j.Pull != key.String() {
				continue
			}
			if j.State == stackjob.Applying {
				return nil, fmt.Errorf("%s is being applied by job %s; `reeve cancel %s` stops it: %w", k, j.ID, j.ID, store.ErrStackBusy)
			}
			open = append(open, j.ID)
		}
	}
	for _, id := range open { // from then on none of them begins to apply
		if _, err := l.o.Planner.Stop(ctx, id, by); err != nil && !isOver(err) {
			return nil, err
		}
	}
	// The applies end before the turns: a daemon that is killed in between takes no turn
	// again, and the operator finds what is left.
	applied := map[schema.ResourceKey]bool{}
	for _, k := range stacks {
		if applied[k], err = l.touchedBy(ctx, p, key, k); err != nil {
			return nil, err
		}
	}
	if known {
		p.EndApplies(stacks)
		if version, err = l.o.Records.SavePull(ctx, p, version); err != nil {
			return nil, err
		}
	}
	at := l.o.Now().UTC().Round(0)
	var ended []pull.Release
	for _, k := range stacks {
		r := pull.Release{Stack: k, Pull: key, By: by, At: at, Reason: reason, Applied: applied[k]}
		if err = l.o.Records.Release(ctx, r); err != nil {
			break
		}
		ended = append(ended, r)
	}
	if len(ended) == 0 || !known {
		return ended, err
	}
	p.Tell(ended)
	_, told := l.o.Records.SavePull(ctx, p, version)
	return ended, errors.Join(err, told)
}

// isOver tells that a job could not be stopped because it had ended.
func isOver(err error) bool {
	var illegal *stackjob.IllegalMove
	return errors.As(err, &illegal) || errors.Is(err, stackjob.ErrFenced) || errors.Is(err, store.ErrNotFound)
}

// touchedBy tells whether a pull request may have changed a stack.
func (l *Loop) touchedBy(ctx context.Context, p pull.Pull, key pull.Key, k schema.ResourceKey) (bool, error) {
	if slices.ContainsFunc(p.Applies, func(a pull.Apply) bool { return a.Stack == k && a.Touched() && a.Result != "" }) {
		return true, nil
	}
	st, err := l.o.Records.Stack(ctx, k)
	return err == nil && st.Observed != nil && st.Observed.Pull == key.String(), err
}

// compareOwners has the repositories compared that the stacks belong to.
func (l *Loop) compareOwners(ctx context.Context, ended []pull.Release) {
	var names []string
	for _, r := range ended {
		names = append(names, r.Pull.Repository)
		if st, err := l.o.Records.Stack(ctx, r.Stack); err == nil && st.Observed != nil {
			names = append(names, st.Observed.Desired.Repository)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		l.o.Planner.CompareAgain(name)
	}
}
