package reconciler

import (
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestAnOlderMinorVersionThanTheOneBeforeIsWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was, is string
		warned  bool
	}{
		{"terraform 1.11.4", "terraform 1.9.8", true},
		{"terraform 1.11.4", "terraform 1.11.0", false},
		{"terraform 1.9.8", "terraform 1.11.4", false},
		{"tofu 1.12.6", "terraform 1.11.4", true},
		{"pulumi 3.230.0", "pulumi 2.99.0", true},
		{"pulumi 3.230.0", "pulumi 4.1.0", false},
		{"", "terraform 1.9.8", false},
		{"something else", "terraform 1.9.8", false},
	} {
		if got := olderEngine(&stackjob.Observed{Engine: c.was}, c.is); (got != "") != c.warned {
			t.Errorf("%s after %s: %q", c.is, c.was, got)
		}
	}
	if got := olderEngine(nil, "terraform 1.9.8"); got != "" {
		t.Errorf("a new stack: %q", got)
	}
	const want = "terraform 1.11.4 made the stack last, and this plan was made with terraform 1.9.8, an older version: it may not know all that is in the state"
	if got := olderEngine(&stackjob.Observed{Engine: "terraform 1.11.4"}, "terraform 1.9.8"); got != want {
		t.Errorf("%q", got)
	}
}
