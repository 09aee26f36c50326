package comment

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// NeedsYou is the comment that is written anew when a person must act, since an edit
// of the living one tells nobody: who must do what, and by which commands.
func NeedsYou(p Pull, l Limits) Text {
	a := arrange(p)
	a.Blocks = slices.DeleteFunc(slices.Clone(p.Blocks), func(b Block) bool { return b.Cleared })
	a.Long = ""            // what is left out of this one is not there
	waiting := a.waiting() // what was applied is no longer a danger, and nobody is asked about it
	differences := waiting.differences(l)
	return fit(nil, l, func(f form, _ string, left []string) string {
		var b strings.Builder
		b.WriteString(mark(a.Mark))
		b.WriteString("\n### " + a.title() + "\n\n")
		b.WriteString(waiting.under())
		b.WriteString(waiting.danger(l, f.danger))
		b.WriteString(a.refused(l, f))
		b.WriteString(waiting.table(f.table))
		b.WriteString(waiting.notes(f))
		b.WriteString(a.moved(f))
		if f.list > 0 {
			b.WriteString(differences)
		}
		b.WriteString(a.blocks(f))
		b.WriteString(a.next(f))
		b.WriteString(a.leftOut(left))
		b.WriteString(a.foot())
		return b.String()
	})
}

// needsSomebody are the states in which a row waits for a person.
var needsSomebody = []RowState{RowFailed, RowForbidden, RowStopped, RowWaiting}

// differences say what moved in the rows of which another plan stood in the pull request,
// in at most a third of the room.
func (p arranged) differences(l Limits) string {
	var moved []row
	for _, r := range p.rows {
		if r.Approved != nil && r.Plan != nil && r.Approved.Digest != r.Plan.Digest {
			moved = append(moved, r)
		}
	}
	var b strings.Builder
	room := l.Bytes / 3
	for i, r := range moved {
		share := l
		if l.Bytes > 0 {
			share.Bytes = max(room/(len(moved)-i), 1)
		}
		text := Difference(r.Key, *r.Approved, *r.Plan, share)
		if text == "" {
			continue
		}
		room -= len(text)
		b.WriteString(text + "\n")
	}
	return b.String()
}

// waiting is the pull request with what waits for a person, in few columns.
func (p arranged) waiting() arranged {
	p = p.only(needsSomebody)
	for i := range p.rows {
		p.rows[i].Took, p.rows[i].view.Outputs = 0, nil
	}
	return p
}

// unasked is the pull request with what was applied and nobody had to approve: where
// another plan than the one that was shown was applied, nothing else tells.
func (p arranged) unasked() arranged {
	p.rows = slices.DeleteFunc(slices.Clone(p.rows), func(r row) bool { return r.State != RowApplied || r.Needs > 0 })
	return p
}

// only is the pull request with the rows that are in one of the states.
func (p arranged) only(states []RowState) arranged {
	p.rows = slices.DeleteFunc(slices.Clone(p.rows), func(r row) bool { return !slices.Contains(states, r.State) })
	return p
}

// Outcome is the comment that is written when everything has ended: what was applied,
// what failed and what to do about it.
func Outcome(p Pull, l Limits) Text {
	a := arrange(p)
	differences := a.unasked().differences(l)
	for i := range a.rows { // who approved is history
		r := &a.rows[i]
		r.Policy, r.Has, r.Needs, r.ApprovedBy, r.MovedFrom, r.Deferred = "", 0, 0, nil, "", schema.ResourceKey{}
	}
	a.ExpiresAt, a.Long = time.Time{}, ""
	return fit(a.logs(), l, func(f form, folds string, left []string) string {
		var b strings.Builder
		b.WriteString(mark(a.Mark))
		b.WriteString("\n### " + a.ending() + "\n\n")
		b.WriteString(a.done())
		b.WriteString(a.elsewhere())
		b.WriteString(a.refused(l, f))
		b.WriteString(a.table(f.table))
		b.WriteString(a.unchanged(l, f))
		b.WriteString(a.notes(f))
		if f.list > 0 {
			b.WriteString(differences)
		}
		b.WriteString(folds)
		b.WriteString(a.blocks(f))
		b.WriteString(a.advice())
		b.WriteString(a.held())
		b.WriteString(a.next(f))
		b.WriteString(a.leftOut(left))
		b.WriteString(a.foot())
		return b.String()
	})
}

// ending is the title of an outcome.
func (p arranged) ending() string {
	applied, failed, unchanged := in(p.rows, RowApplied), in(p.rows, RowFailed, RowForbidden), in(p.rows, RowUnchanged)
	stopped := in(p.rows, RowStopped)
	n := len(p.rows) - unchanged
	switch {
	case p.State == Closed:
		return p.over()
	case failed > 0 && n == 1:
		return "❌ The apply failed"
	case failed > 0 && applied == 0:
		return "❌ " + strconv.Itoa(failed) + " of " + strconv.Itoa(n) + " failed" + p.inPart(", nothing was applied")
	case failed > 0:
		return "❌ " + strconv.Itoa(failed) + " of " + strconv.Itoa(n) + " failed, " + strconv.Itoa(applied) + " applied"
	case stopped > 0 && applied == 0:
		return "⏹️ " + strconv.Itoa(stopped) + " of " + strconv.Itoa(n) + " stopped" + p.inPart(", nothing was applied")
	case stopped > 0:
		return "⏹️ " + strconv.Itoa(stopped) + " of " + strconv.Itoa(n) + " stopped, " + strconv.Itoa(applied) + " applied"
	case n == 0:
		return "⚪ Nothing to do"
	case applied == n && n == 1:
		return "✅ Applied"
	case applied == n:
		return "✅ All " + strconv.Itoa(n) + " applied"
	}
	return "⏸️ " + strconv.Itoa(applied) + " of " + strconv.Itoa(n) + " applied"
}

