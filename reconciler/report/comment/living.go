package comment

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// Living is the comment that is edited in place from the first round to the end.
func Living(p Pull, l Limits) Text {
	a := arrange(p)
	text, _ := a.living(a.folds(l), l)
	return text
}

// living is Living, and the form that it took.
func (p arranged) living(folds []*fold, l Limits) (Text, form) {
	a := p
	under, drift, graph, moved := a.under(), a.drift(), a.graph(l), a.movedWhat(l)
	table, danger := remembered(a.table), remembered(func(f dangerForm) string { return a.danger(l, f) })
	return shrink(folds, l, func(f form, folds string, left []string) string {
		var b strings.Builder
		b.WriteString(mark(a.Mark))
		b.WriteString("\n### " + a.title() + "\n\n")
		b.WriteString(under)
		b.WriteString(a.elsewhere())
		b.WriteString(danger(f.danger))
		b.WriteString(a.policies())
		b.WriteString(a.engineLacks())
		b.WriteString(a.refused(l, f))
		b.WriteString(table(f.table))
		b.WriteString(a.unchanged(l, f))
		b.WriteString(a.notes(f))
		b.WriteString(drift)
		b.WriteString(a.blocks(f))
		b.WriteString(a.moved(f))
		if f.list == full.list {
			b.WriteString(moved)
		}
		b.WriteString(folds)
		if !f.noGraph {
			b.WriteString(graph)
		}
		b.WriteString(a.held())
		b.WriteString(a.next(f))
		b.WriteString(a.leftOut(left))
		b.WriteString(a.foot())
		return b.String()
	})
}

// title says how everything stands, in a few words.
func (p arranged) title() string {
	n := len(p.rows)
	of := func(count int, one, many string) string {
		switch {
		case n == 1:
			return "The " + one
		case count == 1:
			return "1 of " + strconv.Itoa(n) + " " + many + " "
		}
		return strconv.Itoa(count) + " of " + strconv.Itoa(n) + " " + many + " "
	}
	verb := func(count int, one, many string) string {
		if n == 1 || count == 1 {
			return one
		}
		return many
	}
	switch p.State {
	case Planning:
		if n == 0 {
			return "⏳ Planning"
		}
		return "⏳ Planning: " + strconv.Itoa(n-in(p.rows, RowQueued, RowPlanning)) + " of " + strconv.Itoa(n) + " done"
	case Refused:
		return "⛔ Not planned"
	case Failed:
		failed, noun := in(p.rows, RowFailed, RowForbidden), "plan"
		if p.Merged || failed > 0 && in(p.rows, RowForbidden)+len(p.unplanned(RowFailed)) == 0 {
			noun = "apply"
		}
		switch {
		case failed == 0 && p.Errors > 0:
			return "❌ " + report.Plural(p.Errors, "error") + " in the config repository"
		case failed == 0 && len(p.rejected()) > 0:
			count := len(p.rejected())
			return "⏹️ " + strings.TrimSpace(of(count, "plan", "plans")) + " " + verb(count, "is", "are") + " rejected"
		case failed == 0 && in(p.rows, RowStopped) > 0:
			count := in(p.rows, RowStopped)
			return "⏹️ " + strings.TrimSpace(of(count, noun, plurals[noun])) + " stopped"
		case failed == 0:
			return "❌ Failed"
		}
		return "❌ " + strings.TrimSpace(of(failed, noun, plurals[noun])) + " failed"
	case Waiting:
		waiting, forbidden := in(p.rows, RowWaiting), in(p.rows, RowForbidden)
		switch {
		case waiting == 0 && forbidden > 0:
			return "⛔ " + strings.TrimSpace(of(forbidden, "plan", "plans")) + " " + verb(forbidden, "is", "are") + " forbidden"
		case waiting == 0:
			return "✋ Waiting for a person"
		}
		return "✋ " + strings.TrimSpace(of(waiting, "plan", "plans")) + " " + verb(waiting, "waits", "wait") + " for approval"
	case Approved:
		ready := "Ready to merge"
		if p.AppliesBeforeMerge {
			ready = "Ready to apply"
		}
		if in(p.rows, RowApproved) > 0 {
			return "✅ Approved: " + strings.ToLower(ready[:1]) + ready[1:]
		}
		return "✅ " + ready + ": nobody needs to approve"
	case Nothing:
		return "⚪ No changes"
	case Applying:
		return "🚀 Applying: " + strconv.Itoa(in(p.rows, RowApplied, RowUnchanged, RowFailed, RowStopped)) + " of " + strconv.Itoa(n) + " done"
	case Applied:
		if !p.Merged {
			return "✅ Applied: ready to merge"
		}
		return "✅ Applied"
	case Closed:
		return p.over()
	}
	return cmp.Or(prose(string(p.State)), "Pull request")
}

