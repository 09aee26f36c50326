// Package pullrequest is the loop that keeps pull requests in step with what is
// planned, decided and applied: the other face of package reconciler, which keeps
// stacks in step with the followed branch.
//
//	webhook ─▶ inbox ─┐
//	poll ─────────────┼─▶ look ─▶ commands ─▶ round of plans ─▶ what should stand there ─▶ posted
//	job events ───────┘
//
// A look derives everything from what the forge says and what is recorded; it does not
// matter what asked for it, and a look too many changes nothing. So a delivery that is
// lost, late, doubled or forged does no harm: the next poll finds what it was about.
//
// What has an effect elsewhere is written down before it is done: a command before it
// is obeyed, a comment before it is posted. A daemon that was killed in between finds
// the note and asks the forge whether it happened.
package pullrequest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Records is what the loop needs of the store.
type Records interface {
	store.Jobs
	store.Stacks
	store.Pulls
}

// Planner is what the loop needs of the reconciler.
type Planner interface {
	Propose(ctx context.Context, p reconciler.Proposal) (pull.Round, error)
	Proposed(key pull.Key) bool
	ForgetProposal(key pull.Key)
	Abandon(ctx context.Context, id stackjob.JobID) error
	View(repository string) *reconciler.View
	Poll(ctx context.Context, repository string) error
	Accept(ctx context.Context, id stackjob.JobID, a stackjob.Approval) (stackjob.Job, error)
	Reject(ctx context.Context, id stackjob.JobID, by stackjob.Actor, digest, comment string) (stackjob.Job, error)
	Rerun(ctx context.Context, id stackjob.JobID, by stackjob.Actor) (stackjob.Job, error)
	Stop(ctx context.Context, id stackjob.JobID, by stackjob.Actor) (stackjob.Job, error)
	Settings() reconciler.Settings
	NewJobID() stackjob.JobID
	ApplyProposed(ctx context.Context, key pull.Key, a pull.Apply, planned stackjob.JobID, after []stackjob.JobID) error
	WakeAll(ctx context.Context, ids []stackjob.JobID) error
	CompareNow(ctx context.Context, repository string) error
	CompareAgain(repository string)
}

// Options are what a Loop is made of.
type Options struct {
	Records    Records
	Watcher    store.Watcher
	Planner    Planner
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Page is the address of a job's page, "" for none; may be nil.
	Page func(id stackjob.JobID) string
	// LogTail returns the end of a job's log, cleaned; may be nil.
	LogTail func(ctx context.Context, id stackjob.JobID) string
	// Quiet is the shortest time between two edits of the living comment while plans
	// are still coming in; 0 means two seconds.
	Quiet time.Duration
}

// Repository is a config repository on a forge.
type Repository struct {
	// Name is the name in the configuration.
	Name  string
	Forge forge.Repository
	// Merges are of the followed repository: what is planned.
	Merges gitsource.Proposals
	// PollInterval is how often the open pull requests are listed.
	PollInterval time.Duration
}

// Loop follows the pull requests of repositories.
type Loop struct {
	o       Options
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex // guards what follows
	repos map[string]*followed
	tasks map[pull.Key]*task
	// start begins to follow; nil before Run.
	start func(*followed)
	// spawn runs a look; nil before Run.
	spawn func(func(context.Context))
	inbox chan struct{} // capacity 1
	// merging bounds the merges that are made at once.
	merging chan struct{}
}

// followed is one repository of a running loop.
type followed struct {
	Repository
	// forge is Repository.Forge behind a memory of who may do what.
	rights *rights
	nudge  chan struct{} // capacity 1: list the open pull requests now
	stop   context.CancelFunc
	done   chan struct{}

	mu sync.Mutex // guards what follows
	// open are the numbers that the last list had; nil before the first.
	open map[int]time.Time
	err  error
}

// task is the looking at one pull request: one look at a time.
type task struct {
	running bool
	// again asks for another look when this one ends; ask, for one that asks the
	// forge.
	again, ask bool
	// seen is the newest word of the forge that came with a list.
	seen *forge.PullRequest
	// timer looks again later; due is when.
	timer *time.Timer
	due   time.Time
	// waiters are told of the end of the look that is asked for next.
	waiters []chan error
	// failures in a row.
	failures int
}

