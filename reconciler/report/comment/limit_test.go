package comment_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// many is a pull request of so many resources in four environments; every tenth one
// loses a resource, every fifth does not change.
func many(n int) comment.Pull {
	p := waiting()
	p.Rows = nil
	for i := range n {
		k := schema.ResourceKey{Org: "acme", Env: []string{"dev", "test", "stage", "prod"}[i%4], Kind: "TerraformStack", Name: fmt.Sprintf("service-%04d", i)}
		plan := &stackjob.Plan{
			Digest: fmt.Sprintf("sha256:%012x", i+1), HasChanges: true, Engine: "terraform 1.11.4", Counts: stackjob.Counts{Create: 1, Update: 1},
			Resources: []stackjob.ResourceChange{
				{Address: fmt.Sprintf("aws_instance.a[%d]", i), Type: "aws_instance", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{{Path: "ami", After: raw(`"ami-1"`)}}},
				{Address: "aws_lb.b", Type: "aws_lb", Action: stackjob.Update, Attributes: []stackjob.AttributeChange{{Path: "tags.Commit", Before: raw(`"a"`), After: raw(`"b"`)}}},
			},
			Text: strings.Repeat("  # aws_instance.a will be created\n", 20),
		}
		r := comment.Row{Key: k, State: comment.RowWaiting, Action: stackjob.Apply, Plan: plan, Policy: "prod", Needs: 1, Because: []string{"its spec changed"}, Took: time.Second, Link: job("sj_" + strconv.Itoa(i))}
		switch {
		case i%10 == 0:
			plan.Resources = append(plan.Resources, stackjob.ResourceChange{Address: fmt.Sprintf("aws_db_instance.lost[%d]", i), Type: "aws_db_instance", Action: stackjob.Delete, Why: "delete_because_no_module"})
			plan.Counts.Delete = 1
		case i%5 == 0:
			r.Plan, r.State, r.Needs = nothingPlan(), comment.RowUnchanged, 0
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

func TestALongCommentShrinks(t *testing.T) {
	t.Parallel()
	p := waiting()
	for i, kilobytes := range []int{160, 90, 50} {
		p.Rows[i].Plan.Text = strings.Repeat(strings.Repeat("x", 63)+"\n", kilobytes*16)
	}
	if text := comment.Living(p, gitlab); len(text.Body) < 300_000 || len(text.Left) > 0 {
		t.Fatalf("a forge with room: %d bytes, left out %q", len(text.Body), text.Left)
	}
	text := comment.Living(p, github)
	inert(t, text.Body, github)
	if want := []string{"2 raw plans"}; fmt.Sprint(text.Left) != fmt.Sprint(want) {
		t.Errorf("left out %q, want %q", text.Left, want)
	}
	for _, want := range []string{
		"Left out to stay within the length of a comment: 2 raw plans. [All of it is here](" + page + ").",
		"The raw plan is left out here; [see the job](" + job("sj_01") + ").",
		"<summary>Raw plan</summary>", "+ ami: \"ami-2\"  # forces replacement",
	} {
		if !strings.Contains(text.Body, want) {
			t.Errorf("%q is not in it:\n%s", want, shorter(text.Body))
		}
	}
}

// What a body may still say, in the order in which it is left out.
func TestThingsAreLeftOutInAFixedOrder(t *testing.T) {
	t.Parallel()
	p := many(60)
	p.Rows[1].Plan.Resources[0].Attributes = nil
	for i := range 300 {
		p.Rows[1].Plan.Resources[0].Attributes = append(p.Rows[1].Plan.Resources[0].Attributes, stackjob.AttributeChange{Path: "tags.T" + strconv.Itoa(i), After: raw(`"x"`)})
	}
	stages := []struct {
		name string
		has  func(string) bool
	}{
		{"raw plans", func(b string) bool { return strings.Contains(b, "Raw plan") }},
		{"attribute differences", func(b string) bool { return strings.Contains(b, "```diff") }},
		{"unchanged rows", func(b string) bool { return strings.Contains(b, "`acme/test/TerraformStack/service-0005`") }},
		{"folds", func(b string) bool { return strings.Contains(b, "</details>") }},
		{"reasons", func(b string) bool { return strings.Contains(b, "its module is no longer called") }},
	}
	reached := 0
	for limit := 120_000; limit >= 1_000; limit = limit * 94 / 100 {
		l := comment.Limits{Bytes: limit, Folds: true, Mermaid: true}
		text := comment.Living(p, l)
		if len(text.Body) > limit {
			t.Fatalf("limit %d: %d bytes", limit, len(text.Body))
		}
		for len(stages) > reached && !stages[reached].has(text.Body) {
			reached++
		}
		for i, s := range stages {
			if has := s.has(text.Body); has && i < reached {
				t.Fatalf("limit %d: %s are there, and %s are not", limit, s.name, stages[reached-1].name)
			}
		}
		if reached > 0 && len(text.Left) == 0 {
			t.Errorf("limit %d: it is not said what was left out", limit)
		}
		if !strings.Contains(text.Body, "This destroys 6 resources; all of them may hold data") {
			t.Errorf("limit %d: the danger block is not whole:\n%s", limit, shorter(text.Body))
		}
		if !strings.Contains(text.Body, "| --- |") {
			t.Errorf("limit %d: no table:\n%s", limit, shorter(text.Body))
		}
		if limit > 5_000 {
			for i := 0; i < 60; i += 10 {
				if want := fmt.Sprintf("`aws_db_instance.lost[%d]`", i); !strings.Contains(text.Body, want) {
					t.Errorf("limit %d: %s is not said", limit, want)
				}
			}
		}
		inert(t, text.Body, l)
	}
	if reached != len(stages) {
		t.Errorf("only %d of %d stages were reached", reached, len(stages))
	}
}

func TestTwoThousandRowsFit(t *testing.T) {
	t.Parallel()
	l := comment.Limits{Bytes: 60_000, Folds: true, Mermaid: true}
	text := comment.Living(many(2000), l)
	inert(t, text.Body, l)
	for _, want := range []string{
		"This destroys 200 resources; all of them may hold data", "- and 185 more, below", "185 more that would be lost", "aws_db_instance.lost[1990]", "`acme/prod`, ", "resources |", "rows of the table, which are put together",
		"200 resources do not change",
	} {
		if !strings.Contains(text.Body, want) {
			t.Errorf("%q is not in it:\n%s", want, shorter(text.Body))
		}
	}
	golden(t, "living-2000-rows", text.Body)
}

// The table and the list of what is lost lose their lines before they lose their numbers.
func TestFiveThousandRowsFitWhereverTheyAre(t *testing.T) {
	t.Parallel()
	l := comment.Limits{Bytes: 65_000, Folds: true, Mermaid: true}
	for name, place := range map[string]func(i int, k *schema.ResourceKey){
		"in four environments":           func(int, *schema.ResourceKey) {},
		"in an environment each":         func(i int, k *schema.ResourceKey) { k.Env = fmt.Sprintf("environment-%04d", i) },
		"in organizations of long names": func(i int, k *schema.ResourceKey) { k.Org = fmt.Sprintf("%060d", i) },
	} {
		p := many(5000)
		for i := range p.Rows {
			place(i, &p.Rows[i].Key)
		}
		text := comment.Living(p, l)
		inert(t, text.Body, l)
		table, _, _ := strings.Cut(text.Body[strings.Index(text.Body, "| --- |"):], "\n\n")
		rows := 0
		for line := range strings.Lines(table) {
			if m := resources.FindStringSubmatch(line); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				rows += n
			} else if strings.Contains(line, "`") {
				rows++
			}
		}
		if rows != 4500 { // the others do not change
			t.Errorf("%s: the table is about %d resources:\n%s", name, rows, shorter(table))
		}
		for _, want := range []string{"This destroys 500 resources; all of them may hold data", "500 resources do not change", "`+4500 ~4500 -500 ±0`", "4500 of 5000 plans wait for approval", "rows of the table, which are put together"} {
			if !strings.Contains(text.Body, want) {
				t.Errorf("%s: %q is not said:\n%s", name, want, shorter(text.Body))
			}
		}
	}
}

// resources is a line of the table that is about several.
var resources = regexp.MustCompile(`(\d+) resources? \|`)

func TestThreeThousandLossesInOneRowAreCounted(t *testing.T) {
	t.Parallel()
	p := waiting()
	p.Rows = p.Rows[1:2]
	for i := range 3000 {
		p.Rows[0].Plan.Resources = append(p.Rows[0].Plan.Resources, stackjob.ResourceChange{Address: fmt.Sprintf("aws_s3_bucket.lost[%d]", i), Type: "aws_s3_bucket", Action: stackjob.Delete})
	}
	text := comment.Living(p, github)
	inert(t, text.Body, github)
	for _, want := range []string{
		"This destroys 3001 resources and replaces 2; 3001 of them may hold data", "addresses of what is lost, which are counted", "prod-databases",
	} {
		if !strings.Contains(text.Body, want) {
			t.Errorf("%q is not in it:\n%s", want, shorter(text.Body))
		}
	}
}

// hostile are texts that do something on one of the forges where they are not held.
var hostile = []string{
	"", " ", "\n", "x", "@ann", "@acme/platform", "fixes #1", "closes acme/infra#1", "!1", "~label", "$1", "%7", "&3", "^alert#1", "[vulnerability:1]", "GH-1", "JIRA-12",
	"1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d", ":tada:", ":+1:", "https://evil.example.com/x", "www.evil.example.com", "mailto:a@b.example.com", "a@b.example.com",
	"/approve", "/merge", "\n/approve\n", "  /close", "```\n/approve\n```", "````", "`", "``` `` `", "~~~", "<!-- x -->", "-->", "<script>alert(1)</script>", "</details>",
	"<details><summary>x", "</summary>", "<img src=x onerror=y>", "</code>", "&lt;b&gt;", "&#64;ann", "a|b", `a\|b`, `\`, "\\`", "# head", "\n# head\n", "- item", "* item", "1. item", "12)", "> quote",
	"***", "---", "===", "\n---\n", "| a | b |\n| --- | --- |\n| c | d |", "[x](https://evil.example.com)", "![x](https://evil.example.com/x.png)", "[x]: https://evil.example.com", "[ ] task", "- [ ] task",
	"**bold**", "_it_", "~~gone~~", "\x1b[31mred\x1b[0m", "\x1b]8;;http://evil\x07x", "\u202egnp.exe", "\u200bzero\u200dwidth\ufeff", "\u2066iso\u2069", "a\u3164b", "\u115f\u1160", "x\ufe01y\ufe0f", "\u2800\ufe0f", "❤\ufe0f", "\U000e0041\U000e0100", "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301", "\x00\x9b2J", "\xff\xfe",
	"{{ .Secret }}", "${x}", "$`a`$", "{+ add +}", "[- del -]", "[[_TOC_]]", "[TOC]", "[!CAUTION]", "end", `n0["x"]`, "\"];\n click n0 href \"https://evil.example.com\"", "%%{init: {}}%%",
	"@@ -1 +1 @@", "atlantis apply", "reeve approve --all", "漢字", "שלום", "ann's", "well-known", "word.", "50%", "(see #4)", "“@ann”", "\u00a0nbsp", "１２", "／approve",
	strings.Repeat("`", 300), strings.Repeat("@ann ", 200), strings.Repeat("漢", 400), strings.Repeat("e"+strings.Repeat("\u0301", 4), 400), strings.Repeat("a\n", 300), strings.Repeat("<", 500),
}

// nasty draws a hostile text.
func nasty() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(hostile),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom(hostile).Draw(t, "a") + rapid.SampledFrom([]string{"", " ", "\n", "/", "`"}).Draw(t, "glue") + rapid.SampledFrom(hostile).Draw(t, "b")
		}),
		rapid.String(),
	)
}

