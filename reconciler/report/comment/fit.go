package comment

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
)

// form is how much of everything but the folds is said.
type form struct {
	danger               dangerForm
	table                tableForm
	noUnchanged, noGraph bool
	// list is how many entries lists have, report how many lines the report of the
	// tree.
	list, report int
}

// compose writes a body from what was chosen.
type compose func(f form, folds string, left []string) string

// remembered is a function whose results are kept: bodies are composed several times on
// the way to their limit.
func remembered[K comparable](f func(K) string) func(K) string {
	known := map[K]string{}
	return func(k K) string {
		s, ok := known[k]
		if !ok {
			s = f(k)
			known[k] = s
		}
		return s
	}
}

// forms are tried in this order when a body without folds is still too long. The
// danger block and the table lose words before lines, and lines before numbers.
var forms = []form{
	{danger: dangerReasons, table: tableFull, list: 20, report: 200},
	{danger: dangerReasons, table: tableFull, list: 20, report: 200, noUnchanged: true},
	{danger: dangerReasons, table: tableFull, list: 20, report: 200, noUnchanged: true, noGraph: true},
	{danger: dangerReasons, table: tableFull, list: 5, report: 20, noUnchanged: true, noGraph: true},
	{danger: dangerAddresses, table: tableFull, list: 5, report: 20, noUnchanged: true, noGraph: true},
	{danger: dangerAddresses, table: tableNarrow, list: 5, report: 20, noUnchanged: true, noGraph: true},
	{danger: dangerRows, table: tableFull, list: 5, report: 5, noUnchanged: true, noGraph: true},
	{danger: dangerRows, table: tableNarrow, list: 5, report: 5, noUnchanged: true, noGraph: true},
	{danger: dangerAddresses, table: tablePlaces, list: 5, report: 5, noUnchanged: true, noGraph: true},
	{danger: dangerRows, table: tablePlaces, list: 5, report: 0, noUnchanged: true, noGraph: true},
	{danger: dangerPlaces, table: tablePlaces, list: 2, report: 0, noUnchanged: true, noGraph: true},
	{danger: dangerCount, table: tablePlaces, list: 1, report: 0, noUnchanged: true, noGraph: true},
	{danger: dangerCount, table: tableOne, list: 0, report: 0, noUnchanged: true, noGraph: true},
}

// full is the form of a body that has room.
var full = forms[0]

// leftRoom is kept for the sentence that says what was left out, beside its link.
const leftRoom = 500

// fit leaves out as much as must be to stay within the limit, in a fixed order: raw
// plans, attribute differences, names of unchanged rows, folds; then what is said
// about the table's rows; then words of the table and the danger block.
func fit(folds []*fold, l Limits, body compose) Text {
	text, _ := shrink(folds, l, body)
	return text
}

// shrink is fit, and the form that was chosen; what of each fold is in the body stands in
// the folds.
func shrink(folds []*fold, l Limits, body compose) (Text, form) {
	s := &shrinking{folds: folds, limits: l, body: body, sizes: map[form]int{}}
	if l.Bytes <= 0 {
		return s.text(full), full
	}
	if t := s.text(full); len(t.Body) <= l.Bytes && len(t.Left) == 0 {
		return t, full
	}
	s.over = len(body(full, "", []string{strings.Repeat("x", leftRoom)})) + s.foldsSize() - l.Bytes
	s.dropRaw()
	s.cutDifferences(foldCut, func(f *fold) int { return len(f.lines) - cutLines })
	s.cutDifferences(foldBare, func(f *fold) int { return len(f.lines) })
	next := full
	if s.over > 0 {
		next = forms[1]
		s.over -= s.size(full) - s.size(next)
	}
	s.dropFolds()
	for _, f := range forms {
		if f.noUnchanged == next.noUnchanged || f.noUnchanged {
			if s.size(f) > l.Bytes {
				continue
			}
			if t := s.text(f); len(t.Body) <= l.Bytes {
				return t, f
			}
		}
	}
	last := forms[len(forms)-1]
	t := s.text(last)
	t.Body = cutBody(t.Body, l.Bytes)
	return t, last
}

// shrinking is a body on its way to its limit.
type shrinking struct {
	folds  []*fold
	limits Limits
	body   compose
	// sizes remembers what size found.
	sizes map[form]int
	// over is how many bytes there are still too many.
	over int

	raws, cuts, bares, gone int
	rawBytes, cutBytes      int
	goneBytes               int
}

// size is how long the body is in a form, without folds.
func (s *shrinking) size(f form) int {
	n, ok := s.sizes[f]
	if !ok {
		n = len(s.body(f, "", nil))
		s.sizes[f] = n
	}
	return n
}

func (s *shrinking) foldsSize() int {
	n := 0
	for _, f := range s.folds {
		n += len(f.text(s.limits))
	}
	return n
}

