package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// waitingAfter is how long something may take before people are told of it.
const waitingAfter = time.Second

// waiting tells people what a command is at, as soon as that takes long: on a screen in
// one line that goes when it is over, else in a line for each.
type waiting struct {
	out  io.Writer
	live bool

	mu    sync.Mutex // guards what follows, and the writes
	step  int
	shown bool
}

func (c *cli) waiting() *waiting { return &waiting{out: c.err, live: c.isTerminal()} }

// at says what is done now; what was done before is over.
func (w *waiting) at(what string) {
	now := w.end()
	time.AfterFunc(waitingAfter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.step != now {
			return
		}
		end := "\n"
		if w.live {
			end = ""
		}
		_, _ = fmt.Fprintf(w.out, "%s …%s", what, end)
		w.shown = w.live
	})
}

// end tells that what was done is over.
func (w *waiting) end() (next int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step++
	if w.shown {
		_, _ = fmt.Fprint(w.out, "\r\033[K")
		w.shown = false
	}
	return w.step
}