func nastyLists() *rapid.Generator[[]string] { return rapid.SliceOfN(nasty(), 0, 4) }

// nastyValue is a value of a plan: a JSON string, or what is none.
func nastyValue() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := nasty().Draw(t, "value")
		if rapid.Bool().Draw(t, "quoted") {
			return strconv.Quote(s)
		}
		return s
	})
}

var changeActions = []stackjob.ChangeAction{
	stackjob.NoOp, stackjob.Create, stackjob.Update, stackjob.Delete, stackjob.Replace, stackjob.Read, stackjob.Forget, stackjob.Import,
}

func nastyAttributes() *rapid.Generator[[]stackjob.AttributeChange] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stackjob.AttributeChange {
		a := stackjob.AttributeChange{
			Path: nasty().Draw(t, "path"), Before: raw(nastyValue().Draw(t, "before")), After: raw(nastyValue().Draw(t, "after")),
			Unknown: rapid.Bool().Draw(t, "unknown"), Forces: rapid.Bool().Draw(t, "forces"),
		}
		if rapid.Bool().Draw(t, "sensitive") {
			a.Sensitive, a.Before, a.After = true, raw(`"`+canary+`1"`), raw(`"`+canary+`2\nand\nmore"`)
		}
		return a
	}), 0, 3)
}