// defaultQuiet is the shortest time between two edits while plans come in.
const defaultQuiet = 2 * time.Second

// New returns a Loop that follows nothing.
func New(o Options) *Loop {
	o.Quiet = cmp.Or(o.Quiet, defaultQuiet)
	if o.Page == nil {
		o.Page = func(stackjob.JobID) string { return "" }
	}
	if o.LogTail == nil {
		o.LogTail = func(context.Context, stackjob.JobID) string { return "" }
	}
	return &Loop{o: o, log: o.Log.With("component", "pullrequest"), metrics: newMetrics(o.Registerer),
		repos: map[string]*followed{}, tasks: map[pull.Key]*task{}, inbox: make(chan struct{}, 1), merging: make(chan struct{}, merges)}
}

// Follow adds a repository. Its work starts with Run, or at once when that has begun.
func (l *Loop) Follow(r Repository) {
	f := &followed{Repository: r, rights: newRights(r.Forge, l.o.Now), nudge: make(chan struct{}, 1), stop: func() {}, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repos[r.Name] = f
	if l.start != nil {
		l.start(f)
	}
}

// Leave stops following a repository's pull requests. They stay as they are.
func (l *Loop) Leave(name string) {
	l.mu.Lock()
	f, started := l.repos[name], l.start != nil
	delete(l.repos, name)
	l.mu.Unlock()
	if f == nil {
		return
	}
	f.stop()
	if started {
		<-f.done
	}
}

func (l *Loop) repository(name string) *followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repos[name]
}

// Follows tells whether deliveries for a repository are of use.
func (l *Loop) Follows(name string) bool { return l.repository(name) != nil }

// Receive writes a verified delivery into the inbox and returns when it is durable;
// then it is worked on.
func (l *Loop) Receive(ctx context.Context, repository string, d forge.Delivery) error {
	fresh, err := l.o.Records.Receive(ctx, pull.Delivery{Repository: repository, ID: d.ID, ReceivedAt: l.o.Now(),
		Topic: string(d.Topic), Number: d.Number, Branch: d.Branch, Comment: d.Comment})
	if err != nil {
		return err
	}
	l.metrics.delivery(d.Topic, fresh)
	if fresh {
		poke(l.inbox)
	}
	return nil
}

// looks is how many pull requests are looked at at once.
const looks = 4

// Run works until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	var all sync.WaitGroup
	slots := make(chan struct{}, looks)
	l.mu.Lock()
	l.spawn = func(do func(context.Context)) {
		all.Go(func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				do(ctx)
			case <-ctx.Done():
			}
		})
	}
	l.start = func(f *followed) {
		fctx, stop := context.WithCancel(ctx)
		f.stop = stop
		all.Go(func() {
			defer close(f.done)
			defer stop()
			l.poll(fctx, f)
		})
	}
	for _, f := range l.repos {
		l.start(f)
	}
	l.mu.Unlock()
	poke(l.inbox) // what an earlier life received and did not finish
	all.Go(func() { l.watch(ctx) })
	all.Go(func() { l.work(ctx) })
	<-ctx.Done()
	l.mu.Lock()
	l.spawn = nil
	for _, t := range l.tasks {
		if t.timer != nil {
			t.timer.Stop()
		}
		for _, w := range t.waiters {
			w <- ctx.Err()
		}
		t.waiters = nil
	}
	l.mu.Unlock()
	all.Wait()
	return ctx.Err()
}

// poll lists the open pull requests of a repository again and again: the truth, of
// which deliveries are only the early news.
func (l *Loop) poll(ctx context.Context, f *followed) {
	failures := 0
	for {
		err := l.list(ctx, f)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		was := f.err
		f.err = err
		f.mu.Unlock()
		switch {
		case err == nil && was != nil:
			l.log.Info("the forge answers again", "repository", f.Name)
		case err != nil && (was == nil || was.Error() != err.Error()):
			l.log.Warn("listing pull requests failed; what is known stays in force", "repository", f.Name, "error", err)
		}
		if failures++; err == nil {
			failures = 0
		}
		interval := f.PollInterval
		if failures > 0 {
			interval = min(interval, firstPause)
		}
		t := time.NewTimer(pause(interval, failures, err))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-f.nudge:
			t.Stop()
		case <-t.C:
		}
	}
}

