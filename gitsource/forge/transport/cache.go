package transport

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps answers to GET that carry an ETag, the least recently used leave first.
type cache struct {
	max int

	mu      sync.Mutex
	bytes   int
	entries *simplelru.LRU[key, *entry]
}

// key names what was asked and as whom: a hash of the address and of every header, by
// whichever of them the credential goes, so that none is kept.
type key [sha256.Size]byte

// entry is one answer.
type entry struct {
	etag   string
	header http.Header
	body   []byte
}

// entryBytes is about what an entry costs beside its body.
const entryBytes = 2 << 10

func newCache(limit int) *cache {
	if limit < 0 {
		return &cache{}
	}
	c := &cache{max: limit}
	// The number is bounded by what each costs at least; the bytes are bounded in keep.
	entries, err := simplelru.NewLRU(limit/entryBytes+1, func(_ key, e *entry) { c.bytes -= e.cost() })
	if err != nil { // only for a size below 1
		panic(err)
	}
	c.entries = entries
	return c
}

func (e *entry) cost() int { return len(e.body) + entryBytes }

// keyOf names a request whose answer may be kept.
func keyOf(req *http.Request) (key, bool) {
	if req.Method != http.MethodGet || req.Header.Get("If-None-Match") != "" || req.Header.Get("Range") != "" {
		return key{}, false
	}
	h := sha256.New()
	io.WriteString(h, req.URL.String()+"\n") //nolint:errcheck // a hash takes everything
	req.Header.Write(h)                      //nolint:errcheck // the same
	return key(h.Sum(nil)), true
}

// look finds the answer that was kept for a request; nil when there is none.
func (c *cache) look(req *http.Request) *entry {
	k, ok := keyOf(req)
	if !ok || c.entries == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, _ := c.entries.Get(k)
	return e
}

// answer is what the caller sees: the kept answer for a 304, else what came, which is
// kept when it may be.
func (c *cache) answer(req *http.Request, kept *entry, resp *http.Response) *http.Response {
	if kept != nil && resp.StatusCode == http.StatusNotModified {
		header := kept.header.Clone()
		for name, values := range resp.Header { // newer: the budget, the date
			header[name] = values
		}
		resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
		resp.Header = header
		resp.Body = io.NopCloser(bytes.NewReader(kept.body))
		resp.ContentLength = int64(len(kept.body))
		return resp
	}
	c.keep(req, resp)
	return resp
}

func (c *cache) keep(req *http.Request, resp *http.Response) {
	k, ok := keyOf(req)
	if !ok || c.entries == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	etag := resp.Header.Get("ETag")
	if resp.StatusCode != http.StatusOK || etag == "" {
		if resp.StatusCode < http.StatusInternalServerError {
			c.entries.Remove(k) // what is gone or may not be seen is not kept
		}
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil { // it is in memory
		panic(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	e := &entry{etag: etag, header: resp.Header.Clone(), body: body}
	if e.cost() > c.max/4 {
		c.entries.Remove(k)
		return
	}
	c.entries.Remove(k) // Add would replace without telling what left
	c.entries.Add(k, e)
	c.bytes += e.cost()
	for c.bytes > c.max {
		c.entries.RemoveOldest()
	}
}
