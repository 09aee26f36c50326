package pull

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestAStackIsTheTurnOfTheFirst(t *testing.T) {
	net, app := schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: "net"}, schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: "app"}
	seven, eight := Key{"infra", 7}, Key{"infra", 8}
	turns := Turns{{Stack: net, Pull: seven}, {Stack: app, Pull: eight}, {Stack: net, Pull: eight}}
	if h, held := turns.Holder(net); !held || h != seven {
		t.Errorf("net is held by %s (%t)", h, held)
	}
	if h, held := turns.Holder(app); !held || h != eight {
		t.Errorf("app is held by %s (%t)", h, held)
	}
	if _, held := turns.Holder(schema.ResourceKey{}); held {
		t.Error("nothing is held")
	}
	for _, tt := range []struct {
		stack schema.ResourceKey
		pull  Key
		want  int
	}{{net, seven, 0}, {net, eight, 1}, {app, eight, 0}, {app, seven, -1}} {
		if got := turns.Place(tt.stack, tt.pull); got != tt.want {
			t.Errorf("%s of %s: place %d, want %d", tt.pull, tt.stack, got, tt.want)
		}
	}
}

func TestWhatStoodThereAtATime(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	p := Pull{Shown: []Shown{{At: at(1), Head: "one"}, {At: at(3), Head: "two"}}}
	if p.ShownAt(at(0)) != nil {
		t.Error("something stood there before anything did")
	}
	for s, want := range map[int]string{1: "one", 2: "one", 3: "two", 9: "two"} {
		if got := p.ShownAt(at(s)); got == nil || got.Head != want {
			t.Errorf("after %d seconds: %+v, want %s", s, got, want)
		}
	}
}

func TestAnApplyThatCameToNothingTouchedNothing(t *testing.T) {
	for state, want := range map[stackjob.State]bool{stackjob.Succeeded: true, stackjob.Failed: true, stackjob.Interrupted: true, stackjob.Cancelled: true,
		"": true, stackjob.Superseded: false, stackjob.Rejected: false, stackjob.Expired: false} {
		a := Apply{Enqueued: true, Result: state}
		if a.Touched() != want {
			t.Errorf("%q: touched %t", state, a.Touched())
		}
		if a.Enqueued = false; a.Touched() {
			t.Errorf("%q: one that was never enqueued touched something", state)
		}
		if a.Ended() != (state != "") {
			t.Errorf("%q: ended %t", state, a.Ended())
		}
	}
}
