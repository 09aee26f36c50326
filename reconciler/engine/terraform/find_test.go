package terraform_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
)

// fakeEngine writes a program that says a version and notes that it was asked.
func fakeEngine(t *testing.T, dir, name, version string) (asked func() int) {
	t.Helper()
	note := filepath.Join(t.TempDir(), "asked")
	text := "#!/bin/sh\necho asked >> '" + note + "'\necho 'a warning about the configuration'\necho '{\"terraform_version\":\"" + version + "\"}'\n"
	writeScript(t, filepath.Join(dir, name), text)
	return func() int {
		b, _ := os.ReadFile(note)
		return strings.Count(string(b), "\n")
	}
}

func TestFindTakesTheFirstOfEachEngine(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	fakeEngine(t, first, "tofu", "1.12.6")
	fakeEngine(t, second, "tofu", "1.9.0")
	fakeEngine(t, second, "terraform", "1.11.4")
	got, err := terraform.Find(t.Context(), terraform.FindOptions{Dirs: []string{first}, Path: "relative:" + second + ":/usr/bin:/bin"})
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Program{
		{Provisioner: "terraform", Path: filepath.Join(second, "terraform"), Version: "1.11.4"},
		{Provisioner: "tofu", Path: filepath.Join(first, "tofu"), Version: "1.12.6"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFindSaysHowToGetAnEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeScript(t, filepath.Join(dir, "tofu"), "#!/bin/sh\necho broken >&2\nexit 3\n")
	_, err := terraform.Find(t.Context(), terraform.FindOptions{Path: dir})
	var missing *terraform.NotFound
	if !errors.As(err, &missing) || len(missing.Broken) != 1 {
		t.Fatalf("err = %v", err)
	}
	for _, part := range []string{dir, "broken", "https://opentofu.org/docs/intro/install", "configuration"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

func TestFindRefusesNamesAndBrokenNamedPrograms(t *testing.T) {
	t.Parallel()
	if _, err := terraform.Find(t.Context(), terraform.FindOptions{TerraformPath: "terraform"}); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("err = %v", err)
	}
	if _, err := terraform.Find(t.Context(), terraform.FindOptions{OpenTofuPath: filepath.Join(t.TempDir(), "tofu")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

func TestFindAsksARealEngineOnceAndASwitcherEveryTime(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache", "engines.json")
		name := filepath.Base(b.task.Program.Path)
		if err := os.Symlink(b.task.Program.Path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		o := terraform.FindOptions{Path: dir, CacheFile: cache}
		got, err := terraform.Find(t.Context(), o)
		if err != nil || len(got) != 1 || got[0].Version != b.task.Program.Version {
			t.Fatalf("%v, %v", got, err)
		}
		before, err := os.ReadFile(cache)
		if err != nil {
			t.Fatal(err)
		}
		// What the cache says is believed as long as the file is the same.
		if err := os.WriteFile(cache, []byte(strings.Replace(string(before), got[0].Version, "9.9.9", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err = terraform.Find(t.Context(), o); err != nil || got[0].Version != "9.9.9" {
			t.Errorf("the cache was not used: %v, %v", got, err)
		}
	})
	dir := t.TempDir()
	asked := fakeEngine(t, dir, "tofu", "1.12.6")
	f := terraform.NewFinder("")
	for range 2 {
		if _, err := f.Find(t.Context(), terraform.FindOptions{Path: dir + ":/usr/bin:/bin"}); err != nil {
			t.Fatal(err)
		}
	}
	if asked() != 2 {
		t.Errorf("a script was asked %d times", asked())
	}
}
