package pullrequest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// The contexts of statuses.
const (
	planStatus     = "reeve/plan"
	approvalStatus = "reeve/approval"
	applyStatus    = "reeve/apply: " // and the environment
)

// statuses sets the commit statuses that moved: those of the head, and the last words on
// heads that are no longer proposed.
func (s *sitting) statuses(ctx context.Context, pic picture, view comment.Pull) error {
	if s.p.Round == nil || view.Head == "" { // it was reopened, and is about to be planned
		return nil
	}
	if err := s.endStatuses(ctx, pic, view); err != nil || s.p.Proposal.Closed {
		return err
	}
	want := wantedStatuses(pic, view)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		line := want[name]
		at := slices.IndexFunc(s.p.Statuses, func(st pull.Status) bool { return st.Commit == view.Head && st.Context == name })
		if at >= 0 && !settled(view) && s.p.Statuses[at].State == string(line.State) {
			continue // how far it is stands in the comment; here it would be a write a plan
		}
		if err := s.setStatus(ctx, view.Head, name, line, view.Page); err != nil {
			return err
		}
	}
	return nil
}

// wantedStatuses are those of the head, by context.
func wantedStatuses(in picture, view comment.Pull) map[string]comment.StatusLine {
	st := statusesOf(in, view)
	want := map[string]comment.StatusLine{planStatus: st.Plan}
	if settled(view) || in.pull.Proposal.Merged {
		want[approvalStatus] = st.Approval
	}
	for env, line := range st.Apply {
		want[applyStatus+env] = line
	}
	return want
}

// statusesOf are the statuses of a picture. Before the merge "reeve/plan" and
// "reeve/approval" are of the plans, whatever is being applied, and "reeve/apply" is of
// what is applied before the merge alone: what waits for the merge would hang.
func statusesOf(in picture, view comment.Pull) comment.Statuses {
	if in.pull.Proposal.Merged {
		return comment.Status(view)
	}
	plans, applies := view, view
	plans.Rows, applies.Rows = slices.Clone(view.Rows), nil
	for i, s := range in.rows {
		if s.apply != nil && view.Rows[i].State != comment.RowWaiting {
			plans.Rows[i].State = comment.RowApproved
		}
		if s.choice.ApplyBeforeMerge || s.apply != nil {
			applies.Rows = append(applies.Rows, view.Rows[i])
		}
	}
	if view.State == comment.Applying {
		plans.State = comment.Approved
	}
	of := comment.Status(plans)
	return comment.Statuses{Plan: of.Plan, Approval: of.Approval, Apply: comment.Status(applies).Apply}
}

// setStatus sets a status unless it says that already.
func (s *sitting) setStatus(ctx context.Context, commit, name string, line comment.StatusLine, page string) error {
	status := forge.Status{Context: name, State: forge.StatusState(line.State), Description: line.Text, URL: page}
	is := pull.Status{Commit: commit, Context: name, State: string(line.State), Digest: short(fmt.Sprint(status))}
	if slices.Contains(s.p.Statuses, is) {
		return nil
	}
	if err := s.f.Forge.SetStatus(ctx, commit, status); err != nil {
		return err
	}
	s.l.metrics.writes.WithLabelValues("status").Inc()
	s.p.Statuses = slices.DeleteFunc(s.p.Statuses, func(st pull.Status) bool { return st.Commit == commit && st.Context == name })
	s.p.Statuses = append(s.p.Statuses, is)
	return s.save(ctx)
}

// endStatuses gives statuses a last word that nothing would move any more: those of
// heads that a newer one replaced, and those of a pull request that was closed. What is
// no longer pending stays: it is how it was.
func (s *sitting) endStatuses(ctx context.Context, pic picture, view comment.Pull) error {
	var ends []pull.Status
	for _, st := range s.p.Statuses {
		if st.State == string(comment.Pending) && (s.p.Proposal.Closed || st.Commit != view.Head) {
			ends = append(ends, st)
		}
	}
	if len(ends) == 0 {
		return s.forgetStatuses(ctx, view.Head)
	}
	others, err := s.otherHeads(ctx)
	if err != nil {
		return err
	}
	closed := wantedStatuses(pic, view)
	for _, st := range ends {
		line := comment.Superseded(view.Head)
		switch {
		case st.Commit != view.Head:
		case view.Elsewhere != nil && !closed[st.Context].GoesOn:
			line = comment.TurnedAway(*view.Elsewhere)
		default:
			line = comment.Ended(closed[st.Context])
		}
		if !others[st.Commit] { // else they are of another pull request too
			if err := s.setStatus(ctx, st.Commit, st.Context, line, view.Page); err != nil {
				return err
			}
		}
	}
	return s.forgetStatuses(ctx, view.Head)
}

// forgetStatuses forgets what was said of heads that are no longer proposed: when one is
// proposed again, all is said again.
func (s *sitting) forgetStatuses(ctx context.Context, head string) error {
	kept := slices.DeleteFunc(slices.Clone(s.p.Statuses), func(st pull.Status) bool { return st.Commit != head })
	if len(kept) == len(s.p.Statuses) {
		return nil
	}
	s.p.Statuses = kept
	return s.save(ctx)
}

// otherHeads are the commits that other open pull requests propose.
func (s *sitting) otherHeads(ctx context.Context) (map[string]bool, error) {
	list, err := s.l.o.Records.Pulls(ctx, store.PullQuery{Repository: s.key.Repository, Unfinished: true, Limit: 10000})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, p := range list {
		if p.Key != s.key && p.Phase == pull.Open && !p.Proposal.Closed {
			out[p.Proposal.Head] = true
		}
	}
	return out, nil
}

// environments are those of the followed branch and of the rows, and whether something in
// them may be applied before a merge: that is what a team may require a status of, and
// then it must be there on every pull request.
func environments(tree *schema.Tree, rows []subject) []comment.Environment {
	early := map[comment.Environment]bool{}
	for _, e := range tree.Environments() {
		at := comment.Environment{Org: e.Org, Name: e.Slug}
		early[at] = slices.ContainsFunc(tree.Policies(), func(p *schema.Policy) bool { return p.ApplyBeforeMerge && p.Reaches(e.Org, e.Slug) })
	}
	for _, r := range rows {
		at := comment.Environment{Org: r.row.Key.Org, Name: r.row.Key.Env}
		early[at] = early[at] || r.choice.ApplyBeforeMerge
	}
	var out []comment.Environment
	for at, is := range early {
		at.AppliesBeforeMerge = is
		out = append(out, at)
	}
	slices.SortFunc(out, comment.Environment.Compare)
	return out
}