// over is the title of a pull request that is not on its way to the followed branch.
func (p Pull) over() string {
	if p.Elsewhere != nil {
		return "⚪ Not planned: it goes into another branch"
	}
	return "⚪ Closed without a merge"
}

// elsewhere says of a pull request that was turned to another branch what that means.
func (p Pull) elsewhere() string {
	if p.Elsewhere == nil {
		return ""
	}
	followed := "the followed branch"
	if p.Elsewhere.Followed != "" {
		followed = branch(p.Elsewhere.Followed)
	}
	return "This pull request no longer goes into " + followed + ", but into " + branch(p.Elsewhere.Into) +
		". Nothing of it is planned, and merging it there applies nothing. Turned back to " + followed + ", it is planned again.\n\n"
}

// branchColumns is as much of a branch's name as is told.
const branchColumns = 80

func branch(name string) string { return code(report.Shorten(report.Clean(name), branchColumns)) }

var plurals = map[string]string{"plan": "plans", "apply": "applies"}

// under is the line below the title: counts, commits, digests.
func (p arranged) under() string {
	var parts []string
	if slices.ContainsFunc(p.rows, row.changes) {
		parts = append(parts, "`"+brief(p.rows)+"`")
	}
	parts = append(parts, p.commits()...)
	if d := p.digests(); d != "" {
		parts = append(parts, d)
	}
	return joined(parts)
}

func joined(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " · ") + "\n\n"
}

// commits says how many rows do not change, and what was merged into what.
func (p arranged) commits() (parts []string) {
	if n := in(p.rows, RowUnchanged); n > 0 {
		parts = append(parts, strconv.Itoa(n)+" unchanged")
	}
	if p.Head != "" {
		parts = append(parts, p.headAndBase())
	}
	return parts
}

// headAndBase are the commits that are planned.
func (p Pull) headAndBase() string {
	commits := "commit " + code(shortCommit(p.Head))
	if p.Base != "" {
		commits += " into " + code(shortCommit(p.Base))
	}
	return commits
}

// fewDigests is how many plans are named below the title; of more of them one digest is
// told, and theirs in their folds.
const fewDigests = 3

