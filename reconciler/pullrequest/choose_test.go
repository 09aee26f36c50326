package pullrequest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestWhichRowsACommandMeans(t *testing.T) {
	t.Parallel()
	two := of(made("dev/a"), made("dev/b", yesOf("grace")), made("prod/c"), made("prod/d", in(stackjob.Failed)))
	one := of(made("dev/a"), made("dev/b"), made("prod/c", unchanged))
	several := "several environments wait; name one, as in `reeve %s dev`, or write `--all`"
	for _, c := range []struct {
		in   picture
		line string
		want string // names of rows, or why none
		why  string
	}{
		{of(), "reeve approve", "", "no resource is affected by this pull request"},
		{of(), "reeve approve dev", "", "no resource is affected by this pull request"},
		{one, "reeve approve", "a b c", ""},
		{one, "reeve approve dev", "a b", ""},
		{one, "reeve approve --all", "a b c", ""},
		{two, "reeve approve", "", fmt.Sprintf(several, "approve")},
		{two, "reeve reject", "", fmt.Sprintf(several, "reject")},
		{two, "reeve apply", "", fmt.Sprintf(several, "apply")},
		{two, "reeve approve --all", "a b c d", ""},
		{two, "reeve approve prod", "c d", ""},
		{two, "reeve approve prod/TerraformStack/c", "c", ""},
		{two, "reeve approve prod/TerraformStack/*", "c d", ""},
		{two, "reeve approve prod/TerraformStack/c dev/TerraformStack/a", "a c", ""},
		{two, "reeve approve prod prod/TerraformStack/c", "c d", ""},
		// What can do no harm needs no word about which.
		{two, "reeve rerun", "a b c d", ""},
		{two, "reeve cancel", "a b c d", ""},
		// A name that fits nothing is a mistake, also beside one that fits.
		{two, "reeve approve stage", "", "no resource of this pull request matches `stage`"},
		{two, "reeve approve dev stage", "", "no resource of this pull request matches `stage`"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			cmds := command.Parse(c.line)
			if len(cmds) != 1 || cmds[0].Problem != "" {
				t.Fatalf("%q is no command: %+v", c.line, cmds)
			}
			chosen, why := choose(c.in, cmds[0])
			var names []string
			for _, i := range chosen {
				names = append(names, c.in.rows[i].row.Key.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("it means %q, expected %q", got, c.want)
			}
			if c.why == "" && why != "" || !strings.HasPrefix(why, c.why) {
				t.Errorf("it says %q, expected %q", why, c.why)
			}
		})
	}
}

func TestWhatIsNotFoundIsAnsweredWithWhatIsThere(t *testing.T) {
	t.Parallel()
	var rows []subject
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		rows = append(rows, made(name))
	}
	_, why := choose(of(rows...), command.Parse("reeve approve stage")[0])
	if !strings.Contains(why, "it has `acme/dev/TerraformStack/a`, ") || !strings.HasSuffix(why, " and 2 more") {
		t.Errorf("it says %q", why)
	}
}

func TestTheReactionOnACommentIsThatOfItsWorstCommand(t *testing.T) {
	t.Parallel()
	ended := func(a pull.Answer) pull.Command {
		return pull.Command{Comment: "1", State: pull.Ended, Answer: a}
	}
	received, started := pull.Command{Comment: "1", State: pull.Received}, pull.Command{Comment: "1", State: pull.Started}
	for name, c := range map[string]struct {
		commands []pull.Command
		want     forge.Reaction
	}{
		"one was read":               {[]pull.Command{received}, forge.Eyes},
		"one has begun":              {[]pull.Command{started, received}, forge.Rocket},
		"one of two has ended":       {[]pull.Command{ended(pull.Yes), received}, forge.Rocket},
		"one failed, one is to come": {[]pull.Command{ended(pull.No), received}, forge.Rocket},
		"all went well":              {[]pull.Command{ended(pull.Yes), ended(pull.Yes)}, forge.ThumbsUp},
		"one was refused":            {[]pull.Command{ended(pull.Yes), ended(pull.No)}, forge.ThumbsDown},
		"one was not understood":     {[]pull.Command{ended(pull.Confused), ended(pull.No), ended(pull.Yes)}, forge.Confused},
		"not understood comes last":  {[]pull.Command{ended(pull.No), ended(pull.Confused)}, forge.Confused},
		"another comment's counts not": {[]pull.Command{ended(pull.Yes), {Comment: "2", State: pull.Ended, Answer: pull.Confused},
			{Comment: "3", State: pull.Received}}, forge.ThumbsUp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := reactionOf(c.commands, "1"); got != c.want {
				t.Errorf("it is %s, expected %s", got, c.want)
			}
		})
	}
}

func TestAForgeIsAskedAgainWhenItSays(t *testing.T) {
	t.Parallel()
	limited := &forge.CallError{RetryAfter: time.Minute}
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"nothing failed":            {nil, 0},
		"something else failed":     {errors.New("no network"), 0},
		"the forge is limited":      {limited, time.Minute},
		"and somebody said of what": {fmt.Errorf("list: %w", limited), time.Minute},
		"the forge did not say":     {&forge.CallError{}, 0},
	} {
		if got := retryAfter(c.err); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

func TestExplainSaysWhyEachRowIsThereAndWhatIsInForce(t *testing.T) {
	t.Parallel()
	s := made("a", func(s *subject) {
		s.row.Because = []stackjob.Because{{Cause: stackjob.CauseNew}}
		s.choice.File, s.choice.Line, s.choice.Visited = "acme/policies/ask.yaml", 4, []string{"acme/ask won"}
	})
	state, detail := s.state()
	text := explain(of(made("b"), s), []int{1}, map[schema.ResourceKey][]report.PullOf{s.row.Key: {{Name: "infra#8", Role: report.PullHolds}}})
	want := fmt.Sprintf("acme/dev/TerraformStack/a is %s: %s\n  because %s\n  It is held for pull request infra#8 until that is merged or closed.\n  policy acme/ask (acme/policies/ask.yaml:4)\n    acme/ask won\n", state, detail, stackjob.CauseNew.Sentence())
	if d := cmp.Diff(want, text[:min(len(text), len(want))]); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if strings.Contains(text, "TerraformStack/b") {
		t.Errorf("it tells of a row that was not chosen:\n%s", text)
	}
}
