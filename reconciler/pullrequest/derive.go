package pullrequest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// picture is all that what stands in a pull request is made of. What is derived from it
// is a function of it.
type picture struct {
	pull pull.Pull
	rows []subject
	// landed tells whether the followed branch holds the merge already.
	landed bool
	expiry time.Duration
	page   func(stackjob.JobID) string
	// turns are the queues of all stacks.
	turns pull.Turns
	// environments are all that there are, here and on the followed branch, whose name is
	// followed; "" while nobody knows.
	environments []comment.Environment
	followed     string
}

// at is the index of a resource's row; -1 when it has none.
func (in picture) at(key schema.ResourceKey) int {
	return slices.IndexFunc(in.rows, func(s subject) bool { return s.row.Key == key })
}

// subject is one row with all that is recorded about it.
type subject struct {
	row pull.Row
	// job is what plans it or, after the merge, what carries it out; nil for none.
	job *stackjob.Job
	// carries tells that job is one that applies.
	carries bool
	// apply is the apply that was asked for before the merge, while the row tells of
	// it; nil for none. early tells that job was one such, and all that was needed.
	apply *pull.Apply
	early bool
	// planned is the plan that stood in the pull request before the merge; nil when
	// there was none.
	planned *stackjob.Plan
	// voided is the plan that was approved, where the job's is another; nil for none.
	voided *stackjob.Plan
	choice stackjob.PolicyChoice
	// said is what people said of the job's plan and what no job holds yet.
	said []pull.Approval
	// log is the end of the log of a job that failed.
	log string
}

// probe is the job as it will be when it is carried out.
func (s subject) probe() stackjob.Job {
	probe := *s.job
	probe.Purpose = stackjob.Reconcile
	if !s.carries {
		probe.Approvals = nil
		for _, a := range s.said {
			probe.Approvals = append(probe.Approvals, a.Approval)
		}
	}
	return probe
}

// engine is what made the plan, with its version; without a plan, what is to make it.
func (s subject) engine() string {
	switch {
	case s.job == nil:
		return string(s.row.Engine)
	case s.job.Plan != nil:
		return s.job.Plan.Engine
	}
	return string(s.job.Desired.Provisioner)
}

// verdict judges the plan of a row as the gates will when it is carried out.
func (s subject) verdict() (start, apply stackjob.Verdict) {
	probe := s.probe()
	return flowcontrol.AtStart(probe, s.choice), flowcontrol.AtApply(probe, *s.job.Plan, s.choice)
}

// state is how a row stands, with one line about it.
func (s subject) state() (comment.RowState, string) {
	switch {
	case s.row.Unchanged && s.job == nil && s.apply == nil:
		return comment.RowUnchanged, ""
	case s.row.Error.Code == stackjob.ReasonPreventDestroy || s.row.Error.Code == stackjob.ReasonPruneForbidden:
		return comment.RowForbidden, s.row.Error.String()
	case !s.row.Error.IsZero():
		return comment.RowFailed, s.row.Error.String()
	case s.apply != nil && s.apply.Job == "":
		return comment.RowQueued, ""
	case s.job == nil && s.row.Deferred != nil:
		return comment.RowDeferred, ""
	case s.job == nil:
		return comment.RowQueued, ""
	case s.carries:
		return s.carried()
	}
	switch s.job.State {
	case stackjob.Succeeded:
		return s.judged()
	case stackjob.Planning:
		return comment.RowPlanning, ""
	case stackjob.Queued:
		return comment.RowQueued, s.job.Reason.String()
	case stackjob.Failed, stackjob.Interrupted:
		return comment.RowFailed, s.job.Reason.String()
	}
	return comment.RowStopped, s.job.Reason.String()
}

// judged is the state of a row whose plan is there and is not carried out yet.
func (s subject) judged() (comment.RowState, string) {
	if !changes(s.job.Plan) {
		return comment.RowUnchanged, ""
	}
	start, apply := s.verdict()
	switch {
	case apply.Decision == stackjob.Refuse && apply.Reason.Code == stackjob.ReasonRejected:
		return comment.RowStopped, apply.Reason.String()
	case start.Decision == stackjob.Refuse:
		return comment.RowForbidden, start.Reason.String()
	case apply.Decision == stackjob.Refuse:
		return comment.RowForbidden, apply.Reason.String()
	case apply.Decision == stackjob.Wait:
		return comment.RowWaiting, apply.Reason.String()
	case apply.Reason.Code == stackjob.ReasonApproved, apply.Reason.Code == stackjob.ReasonOverridden:
		return comment.RowApproved, apply.Reason.Detail
	}
	return comment.RowPlanned, ""
}

