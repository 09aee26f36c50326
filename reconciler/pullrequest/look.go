package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// sitting is one look at one pull request. Nobody else looks at it meanwhile.
type sitting struct {
	l   *Loop
	f   *followed
	key pull.Key

	p       pull.Pull
	version int64
	// next is when to look again by itself; 0 for not.
	next time.Duration
	// proposed tells that this look made the tree of the pull request's plans again.
	proposed bool
}

func (s *sitting) now() time.Time { return s.l.o.Now().UTC().Round(0) }

// look brings a pull request up to date. ask asks the forge what it has become; without
// it only our own side is derived anew.
func (s *sitting) look(ctx context.Context, ask bool, seen *forge.PullRequest) error {
	p, version, err := s.l.o.Records.Pull(ctx, s.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if !ask {
			return nil
		}
		p = pull.Pull{Key: s.key, Phase: pull.Open, CreatedAt: s.now()}
	case err != nil:
		return err
	}
	s.p, s.version = p, version
	if p.Origin == "" || p.Origin != s.f.origin() {
		ask = true // else what is recorded of one repository could be told in another
	}
	if ask {
		mine, err := s.facts(ctx, seen)
		if err != nil || !mine {
			return err
		}
		if err := s.read(ctx); err != nil {
			return err
		}
	}
	if err := s.recall(ctx); err != nil {
		return err
	}
	if s.p.Phase == pull.Done {
		if err := s.epilogue(ctx); err != nil {
			return err
		}
		return s.react(ctx)
	}
	if s.p.Proposal.Closed { // before it is told how all ended
		if err := s.abandonRound(ctx); err != nil {
			return err
		}
		if err := s.forget(ctx); err != nil {
			return err
		}
	}
	if err := s.plan(ctx); err != nil {
		return err
	}
	if ask {
		if err := s.reviews(ctx); err != nil {
			return err
		}
	}
	if err := s.obey(ctx); err != nil {
		return err
	}
	if err := s.carry(ctx); err != nil {
		return err
	}
	if err := s.land(ctx); err != nil {
		return err
	}
	if err := s.show(ctx); err != nil {
		return err
	}
	return s.react(ctx) // what a look that failed, or a daemon that died, had yet to put there
}

// epilogue answers what is said after the end.
func (s *sitting) epilogue(ctx context.Context) error {
	if !slices.ContainsFunc(s.p.Commands, func(c pull.Command) bool { return c.State != pull.Ended }) && len(s.p.Answers) == 0 {
		return nil
	}
	if err := s.obey(ctx); err != nil {
		return err
	}
	return s.answers(ctx)
}

// save writes the record. It fails when somebody else did: nobody else should.
func (s *sitting) save(ctx context.Context) error {
	s.p.UpdatedAt = s.now()
	v, err := s.l.o.Records.SavePull(ctx, s.p, s.version)
	if err != nil {
		return err
	}
	s.version = v
	return nil
}

// facts reads what the forge says of the pull request. mine is false for one that is
// none of ours: into another branch than the one that is followed.
func (s *sitting) facts(ctx context.Context, seen *forge.PullRequest) (mine bool, err error) {
	pr := seen
	if pr != nil && s.version != 0 && !pr.UpdatedAt.After(s.p.Proposal.UpdatedAt) && s.proposal(*pr) != s.p.Proposal {
		pr = nil // the list was overtaken on its way
	}
	if pr == nil {
		got, err := s.f.Forge.PullRequest(ctx, s.key.Number)
		if errors.Is(err, forge.ErrNotFound) && s.version != 0 {
			gone, listed := s.gone(ctx)
			if listed != nil {
				return false, listed
			}
			if gone {
				return true, s.finish(ctx) // nothing can be written there any more
			}
		}
		if err != nil {
			return false, err
		}
		pr = &got
	}
	isNew, origin := s.version == 0, originOf(*pr, s.f.Forge.Name())
	s.f.setOrigin(origin)
	if s.p.Origin != "" && s.p.Origin != origin {
		if over, err := s.replace(ctx); err != nil || !over {
			return false, err
		}
		isNew = true
	}
	if s.l.o.Planner.View(s.key.Repository) == nil && (isNew || pr.BaseBranch != s.p.Proposal.BaseBranch) {
		s.l.askSoon(s.key, soon) // nobody knows yet whether it is one of ours
		return false, nil
	}
	was, is := s.p.Proposal, s.proposal(*pr)
	if was.Merged && is.Elsewhere { // another branch is followed since
		return true, s.finish(ctx)
	}
	first := s.p.Origin == ""
	s.p.Proposal, s.p.Origin = is, origin
	switch {
	case isNew && (pr.State != forge.Open || is.Elsewhere):
		if s.version != 0 { // in the place of another one
			s.p.Phase = pull.Done
			return false, s.save(ctx)
		}
		return false, nil // it ended before anybody here knew of it, or is none of ours
	case s.p.Phase == pull.Done && is.Elsewhere:
		if pr.State == forge.Open && !was.Elsewhere {
			s.p.Phase = pull.Open // it was closed, and reopened into another branch: that is to be told
		}
	case s.p.Phase == pull.Done && pr.State == forge.Open:
		s.p.Phase = pull.Open        // reopened, or turned back
		for i := range s.p.Applies { // what was applied was given back
			s.p.Applies[i].Over = true
		}
		if s.p.Round != nil { // whose plans were given up: those that stand are taken over
			s.p.Round.Head = ""
		}
	case s.p.Phase == pull.Open && s.p.Proposal.Merged:
		s.p.Phase = pull.Landing
	}
	if first || was != s.p.Proposal {
		return true, s.save(ctx)
	}
	return true, nil
}

