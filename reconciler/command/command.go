// Package command reads the commands that people write in comments: which line is one,
// what it asks for, and of which resources.
//
// A comment is one for the daemon when its first word is "reeve"; what is quoted (">")
// or fenced as code is not looked at, so that a reply to a mail and a comment that
// explains a command do nothing. Every further line of it that begins with "reeve" is
// a command too; other lines are for people.
//
//	reeve approve prod
//	reeve approve prod/TerraformStack/* --plan 1a2b3c4d5e6f
//	reeve override prod/AwsRds/orders --reason "the window is closed and we are down"
//
// The package is pure, and knows nothing of who may say what.
package command

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/agext/levenshtein"
)

// Verb is what a command asks for.
type Verb string

// The verbs.
const (
	Help     Verb = "help"
	Plan     Verb = "plan"
	Approve  Verb = "approve"
	Reject   Verb = "reject"
	Apply    Verb = "apply"
	Unlock   Verb = "unlock"
	Cancel   Verb = "cancel"
	Rerun    Verb = "rerun"
	Explain  Verb = "explain"
	Override Verb = "override"
)

// Verbs lists every verb, in the order in which help tells them.
func Verbs() []Verb {
	return []Verb{Help, Plan, Approve, Reject, Apply, Unlock, Cancel, Rerun, Explain, Override}
}

// Sentence says what a verb does.
func (v Verb) Sentence() string { return sentences[v] }

var sentences = map[Verb]string{
	Help:     "shows this list",
	Plan:     "plans again, also what does not run by itself",
	Approve:  "says yes to the plans that are shown",
	Reject:   "says no to the plans that are shown",
	Apply:    "applies approved plans from the pull request, where the policy allows that before the merge",
	Unlock:   "gives the turn of stacks back that this pull request holds",
	Cancel:   "stops jobs that are queued or running",
	Rerun:    "runs failed jobs again",
	Explain:  "says why a resource changes, which policy is in force and what it waits for",
	Override: "goes past what blocks an apply; needs --reason and the right to do so, and is recorded",
}

// usage is how a verb is written.
func (v Verb) usage() string {
	switch v {
	case Help:
		return "reeve help"
	case Explain:
		return "reeve explain SELECTOR"
	case Override:
		return `reeve override SELECTOR --reason "…"`
	case Approve, Reject:
		return "reeve " + string(v) + " [SELECTOR… | --all] [--plan DIGEST]"
	}
	return "reeve " + string(v) + " [SELECTOR… | --all]"
}

// Command is one command of a comment.
type Command struct {
	// Line is its line in the comment, from 0; Text the line without white space
	// around it.
	Line int
	Text string
	// Verb is "" when Problem is not.
	Verb Verb
	// Selectors choose resources; none, and no All, leaves the choice to the reader
	// of the command.
	Selectors []Selector
	All       bool
	// Reason is --reason; Plan is --plan, a plan's digest or the beginning of one.
	Reason, Plan string
	// Problem says in one line why this is no command, with what was perhaps meant.
	Problem string
}

// maxCommands is how many commands one comment may hold.
const maxCommands = 20

// Parse reads the commands of a comment; none when the comment is not for the daemon.
func Parse(body string) []Command {
	var out []Command
	for i, line := range visibleLines(body) {
		if line == "" {
			continue
		}
		word, rest := firstWord(line)
		if !strings.EqualFold(word, "reeve") {
			if len(out) == 0 {
				return nil // its first word is another
			}
			continue
		}
		if len(out) == maxCommands {
			out = append(out, Command{Line: i, Text: line, Problem: fmt.Sprintf("a comment may hold %d commands; this one and those below were left out", maxCommands)})
			return out
		}
		c := parseLine(rest)
		c.Line, c.Text = i, line
		out = append(out, c)
	}
	return out
}

// visibleLines are the lines of a comment without white space around them; those that
// are quoted, fenced, commented out or indented as code are "".
func visibleLines(body string) []string {
	lines := strings.Split(strings.ReplaceAll(body, "\r\n", "\n"), "\n")
	fence, hidden := "", false
	for i, line := range lines {
		text := strings.TrimSpace(line)
		was := fence
		fence = nextFence(fence, text)
		if !hidden && fence == "" && was == "" {
			text, hidden = withoutHidden(text)
		} else if hidden {
			if _, after, ends := strings.Cut(text, "-->"); ends {
				text, hidden = withoutHidden(strings.TrimSpace(after))
			} else {
				text = ""
			}
		}
		code := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")
		if was != "" || fence != "" || code || strings.HasPrefix(text, ">") {
			text = ""
		}
		lines[i] = text
	}
	return lines
}

// nextFence is the fence that is open after a line; "" for none.
func nextFence(open, text string) string {
	run := len(text) - len(strings.TrimLeft(text, "`"))
	mark := "`"
	if run < 3 {
		run, mark = len(text)-len(strings.TrimLeft(text, "~")), "~"
	}
	switch {
	case run < 3:
		return open
	case open == "":
		if mark == "`" && strings.Contains(text[run:], "`") {
			return "" // code within a line
		}
		return strings.Repeat(mark, run)
	case strings.HasPrefix(open, mark) && run >= len(open) && strings.TrimSpace(text[run:]) == "":
		return ""
	}
	return open
}

