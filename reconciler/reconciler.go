// Package reconciler is the loop: it turns revisions of config repositories into
// Stack Jobs and carries each job through plan, gate and apply.
//
//	Poll ─▶ Snapshot ─▶ schema.Load ─▶ diff.Compare ─▶ Enqueue        (Reconciler)
//	wake-up ─▶ start gate ─▶ plan ─▶ apply gate ─▶ apply ─▶ recorded   (Worker)
//
// Both halves meet only in the store. The Reconciler holds, per repository, the
// newest tree that could be loaded (a [View]); the Worker asks it which policies
// are in force. Waiting is a row, never a goroutine; what a goroutine holds is
// a running engine's journal.
//
// All decisions are made by pure packages (diff, flowcontrol, stackjob). What is
// here is dull on purpose: read, ask, write, repeat.
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Settings are what a reload of the configuration may change. They are values:
// work that has started keeps those it started with.
type Settings struct {
	// DefaultProvisioner runs stacks that name no engine.
	DefaultProvisioner schema.Provisioner
	Brake              diff.Brake
	// Timeouts by operation; zero means none. Grace is how long an interrupted
	// engine may take.
	Timeouts map[stackjob.OperationKind]time.Duration
	Grace    time.Duration
	// ApprovalExpiry ends jobs that waited that long; zero means never.
	ApprovalExpiry time.Duration
	// Limits are the runners' resource limits.
	Limits engine.Limits
	// ProviderCache is the folder that providers are shared in; "" for none.
	ProviderCache string
	// Environ is the whole environment of engines; Secrets are the values in it
	// that must be masked.
	Environ map[string]string
	Secrets []string
}

// Records is what the reconciler needs of the store.
type Records interface {
	store.Jobs
	store.Stacks
	store.Revisions
	store.Wakeups
	// Approvals is of store.Pulls.
	Approvals(ctx context.Context, stack schema.ResourceKey, digest string) ([]pull.Approval, error)
	// Pull is of store.Pulls.
	Pull(ctx context.Context, key pull.Key) (pull.Pull, int64, error)
	// Turns is of store.Pulls.
	Turns(ctx context.Context) (pull.Turns, error)
	// Releases is of store.Pulls.
	Releases(ctx context.Context, stack schema.ResourceKey, limit int) ([]pull.Release, error)
}

// Hasher makes keyed hashes of values, and seals them.
type Hasher interface {
	Hash(value []byte) string
	Seal(clear []byte) ([]byte, error)
}

