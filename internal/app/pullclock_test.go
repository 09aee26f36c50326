package app_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// pointInTime is one as it stands in JSON.
var pointInTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"`)

// skewed stands before an API and makes its clock go wrong by so much: in what it says,
// and in what it is asked for.
func skewed(t testing.TB, api string, by time.Duration) string {
	t.Helper()
	moved := func(text string, by time.Duration) string {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.Year() > 1 {
			return at.Add(by).Format(time.RFC3339Nano)
		}
		return text
	}
	return forgetest.Between(t, api, func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
		r.Header.Del("If-Modified-Since")
		q := r.URL.Query()
		for _, name := range []string{"since", "before", "updated_after", "updated_before", "created_after"} {
			if q.Has(name) {
				q.Set(name, moved(q.Get(name), -by))
				r.URL.RawQuery = q.Encode()
			}
		}
		said := httptest.NewRecorder()
		pass.ServeHTTP(said, r)
		for name, values := range said.Header() {
			rw.Header()[name] = values
		}
		for _, name := range []string{"Date", "Last-Modified"} {
			if at, err := http.ParseTime(said.Header().Get(name)); err == nil {
				rw.Header().Set(name, at.Add(by).UTC().Format(http.TimeFormat))
			}
		}
		for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
			if n, err := strconv.ParseInt(said.Header().Get(name), 10, 64); err == nil && n > 1e9 {
				rw.Header().Set(name, strconv.FormatInt(n+int64(by.Seconds()), 10))
			}
		}
		rw.Header().Del("Content-Length")
		rw.WriteHeader(said.Code)
		_, _ = rw.Write(pointInTime.ReplaceAllFunc(said.Body.Bytes(), func(b []byte) []byte {
			return []byte(`"` + moved(strings.Trim(string(b), `"`), by) + `"`)
		}))
	})
}

func TestAClockThatIsAnHourWrongChangesNothing(t *testing.T) {
	t.Parallel()
	wrong := map[forge.Kind]time.Duration{forge.Gitea: -time.Hour, forge.GitHub: time.Hour, forge.GitLab: -time.Hour}
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		by := wrong[w.site.World().Kind()]
		w.front = newFront(t, skewed(t, w.site.APIURL(), by))
		w.start()
		pipe := w.pipe("pipe")
		both := func(text string) map[string]string {
			files := w.reading("p", pipe)
			files["acme/dev/a.yaml"] = w.document("a", text)
			return files
		}
		left := func() int { return 0 }
		if by < 0 { // the answer to the first comment is lost: it is searched for
			left = w.front.troubles(trouble{creates, fate{lost: true}})
		}
		w.site.Push(t, forgetest.Ada, "change", both("one"), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add two", false)
		w.tell(n, "change")
		w.shows(n, "Planning: 1 of 2 done") // the rows fill in while one is planned
		if left() != 0 {
			t.Error("no answer was lost")
		}
		w.feeds(pipe, "hello")
		w.shows(n, "reeve approve dev", "+2 ~0")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")

		head := w.site.Push(t, forgetest.Ada, "change", both("two"), false)
		w.tell(n, head)
		w.shows(n, head[:7], "another than the one that was approved", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve reject dev/TerraformStack/p"), forge.ThumbsUp)
		w.shows(n, "rejected")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "All 2 applied")
		w.status(head, "reeve/apply: dev", forge.Success)
		if j := w.served.await(devA, stackjob.Succeeded); w.lines("a") != "two" || w.applies(devA) != 1 {
			t.Errorf("a was made %q by %d applies, the newest is %s", w.lines("a"), w.applies(devA), j.State)
		}
		w.once(n)
	})
}