func nastyChanges() *rapid.Generator[[]stackjob.ResourceChange] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stackjob.ResourceChange {
		return stackjob.ResourceChange{
			Address: nasty().Draw(t, "address"), Previous: rapid.SampledFrom([]string{"", "old", "@ann"}).Draw(t, "previous"), Type: rapid.SampledFrom([]string{"aws_db", "x", "@ann"}).Draw(t, "type"),
			Action: rapid.SampledFrom(changeActions).Draw(t, "action"), Why: nasty().Draw(t, "why"), Attributes: nastyAttributes().Draw(t, "attributes"),
		}
	}), 0, 4)
}

func nastyPlan() *rapid.Generator[*stackjob.Plan] {
	return rapid.Custom(func(t *rapid.T) *stackjob.Plan {
		if rapid.IntRange(0, 4).Draw(t, "planned") == 0 {
			return nil
		}
		p := &stackjob.Plan{
			Digest: nasty().Draw(t, "digest"), Engine: nasty().Draw(t, "engine"), HasChanges: rapid.Bool().Draw(t, "changes"), Resources: nastyChanges().Draw(t, "resources"),
			Drift: nastyChanges().Draw(t, "drift"), Warnings: nastyLists().Draw(t, "warnings"), Text: strings.Join(nastyLists().Draw(t, "text"), "\n"),
		}
		for _, r := range p.Resources {
			switch r.Action {
			case stackjob.Delete:
				p.Counts.Delete++
			case stackjob.Replace:
				p.Counts.Replace++
			case stackjob.Create:
				p.Counts.Create++
			}
		}
		for _, a := range nastyAttributes().Draw(t, "outputs") {
			p.Outputs = append(p.Outputs, stackjob.OutputChange{Name: a.Path, Action: rapid.SampledFrom(changeActions).Draw(t, "action"), AttributeChange: a})
		}
		return p
	})
}

