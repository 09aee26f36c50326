package comment

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
)

// StatusState is a commit status's state, in the words of the forges.
type StatusState string

// The states of a commit status.
const (
	Pending StatusState = "pending"
	Success StatusState = "success"
	Failure StatusState = "failure" // what the pull request proposes cannot be done, or was not
	Error   StatusState = "error"   // it was stopped before anybody could tell
)

// StatusLine is a commit status: its state and one line of plain text, of at most 140
// characters.
type StatusLine struct {
	State StatusState
	Text  string
	// GoesOn tells that it is pending though the pull request is over: an apply that had
	// begun is not stopped by a close.
	GoesOn bool
}

// statusColumns is the longest description that every forge shows.
const statusColumns = 140

func statusLine(state StatusState, text string) StatusLine {
	text = report.Shorten(report.Clean(text), statusColumns)
	if r := []rune(text); len(r) > statusColumns {
		text = string(r[:statusColumns-1]) + "…"
	}
	return StatusLine{State: state, Text: text}
}

// Statuses are the commit statuses of a pull request.
type Statuses struct {
	// Plan is "reeve/plan", Approval "reeve/approval".
	Plan, Approval StatusLine
	// Apply is "reeve/apply: ENV" by environment; with the organization ("acme/prod")
	// where several have one of that name. Before the merge it is there for environments
	// in which something may be applied by then, whether this pull request does or not:
	// a required status that is not there reads as a check that hangs, and so does one
	// that stays pending until after the merge.
	Apply map[string]StatusLine
}

// Status says how a pull request stands as commit statuses.
func Status(p Pull) Statuses {
	a := arrange(p)
	return Statuses{Plan: a.planStatus(), Approval: a.approvalStatus(), Apply: a.applyStatuses()}
}

func (p arranged) planStatus() StatusLine {
	n := len(p.rows)
	failed, stopped := p.unplanned(RowFailed), p.unplanned(RowStopped)
	switch {
	case p.State == Refused, p.Refused != "":
		text := "nothing is planned"
		if p.Refused != "" {
			text += ": " + p.Refused
		}
		return statusLine(Failure, text)
	case len(failed) > 0:
		return statusLine(Failure, strconv.Itoa(len(failed))+" of "+report.Plural(n, "plan")+" failed: "+keysOf(failed))
	case p.Errors > 0:
		return statusLine(Failure, report.Plural(p.Errors, "error")+" in the config repository")
	case p.State == Planning || in(p.rows, RowQueued, RowPlanning) > 0:
		return statusLine(Pending, strconv.Itoa(n-in(p.rows, RowQueued, RowPlanning))+" of "+report.Plural(n, "plan")+" done")
	case len(stopped) > 0:
		return statusLine(Error, strconv.Itoa(len(stopped))+" of "+report.Plural(n, "plan")+" stopped: "+keysOf(stopped))
	case n == 0:
		return statusLine(Success, "it changes no resource")
	case p.State == Nothing || n == in(p.rows, RowUnchanged):
		return statusLine(Success, "no changes")
	}
	text := report.Plural(n, "plan") + ": " + brief(p.rows)
	if unchanged := in(p.rows, RowUnchanged); unchanged > 0 {
		text += ", " + strconv.Itoa(unchanged) + " unchanged"
	}
	if deferred := in(p.rows, RowDeferred); deferred > 0 {
		text += ", " + strconv.Itoa(deferred) + " deferred"
	}
	return statusLine(Success, text)
}

// unplanned are the rows in a state that have no plan: what has one and failed, failed
// in its apply.
func (p arranged) unplanned(s RowState) []row {
	return slices.DeleteFunc(slices.Clone(p.rows), func(r row) bool { return r.State != s || r.Plan != nil })
}

// keysOf names rows; what is too long is cut with the line.
func keysOf(rows []row) string {
	var keys []string
	for _, r := range rows[:min(len(rows), 5)] {
		keys = append(keys, r.Key.String())
	}
	return strings.Join(keys, ", ")
}

