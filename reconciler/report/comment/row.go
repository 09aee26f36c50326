package comment

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// row is a Row with its plan arranged.
type row struct {
	Row
	view report.View
}

// arranged is a Pull with its rows arranged and in the order in which they are shown:
// failed, destructive, changed, unchanged.
type arranged struct {
	Pull
	rows []row
}

func arrange(p Pull) arranged {
	a := arranged{Pull: p, rows: make([]row, 0, len(p.Rows))}
	for _, r := range p.Rows {
		v := row{Row: r}
		if r.Plan != nil {
			v.view = report.Arrange(*r.Plan)
		}
		a.rows = append(a.rows, v)
	}
	slices.SortStableFunc(a.rows, func(x, y row) int {
		return cmp.Or(cmp.Compare(x.weight(), y.weight()), x.Key.Compare(y.Key))
	})
	return a
}

// weight sorts rows by how much somebody must look at them.
func (r row) weight() int {
	switch {
	case r.State == RowFailed:
		return 0
	case r.State == RowForbidden:
		return 1
	case r.State == RowUnchanged:
		return 5
	case r.isDestructive():
		return 2
	case r.Plan != nil:
		return 3
	}
	return 4
}

// isDestructive tells whether something would be lost, or the whole stack would.
func (r row) isDestructive() bool {
	return len(r.view.Danger) > 0 || r.Action == stackjob.Destroy && r.State != RowUnchanged
}

// changes tells whether there is something to show in a fold.
func (r row) changes() bool {
	return r.State != RowUnchanged && r.Plan != nil && (r.Plan.HasChanges || r.Plan.Counts.Changes())
}

func (r row) counts() stackjob.Counts {
	if r.Plan == nil {
		return stackjob.Counts{}
	}
	return r.Plan.Counts
}

// also is what a plan does beside the four numbers.
func (r row) also() string {
	if r.Plan == nil {
		return ""
	}
	var parts []string
	for _, n := range []struct {
		count int
		word  string
	}{{r.Plan.Counts.Import, "import"}, {r.Plan.Counts.Move, "move"}, {r.Plan.Counts.Forget, "forget"}, {len(r.view.Outputs), "output"}, {r.Plan.Providers, "provider"}} {
		if n.count > 0 {
			parts = append(parts, report.Plural(n.count, n.word))
		}
	}
	return strings.Join(parts, ", ")
}

// sum adds the counts of rows.
func sum(rows []row) (c stackjob.Counts) {
	for _, r := range rows {
		n := r.counts()
		c.Create += n.Create
		c.Update += n.Update
		c.Delete += n.Delete
		c.Replace += n.Replace
		c.NoOp += n.NoOp
		c.Import += n.Import
		c.Move += n.Move
		c.Forget += n.Forget
	}
	return c
}

// brief is what all rows together change in a few words: "+1 ~2 -3 ±4", "outputs only".
func brief(rows []row) string {
	var plans []*stackjob.Plan
	for _, r := range rows {
		if r.Plan != nil {
			plans = append(plans, r.Plan)
		}
	}
	return stackjob.BriefOf(plans)
}

// in counts the rows that are in one of the states.
func in(rows []row, states ...RowState) int {
	n := 0
	for _, r := range rows {
		if slices.Contains(states, r.State) {
			n++
		}
	}
	return n
}

// icons stand before the words of states.
var icons = map[RowState]string{
	RowQueued: "🕒", RowPlanning: "⏳", RowPlanned: "📋", RowWaiting: "✋", RowApproved: "👍", RowUnchanged: "⚪", RowDeferred: "⏸️",
	RowForbidden: "⛔", RowFailed: "❌", RowApplying: "🚀", RowApplied: "✅", RowStopped: "⏹️",
}

// stateText is the state with its icon: "✋ waiting".
func stateText(s RowState) string {
	icon, ok := icons[s]
	if !ok {
		return cmp.Or(prose(string(s)), "unknown")
	}
	return icon + " " + string(s)
}

// state is the first cell of a row: a link to where its job is shown.
func (r row) state() string {
	text := stateText(r.State)
	if r.State == RowQueued && r.Queued > 0 {
		text += ", place " + strconv.Itoa(r.Queued)
	}
	return link(text, r.Link)
}

// approvals is "1/2 (ann)".
func (r row) approvals() string {
	if r.Needs <= 0 && r.Has <= 0 {
		return ""
	}
	text := r.ratio()
	if by := names(r.ApprovedBy, 3); by != "" {
		text += " (" + by + ")"
	}
	return text
}

func (r row) ratio() string { return strconv.Itoa(max(r.Has, 0)) + "/" + strconv.Itoa(max(r.Needs, 0)) }

// names lists at most so many names.
func names(list []string, most int) string {
	var parts []string
	for _, n := range list[:min(len(list), most)] {
		if name := prose(report.Shorten(report.Clean(n), maxName)); name != "" {
			parts = append(parts, name)
		}
	}
	if more := len(list) - most; more > 0 {
		parts = append(parts, strconv.Itoa(more)+" more")
	}
	return strings.Join(parts, ", ")
}

// maxName is how many columns of a person's or policy's name are shown.
const maxName = 40

// took is a time that something took: "0.4s", "12s", "3m05s", "1h02m".
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Second:
		return strconv.FormatFloat(max(d.Round(100*time.Millisecond), 100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Round(time.Second).Seconds())) + "s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return strconv.Itoa(int(d.Minutes())) + "m" + twoDigits(int(d.Seconds())%60) + "s"
	}
	d = d.Round(time.Minute)
	return strconv.Itoa(int(d.Hours())) + "h" + twoDigits(int(d.Minutes())%60) + "m"
}

func twoDigits(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// shortCommit is how people see a commit.
func shortCommit(c string) string {
	r := []rune(report.Clean(c))
	return string(r[:min(len(r), 7)])
}