var (
	rowStates = []comment.RowState{
		comment.RowQueued, comment.RowPlanning, comment.RowPlanned, comment.RowWaiting, comment.RowApproved, comment.RowUnchanged, comment.RowDeferred, comment.RowForbidden, comment.RowFailed,
		comment.RowApplying, comment.RowApplied, comment.RowStopped, "@ann",
	}
	states = []comment.State{
		comment.Planning, comment.Refused, comment.Failed, comment.Waiting, comment.Approved, comment.Nothing, comment.Applying, comment.Applied, comment.Closed, "#1",
	}
)

func nastyKey() *rapid.Generator[schema.ResourceKey] {
	return rapid.Custom(func(t *rapid.T) schema.ResourceKey {
		return schema.ResourceKey{Org: nasty().Draw(t, "org"), Env: nasty().Draw(t, "env"), Kind: nasty().Draw(t, "kind"), Name: nasty().Draw(t, "name")}
	})
}

func nastyPull() *rapid.Generator[comment.Pull] {
	return rapid.Custom(func(t *rapid.T) comment.Pull {
		p := comment.Pull{
			Mark: nasty().Draw(t, "mark"), State: rapid.SampledFrom(states).Draw(t, "state"), Head: nasty().Draw(t, "head"), Base: nasty().Draw(t, "base"), Refused: nasty().Draw(t, "refused"),
			Conflicts: nastyLists().Draw(t, "conflicts"), Report: strings.Join(nastyLists().Draw(t, "report"), "\n"), Errors: rapid.IntRange(0, 2).Draw(t, "errors"),
			Moved: nastyLists().Draw(t, "moved"), Commands: nastyLists().Draw(t, "commands"), Page: rapid.OneOf(rapid.Just(page), nastyAddress()).Draw(t, "page"), Long: nastyAddress().Draw(t, "long"), Number: rapid.IntRange(0, 9).Draw(t, "number"),
			Environments: []comment.Environment{{Org: nasty().Draw(t, "other org"), Name: nasty().Draw(t, "other env"), AppliesBeforeMerge: true}},
			Merged:       rapid.Bool().Draw(t, "merged"), AppliesBeforeMerge: rapid.Bool().Draw(t, "before"), Round: rapid.IntRange(0, 3).Draw(t, "round"),
		}
		if rapid.Bool().Draw(t, "elsewhere") {
			p.Elsewhere = &comment.Elsewhere{Into: nasty().Draw(t, "into"), Followed: nasty().Draw(t, "followed")}
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "blocks") {
			p.Blocks = append(p.Blocks, comment.Block{Cleared: i == 1, What: nasty().Draw(t, "what"), Who: nasty().Draw(t, "who")})
		}
		keys := rapid.SliceOfN(nastyKey(), 0, 6).Draw(t, "keys")
		for _, k := range keys {
			r := comment.Row{
				Key: k, State: rapid.SampledFrom(rowStates).Draw(t, "row state"), Action: rapid.SampledFrom([]stackjob.Action{stackjob.Apply, stackjob.Destroy}).Draw(t, "row action"),
				Engine: nasty().Draw(t, "row engine"), Plan: nastyPlan().Draw(t, "plan"), Approved: nastyPlan().Draw(t, "approved"), Because: nastyLists().Draw(t, "because"), Detail: nasty().Draw(t, "detail"),
				Policy: nasty().Draw(t, "policy"), Has: rapid.IntRange(-1, 2).Draw(t, "has"), Needs: rapid.IntRange(-1, 2).Draw(t, "needs"), ApprovedBy: nastyLists().Draw(t, "by"),
				Queued: rapid.IntRange(0, 3).Draw(t, "queued"), MovedFrom: nasty().Draw(t, "from"), Log: strings.Join(nastyLists().Draw(t, "log"), "\n"), Link: nastyAddress().Draw(t, "link"), Job: nasty().Draw(t, "job"),
				After: keys[:rapid.IntRange(0, len(keys)).Draw(t, "after")], Took: time.Duration(rapid.Int64Range(0, 1<<43).Draw(t, "took")),
			}
			if rapid.Bool().Draw(t, "deferred") {
				r.Deferred = keys[0]
			}
			p.Rows = append(p.Rows, r)
		}
		return p
	})
}

