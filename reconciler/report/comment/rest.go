package comment

import (
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/report"
)

const (
	// endRoom is kept for the sentence that says what is too long even for a text
	// beside the comment, besides where that can be seen.
	endRoom = 300
	// leastShare is how much room a block has at least, leastBlock the smallest part of it
	// that is worth showing.
	leastShare = 3000
	leastBlock = 500
	// longestLine is how many columns of a line of a raw plan are shown.
	longestLine = 2000
)

// longestPage stands for the address that a text will get: what the comment leaves out
// must not grow by it.
var longestPage = "https://forge.example.com/" + strings.Repeat("x", 250)

// Rest is what [Living] leaves out for want of room, as Markdown of at most so many
// bytes; "" when nothing is left out. What does not fit there either is counted at its end,
// with how it can be seen.
func Rest(p Pull, l Limits, bytes int) string {
	p.Long = longestPage
	a := arrange(p)
	folds := a.folds(l)
	text, f := a.living(folds, l)
	if len(text.Left) == 0 {
		return ""
	}
	a.Long = ""
	r := &rest{room: bytes - endRoom - len(a.see())}
	r.add("What the comment on the pull request leaves out for want of room, of " + p.headAndBase() + ".\n\n")
	a.restOfWords(r, l, f)
	r.folds(folds, f)
	return r.end(a)
}

// restOfWords is what a form leaves out of all but the folds.
func (p arranged) restOfWords(r *rest, l Limits, f form) {
	if f.danger != full.danger {
		r.addOne("the list of what is lost", p.danger(l, dangerReasons), p.danger(l, dangerAddresses), p.danger(l, dangerRows))
	}
	if f.report != full.report {
		r.addOne("the report", p.refused(l, full))
	}
	if f.table != full.table {
		r.addOne("the table", p.table(tableFull), p.table(tableNarrow), p.table(tablePlaces))
	}
	if f.noUnchanged {
		r.addOne("names of what does not change", p.unchanged(l, full))
	}
	if f.list != full.list {
		r.addOne("entries of lists", p.notes(full)+p.blocks(full)+p.moved(full))
	}
	if f.noGraph {
		r.addOne("the graph", p.graph(l))
	}
}

// rest is a text that takes as much as there is room for.
type rest struct {
	b    strings.Builder
	room int
	// missing are parts that did not fit.
	missing []string
}

func (r *rest) add(text string) bool {
	if len(text) > r.room {
		return false
	}
	r.room -= len(text)
	r.b.WriteString(text)
	return true
}

// addOne adds the first form of a part that fits.
func (r *rest) addOne(what string, forms ...string) {
	for _, form := range forms {
		if r.add(form) {
			return
		}
	}
	r.missing = append(r.missing, what)
}

// folds adds what the folds lack: differences and logs first, since all of a raw plan is
// printed elsewhere. Each gets a fair share of the room.
func (r *rest) folds(folds []*fold, f form) {
	var differ, raw []*fold
	for _, fold := range folds {
		gone := !f.hasFolds() || fold.form == foldGone
		if gone || fold.form != foldWhole && fold.whole != "" {
			differ = append(differ, fold)
		}
		if fold.row.Plan != nil && fold.row.changes() && (gone || !fold.hasRaw) && strings.TrimSpace(fold.row.Plan.Text) != "" {
			raw = append(raw, fold)
		}
	}
	short := 0
	for i, fold := range differ {
		if fold.log != "" && !r.add(fold.row.headline("Log")+fold.log+"\n") {
			short++
			continue
		}
		if len(fold.lines) > 0 && !r.block(fold.row.headline("Differences"), "diff", fold.lines, 0, r.share(len(differ)-i)) {
			short++
		}
	}
	if short > 0 {
		r.missing = append(r.missing, report.Plural(short, "difference"))
	}
	short = 0
	for i, fold := range raw {
		share := r.share(len(raw) - i)
		text, more := fold.row.Plan.Text, 0
		if len(text) > 4*share { // no need to clean what is not shown
			cut := strings.LastIndexByte(text[:4*share], '\n') + 1
			text, more = text[:cut], strings.Count(text[cut:], "\n")
		}
		lines := report.Lines(text)
		for k := range lines {
			lines[k] = report.Shorten(lines[k], longestLine)
		}
		if !r.block(fold.row.headline("Raw plan"), "", lines, more, share) {
			short++
		}
	}
	if short > 0 {
		r.missing = append(r.missing, report.Plural(short, "raw plan"))
	}
}

// share is the room for one of so many blocks; where there are too many for all of them,
// the first are shown.
func (r *rest) share(of int) int { return min(max(r.room/of, leastShare), r.room) }

// block adds as many lines as its share takes, and tells whether those were all. more is
// how many lines there are besides.
func (r *rest) block(head, language string, lines []string, more, share int) bool {
	if text := head + fence(language, lines) + "\n"; more == 0 && len(text) <= share && r.add(text) {
		return true
	}
	room := min(share, r.room) - len(head) - leastBlock/2 // for the fence and the words at its end
	if room < leastBlock/2 {
		return false
	}
	n := 0
	for n < len(lines) && room >= 0 {
		if room -= len(lines[n]) + 2; room >= 0 {
			n++
		}
	}
	if n == 0 {
		return false
	}
	end := "… " + report.Plural(len(lines)-n+more, "more line")
	if language == "diff" {
		end = "# " + end
	}
	r.add(head + fence(language, append(lines[:n:n], end)) + "\n")
	return false
}

// headline names what a block is of.
func (r row) headline(what string) string {
	parts := []string{"**" + what + "** of " + code(r.Key.String())}
	if r.Plan != nil {
		parts = append(parts, code(r.countsText()))
		if d := r.Plan.ShortDigest(); d != "" {
			parts = append(parts, "plan "+code(d))
		}
	}
	if r.Job != "" {
		parts = append(parts, "job "+code(r.Job))
	}
	return strings.Join(parts, " · ") + "\n\n"
}

// end says what is missing here too.
func (r *rest) end(p arranged) string {
	if len(r.missing) == 0 {
		return r.b.String()
	}
	text := "Not all of this fits here either; cut or missing: " + strings.Join(r.missing, ", ") + "."
	if see := p.see(); see != "" {
		text += " " + see + "."
	}
	r.b.WriteString("*" + text + "*\n")
	return r.b.String()
}
