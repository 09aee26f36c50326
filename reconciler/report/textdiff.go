package report

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A text diff is made of texts of several lines (user data, policies, manifests), and
// only of sizes where its square cost does not matter.
const (
	maxDiffLines = 400
	contextLines = 2
	maxDiffWidth = 160
)

// textDiff compares two JSON strings line by line. It is nil when they are no texts of
// several lines, or too long to compare.
func textDiff(before, after json.RawMessage) []DiffLine {
	var a, b string
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil || a == b {
		return nil
	}
	if !strings.Contains(a, "\n") && !strings.Contains(b, "\n") {
		return nil
	}
	la, lb := splitLines(a), splitLines(b)
	if len(la) > maxDiffLines || len(lb) > maxDiffLines {
		return nil
	}
	return foldContext(diffLines(la, lb))
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	if !strings.HasSuffix(s, "\n") {
		lines[len(lines)-1] += noNewline
	}
	return lines
}

// noNewline marks a last line without its end, so that texts which differ only in it
// have a difference to show.
const noNewline = " (no line end)"

// diffLines is the shortest difference of two lists of lines, by their longest common
// subsequence.
func diffLines(a, b []string) []DiffLine {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
				continue
			}
			common[i][j] = max(common[i+1][j], common[i][j+1])
		}
	}
	var out []DiffLine
	add := func(sign, text string) {
		out = append(out, DiffLine{Sign: sign, Text: Shorten(Clean(text), maxDiffWidth)})
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			add(" ", a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			add("-", a[i])
			i++
		default:
			add("+", b[j])
			j++
		}
	}
	return out
}

// foldContext leaves out equal lines that are far from any change.
func foldContext(lines []DiffLine) []DiffLine {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l.Sign == " " {
			continue
		}
		for k := max(0, i-contextLines); k <= min(len(lines)-1, i+contextLines); k++ {
			near[k] = true
		}
	}
	var out []DiffLine
	for i := 0; i < len(lines); {
		if near[i] {
			out = append(out, lines[i])
			i++
			continue
		}
		from := i
		for i < len(lines) && !near[i] {
			i++
		}
		out = append(out, DiffLine{Sign: "…", Text: fmt.Sprintf("%s unchanged", Plural(i-from, "line"))})
	}
	return out
}
