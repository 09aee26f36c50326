package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
)

// BenchmarkCommandSeen writes commands into a pull request of ten stacks on a local Gitea,
// and measures from the arrival of the forge's webhook at the daemon's door until the
// forge has taken the 👀: seen-ms when the daemon has nothing else to do, busy-seen-ms
// right after a push, while it plans all ten stacks. The numbers are medians.
func BenchmarkCommandSeen(b *testing.B) {
	w := newTenStacks(b, 0)
	var idle, busy []float64
	for i := range b.N {
		branch := fmt.Sprintf("seen-%d", i)
		push := func(text string) { w.site.Push(b, forgetest.Ada, branch, stackFiles("s", branch+text), false) }
		push("")
		n := w.site.Open(b, forgetest.Ada, branch, "Ten", false)
		w.planned()
		idle = append(idle, w.seen(n, branch))
		push("-again")
		busy = append(busy, w.seen(n, branch+"-again"))
		w.site.Close(b, forgetest.Ada, n)
		for x := w.next("it is told that the pull request is closed"); !x.says("Closed without a merge"); {
			x = w.next("it is told that the pull request is closed")
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(idle), "seen-ms")
	b.ReportMetric(median(busy), "busy-seen-ms")
}

// planned waits until ten plans stand in a comment.
func (w *tenStacks) planned() {
	w.t.Helper()
	for x := w.next("all plans stand in the pull request"); !x.comments || !x.says(fmt.Sprintf("+0 ~%d", 3*stacks)); {
		x = w.next("all plans stand in the pull request")
	}
}

// seen writes a command and returns how long it takes until it is marked as seen, in
// milliseconds.
func (w *tenStacks) seen(number int, word string) float64 {
	w.t.Helper()
	w.site.Comment(w.t, forgetest.Grace, number, "reeve explain dev/TerraformStack/s-0\n\n"+word)
	var hook time.Time
	for {
		x := w.next("the command is marked")
		switch {
		case x.with == withHook && hook.IsZero() && x.says("reeve explain dev/TerraformStack/s-0") && x.says(word):
			hook = x.came
		case x.with == withAPI && x.changes() && strings.HasSuffix(x.path, "/reactions") && x.says("eyes"):
			return float64(x.went.Sub(hook).Microseconds()) / 1000
		}
	}
}