// carried is the state of a row that is being carried out.
func (s subject) carried() (comment.RowState, string) {
	why := s.job.Reason.String()
	switch s.job.State {
	case stackjob.Succeeded:
		if s.job.Plan != nil && !changes(s.job.Plan) {
			return comment.RowUnchanged, ""
		}
		if s.early {
			return comment.RowApplied, "applied from the pull request before its merge; the merge leaves nothing to do"
		}
		return comment.RowApplied, ""
	case stackjob.Queued:
		return comment.RowQueued, why
	case stackjob.Planning:
		return comment.RowPlanning, ""
	case stackjob.WaitingStart, stackjob.WaitingApply:
		return comment.RowWaiting, why
	case stackjob.Ready:
		return comment.RowApproved, ""
	case stackjob.Applying:
		return comment.RowApplying, ""
	case stackjob.Failed, stackjob.Interrupted:
		return comment.RowFailed, why
	}
	return comment.RowStopped, why
}

// isRejected tells that somebody said no to a plan that nothing carries out yet.
func isRejected(in picture, s subject) bool {
	if in.pull.Proposal.Merged || in.pull.Proposal.Closed || s.carries || s.job == nil || s.job.State != stackjob.Succeeded {
		return false
	}
	state, _ := s.state()
	return state == comment.RowStopped
}

func changes(p *stackjob.Plan) bool { return p != nil && (p.HasChanges || p.Counts.Changes()) }

// derive says what stands in the pull request.
func derive(in picture) comment.Pull {
	p := in.pull
	out := comment.Pull{Mark: mark(p.Key, planPost), Number: p.Key.Number, Head: p.Proposal.Head, Merged: p.Proposal.Merged}
	switch r := p.Round; {
	case p.Proposal.Elsewhere:
		out.Elsewhere = &comment.Elsewhere{Into: p.Proposal.BaseBranch, Followed: in.followed}
	case r != nil:
		out.Head, out.Base, out.Round = r.Head, r.Base, r.Number
		out.Conflicts, out.Report, out.Errors, out.Policies, out.Engines = r.Conflicts, r.Report, r.Errors, r.Policies, r.Engines
		if !r.Refused.IsZero() {
			out.Refused = r.Refused.String()
		}
	}
	out.AppliesBeforeMerge, out.Environments = early(in), in.environments
	var began, ended time.Time
	for _, s := range in.rows {
		row := rowOf(in, s)
		out.Rows = append(out.Rows, row)
		if s.job != nil && !s.carries && !s.row.Reused {
			if began.IsZero() || s.job.CreatedAt.Before(began) {
				began = s.job.CreatedAt
			}
			if s.job.EndedAt.After(ended) {
				ended = s.job.EndedAt
			}
		}
	}
	if ended.After(began) {
		out.PlannedIn = ended.Sub(began)
	}
	out.State = overall(in, out)
	out.ExpiresAt = expires(in)
	out.Blocks = blocks(in, out)
	out.Moved = movedSince(in)
	out.Commands = commands(in, out)
	return out
}

func rowOf(in picture, s subject) comment.Row {
	row := comment.Row{Key: s.row.Key, Action: s.row.Action, Engine: s.engine(), MovedFrom: s.row.MovedFrom, After: s.row.After, Policy: s.choice.Name}
	row.State, row.Detail = s.state()
	queued(in, s, &row)
	if in.pull.Proposal.Closed && slices.Contains([]comment.RowState{comment.RowQueued, comment.RowPlanning, comment.RowWaiting, comment.RowDeferred}, row.State) {
		row.State, row.Detail = comment.RowStopped, ended(in)
	}
	for _, b := range s.row.Because {
		text := b.Cause.Sentence()
		if b.Detail != "" {
			text += ": " + b.Detail
		}
		row.Because = append(row.Because, text)
	}
	if s.row.Deferred != nil && s.job == nil {
		row.Deferred = *s.row.Deferred
	}
	if s.job == nil {
		return row
	}
	row.Job, row.Link = string(s.job.ID), in.page(s.job.ID)
	row.Took = took(*s.job)
	if row.State == comment.RowFailed {
		row.Log = s.log
	}
	if s.carries && (row.State == comment.RowFailed || row.State == comment.RowStopped) {
		row.Done, row.Doubtful = s.job.Done(), s.job.State == stackjob.Interrupted
	}
	if s.job.Plan == nil {
		return row
	}
	row.Plan = s.job.Plan
	row.Approved = s.voided
	if s.carries && s.planned != nil && s.planned.Digest != s.job.Plan.Digest {
		row.Approved = s.planned
	}
	row.Needs, row.Has, row.ApprovedBy = approvals(s)
	return row
}

