package comment_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// long is a pull request whose raw plans are too long for a comment by far.
func long(kilobytes ...int) comment.Pull {
	p := waiting()
	for i, n := range kilobytes {
		p.Rows[i].Plan.Text = strings.Repeat(strings.Repeat(string(rune('a'+i)), 63)+"\n", n*16)
		p.Rows[i].Job = fmt.Sprintf("sj_%02d", i)
	}
	return p
}

// letters counts the bytes of a row's raw plan in a text, by whole lines.
func letters(text string, row int) int {
	return 64 * strings.Count(text, strings.Repeat(string(rune('a'+row)), 63)+"\n")
}

func TestWhatAShortCommentLeavesOutIsInTheRest(t *testing.T) {
	t.Parallel()
	p := long(30, 50, 20)
	p.Long = "https://reeve.example.com/runs/7"
	text := comment.Living(p, github)
	inert(t, text.Body, github)
	if want := "Left out to stay within the length of a comment: 1 raw plan. [What is left out is here](" + p.Long + ")."; !strings.Contains(text.Body, want) {
		t.Errorf("%q is not in it:\n%s", want, shorter(text.Body))
	}
	rest := comment.Rest(p, github, 120_000)
	inert(t, rest, comment.Limits{Bytes: 120_000, Folds: true, Mermaid: true})
	for row, kilobytes := range []int{30, 50, 20} {
		in, out := letters(text.Body, row), letters(rest, row)
		if in+out != kilobytes<<10 || in != 0 && out != 0 {
			t.Errorf("row %d: %d bytes of its plan in the comment and %d in the rest, expected %d in one of them", row, in, out, kilobytes<<10)
		}
	}
	for _, want := range []string{"of commit `1a2b3c4` into `9f8e7d6`", "**Raw plan** of `acme/prod/AwsRdsInstance/orders` · `+1 ~3 -1 ±2 (1 in state only)` · plan `1a2b3c4d5e6f` · job `sj_01`"} {
		if !strings.Contains(rest, want) {
			t.Errorf("%q is not in\n%s", want, shorter(rest))
		}
	}
	if strings.Contains(rest, "Differences") || strings.Contains(rest, "fits here") {
		t.Errorf("it has what the comment has, or misses something:\n%s", shorter(rest))
	}
	if rest := comment.Rest(waiting(), github, 120_000); rest != "" {
		t.Errorf("nothing is left out, but\n%s", rest)
	}
}

func TestWhatTheRestHasNoRoomForIsSaid(t *testing.T) {
	t.Parallel()
	p := long(300, 500, 200)
	p.Page = ""
	rest := comment.Rest(p, github, 120_000)
	inert(t, rest, comment.Limits{Bytes: 120_000, Folds: true, Mermaid: true})
	for row := range 3 {
		if n := letters(rest, row); n < 30_000 {
			t.Errorf("row %d has %d bytes, expected a fair share", row, n)
		}
	}
	for _, want := range []string{"more lines\n```", "cut or missing: 3 raw plans.", "`reeve plan --pr 7` shows every difference and `reeve logs JOB` prints a raw plan"} {
		if !strings.Contains(rest, want) {
			t.Errorf("%q is not in\n%s", want, shorter(rest))
		}
	}
	many := many(1000)
	rest = comment.Rest(many, github, 120_000)
	inert(t, rest, comment.Limits{Bytes: 120_000, Folds: true, Mermaid: true})
	for _, want := range []string{"aws_db_instance.lost[990]", "| `acme/prod/TerraformStack/service-0999` |", "cut or missing: "} {
		if !strings.Contains(rest, want) {
			t.Errorf("%q is not in\n%s", want, shorter(rest))
		}
	}
}

func TestWithoutAPlaceForLongTextTheCommentSaysHowToSeeIt(t *testing.T) {
	t.Parallel()
	p := long(30, 50, 20)
	p.Page = ""
	for i := range p.Rows {
		p.Rows[i].Link = ""
	}
	body := comment.Living(p, github).Body
	inert(t, body, github)
	for _, want := range []string{
		"1 raw plan. In a terminal, `reeve plan --pr 7` shows every difference and `reeve logs JOB` prints a raw plan.",
		"The raw plan is left out here; in a terminal, `reeve logs sj_01` prints the raw plan.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, shorter(body))
		}
	}
	p.State, p.Merged = comment.Applied, true
	if body, want := comment.Living(p, github).Body, "In a terminal, `reeve get jobs` lists the jobs"; !strings.Contains(body, want) {
		t.Errorf("%q is not in\n%s", want, shorter(body))
	}
}

func TestNothingFromOutsideLeavesItsPlaceInTheRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p, l := nastyPull().Draw(rt, "pull"), nastyLimits().Draw(rt, "limits")
		for i := range p.Rows { // the longer, the more is left out
			if p.Rows[i].Plan != nil {
				p.Rows[i].Plan.Text = strings.Repeat(p.Rows[i].Plan.Text, rapid.IntRange(1, 200).Draw(rt, "times"))
			}
		}
		room := comment.Limits{Bytes: rapid.IntRange(2_000, 120_000).Draw(rt, "room"), Folds: l.Folds, Mermaid: l.Mermaid}
		rest := comment.Rest(p, l, room.Bytes)
		inert(held{t, rt}, rest, room)
		p.Long = "https://reeve.example.com/runs/7"
		if text := comment.Living(p, l); len(text.Left) > 0 && rest == "" {
			rt.Errorf("%q is left out and stands nowhere", text.Left)
		}
	})
}

func TestSensitiveValuesAreNotInTheRest(t *testing.T) {
	t.Parallel()
	p := long(90, 90, 90)
	p.Rows[1].Plan.Resources[8].Action = stackjob.Replace
	p.Rows[1].Plan.Resources[8].Attributes[1].Forces = true
	small := comment.Limits{Bytes: 3_000, Folds: true}
	rest := comment.Rest(p, small, 1_000_000)
	if strings.Contains(rest, canary) || !strings.Contains(rest, "! value: (sensitive)") {
		t.Errorf("a sensitive value is shown, or not told:\n%s", shorter(rest))
	}
}