// largest sorts folds by a size, those of failed rows last: their log is what people
// come for.
func (s *shrinking) largest(size func(*fold) int) []*fold {
	out := slices.Clone(s.folds)
	slices.SortStableFunc(out, func(a, b *fold) int {
		return cmp.Or(cmp.Compare(len(a.log), 0)-cmp.Compare(len(b.log), 0), cmp.Compare(size(b), size(a)))
	})
	return out
}

// shrink changes a fold and counts what that freed.
func (s *shrinking) shrink(f *fold, change func()) int {
	before := len(f.text(s.limits))
	change()
	freed := before - len(f.text(s.limits))
	s.over -= freed
	return freed
}

func (s *shrinking) dropRaw() {
	for _, f := range s.largest(func(f *fold) int { return len(f.raw) }) {
		if s.over <= 0 {
			return
		}
		if f.hasRaw {
			s.raws++
			s.rawBytes += s.shrink(f, func() { f.hasRaw = false })
		}
	}
}

func (s *shrinking) cutDifferences(to foldForm, lines func(*fold) int) {
	for _, f := range s.largest(func(f *fold) int { return len(f.whole) }) {
		if s.over <= 0 {
			return
		}
		if lines(f) <= 0 || f.whole == "" {
			continue
		}
		if f.form == foldCut {
			s.cuts--
		}
		s.cutBytes += s.shrink(f, func() { f.form = to })
		if to == foldCut {
			s.cuts++
		} else {
			s.bares++
		}
	}
}

// dropFolds drops those of the lowest rows first: what is lost or failed stands higher.
func (s *shrinking) dropFolds() {
	for _, f := range slices.Backward(s.folds) {
		if s.over <= 0 {
			return
		}
		s.gone++
		s.goneBytes += s.shrink(f, func() { f.form = foldGone })
	}
}

// text composes the body in a form.
func (s *shrinking) text(f form) Text {
	var b strings.Builder
	if f.hasFolds() {
		for _, fold := range s.folds {
			b.WriteString(fold.text(s.limits))
		}
	}
	left := s.left(f)
	return Text{Body: strings.TrimRight(s.body(f, b.String(), left), "\n") + "\n", Left: left}
}

// left says what is not in the body, largest first.
func (s *shrinking) left(f form) []string {
	type item struct {
		size int
		text string
	}
	var items []item
	add := func(size, count int, noun string) {
		if count > 0 {
			items = append(items, item{size, report.Plural(count, noun)})
		}
	}
	tooLong, tooLongBytes := 0, 0
	for _, fold := range s.folds {
		if fold.tooLong {
			tooLong++
			tooLongBytes += len(fold.row.Plan.Text)
		}
	}
	gone := s.gone
	if !f.hasFolds() {
		gone = len(s.folds)
	}
	if gone < len(s.folds) {
		add(s.rawBytes+tooLongBytes, s.raws+tooLong, "raw plan")
		add(s.cutBytes, s.cuts+s.bares, "attribute difference")
	}
	add(s.goneBytes, gone, "fold")
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(b.size, a.size) })
	var out []string
	for _, i := range items {
		out = append(out, i.text)
	}
	return append(out, f.left(s)...)
}

// hasFolds tells that there is room for folds: not where the table or the danger block had
// to be made shorter.
func (f form) hasFolds() bool { return f.danger <= full.danger && f.table <= full.table }

// left says what a form leaves out of what the full one would have said.
func (f form) left(s *shrinking) []string {
	var out []string
	without := func(words string, change func(*form)) {
		less := full
		change(&less)
		if s.size(less) != s.size(full) {
			out = append(out, words)
		}
	}
	switch f.table {
	case tableNarrow:
		without("cells of the table", func(less *form) { less.table = f.table })
	case tablePlaces, tableOne:
		without("rows of the table, which are put together", func(less *form) { less.table = f.table })
	}
	switch f.danger {
	case dangerAddresses:
		without("reasons of what is lost", func(less *form) { less.danger = f.danger })
	case dangerRows, dangerPlaces, dangerCount:
		without("addresses of what is lost, which are counted", func(less *form) { less.danger = f.danger })
	}
	if f.list < full.list {
		without("entries of lists", func(less *form) { less.list = f.list })
	}
	if f.report < full.report {
		without("lines of the report", func(less *form) { less.report = f.report })
	}
	if f.noUnchanged {
		without("names of what does not change", func(less *form) { less.noUnchanged = true })
	}
	if f.noGraph {
		without("the graph", func(less *form) { less.noGraph = true })
	}
	return out
}

// cutBody is the last resort for limits that no forge has: whole paragraphs as far as
// they go. What it is given has no folds and no fences.
func cutBody(body string, most int) string {
	if len(body) <= most {
		return body
	}
	return body[:strings.LastIndex(body[:max(most, 0)], "\n\n")+1]
}
