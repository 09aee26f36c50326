package pull

import (
	"fmt"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/schema"
)

func key(name string) schema.ResourceKey {
	return schema.ResourceKey{Org: "acme", Env: "dev", Kind: "TerraformStack", Name: name}
}

func TestSeenIsWhatStoodThereWhenItWasWritten(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	shown := func(after time.Duration, plans ...string) Shown {
		s := Shown{At: t0.Add(after)}
		for i := 0; i+1 < len(plans); i += 2 {
			s.Plans = append(s.Plans, ShownPlan{Key: key(plans[i]), Digest: plans[i+1]})
		}
		return s
	}
	p := Pull{Shown: []Shown{
		shown(0),
		shown(10*time.Second, "a", "d1"),
		shown(20*time.Second, "a", "d1", "b", "d2"),
		shown(30*time.Second, "a", "d3", "b", "d2"),
		shown(30*time.Second+400*time.Millisecond, "a", "d4", "b", "d2"),
		shown(40*time.Second, "a", "d4"),
	}}
	for name, test := range map[string]struct {
		resource string
		at       time.Duration
		want     string
		certain  bool
	}{
		"before anything stood there":                 {"a", -time.Second, "", true},
		"while it was planned":                        {"a", 5 * time.Second, "", true},
		"in the second in which it came":              {"a", 10*time.Second + 900*time.Millisecond, "d1", false},
		"in the second after":                         {"a", 11 * time.Second, "d1", true},
		"in the second in which another came":         {"a", 20 * time.Second, "d1", true},
		"that other one":                              {"b", 20 * time.Second, "d2", false},
		"in the second of two changes":                {"a", 30 * time.Second, "d4", false},
		"another one in that second":                  {"b", 30*time.Second + 999*time.Millisecond, "d2", true},
		"later":                                       {"a", time.Hour, "d4", true},
		"of one that is gone, in that second":         {"b", 40 * time.Second, "", false},
		"of one that is gone":                         {"b", 41 * time.Second, "", true},
		"of one that was never there":                 {"c", time.Hour, "", true},
		"a forge's clock has seconds, and ours not":   {"a", 10 * time.Second, "d1", false},
		"between two changes that left it as it was":  {"a", 25 * time.Second, "d1", true},
		"just before the second in which it changed":  {"a", 29*time.Second + 999*time.Millisecond, "d1", true},
		"just after the second in which it changed":   {"a", 31 * time.Second, "d4", true},
		"of the other, after the changes of this one": {"b", 39 * time.Second, "d2", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, certain := p.Seen(key(test.resource), t0.Add(test.at))
			if certain != test.certain || certain && got != test.want {
				t.Errorf("saw %q, certain %v; want %q, %v", got, certain, test.want, test.certain)
			}
		})
	}
}

func TestTheHeadThatWasSeenStoodThereForASecond(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	p := Pull{Shown: []Shown{{At: t0, Head: "h1"}, {At: t0.Add(10 * time.Second), Head: "h1"}, {At: t0.Add(20*time.Second + 300*time.Millisecond), Head: "h2"}}}
	for name, test := range map[string]struct {
		at      time.Duration
		want    string
		certain bool
	}{
		"before anything stood there":      {-time.Second, "", true},
		"in the second in which it came":   {900 * time.Millisecond, "h1", false},
		"in the second after":              {time.Second, "h1", true},
		"while its plans changed":          {10 * time.Second, "h1", true},
		"just before another came":         {19*time.Second + 999*time.Millisecond, "h1", true},
		"in the second in which that came": {20 * time.Second, "h2", false},
		"after it":                         {time.Hour, "h2", true},
	} {
		if head, certain := p.SeenHead(t0.Add(test.at)); head != test.want || certain != test.certain {
			t.Errorf("%s: saw %q, certain %v; want %q, %v", name, head, certain, test.want, test.certain)
		}
	}
}

func TestRowOfNoRoundIsNone(t *testing.T) {
	t.Parallel()
	var none *Round
	if none.Row(key("a")) != nil {
		t.Error("no round has a row")
	}
	r := &Round{Rows: []Row{{Key: key("a")}, {Key: key("b"), Job: "sj_1"}}}
	if row := r.Row(key("b")); row == nil || row.Job != "sj_1" {
		t.Errorf("row b is %+v", row)
	}
	if r.Row(key("c")) != nil {
		t.Error("there is no row c")
	}
}

func TestKeysAreReadable(t *testing.T) {
	t.Parallel()
	if got := (Key{Repository: "infra", Number: 7}).String(); got != "infra#7" {
		t.Error(got)
	}
	if !(Key{}).IsZero() || (Key{Number: 1}).IsZero() {
		t.Error("only the key of nothing is zero")
	}
}

func TestDoubtsLastUntilTheDaemonWritesAnew(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time {
		return time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC).Add(time.Duration(s * float64(time.Second)))
	}
	var p Pull
	doubted := func(want string) {
		t.Helper()
		got := ""
		for _, s := range []float64{9.9, 10, 10.7, 15, 20.9, 21, 30, 35.5, 40} {
			if p.Doubted(at(s)) {
				got += fmt.Sprint(s, " ")
			}
		}
		if got != want {
			t.Errorf("in doubt is %q, want %q", got, want)
		}
	}
	doubted("")
	p.Settle(at(1))
	p.Doubt(at(10.5))
	p.Doubt(at(14)) // it lasts already
	doubted("10 10.7 15 20.9 21 30 35.5 40 ")
	p.Settle(at(20.1))
	p.Settle(at(29))
	doubted("10 10.7 15 20.9 ")
	p.Doubt(at(35))
	doubted("10 10.7 15 20.9 35.5 40 ")
	for i := range 50 {
		p.Settle(at(float64(100 + 2*i)))
		p.Doubt(at(float64(101 + 2*i)))
	}
	if len(p.Doubts) != keptDoubts || !p.Doubted(at(300)) {
		t.Errorf("%d doubts are kept: %+v", len(p.Doubts), p.Doubts)
	}
}
