package pullrequest

import (
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/schema"
)

// key is a stack of acme/dev.
func key(name string) schema.ResourceKey {
	return schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: name}
}

// row is a row that is applied after others.
func row(name string, state comment.RowState, after ...string) comment.Row {
	r := comment.Row{Key: key(name), State: state}
	for _, a := range after {
		r.After = append(r.After, key(a))
	}
	return r
}

func TestWhatIsQueuedBehindAPersonDoesNotMove(t *testing.T) {
	t.Parallel()
	deferred := row("d", comment.RowDeferred)
	deferred.Deferred = key("a")
	for name, c := range map[string]struct {
		rows []comment.Row
		want bool
	}{
		"nothing":                   {nil, false},
		"all applied":               {[]comment.Row{row("a", comment.RowApplied), row("b", comment.RowUnchanged)}, false},
		"one is applied":            {[]comment.Row{row("a", comment.RowApplying), row("b", comment.RowWaiting)}, true},
		"queued by itself":          {[]comment.Row{row("a", comment.RowQueued)}, true},
		"queued behind an applied":  {[]comment.Row{row("a", comment.RowApplied), row("b", comment.RowQueued, "a")}, true},
		"queued behind a waiting":   {[]comment.Row{row("a", comment.RowWaiting), row("b", comment.RowQueued, "a")}, false},
		"queued behind a failed":    {[]comment.Row{row("a", comment.RowFailed), row("b", comment.RowQueued, "a")}, false},
		"queued behind a stopped":   {[]comment.Row{row("a", comment.RowStopped), row("b", comment.RowQueued, "a")}, false},
		"queued behind a forbidden": {[]comment.Row{row("a", comment.RowForbidden), row("b", comment.RowQueued, "a")}, false},
		"two behind, told first":    {[]comment.Row{row("c", comment.RowQueued, "b"), row("b", comment.RowQueued, "a"), row("a", comment.RowFailed)}, false},
		"another one moves":         {[]comment.Row{row("a", comment.RowFailed), row("b", comment.RowQueued, "a"), row("c", comment.RowPlanning)}, true},
		"deferred behind an apply":  {[]comment.Row{row("a", comment.RowApplying), deferred}, true},
		"deferred behind a waiting": {[]comment.Row{row("a", comment.RowWaiting), deferred}, false},
	} {
		if got := moves(c.rows); got != c.want {
			t.Errorf("%s: moves is %t", name, got)
		}
	}
}
