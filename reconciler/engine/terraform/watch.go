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
	pid    int // written by the goroutine, read after done
	notify func(pid int)
	// killed tells that it outlived its grace time; written by the goroutine,
	// read after done.
	killed bool
}

// watch begins to look for the engine that is about to be started in dir. started
// is called once, with 0 when the engine was gone before it was seen.
func watch(ctx context.Context, dir string, grace time.Duration, started func(pid int)) *watcher {
	w := &watcher{ended: make(chan struct{}), notify: started}
	w.done.Go(func() {
		w.find(dir)
		w.notify(w.pid)
		select {
		case <-w.ended:
		case <-ctx.Done():
			w.endAfter(grace)
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

// find polls: the process appears within a millisecond or two.
func (w *watcher) find(dir string) {
	const longest = 20 * time.Millisecond
	pause := 200 * time.Microsecond
	for {
		if w.pid = childIn(dir); w.pid != 0 {
			return
		}
		select {
		case <-w.ended:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
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
