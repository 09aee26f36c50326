package comment_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// answer is the sentence as it stands in an answer.
func answer(sentence string) string {
	body := comment.Answer(comment.Reply{Command: "reeve help", Sentences: []string{sentence}}, github).Body
	_, after, _ := strings.Cut(body, "`reeve help`\n")
	return strings.TrimSpace(after)
}

func TestWordsThatMeanSomethingToAForgeStandInCode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a plain sentence, with commas; it isn't \"long\" (50% of 12.5s, 1/2).": "a plain sentence, with commas; it isn't \"long\" (50% of 12.5s, 1/2).",
		"it reads the well-known resource(s) → two of them…":                    "it reads the well-known resource(s) → two of them…",
		"ask @ann or @acme/platform":                                            "ask `@ann` or `@acme/platform`",
		"fixes #1, closes acme/infra#2 and (GH-3)":                              "fixes `#1`, closes `acme/infra#2` and (`GH-3`)",
		"!1 ~label $2 %3 &4 :tada: JIRA-12":                                     "`!1` `~label` `$2` `%3` `&4` `:tada`: `JIRA-12`",
		"1a2b3c4d's":                                                            "`1a2b3c4d's`",
		"since 1a2b3c4 and 1234567":                                             "since `1a2b3c4` and `1234567`",
		"see https://example.com/a_b, www.example.com or a@b.example.com":       "see `https://example.com/a_b`, `www.example.com` or `a@b.example.com`",
		"/approve":                           "`/approve`",
		"1. one":                             "`1.` one",
		"- one":                              "`-` one",
		"# head":                             "`#` head",
		"*bold* _it_ ~~gone~~ [x](y) <b>":    "`*bold*` `_it_` `~~gone~~` `[x](y)` `<b>`",
		"it called read(3) and read_all(3):": "it called read(3) and `read_all(3)`:",
		"a|b":                                "`a\\x7cb`",
		"a `code` span":                      "a `code` span",
		"with `reeve plan`, or (`reeve help --all`).": "with `reeve plan`, or (`reeve help --all`).",
		"x=`y z` and `open":                           "`x='y z'` and 'open",
		"``` x":                                       "`'''` x",
		"two\nlines\x1b[31m\u202e":                    "`two\\nlines\\x1b[31m\\u202e`",
	} {
		if got := answer(in); got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestOnlyPagesAreLinked(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://reeve.example.com/a?b=1&c=2#d": "[Details](https://reeve.example.com/a?b=1&amp;c=2#d)",
		"https://reeve.example.com/a)(b <c>":    "[Details](https://reeve.example.com/a%29%28b%20%3Cc%3E)",
		"https://reeve.example.com/|`\"":        "[Details](https://reeve.example.com/%7C%60%22)",
		"javascript:alert(1)":                   "",
		"//reeve.example.com":                   "",
		"https://ann:secret@reeve.example.com":  "",
		"https://reeve.example.com/\n":          "",
		"https://reeve.example.com/%zz":         "",
		"":                                      "",
	} {
		body := comment.Living(comment.Pull{State: comment.Planning, Page: address}, github).Body
		_, got, _ := strings.Cut(body, "<sub>")
		got, _, _ = strings.Cut(got, "</sub>")
		if got != want {
			t.Errorf("%q: got %s, want %s", address, got, want)
		}
	}
}

// TestWhatWasAppliedInPartIsTold holds where no apply came to its end: that nothing was
// applied is said where it is so and known.
func TestWhatWasAppliedInPartIsTold(t *testing.T) {
	t.Parallel()
	plan := stackjob.Plan{HasChanges: true, Counts: stackjob.Counts{Create: 3}}
	row := func(name string, s comment.RowState, done int) comment.Row {
		return comment.Row{Key: key("dev", "PulumiStack", name), State: s, Plan: &plan, Done: stackjob.Counts{Create: done}}
	}
	failed, part, stopped, cut := row("a", comment.RowFailed, 0), row("b", comment.RowFailed, 1), row("a", comment.RowStopped, 0), row("b", comment.RowStopped, 2)
	lost := failed
	lost.Doubtful = true
	for title, rows := range map[string][]comment.Row{
		"❌ 2 of 2 failed, nothing was applied":                  {failed, row("c", comment.RowFailed, 0)},
		"❌ 2 of 2 failed, 1 of them after a part was applied":   {failed, part},
		"❌ 2 of 2 failed":                                       {lost, row("c", comment.RowFailed, 0)},
		"❌ 2 of 3 failed, 1 applied":                            {failed, part, row("c", comment.RowApplied, 0)},
		"⏹️ 2 of 2 stopped, 1 of them after a part was applied": {stopped, cut},
		"⏹️ 2 of 2 stopped, nothing was applied":                {stopped, row("c", comment.RowStopped, 0)},
	} {
		body := comment.Outcome(comment.Pull{State: comment.Failed, Merged: true, Rows: rows}, github).Body
		if !strings.Contains(body, "\n### "+title+"\n") {
			t.Errorf("it is not called %q:\n%s", title, body)
		}
		for _, r := range rows {
			told := strings.Contains(body, "`acme/dev/PulumiStack/"+r.Key.Name+"`: `+"+strconv.Itoa(r.Done.Create)+" ~0 -0 ±0` of it had been applied by then\n")
			if told != r.Done.Changes() {
				t.Errorf("%s: told is %t in\n%s", r.Key, told, body)
			}
		}
	}
	body := comment.Outcome(comment.Pull{State: comment.Failed, Merged: true, Rows: []comment.Row{part, cut, row("c", comment.RowApplied, 0)}}, github).Body
	if !strings.Contains(body, "\napplied `+6 ~0 -0 ±0`") {
		t.Errorf("it does not say that 6 were made, 3 of them by applies that did not come to their end:\n%s", body)
	}
}