// firstPause is the longest pause after a first failure to list.
const firstPause = 5 * time.Second

// longest is the longest pause after failures.
const longest = 5 * time.Minute

// pause is how long to wait before the next try, a tenth of it by chance, so that many
// daemons do not ask in step.
func pause(interval time.Duration, failures int, err error) time.Duration {
	d := interval
	if failures > 0 {
		d = min(interval<<min(failures-1, 6), max(longest, interval))
		var ce *forge.CallError
		if errors.As(err, &ce) {
			d = max(d, ce.RetryAfter)
		}
	}
	return d + time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // jitter is no secret
}

// list asks for the open pull requests and has those looked at that moved, or that are
// not among them any more.
func (l *Loop) list(ctx context.Context, f *followed) error {
	prs, err := f.Forge.OpenPullRequests(ctx)
	if err != nil {
		return err
	}
	open := map[int]time.Time{}
	f.mu.Lock()
	before := f.open
	f.mu.Unlock()
	for _, pr := range prs {
		open[pr.Number] = pr.UpdatedAt
		if at, known := before[pr.Number]; known && at.Equal(pr.UpdatedAt) {
			continue // neither a commit nor a comment
		}
		l.schedule(pull.Key{Repository: f.Name, Number: pr.Number}, asking(&pr))
	}
	unfinished, err := l.o.Records.Pulls(ctx, store.PullQuery{Repository: f.Name, Unfinished: true, Limit: 10000})
	if err != nil {
		return err
	}
	for _, p := range unfinished {
		// One that was closed or merged; or one whose comments may have moved without
		// its time, as where a forge does not count an edit.
		if _, is := open[p.Key.Number]; !is || p.ByReview { // that a review was dismissed moves no time
			l.schedule(p.Key, asking(nil))
		}
	}
	f.mu.Lock()
	f.open = open
	f.mu.Unlock()
	return l.moved(ctx, f.Name)
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
	t.due = due
	t.timer = time.AfterFunc(after, func() { l.schedule(key, func(t *task) { t.timer, t.ask = nil, t.ask || ask }) })
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
		return
	case errors.Is(err, forge.ErrNotFound) && t.failures >= notThere:
		// Nobody knows of it but a delivery. When it is there after all, the list of
		// open pull requests has it.
		l.log.Warn("there is no such pull request", "pull", key.String())
		t.failures = 0
	case err != nil:
		t.failures++
		wait := pause(time.Second, t.failures, err)
		if t.failures == 1 {
			l.log.Warn("looking at a pull request failed; it is tried again", "pull", key.String(), "error", err)
		}
		l.later(key, t, wait, asked)
	default:
		t.failures = 0
		if next > 0 {
			l.later(key, t, next, false)
		}
	}
	if !t.again && t.timer == nil && len(t.waiters) == 0 {
		delete(l.tasks, key)
		return
	}
	l.begin(key, t)
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

// watch has the pull requests looked at whose jobs moved.
func (l *Loop) watch(ctx context.Context) {
	var last int64 = -1
	for range l.o.Watcher.Watch(ctx) {
		if last < 0 {
			last = l.newestEvent(ctx)
			l.unfinished(ctx) // what moved while nobody watched
			continue
		}
		moved := map[stackjob.JobID]bool{}
		for {
			events, err := l.o.Records.Events(ctx, "", last, 500)
			if err != nil || len(events) == 0 {
				break
			}
			for _, e := range events {
				last = e.Seq
				moved[e.Job] = true
			}
		}
		if len(moved) > 0 {
			l.concerned(ctx, moved)
		}
	}
}

// newestEvent is where the history ends.
func (l *Loop) newestEvent(ctx context.Context) int64 {
	var last int64
	for {
		events, err := l.o.Records.Events(ctx, "", last, 1000)
		if err != nil || len(events) == 0 {
			return last
		}
		last = events[len(events)-1].Seq
	}
}