func (p arranged) approvalStatus() StatusLine {
	forbidden := p.only([]RowState{RowForbidden}).rows
	waiting := p.only([]RowState{RowWaiting}).rows
	has, needs := 0, 0
	for _, r := range p.rows {
		if r.State != RowUnchanged {
			has, needs = has+min(r.Has, r.Needs), needs+r.Needs
		}
	}
	switch {
	case len(forbidden) > 0:
		return statusLine(Failure, "a policy forbids "+keysOf(forbidden))
	case p.State == Closed && (p.Refused != "" || has < needs || in(p.rows, RowStopped) > 0):
		if needs == 0 {
			return Ended(StatusLine{})
		}
		return Ended(statusLine(Pending, strconv.Itoa(has)+" of "+report.Plural(needs, "approval")))
	case p.State == Refused:
		return statusLine(Pending, "nothing is planned")
	case len(waiting) > 0:
		return statusLine(Pending, strconv.Itoa(has)+" of "+report.Plural(needs, "approval")+"; waits: "+keysOf(waiting))
	case p.State == Planning || in(p.rows, RowQueued, RowPlanning) > 0:
		return statusLine(Pending, "waits for the plans")
	case p.State == Waiting:
		return statusLine(Pending, "waits for a person")
	case len(p.rejected()) > 0:
		return statusLine(Failure, "rejected: "+keysOf(p.rejected()))
	case len(p.unplanned(RowFailed))+len(p.unplanned(RowStopped)) > 0:
		return statusLine(Pending, "waits for plans that did not succeed")
	case needs == 0:
		return statusLine(Success, "no approval is needed")
	}
	if has < needs && in(p.rows, RowStopped) > 0 { // it ended after the merge without them
		return statusLine(Failure, strconv.Itoa(has)+" of "+report.Plural(needs, "approval"))
	}
	return statusLine(Success, strconv.Itoa(has)+" of "+report.Plural(needs, "approval"))
}

func (p arranged) applyStatuses() map[string]StatusLine {
	out := map[string]StatusLine{}
	if p.Merged || p.AppliesBeforeMerge || p.State == Applying || p.State == Applied || in(p.rows, RowApplying, RowApplied) > 0 {
		groups := map[string][]row{}
		for _, r := range p.rows {
			name := p.statusName(r.Key.Org, r.Key.Env)
			groups[name] = append(groups[name], r)
		}
		for name, rows := range groups {
			out[name] = applyStatus(rows)
			if p.State == Closed && in(rows, RowApplying) > 0 {
				line := statusLine(Pending, p.overWord()+"; still applying: "+appliedOf(rows))
				line.GoesOn = true
				out[name] = line
			}
		}
	}
	if p.Merged || p.State == Planning || p.State == Refused || p.Refused != "" || p.Errors > 0 { // over, or nobody knows
		return out
	}
	for _, e := range p.Environments {
		name := p.statusName(e.Org, e.Name)
		if _, is := out[name]; !is && e.AppliesBeforeMerge {
			out[name] = statusLine(Success, "nothing to apply before the merge")
		}
	}
	return out
}

// statusName is what the status of an environment is called: alike on every pull
// request, or nobody could require it.
func (p arranged) statusName(org, env string) string {
	if slices.ContainsFunc(p.rows, func(r row) bool { return r.Key.Env == env && r.Key.Org != org }) ||
		slices.ContainsFunc(p.Environments, func(e Environment) bool { return e.Name == env && e.Org != org }) {
		return org + "/" + env
	}
	return env
}

// Superseded is the last word on a head in whose place another was proposed.
func Superseded(head string) StatusLine { return statusLine(Error, "superseded by "+shortCommit(head)) }

// overWord says in a few words of a pull request that is not on its way to the followed
// branch why that is.
func (p Pull) overWord() string {
	if p.Elsewhere != nil {
		return "it goes into " + p.Elsewhere.Into + " now"
	}
	return "closed without a merge"
}

// TurnedAway is the last word on a pull request that was turned to another branch.
func TurnedAway(e Elsewhere) StatusLine {
	if e.Followed == "" {
		return statusLine(Error, "it goes into "+e.Into+" now; nothing is planned")
	}
	return statusLine(Error, "it goes into "+e.Into+" now and not into "+e.Followed+"; nothing is planned")
}

// Ended is the last word of a status on a pull request that was closed, where line is
// what it would say now: nobody will do what is pending.
func Ended(line StatusLine) StatusLine {
	if line.State != Pending && line.State != "" || line.GoesOn {
		return line
	}
	return statusLine(Error, strings.TrimSuffix("closed without a merge; "+line.Text, "; "))
}

func applyStatus(rows []row) StatusLine {
	of := func(state ...RowState) string {
		return strconv.Itoa(in(rows, state...)) + " of " + report.Plural(len(rows)-in(rows, RowUnchanged), "resource")
	}
	switch {
	case in(rows, RowUnchanged) == len(rows):
		return statusLine(Success, "nothing to apply")
	case in(rows, RowFailed, RowForbidden) > 0:
		return statusLine(Failure, of(RowFailed, RowForbidden)+" failed")
	case in(rows, RowStopped) > 0:
		return statusLine(Error, of(RowStopped)+" stopped")
	case in(rows, RowApplied, RowUnchanged) == len(rows):
		return statusLine(Success, report.Plural(in(rows, RowApplied), "resource")+" applied")
	case in(rows, RowWaiting) > 0:
		return statusLine(Pending, of(RowWaiting)+" waiting for approval")
	}
	return statusLine(Pending, appliedOf(rows))
}

// appliedOf is how many rows of those that change are applied.
func appliedOf(rows []row) string {
	return strconv.Itoa(in(rows, RowApplied)) + " of " + report.Plural(len(rows)-in(rows, RowUnchanged), "resource") + " applied"
}
