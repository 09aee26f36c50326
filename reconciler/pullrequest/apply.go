package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// apply writes down which plans are to be applied before the merge: those that nobody
// needs to approve, or that have all approvals, and that stood in the pull request when
// the command was written. What is then done about them is carry's.
func (s *sitting) apply(ctx context.Context, c *pull.Command, pic picture, chosen []int) (reply, error) {
	if s.p.Phase != pull.Open {
		return no("the pull request is merged: what it wants is carried out already"), nil
	}
	if s.p.Round.Head != s.p.Proposal.Head {
		return no("a newer commit is about to be planned; look again and repeat it"), nil
	}
	ready, left := s.appliable(c, pic, chosen)
	if len(ready) == 0 {
		if len(left) == 0 {
			return no("nothing that you chose changes anything"), nil
		}
		return no("%s", strings.Join(left, "; ")), nil
	}
	for _, i := range ready {
		row := pic.rows[i]
		s.p.Applies = append(s.p.Applies, pull.Apply{Stack: row.row.Key, Digest: row.job.Plan.Digest, Desired: row.job.DesiredDigest,
			Comment: c.Comment, Line: c.Line, By: c.By, At: s.now()})
	}
	if len(left) > 0 {
		c.Reason = "left out: " + strings.Join(left, "; ")
	}
	return reply{}, nil // written down with the command
}

// appliable are the chosen rows that can be applied now, in the order of the graph, and
// why others cannot, one line each.
func (s *sitting) appliable(c *pull.Command, pic picture, chosen []int) (ready []int, left []string) {
	taken := map[schema.ResourceKey]bool{}
	leave := func(key schema.ResourceKey, why string) { left = append(left, key.String()+" "+why) }
	for _, i := range chosen {
		row := pic.rows[i]
		key := row.row.Key
		state, _ := row.state()
		if state == comment.RowUnchanged || state == comment.RowApplied {
			continue
		}
		if !row.choice.ApplyBeforeMerge {
			leave(key, "is applied after the merge, as the policy "+row.choice.Name+" says")
			continue
		}
		if state != comment.RowPlanned && state != comment.RowApproved {
			leave(key, notYet(row, state))
			continue
		}
		digest, certain := s.p.Seen(key, c.WrittenAt)
		if !certain || digest != row.job.Plan.Digest {
			leave(key, "has another plan than the one that stood here when you wrote; look again and repeat it")
			continue
		}
		if first := pic.missing(row, taken); first != "" {
			leave(key, "needs "+first+" applied first")
			continue
		}
		taken[key] = true
		ready = append(ready, i)
	}
	return ready, left
}

// notYet says why a row in a state cannot be applied.
func notYet(row subject, state comment.RowState) string {
	switch {
	case state == comment.RowWaiting:
		return "is not approved yet"
	case state == comment.RowDeferred && row.row.Deferred != nil:
		return "is deferred until " + row.row.Deferred.String() + " is applied"
	}
	return "is " + string(state)
}

// missing names what goes before a row and is neither done nor among those taken; "" for
// nothing.
func (in picture) missing(row subject, taken map[schema.ResourceKey]bool) string {
	for _, k := range row.row.After {
		i := in.at(k)
		if i < 0 || taken[k] {
			continue
		}
		if state, _ := in.rows[i].state(); state != comment.RowUnchanged && state != comment.RowApplied {
			return k.String()
		}
	}
	return ""
}

// outcomeOf is what a command to apply came to; nothing while it goes on.
func (s *sitting) outcomeOf(ctx context.Context, c *pull.Command) (reply, error) {
	var done, bad, behind []string
	for _, a := range s.p.Applies {
		if a.Comment != c.Comment || a.Line != c.Line {
			continue
		}
		if !a.Ended() {
			if a.Job == "" {
				return reply{}, nil
			}
			job, err := s.l.o.Records.Job(ctx, a.Job)
			switch {
			case err != nil && !errors.Is(err, store.ErrNotFound):
				return reply{}, err
			case err == nil && job.State.IsWaiting():
				bad = append(bad, a.Stack.String()+" waits: "+job.Reason.String())
			case err == nil && job.State == stackjob.Queued && job.Reason.Code == stackjob.ReasonBlocked:
				bad = append(bad, a.Stack.String()+" waits: "+job.Reason.String())
			case err == nil && job.State == stackjob.Queued && job.Reason.Code == stackjob.ReasonWaitsForProducer:
				behind = append(behind, a.Stack.String()+" waits: "+job.Reason.String())
			default:
				return reply{}, nil
			}
			continue
		}
		if a.Result == stackjob.Succeeded {
			done = append(done, a.Stack.String())
			continue
		}
		what := a.Result.Sentence()
		if a.Result == stackjob.Superseded {
			what = "was not applied"
		}
		bad = append(bad, fmt.Sprintf("%s %s: %s", a.Stack, what, a.Reason))
	}
	if len(bad) == 0 && len(behind) > 0 {
		return reply{}, nil // what goes before them is on its way
	}
	bad = append(bad, behind...)
	why := strings.Join(bad, "; ")
	if c.Reason != "" {
		why = strings.TrimPrefix(why+"; "+c.Reason, "; ")
	}
	switch {
	case len(bad) > 0:
		return no("%s", why), nil
	case c.Reason != "":
		return reply{answer: pull.Yes, reason: "applied " + listed(done), text: why}, nil
	}
	return yes("applied " + listed(done)), nil
}

