package pullrequest

import (
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
)

func TestWhatSomebodyElseWroteIsToldByItsTextAndByItsTime(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.Date(2026, 1, 2, 3, 4, 5, ms*1_000_000, time.UTC) }
	ours := pull.Post{ID: "1", Plain: short("ours"), Exact: true, Dated: true, Edited: at(400)}
	with := func(change func(*pull.Post)) pull.Post {
		p := ours
		change(&p)
		return p
	}
	for _, tt := range []struct {
		name   string
		post   pull.Post
		body   string
		edited time.Time
		want   bool
	}{
		{"as we left it", ours, "ours\r\n", at(400), false},
		{"rounded to seconds", ours, "ours", at(0), false},
		{"a moment later, as another answer rounds", ours, "ours", at(999), false},
		{"an older state of a slow forge", ours, "ours", at(-2000), false},
		{"changed", ours, "theirs", at(400), true},
		{"changed and changed back", ours, "ours", at(1000), true},
		{"changed and changed back, and rounded", with(func(p *pull.Post) { p.Edited = at(0) }), "ours", at(1000), true},
		{"on a forge that changes what it is given", with(func(p *pull.Post) { p.Exact = false }), "theirs", at(400), false},
		{"changed there", with(func(p *pull.Post) { p.Exact = false }), "theirs", at(1000), true},
		{"on a forge that tells another time each time", with(func(p *pull.Post) { p.Dated = false }), "ours", at(9000), false},
		{"changed there, too", with(func(p *pull.Post) { p.Dated = false }), "theirs", at(400), true},
		{"written by an older release", with(func(p *pull.Post) { p.Edited = time.Time{} }), "ours", at(9000), false},
	} {
		c := forge.Comment{Body: tt.body, CreatedAt: at(-60_000), EditedAt: tt.edited}
		if got := isForeign(tt.post, c); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if unedited := (forge.Comment{Body: "ours", CreatedAt: at(400)}); isForeign(ours, unedited) {
		t.Error("what was never edited is somebody else's")
	}
}
