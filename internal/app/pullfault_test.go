package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/hub"
)

// The calls that go wrong.
func creates(r *http.Request) bool { return r.Method == http.MethodPost && isComment(r) }
func edits(r *http.Request) bool   { return r.Method != http.MethodPost && isComment(r) }
func lists(r *http.Request) bool {
	return r.Method == http.MethodGet && (strings.HasSuffix(r.URL.Path, "/comments") || strings.HasSuffix(r.URL.Path, "/notes"))
}
func sets(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/statuses/")
}
func marks(r *http.Request) bool {
	return r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/reactions") || strings.HasSuffix(r.URL.Path, "/award_emoji"))
}

// trouble is a call that meets a fate once.
type trouble struct {
	of   func(*http.Request) bool
	fate fate
}

// troubles has the next call of each kind go wrong, and returns what tells which have
// not yet.
func (f *front) troubles(list ...trouble) (left func() int) {
	var mu sync.Mutex
	f.meet(func(r *http.Request) fate {
		mu.Lock()
		defer mu.Unlock()
		for i, x := range list {
			if x.of(r) {
				list = append(list[:i:i], list[i+1:]...)
				return x.fate
			}
		}
		return fate{}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(list)
	}
}

func TestAForgeInTroubleIsAskedAgain(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		met := func(what string, left func() int) {
			t.Helper()
			w.served.until("the forge was in trouble: "+what, func() bool { return left() == 0 })
		}
		soon := map[string]string{"Retry-After": "1"}
		left := w.front.troubles(
			trouble{isPull, fate{status: 404, body: `{"message":"404 Not found"}`}}, // just after it was opened
			trouble{creates, fate{lost: true}},
			trouble{sets, fate{status: 502, body: "<html>bad gateway"}})
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, head)
		w.shows(n, "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		met("opened", left)

		left = w.front.troubles(
			trouble{lists, fate{status: 403}},
			trouble{marks, fate{status: 429, header: soon}},
			trouble{edits, fate{status: 429}})
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		met("approved", left)

		left = w.front.troubles(
			trouble{isPull, fate{status: 500}},
			trouble{edits, fate{status: 403, header: soon, body: `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`}},
			trouble{creates, fate{status: 500}},
			trouble{sets, fate{status: 503, header: soon}})
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.shows(n, "✅ Applied")
		w.status(head, "reeve/apply: dev", forge.Success)
		met("merged", left)
		if got := w.lines("a"); got != "one" {
			t.Errorf("a was made %q", got)
		}
		w.once(n)
	})
}

func TestACommentThatSomebodyDeletedIsWrittenAnew(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		whoDeletes := forgetest.Grace
		if w.site.World().Kind() == forge.GitLab { // where that takes a maintainer
			whoDeletes = forgetest.Reeve
		}
		for _, c := range w.site.Comments(t, n) {
			w.site.DeleteComment(t, whoDeletes, n, c.ID)
		}
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.once(n)
	})
}

func TestATokenThatWasRevokedAndRotatedLosesNothing(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, "change")
		w.shows(n, "reeve approve dev")
		w.secret("token", "a-token-that-was-revoked")
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		id := w.says(forgetest.Grace, n, "reeve explain dev")
		w.served.until("the daemon has noticed", func() bool {
			return strings.Contains(w.log.String(), "looking at a pull request failed")
		})
		w.secret("token", w.site.Token(forgetest.Reeve))
		w.shows(n, head[:7], "reeve approve dev")
		w.reacts(n, id, forge.ThumbsUp)
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "two" })
		w.once(n)
	})
}

func TestTheSameYesTwiceAtOnceIsOne(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true // which races the webhook
		w.start()
		n, _ := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		first := w.says(forgetest.Grace, n, "reeve approve dev")
		second := w.site.Comment(t, forgetest.Grace, n, "reeve approve dev")
		w.reacts(n, first, forge.ThumbsUp)
		w.reacts(n, second, forge.ThumbsUp)
		w.shows(n, "1/1 (grace)")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		if got := w.lines("a"); got != "one" {
			t.Errorf("a was made %q, expected once", got)
		}
		w.once(n)
	})
}

