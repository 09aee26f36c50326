package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
)

const (
	// quickest and slowest bound the pause between two looks at a journal: an
	// event is seen soon after it is written, and a long apply costs little.
	quickest = time.Millisecond
	slowest  = 15 * time.Millisecond
	// aliveEvery is how often it is asked whether an attached runner lives.
	aliveEvery = 100 * time.Millisecond
)

// run is one phase.
type run struct {
	folder string
	// gone is closed when our own child has ended; nil for a runner of an
	// earlier daemon and for one that has ended.
	gone chan struct{}
	// leader is the pid of an attached runner that was seen alive, 0 otherwise.
	leader int
	// spares gets another spare runner as soon as this one's engine works; nil for
	// none.
	spares *spares
}

// Wait implements [engine.Run]. An error that wraps [engine.ErrLost] wraps
// [engine.ErrNotStarted] too when no engine was started.
func (r *run) Wait(ctx context.Context, observe func(engine.Event)) (engine.Result, error) {
	if observe == nil {
		observe = func(engine.Event) {}
	}
	if r.spares != nil {
		observe = r.refill(observe)
	}
	t := openTail(r.folder)
	defer t.close()
	pause := quickest
	var alive time.Time // asked at once: it may have ended long ago
	for {
		if err := ctx.Err(); err != nil {
			return engine.Result{}, err
		}
		n, ended, err := drain(ctx, t, observe)
		if err != nil {
			return engine.Result{}, fmt.Errorf("watch %s: %w", r.folder, err)
		}
		if n > 0 {
			pause = quickest
		}
		if ended {
			if res, err := readResult(r.folder); err != nil || res != nil {
				return valueOf(res), err
			}
		}
		gone := r.isGone()
		if !gone && r.gone == nil && time.Since(alive) >= aliveEvery {
			alive = time.Now()
			held, err := isHeld(r.folder)
			if err != nil {
				return engine.Result{}, fmt.Errorf("watch %s: %w", r.folder, err)
			}
			gone = !held
		}
		if gone {
			res, err := r.end(ctx, t, observe)
			if !errors.Is(err, errHeld) {
				return res, err
			}
			// Another runner has the folder: one that was started in another way.
			r = &run{folder: r.folder}
		}
		select {
		case <-ctx.Done():
		case <-r.gone:
		case <-time.After(pause):
		}
		pause = min(pause*3/2, slowest)
	}
}

// refill has the spare for the next phase started while an engine keeps this one
// busy: before, the two would only be in each other's way.
func (r *run) refill(observe func(engine.Event)) func(engine.Event) {
	return func(e engine.Event) {
		if e.Type == engine.EngineStarted {
			go r.spares.fill()
		}
		observe(e)
	}
}

func (r *run) isGone() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

// drain passes on what is there. ended tells that the runner said it was done.
func drain(ctx context.Context, t *tail, observe func(engine.Event)) (n int, ended bool, err error) {
	for ctx.Err() == nil {
		e, ok, err := t.next()
		if err != nil || !ok {
			return n, ended, err
		}
		n++
		observe(e)
		ended = ended || e.Type == engine.RunnerEnded
	}
	return n, ended, nil
}

// end is for a phase whose runner lives no more: all that it wrote is there.
func (r *run) end(ctx context.Context, t *tail, observe func(engine.Event)) (engine.Result, error) {
	leader := r.leader
	if r.gone != nil {
		leader = readHolder(r.folder).PID
	}
	e, err := giveUp(ctx, r.folder, leader)
	if err != nil {
		return engine.Result{}, fmt.Errorf("end %s: %w", r.folder, err)
	}
	if _, _, err := drain(ctx, t, observe); err != nil {
		return engine.Result{}, fmt.Errorf("watch %s: %w", r.folder, err)
	}
	switch e {
	case endedWithResult:
		res, err := readResult(r.folder)
		return valueOf(res), err
	case endedUnbegun:
		return engine.Result{}, fmt.Errorf("%s: %w: %w", r.folder, engine.ErrLost, engine.ErrNotStarted)
	}
	return engine.Result{}, fmt.Errorf("%s: %w", r.folder, engine.ErrLost)
}

func valueOf(r *engine.Result) engine.Result {
	if r == nil {
		return engine.Result{}
	}
	return *r
}

// Interrupt implements [engine.Run]. It returns an error that is
// [os.ErrProcessDone] when the runner has ended.
func (r *run) Interrupt() error {
	held, err := isHeld(r.folder)
	if err != nil {
		return fmt.Errorf("interrupt %s: %w", r.folder, err)
	}
	if !held {
		return fmt.Errorf("interrupt %s: %w", r.folder, os.ErrProcessDone)
	}
	// For a runner that does not listen to signals yet: it looks for the file when
	// it does. Either the file is seen, or the pid.
	f, err := os.OpenFile(filepath.Join(r.folder, interruptFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("interrupt %s: %w", r.folder, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("interrupt %s: %w", r.folder, err)
	}
	h := readHolder(r.folder)
	if h.PID == 0 {
		return nil
	}
	if err := sweep.Signal(h.PID, h.run(), unix.SIGTERM); err != nil {
		return fmt.Errorf("interrupt %s: %w", r.folder, err)
	}
	return nil
}
