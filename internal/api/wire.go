package api

import (
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// Prefix is where the API's routes start.
const Prefix = "/api/v1"

// The names of the server-sent events.
const (
	StreamJob       = "job"        // data: a store.JobEvent; id: its sequence number
	StreamLog       = "log"        // data: a JSON string; id: the byte offset after it
	StreamLogBase64 = "log-base64" // the same for bytes that are not UTF-8 text
	StreamEnd       = "end"        // the log is complete: nothing follows
)

// List is how the API answers with many things.
type List[T any] struct {
	Items []T `json:"items"`
}

// JobPage is a page of jobs, newest first.
type JobPage struct {
	Items []stackjob.Job `json:"items"`
	// Next is what to ask for as "before" to get the next page; "" on the last.
	Next stackjob.JobID `json:"next,omitempty"`
}

// EventPage is a page of events, oldest first.
type EventPage struct {
	Items []store.JobEvent `json:"items"`
	// Next is what to ask for as "after" to go on.
	Next int64 `json:"next"`
}

// Version is which daemon answers, and who asks.
type Version struct {
	Version string `json:"version"`
	API     string `json:"api"`
	// Identity is who the daemon takes the caller for; its zero value is an
	// anonymous reader.
	Identity stackjob.Actor `json:"identity,omitzero"`
}