// took is how long the work of a job took that has ended: between a plan and its apply a
// person may have taken days.
func took(j stackjob.Job) (sum time.Duration) {
	if j.EndedAt.IsZero() || j.StartedAt.IsZero() {
		return 0
	}
	for _, op := range j.Operations {
		if !op.EndedAt.IsZero() {
			sum += op.EndedAt.Sub(op.StartedAt)
		}
	}
	if sum == 0 {
		return j.EndedAt.Sub(j.StartedAt)
	}
	return sum
}

// ended says in a few words why nothing more is done for a pull request that is not merged.
func ended(in picture) string {
	if in.pull.Proposal.Elsewhere {
		return "the pull request goes into another branch now"
	}
	return "the pull request is closed"
}

// approvals counts those that a row has and needs.
func approvals(s subject) (needs, has int, by []string) {
	if !changes(s.job.Plan) {
		return 0, 0, nil
	}
	if s.carries && s.job.State == stackjob.Succeeded && s.job.Policy != nil {
		s.choice = *s.job.Policy // those who counted then, whoever does today
	}
	_, v := s.verdict()
	if v.Decision == stackjob.Proceed && v.Reason.Code == stackjob.ReasonNoGate {
		return 0, 0, nil // nobody is asked
	}
	t := flowcontrol.Count(s.probe(), *s.job.Plan, s.choice)
	if t.Overridden != "" {
		return t.Required, t.Required, []string{"override"}
	}
	return t.Required, len(t.By), t.By
}

// overall is the state of the whole.
func overall(in picture, p comment.Pull) comment.State {
	has := func(states ...comment.RowState) bool {
		return slices.ContainsFunc(p.Rows, func(r comment.Row) bool { return slices.Contains(states, r.State) })
	}
	landing := in.pull.Proposal.Merged
	switch {
	case in.pull.Proposal.Closed:
		return comment.Closed
	case p.Refused != "":
		return comment.Refused
	case in.pull.Round == nil:
		return comment.Planning
	case !landing && underway(in, p.Rows):
		return comment.Applying
	case landing && !in.landed:
		return comment.Applying
	case landing && moves(p.Rows):
		return comment.Applying
	case landing && has(comment.RowWaiting):
		return comment.Waiting
	case landing && has(comment.RowFailed, comment.RowStopped, comment.RowForbidden):
		return comment.Failed
	case landing && has(comment.RowApplied):
		return comment.Applied
	case landing:
		return comment.Nothing
	case planning(in, p.Rows):
		return comment.Planning
	case has(comment.RowFailed, comment.RowStopped) || p.Errors > 0:
		return comment.Failed
	case has(comment.RowWaiting, comment.RowForbidden):
		return comment.Waiting
	case has(comment.RowApproved, comment.RowPlanned, comment.RowDeferred):
		return comment.Approved
	case has(comment.RowApplied):
		return comment.Applied
	}
	return comment.Nothing
}