// nastyAddress is an address of ours with anything behind it, or none at all.
func nastyAddress() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := nasty().Draw(t, "address")
		if strings.HasPrefix(s, "http") {
			return ""
		}
		if rapid.Bool().Draw(t, "ours") {
			return "https://reeve.example.com/" + s
		}
		return s
	})
}

func nastyLimits() *rapid.Generator[comment.Limits] {
	return rapid.Custom(func(t *rapid.T) comment.Limits {
		return comment.Limits{
			Bytes: rapid.OneOf(rapid.Just(65_536), rapid.IntRange(1, 3_000), rapid.IntRange(3_000, 20_000)).Draw(t, "bytes"),
			Folds: rapid.Bool().Draw(t, "folds"), Mermaid: rapid.Bool().Draw(t, "mermaid"),
		}
	})
}

func TestNothingFromOutsideLeavesItsPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p, l := nastyPull().Draw(rt, "pull"), nastyLimits().Draw(rt, "limits")
		living := comment.Living(p, l)
		inert(held{t, rt}, living.Body, l)
		tellsDanger(rt, p, living, l)
		if again := comment.Living(p, l); again.Body != living.Body {
			rt.Error("equal values give another text")
		}
		inert(held{t, rt}, comment.NeedsYou(p, l).Body, l)
		inert(held{t, rt}, comment.Outcome(p, l).Body, l)
		status := comment.Status(p)
		lines := []comment.StatusLine{status.Plan, status.Approval}
		for _, line := range status.Apply {
			lines = append(lines, line)
		}
		for _, line := range lines {
			if n := len([]rune(line.Text)); n == 0 || n > 140 || strings.ContainsAny(line.Text, "\n\x1b\u202e") {
				rt.Errorf("a status of %d characters: %q", n, line.Text)
			}
			switch line.State {
			case comment.Pending, comment.Success, comment.Failure, comment.Error:
			default:
				rt.Errorf("a status %q", line.State)
			}
		}
	})
}

