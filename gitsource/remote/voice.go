package remote

import (
	"regexp"
	"strings"
	"unicode"
)

const (
	maxVoice = 16 << 10 // bytes kept of what a server says beside the protocol
	maxLine  = 500      // characters of it that are quoted
)

// Voice keeps the beginning of what a server or program says on its standard error. The rest
// is read and dropped: one that talks on must neither fill our memory nor hang.
type Voice struct{ text []byte }

// Write never fails.
func (v *Voice) Write(p []byte) (int, error) {
	v.text = append(v.text, p[:min(len(p), maxVoice-len(v.text))]...)
	return len(p), nil
}

// colour is what terminals read as an instruction.
var colour = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// Line is the first line that says something, as plain text; "" is none. Forges frame their
// reason with empty lines and rules, each after "remote:".
func (v *Voice) Line() string {
	for line := range strings.Lines(colour.ReplaceAllString(string(v.text), "")) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return -1
		}, line)
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "remote:"))
		if !strings.ContainsFunc(line, unicode.IsLetter) {
			continue
		}
		if r := []rune(line); len(r) > maxLine {
			return string(r[:maxLine]) + "…"
		}
		return line
	}
	return ""
}
