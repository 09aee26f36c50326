package tool

import (
	"regexp"
	"strings"
	"testing"
)

func TestRecipesPinExactVersions(t *testing.T) {
	t.Parallel()
	module := regexp.MustCompile(`^module github\.com/stackreeve/stackreeve/tools/(\S+)\n`)
	version := regexp.MustCompile(`\sv\d+\.\d+\.\d+\S*`)
	for _, r := range Recipes() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			if m := module.FindStringSubmatch(r.GoMod); m == nil || m[1] != r.Name {
				t.Errorf("the module line is not that of %s: %q", r.Name, firstLine(r.GoMod))
			}
			if strings.HasSuffix(r.Title, " ") {
				t.Errorf("title %q has no version: the recipe does not require the tool's module", r.Title)
			}
			required := 0
			for line := range strings.Lines(r.GoMod) {
				f := strings.Fields(strings.TrimPrefix(line, "require "))
				if !strings.HasPrefix(line, "\t") || len(f) < 2 || strings.Contains(line, "=>") {
					continue
				}
				required++
				if !version.MatchString(line) {
					t.Errorf("no exact version: %s", strings.TrimSpace(line))
				}
				isReplaced := strings.Contains(r.GoMod, "replace "+f[0]+" "+f[1]+" => ") || hasReplacement(r.GoMod, f[0])
				if !isReplaced && !strings.Contains(r.GoSum, f[0]+" "+f[1]) {
					t.Errorf("no checksum of %s %s", f[0], f[1])
				}
			}
			if required == 0 {
				t.Error("the recipe requires nothing")
			}
			for _, flag := range []string{"-trimpath", "-buildvcs=false"} {
				if !strings.Contains(strings.Join(r.Flags, " "), flag) {
					t.Errorf("flags %q lack %s", r.Flags, flag)
				}
			}
		})
	}
}

// hasReplacement tells whether every version of a module is replaced.
func hasReplacement(goMod, module string) bool {
	return regexp.MustCompile(`(?m)^(replace |\t)` + regexp.QuoteMeta(module) + ` => `).MatchString(goMod)
}

func TestReplacementsArePinnedToo(t *testing.T) {
	t.Parallel()
	replacement := regexp.MustCompile(`(?m)^(?:replace |\t)\S+(?: v\S+)? => (\S+)(?: (v\S+))?$`)
	for _, r := range Recipes() {
		for _, m := range replacement.FindAllStringSubmatch(r.GoMod, -1) {
			module, version := m[1], m[2]
			if folder, isFolder := strings.CutPrefix(module, "./"); isFolder {
				if r.Files[folder+"/go.mod"] == "" {
					t.Errorf("%s: no file of the recipe is %s/go.mod", r.Name, folder)
				}
				continue
			}
			if !strings.Contains(r.GoSum, module+" "+version) || version == "" {
				t.Errorf("%s: no checksum of the replacement %s %s", r.Name, module, version)
			}
		}
	}
}

func TestVersionOf(t *testing.T) {
	t.Parallel()
	const mod = "module m\n\nrequire example.com/a v1.2.3\n\nrequire (\n\texample.com/b/v2 v2.0.0-rc.1 // indirect\n\texample.com/bb v9.0.0\n)\n"
	for module, want := range map[string]string{
		"example.com/a":    "1.2.3",
		"example.com/b/v2": "2.0.0-rc.1",
		"example.com/b":    "",
	} {
		if got := versionOf(mod, module); got != want {
			t.Errorf("versionOf(%s) = %q, want %q", module, got, want)
		}
	}
}
