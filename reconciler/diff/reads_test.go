package diff_test

import (
	"encoding/json"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestAnOutputThatAPlanMovesIsNotThereYet(t *testing.T) {
	t.Parallel()
	change := func(name, before, after string, more func(*stackjob.OutputChange)) stackjob.Plan {
		o := stackjob.OutputChange{Name: name, Action: stackjob.Update, AttributeChange: stackjob.AttributeChange{Before: json.RawMessage(before), After: json.RawMessage(after)}}
		if more != nil {
			more(&o)
		}
		return stackjob.Plan{Outputs: []stackjob.OutputChange{o}}
	}
	net := change("net", `{"id":"a","cidr":"b"}`, `{"id":"a","cidr":"c"}`, nil)
	for name, c := range map[string]struct {
		path string
		plan stackjob.Plan
		want bool
	}{
		"nothing moves":                 {"status.outputs.id", stackjob.Plan{}, false},
		"another output":                {"status.outputs.id", change("other", `"a"`, `"b"`, nil), false},
		"it moves":                      {"status.outputs.id", change("id", `"a"`, `"b"`, nil), true},
		"in another spelling":           {"status.outputs.subnetId", change("subnet_id", `"a"`, `"b"`, nil), true},
		"the part that is read":         {"status.outputs.net.cidr", net, true},
		"another part":                  {"status.outputs.net.id", net, false},
		"nobody knows":                  {"status.outputs.net.id", change("net", `{"id":"a"}`, ``, func(o *stackjob.OutputChange) { o.Unknown = true }), true},
		"a sensitive one":               {"status.outputs.net.id", change("net", `"hmac:a"`, `"hmac:b"`, func(o *stackjob.OutputChange) { o.Sensitive = true }), true},
		"it goes":                       {"status.outputs.id", change("id", `"a"`, `null`, func(o *stackjob.OutputChange) { o.Action = stackjob.Delete }), true},
		"it stays":                      {"status.outputs.id", change("id", `"a"`, `"a"`, func(o *stackjob.OutputChange) { o.Action = stackjob.NoOp }), false},
		"the documents tell, no engine": {"spec.size", change("size", `1`, `2`, nil), false},
	} {
		if got := diff.WillMove(schema.Reference{FieldPath: c.path}, c.plan); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