// inPart goes on with a title that says that not one was applied whole: of how many a part
// was, or none that was not, where that is known.
func (p arranged) inPart(none string) string {
	part, doubtful := 0, false
	for _, r := range p.rows {
		if r.Done.Changes() {
			part++
		}
		doubtful = doubtful || r.Doubtful
	}
	switch {
	case part > 0:
		return ", " + strconv.Itoa(part) + " of them after a part was applied"
	case doubtful:
		return ""
	}
	return none
}

// done is the line below the title of an outcome: what was done, not what was planned.
func (p arranged) done() string {
	var parts []string
	done := p.only([]RowState{RowApplied}).rows
	for _, r := range p.rows {
		if r.Done.Changes() {
			done = append(done, row{Row: Row{Plan: &stackjob.Plan{HasChanges: true, Counts: r.Done}}})
		}
	}
	if slices.ContainsFunc(done, row.changes) {
		parts = append(parts, "applied `"+brief(done)+"`")
	}
	return joined(append(parts, p.commits()...))
}

// advice says in a sentence what to do after an outcome.
func (p arranged) advice() string {
	switch {
	case in(p.rows, RowFailed) > 0 && len(p.Commands) > 0:
		return "What was applied stays. Set right what failed, then run it again; nothing is repeated by itself.\n\n"
	case in(p.rows, RowFailed) > 0:
		return "What was applied stays. Set right what failed in a new pull request; nothing is repeated by itself.\n\n"
	}
	return ""
}

// held says what an apply before the merge leaves to do: nobody else can change those
// stacks until then, and the followed branch does not want them so.
func (p arranged) held() string {
	if p.Merged || p.State == Closed || in(p.rows, RowApplied) == 0 {
		return ""
	}
	return "What was applied from here is held for this pull request until it is merged or closed: merge it soon.\n\n"
}

// logs are the folds of what failed.
func (p arranged) logs() []*fold {
	var out []*fold
	for i := range p.rows {
		log := report.Lines(p.rows[i].Log)
		if len(log) == 0 {
			continue
		}
		r := p.rows[i]
		r.Plan, r.Because, r.view = nil, nil, report.View{}
		out = append(out, &fold{row: &r, texts: map[chosen]string{}, log: fence("", lastLines(log, report.LogLines))})
	}
	for _, f := range out {
		f.open = len(out) == 1
	}
	return out
}

// Reply is the answer to a command.
type Reply struct {
	Mark string
	// Command is what was written, By who wrote it.
	Command, By string
	Answer      pull.Answer
	// Sentences are a line each; Detail is a text of lines that are kept as they are.
	Sentences []string
	Detail    string
	// Commands are those that are worth trying next.
	Commands []string
	// Page is where more is shown; "" for nowhere.
	Page string
}

// answers are the icons of answers, the same as the reactions.
var answers = map[pull.Answer]string{"": "🚀 ", pull.Yes: "👍 ", pull.No: "👎 ", pull.Confused: "😕 "}

// Answer is the comment that answers a command with more than a reaction.
func Answer(r Reply, l Limits) Text {
	p := arranged{Pull: Pull{Mark: r.Mark, Commands: r.Commands, Page: r.Page}}
	return fit(nil, l, func(f form, _ string, left []string) string {
		var b strings.Builder
		b.WriteString(mark(r.Mark) + "\n")
		b.WriteString(r.heading() + r.by() + "\n\n")
		if sentences := proses(r.Sentences); len(sentences) == 1 {
			b.WriteString(sentences[0] + "\n\n")
		} else {
			b.WriteString(bullets(sentences, f.list))
		}
		b.WriteString(r.detail(f))
		b.WriteString(p.next(f))
		b.WriteString(p.leftOut(left))
		b.WriteString(p.foot())
		return b.String()
	})
}

// Replies are the answers to the commands of one comment, in their order. One without an
// Answer goes on.
type Replies struct {
	Mark, By string
	Of       []Reply
}

// Answers is the comment that answers several commands of one comment: a line for each, and
// below them what is longer.
func Answers(r Replies, l Limits) Text {
	p := arranged{Pull: Pull{Mark: r.Mark}}
	return fit(nil, l, func(f form, _ string, left []string) string {
		var b strings.Builder
		b.WriteString(mark(r.Mark) + "\n")
		b.WriteString("**" + report.Plural(len(r.Of), "command") + "**" + Reply{By: r.By}.by() + "\n\n")
		items := make([]string, len(r.Of))
		for i, of := range r.Of {
			items[i] = of.heading()
			if sentences := proses(of.Sentences); len(sentences) > 0 {
				items[i] += " · " + strings.Join(sentences, "; ")
			}
		}
		b.WriteString(bullets(items, f.list))
		for _, of := range r.Of {
			if text := of.detail(f); text != "" {
				b.WriteString(code(of.Command) + "\n\n" + text)
			}
		}
		b.WriteString(p.leftOut(left))
		return b.String()
	})
}

// heading is the command with how it ended.
func (r Reply) heading() string { return answers[r.Answer] + code(r.Command) }

// by is who wrote it; "" when that is not known.
func (r Reply) by() string {
	if by := names([]string{r.By}, 1); by != "" {
		return " · " + by
	}
	return ""
}

// detail is the longer text, as long as there is room.
func (r Reply) detail(f form) string {
	lines := report.Lines(r.Detail)
	shown := lines[:min(len(lines), f.report)]
	if len(shown) == 0 {
		return ""
	}
	if more := len(lines) - len(shown); more > 0 {
		shown = append(shown[:len(shown):len(shown)], "… "+report.Plural(more, "more line"))
	}
	return fence("", shortLines(shown)) + "\n"
}