// Options are what a Reconciler is made of.
type Options struct {
	Records  Records
	Modules  gitsource.Modules
	Hasher   Hasher
	Settings Settings
	// Engine says why no engine can be had for what is wanted; nil when one can be had.
	// Without the function nothing is said of engines before a job needs them.
	Engine func(ctx context.Context, w engine.Wanted) error
	// Owner names this process in leases: unique in each life of a daemon.
	Owner      string
	NewID      func() stackjob.JobID
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// View is the newest tree of a repository that could be loaded, and what
// comparing it said. It is immutable.
type View struct {
	Revision   gitsource.Revision
	Tree       *schema.Tree
	Snapshot   gitsource.Snapshot
	Result     diff.Result
	ComparedAt time.Time

	changes map[schema.ResourceKey]*diff.Change
}

// newView is the view of a comparison that was just made.
func (r *Reconciler) newView(rev gitsource.Revision, snap gitsource.Snapshot, c Comparison) *View {
	v := &View{Revision: rev, Tree: c.Tree, Snapshot: snap, Result: c.Result, ComparedAt: r.o.Now(), changes: map[schema.ResourceKey]*diff.Change{}}
	for i := range v.Result.Changes {
		v.changes[v.Result.Changes[i].Key] = &v.Result.Changes[i]
	}
	return v
}

// Reconciler turns revisions into jobs.
type Reconciler struct {
	o        Options
	metrics  *metrics
	settings atomic.Pointer[Settings]
	// written tells that the records changed since they were last counted.
	written atomic.Bool

	// interrupt reaches the engine of a running job; the Worker sets it.
	interrupt func(stackjob.JobID) error

	// recording is held for writing while a comparison is made and its jobs are
	// written, and for reading by every move.
	recording sync.RWMutex

	mu    sync.Mutex // guards repos, proposed and start
	repos map[string]*repository
	// proposed are the merged trees of pull requests whose plans are being made, by
	// pull.Key.
	proposed map[string]*schema.Tree
	// start begins to follow a repository; nil before Run.
	start func(*repository)
}

// New returns a Reconciler without repositories.
func New(o Options) *Reconciler {
	r := &Reconciler{o: o, metrics: newMetrics(o.Registerer), repos: map[string]*repository{}, proposed: map[string]*schema.Tree{}}
	r.interrupt = func(stackjob.JobID) error { return nil } // nothing runs without a Worker
	s := o.Settings
	r.settings.Store(&s)
	r.written.Store(true) // nothing has been counted yet
	r.o.Records = watched{o.Records, &r.written}
	return r
}

// Settings returns the settings in force.
func (r *Reconciler) Settings() Settings { return *r.settings.Load() }

// SetSettings puts new settings in force for what starts from now on.
func (r *Reconciler) SetSettings(s Settings) { r.settings.Store(&s) }

// RepositoryOptions are how one repository is followed.
type RepositoryOptions struct {
	Source       gitsource.Source
	PollInterval time.Duration
	// Address is shown to people: the URL without credentials, or the folder.
	Address string
}

// repository is one followed repository.
type repository struct {
	o      RepositoryOptions
	loader *schema.Loader
	nudge  chan struct{} // capacity 1: look at the remote
	again  chan struct{} // capacity 1: compare the same tree again

	view atomic.Pointer[View]
	// compared tells that the jobs of a view were written: a view alone is there a
	// moment earlier, so that they can be judged by it.
	compared atomic.Bool
	status   atomic.Pointer[pollStatus]
	// stop ends the loops; done is closed when they have ended.
	stop context.CancelFunc
	done chan struct{}
	// proposals loads the trees of pull requests; proposing lets one load at a time.
	proposals *schema.Loader
	proposing sync.Mutex
	// comparing lets one comparison of the repository run at a time.
	comparing sync.Mutex
	// waiters are told of the end of the next look that begins.
	waitMu  sync.Mutex
	waiters []chan error
}

type pollStatus struct {
	at  time.Time
	err error
}

// Follow adds a repository. Its work starts with Run, or at once when that has
// begun. A repository of the same name must have been left (Leave) before.
func (r *Reconciler) Follow(o RepositoryOptions) {
	repo := &repository{o: o, loader: schema.NewLoader(schema.Options{}), proposals: schema.NewLoader(schema.Options{}),
		nudge: make(chan struct{}, 1), again: make(chan struct{}, 1), stop: func() {}, done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repos[o.Source.Name()] = repo
	if r.start != nil {
		r.start(repo)
	}
}

// Leave stops following a repository and waits until nothing of it is under way.
// Its stacks stay as they are and its jobs wait until it is followed again.
func (r *Reconciler) Leave(name string) {
	r.mu.Lock()
	repo, started := r.repos[name], r.start != nil
	delete(r.repos, name)
	r.mu.Unlock()
	if repo == nil {
		return
	}
	repo.stop()
	if started {
		<-repo.done
	}
	r.metrics.commitAge.DeleteLabelValues(name)
}

// View returns the newest tree of a repository, or nil before the first one.
func (r *Reconciler) View(name string) *View {
	if repo := r.repository(name); repo != nil {
		return repo.view.Load()
	}
	return nil
}

// Compared is View, when the jobs that its comparison led to are recorded: the policies
// of a view are in force a moment before that.
func (r *Reconciler) Compared(name string) *View {
	r.recording.RLock()
	defer r.recording.RUnlock()
	return r.View(name)
}

// Repositories lists the followed repositories by name, with how they are.
func (r *Reconciler) Repositories() []RepositoryState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []RepositoryState
	for _, name := range sortedKeys(r.repos) {
		repo := r.repos[name]
		s := RepositoryState{Name: name, Address: repo.o.Address, View: repo.view.Load(), Compared: repo.compared.Load()}
		if p := repo.status.Load(); p != nil {
			s.PolledAt, s.Err = p.at, p.err
		}
		out = append(out, s)
	}
	return out
}

// RepositoryState is how one repository is.
type RepositoryState struct {
	Name, Address string
	View          *View
	// Compared tells that the jobs of a first comparison were written.
	Compared bool
	PolledAt time.Time
	// Err is the last poll's failure; nil when it succeeded.
	Err error
}

func (r *Reconciler) repository(name string) *repository {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repos[name]
}

// Ready tells whether every repository was compared at least once, or names one
// that was not.
func (r *Reconciler) Ready() error {
	for _, s := range r.Repositories() {
		if !s.Compared {
			if s.Err != nil {
				return fmt.Errorf("repository %s: %w", s.Name, s.Err)
			}
			return fmt.Errorf("repository %s was not read yet", s.Name)
		}
	}
	return nil
}

// Poll looks at a repository now and returns when that look has ended, with its
// error. A look that is under way already does not count: it may have asked for what
// there is before that was there for which the caller wants one.
func (r *Reconciler) Poll(ctx context.Context, name string) error {
	repo := r.repository(name)
	if repo == nil {
		return fmt.Errorf("repository %q: %w", name, store.ErrNotFound)
	}
	done := make(chan error, 1)
	repo.waitMu.Lock()
	repo.waiters = append(repo.waiters, done)
	repo.waitMu.Unlock()
	pace.Poke(repo.nudge)
	select {
	case err := <-done:
		return err
	case <-repo.done:
		return fmt.Errorf("repository %q is followed no longer: %w", name, store.ErrNotFound)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CompareAgain asks for another comparison of a repository's newest tree, because
// what was recorded has moved. Many requests become one.
func (r *Reconciler) CompareAgain(name string) {
	if repo := r.repository(name); repo != nil {
		pace.Poke(repo.again)
	}
}

// Run follows all repositories until ctx ends. A repository that fails does not
// disturb the others.
func (r *Reconciler) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	r.mu.Lock()
	r.start = func(repo *repository) {
		rctx, stop := context.WithCancel(ctx)
		repo.stop = stop
		loops.Go(func() {
			defer close(repo.done)
			defer stop()
			var both sync.WaitGroup
			both.Go(func() { r.follow(rctx, repo) })
			both.Go(func() { r.watch(rctx, repo) })
			both.Wait()
		})
	}
	for _, name := range sortedKeys(r.repos) {
		r.start(r.repos[name])
	}
	r.mu.Unlock()
	err := r.measure(ctx)
	r.mu.Lock()
	r.start = func(*repository) {} // nothing begins any more
	r.mu.Unlock()
	loops.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
