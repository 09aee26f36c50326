package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool"
)

func TestListNamesEveryRecipe(t *testing.T) {
	t.Parallel()
	var out, progress strings.Builder
	if err := run(t.Context(), []string{"list"}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, r := range tool.Recipes() {
		if !strings.Contains(out.String(), r.Name) || !strings.Contains(out.String(), r.Title) {
			t.Errorf("the list lacks %s:\n%s", r.Title, out.String())
		}
	}
}

func TestEnsurePrintsTheProgramAndNothingElse(t *testing.T) {
	t.Parallel()
	var out, progress strings.Builder
	if err := run(t.Context(), []string{"ensure", "benchstat"}, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	path, rest, _ := strings.Cut(out.String(), "\n")
	if !filepath.IsAbs(path) || filepath.Base(path) != "benchstat" || rest != "" {
		t.Errorf("it prints %q", out.String())
	}
}

func TestWrongUseIsRefusedBeforeAnythingIsBuilt(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"help"}, {"ensure"}, {"tidy"}, {"clean", "tofu"}, {"list", "all"}} {
		var out, progress strings.Builder
		if err := run(t.Context(), args, &out, &progress); !errors.Is(err, errUsage) {
			t.Errorf("%q: error is %v, want the usage", args, err)
		}
	}
	var out, progress strings.Builder
	err := run(t.Context(), []string{"ensure", "terraform"}, &out, &progress)
	if err == nil || !strings.Contains(err.Error(), "tofu, providers, golangci-lint") {
		t.Errorf("an unknown name: error is %v, want one that lists the names", err)
	}
	if progress.String() != "" {
		t.Errorf("it built something:\n%s", progress.String())
	}
}
