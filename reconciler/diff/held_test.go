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

// TestWhatReadsWhatIsNotMergedIsRefused applies the first two of three from a pull request:
// the second is as its document wants it, since what it reads is not.
func TestWhatReadsWhatIsNotMergedIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.input.Brake = diff.Brake{Count: -1, Share: -1}
	net, data, app := key("dev", "net"), key("dev", "data"), key("dev", "app")
	w.change(net, func(s *stackjob.Stack) {
		s.Observed.Pull, s.Observed.Desired.ModuleRevision = "infra#7", "another"
		s.Observed.Outputs = []stackjob.Output{{Name: "id", Value: []byte(`"net-2"`), Hash: "k:net-2"}}
	})
	w.change(data, func(s *stackjob.Stack) {
		s.Observed.Pull = "infra#7"
		for name := range s.Observed.References {
			s.Observed.References = map[string]string{name: "k:net-2"}
		}
		s.Observed.Outputs = []stackjob.Output{{Name: "id", Value: []byte(`"data-2"`), Hash: "k:data-2"}}
	})
	refused := func(why string) {
		t.Helper()
		res := w.compare()
		for _, ch := range res.Changes {
			switch {
			case ch.Key == data:
				t.Errorf("what the pull request applied is as it is wanted: %v", lines(res))
			case ch.Key == app && why == "" && !ch.Starts(), ch.Key == app && why != "" && (ch.Refused == nil || !ch.ReadsUnmerged || *ch.Refused != (stackjob.Reason{Code: stackjob.ReasonBlocked, Detail: why})):
				t.Errorf("expected %q: %v", why, lines(res))
			}
		}
		if len(res.Changes) != 2 {
			t.Errorf("changes: %v", lines(res))
		}
	}
	w.input.Held = map[schema.ResourceKey]string{net: "infra#7", data: "infra#7"}
	refused("acme/dev/TerraformStack/net (held-by-pull), by way of acme/dev/TerraformStack/data")
	w.input.Held = nil // given back, and not taken back yet
	refused("acme/dev/TerraformStack/net (it is not as wanted), by way of acme/dev/TerraformStack/data")
	// What the branch itself applied is no news of anybody else.
	w.change(data, func(s *stackjob.Stack) { s.Observed.Pull = "" })
	refused("")
}