// open are the applies that go on.
func (s *sitting) open() []*pull.Apply {
	var out []*pull.Apply
	for i := range s.p.Applies {
		if !s.p.Applies[i].Ended() {
			out = append(out, &s.p.Applies[i])
		}
	}
	return out
}

// applying tells whether an apply goes on, waits for its turn or for a person.
func (s *sitting) applying() bool { return len(s.open()) > 0 }

// carry brings the applies that were asked for a step further: each waits for its turn,
// becomes a job, and ends with it.
func (s *sitting) carry(ctx context.Context) error {
	if s.p.Phase == pull.Open && s.p.Proposal.Closed {
		if err := s.closed(ctx); err != nil {
			return err
		}
		return s.obey(ctx) // whose command it was is told how it ended
	}
	if s.p.Phase != pull.Open || !s.applying() {
		return nil
	}
	if s.p.Round == nil || s.p.Round.Head != s.p.Proposal.Head || !s.l.o.Planner.Proposed(s.key) && s.p.Round.Refused.IsZero() {
		// What is wanted now is not planned yet; or the tree that references are read
		// with is gone, and the next round brings it.
		if err := s.plan(ctx); err != nil {
			return err
		}
	}
	var awake []stackjob.JobID
	ended := false
	for _, a := range s.open() {
		is, err := s.step(ctx, a)
		if err != nil {
			return err
		}
		ended = ended || is
		if !is && a.Enqueued {
			awake = append(awake, a.Job)
		}
	}
	if s.proposed && len(awake) > 0 {
		if err := s.l.o.Planner.WakeAll(ctx, awake); err != nil {
			return err
		}
	}
	if !ended {
		return nil
	}
	if s.p.Round != nil {
		s.p.Round.Stale = true
	}
	if err := s.save(ctx); err != nil {
		return err
	}
	if err := s.plan(ctx); err != nil {
		return err
	}
	return s.obey(ctx)
}

// step brings one apply further and tells whether it ended.
func (s *sitting) step(ctx context.Context, a *pull.Apply) (ended bool, err error) {
	if a.Enqueued {
		return s.follow(ctx, a)
	}
	planned, why, err := s.stillWanted(ctx, a)
	if err != nil {
		return false, err
	}
	if !why.IsZero() {
		a.Result, a.Reason = stackjob.Superseded, why
		return true, s.giveUntouched(ctx, a.Stack)
	}
	if err := s.l.o.Records.TakeTurn(ctx, pull.Turn{Stack: a.Stack, Pull: s.key, By: a.By, At: a.At}); err != nil {
		return false, err
	}
	turns, err := s.l.o.Records.Turns(ctx)
	if err != nil || turns.Place(a.Stack, s.key) != 0 {
		return false, err // whoever ends its turn has this pull request looked at
	}
	if a.Job == "" {
		a.Job = s.l.o.Planner.NewJobID()
		if err := s.save(ctx); err != nil {
			return false, err
		}
	}
	var after []stackjob.JobID
	if row := s.p.Round.Row(a.Stack); row != nil {
		for _, k := range row.After {
			if p := s.p.ApplyOf(k); p != nil && !p.Ended() && p.Enqueued {
				after = append(after, p.Job)
			}
		}
	}
	if err := s.l.o.Planner.ApplyProposed(ctx, s.key, *a, planned, after); err != nil {
		return false, err
	}
	a.Enqueued = true
	if err := s.save(ctx); err != nil {
		return false, err
	}
	s.l.o.Planner.CompareAgain(s.key.Repository) // the branch leaves it alone from now on, and says so
	return false, nil
}