// expires is when the first approval that is held loses its force; zero for never.
func expires(in picture) time.Time {
	var first time.Time
	if in.expiry == 0 || in.pull.Proposal.Merged {
		return first
	}
	for _, s := range in.rows {
		for _, a := range s.said {
			if at := a.At.Add(in.expiry); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	return first
}

// settled tells that nothing moves by itself any more.
func settled(p comment.Pull) bool { return p.State != comment.Planning && p.State != comment.Applying }

// blocks lists what is between now and the apply.
func blocks(in picture, p comment.Pull) []comment.Block {
	if p.State == comment.Closed {
		return nil // it is not on its way to an apply
	}
	var out []comment.Block
	add := func(what, who string, keys []string) {
		if len(keys) > 0 {
			out = append(out, comment.Block{What: what + ": " + listed(keys), Who: who})
		}
	}
	if p.Refused != "" {
		who := "its author"
		if in.pull.Round.Refused.Code == stackjob.ReasonUntrusted {
			who = "anybody who may write to the repository, with `reeve plan` after reading the change"
		}
		return []comment.Block{{What: p.Refused, Who: who}}
	}
	if p.Errors > 0 {
		out = append(out, comment.Block{What: "the merged tree has " + report.Plural(p.Errors, "error") + "; nothing in a folder with one is planned", Who: "its author"})
	}
	type reason struct{ what, who string }
	var order []reason
	by := map[reason][]string{}
	for i, row := range p.Rows {
		r := reason{what: row.Detail}
		switch row.State {
		case comment.RowWaiting:
			r.who = approvers(in.rows[i])
		case comment.RowStopped:
			if !isRejected(in, in.rows[i]) {
				continue
			}
			r.who = "whoever said so, with `reeve approve`; or a commit that makes another plan of it"
		case comment.RowForbidden:
			r.who = "whoever may change the policy or the document that forbids it"
		case comment.RowFailed:
			r.what, r.who = "failed", "its author; `reeve rerun` tries again"
		case comment.RowDeferred:
			r.what, r.who = "deferred until "+row.Deferred.String()+" is applied", "nobody: it is planned, shown and gated then"
		default:
			continue
		}
		if by[r] == nil {
			order = append(order, r)
		}
		by[r] = append(by[r], row.Key.String())
	}
	out = append(out, turnBlocks(in)...)
	for _, r := range order {
		add(r.what, r.who, by[r])
	}
	return out
}

// approvers says who can approve a row.
func approvers(s subject) string {
	text := "anybody who may write to the repository"
	if a := s.choice.Approvals; a != nil && len(a.From) > 0 {
		var from []string
		for _, f := range a.From {
			from = append(from, f.Name)
		}
		text = listed(from)
	}
	if !authorMayApprove(s.choice) {
		text += ", but not the author"
	}
	return text
}

// authorMayApprove tells whether who proposed a change may approve it: only where the
// policy says so.
func authorMayApprove(c stackjob.PolicyChoice) bool {
	return c.Approvals != nil && c.Approvals.AuthorMayApprove
}

// maxListed is how many names a line lists.
const maxListed = 5

func listed(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}

// commands are those that are valid now.
func commands(in picture, p comment.Pull) []string {
	if p.State == comment.Closed {
		return nil // nothing is done for it any more, whatever failed
	}
	var out []string
	add := func(text string) {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	for i, row := range p.Rows {
		if p.State == comment.Planning {
			break // nobody has seen all of it
		}
		switch row.State {
		case comment.RowWaiting:
			add("reeve approve " + row.Key.Env)
		case comment.RowFailed, comment.RowStopped:
			if isRejected(in, in.rows[i]) {
				add("reeve approve " + row.Key.Env) // it was planned: running it again changes nothing
				continue
			}
			add("reeve rerun " + row.Key.Env)
		case comment.RowQueued, comment.RowPlanning, comment.RowApplying:
			if in.pull.Proposal.Merged || p.State == comment.Applying {
				add("reeve cancel " + row.Key.Env)
			}
		}
	}
	for _, c := range turnCommands(in, p) {
		add(c)
	}
	slices.SortStableFunc(out, func(a, b string) int { // the likeliest first
		return cmp.Or(cmp.Compare(likely(a), likely(b)), cmp.Compare(a, b))
	})
	if in.pull.Round != nil && in.pull.Round.Refused.Code == stackjob.ReasonUntrusted && !in.pull.Proposal.Merged {
		add("reeve plan")
	}
	if p.State != comment.Applied {
		add("reeve help")
	}
	return out
}

func likely(c string) int {
	for i, verb := range []string{"approve", "apply", "rerun", "unlock", "cancel"} {
		if strings.HasPrefix(c, "reeve "+verb) {
			return i
		}
	}
	return 9
}

// startMark begins what stands for a job that waits to be started: it has no plan yet,
// and is shown as what it wants.
const startMark = "start:"

func startOf(j *stackjob.Job) string { return startMark + j.DesiredDigest }

// startsSince is when the newest job came that waits to be started: a comment that looks
// the same for it as for the one before is not edited, and tells no time of it.
func startsSince(in picture) time.Time {
	var newest time.Time
	for _, s := range in.rows {
		if s.job != nil && s.carries && s.job.State == stackjob.WaitingStart && s.job.CreatedAt.After(newest) {
			newest = s.job.CreatedAt
		}
	}
	return newest
}

// shownPlans are the plans that a picture shows, and what waits to be planned.
func shownPlans(in picture, p comment.Pull) []pull.ShownPlan {
	var out []pull.ShownPlan
	if in.pull.Proposal.Closed {
		return nil // nothing there is to be answered
	}
	for i, s := range in.rows {
		if s.job != nil && s.carries && s.job.State == stackjob.WaitingStart {
			out = append(out, pull.ShownPlan{Key: s.row.Key, Digest: startOf(s.job), Job: s.job.ID})
			continue
		}
		if s.job == nil || s.job.Plan == nil || !changes(s.job.Plan) {
			continue
		}
		out = append(out, pull.ShownPlan{Key: s.row.Key, Digest: s.job.Plan.Digest, Job: s.job.ID, Approved: p.Rows[i].State == comment.RowApproved})
	}
	return out
}