// withoutHidden takes HTML comments out of a line; open tells that one goes on.
func withoutHidden(text string) (shown string, open bool) {
	for {
		before, after, begins := strings.Cut(text, "<!--")
		if !begins {
			return text, false
		}
		_, rest, ends := strings.Cut(after, "-->")
		if !ends {
			return strings.TrimSpace(before), true
		}
		text = strings.TrimSpace(before + " " + rest)
	}
}

func firstWord(line string) (word, rest string) {
	i := strings.IndexFunc(line, unicode.IsSpace)
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

func parseLine(rest string) Command {
	words, problem := split(rest)
	if problem != "" {
		return Command{Problem: problem}
	}
	if len(words) == 0 {
		return Command{Verb: Help}
	}
	verb := Verb(strings.ToLower(words[0]))
	if !slices.Contains(Verbs(), verb) {
		return Command{Problem: unknown("command", words[0], verbNames(), "write `reeve help` for all of them")}
	}
	c := Command{Verb: verb}
	if p := c.arguments(words[1:]); p != "" {
		return Command{Problem: p}
	}
	return c
}

// arguments reads what follows the verb, and returns what is wrong with it.
func (c *Command) arguments(words []string) string {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if !strings.HasPrefix(w, "-") {
			s, problem := ParseSelector(w)
			if problem != "" {
				return problem
			}
			c.Selectors = append(c.Selectors, s)
			continue
		}
		name, value, given := strings.Cut(w, "=")
		switch name {
		case "--all":
			if given {
				return "`--all` takes no value"
			}
			c.All = true
			continue
		case "--reason", "--plan":
		default:
			return unknown("flag", name, []string{"--all", "--reason", "--plan"}, "write it as `"+strings.ReplaceAll(c.Verb.usage(), " | ", " or ")+"`")
		}
		if !given {
			if i++; i == len(words) {
				return fmt.Sprintf("`%s` needs a value: `%s`", name, c.Verb.usage())
			}
			value = words[i]
		}
		if name == "--plan" {
			c.Plan = strings.TrimPrefix(value, "sha256:")
		} else {
			c.Reason = strings.TrimSpace(value)
		}
	}
	return c.check()
}

// minPlan is how many characters of a digest name a plan.
const minPlan = 6

func (c *Command) check() string {
	selected := c.All || len(c.Selectors) > 0
	switch {
	case c.All && len(c.Selectors) > 0:
		return "`--all` and a selector contradict each other; write one of them"
	case c.Verb == Override && c.Reason == "":
		return "an override needs a reason: `" + c.Verb.usage() + "`"
	case (c.Verb == Override || c.Verb == Explain) && !selected:
		return "say of which resources: `" + c.Verb.usage() + "`"
	case c.Verb == Help && selected:
		return "`reeve help` takes no selector"
	case c.Plan != "" && c.Verb != Approve && c.Verb != Reject:
		return "`--plan` belongs to approve and reject"
	case c.Plan != "" && (len(c.Plan) < minPlan || strings.Trim(strings.ToLower(c.Plan), "0123456789abcdef") != ""):
		return fmt.Sprintf("`--plan` takes a plan's digest, at least its first %d characters", minPlan)
	}
	return ""
}

func verbNames() []string {
	var out []string
	for _, v := range Verbs() {
		out = append(out, string(v))
	}
	return out
}

// maxQuoted is how much of a stranger's word is said back.
const maxQuoted = 40

func unknown(what, got string, known []string, hint string) string {
	best, at := "", 1+max(1, len(got)/3)
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(got), k, nil); d < at {
			best, at = k, d
		}
	}
	text := "there is no " + what + " `" + quoted(got) + "`"
	if best != "" {
		return text + "; did you mean `" + best + "`?"
	}
	return text + "; " + hint
}

// quoted makes a word safe between back-ticks.
func quoted(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '`' || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxQuoted {
		s = string(r[:maxQuoted]) + "…"
	}
	return s
}

// quotes are what a value may stand between; telephones make curly ones of straight
// ones.
var quotes = map[rune]rune{'"': '"', '\'': '\'', '“': '”', '„': '“', '«': '»'}

// split makes words of a line as a shell does, without its expansions.
func split(line string) (words []string, problem string) {
	var word strings.Builder
	var until rune
	in := false
	for _, r := range strings.ReplaceAll(line, "—", "--") { // telephones again
		switch {
		case until != 0 && (r == until || until == '”' && r == '"' || until == '"' && r == '”'):
			until = 0
		case until != 0:
			word.WriteRune(r)
		case unicode.IsSpace(r):
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		case quotes[r] != 0 && (r != '\'' || !in): // not the apostrophe of a word
			until, in = quotes[r], true
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if until != 0 {
		return nil, "a quotation mark is not closed"
	}
	if in {
		words = append(words, word.String())
	}
	return words, ""
}
