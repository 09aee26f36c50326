package pullrequest

import (
	"slices"

	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// awaiting defers the rows that read an output which the plan of another row moves. Their
// own plans were made of the value that is there now: "no changes" would be a promise that
// the apply of the other breaks, and an approval one of something that is never applied.
// They are planned, shown and gated when the value is there, like what reads an output of
// a new resource.
func (s *sitting) awaiting(pic *picture, view *reconciler.View) {
	later := map[schema.ResourceKey]bool{}
	for i := range pic.rows { // producers first
		sub := &pic.rows[i]
		if sub.row.Deferred != nil {
			later[sub.row.Key] = sub.job == nil
			continue
		}
		producer, applied := pic.mover(sub.row, later)
		if producer == nil {
			continue
		}
		settled := applied && s.settledFor(pic, *sub, view)
		if pic.landed || !settled {
			sub.planned = nil // it was shown as deferred
		}
		switch {
		case settled, sub.carries, sub.apply != nil, !sub.row.Error.IsZero():
			continue // its own plan, or what carries it out, tells
		case applied:
			s.again(soon) // the comparison that finds out whether it is to be applied tells nobody when it finds nothing
		}
		later[sub.row.Key] = true
		sub.row.Deferred, sub.row.Unchanged, sub.job, sub.said = producer, false, nil, nil
	}
}

// mover is the row whose apply gives what a row reads another value; nil for none.
// applied tells that this has happened.
func (in *picture) mover(row pull.Row, later map[schema.ResourceKey]bool) (of *schema.ResourceKey, applied bool) {
	for _, read := range row.Reads {
		i := in.at(read.Of)
		if i < 0 {
			continue
		}
		from := in.rows[i]
		plan := from.planned
		if from.carries && from.job.Plan != nil {
			plan = from.job.Plan
		}
		switch {
		case later[read.Of]:
			return &read.Of, false
		case plan != nil && diff.WillMove(schema.Reference{To: read.Of, FieldPath: read.Path}, *plan):
			if from.carries && from.job.State == stackjob.Succeeded {
				of, applied = &read.Of, true
				continue // another one may be yet to come
			}
			return &read.Of, false
		}
	}
	return of, applied
}

// settledFor tells that a row says how it stands although what it reads was applied: it
// was planned since, or the followed branch was compared since and wants nothing of it.
func (s *sitting) settledFor(pic *picture, sub subject, view *reconciler.View) bool {
	since := func(at func(*stackjob.Job) bool) bool {
		for _, read := range sub.row.Reads {
			for _, from := range pic.rows {
				if from.row.Key == read.Of && from.carries && from.job.State == stackjob.Succeeded && !at(from.job) {
					return false
				}
			}
		}
		return true
	}
	if !pic.landed {
		r := pic.pull.Round
		return !r.Stale && since(func(j *stackjob.Job) bool { return r.StartedAt.After(j.EndedAt) })
	}
	if view == nil || slices.ContainsFunc(view.Result.Changes, func(c diff.Change) bool { return c.Key == sub.row.Key }) {
		return false
	}
	return since(func(j *stackjob.Job) bool { return view.ComparedAt.After(j.EndedAt) })
}
