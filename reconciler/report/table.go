package report

import (
	"strings"
)

// Table is rows under a header. Cells may hold anything: they are cleaned when they
// are written.
type Table struct {
	Header []string
	Rows   [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// String is the table as plain text: columns aligned by display width and two spaces
// apart, no spaces at the end of a line.
func (t Table) String() string { return t.Text(Style{}) }

// Text is the table in a style.
func (t Table) Text(s Style) string {
	var b strings.Builder
	for _, line := range t.lines() {
		b.WriteString(s.header(line))
		b.WriteByte('\n')
	}
	return b.String()
}

// header paints the header line; the others stay.
func (s Style) header(l tableLine) string {
	if l.header {
		return s.paint(bold, l.text)
	}
	return l.text
}

type tableLine struct {
	text   string
	header bool
}

func (t Table) lines() []tableLine {
	rows := make([][]string, 0, len(t.Rows)+1)
	if len(t.Header) > 0 {
		rows = append(rows, t.Header)
	}
	rows = append(rows, t.Rows...)
	var widths []int
	cleaned := make([][]string, len(rows))
	for i, row := range rows {
		cleaned[i] = make([]string, len(row))
		for j, cell := range row {
			cleaned[i][j] = Clean(cell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], Width(cleaned[i][j]))
		}
	}
	out := make([]tableLine, len(rows))
	for i, row := range cleaned {
		var b strings.Builder
		for j, cell := range row {
			b.WriteString(cell)
			if j < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[j]-Width(cell)+2))
			}
		}
		out[i] = tableLine{text: strings.TrimRight(b.String(), " "), header: i == 0 && len(t.Header) > 0}
	}
	return out
}
