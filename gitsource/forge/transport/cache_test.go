package transport

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhatDidNotChangeIsNotSentAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{}, step{status: 200, body: "one", header: map[string]string{"ETag": `W/"1"`, "Link": `<x>; rel="next"`, "X-RateLimit-Remaining": "9"}})
	for i := range 3 {
		resp, body, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a")
		if err != nil || resp.StatusCode != 200 || body != "one" || resp.Header.Get("Link") == "" {
			t.Fatalf("round %d: %v, %q, %v", i, resp, body, err)
		}
	}
	if got := w.seen[2].Header.Get("If-None-Match"); got != `W/"1"` {
		t.Errorf("asked with %q", got)
	}
	if a, b := w.count("GET", ok), w.count("GET", unchanged); a != 1 || b != 2 {
		t.Errorf("counted %v and %v", a, b)
	}
	// Who asks with another credential, or for another form, gets nothing of it.
	for _, header := range [][]string{{"Authorization", "Bearer b"}, {"Private-Token", "a"}, {"Authorization", "Bearer a", "Accept", "text/x-diff"}} {
		if _, _, err := w.do(t, "GET", "/x", "", header...); err != nil {
			t.Fatal(err)
		}
		if got := w.seen[len(w.seen)-1].Header.Get("If-None-Match"); got != "" {
			t.Errorf("%v asked with %q", header, got)
		}
	}
	// What changed is shown, and kept in its turn.
	w.script = []step{{status: 200, body: "two", header: map[string]string{"ETag": `W/"2"`}}}
	for range 2 {
		if _, body, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a"); err != nil || body != "two" {
			t.Errorf("%q, %v", body, err)
		}
	}
	// What is gone is not kept.
	w.script = []step{{status: 404}}
	for range 2 {
		if resp, _, err := w.do(t, "GET", "/x", "", "Authorization", "Bearer a"); err != nil || resp.StatusCode != 404 {
			t.Errorf("%v, %v", resp, err)
		}
	}
	if got := w.seen[len(w.seen)-1].Header.Get("If-None-Match"); got != "" {
		t.Errorf("after it was gone: asked with %q", got)
	}
}

func TestTheCacheStaysUnderItsBound(t *testing.T) {
	t.Parallel()
	const limit = 100 << 10
	w := setup(t, Options{CacheBytes: limit}, step{status: 200, body: strings.Repeat("x", 8<<10), header: map[string]string{"ETag": `"1"`}})
	c := w.client.Transport.(*Transport).cache
	for i := range 40 {
		if _, _, err := w.do(t, "GET", fmt.Sprintf("/%d", i), ""); err != nil {
			t.Fatal(err)
		}
		if c.bytes > limit {
			t.Fatalf("%d bytes are kept", c.bytes)
		}
	}
	sum := 0
	for _, e := range c.entries.Values() {
		sum += e.cost()
	}
	if sum != c.bytes || c.entries.Len() < 8 {
		t.Errorf("%d entries of %d bytes, counted as %d", c.entries.Len(), sum, c.bytes)
	}
	w.script = []step{{status: 200, body: strings.Repeat("x", limit/2), header: map[string]string{"ETag": `"2"`}}}
	if _, _, err := w.do(t, "GET", "/39", ""); err != nil { // too great for its place: it leaves
		t.Fatal(err)
	}
	if _, _, err := w.do(t, "GET", "/39", ""); err != nil || w.seen[len(w.seen)-1].Header.Get("If-None-Match") != "" {
		t.Errorf("asked with %q, %v", w.seen[len(w.seen)-1].Header.Get("If-None-Match"), err)
	}
}
