package terraform

import (
	"context"
	"sync"
	"time"
)

// watcher looks after one engine process that terraform-exec starts for us and
// does not tell us of: it finds the process, and ends its group.
type watcher struct {
	ended  chan struct{}
	done   sync.WaitGroup
	grace  time.Duration
	pid    int // written by the goroutine, read after done
	notify func(pid int)
	// killed tells that it outlived its grace time; written by the goroutine,
	// read after done.
	killed bool
}

// watch begins to look for the engine that is about to be started in dir by a thread.
// started is called once, with 0 when the engine was gone before it was seen.
func watch(ctx context.Context, dir string, by thread, grace time.Duration, started func(pid int)) *watcher {
	w := &watcher{ended: make(chan struct{}), grace: grace, notify: started}
	w.done.Go(func() {
		w.find(dir, by)
		w.notify(w.pid)
		select {
		case <-w.ended:
		case <-ctx.Done():
			w.endAfter(w.grace)
		}
		// Whatever the engine left in its group is an orphan: a provisioner's
		// child that ignores signals.
		killGroup(w.pid)
	})
	return w
}

// stop is called when the engine has ended. It returns its process id.
func (w *watcher) stop() int {
	close(w.ended)
	w.done.Wait()
	return w.pid
}

// left tells whether terraform-exec came back without having waited for the engine, which
// it does when it is cancelled in the moment of the start. Then nobody knows what the
// engine has done. It is given its grace time here.
func (w *watcher) left(ctx context.Context, dir string, by thread) bool {
	if ctx.Err() == nil {
		return false
	}
	pid := childIn(dir, by)
	if pid == 0 {
		return false
	}
	endChild(pid, w.grace)
	return true
}

// find polls: the process appears within a few milliseconds.
func (w *watcher) find(dir string, by thread) {
	const longest = 20 * time.Millisecond
	pause := time.Millisecond
	for {
		select {
		case <-w.ended:
			return
		case <-time.After(pause):
		}
		if w.pid = childIn(dir, by); w.pid != 0 {
			return
		}
		if pause = 2 * pause; pause > longest {
			pause, by = longest, 0 // it was not started where it was expected
		}
	}
}

func (w *watcher) endAfter(grace time.Duration) {
	select {
	case <-w.ended:
	case <-time.After(grace):
		w.killed = true
		killGroup(w.pid)
		<-w.ended
	}
}