func (p arranged) digests() string {
	var list []string
	for _, r := range p.rows {
		if !r.changes() || r.Plan.Digest == "" {
			continue
		}
		if d := code(r.Plan.ShortDigest()); !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	switch {
	case len(list) == 0:
		return ""
	case len(list) == 1:
		return "plan " + list[0]
	case len(list) > fewDigests:
		slices.Sort(list)
		sum := sha256.Sum256([]byte(strings.Join(list, "\n")))
		return strconv.Itoa(len(list)) + " plans, together " + code(hex.EncodeToString(sum[:6]))
	}
	return "plans " + strings.Join(list, ", ")
}

// refused says why nothing is planned, or what was found wrong in the tree.
func (p arranged) refused(l Limits, f form) string {
	var b strings.Builder
	if why := prose(p.Refused); why != "" {
		b.WriteString("**Nothing is planned:** " + why + "\n\n")
	}
	switch {
	case len(p.Conflicts) > 0 && f.list == 0:
		b.WriteString(report.Plural(len(p.Conflicts), "path") + " cannot be merged.\n\n")
	case len(p.Conflicts) > 0:
		b.WriteString("These paths cannot be merged; merge the base into the branch:\n\n")
		items := make([]string, len(p.Conflicts))
		for i, c := range p.Conflicts {
			items[i] = code(c)
		}
		b.WriteString(bullets(items, f.list))
	}
	lines := report.Lines(p.Report)
	if len(lines) == 0 && p.Errors == 0 {
		return b.String()
	}
	head := "Findings in the config repository"
	if p.Errors > 0 {
		head = report.Plural(p.Errors, "error") + " in the config repository"
	}
	if len(lines) == 0 || f.report == 0 {
		return b.String() + "**" + head + ".**\n\n"
	}
	if more := len(lines) - f.report; more > 0 {
		lines = append(lines[:f.report:f.report], "… "+report.Plural(more, "more line"))
	}
	b.WriteString(foldHead(l, head, p.Errors > 0) + fence("", shortLines(lines)) + "\n" + foldEnd(l))
	return b.String()
}

// unchanged tells the rows that the table leaves out.
func (p arranged) unchanged(l Limits, f form) string {
	n := in(p.rows, RowUnchanged)
	if n <= fewUnchanged {
		return ""
	}
	head := strconv.Itoa(n) + " resources do not change"
	if f.noUnchanged {
		return head + ".\n\n"
	}
	var keys []string
	for _, r := range p.rows {
		if r.State == RowUnchanged {
			keys = append(keys, code(r.Key.String()))
		}
	}
	return foldHead(l, "⚪ "+head, false) + strings.Join(keys, ", ") + "\n\n" + foldEnd(l)
}

// notes say in a line each what a row's state alone does not.
func (p arranged) notes(f form) string {
	var items []string
	for _, r := range p.rows {
		key, icon := code(r.Key.String()), ""
		if i, ok := icons[r.State]; ok {
			icon = i + " "
		}
		if detail := prose(r.Detail); detail != "" && !p.saysElsewhere(r) {
			items = append(items, icon+key+": "+detail)
		}
		if r.Done.Changes() {
			items = append(items, icon+key+": "+code(r.Done.String())+" of it had been applied by then")
		}
		if !r.Deferred.IsZero() {
			items = append(items, "⏸️ "+key+" can be planned once "+code(r.Deferred.String())+" is applied")
		}
		if r.MovedFrom != "" {
			items = append(items, key+" moved from "+code(r.MovedFrom)+"; it is the same stack")
		}
		if r.Action == stackjob.Destroy && r.Plan != nil && r.State != RowUnchanged {
			items = append(items, "🗑️ "+key+": the whole stack is destroyed")
		}
	}
	return bullets(items, f.list)
}

// saysElsewhere tells that a row's detail would be there twice: what it waits for is
// among the blocks, who approved in the table.
func (p arranged) saysElsewhere(r row) bool {
	switch r.State {
	case RowWaiting, RowForbidden:
		return len(p.Blocks) > 0
	case RowStopped:
		return len(p.Blocks) > 0 && p.isRejected(r)
	case RowApproved:
		return len(r.ApprovedBy) > 0
	}
	return false
}

// rejected are the rows whose plan somebody said no to before the merge.
func (p arranged) rejected() []row {
	return slices.DeleteFunc(slices.Clone(p.rows), func(r row) bool { return !p.isRejected(r) })
}

// isRejected tells that a row has a plan and is stopped although nothing was merged:
// then it is a person's no that stopped it.
func (p arranged) isRejected(r row) bool {
	return r.State == RowStopped && r.Plan != nil && !p.Merged && p.State != Closed
}

// bullets is a list of at most so many lines; the rest is counted.
func bullets(items []string, most int) string {
	if len(items) == 0 || most == 0 {
		return ""
	}
	var b strings.Builder
	for _, item := range items[:min(len(items), most)] {
		b.WriteString("- " + item + "\n")
	}
	if more := len(items) - most; more > 0 {
		b.WriteString("- and " + strconv.Itoa(more) + " more\n")
	}
	return b.String() + "\n"
}

// listedPolicies is how many policies are named.
const listedPolicies = 10

// policies tells that the merge makes other policies: who may say yes afterwards, and to
// what, is no longer what it is now.
func (p arranged) policies() string {
	if len(p.Policies) == 0 {
		return ""
	}
	var b strings.Builder
	alert, words := "WARNING", "This changes who must approve what: from the merge on these policies are in force, for what this pull request changes too."
	if p.Merged {
		alert, words = "NOTE", "This changed who must approve what."
	}
	b.WriteString("> [!" + alert + "]\n> **" + words + "**\n>\n")
	for _, m := range p.Policies[:min(len(p.Policies), listedPolicies)] {
		b.WriteString("> - " + code(m.Policy) + " " + m.How + ", in " + code(m.File) + "\n")
	}
	if more := len(p.Policies) - listedPolicies; more > 0 {
		b.WriteString("> - and " + strconv.Itoa(more) + " more\n")
	}
	return b.String() + "\n"
}

// The most engines that are named, and of each the stacks that ask for it.
const (
	listedLacks    = 5
	listedLackedBy = 3
)

// engineLacks tells that stacks ask for engines that are not there. Nobody would hear of it
// before their next job, which fails.
func (p arranged) engineLacks() string {
	if len(p.Engines) == 0 {
		return ""
	}
	words := "An engine that this asks for is not there: once it is merged, the next job of these resources fails, until somebody installs it where the daemon runs."
	if p.Merged {
		words = "An engine that this asks for was not there when it was planned: the next job of these resources fails, until somebody installs it where the daemon runs."
	}
	var b strings.Builder
	b.WriteString("> [!WARNING]\n> **" + words + "**\n>\n")
	for _, l := range p.Engines[:min(len(p.Engines), listedLacks)] {
		var of []string
		for _, k := range l.Of[:min(len(l.Of), listedLackedBy)] {
			of = append(of, code(k.String()))
		}
		if more := len(l.Of) - listedLackedBy; more > 0 {
			of = append(of, "and "+strconv.Itoa(more)+" more")
		}
		b.WriteString("> - " + strings.Join(of, ", ") + ": " + prose(l.Why) + "\n")
	}
	if more := len(p.Engines) - listedLacks; more > 0 {
		b.WriteString("> - and " + strconv.Itoa(more) + " more\n")
	}
	if !p.Merged {
		b.WriteString(">\n> When it is there, `reeve plan` as a comment looks again.\n")
	}
	return b.String() + "\n"
}

// drift tells what is there whatever this pull request proposes.
func (p arranged) drift() string {
	changes, only, both, left := 0, 0, 0, 0
	for _, r := range p.rows {
		changes += len(r.view.Changes)
		only += r.view.DriftOnly
		both += r.view.DriftUndone - r.view.DriftOnly
		if r.Plan != nil {
			left += max(len(r.view.Drift), r.Plan.Drifted) - r.view.DriftUndone
		}
	}
	var parts []string
	if only > 0 {
		of := strconv.Itoa(only) + " of these " + strconv.Itoa(changes) + " changes " + isAre(only)
		if changes == 1 {
			of = "the only change is"
		}
		parts = append(parts, of+" drift, not from this pull request")
	}
	if both > 0 {
		parts = append(parts, report.Plural(both, "more resource")+" that "+isAre(both)+" changed here had changed outside as well")
		if only == 0 {
			parts[0] = report.Plural(both, "resource") + " that " + isAre(both) + " changed here had changed outside as well"
		}
	}
	if left > 0 {
		parts = append(parts, report.Plural(left, "resource")+" had changed outside and "+isAre(left)+" left so")
	}
	if len(parts) == 0 {
		return ""
	}
	return "**Drift:** " + strings.Join(parts, "; ") + ".\n\n"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// blocks are what is between now and the apply. They are no task list: whoever may
// write could tick it.
func (p arranged) blocks(f form) string {
	if len(p.Blocks) == 0 || f.list == 0 {
		return ""
	}
	items := make([]string, len(p.Blocks))
	for i, b := range p.Blocks {
		if b.Cleared {
			items[i] = "✅ " + cmp.Or(prose(b.What), "cleared")
			continue
		}
		items[i] = "⬜ " + cmp.Or(prose(b.What), "it is not said what")
		if who := prose(b.Who); who != "" {
			items[i] += " · **who:** " + who
		}
	}
	return "**What blocks the apply**\n\n" + bullets(items, f.list)
}

// moved says what is no longer as it was approved.
func (p arranged) moved(f form) string {
	items := proses(p.Moved)
	if len(items) == 0 || f.list == 0 {
		return ""
	}
	return "**Moved since the approval**\n\n" + bullets(items, f.list)
}

// movedWhat shows what moved in each of them, in at most a sixth of the room. After the
// merge a comment of its own does.
func (p arranged) movedWhat(l Limits) string {
	if p.Merged {
		return ""
	}
	if l.Bytes > 0 {
		l.Bytes = max(l.Bytes/2, 1)
	}
	text := p.differences(l)
	if text == "" {
		return ""
	}
	return foldHead(l, "Differences from what was approved", true) + text + foldEnd(l)
}

// next are the commands that are valid now: the first is ready to be copied.
func (p arranged) next(f form) string {
	if len(p.Commands) == 0 || f.list == 0 {
		return ""
	}
	text := "**Next**, as a comment:\n\n" + fence("", []string{report.Shorten(report.Clean(p.Commands[0]), maxLine)}) + "\n"
	if len(p.Commands) == 1 {
		return text
	}
	return text + "or " + commands(p.Commands[1:], f.list) + "\n\n"
}

// commands names commands in one line.
func commands(list []string, most int) string {
	var items []string
	for _, c := range list[:min(len(list), most)] {
		items = append(items, code(c))
	}
	if more := len(list) - most; more > 0 {
		items = append(items, strconv.Itoa(more)+" more")
	}
	return strings.Join(items, ", ")
}

// leftOut says what is not in the body for want of room.
func (p arranged) leftOut(left []string) string {
	if len(left) == 0 {
		return ""
	}
	text := "Left out to stay within the length of a comment: " + strings.Join(left, ", ") + "."
	if see := p.see(); see != "" {
		text += " " + see + "."
	}
	return "*" + text + "*\n\n"
}

// see says where what is left out can be seen; "" when nobody knows.
func (p arranged) see() string {
	if rest := link("What is left out is here", p.Long); p.Long != "" && strings.HasPrefix(rest, "[") {
		return rest
	}
	if all := link("All of it is here", p.Page); strings.HasPrefix(all, "[") {
		return all
	}
	switch {
	case p.Number == 0:
		return ""
	case p.Merged, p.State == Closed:
		return "In a terminal, `reeve get jobs` lists the jobs and `reeve logs JOB` prints what the engine said"
	}
	return "In a terminal, `reeve plan --pr " + strconv.Itoa(p.Number) + "` shows every difference and `reeve logs JOB` prints a raw plan"
}

// foot is the small print.
func (p arranged) foot() string {
	var parts []string
	if page := link("Details", p.Page); page != "Details" {
		parts = append(parts, page)
	}
	if t := took(p.PlannedIn); t != "" {
		parts = append(parts, "planned in "+t)
	}
	if e := names(p.engines(), 3); e != "" {
		parts = append(parts, e)
	}
	if !p.ExpiresAt.IsZero() {
		parts = append(parts, "approvals hold until "+p.ExpiresAt.UTC().Format("2006-01-02 15:04")+" UTC")
	}
	if p.Round > 1 {
		parts = append(parts, "round "+strconv.Itoa(p.Round))
	}
	if len(parts) == 0 {
		return ""
	}
	return "<sub>" + strings.Join(parts, " · ") + "</sub>\n"
}
