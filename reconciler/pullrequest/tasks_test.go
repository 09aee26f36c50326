package pullrequest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/reconciler/pull"
)

// TestWhoIsAloneWithAPullRequestIsAlone lets many in, some of whom do not wait for it,
// while looks are asked for.
func TestWhoIsAloneWithAPullRequestIsAlone(t *testing.T) {
	t.Parallel()
	l := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	var looks sync.WaitGroup
	l.spawn = func(do func(context.Context)) { looks.Go(func() { do(t.Context()) }) }
	key := pull.Key{Repository: "config", Number: 7}

	inside, leave, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		first <- l.alone(t.Context(), key, func() error { close(inside); <-leave; return errors.ErrUnsupported })
	}()
	<-inside
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.alone(gone, key, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait: %v", err)
	}
	busy, most, done := 0, 0, 0 // guarded by being alone
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := l.alone(t.Context(), key, func() error {
				busy++
				most = max(most, busy)
				done++
				busy--
				return nil
			}); err != nil {
				t.Error(err)
			}
			l.schedule(key, func(*task) {})
		})
	}
	close(leave)
	if err := <-first; !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("its own error: %v", err)
	}
	all.Wait()
	if err := l.Look(t.Context(), key); err != nil { // nobody holds it any more
		t.Error(err)
	}
	looks.Wait()
	if done != 50 || most != 1 {
		t.Errorf("%d were let in, %d at once", done, most)
	}
	if len(l.tasks) != 0 {
		t.Errorf("what is over is kept: %v", l.tasks)
	}
}
