package comment

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// tableForm is how much the table says, most first.
type tableForm int

// The forms of the table.
const (
	tableFull   tableForm = iota // a row per resource
	tableNarrow                  // the same, in fewer and shorter cells
	tablePlaces                  // failed and destructive rows, the others by environment
	tableOne                     // all in one row
)

const (
	// fewUnchanged is how many unchanged rows stand in the table; more of them are told
	// in one line.
	fewUnchanged = 3
	// mostUrgent is how many rows of their own a table by environment has.
	mostUrgent = 30
	// narrowKey is how many columns of a key a narrow table shows.
	narrowKey = 60
)

// line is one line of a table: one resource, or several together.
type line struct {
	state, name, engine, also, policy, approvals, time string
	counts                                             stackjob.Counts
}

// column is one column of a table.
type column struct {
	head, edge string
	cell       func(line) string
	// always tells that it stays when all its cells are empty.
	always bool
}

func number4(n func(stackjob.Counts) int) func(line) string {
	return func(l line) string {
		if c := n(l.counts); c != 0 {
			return strconv.Itoa(c)
		}
		return ""
	}
}

// columns are those of the table; the signs are escaped, or else one alone is a list.
var columns = []column{
	{"State", "---", func(l line) string { return l.state }, true},
	{"Resource", "---", func(l line) string { return l.name }, true},
	{"Engine", "---", func(l line) string { return l.engine }, false},
	{`\+`, "--:", number4(func(c stackjob.Counts) int { return c.Create }), true},
	{`\~`, "--:", number4(func(c stackjob.Counts) int { return c.Update }), true},
	{`\-`, "--:", number4(func(c stackjob.Counts) int { return c.Delete }), true},
	{"±", "--:", number4(func(c stackjob.Counts) int { return c.Replace }), true},
	{"Also", "---", func(l line) string { return l.also }, false},
	{"Policy", "---", func(l line) string { return l.policy }, false},
	{"Approvals", "---", func(l line) string { return l.approvals }, false},
	{"Time", "--:", func(l line) string { return l.time }, false},
}

// table writes the rows. Columns that say nothing are left out.
func (p arranged) table(form tableForm) string {
	lines := p.lines(form)
	if len(lines) == 0 {
		return ""
	}
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return !c.always && !slices.ContainsFunc(lines, func(l line) bool { return c.cell(l) != "" })
	})
	return writeTable(shown, lines)
}

func writeTable(shown []column, lines []line) string {
	var head, edge, body strings.Builder
	for _, c := range shown {
		head.WriteString("| " + c.head + " ")
		edge.WriteString("| " + c.edge + " ")
	}
	for _, l := range lines {
		for _, c := range shown {
			body.WriteString("| ")
			if cell := c.cell(l); cell != "" {
				body.WriteString(cell + " ")
			}
		}
		body.WriteString("|\n")
	}
	return head.String() + "|\n" + edge.String() + "|\n" + body.String() + "\n"
}

func (p arranged) lines(form tableForm) []line {
	rows := p.rows
	if in(rows, RowUnchanged) > fewUnchanged {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.State == RowUnchanged })
	}
	var out []line
	switch form {
	case tableFull:
		several := len(p.engines()) > 1
		for _, r := range rows {
			l := line{
				state: r.state(), name: code(r.Key.String()), also: r.also(), policy: prose(report.Shorten(report.Clean(r.Policy), maxName)),
				approvals: r.approvals(), time: took(r.Took), counts: r.counts(),
			}
			if several {
				l.engine = prose(r.engine())
			}
			out = append(out, l)
		}
	case tableNarrow:
		for _, r := range rows {
			out = append(out, r.narrow())
		}
	case tablePlaces:
		urgent := 0
		for urgent < min(len(rows), mostUrgent) && (rows[urgent].State == RowFailed || rows[urgent].State == RowForbidden || rows[urgent].isDestructive()) {
			out = append(out, rows[urgent].narrow())
			urgent++
		}
		out = append(out, byPlace(rows[urgent:])...)
	case tableOne:
		if len(rows) > 0 {
			out = append(out, together(report.Plural(len(rows), "resource"), rows))
		}
	}
	return out
}

func (r row) narrow() line {
	l := line{state: stateText(r.State), name: code(report.Shorten(report.Clean(r.Key.String()), narrowKey)), counts: r.counts()}
	if r.Needs > 0 {
		l.approvals = r.ratio()
	}
	return l
}

// byPlace puts rows of one environment together.
func byPlace(rows []row) []line {
	var order []string
	groups := map[string][]row{}
	for _, r := range rows {
		place := r.place()
		if groups[place] == nil {
			order = append(order, place)
		}
		groups[place] = append(groups[place], r)
	}
	slices.Sort(order)
	var out []line
	for _, place := range order {
		name := code(report.Shorten(report.Clean(place), narrowKey)) + ", " + report.Plural(len(groups[place]), "resource")
		out = append(out, together(name, groups[place]))
	}
	return out
}

// stateOrder is the order in which numbers of states are told.
var stateOrder = []RowState{
	RowFailed, RowForbidden, RowStopped, RowWaiting, RowApproved, RowPlanned, RowApplying, RowApplied, RowQueued, RowPlanning, RowDeferred, RowUnchanged,
}

func together(name string, rows []row) line {
	var states []string
	for _, s := range stateOrder {
		if n := in(rows, s); n > 0 {
			states = append(states, strconv.Itoa(n)+" "+string(s))
		}
	}
	return line{state: strings.Join(states, ", "), name: name, counts: sum(rows)}
}

// engine is the engine that made the plan, or will.
func (r row) engine() string {
	if r.Engine == "" && r.Plan != nil {
		return r.Plan.Engine
	}
	return r.Engine
}

// engines are those of all rows, sorted. One of which no plan tells the version is not told
// beside one of the same name: it will be the same, as far as anybody knows.
func (p arranged) engines() []string {
	var out []string
	for _, r := range p.rows {
		if e := r.engine(); e != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Clone(out), func(e string) bool {
		return slices.ContainsFunc(out, func(other string) bool { return strings.HasPrefix(other, e+" ") })
	})
}
