package hub

import (
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

func TestTheAdapterKeepsThePort(t *testing.T) {
	t.Parallel()
	forgetest.Run(t, New(t))
}