func TestNothingFromOutsideLeavesItsPlaceInAnswersAndDifferences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := nastyLimits().Draw(rt, "limits")
		inert(held{t, rt}, comment.Answer(comment.Reply{
			Mark: nasty().Draw(rt, "mark"), Command: nasty().Draw(rt, "command"), By: nasty().Draw(rt, "by"), Answer: rapid.SampledFrom([]pull.Answer{pull.Yes, pull.No, pull.Confused, "@ann"}).Draw(rt, "answer"),
			Sentences: nastyLists().Draw(rt, "sentences"), Detail: strings.Join(nastyLists().Draw(rt, "detail"), "\n"), Commands: nastyLists().Draw(rt, "commands"), Page: nastyAddress().Draw(rt, "page"),
		}, l).Body, l)
		before, after := nastyPlan().Draw(rt, "before"), nastyPlan().Draw(rt, "after")
		if before != nil && after != nil {
			inert(held{t, rt}, comment.Difference(nastyKey().Draw(rt, "key"), *before, *after, l), l)
		}
	})
}

// held is a test whose failures are rapid's.
type held struct {
	testing.TB
	t *rapid.T
}

func (h held) Helper()                        { h.t.Helper() }
func (h held) Errorf(format string, a ...any) { h.t.Errorf(format, a...) }

// lossLine is a resource that would be lost, in the block or in the fold of the others.
var lossLine = regexp.MustCompile(`(?m)^(?:> )?- (?:\*\*)?(?:destroy|replace) `)

// unfenced is a body without its blocks, which tell what moved in the same words.
func unfenced(body string) string {
	var b strings.Builder
	open := ""
	for line := range strings.Lines(body) {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case open == "" && len(ticks) >= 3:
			open = ticks
		case open != "" && strings.TrimSpace(line) == open:
			open = ""
		case open == "":
			b.WriteString(line)
		}
	}
	return b.String()
}

// leastBytes is the shortest limit with which everything that must be said is.
const leastBytes = 1_000

// tellsDanger fails when what would be lost is neither named nor counted.
func tellsDanger(t *rapid.T, p comment.Pull, text comment.Text, l comment.Limits) {
	destroyed, replaced := 0, 0
	for _, r := range p.Rows {
		if r.Plan == nil {
			continue
		}
		destroyed += r.Plan.Counts.Delete
		replaced += r.Plan.Counts.Replace
	}
	if destroyed+replaced == 0 || l.Bytes < leastBytes {
		return
	}
	for n, verb := range map[string]string{strconv.Itoa(destroyed) + " resource": "destroy", strconv.Itoa(replaced): "replace"} {
		if !strings.HasPrefix(n, "0") && !strings.Contains(text.Body, verb+"s "+n) && !strings.Contains(text.Body, verb+"d "+n) && !strings.Contains(text.Body, verb+"ed "+n) {
			t.Errorf("it is not said that it %ss %s:\n%s", verb, n, shorter(text.Body))
		}
	}
	counted := strings.Contains(strings.Join(text.Left, ", "), "addresses of what is lost")
	lines := len(lossLine.FindAllString(unfenced(text.Body), -1))
	if !counted && lines != destroyed+replaced {
		t.Errorf("%d lines of danger for %d losses:\n%s", lines, destroyed+replaced, shorter(text.Body))
	}
}

func BenchmarkLiving50Rows(b *testing.B) {
	p := many(50)
	for b.Loop() {
		if text := comment.Living(p, github); len(text.Body) > github.Bytes {
			b.Fatal(len(text.Body))
		}
	}
}

func BenchmarkLiving2000RowsThatMustShrink(b *testing.B) {
	p := many(2000)
	for b.Loop() {
		if text := comment.Living(p, github); len(text.Body) > github.Bytes {
			b.Fatal(len(text.Body))
		}
	}
}
