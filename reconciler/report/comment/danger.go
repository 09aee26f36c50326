package comment

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// dangerForm is how much the danger block says, most first.
type dangerForm int

// The forms of the danger block.
const (
	dangerReasons   dangerForm = iota // every resource, with what forces it
	dangerAddresses                   // every resource
	dangerRows                        // how many of each row
	dangerPlaces                      // how many of each environment
	dangerCount                       // how many
)

// openDangers is how many losses are seen without opening a fold.
const openDangers = 15

// lost is one resource that would be lost, with the row it is in.
type lost struct {
	report.Danger
	row *row
}

// dangers lists what would be lost: what may hold data first.
func (p arranged) dangers() []lost {
	var out []lost
	for i := range p.rows {
		for _, d := range p.rows[i].view.Danger {
			out = append(out, lost{d, &p.rows[i]})
		}
	}
	slices.SortStableFunc(out, func(a, b lost) int { return cmp.Compare(loudness(a), loudness(b)) })
	return out
}

func loudness(l lost) int {
	n := 0
	if !l.HoldsData {
		n = 2
	}
	if l.Action != stackjob.Delete {
		n++
	}
	return n
}

// losses count what would be lost.
type losses struct{ destroyed, replaced, data int }

func (n *losses) add(l lost) {
	if l.Action == stackjob.Delete {
		n.destroyed++
	} else {
		n.replaced++
	}
	if l.HoldsData {
		n.data++
	}
}

// tense are the verbs of a loss.
type tense struct{ destroys, replaces string }

var (
	present = tense{"destroys", "replaces"}
	past    = tense{"destroyed", "replaced"}
)

// text is "destroys 1 resource and replaces 2; 1 of them may hold data".
func (n losses) text(t tense) string {
	var s string
	switch {
	case n.replaced == 0:
		s = t.destroys + " " + report.Plural(n.destroyed, "resource")
	case n.destroyed == 0:
		s = t.replaces + " " + report.Plural(n.replaced, "resource")
	default:
		s = t.destroys + " " + report.Plural(n.destroyed, "resource") + " and " + t.replaces + " " + strconv.Itoa(n.replaced)
	}
	switch {
	case n.data == 0:
		return s
	case n.destroyed+n.replaced == 1:
		return s + " that may hold data"
	case n.data == n.destroyed+n.replaced:
		return s + "; all of them may hold data"
	}
	return s + "; " + strconv.Itoa(n.data) + " of them may hold data"
}

// danger is the block that stands first when something would be lost.
func (p arranged) danger(l Limits, form dangerForm) string {
	list := p.dangers()
	var stacks []*row // whole stacks that go, as far as no plan tells what is in them
	for i := range p.rows {
		if r := &p.rows[i]; r.Action == stackjob.Destroy && r.State != RowUnchanged && r.Plan == nil {
			stacks = append(stacks, r)
		}
	}
	if len(list)+len(stacks) == 0 {
		return ""
	}
	var total losses
	for _, l := range list {
		total.add(l)
	}
	var b strings.Builder
	alert, tense := "CAUTION", present
	if p.State == Applied { // it is history
		alert, tense = "NOTE", past
	}
	b.WriteString("> [!" + alert + "]\n")
	if len(list) > 0 {
		b.WriteString("> **This " + total.text(tense) + ".**\n")
	}
	if len(stacks) > 0 {
		b.WriteString("> **" + report.Plural(len(stacks), "whole stack") + " to be destroyed; what is lost is not planned yet.**\n")
	}
	if form == dangerCount {
		return b.String() + "\n"
	}
	b.WriteString(">\n")
	var rest strings.Builder
	switch form {
	case dangerReasons, dangerAddresses:
		open := len(list)
		if l.Folds && open > openDangers {
			open = openDangers
		}
		for _, lost := range list[:open] {
			b.WriteString("> - " + lost.line(form, len(p.rows) > 1) + "\n")
		}
		for _, lost := range list[open:] {
			rest.WriteString("- " + lost.line(form, len(p.rows) > 1) + "\n")
		}
		if more := len(list) - open; more > 0 {
			b.WriteString("> - and " + strconv.Itoa(more) + " more, below\n")
		}
	case dangerRows:
		writeGroups(&b, list, tense, func(l lost) string { return l.row.Key.String() })
	case dangerPlaces:
		writeGroups(&b, list, tense, func(l lost) string { return l.row.place() })
	}
	most := len(stacks)
	if form >= dangerRows {
		most = min(most, 5)
	}
	for _, r := range stacks[:most] {
		b.WriteString("> - the whole stack " + code(r.Key.String()) + "\n")
	}
	b.WriteByte('\n')
	if rest.Len() > 0 {
		b.WriteString(foldHead(l, "<b>"+strconv.Itoa(len(list)-openDangers)+" more that would be lost</b>", false) + rest.String() + "\n" + foldEnd(l))
	}
	return b.String()
}

// place is the environment of a row: "acme/prod".
func (r row) place() string { return r.Key.Org + "/" + r.Key.Env }

// writeGroups writes one line per group, in the order in which groups come first.
func writeGroups(b *strings.Builder, list []lost, t tense, group func(lost) string) {
	counts := map[string]*losses{}
	var order []string
	for _, l := range list {
		g := group(l)
		if counts[g] == nil {
			counts[g] = &losses{}
			order = append(order, g)
		}
		counts[g].add(l)
	}
	for _, g := range order {
		b.WriteString("> - " + code(g) + " " + counts[g].text(t) + "\n")
	}
}

// line is "**destroy `aws_db_instance.a`, may hold data** in `…`: why".
func (l lost) line(form dangerForm, several bool) string {
	s := report.Word(l.Action) + " " + code(l.Address)
	if l.HoldsData {
		s = "**" + s + ", may hold data**"
	}
	if several {
		s += " in " + code(l.row.Key.String())
	}
	if form != dangerReasons {
		return s
	}
	if why := l.why(); why != "" {
		s += ": " + why
	}
	return s
}

// why says what forces it.
func (l lost) why() string {
	var parts []string
	for _, a := range l.Forces[:min(len(l.Forces), maxForces)] {
		text := code(a.Path) + " changes"
		if len(a.Lines) == 0 {
			text += " from " + valueText(a.Before) + " to " + valueText(a.After)
		}
		parts = append(parts, text)
	}
	if more := len(l.Forces) - maxForces; more > 0 {
		parts = append(parts, strconv.Itoa(more)+" more")
	}
	if len(parts) == 0 {
		return prose(l.Reason)
	}
	return strings.Join(parts, ", ")
}

// maxForces is how many of the attributes that force a replacement are named.
const maxForces = 4

// valueText is a value in running text: the words that stand for one are no code.
func valueText(s string) string {
	switch s {
	case "(sensitive)", "(known after apply)", "(none)":
		return s
	}
	return code(report.Shorten(s, maxInline))
}

// maxInline is how many columns of a value are shown in running text.
const maxInline = 60
