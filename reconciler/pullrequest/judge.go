package pullrequest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/access"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// word is what a person's yes or no comes to for one row.
type word int

const (
	wordPassedOver word = iota // there is nothing that it could be about
	wordCounted
	wordUnsure  // what stood there changed in the second in which it was written
	wordStale   // what stood there is no longer what is
	wordRefused // who said it may not
)

// judge records a person's yes or no to what stood in the pull request when it was said.
func (s *sitting) judge(ctx context.Context, c *pull.Command, cmd command.Command, pic picture, chosen []int) (reply, error) {
	rows := map[word][]string{} // their keys; of those that are refused, why
	for _, i := range chosen {
		is, why, err := s.hear(ctx, c, cmd, pic.rows[i])
		if err != nil {
			return reply{}, err
		}
		if is != wordRefused {
			why = pic.rows[i].row.Key.String()
		}
		rows[is] = append(rows[is], why)
	}
	done := rows[wordCounted]
	switch {
	case len(rows[wordRefused]) > 0:
		why := slices.Compact(slices.Sorted(slices.Values(rows[wordRefused])))
		if len(done) > 0 {
			why = append(why, "it counts for "+listed(done))
		}
		return confused("%s", strings.Join(why, "; ")), nil
	case len(rows[wordUnsure]) > 0:
		return no("the plan of %s changed in the second in which you wrote; look again and repeat it", listed(rows[wordUnsure])), nil
	case len(rows[wordStale]) > 0:
		return no("the plan of %s is no longer the one that stood here; look again and repeat it", listed(rows[wordStale])), nil
	case len(done) == 0 && len(s.p.Shown) == 0:
		return no("no plan stood here when you wrote this"), nil
	case len(done) == 0:
		return no("nothing that you chose waits for an answer"), nil
	}
	return yes(listed(done)), nil
}

// hear records a yes or a no to one row; why is given when it is refused.
func (s *sitting) hear(ctx context.Context, c *pull.Command, cmd command.Command, row subject) (is word, why string, err error) {
	digest, certain := s.p.Seen(row.row.Key, c.WrittenAt)
	starts := row.carries && row.job.State == stackjob.WaitingStart
	switch {
	case row.carries && row.job.State.IsFinal():
		return wordPassedOver, "", nil // it was applied, or ended otherwise
	case starts && cmd.Verb == command.Reject:
		// Nothing is started, whatever it was that stood there.
	case !certain:
		return wordUnsure, "", nil
	case starts:
		if digest != startOf(row.job) {
			return wordStale, "", nil // another wish waits now than the one that stood here
		}
	case digest == "" || row.job == nil:
		return wordPassedOver, "", nil
	case strings.HasPrefix(digest, startMark): // it was started meanwhile, and is planned
		return wordStale, "", nil
	case cmd.Plan != "" && !strings.HasPrefix(strings.TrimPrefix(digest, "sha256:"), strings.ToLower(cmd.Plan)):
		return wordStale, "", nil
	}
	if why, err := s.mayJudge(ctx, c, cmd, row); err != nil || why != "" {
		return wordRefused, why, err
	}
	if starts {
		return wordCounted, "", s.say(ctx, c, cmd, row, "")
	}
	of, err := s.caseOf(ctx, row)
	if err != nil {
		return wordRefused, "", err
	}
	a := pull.Approval{Stack: row.row.Key, Pull: s.key, Approval: stackjob.Approval{Actor: c.By, OwnProposal: of.OwnProposal(c.By),
		Gate: stackjob.GateApply, PlanDigest: digest, Rejected: cmd.Verb == command.Reject, Comment: s.p.Proposal.URL, At: c.WrittenAt}}
	if err := s.l.o.Records.RecordApproval(ctx, a); err != nil {
		return wordRefused, "", err
	}
	if row.job.Plan == nil || row.job.Plan.Digest != digest {
		return wordStale, "", nil
	}
	if row.carries {
		err = s.say(ctx, c, cmd, row, digest)
	}
	return wordCounted, "", err
}

// mayJudge says why a person's word on a row would not count; "" when it does. A no
// counts whoever says it, the author too.
func (s *sitting) mayJudge(ctx context.Context, c *pull.Command, cmd command.Command, row subject) (why string, err error) {
	is, err := s.caseOf(ctx, row)
	if err != nil {
		return "", err
	}
	if ok, why, err := s.f.rights.permits(ctx, cmd.Verb, c.By, is); err != nil || !ok {
		return why, err
	}
	if cmd.Verb == command.Reject {
		return "", nil
	}
	if ok, why := is.MayApprove(c.By); !ok {
		return why, nil
	}
	return "", nil
}

// caseOf is what decides what people may say to a row: the policy in force, the followed
// branch's accounts and teams, and who proposed the change.
func (s *sitting) caseOf(ctx context.Context, row subject) (access.Case, error) {
	authors, err := s.authors(ctx)
	if err == nil && row.carries && row.job.Pull == "" {
		var others []access.Author
		others, err = s.l.proposers(ctx, *row.job, s.key)
		authors = append(authors, others...)
	}
	c := access.Case{Org: row.row.Key.Org, Choice: row.choice, Authors: authors}
	if view := s.l.o.Planner.View(s.key.Repository); view != nil {
		c.Tree = view.Tree
	}
	return c, err
}

// say tells a job that waits.
func (s *sitting) say(ctx context.Context, c *pull.Command, cmd command.Command, row subject, digest string) error {
	is, err := s.caseOf(ctx, row)
	if err != nil {
		return err
	}
	return s.accept(ctx, row, stackjob.Approval{Actor: c.By, PlanDigest: digest, Comment: s.p.Proposal.URL, Rejected: cmd.Verb == command.Reject,
		OwnProposal: is.OwnProposal(c.By)})
}

// accept tells a job that waits what a person said of it.
func (s *sitting) accept(ctx context.Context, row subject, a stackjob.Approval) error {
	var err error
	if a.Rejected {
		_, err = s.l.o.Planner.Reject(ctx, row.job.ID, a.Actor, a.PlanDigest, a.Comment)
	} else {
		_, err = s.l.o.Planner.Accept(ctx, row.job.ID, a)
	}
	var illegal *stackjob.IllegalMove
	if errors.As(err, &illegal) || errors.Is(err, stackjob.ErrStaleApproval) || errors.Is(err, store.ErrNotFound) {
		return nil // it went on meanwhile; the next look shows how
	}
	return err
}
