package pullrequest

import (
	"context"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// What somebody may have the daemon write who has no say in a pull request. Everybody who
// can comment can write commands, as fast as a program does, and each answer is a
// notification to all who follow, and a call of those that the forge lets us have.
const (
	// repliesEach is how many replies one person gets between two pushes. Then a reaction is
	// all, and after reactionsEach more of them there is none.
	repliesEach   = 3
	reactionsEach = 20
	// repliesInAll is how many replies all of them together get in one pull request, ever:
	// its author may be one of them, and push as fast.
	repliesInAll = 30
	// seenEach is how many commands of anybody that wait for their answer are marked as seen.
	seenEach = 10
)

// lastReply is what the last reply says besides.
const lastReply = "further commands of yours get a reaction at most, until something else is pushed here"

// mayReply tells whether a command gets a reply of its own, and writes down that it does.
// note is what the reply is to say besides; "" for nothing.
func (s *sitting) mayReply(ctx context.Context, c *pull.Command) (ok bool, note string, err error) {
	if slices.ContainsFunc(s.p.Answers, func(a pull.Spoken) bool { return a.Comment == c.Comment }) {
		return true, "", nil // it stands in a reply that is written anyway
	}
	if is, err := s.hasSay(ctx, c.By); err != nil || is {
		return is, "", err
	}
	t := s.told(c.By)
	if t.Replies >= repliesEach || s.p.ToldInAll >= repliesInAll {
		t.Quiet++
		c.Silent = t.Quiet > reactionsEach
		return false, "", nil
	}
	t.Replies++
	s.p.ToldInAll++
	if t.Replies == repliesEach || s.p.ToldInAll == repliesInAll {
		note = lastReply
	}
	return true, note, nil
}

// hasSay tells whether somebody may write to the repository, or is named by a policy of what
// the pull request touches.
func (s *sitting) hasSay(ctx context.Context, by stackjob.Actor) (bool, error) {
	if writes, err := s.f.rights.writes(ctx, by.Name); err != nil || writes {
		return writes, err
	}
	view := s.l.o.Planner.View(s.key.Repository)
	if view == nil || s.p.Round == nil {
		return false, nil
	}
	return slices.ContainsFunc(s.p.Round.Rows, func(row pull.Row) bool {
		choice := flowcontrol.Choose(view.Tree.Policies(), row.Key)
		if _, is := choice.Overrider(by); is {
			return true
		}
		if choice.Approvals == nil || len(choice.Approvals.From) == 0 {
			return false
		}
		_, is := choice.Approvals.Person(by)
		return is
	}), nil
}

// told is what somebody without a say was told since the last push.
func (s *sitting) told(by stackjob.Actor) *pull.Told {
	if s.p.ToldOf != s.p.Proposal.Head {
		s.p.ToldOf, s.p.Told = s.p.Proposal.Head, nil
	}
	name := by.Via + ":" + strings.ToLower(by.Name)
	i := slices.IndexFunc(s.p.Told, func(t pull.Told) bool { return t.By == name })
	if i < 0 {
		s.p.Told = append(s.p.Told, pull.Told{By: name})
		i = len(s.p.Told) - 1
	}
	return &s.p.Told[i]
}

// isUnseen tells whether a command that was just read gets no mark that it was: its writer
// was told enough, or has written many at once.
func (s *sitting) isUnseen(by stackjob.Actor) bool {
	name, waiting := by.Via+":"+strings.ToLower(by.Name), 0
	for _, c := range s.p.Commands {
		if c.State == pull.Received && c.By.Via == by.Via && strings.EqualFold(c.By.Name, by.Name) {
			waiting++
		}
	}
	return waiting >= seenEach || s.p.ToldOf == s.p.Proposal.Head &&
		slices.ContainsFunc(s.p.Told, func(t pull.Told) bool { return t.By == name && t.Replies >= repliesEach })
}
