package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// reply is what a command came to.
type reply struct {
	// answer is "" while it goes on.
	answer pull.Answer
	// reason is one line for whoever wrote it.
	reason string
	// text is a longer answer, Markdown of ours; "" for none.
	text string
	// later is for a command that is still to begin: at the next look, which is due anyway.
	later bool
}

func yes(reason string) reply { return reply{answer: pull.Yes, reason: reason} }
func no(format string, args ...any) reply {
	return reply{answer: pull.No, reason: fmt.Sprintf(format, args...)}
}
func confused(format string, args ...any) reply {
	return reply{answer: pull.Confused, reason: fmt.Sprintf(format, args...)}
}

// obey carries out the commands that are written down. Each is safe to begin again: a
// daemon may be killed after it was carried out and before that was written down.
func (s *sitting) obey(ctx context.Context) error {
	moved := false
	for i := range s.p.Commands {
		c := &s.p.Commands[i]
		if c.State == pull.Ended {
			continue
		}
		cmd := parsed(c.Text)
		was := c.State // a new round writes down itself that it was asked for
		r, err := s.answer(ctx, c, cmd)
		if err != nil {
			return err
		}
		switch {
		case r.later:
			c.State = was
		case r.answer == "":
			c.State = pull.Started
		default:
			c.State, c.Answer, c.Reason, c.EndedAt = pull.Ended, r.answer, r.reason, s.now()
			s.l.metrics.commands.WithLabelValues(string(cmd.Verb), string(r.answer)).Inc()
		}
		if was == c.State {
			continue
		}
		moved = true
		if c.State == pull.Ended {
			if err := s.speak(ctx, c, r); err != nil {
				return err
			}
		}
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	if !moved {
		return nil
	}
	return s.react(ctx)
}

// parsed reads a command again from its text.
func parsed(text string) command.Command {
	if list := command.Parse(text); len(list) > 0 {
		return list[0]
	}
	return command.Command{Problem: "this is no command"}
}

// speak writes down an answer that a reaction cannot tell; it is posted with the rest.
func (s *sitting) speak(ctx context.Context, c *pull.Command, r reply) error {
	if r.answer == pull.Yes && r.text == "" {
		return nil // a thumb says it; or, where another command of the comment has none, its line (answers)
	}
	ok, note, err := s.mayReply(ctx, c)
	if err != nil || !ok {
		return err
	}
	if note != "" {
		r.reason = strings.TrimPrefix(r.reason+"; "+note, "; ")
	}
	name := fmt.Sprintf("answer-%s-%d", c.Comment, c.Line)
	if len(s.together(c.Comment)) > 1 {
		name = "answer-" + c.Comment
	}
	s.p.Answers = append(s.p.Answers, pull.Spoken{Name: name, Comment: c.Comment, Line: c.Line,
		Command: c.Text, To: c.By.Name, Answer: r.answer, Reason: r.reason, Text: r.text})
	return nil
}

// together are the commands of one comment.
func (s *sitting) together(comment string) []pull.Command {
	return slices.DeleteFunc(slices.Clone(s.p.Commands), func(c pull.Command) bool { return c.Comment != comment })
}

func (s *sitting) answer(ctx context.Context, c *pull.Command, cmd command.Command) (reply, error) {
	if cmd.Problem != "" {
		return confused("%s", cmd.Problem), nil
	}
	if cmd.Verb == command.Help {
		return reply{answer: pull.Yes, text: command.HelpText()}, nil
	}
	if cmd.Verb == command.Apply && c.State == pull.Started {
		return s.outcomeOf(ctx, c) // also when the pull request was closed meanwhile
	}
	if !ofRows(cmd.Verb) {
		ok, why, err := s.f.rights.permits(ctx, cmd.Verb, c.By)
		if err != nil {
			return reply{}, err
		}
		if !ok {
			return confused("%s", why), nil
		}
	}
	if s.p.Proposal.Closed {
		return no("%s", s.ended()), nil
	}
	if cmd.Verb == command.Plan {
		return s.replan(ctx, c)
	}
	if cmd.Verb == command.Unlock {
		return s.unlock(ctx, cmd)
	}
	pic, err := s.gather(ctx)
	if err != nil {
		return reply{}, err
	}
	chosen, why := choose(pic, cmd)
	if why != "" {
		return confused("%s", why), nil
	}
	if c.State == pull.Received && (cmd.Verb == command.Approve || cmd.Verb == command.Apply || cmd.Verb == command.Override) {
		other, err := s.isOverwritten(ctx)
		if err != nil || other || s.p.Doubted(c.WrittenAt) {
			return no("somebody changed the comment in which the plans stand; it is written anew: look again and repeat it"), err
		}
	}
	switch cmd.Verb {
	case command.Approve, command.Reject:
		return s.judge(ctx, c, cmd, pic, chosen)
	case command.Cancel:
		return s.cancel(ctx, c, chosen)
	case command.Rerun:
		return s.rerun(ctx, c, pic, chosen)
	case command.Explain:
		of := map[schema.ResourceKey][]report.PullOf{}
		for _, i := range chosen {
			if of[pic.rows[i].row.Key], err = s.l.Concerning(ctx, pic.rows[i].row.Key, pic.rows[i].job); err != nil {
				return reply{}, err
			}
		}
		return reply{answer: pull.Yes, text: explain(pic, chosen, of)}, nil
	case command.Apply:
		return s.apply(ctx, c, pic, chosen)
	}
	return s.override(ctx, c, cmd, pic, chosen)
}

// ended says why nothing is done for a pull request that is over without a merge.
func (s *sitting) ended() string {
	if !s.p.Proposal.Elsewhere {
		return "the pull request is closed"
	}
	return "the pull request goes into " + s.p.Proposal.BaseBranch + ", and only those into " + s.into() + " are planned"
}

// ofRows tells of a command that it is the resources' policies that say who may give it,
// each for its own. explain is for whoever can write in the pull request: they read all
// of it there.
func ofRows(v command.Verb) bool {
	return v == command.Approve || v == command.Reject || v == command.Override || v == command.Explain
}

// choose picks the rows that a command is for, by index, or says why it cannot.
func choose(pic picture, cmd command.Command) (chosen []int, why string) {
	if r := pic.pull.Round; r != nil && !r.Refused.IsZero() {
		return nil, "nothing is planned: " + r.Refused.String()
	}
	if len(pic.rows) == 0 {
		return nil, "no resource is affected by this pull request"
	}
	matched := make([]bool, len(cmd.Selectors))
	for i, s := range pic.rows {
		take := cmd.All || len(cmd.Selectors) == 0
		for k, sel := range cmd.Selectors {
			if sel.Matches(s.row.Key) {
				take, matched[k] = true, true
			}
		}
		if take {
			chosen = append(chosen, i)
		}
	}
	for k, is := range matched {
		if !is {
			return nil, fmt.Sprintf("no resource of this pull request matches `%s`; it has %s", cmd.Selectors[k], keysOf(pic))
		}
	}
	if cmd.All || len(cmd.Selectors) > 0 {
		return chosen, ""
	}
	// Without a word about which, only where there can be no doubt.
	if cmd.Verb == command.Approve || cmd.Verb == command.Reject || cmd.Verb == command.Apply {
		envs := map[string]bool{}
		for _, i := range chosen {
			if state, _ := pic.rows[i].state(); state == comment.RowWaiting || state == comment.RowApproved {
				envs[pic.rows[i].row.Key.Org+"/"+pic.rows[i].row.Key.Env] = true
			}
		}
		if len(envs) > 1 {
			return nil, fmt.Sprintf("several environments wait; name one, as in `reeve %s %s`, or write `--all`", cmd.Verb, pic.rows[chosen[0]].row.Key.Env)
		}
	}
	return chosen, ""
}

func keysOf(pic picture) string {
	var out []string
	for _, s := range pic.rows {
		out = append(out, "`"+s.row.Key.String()+"`")
	}
	return listed(out)
}

// replan makes a fresh round; after the merge there is nothing to plan from here.
func (s *sitting) replan(ctx context.Context, c *pull.Command) (reply, error) {
	if s.p.Phase != pull.Open {
		return no("the pull request is merged; `reeve rerun` runs a failed job again"), nil
	}
	if c.State == pull.Received {
		view := s.l.o.Planner.View(s.key.Repository)
		if view == nil {
			return reply{later: true}, nil
		}
		trusted, err := s.trusted(ctx)
		if err != nil {
			return reply{}, err
		}
		allowed := s.p.Allowed
		if r := s.p.Round; !trusted && (r == nil || r.Head != s.p.Proposal.Head || !r.Refused.IsZero()) {
			// Whoever reads a stranger's code and says that it may run says so of what
			// was read, not of what was pushed since.
			if head, certain := s.p.SeenHead(c.WrittenAt); !certain || head != s.p.Proposal.Head {
				return s.unread(), nil
			}
			s.p.Allowed = &pull.Allowed{Head: s.p.Proposal.Head, By: c.By, At: s.now()}
		}
		c.State = pull.Started // saved with the round
		made, err := s.round(ctx, view, false, true)
		if err != nil {
			return reply{}, err
		}
		if !made {
			// The head is another by now, or not where it is fetched from: what came of
			// the round before says nothing of it.
			s.p.Allowed = allowed
			return reply{later: true}, nil
		}
	}
	r := s.p.Round
	if r == nil || r.Head != s.p.Proposal.Head {
		return reply{}, nil
	}
	if !r.Refused.IsZero() {
		// The code that was let run is not what stands there since.
		if a := s.p.Allowed; a != nil && a.By == c.By && a.Head != r.Head && r.Refused.Code == stackjob.ReasonUntrusted {
			return s.unread(), nil
		}
		return no("%s", r.Refused), nil
	}
	pic, err := s.gather(ctx)
	if err != nil {
		return reply{}, err
	}
	failed := 0
	for _, row := range pic.rows {
		switch state, _ := row.state(); state {
		case comment.RowQueued, comment.RowPlanning:
			return reply{}, nil
		case comment.RowFailed, comment.RowStopped:
			failed++
		}
	}
	if failed > 0 {
		return reply{answer: pull.No}, nil // the plan's comment says which, and why
	}
	return yes(""), nil
}

// unread refuses to run a stranger's code that was pushed after somebody read it.
func (s *sitting) unread() reply {
	return no("the code of %s may run when somebody says so after it stood here; look at it and repeat `reeve plan`", shortCommit(s.p.Proposal.Head))
}

// shortCommit is a commit's name as people see it.
func shortCommit(hash string) string { return hash[:min(len(hash), 7)] }

// cancel stops what is under way.
func (s *sitting) cancel(ctx context.Context, c *pull.Command, chosen []int) (reply, error) {
	pic, err := s.gather(ctx)
	if err != nil {
		return reply{}, err
	}
	n := 0
	for _, i := range chosen {
		withdrawn, err := s.withdraw(ctx, pic.rows[i].row.Key)
		if err != nil {
			return reply{}, err
		}
		if withdrawn {
			n++
			continue
		}
		job := pic.rows[i].job
		if job == nil || job.State.IsFinal() {
			continue
		}
		_, err = s.l.o.Planner.Stop(ctx, job.ID, c.By)
		var illegal *stackjob.IllegalMove
		if err != nil && !errors.As(err, &illegal) {
			return reply{}, err
		}
		n++
	}
	if n == 0 {
		return no("nothing that you chose is queued or running"), nil
	}
	return yes(""), nil
}

// rerun runs what failed again.
func (s *sitting) rerun(ctx context.Context, c *pull.Command, pic picture, chosen []int) (reply, error) {
	view := s.l.o.Planner.View(s.key.Repository)
	if view == nil && s.p.Phase == pull.Open {
		return reply{later: true}, nil
	}
	n := 0
	var over []*pull.Apply
	var cannot []string
	for _, i := range chosen {
		row := pic.rows[i]
		if state, _ := row.state(); state != comment.RowFailed && state != comment.RowStopped {
			continue
		}
		n++
		if !row.carries {
			continue
		}
		if s.p.Landed == "" { // what is left is planned again, and applied when somebody says so
			if a := s.p.ApplyOf(row.row.Key); !a.Over {
				a.Over = true
				over = append(over, a)
			}
			continue
		}
		if _, err := s.l.o.Planner.Rerun(ctx, row.job.ID, c.By); err != nil {
			key := row.row.Key.String()
			cannot = append(cannot, key+": "+strings.TrimPrefix(err.Error(), key+": "))
		}
	}
	switch {
	case n == 0:
		return no("nothing that you chose has failed"), nil
	case len(cannot) == n:
		return no("%s", listed(cannot)), nil
	case len(cannot) > 0: // one that cannot be run keeps no other from it
		return no("%s; what else failed runs again", listed(cannot)), nil
	}
	if s.p.Phase == pull.Open {
		// Plans that stand are taken over; those that failed are made again.
		made, err := s.round(ctx, view, false, false)
		if err != nil {
			return reply{}, err
		}
		if !made {
			for _, a := range over {
				a.Over = false
			}
			return reply{later: true}, nil
		}
	}
	return yes(""), nil
}

// explain says of each row why it is there, what is in force and what it waits for, and
// which pull requests have to do with it.
func explain(pic picture, chosen []int, of map[schema.ResourceKey][]report.PullOf) string {
	var b strings.Builder
	for _, i := range chosen {
		s := pic.rows[i]
		state, detail := s.state()
		fmt.Fprintf(&b, "%s is %s", s.row.Key, state)
		if s.row.Deferred != nil && s.job == nil {
			detail = "until " + s.row.Deferred.String() + " is applied, which gives it a value that it reads"
		}
		if detail != "" {
			b.WriteString(": " + detail)
		}
		b.WriteString("\n")
		for _, because := range s.row.Because {
			b.WriteString("  because " + because.Cause.Sentence())
			if because.Detail != "" {
				b.WriteString(": " + because.Detail)
			}
			b.WriteString("\n")
		}
		for _, p := range of[s.row.Key] {
			b.WriteString("  " + p.Sentence() + "\n")
		}
		b.WriteString("  policy " + s.choice.Name)
		if s.choice.File != "" {
			fmt.Fprintf(&b, " (%s:%d)", s.choice.File, s.choice.Line)
		}
		b.WriteString("\n")
		for _, v := range s.choice.Visited {
			b.WriteString("    " + v + "\n")
		}
	}
	return b.String()
}