func TestRowsAreSortedByWhatMustBeLookedAt(t *testing.T) {
	t.Parallel()
	row := func(name string, s comment.RowState, p *stackjob.Plan) comment.Row {
		return comment.Row{Key: key("prod", "TerraformStack", name), State: s, Plan: p}
	}
	rows := []comment.Row{
		row("unchanged", comment.RowUnchanged, nothingPlan()), row("queued", comment.RowQueued, nil), row("b-changed", comment.RowPlanned, networkPlan()), row("a-changed", comment.RowApproved, networkPlan()),
		row("loses", comment.RowWaiting, databasePlan()), row("forbidden", comment.RowForbidden, networkPlan()), row("failed", comment.RowFailed, nil),
	}
	want := []string{"failed", "forbidden", "loses", "a-changed", "b-changed", "queued", "unchanged"}
	for range 2 {
		var got []string
		for line := range strings.Lines(comment.Living(comment.Pull{State: comment.Failed, Rows: rows}, github).Body) {
			if _, name, ok := strings.Cut(line, "`acme/prod/TerraformStack/"); ok && strings.HasPrefix(line, "| ") {
				name, _, _ = strings.Cut(name, "`")
				got = append(got, name)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		slices.Reverse(rows)
	}
}

func TestAGraphIsDrawnWhenItHelps(t *testing.T) {
	t.Parallel()
	chain := func(n int) comment.Pull {
		p := comment.Pull{State: comment.Waiting}
		for i := range n {
			r := comment.Row{Key: key("prod", "TerraformStack", fmt.Sprint("s", i)), State: comment.RowWaiting, Plan: networkPlan()}
			if i > 0 {
				r.After = []schema.ResourceKey{p.Rows[i-1].Key, p.Rows[i-1].Key, key("prod", "AwsVpc", "elsewhere")}
			}
			p.Rows = append(p.Rows, r)
		}
		return p
	}
	planning := chain(2)
	planning.State = comment.Planning
	unchanged := chain(2)
	unchanged.Rows[0].State = comment.RowUnchanged
	for name, test := range map[string]struct {
		pull   comment.Pull
		limits comment.Limits
		arrows int
	}{
		"one resource":                   {chain(1), github, 0},
		"an order":                       {chain(2), github, 1},
		"as many as can be read":         {chain(25), github, 24},
		"too many":                       {chain(26), github, 0},
		"nothing is known yet":           {planning, github, 0},
		"what it needs does not change":  {unchanged, github, 0},
		"a forge that does not draw one": {chain(2), plain, 0},
	} {
		body := comment.Living(test.pull, test.limits).Body
		if got := strings.Count(body, " --> "); got != test.arrows || strings.Contains(body, "mermaid") != (test.arrows > 0) {
			t.Errorf("%s: %d arrows, want %d", name, got, test.arrows)
		}
	}
}

func TestTimesAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Millisecond: "0.1s", 1240 * time.Millisecond: "1.2s", 2 * time.Second: "2s", 12400 * time.Millisecond: "12s", 185 * time.Second: "3m05s", 3720 * time.Second: "1h02m",
	} {
		if body := comment.Living(comment.Pull{PlannedIn: d}, github).Body; !strings.Contains(body, "planned in "+want+"<") {
			t.Errorf("%s: want %s in\n%s", d, want, body)
		}
	}
}
