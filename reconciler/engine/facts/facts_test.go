package facts_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestAddressesSortNaturally(t *testing.T) {
	t.Parallel()
	want := []string{"a.b", "a.b[2]", "a.b[10]", `a.b["k"]`, "b.a", "b.a1", "b.a01", "b.a2"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, facts.Naturally)
	if !slices.IsSortedFunc(got, facts.Naturally) || strings.Index(strings.Join(got, " "), "[2]") > strings.Index(strings.Join(got, " "), "[10]") {
		t.Errorf("got %q", got)
	}
	for _, a := range want {
		for _, b := range want {
			if facts.Naturally(a, b) != -facts.Naturally(b, a) || (facts.Naturally(a, b) == 0) != (a == b) {
				t.Errorf("%q and %q are not ordered", a, b)
			}
		}
	}
}

func TestSecretsAreMaskedInEveryForm(t *testing.T) {
	t.Parallel()
	m := facts.NewMasker([]string{"pass", "password", "line one is long\nline two is long", `q"uote`, ""})
	for text, want := range map[string]string{
		"the password is pass":                       "the (sensitive) is (sensitive)",
		`{"k":"line one is long\nline two is long"}`: `{"k":"(sensitive)"}`,
		"  line two is long":                         "  (sensitive)",
		`"q\"uote"`:                                  `"(sensitive)"`,
		"nothing":                                    "nothing",
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAPlanWithoutResourcesIsRenderedWithWhatItIsAbout(t *testing.T) {
	t.Parallel()
	const none = "Plan: 0 to create, 0 to update, 0 to replace, 0 to destroy; "
	outputs := []stackjob.OutputChange{{Name: "url", Action: stackjob.Create, AttributeChange: stackjob.AttributeChange{After: []byte(`"a"`)}}}
	for want, p := range map[string]stackjob.Plan{
		"Outputs:\n  + url = \"a\"\n\n" + none + "outputs only.\n":      {HasChanges: true, Outputs: outputs},
		none + "providers only.\n":                                      {HasChanges: true, Providers: 1},
		none + "no resource changes.\n":                                 {HasChanges: true},
		"Plan: 0 to create, 1 to update, 0 to replace, 0 to destroy.\n": {HasChanges: true, Providers: 1, Counts: stackjob.Counts{Update: 1}},
	} {
		if got := facts.Render(p, nil); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
