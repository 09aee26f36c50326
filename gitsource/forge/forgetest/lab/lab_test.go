package lab_test

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
)

func TestGitLabIsAForge(t *testing.T) {
	t.Parallel()
	forgetest.Run(t, lab.New(t))
}
