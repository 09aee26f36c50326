package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// override goes past what a policy wants approved, for those who it names for that. It
// is written down with its reason, as an approval of the plan that stood there.
func (s *sitting) override(ctx context.Context, c *pull.Command, cmd command.Command, pic picture, chosen []int) (reply, error) {
	var done, bad, refused []string
	for _, i := range chosen {
		row := pic.rows[i]
		digest, certain := s.p.Seen(row.row.Key, c.WrittenAt)
		if row.job == nil || row.job.Plan == nil || !changes(row.job.Plan) || row.carries && row.job.State.IsFinal() {
			continue
		}
		is, err := s.caseOf(ctx, row)
		if err != nil {
			return reply{}, err
		}
		if ok, why := is.MayOverride(c.By); !ok {
			return confused("%s", why), nil
		}
		if !certain || digest != row.job.Plan.Digest {
			bad = append(bad, row.row.Key.String())
			continue
		}
		a := stackjob.Approval{Actor: c.By, Gate: stackjob.GateApply, PlanDigest: digest, Override: true, Comment: cmd.Reason, At: c.WrittenAt,
			OwnProposal: is.OwnProposal(c.By)}
		if err := s.l.o.Records.RecordApproval(ctx, pull.Approval{Stack: row.row.Key, Pull: s.key, Approval: a}); err != nil {
			return reply{}, err
		}
		if row.carries {
			if err := s.accept(ctx, row, a); err != nil {
				return reply{}, err
			}
		}
		done = append(done, row.row.Key.String())
		if isRejected(pic, row) {
			refused = append(refused, row.row.Key.String())
		}
	}
	switch {
	case len(bad) > 0:
		return no("the plan of %s is no longer the one that stood here; look again and repeat it", listed(bad)), nil
	case len(done) == 0:
		return no("nothing that you chose has a plan to go past anything"), nil
	}
	reason := "the approvals of " + listed(done) + " are gone past, and that is recorded"
	if len(refused) > 0 { // it takes the place of approvals, and of no rejection
		reason += "; a no to the plan still holds for " + listed(refused)
	}
	return reply{answer: pull.Yes, reason: reason, text: "reason: " + cmd.Reason}, nil
}

// reviews counts the forge's own reviews where a policy says so. A review is a word on
// the plans that stood in the pull request when it was made, of the very commit that it
// was made for; one that is no longer in force is taken back.
func (s *sitting) reviews(ctx context.Context) error {
	if s.p.Phase != pull.Open || s.p.Proposal.Closed || s.p.Round == nil {
		return nil
	}
	by, err := s.byReview(ctx)
	if err != nil {
		return err
	}
	if len(by) == 0 && len(s.p.Reviewed) == 0 {
		if !s.p.ByReview {
			return nil
		}
		s.p.ByReview = false
		return s.save(ctx)
	}
	list, err := s.f.Forge.Reviews(ctx, s.key.Number)
	if err != nil {
		return err
	}
	moved := s.p.ByReview != (len(by) > 0)
	s.p.ByReview = len(by) > 0
	for _, old := range slices.Clone(s.p.Reviewed) {
		if slices.ContainsFunc(list, func(r forge.Review) bool { return nameOf(r) == old.ID }) {
			continue
		}
		for _, plan := range old.Plans {
			if err := s.l.o.Records.WithdrawReview(ctx, plan.Key, s.key, old.ID); err != nil {
				return err
			}
			if err := s.unsay(ctx, plan); err != nil {
				return err
			}
		}
		s.p.Reviewed = slices.DeleteFunc(s.p.Reviewed, func(r pull.Reviewed) bool { return r.ID == old.ID })
		moved = true
	}
	for _, r := range list {
		if slices.ContainsFunc(s.p.Reviewed, func(o pull.Reviewed) bool { return o.ID == nameOf(r) }) {
			continue
		}
		is, err := s.count(ctx, r, by)
		if err != nil {
			return err
		}
		// One that counts for nothing is looked at again: who wrote it may come to be
		// among those who the policy names.
		if len(is.Plans) > 0 {
			s.p.Reviewed, moved = append(s.p.Reviewed, is), true
		}
	}
	if !moved {
		return nil
	}
	return s.save(ctx)
}

