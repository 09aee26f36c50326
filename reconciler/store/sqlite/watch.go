package sqlite

import (
	"context"
	"sync"
)

// watchers are the channels of Watch. The zero value is ready.
type watchers struct {
	mu    sync.Mutex // guards what follows
	chans map[chan struct{}]struct{}
	ended bool
}

// Watch returns a channel that receives after events were committed.
func (s *Store) Watch(ctx context.Context) <-chan struct{} { return s.watch.add(ctx) }

func (w *watchers) add(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	c <- struct{}{}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		close(c)
		return c
	}
	if w.chans == nil {
		w.chans = map[chan struct{}]struct{}{}
	}
	w.chans[c] = struct{}{}
	context.AfterFunc(ctx, func() { w.remove(c) })
	return c
}

func (w *watchers) remove(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.chans[c]; ok {
		delete(w.chans, c)
		close(c)
	}
}

// fire tells all; one that has not read the last time is told once.
func (w *watchers) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.chans {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for c := range w.chans {
		delete(w.chans, c)
		close(c)
	}
}