// stillWanted finds the plan that an apply is to carry out, or says why it is not the
// one that stood in the pull request any more.
func (s *sitting) stillWanted(ctx context.Context, a *pull.Apply) (planned stackjob.JobID, why stackjob.Reason, err error) {
	changed := stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: "look again and repeat it"}
	row := s.p.Round.Row(a.Stack)
	if row == nil || row.Job == "" || !row.Error.IsZero() || s.p.Round.Head != s.p.Proposal.Head {
		return "", changed, nil
	}
	job, err := s.l.o.Records.Job(ctx, row.Job)
	if errors.Is(err, store.ErrNotFound) {
		return "", changed, nil
	}
	if err != nil {
		return "", stackjob.Reason{}, err
	}
	// That the plan of the same wish is another by now is for the gate: it lets no plan
	// pass that did not stand here, and the turn is not lost by it.
	if job.DesiredDigest != a.Desired || job.State.IsFinal() && job.State != stackjob.Succeeded {
		return "", changed, nil
	}
	return job.ID, stackjob.Reason{}, nil
}

// follow looks at the job of an apply. One whose stack is wanted otherwise by now is
// stopped as long as it has applied nothing.
func (s *sitting) follow(ctx context.Context, a *pull.Apply) (ended bool, err error) {
	job, err := s.l.o.Records.Job(ctx, a.Job)
	if errors.Is(err, store.ErrNotFound) {
		a.Result, a.Reason = stackjob.Superseded, stackjob.Reason{Code: stackjob.ReasonNothingToDo}
		return true, nil // forgotten long after it ended
	}
	if err != nil {
		return false, err
	}
	if !job.State.IsFinal() && job.State != stackjob.Applying && s.p.Phase == pull.Open && job.CancelledBy == nil {
		wanted, err := s.wanted(ctx, a)
		if err != nil || wanted {
			return false, err
		}
		if job, err = s.stop(ctx, a.Job); err != nil {
			return false, err
		}
	}
	if !job.State.IsFinal() {
		return false, nil
	}
	a.Result, a.Reason = job.State, job.Reason
	if job.State == stackjob.Cancelled && !hasApplied(job) {
		a.Result = stackjob.Superseded // it came to nothing
	}
	return true, s.giveUntouched(ctx, a.Stack)
}

func hasApplied(j stackjob.Job) bool {
	return slices.ContainsFunc(j.Operations, func(o stackjob.Operation) bool { return o.Kind == stackjob.OpApply || o.Kind == stackjob.OpDestroy })
}

// wanted tells whether the newest round wants of a stack what an apply is about.
func (s *sitting) wanted(ctx context.Context, a *pull.Apply) (bool, error) {
	if s.p.Round == nil || s.p.Round.Head != s.p.Proposal.Head {
		return true, nil // nobody knows yet
	}
	row := s.p.Round.Row(a.Stack)
	if row == nil || row.Job == "" {
		return false, nil
	}
	job, err := s.l.o.Records.Job(ctx, row.Job)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	return err == nil && job.DesiredDigest == a.Desired, nil
}

// stop stops a job that may have ended in this moment, and returns it as it then is.
func (s *sitting) stop(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	_, err := s.l.o.Planner.Stop(ctx, id, stackjob.System)
	var illegal *stackjob.IllegalMove
	if err != nil && !errors.As(err, &illegal) && !errors.Is(err, stackjob.ErrFenced) {
		return stackjob.Job{}, err
	}
	return s.l.o.Records.Job(ctx, id)
}

// applied makes a row tell of its apply before the merge, as long as the plan beside it
// is not newer and says that something is left to do.
func (s *sitting) applied(ctx context.Context, sub *subject) error {
	a := s.p.ApplyOf(sub.row.Key)
	if a == nil || a.Over || a.Result == stackjob.Superseded || !sub.row.Error.IsZero() {
		return nil
	}
	if sub.job != nil && sub.job.DesiredDigest != a.Desired {
		return nil // another commit wants something else
	}
	if !a.Enqueued {
		sub.apply = a
		return nil
	}
	job, err := s.l.o.Records.Job(ctx, a.Job)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if job.State == stackjob.Succeeded && sub.job != nil && sub.job.CreatedAt.After(job.EndedAt) && sub.job.State.IsFinal() {
		if sub.job.State != stackjob.Succeeded || changes(sub.job.Plan) {
			return nil // it moved since
		}
	}
	if job.State.IsFinal() {
		sub.planned = nil // its plan was made after this one
	}
	sub.apply, sub.job, sub.carries = a, &job, true
	return nil
}

// before finds the job that applied a stack before the merge; nil when none did.
func (s *sitting) before(ctx context.Context, stack schema.ResourceKey) (*stackjob.Job, error) {
	a := s.p.ApplyOf(stack)
	if a == nil || a.Over || !a.Touched() {
		return nil, nil
	}
	job, err := s.l.o.Records.Job(ctx, a.Job)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &job, err
}
