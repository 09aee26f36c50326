package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// patience bounds a wait for something that must happen; it is never waited out
// when it does.
const patience = 2 * time.Minute

// looks is a Work under observation. Each call of advance is counted, and does what
// the test wants.
type looks struct {
	s    *subject
	stop context.CancelFunc
	done chan error

	mu      sync.Mutex
	changed *sync.Cond
	count   map[stackjob.JobID]int
	active  map[stackjob.JobID]int
	highest int // of all active at once
	doubled []stackjob.JobID
	do      func(ctx context.Context, id stackjob.JobID) error
}

// work starts Work and returns when the wake-ups of its start were answered.
func (s *subject) work(slots int) *looks {
	s.t.Helper()
	l := s.workWith(slots, nil)
	jobs, err := s.List(s.ctx(), openOnly)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, j := range jobs {
		l.await("the first look at "+string(j.ID), func() bool { return l.count[j.ID] > 0 })
	}
	return l
}

func (s *subject) workWith(slots int, do func(ctx context.Context, id stackjob.JobID) error) *looks {
	ctx, stop := context.WithCancel(context.Background())
	l := &looks{s: s, stop: stop, done: make(chan error, 1), count: map[stackjob.JobID]int{}, active: map[stackjob.JobID]int{}, do: do}
	l.changed = sync.NewCond(&l.mu)
	records := s.Records
	go func() { l.done <- records.Work(ctx, slots, l.advance) }()
	s.t.Cleanup(l.end)
	return l
}

func (l *looks) advance(ctx context.Context, id stackjob.JobID) error {
	l.mu.Lock()
	l.count[id]++
	l.active[id]++
	if l.active[id] > 1 {
		l.doubled = append(l.doubled, id)
	}
	n := 0
	for _, a := range l.active {
		n += a
	}
	l.highest = max(l.highest, n)
	do := l.do
	l.changed.Broadcast()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.active[id]--
		l.changed.Broadcast()
		l.mu.Unlock()
	}()
	if do == nil {
		return nil
	}
	return do(ctx, id)
}

// end stops Work and waits for it.
func (l *looks) end() {
	if l.done == nil {
		return
	}
	l.stop()
	if err := <-l.done; err != nil {
		l.s.t.Errorf("work: %v", err)
	}
	l.done = nil
	if len(l.doubled) > 0 {
		l.s.t.Errorf("advanced twice at once: %v", l.doubled)
	}
}

// await waits until a condition over the counts holds.
func (l *looks) await(what string, cond func() bool) {
	l.s.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		l.mu.Lock()
		late = true
		l.changed.Broadcast()
		l.mu.Unlock()
	})
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !cond() {
		if late {
			l.s.t.Fatalf("waited in vain for %s; %d jobs were looked at", what, len(l.count))
		}
		l.changed.Wait()
	}
}

func (l *looks) at(id stackjob.JobID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[id]
}

// some wants a look at a job because of f.
func (l *looks) some(id stackjob.JobID, f func()) {
	l.s.t.Helper()
	before := l.at(id)
	f()
	l.await("a look at "+string(id), func() bool { return l.count[id] > before })
}

// none wants no look at a job because of f. A marker that is woken after f tells
// when all that f has woken was looked at: wake-ups are served in order.
func (l *looks) none(id stackjob.JobID, f func()) {
	l.s.t.Helper()
	before := l.at(id)
	f()
	l.flush()
	if n := l.at(id) - before; n != 0 {
		l.s.t.Errorf("%d looks at %s, want none", n, id)
	}
}

func (l *looks) flush() {
	l.s.t.Helper()
	l.s.ids++
	marker := stackjob.JobID(fmt.Sprintf("sj_marker%d", l.s.ids))
	if err := l.s.Wake(l.s.ctx(), marker, time.Time{}); err != nil {
		l.s.t.Fatal(err)
	}
	l.await("the marker", func() bool { return l.count[marker] > 0 })
}