// nameOf names a review as it is: some forges give the next word of a person the id of
// the one before.
func nameOf(r forge.Review) string { return fmt.Sprintf("%s/%s/%d", r.ID, r.State, r.At.Unix()) }

// byReview are the rows whose policy counts reviews.
func (s *sitting) byReview(ctx context.Context) ([]subject, error) {
	pic, err := s.gather(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pic.rows, func(r subject) bool { return r.choice.Approvals == nil || !r.choice.Approvals.ByReview }), nil
}

// count records what a review says of the plans that stood there.
func (s *sitting) count(ctx context.Context, r forge.Review, rows []subject) (pull.Reviewed, error) {
	out := pull.Reviewed{ID: nameOf(r)}
	shown := s.p.ShownAt(r.At)
	if r.Author.Bot || shown == nil || r.Commit == "" || shown.Head != r.Commit {
		return out, nil
	}
	by := s.f.actor(r.Author)
	for _, row := range rows {
		digest, certain := s.p.Seen(row.row.Key, r.At)
		if digest == "" || !certain || strings.HasPrefix(digest, startMark) {
			continue
		}
		rejects, verb := false, command.Approve
		if r.State == forge.ChangesRequested {
			rejects, verb = true, command.Reject
		}
		is, err := s.caseOf(ctx, row)
		if err != nil {
			return out, err
		}
		if ok, _, err := s.f.rights.permits(ctx, verb, by, is); err != nil {
			return out, err
		} else if !ok {
			continue
		}
		if ok, _ := is.MayApprove(by); !ok && !rejects {
			continue
		}
		said, err := s.l.o.Records.Approvals(ctx, row.row.Key, digest)
		if err != nil {
			return out, err
		}
		i := slices.IndexFunc(said, func(a pull.Approval) bool { return a.Actor.Login().MayBe(by.Login()) })
		if i >= 0 && said[i].Review == "" && !said[i].At.Before(r.At) {
			continue // the person's own word came later
		}
		if !rejects {
			if s.p.Doubted(r.At) {
				continue
			}
			if other, err := s.isOverwritten(ctx); err != nil || other {
				return out, err
			}
		}
		a := stackjob.Approval{Actor: by, Gate: stackjob.GateApply, PlanDigest: digest, Rejected: rejects, Comment: s.p.Proposal.URL, At: r.At,
			OwnProposal: is.OwnProposal(by)}
		if i < 0 || said[i].Review != out.ID {
			if err := s.l.o.Records.RecordApproval(ctx, pull.Approval{Stack: row.row.Key, Pull: s.key, Review: out.ID, Approval: a}); err != nil {
				return out, err
			}
		}
		if row.carries && row.job.State.IsWaiting() && row.job.Plan != nil && row.job.Plan.Digest == digest {
			if err := s.accept(ctx, row, a); err != nil {
				return out, err
			}
		}
		out.Plans = append(out.Plans, pull.ShownPlan{Key: row.row.Key, Digest: digest})
	}
	return out, nil
}

// unsay stops an apply before the merge that has applied nothing yet and may count a
// review that was taken back.
func (s *sitting) unsay(ctx context.Context, plan pull.ShownPlan) error {
	a := s.p.ApplyOf(plan.Key)
	if a == nil || a.Ended() || !a.Enqueued {
		return nil
	}
	job, err := s.l.o.Records.Job(ctx, a.Job)
	if err != nil || job.State.IsFinal() || job.State == stackjob.Applying {
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	}
	_, err = s.stop(ctx, a.Job)
	return err
}