func TestAYesThatRacesAPushIsNoYesToWhatWasPushed(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.shows(n, "reeve approve dev")
		var both sync.WaitGroup
		second := time.Now().Unix()
		w.served.until("a second is over", func() bool { return time.Now().Unix() > second })
		// However slow the yes is, what was pushed is not shown before it is there.
		said := make(chan struct{})
		w.front.meet(func(r *http.Request) fate {
			if writesComment(r) {
				<-said
			}
			return fate{}
		})
		both.Go(func() {
			defer close(said)
			w.site.Comment(t, forgetest.Grace, n, "reeve approve dev")
		})
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		both.Wait()
		w.tell(n, head)
		w.shows(n, head[:7], "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/waits-", "reeve approve dev")
		if got := w.lines("a"); got != "" {
			t.Fatalf("a was made %q, which nobody approved", got)
		}
		w.yes(n)
		w.served.until("it is applied", func() bool { return w.lines("a") == "two" })
		w.once(n)
	})
}

func TestManyPullRequestsMakeNoMetricSeries(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		open := func(i int) int {
			branch := fmt.Sprintf("change-%d", i)
			w.site.Push(t, forgetest.Ada, branch, map[string]string{fmt.Sprintf("acme/dev/s%d.yaml", i): w.document(fmt.Sprintf("s%d", i), "one")}, false)
			return w.site.Open(t, forgetest.Ada, branch, "Add one", false)
		}
		count := func() map[string]int {
			out := map[string]int{}
			for _, x := range w.served.scrape() {
				out[x.name]++
				for l, v := range x.labels {
					if strings.Contains(v, "change-") || strings.Contains(v, w.site.Name()) || strings.Contains(v, string(forgetest.Grace)) {
						t.Errorf("%s{%s=%q} names a pull request or a person", x.name, l, v)
					}
				}
			}
			return out
		}
		if h, is := w.site.World().(*hub.World); is {
			h.SetBudget(5000, 5000) // limits have stories of their own
		}
		// Everything that can happen, once.
		first, second := open(0), open(1)
		w.shows(first, "reeve approve dev")
		w.shows(second, "reeve approve dev")
		w.yes(first)
		w.reacts(second, w.says(forgetest.Grace, second, "reeve reject dev"), forge.ThumbsUp)
		w.site.Merge(t, forgetest.Ada, first)
		w.sees(first, "/outcome-")
		w.site.Close(t, forgetest.Ada, second)
		w.shows(second, "Closed without a merge")
		before := count()
		var rest []int
		for i := 2; i < 20; i++ {
			rest = append(rest, open(i))
		}
		for _, n := range rest {
			w.shows(n, "reeve approve dev")
		}
		w.yes(rest[0])
		for _, n := range rest {
			w.site.Close(t, forgetest.Ada, n)
		}
		for _, n := range rest {
			w.shows(n, "Closed without a merge")
			w.once(n)
		}
		all := w.served.scrape()
		for _, c := range []struct{ name, label, value string }{
			{"reeve_pull_first_sign_seconds_count", "", ""}, {"reeve_pull_round_seconds_count", "result", "succeeded"},
			{"reeve_pull_writes_total", "what", "comment"}, {"reeve_pull_commands_total", "verb", "approve"},
		} {
			if got := sum(all, c.name, c.label, c.value); got < 1 {
				t.Errorf("%s %s is %v", c.name, c.value, got)
			}
		}
		after := count()
		for name, n := range after {
			if strings.HasPrefix(name, "reeve_") && n > before[name] {
				t.Errorf("%s has %d series after 2 pull requests and %d after 20", name, before[name], n)
			}
		}
	})
}
