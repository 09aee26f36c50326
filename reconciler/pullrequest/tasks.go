package pullrequest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// task is the looking at one pull request: one look at a time.
type task struct {
	running bool
	// again asks for another look when this one ends; ask, for one that asks the
	// forge.
	again, ask bool
	// seen is the newest word of the forge that came with a list.
	seen *forge.PullRequest
	// timer looks again later; due is when, and askThen whether to ask the forge.
	timer   *time.Timer
	due     time.Time
	askThen bool
	// waiters are told of the end of the look that is asked for next.
	waiters []chan error
	// failures in a row.
	failures int
	// alone are those who wait to have the pull request for themselves (Loop.alone).
	alone []chan struct{}
}

// alone does something while nobody looks at a pull request, and has it looked at then.
func (l *Loop) alone(ctx context.Context, key pull.Key, do func() error) error {
	l.mu.Lock()
	t := l.tasks[key]
	if t == nil {
		t = &task{}
		l.tasks[key] = t
	}
	if t.running {
		mine := make(chan struct{})
		t.alone = append(t.alone, mine)
		l.mu.Unlock()
		select {
		case <-mine:
		case <-ctx.Done():
			l.mu.Lock()
			defer l.mu.Unlock()
			if i := slices.Index(t.alone, mine); i >= 0 {
				t.alone = slices.Delete(t.alone, i, i+1)
			} else { // it is ours in this very moment
				t.running = false
				l.next(key, t)
			}
			return ctx.Err()
		}
	} else {
		t.running = true
		l.mu.Unlock()
	}
	err := do()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.running, t.again = false, true
	l.next(key, t)
	return err
}

// next lets the next one have a pull request: who waits to be alone, or a look. The caller
// holds mu.
func (l *Loop) next(key pull.Key, t *task) {
	if !t.running && len(t.alone) > 0 {
		next := t.alone[0]
		t.alone, t.running = t.alone[1:], true
		close(next)
		return
	}
	l.begin(key, t)
}

// Look looks at a pull request now, asking the forge, and returns when that look has
// ended.
func (l *Loop) Look(ctx context.Context, key pull.Key) error {
	done := make(chan error, 1)
	l.schedule(key, func(t *task) { t.ask = true; t.waiters = append(t.waiters, done) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asking makes the next look ask the forge; seen is what a list said just now.
func asking(seen *forge.PullRequest) func(*task) {
	return func(t *task) {
		t.ask = true
		if seen != nil {
			t.seen = seen
		}
	}
}

// schedule has a pull request looked at; how says what for.
func (l *Loop) schedule(key pull.Key, how func(*task)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tasks[key]
	if t == nil {
		t = &task{}
		l.tasks[key] = t
	}
	how(t)
	t.again = true
	l.begin(key, t)
}

// later has a pull request looked at after a time, unless that happens sooner anyway.
// The caller holds mu.
func (l *Loop) later(key pull.Key, t *task, after time.Duration, ask bool) {
	due := l.o.Now().Add(after)
	if t.timer != nil && t.due.Before(due) {
		due, after = t.due, max(0, t.due.Sub(l.o.Now()))
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	t.due, t.askThen = due, ask || t.timer != nil && t.askThen
	t.timer = time.AfterFunc(after, func() { l.schedule(key, func(t *task) { t.timer, t.ask = nil, t.ask || t.askThen }) })
}

// lookWithin has a pull request derived anew within a time.
func (l *Loop) lookWithin(key pull.Key, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tasks[key]
	if t == nil {
		t = &task{}
		l.tasks[key] = t
	}
	l.later(key, t, within, false)
}

// begin runs a look when none runs. The caller holds mu.
func (l *Loop) begin(key pull.Key, t *task) {
	if t.running || !t.again || l.spawn == nil {
		return
	}
	t.running, t.again = true, false
	ask, seen, waiters := t.ask, t.seen, t.waiters
	t.ask, t.seen, t.waiters = false, nil, nil
	l.spawn(func(ctx context.Context) {
		next, err := l.lookOnce(ctx, key, ask, seen)
		l.ended(ctx, key, ask, next, err)
		for _, w := range waiters {
			w <- err
		}
	})
}

// ended is what becomes of a look that ended.
func (l *Loop) ended(ctx context.Context, key pull.Key, asked bool, next time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tasks[key]
	t.running = false
	l.metrics.looked(err)
	switch {
	case ctx.Err() != nil:
		l.next(key, t)
		return
	case errors.Is(err, forge.ErrNotFound) && t.failures >= notThere:
		// Nobody knows of it but a delivery. When it is there after all, the list of
		// open pull requests has it.
		l.log.Warn("there is no such pull request", "pull", key.String())
		t.failures = 0
	case err != nil:
		t.failures++
		wait := pace.Pause(time.Second, t.failures, retryAfter(err))
		if t.failures == 1 {
			l.log.Warn("looking at a pull request failed; it is tried again", "pull", key.String(), "error", err)
		}
		l.later(key, t, wait, asked)
		t.ask = t.ask || asked // a look that comes sooner must not go by half of what the forge says
	default:
		t.failures = 0
		if next > 0 {
			l.later(key, t, next, false)
		}
	}
	if !t.again && t.timer == nil && len(t.waiters) == 0 && len(t.alone) == 0 {
		delete(l.tasks, key)
		return
	}
	l.next(key, t)
}

// notThere is how often a pull request is looked for that the forge does not know.
const notThere = 8

func (l *Loop) lookOnce(ctx context.Context, key pull.Key, ask bool, seen *forge.PullRequest) (next time.Duration, err error) {
	f := l.repository(key.Repository)
	if f == nil {
		return 0, nil
	}
	s := &sitting{l: l, f: f, key: key}
	err = s.look(ctx, ask, seen)
	return s.next, err
}

// each schedules the unfinished pull requests that want accepts.
func (l *Loop) each(ctx context.Context, want func(pull.Pull) bool) {
	l.mu.Lock()
	names := make([]string, 0, len(l.repos))
	for n := range l.repos {
		names = append(names, n)
	}
	l.mu.Unlock()
	for _, name := range names {
		list, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: name, Unfinished: true, Limit: 10000})
		if err != nil {
			l.log.Warn("cannot read the pull requests", "repository", name, "error", err)
			return
		}
		for _, p := range list {
			if want(p) {
				l.schedule(p.Key, func(*task) {})
			}
		}
	}
}

// settles is how long a forge may take to know what it has just told of.
const settles = 10 * time.Second

// askSoon has a pull request looked at after a moment, asking the forge.
func (l *Loop) askSoon(key pull.Key, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tasks[key]; t != nil {
		l.later(key, t, after, true)
	}
}
