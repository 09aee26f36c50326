package schema_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// TestMistakesAreExplained loads each repository in testdata/err and compares what is
// said about it with want.txt beside it.
func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/err/*")
	if err != nil || len(cases) < 20 {
		t.Fatalf("found %d cases, %v", len(cases), err)
	}
	for _, dir := range cases {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			tree, err := schema.LoadFS(context.Background(), os.DirFS(filepath.Join(dir, "repo")))
			if err != nil {
				t.Fatal(err)
			}
			got := diag.Text(tree.Diagnostics(), diag.TextOptions{})
			got += "\n" + diag.Count(tree.Diagnostics()) + "\n\nresources:\n"
			for _, r := range tree.Resources() {
				got += "  " + r.Key.String() + "\n"
			}
			got += "frozen:\n"
			for _, e := range tree.Environments() {
				if d, ok := tree.Frozen(e.Org, e.Slug); ok {
					got += "  " + e.Org + "/" + e.Slug + " by " + d.Pos.String() + " " + string(d.Code) + "\n"
				}
			}
			goldentest.Compare(t, filepath.Join(dir, "want.txt"), got)
			checkSecrets(t, tree.Diagnostics())
			checkPlaces(t, tree.Diagnostics(), filepath.Join(dir, "repo"))
		})
	}
}

// checkSecrets checks that no rendering holds what the fixtures mark as secret.
func checkSecrets(t *testing.T, l diag.List) {
	t.Helper()
	github, err := diag.Annotations(l, diag.GitHubActions)
	if err != nil {
		t.Fatal(err)
	}
	gitlab, err := diag.Annotations(l, diag.GitLabCodeQuality)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{diag.Text(l, diag.TextOptions{Color: true}), string(diag.JSON(l)), string(github), string(gitlab)} {
		if i := strings.Index(out, "canary"); i >= 0 {
			t.Errorf("a secret is shown: %s", out[max(0, i-80):min(len(out), i+40)])
		}
	}
}

// checkPlaces checks that diagnostics are sorted, and each lies within its file.
func checkPlaces(t *testing.T, l diag.List, dir string) {
	t.Helper()
	for i, d := range l {
		if i > 0 && l[i-1].Compare(d) >= 0 {
			t.Errorf("%s [%s] is not after %s [%s]", d.Pos, d.Code, l[i-1].Pos, l[i-1].Code)
		}
		if d.Summary() == string(d.Code) {
			t.Errorf("%s has no summary", d.Code)
		}
		if _, err := os.Lstat(filepath.Join(dir, d.Pos.File)); err != nil {
			t.Errorf("%s: %v", d.Pos, err)
		}
	}
}
