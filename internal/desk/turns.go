package desk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/schema"
)

// Turns lists which pull requests hold stacks or wait for them.
func (d *Desk) Turns(ctx context.Context, f api.Filter) ([]api.TurnStatus, error) {
	turns, err := d.o.Records.Turns(ctx)
	if err != nil {
		return nil, err
	}
	out := []api.TurnStatus{}
	for _, t := range turns {
		if !matches(f, t.Stack) {
			continue
		}
		st, err := d.o.Records.Stack(ctx, t.Stack)
		if err != nil {
			return nil, err
		}
		out = append(out, api.TurnStatus{Stack: t.Stack, Repository: t.Pull.Repository, Number: t.Pull.Number, Place: turns.Place(t.Stack, t.Pull), By: t.By, At: t.At,
			Applied: st.Observed != nil && st.Observed.Pull == t.Pull.String(), Followed: d.o.Follows != nil && d.o.Follows(t.Pull.Repository)})
	}
	slices.SortStableFunc(out, func(a, b api.TurnStatus) int { return cmp.Or(a.Stack.Compare(b.Stack), a.Place-b.Place) })
	return out, nil
}

// Unlock ends turns of a pull request.
func (d *Desk) Unlock(ctx context.Context, u api.Unlock) ([]pull.Release, error) {
	reason := strings.TrimSpace(u.Reason)
	if reason == "" {
		return nil, fmt.Errorf("%w: say why, for the record", api.ErrInvalid)
	}
	var selectors []command.Selector
	for _, text := range u.Selectors {
		s, problem := command.ParseSelector(text)
		if problem != "" {
			return nil, fmt.Errorf("%w: %s", api.ErrInvalid, problem)
		}
		selectors = append(selectors, s)
	}
	chosen := func(k schema.ResourceKey) bool {
		return len(selectors) == 0 || slices.ContainsFunc(selectors, func(s command.Selector) bool { return s.Matches(k) })
	}
	return d.o.Release(ctx, pull.Key{Repository: u.Repository, Number: u.Number}, chosen, u.Actor, reason)
}
