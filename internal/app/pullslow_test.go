package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// TestClientsThatSendSlowlyHoldUpNoDelivery opens many connections that never end what
// they begin: half of them their headers, half a body.
func TestClientsThatSendSlowlyHoldUpNoDelivery(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		for i := range 128 {
			c, err := net.Dial("tcp", strings.TrimPrefix(w.served.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			begun := "POST /webhooks/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			if i%2 == 0 {
				begun += "Content-Length: 100000\r\n\r\n{"
			}
			if _, err := io.WriteString(c, begun); err != nil {
				t.Fatal(err)
			}
		}
		n, _ := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev") // which only a delivery can have told of
		w.yes(n)
	})
}

// keepsBack hears what a forge delivers and passes nothing on.
func (w *pullWorld) keepsBack() *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			l.mu.Lock()
			l.heard = append(l.heard, delivery{r.Header.Clone(), body})
			l.mu.Unlock()
		}
		rw.WriteHeader(http.StatusAccepted)
	}))
	w.t.Cleanup(l.Close)
	return l
}

// allJobs are all jobs that there ever were, with how they stand.
func (w *pullWorld) allJobs() (out []string) {
	w.t.Helper()
	jobs, err := w.served.Jobs(context.Background(), store.JobQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range jobs {
		out = append(out, fmt.Sprintf("%s %s %s", j.ID, j.Purpose, j.State))
	}
	return out
}

// TestDeliveriesThatComeAfterAllIsOverChangeNothing has the daemon poll, and hear of
// everything that happened when all of it is over, the newest first.
func TestDeliveriesThatComeAfterAllIsOverChangeNothing(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.hooks = false // it polls
		w.start()
		l := w.keepsBack()
		if _, err := w.site.Repository(t).SetWebhook(t.Context(), "", l.URL, webhookSecret); err != nil {
			t.Fatal(err)
		}
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.shows(n, "reeve approve dev")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		w.tell(n, head)
		w.shows(n, head[:7], "another than the one that was approved")
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		w.shows(n, "✅ Applied")
		w.served.until("the approvals and the merge were delivered", func() bool {
			return len(l.about("reeve approve --all")) >= 2 && len(l.about("merged")) > 0
		})
		before, jobs := w.site.Comments(t, n), w.allJobs()

		l.mu.Lock()
		late := slices.Clone(l.heard)
		l.mu.Unlock()
		slices.Reverse(late)
		looks := sum(w.served.scrape(), "reeve_pull_looks_total", "", "")
		for i, d := range late {
			if got, err := w.deliver(d); err != nil || got != http.StatusAccepted {
				t.Fatalf("delivery %d of %d is answered %d (%v)", i, len(late), got, err)
			}
		}
		// Nothing else has it looked at, since it is over.
		w.served.until("they were worked on", func() bool { return sum(w.served.scrape(), "reeve_pull_looks_total", "", "") > looks })
		id := w.says(forgetest.Grace, n, "reeve help\n\nafter all")
		w.served.until("that is delivered", func() bool { return len(l.about("after all")) > 0 })
		if got, err := w.deliver(l.about("after all")[0]); err != nil || got != http.StatusAccepted {
			t.Fatalf("what comes in time is answered %d (%v)", got, err)
		}
		w.reacts(n, id, forge.ThumbsUp)
		w.sees(n, "/answer-")
		if after := w.site.Comments(t, n); !reflect.DeepEqual(before, after[:min(len(before), len(after))]) || len(after) != len(before)+2 {
			t.Errorf("the comments were\n%v\nand are\n%v", before, after)
		}
		if after := w.allJobs(); !slices.Equal(jobs, after) {
			t.Errorf("the jobs were\n%v\nand are\n%v", jobs, after)
		}
		if got := w.lines("a"); got != "two" {
			t.Errorf("a was made %q", got)
		}
		w.once(n)
	})
}
