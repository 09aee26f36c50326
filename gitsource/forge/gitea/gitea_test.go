package gitea_test

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

func TestTheAdapterIsAForge(t *testing.T) {
	t.Parallel()
	forgetest.Run(t, tea.New(t, tooltest.Gitea(t)))
}