// proposal is what is remembered of what the forge says. For the followed branch it is over
// with a pull request that was turned to another one, whatever becomes of it there.
func (s *sitting) proposal(pr forge.PullRequest) pull.Proposal {
	p := ProposalOf(pr)
	p.Elsewhere = s.p.Proposal.Elsewhere && p.BaseBranch == s.p.Proposal.BaseBranch
	if view := s.l.o.Planner.View(s.key.Repository); view != nil {
		p.Elsewhere = view.Revision.Branch != "" && view.Revision.Branch != p.BaseBranch
	}
	if p.Elsewhere {
		p.Closed, p.Merged, p.MergeCommit = true, false, ""
	}
	return p
}

// gone tells of a pull request that the forge does not find whether it was deleted. A
// forge says the same of what is too new for it, and of all that it hides from a token
// that lost its rights.
func (s *sitting) gone(ctx context.Context) (bool, error) {
	if s.now().Sub(s.p.CreatedAt) < settles {
		return false, nil
	}
	open, err := s.f.Forge.OpenPullRequests(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(open, func(pr forge.PullRequest) bool { return pr.Number == s.key.Number }), nil
}

// finish ends what is under way for a pull request with which nothing more is done.
func (s *sitting) finish(ctx context.Context) error {
	if s.p.Phase == pull.Done {
		return nil
	}
	if err := s.abandon(ctx); err != nil {
		return err
	}
	if err := s.release(ctx); err != nil {
		return err
	}
	if err := s.forget(ctx); err != nil {
		return err
	}
	s.p.Phase = pull.Done
	return s.save(ctx)
}

// forget lets go of what was said here, when this has ended: who said yes to a proposal said
// so of that one. Without it a yes would hold for whoever proposes the same, and after a
// reopen, which nobody was asked about. What is applied, or being taken back, has its
// approvals with its job.
func (s *sitting) forget(ctx context.Context) error {
	stacks, err := s.l.o.Records.ForgetApprovals(ctx, s.key)
	if err != nil {
		return err
	}
	if len(stacks) > 0 { // which others may have counted
		s.l.each(ctx, func(p pull.Pull) bool {
			return p.Key != s.key && slices.ContainsFunc(stacks, func(k schema.ResourceKey) bool { return p.Round.Row(k) != nil })
		})
	}
	if !s.p.Proposal.Closed || len(s.p.Shown) == 0 && s.p.Showing == nil && len(s.p.Reviewed) == 0 {
		return nil
	}
	// Neither is what was written before the close, and read after a reopen, an answer.
	s.p.Shown, s.p.Showing, s.p.Reviewed, s.p.ClosedAt = nil, nil, nil, s.p.Proposal.UpdatedAt
	return s.save(ctx)
}

// abandon ends the plans that are being made and lets the merge go.
func (s *sitting) abandon(ctx context.Context) error {
	if s.p.Round != nil {
		for _, row := range s.p.Round.Rows {
			if row.Job == "" {
				continue
			}
			if err := s.l.o.Planner.Abandon(ctx, row.Job); err != nil {
				return err
			}
		}
	}
	s.l.o.Planner.ForgetProposal(s.key)
	return s.f.Merges.Forget(ctx, fmt.Sprint(s.key.Number))
}

// overlap is how far back comments are read again: a forge's clock has seconds, and a
// comment may show up a little later than one that is newer.
const overlap = 2 * time.Minute

// keptCommands is how many commands are remembered; those whose comments can still be
// read again are kept whatever their number.
const keptCommands = 200

// read reads the comments that are new and writes down the commands among them, before
// anything is done about them.
func (s *sitting) read(ctx context.Context) error {
	since := s.p.CommentsSince
	if !since.IsZero() {
		since = since.Add(-overlap)
	}
	comments, err := s.f.Forge.Comments(ctx, s.key.Number, since)
	if err != nil {
		return err
	}
	newest, found := s.p.CommentsSince, false
	for _, c := range comments {
		if c.CreatedAt.After(newest) {
			newest = c.CreatedAt
		}
		// Our own are told by their mark and not by who wrote them: the daemon may use
		// the account of somebody who writes commands.
		if c.Author.Bot || strings.Contains(c.Body, markBegin) || s.heard(c.ID) {
			continue
		}
		// An edit never makes a command: what was approved, and when, would be
		// anybody's guess.
		if !c.EditedAt.IsZero() || c.CreatedAt.Before(since) {
			continue
		}
		for _, cmd := range command.Parse(c.Body) {
			s.p.Commands = append(s.p.Commands, pull.Command{Comment: c.ID, Line: cmd.Line, Text: cmd.Text,
				By: s.f.actor(c.Author), WrittenAt: c.CreatedAt, State: pull.Received, Unseen: s.isUnseen(s.f.actor(c.Author))})
			found = true
		}
	}
	if newest.Equal(s.p.CommentsSince) && !found {
		return nil
	}
	s.p.CommentsSince = newest
	s.forgetCommands()
	if err := s.save(ctx); err != nil {
		return err
	}
	return s.react(ctx) // 👀, before the work begins
}

// heard tells whether a comment's commands are written down.
func (s *sitting) heard(comment string) bool {
	return slices.ContainsFunc(s.p.Commands, func(c pull.Command) bool { return c.Comment == comment })
}

func (s *sitting) forgetCommands() {
	for len(s.p.Commands) > keptCommands {
		c := s.p.Commands[0]
		if c.State != pull.Ended || c.WrittenAt.After(s.p.CommentsSince.Add(-2*overlap)) {
			return
		}
		s.p.Commands = s.p.Commands[1:]
	}
}

// react puts on each comment the reaction that tells how far its commands are.
func (s *sitting) react(ctx context.Context) error {
	moved := false
	for i := range s.p.Commands {
		c := &s.p.Commands[i]
		want := reactionOf(s.p.Commands, c.Comment)
		if c.Reacted == string(want) || c.Silent || c.Unseen && (want == forge.Eyes || want == forge.Rocket) {
			continue
		}
		err := s.f.Forge.React(ctx, s.key.Number, c.Comment, want)
		switch {
		case err == nil, errors.Is(err, forge.ErrNotFound): // the comment was deleted
		case unwanted(err):
			s.l.log.Warn("a command could not be marked", "pull", s.key.String(), "comment", c.Comment, "error", err)
		default:
			return err
		}
		if err == nil {
			s.l.metrics.writes.WithLabelValues("reaction").Inc()
		}
		for k := range s.p.Commands {
			if s.p.Commands[k].Comment == c.Comment {
				s.p.Commands[k].Reacted = string(want)
			}
		}
		moved = true
	}
	if !moved {
		return nil
	}
	return s.save(ctx)
}

// unwanted tells of a reaction that it is not wanted, as where a conversation is locked:
// asking again helps nobody, and what else is to be done does not depend on it. Of a
// credential that is not good any more the look as a whole fails.
func unwanted(err error) bool {
	var call *forge.CallError
	return errors.As(err, &call) && (call.Class == forge.Person || call.Class == forge.Bug) && call.Status != 0 && call.Status != http.StatusUnauthorized
}

// reactionOf is the reaction on a comment: the worst answer of its commands when all
// have ended.
func reactionOf(commands []pull.Command, comment string) forge.Reaction {
	worst, started, ended := forge.ThumbsUp, false, true
	for _, c := range commands {
		if c.Comment != comment {
			continue
		}
		started = started || c.State != pull.Received
		switch {
		case c.State != pull.Ended:
			ended = false
		case c.Answer == pull.Confused:
			worst = forge.Confused
		case c.Answer == pull.No && worst == forge.ThumbsUp:
			worst = forge.ThumbsDown
		}
	}
	switch {
	case ended:
		return worst
	case started:
		return forge.Rocket
	}
	return forge.Eyes
}

// again has the pull request looked at after a time, unless that happens sooner.
func (s *sitting) again(after time.Duration) {
	if s.next == 0 || after < s.next {
		s.next = after
	}
}
