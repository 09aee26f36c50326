package pullrequest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
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

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

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
	if s.p.Round == nil {
		return nil
	}
	// While plans come in, an edit now and then is enough; the last one waits for
	// nothing.
	if at := s.post(planPost); at >= 0 && !settled(view) && s.p.Posts[at].Round == view.Round && s.p.Posts[at].State == string(view.State) {
		quiet := max(s.l.o.Quiet, s.now().Sub(s.p.Round.StartedAt)/2) // the longer it takes, the less
		if wait := quiet - s.now().Sub(s.p.Posts[at].At); wait > 0 {
			s.again(wait)
			return nil
		}
	}
	if len(pic.rows) == 0 && view.Refused == "" && view.Errors == 0 && s.post(planPost) < 0 {
		return nil // it touches nothing of ours: silence
	}
	text := comment.Living(view, l)
	written, err := s.write(ctx, planPost, text.Body, true)
	if err != nil {
		return err
	}
	if err := s.shown(ctx, pic, view); err != nil || !written {
		return err
	}
	at := s.post(planPost)
	if !s.p.Proposal.Merged && !s.p.Proposal.Closed {
		was := s.p.Posts[at]
		s.l.metrics.told(view, was.Round == view.Round, comment.State(was.State), s.now().Sub(s.p.Round.StartedAt))
	}
	s.p.Posts[at].Round, s.p.Posts[at].State = view.Round, string(view.State)
	return s.save(ctx)
}

// shown writes down which plans stand in the living comment from when on, by the forge's
// clock: that is the clock of the comments that answer it.
func (s *sitting) shown(ctx context.Context, pic picture, view comment.Pull) error {
	at, plans := s.post(planPost), shownPlans(pic, view)
	if at < 0 || s.p.Posts[at].ID == "" {
		return nil
	}
	if n := len(s.p.Shown); n > 0 && slices.Equal(s.p.Shown[n-1].Plans, plans) && s.p.Shown[n-1].Head == s.p.Round.Head || n == 0 && len(plans) == 0 {
		return nil
	}
	c, err := s.f.Forge.Comment(ctx, s.key.Number, s.p.Posts[at].ID)
	if errors.Is(err, forge.ErrNotFound) {
		return nil // it was deleted: nobody sees anything
	}
	if err != nil {
		return err
	}
	when := c.CreatedAt
	if c.EditedAt.After(when) {
		when = c.EditedAt
	}
	s.p.Shown = append(s.p.Shown, pull.Shown{At: when, Round: view.Round, Head: s.p.Round.Head, Plans: plans})
	s.p.Shown = s.p.Shown[max(0, len(s.p.Shown)-keptShown):]
	return s.save(ctx)
}

// keptShown is how many shapes of the living comment are remembered.
const keptShown = 50

// notices are comments that are written once: that somebody must act, how it ended, and
// answers to commands.
func (s *sitting) notices(ctx context.Context, pic picture, view comment.Pull, l comment.Limits) error {
	landing := s.p.Phase == pull.Landing && s.p.Landed != ""
	switch {
	case landing && view.State == comment.Waiting:
		var ids []string
		for _, row := range pic.rows {
			if state, _ := row.state(); state == comment.RowWaiting {
				ids = append(ids, string(row.job.ID)+digestOf(row.job))
			}
		}
		name := "waits-" + short(strings.Join(ids, " "))
		view.Mark = mark(s.key, name)
		if err := s.once(ctx, name, comment.NeedsYou(view, l).Body); err != nil {
			return err
		}
	case landing && settled(view):
		var ids []string
		for _, row := range pic.rows {
			if row.job != nil && row.carries {
				ids = append(ids, string(row.job.ID)+string(row.job.State))
			}
		}
		if len(s.p.Applies) > 0 { // how those ended stands there already
			ids = append(ids, "merged")
		}
		name := "outcome-" + short(strings.Join(ids, " "))
		view.Mark = mark(s.key, name)
		if err := s.once(ctx, name, comment.Outcome(view, l).Body); err != nil {
			return err
		}
	}
	if err := s.turnNotices(ctx, pic, view, l); err != nil {
		return err
	}
	return s.answers(ctx)
}

// limits are the forge's for a comment.
func (s *sitting) limits() comment.Limits {
	l := s.f.Forge.Limits()
	return comment.Limits{Bytes: l.CommentBytes, Folds: l.Folds, Mermaid: l.Mermaid}
}

// answers posts what commands were answered and a reaction cannot tell.
func (s *sitting) answers(ctx context.Context) error {
	for _, a := range s.p.Answers {
		r := comment.Reply{Mark: mark(s.key, a.Name), Command: a.Command, By: a.To, Answer: a.Answer, Detail: a.Text}
		if a.Reason != "" {
			r.Sentences = []string{a.Reason}
		}
		if err := s.once(ctx, a.Name, comment.Answer(r, s.limits()).Body); err != nil {
			return err
		}
	}
	if len(s.p.Answers) == 0 {
		return nil
	}
	s.p.Answers = nil
	return s.save(ctx)
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
	_, err := s.write(ctx, name, body, false)
	return err
}

