package tool

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryTargetIsExplainedAndEveryCheckIsATarget(t *testing.T) {
	t.Parallel()
	makefile := readTree(t, "Makefile")
	var explained []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*## \S`).FindAllStringSubmatch(makefile, -1) {
		explained = append(explained, m[1])
	}
	phony := strings.Fields(regexp.MustCompile(`(?m)^\.PHONY: (.*) FORCE$`).FindStringSubmatch(makefile)[1])
	slices.Sort(explained)
	slices.Sort(phony)
	if diff := cmp.Diff(phony, explained); diff != "" {
		t.Errorf("targets that make help explains (-targets +explained):\n%s", diff)
	}
	steps := regexp.MustCompile(`(?m)^step make (\S+)$`).FindAllStringSubmatch(readTree(t, ".ci/run"), -1)
	if len(steps) == 0 || steps[0][1] != "test" {
		t.Errorf("the first step of .ci/run is not the tests: %q", steps)
	}
	for _, step := range steps {
		if !slices.Contains(phony, step[1]) {
			t.Errorf(".ci/run makes %s, which is no target", step[1])
		}
	}
	scripts := regexp.MustCompile(`\btools/[a-z-]+`).FindAllString(makefile, -1)
	for _, script := range append(scripts, ".ci/run") {
		info, err := os.Stat(filepath.Join(treeRoot, script))
		if err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is not there, or no program (%v)", script, err)
		}
	}
}
