package pullrequest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// planPost is the living comment.
const planPost = "plan"

// markBegin is how the mark begins in a body.
const markBegin = "<!-- reeve:"

// mark names a post so that it can be found again.
func mark(k pull.Key, name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '.'
	}, k.Repository)
	return fmt.Sprintf("%s/%d/%s", clean, k.Number, name)
}

// show makes what stands in the pull request what it should be.
func (s *sitting) show(ctx context.Context) error {
	pic, err := s.gather(ctx)
	if err != nil {
		return err
	}
	view := derive(pic)
	l := s.limits()
	if err := s.living(ctx, pic, view, l); err != nil {
		return err
	}
	if err := s.notices(ctx, pic, view, l); err != nil {
		return err
	}
	if err := s.statuses(ctx, pic, view); err != nil {
		return err
	}
	return s.close(ctx, view)
}

// close ends what nothing is left to do for.
func (s *sitting) close(ctx context.Context, view comment.Pull) error {
	open := slices.ContainsFunc(s.p.Commands, func(c pull.Command) bool { return c.State != pull.Ended })
	switch {
	case open || s.next > 0 || s.applying():
	case s.p.Proposal.Closed, s.p.Phase == pull.Landing && (view.State == comment.Applied || view.State == comment.Nothing):
		return s.finish(ctx)
	}
	if settled(view) && s.l.o.Planner.Proposed(s.key) && !s.applying() {
		s.l.o.Planner.ForgetProposal(s.key)
	}
	return nil
}

// living keeps the one comment that is edited in place.
func (s *sitting) living(ctx context.Context, pic picture, view comment.Pull, l comment.Limits) error {
	if s.p.Round == nil || s.isSilent(view) {
		return nil
	}
	if wait := s.tooSoon(view); wait > 0 {
		s.again(wait)
		return nil
	}
	text := comment.Living(view, l)
	if len(text.Left) > 0 || s.p.Long.Commit == view.Head {
		var err error
		if view.Long, err = s.longText(ctx, view, l); err != nil {
			return err
		}
		text = comment.Living(view, l)
	}
	if err := s.announce(ctx, text.Body, pic, shownPlans(pic, view)); err != nil {
		return err
	}
	written, err := s.write(ctx, planPost, text.Body)
	if err != nil {
		return err
	}
	if err := s.shown(ctx, pic, view); err != nil || !written {
		return err
	}
	post := &s.p.Posts[s.post(planPost)]
	if !s.p.Proposal.Merged && !s.p.Proposal.Closed {
		s.l.metrics.told(view, post.Round == view.Round, comment.State(post.State), s.now().Sub(s.p.Round.StartedAt))
	}
	post.Round, post.State = view.Round, string(view.State)
	return s.save(ctx)
}

// isSilent tells that a pull request touches nothing of ours, no policy and no engine
// either, and was never commented on.
func (s *sitting) isSilent(view comment.Pull) bool {
	return touchesNothing(view) && len(view.Policies) == 0 && len(view.Engines) == 0 && s.post(planPost) < 0
}

// hasNoOutcome tells that nobody waits to hear how it ends: it touches nothing, and what was
// said of it, if anything, was of policies and engines.
func (s *sitting) hasNoOutcome(view comment.Pull) bool {
	return touchesNothing(view) && (len(view.Policies)+len(view.Engines) > 0 || s.post(planPost) < 0)
}

// touchesNothing tells that there is nothing to plan, and nothing wrong.
func touchesNothing(view comment.Pull) bool {
	return len(view.Rows) == 0 && view.Refused == "" && view.Errors == 0
}

// tooSoon is how long the next edit is to wait. While plans come in, one now and then is
// enough, and the longer they take the fewer; what else moves, and the last of a round,
// waits for nothing.
func (s *sitting) tooSoon(view comment.Pull) time.Duration {
	at := s.post(planPost)
	if at < 0 || settled(view) || s.p.Posts[at].Round != view.Round || s.p.Posts[at].State != string(view.State) {
		return 0
	}
	return max(s.l.o.Quiet, s.now().Sub(s.p.Round.StartedAt)/2) - s.now().Sub(s.p.Posts[at].At)
}

// shown writes down which plans stand in the living comment from when on, by the forge's
// clock: that is the clock of the comments that answer it.
func (s *sitting) shown(ctx context.Context, pic picture, view comment.Pull) error {
	at, plans := s.post(planPost), shownPlans(pic, view)
	if at < 0 || s.p.Posts[at].ID == "" {
		return nil
	}
	if !s.isNews(plans) {
		return nil
	}
	c, err := s.f.Forge.Comment(ctx, s.key.Number, s.p.Posts[at].ID)
	if errors.Is(err, forge.ErrNotFound) {
		return nil // it was deleted: nobody sees anything
	}
	if err != nil {
		return err
	}
	if err := s.compare(ctx, &s.p.Posts[at], c); err != nil {
		return err
	}
	s.remember(pull.Shown{At: startsSince(pic), Round: view.Round, Head: s.p.Round.Head, Plans: plans}, c)
	s.p.Showing = nil
	return s.save(ctx)
}

// keptShown is how many shapes of the living comment are remembered.
const keptShown = 50

