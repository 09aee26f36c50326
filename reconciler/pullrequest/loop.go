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
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
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
	Untouched(ctx context.Context, p reconciler.Proposal) (pull.Round, bool, error)
	Proposed(key pull.Key) bool
	ForgetProposal(key pull.Key)
	Abandon(ctx context.Context, id stackjob.JobID) error
	View(repository string) *reconciler.View
	Compared(repository string) *reconciler.View
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
	// open are those that the last list had, by number; nil before the first.
	open map[int]sighting
	// asked is when the forge was asked last for those that are unfinished and not open.
	asked map[int]time.Time
	// seen is the commit of the followed branch that those at rest were derived with last.
	seen string
	err  error
	// at is the repository on the forge (originOf); "" before the forge was asked.
	at string
	// noLong is until when no long text is written, since the forge refused one.
	noLong time.Time
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
	pace.Poke(l.inbox) // what an earlier life received and did not finish
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
