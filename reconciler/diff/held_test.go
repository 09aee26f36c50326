package diff_test

import (
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestWhatAPullRequestHoldsIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.input.Brake = diff.Brake{Count: -1, Share: -1}
	w.input.Held = map[schema.ResourceKey]string{key("dev", "net"): "infra#7", key("dev", "app"): "infra#8"}
	expect(t, w.compare()) // what is as desired is no news

	w.files["acme/dev/net.yaml"] = stack("net", "net", "cidr: other")
	delete(w.files, "acme/dev/app.yaml")
	w.reload(t)
	res := w.compare()
	for _, ch := range res.Changes {
		want := map[schema.ResourceKey]string{key("dev", "net"): "infra#7", key("dev", "app"): "infra#8"}[ch.Key]
		if want == "" || ch.Refused == nil || *ch.Refused != (stackjob.Reason{Code: stackjob.ReasonHeldByPull, Detail: want}) || ch.Starts() {
			t.Errorf("%s: %+v", ch.Key, ch)
		}
	}
	if len(res.Changes) != 2 {
		t.Errorf("%d changes", len(res.Changes))
	}

	// Given back, they are compared as ever.
	w.input.Held = nil
	for _, ch := range w.compare().Changes {
		if ch.Refused != nil {
			t.Errorf("%s: %s", ch.Key, ch.Refused)
		}
	}
}
