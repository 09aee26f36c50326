package command

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
)

func TestParse(t *testing.T) {
	t.Parallel()
	prod := Selector{Env: "prod"}
	for name, test := range map[string]struct {
		body string
		want []Command
	}{
		"a bare word is a plea for help":  {"reeve", []Command{{Text: "reeve", Verb: Help}}},
		"case does not matter":            {"Reeve Plan", []Command{{Text: "Reeve Plan", Verb: Plan}}},
		"one resource":                    {"reeve approve prod/TerraformStack/web", []Command{{Text: "reeve approve prod/TerraformStack/web", Verb: Approve, Selectors: []Selector{{Env: "prod", Kind: "TerraformStack", Name: "web"}}}}},
		"several selectors":               {"reeve approve dev prod", []Command{{Text: "reeve approve dev prod", Verb: Approve, Selectors: []Selector{{Env: "dev"}, prod}}}},
		"all":                             {"reeve apply --all", []Command{{Text: "reeve apply --all", Verb: Apply, All: true}}},
		"a telephone writes dashes":       {"reeve apply —all", []Command{{Text: "reeve apply —all", Verb: Apply, All: true}}},
		"a plan":                          {"reeve approve prod --plan sha256:1A2b3c4d", []Command{{Text: "reeve approve prod --plan sha256:1A2b3c4d", Verb: Approve, Selectors: []Selector{prod}, Plan: "1A2b3c4d"}}},
		"a reason":                        {`reeve override prod --reason "we are down"`, []Command{{Text: `reeve override prod --reason "we are down"`, Verb: Override, Selectors: []Selector{prod}, Reason: "we are down"}}},
		"a reason in curly quotes":        {`reeve override prod --reason=“we’re down”`, []Command{{Text: `reeve override prod --reason=“we’re down”`, Verb: Override, Selectors: []Selector{prod}, Reason: "we’re down"}}},
		"an apostrophe is part of a word": {`reeve override prod --reason don't`, []Command{{Text: `reeve override prod --reason don't`, Verb: Override, Selectors: []Selector{prod}, Reason: "don't"}}},
		"lines for people stand between": {"reeve plan\n\nThanks!\r\nreeve approve prod", []Command{
			{Text: "reeve plan", Verb: Plan}, {Line: 3, Text: "reeve approve prod", Verb: Approve, Selectors: []Selector{prod}}}},
		"a reply to a mail": {"> reeve approve prod\n\nreeve plan", []Command{{Line: 2, Text: "reeve plan", Verb: Plan}}},

		"talk about it":                {"I think reeve approve prod is right", nil},
		"talk before it":               {"Looks good.\nreeve approve prod", nil},
		"a quote":                      {"> reeve approve prod", nil},
		"a fence":                      {"```\nreeve approve prod\n```", nil},
		"a fence with a language":      {"```sh\nreeve approve prod\n```", nil},
		"a fence of tildes":            {"~~~\n```\nreeve approve prod\n~~~", nil},
		"a fence within a longer one":  {"````\n```\nreeve approve prod\n````", nil},
		"a fence that is not closed":   {"```\nreeve approve prod", nil},
		"code by indent":               {"    reeve approve prod", nil},
		"hidden in an HTML comment":    {"<!-- reeve approve prod -->", nil},
		"hidden over lines":            {"<!--\nreeve approve prod\n-->", nil},
		"a word that begins like it":   {"reeves approve prod", nil},
		"nothing":                      {"", nil},
		"after what is hidden":         {"<!-- a bot's mark -->\nreeve plan", []Command{{Line: 1, Text: "reeve plan", Verb: Plan}}},
		"after a fence that is closed": {"```\nx\n```\nreeve plan", []Command{{Line: 3, Text: "reeve plan", Verb: Plan}}},

		"a slip":                     {"reeve aprove prod", problem("reeve aprove prod", "there is no command `aprove`; did you mean `approve`?")},
		"nothing like it":            {"reeve frobnicate", problem("reeve frobnicate", "there is no command `frobnicate`; write `reeve help` for all of them")},
		"no flag at all":             {"reeve reject prod -- no", problem("reeve reject prod -- no", "there is no flag `--`; write it as `reeve reject [SELECTOR… or --all] [--plan DIGEST]`")},
		"a flag's slip":              {"reeve apply --al", problem("reeve apply --al", "there is no flag `--al`; did you mean `--all`?")},
		"all and one":                {"reeve apply prod --all", problem("reeve apply prod --all", "`--all` and a selector contradict each other; write one of them")},
		"an override without reason": {"reeve override prod", problem("reeve override prod", "an override needs a reason: `reeve override SELECTOR --reason \"…\"`")},
		"an explain of nothing":      {"reeve explain", problem("reeve explain", "say of which resources: `reeve explain SELECTOR`")},
		"an open quote":              {`reeve override prod --reason "x`, problem(`reeve override prod --reason "x`, "a quotation mark is not closed")},
		"a digest that is none":      {"reeve approve prod --plan latest", problem("reeve approve prod --plan latest", "`--plan` takes a plan's digest, at least its first 6 characters")},
		"too many parts":             {"reeve plan a/b/C/d/e", problem("reeve plan a/b/C/d/e", "`a/b/C/d/e` chooses nothing; a selector is ENV, ENV/KIND, ENV/KIND/NAME or ORG/ENV/KIND/NAME")},
		"an open bracket":            {"reeve plan pro[d", problem("reeve plan pro[d", "`pro[d` is no glob: a bracket is not closed")},
		"back-ticks are not said back": {"reeve `@everyone`", problem("reeve `@everyone`",
			"there is no command `·@everyone·`; write `reeve help` for all of them")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Parse(test.body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func problem(text, why string) []Command { return []Command{{Text: text, Problem: why}} }

func TestManyCommandsAreCutOff(t *testing.T) {
	t.Parallel()
	got := Parse(strings.Repeat("reeve plan\n", 500))
	if len(got) != maxCommands+1 || got[maxCommands].Problem == "" {
		t.Errorf("%d commands, the last %+v", len(got), got[len(got)-1])
	}
}

func TestSelectorMatches(t *testing.T) {
	t.Parallel()
	key := schema.ResourceKey{Org: "acme", Env: "prod", Kind: "TerraformStack", Name: "web-1"}
	for text, want := range map[string]bool{
		"prod": true, "PROD": true, "p*": true, "dev": false,
		"prod/TerraformStack": true, "prod/*": true, "prod/AwsRds": false,
		"prod/TerraformStack/web-*": true, "prod/terraformstack/web-*": false, // org/env/kind: a kind begins with a capital
		"acme/prod": true, "other/prod": false, "acme/prod/TerraformStack/web-1": true, "acme/*/*/web-2": false,
		"*/*/web-1": true,
	} {
		s, problem := ParseSelector(text)
		if problem != "" {
			t.Errorf("%s: %s", text, problem)
		}
		if got := s.Matches(key); got != want {
			t.Errorf("%s matches: %v, want %v", text, got, want)
		}
	}
}

func TestHelpTellsEveryVerb(t *testing.T) {
	t.Parallel()
	for _, v := range Verbs() {
		if v.Sentence() == "" || !strings.Contains(HelpText(), "reeve "+string(v)+" ") {
			t.Errorf("%s is not told", v)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"reeve approve prod", "```\nreeve plan", "reeve override prod --reason \"x\"", "<!-- reeve", "> reeve"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, c := range Parse(body) {
			if (c.Verb == "") == (c.Problem == "") {
				t.Errorf("both or neither: %+v", c)
			}
			if strings.ContainsAny(c.Problem, "\n\r") {
				t.Errorf("a problem of several lines: %q", c.Problem)
			}
			for _, s := range c.Selectors {
				if again, problem := ParseSelector(s.String()); problem != "" || again.Name != s.Name {
					t.Errorf("%+v is written %q, which is %+v %s", s, s, again, problem)
				}
			}
		}
	})
}
