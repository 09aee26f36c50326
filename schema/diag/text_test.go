package diag_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/schema/diag"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldentest.Compare(t, filepath.Join("testdata", name), got)
}

func at(line, col int) diag.Position {
	return diag.Position{File: "acme/dev/vpc.yaml", Line: line, Column: col}
}

// sample holds each thing that a renderer must get right.
func sample() diag.List {
	long := strings.Repeat("long ", 60)
	return diag.List{
		{Code: diag.UnknownField, Pos: at(4, 9), Width: 8, Line: "  spec: {cidrBlok: 10.0.0.0/16}", Found: `"cidrBlok"`,
			Expected: "one of: cidrBlock, region", Hint: `did you mean "cidrBlock"?`},
		{Code: diag.DuplicateKey, Severity: diag.Warning, Pos: at(12, 1), Width: 1, Detail: `"a"`, Line: "a: 1",
			Related: []diag.Related{{Pos: at(3, 1), Message: "first defined here"}}},
		{Code: diag.InvalidValue, Severity: diag.Note, Pos: at(5, 10), Width: 2, Line: "名前: {é́: 漢字}"},
		{Code: diag.InvalidValue, Pos: at(6, 4), Width: 3, Line: "\ta\tbcd\te"},
		{Code: diag.InvalidValue, Pos: at(7, 2), Width: 200, Line: "short"},
		{Code: diag.InvalidValue, Pos: at(8, 151), Width: 4, Line: long},
		{Code: diag.InvalidValue, Pos: at(8, 3), Width: 4, Line: long},
		{Code: diag.InvalidValue, Pos: at(8, 297), Width: 4, Line: long},
		{Code: diag.InvalidValue, Pos: at(8, 11), Width: 280, Line: long},
		{Code: diag.InvalidCharacter, Pos: at(9, 4), Width: 1, Line: "a: \x1b[31mred\x1b[0m\a\u202eevil\x7f\x9b", Detail: "\x1b]0;title\a\nsecond line", Found: "\x1b[2J"},
		{Code: diag.Symlink, Pos: diag.Position{File: "acme/\x1bdev/a,b:c%.yaml"}, Detail: "100 % of a, b: c"},
		{Code: "code-of-the-future", Pos: at(10, 0), Line: "x"},
	}
}

func TestTextShowsTheCaretUnderTheCharacter(t *testing.T) {
	t.Parallel()
	golden(t, "text.txt", diag.Text(sample(), diag.TextOptions{}))
	golden(t, "color.txt", diag.Text(sample()[:2], diag.TextOptions{Color: true}))
	golden(t, "narrow.txt", diag.Text(sample(), diag.TextOptions{Width: 40}))
}

func TestTextNeverWritesControlCharacters(t *testing.T) {
	t.Parallel()
	for _, r := range diag.Text(sample(), diag.TextOptions{}) {
		if r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x202e) {
			t.Errorf("the text holds %U", r)
		}
	}
}

func TestLinesFitTheWidth(t *testing.T) {
	t.Parallel()
	for _, l := range strings.Split(diag.Text(sample(), diag.TextOptions{Width: 40}), "\n") {
		if head, _, ok := strings.Cut(l, " | "); ok && strings.TrimSpace(head) != "" && len(head) == 4 {
			if w := runewidth.StringWidth(l) - len("   1 | "); w > 40 {
				t.Errorf("%d columns: %s", w, l)
			}
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("spec: {a: b}", 3, 4, 40)
	f.Add("\t漢\u0301\x1b", -1, 900, 1)
	f.Fuzz(func(t *testing.T, line string, col, width, max int) {
		out := diag.Text(diag.List{{Code: diag.InvalidValue, Pos: at(1, col), Width: width, Line: line}}, diag.TextOptions{Width: max % 500})
		if strings.ContainsAny(out, "\x1b\r\t\x00") {
			t.Errorf("control characters in %q", out)
		}
	})
}

func TestJSONSpellsOutTheSummary(t *testing.T) {
	t.Parallel()
	golden(t, "list.json", string(diag.JSON(sample()[:2])))
	var back struct{ Diagnostics diag.List }
	if err := json.Unmarshal(diag.JSON(sample()), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample()[0], back.Diagnostics[0]); diff != "" {
		t.Errorf("a diagnostic read back (-want +got):\n%s", diff)
	}
	if got := string(diag.JSON(nil)); !strings.Contains(got, `"diagnostics": []`) {
		t.Errorf("an empty list is %s", got)
	}
}

func TestAnnotationsAreEscaped(t *testing.T) {
	t.Parallel()
	for _, style := range []diag.AnnotationStyle{diag.GitHubActions, diag.GitLabCodeQuality} {
		got, err := diag.Annotations(append(sample(), sample()[0]), style)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, string(style)+".txt", string(got))
	}
	if _, err := diag.Annotations(nil, "jenkins"); err == nil {
		t.Error("an unknown style is accepted")
	}
}

func TestFingerprintSurvivesAMove(t *testing.T) {
	t.Parallel()
	fingerprint := func(d diag.Diagnostic) string {
		raw, err := diag.Annotations(diag.List{d}, diag.GitLabCodeQuality)
		if err != nil {
			t.Fatal(err)
		}
		var issues []struct{ Fingerprint string }
		if err := json.Unmarshal(raw, &issues); err != nil || len(issues) != 1 {
			t.Fatalf("%s: %v", raw, err)
		}
		return issues[0].Fingerprint
	}
	d := sample()[0]
	before := fingerprint(d)
	d.Pos.Line += 10
	if after := fingerprint(d); after != before {
		t.Errorf("moved from %s to %s", before, after)
	}
	d.Found = "something else"
	if other := fingerprint(d); other == before {
		t.Error("two findings have one fingerprint")
	}
}

func TestListIsSortedAndSaysEachThingOnce(t *testing.T) {
	t.Parallel()
	a, b, c := sample()[0], sample()[1], sample()[4]
	got := diag.List{b, a, c, a}.Sorted()
	if diff := cmp.Diff(diag.List{a, c, b}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diag.Count(got) != "2 errors, 1 warning" || diag.Count(nil) != "no findings" || !got.HasErrors() || (diag.List{b}).HasErrors() {
		t.Errorf("counted %q", diag.Count(got))
	}
}

func TestWordsReadBack(t *testing.T) {
	t.Parallel()
	for _, s := range []diag.Severity{diag.Error, diag.Warning, diag.Note} {
		raw, err := s.MarshalText()
		var back diag.Severity
		if err != nil || back.UnmarshalText(raw) != nil || back != s {
			t.Errorf("%s reads back as %s", s, back)
		}
	}
	var s diag.Severity
	if s.UnmarshalText([]byte("fatal")) == nil {
		t.Error("fatal is a severity")
	}
	for _, c := range diag.Codes() {
		if c.Summary() == string(c) || strings.HasSuffix(c.Summary(), ".") || strings.ToLower(c.Summary()[:1]) != c.Summary()[:1] && c != diag.YAMLSyntax {
			t.Errorf("%s has the summary %q", c, c.Summary())
		}
	}
	for want, p := range map[string]diag.Position{"f": {File: "f"}, "f:2": {File: "f", Line: 2}, "f:2:3": {File: "f", Line: 2, Column: 3}} {
		if p.String() != want {
			t.Errorf("%+v is %q", p, p.String())
		}
	}
}