// concerned has the pull requests derived anew that moved jobs belong to, or whose
// resources they are of. It costs no call to a forge unless something else is to stand
// there.
func (l *Loop) concerned(ctx context.Context, moved map[stackjob.JobID]bool) {
	stacks := map[schema.ResourceKey]bool{}
	pulls := map[string]bool{}
	for id := range moved {
		job, err := l.o.Records.Job(ctx, id)
		if err != nil {
			continue // forgotten meanwhile
		}
		if job.Pull != "" {
			pulls[job.Pull] = true
		} else {
			stacks[job.Desired.Key] = true
		}
	}
	l.each(ctx, func(p pull.Pull) bool {
		return pulls[p.Key.String()] || p.Round != nil && slices.ContainsFunc(p.Round.Rows, func(r pull.Row) bool { return stacks[r.Key] })
	})
}

// unfinished has every unfinished pull request derived anew.
func (l *Loop) unfinished(ctx context.Context) { l.each(ctx, func(pull.Pull) bool { return true }) }

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

// inboxBatch is how many deliveries are worked on at once. One that the forge does not
// let succeed holds up no other.
const inboxBatch = 1000

// work takes deliveries out of the inbox. A delivery is finished when the look that it
// asks for has succeeded.
func (l *Loop) work(ctx context.Context) {
	type id struct{ repository, delivery string }
	var mu sync.Mutex
	under := map[id]bool{}
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.inbox:
		}
		batch, err := l.o.Records.Inbox(ctx, inboxBatch)
		if err != nil {
			if ctx.Err() == nil {
				l.log.Warn("cannot read the inbox", "error", err)
				time.AfterFunc(inboxAgain, func() { poke(l.inbox) })
			}
			continue
		}
		for _, d := range batch {
			name := id{d.Repository, d.ID}
			mu.Lock()
			begun := under[name]
			under[name] = true
			mu.Unlock()
			if begun {
				continue
			}
			all.Go(func() {
				l.deliver(ctx, d)
				mu.Lock()
				delete(under, name)
				mu.Unlock()
				if len(batch) == inboxBatch {
					poke(l.inbox) // there may be more than were read
				}
			})
		}
	}
}

// inboxAgain is when an inbox that could not be read is read again.
const inboxAgain = time.Second

// deliver does what a delivery asks for, until it has succeeded.
func (l *Loop) deliver(ctx context.Context, d pull.Delivery) {
	for failures := 1; ; failures++ {
		err := l.handle(ctx, d)
		if err == nil {
			err = l.o.Records.FinishDelivery(ctx, d.Repository, d.ID)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if failures == maxTries {
			// What it was about is found by the poll.
			l.log.Warn("a delivery is given up; polling will find what it was about", "repository", d.Repository, "delivery", d.ID, "error", err)
			if err := l.o.Records.FinishDelivery(ctx, d.Repository, d.ID); err != nil {
				l.log.Warn("cannot finish a delivery", "error", err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(time.Second, failures, err)):
		}
	}
}

// maxTries is how often a delivery is tried.
const maxTries = 5

func (l *Loop) handle(ctx context.Context, d pull.Delivery) error {
	f := l.repository(d.Repository)
	if f == nil {
		return nil // no longer followed
	}
	switch forge.Topic(d.Topic) {
	case forge.TopicPush:
		if view := l.o.Planner.View(d.Repository); view != nil && view.Revision.Branch != "" && view.Revision.Branch != d.Branch {
			return nil
		}
		if err := l.o.Planner.Poll(ctx, d.Repository); err != nil {
			return fmt.Errorf("poll %s: %w", d.Repository, err)
		}
		return l.moved(ctx, d.Repository)
	case forge.TopicPullRequest, forge.TopicComment, forge.TopicReview:
		if d.Number <= 0 {
			return nil
		}
		err := l.Look(ctx, pull.Key{Repository: d.Repository, Number: d.Number})
		if errors.Is(err, forge.ErrNotFound) && l.o.Now().Sub(d.ReceivedAt) > settles {
			return nil // it is gone, or was never there
		}
		return err
	}
	return nil
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

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