// post is the index of a post; -1 when there is none.
func (s *sitting) post(name string) int {
	return slices.IndexFunc(s.p.Posts, func(p pull.Post) bool { return p.Name == name })
}

// write makes a post say a body. That it is about to be created is written down first;
// a note without an id tells the next look to search for it before it writes another.
func (s *sitting) write(ctx context.Context, name, body string, edits bool) (written bool, err error) {
	digest := short(body)
	at := s.post(name)
	if at < 0 {
		s.p.Posts = append(s.p.Posts, pull.Post{Name: name})
		at = len(s.p.Posts) - 1
		if err := s.save(ctx); err != nil {
			return false, err
		}
	} else if s.p.Posts[at].ID == "" {
		found, err := s.search(ctx, name)
		if err != nil {
			return false, err
		}
		if found != "" {
			s.p.Posts[at].ID, s.p.Posts[at].Next = found, digest
			if err := s.save(ctx); err != nil {
				return false, err
			}
		}
	}
	post := &s.p.Posts[at]
	if post.ID != "" && (!edits || post.Digest == digest) {
		return false, nil
	}
	if post.ID != "" && post.Next == digest {
		// It may stand there already. Then its time must stay: people answered it.
		c, err := s.f.Forge.Comment(ctx, s.key.Number, post.ID)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			return false, err
		}
		if err == nil && plain(c.Body) == plain(body) {
			post.Digest, post.At = digest, s.now()
			return true, s.save(ctx)
		}
	}
	if post.ID != "" && post.Next != digest {
		post.Next = digest
		if err := s.save(ctx); err != nil {
			return false, err
		}
	}
	if post.ID != "" {
		err := s.f.Forge.EditComment(ctx, s.key.Number, post.ID, body)
		if err == nil {
			s.l.metrics.writes.WithLabelValues("edit").Inc()
			post.Digest, post.At = digest, s.now()
			return true, s.save(ctx)
		}
		if !errors.Is(err, forge.ErrNotFound) {
			return false, err
		}
		post.ID, post.Digest = "", "" // somebody deleted it: it is written anew
		if err := s.save(ctx); err != nil {
			return false, err
		}
	}
	c, err := s.f.Forge.CreateComment(ctx, s.key.Number, body)
	if err != nil {
		return false, err // the next look searches for it
	}
	s.l.metrics.writes.WithLabelValues("comment").Inc()
	post.ID, post.Digest, post.At = c.ID, digest, s.now()
	if !c.CreatedAt.IsZero() {
		post.At = c.CreatedAt
	}
	return true, s.save(ctx)
}

// plain is a body without what forges change in one.
func plain(body string) string {
	return strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))
}

// search looks for a post of ours by its mark; "" when there is none.
func (s *sitting) search(ctx context.Context, name string) (string, error) {
	self, err := s.f.rights.self(ctx)
	if err != nil {
		return "", err
	}
	comments, err := s.f.Forge.Comments(ctx, s.key.Number, s.p.CreatedAt.Add(-overlap))
	if err != nil {
		return "", err
	}
	want := markBegin + mark(s.key, name) + " -->"
	for _, c := range comments {
		if strings.EqualFold(c.Author.Login, self.Login) && strings.Contains(c.Body, want) {
			return c.ID, nil
		}
	}
	return "", nil
}

// statuses sets the commit statuses of the head that moved.
func (s *sitting) statuses(ctx context.Context, pic picture, view comment.Pull) error {
	if s.p.Round == nil || s.p.Proposal.Closed || len(view.Rows) == 0 && view.Refused == "" && view.Errors == 0 && len(s.p.Statuses) == 0 {
		return nil
	}
	st := statusesOf(pic, view)
	want := map[string]comment.StatusLine{"reeve/plan": st.Plan}
	if settled(view) || s.p.Phase == pull.Landing {
		want["reeve/approval"] = st.Approval
	}
	for env, line := range st.Apply {
		want["reeve/apply: "+env] = line
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		line := want[name]
		status := forge.Status{Context: name, State: forge.StatusState(line.State), Description: line.Text, URL: view.Page}
		digest := short(fmt.Sprint(status))
		at := slices.IndexFunc(s.p.Statuses, func(st pull.Status) bool { return st.Commit == view.Head && st.Context == name })
		if at >= 0 && s.p.Statuses[at].Digest == digest {
			continue
		}
		if at >= 0 && !settled(view) && s.p.Statuses[at].State == string(line.State) {
			continue // how far it is stands in the comment; here it would be a write a plan
		}
		if err := s.f.Forge.SetStatus(ctx, view.Head, status); err != nil {
			return err
		}
		s.l.metrics.writes.WithLabelValues("status").Inc()
		s.p.Statuses = slices.DeleteFunc(s.p.Statuses, func(st pull.Status) bool { return st.Context == name })
		s.p.Statuses = append(s.p.Statuses, pull.Status{Commit: view.Head, Context: name, State: string(line.State), Digest: digest})
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	return nil
}