// notice is a comment that is written once, because an edit tells nobody. Its name is
// made of what it tells of.
type notice struct {
	name string
	text func(comment.Pull, comment.Limits) comment.Text
}

// notices are comments that are written once: that somebody must act, how it ended, and
// answers to commands.
func (s *sitting) notices(ctx context.Context, pic picture, view comment.Pull, l comment.Limits) error {
	freed := s.p.Proposal.Closed && len(s.p.Freed) > 0
	if n := s.due(pic, view); n.name != "" && !s.hasNoOutcome(view) {
		if freed {
			view.Blocks = []comment.Block{{What: s.differs(s.p.Freed), Who: "whoever may approve it, with `reeve approve JOB` (`reeve get jobs` names it); a merge keeps what was applied instead"}}
		}
		view.Mark = mark(s.key, n.name)
		if err := s.once(ctx, n.name, n.text(view, l).Body); err != nil {
			return err
		}
	}
	if freed {
		s.p.Freed = nil
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	return s.answers(ctx)
}

// due is the notice that is to be there now. Before the merge it is about what is
// applied from the pull request, afterwards about all that carries the merge out.
func (s *sitting) due(pic picture, view comment.Pull) notice {
	var waits, ended []string
	for _, row := range pic.rows {
		if !row.carries || s.p.Phase == pull.Open && row.apply == nil {
			continue
		}
		id := string(row.job.ID) + string(row.job.State)
		switch {
		case row.job.State.IsWaiting():
			waits = append(waits, id+digestOf(row.job))
		case row.job.State.IsFinal():
			ended = append(ended, id)
		}
	}
	landed := s.p.Phase == pull.Landing && s.p.Landed != ""
	if landed && len(s.p.Applies) > 0 { // how those ended stands there already
		ended = append(ended, "merged")
	}
	named := func(name string, of ...string) string { return name + "-" + short(strings.Join(of, " ")) }
	switch {
	case s.p.Proposal.Closed && len(s.p.Freed) > 0:
		return notice{named("closed", append([]string{namesOf(s.p.Freed)}, ended...)...), comment.Outcome}
	case s.p.Proposal.Closed, s.p.Phase != pull.Open && !landed, !settled(view):
	case view.State == comment.Waiting && len(waits) > 0:
		return notice{named("waits", waits...), comment.NeedsYou}
	case landed, len(ended) > 0 && !underway(pic, view.Rows):
		return notice{named("outcome", ended...), comment.Outcome}
	}
	return notice{}
}

// limits are the forge's for a comment.
func (s *sitting) limits() comment.Limits {
	l := s.f.Forge.Limits()
	return comment.Limits{Bytes: l.CommentBytes, Folds: l.Folds, Mermaid: l.Mermaid}
}

// answers posts what commands were answered and a reaction cannot tell. Several commands
// of one comment share a reaction, which is that of the worst: where it is no thumb, one
// reply has a line for each, also for those that go on, and is edited when they end.
func (s *sitting) answers(ctx context.Context) error {
	var kept []pull.Spoken
	for i, a := range s.p.Answers {
		all := s.together(a.Comment)
		if len(all) < 2 {
			if err := s.once(ctx, a.Name, comment.Answer(s.replyOf(a), s.limits()).Body); err != nil {
				return err
			}
			continue
		}
		if slices.ContainsFunc(all, func(c pull.Command) bool { return c.State != pull.Ended }) {
			kept = append(kept, a)
		}
		if slices.ContainsFunc(s.p.Answers[:i], func(b pull.Spoken) bool { return b.Name == a.Name }) {
			continue // that wrote it
		}
		together := comment.Replies{Mark: mark(s.key, a.Name), By: a.To}
		for _, c := range all {
			r := comment.Reply{Command: c.Text, Answer: c.Answer}
			if c.Reason != "" {
				r.Sentences = []string{c.Reason}
			}
			if said := slices.IndexFunc(s.p.Answers, func(b pull.Spoken) bool { return b.Name == a.Name && b.Line == c.Line }); said >= 0 {
				r = s.replyOf(s.p.Answers[said])
			}
			together.Of = append(together.Of, r)
		}
		if _, err := s.write(ctx, a.Name, comment.Answers(together, s.limits()).Body); err != nil {
			return err
		}
	}
	if len(kept) == len(s.p.Answers) {
		return nil
	}
	s.p.Answers = kept
	return s.save(ctx)
}

// replyOf is an answer as it is rendered.
func (s *sitting) replyOf(a pull.Spoken) comment.Reply {
	r := comment.Reply{Mark: mark(s.key, a.Name), Command: a.Command, By: a.To, Answer: a.Answer, Detail: a.Text}
	if a.Reason != "" {
		r.Sentences = []string{a.Reason}
	}
	return r
}

func digestOf(j *stackjob.Job) string {
	if j.Plan == nil {
		return ""
	}
	return j.Plan.Digest
}

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:5])
}

// once writes a comment unless it was written before.
func (s *sitting) once(ctx context.Context, name, body string) error {
	if at := s.post(name); at >= 0 && s.p.Posts[at].ID != "" {
		return nil
	}
	_, err := s.write(ctx, name, body)
	return err
}

// post is the index of a post; -1 when there is none.
func (s *sitting) post(name string) int {
	return slices.IndexFunc(s.p.Posts, func(p pull.Post) bool { return p.Name == name })
}
