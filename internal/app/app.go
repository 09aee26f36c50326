// Package app puts the daemon together: it is the only package that knows the
// adapters behind the ports.
//
// New wires and opens everything that can fail, Run serves until its context ends,
// Close undoes what New did, in reverse order by named steps.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	"github.com/stackreeve/stackreeve/gitsource/meter"
	"github.com/stackreeve/stackreeve/gitsource/module"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/desk"
	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/pullrequest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
)

// Options are what an App is made of.
type Options struct {
	Config config.Config
	// Executable is how a runner is started; a job's folder follows.
	Executable []string
	// Environ is the daemon's own environment, from which only what the
	// configuration allows reaches a job.
	Environ []string
	Version string
	Log     *slog.Logger
	// Engines is the data folder whose installed engines are used; "" for that of Config.
	Engines string
	// Records, when not nil, stands between the daemon and its store: tests
	// stop the daemon after a given write with it.
	Records func(reconciler.Records) reconciler.Records
}

// App is a daemon that is ready to run.
type App struct {
	o Options
	// config is the one in force; a reload replaces it.
	config     atomic.Pointer[config.Config]
	store      *sqlite.Store
	records    reconciler.Records
	key        *seal.Key
	reconciler *reconciler.Reconciler
	worker     *reconciler.Worker
	desk       *desk.Desk
	engines    *engines
	modules    *module.Modules
	launcher   *runner.Launcher
	layout     reconciler.Layout
	registry   *prometheus.Registry
	sourcesMu  sync.Mutex // guards sources
	sources    map[string]gitsource.Source
	polls      *meter.Meter
	forges     transports
	pulls      *pullrequest.Loop
	log        *slog.Logger

	closers []closer
}

// keyFile is the age key of the data folder.
const keyFile = "key.txt"

// closer is one step of Close.
type closer struct {
	name string
	do   func() error
}

// New opens the data folder and everything in it. When it fails it has undone
// what it did.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{o: o, log: o.Log, registry: prometheus.NewRegistry(), sources: map[string]gitsource.Source{}}
	a.config.Store(&o.Config)
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context) error {
	c := a.o.Config
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	st, err := sqlite.Open(ctx, sqlite.Options{Folder: c.DataDir, Log: a.log.With("component", "store"), Registerer: a.registry})
	if err != nil {
		return fmt.Errorf("open the data folder %s: %w", c.DataDir, err)
	}
	a.store, a.records = st, st
	a.onClose("store", st.Close)
	if a.o.Records != nil {
		a.records = a.o.Records(st)
	}
	if a.key, err = openKey(ctx, st, c.DataDir); err != nil {
		return err
	}
	a.engines = newEngines(c.Engine, c.DataDir, a.o.Environ)
	if a.o.Engines != "" {
		a.engines.data = a.o.Engines
	}
	a.polls = meter.New(a.registry)
	if a.modules, err = a.openModules(c); err != nil {
		return err
	}
	settings, err := a.settings(ctx, c)
	if err != nil {
		return err
	}
	a.reconciler = reconciler.New(reconciler.Options{
		Records: a.records, Modules: a.modules, Hasher: a.key, Settings: settings, Engine: a.engines.lack,
		Owner: owner(c.DataDir), NewID: newJobID, Now: time.Now, Log: a.log.With("component", "reconciler"), Registerer: a.registry,
	})
	a.layout = reconciler.Layout{Root: c.DataDir}
	a.launcher = runner.NewLauncher(runner.Options{Executable: a.o.Executable, Spare: true})
	a.worker = reconciler.NewWorker(reconciler.WorkerOptions{
		Reconciler: a.reconciler, Launcher: a.launcher, Modules: a.modules,
		Sealer: a.key, Program: a.engines.program, Layout: a.layout, States: states(), Exports: exports(), LockOwner: lockOwner(), IsThere: sweep.IsThere, Cleanup: runner.Cleanup,
	})
	a.forges.meter = transport.NewMeter(a.registry)
	a.pulls = pullrequest.New(pullrequest.Options{Records: st, Watcher: st, Planner: a.reconciler, Now: time.Now, Log: a.log, Registerer: a.registry,
		LogTail: a.logTail})
	a.desk = desk.New(desk.Options{Records: a.records, Watcher: st, Reconciler: a.reconciler, Worker: a.worker, Layout: a.layout, Program: a.engines.choose, OpenLog: openLog,
		Pulls: st.Pulls, Standing: a.pulls.Standing, Concerning: a.pulls.Concerning, IsOwn: a.pulls.IsOwn,
		Release: a.pulls.Release, Follows: a.pulls.Follows})
	a.onClose("launcher", func() error { a.launcher.Close(); return nil })
	a.onClose("modules", a.modules.Close)
	a.onClose("repositories", func() error {
		var errs []error
		for _, s := range a.sources {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	})
	for _, r := range c.Repositories {
		if err := a.follow(c, r); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) onClose(name string, do func() error) {
	a.closers = append(a.closers, closer{name, do})
}

// Close undoes what New did, in reverse order.
func (a *App) Close() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		if err := c.do(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}

// Backend is what people and programs ask.
func (a *App) Backend() *desk.Desk { return a.desk }

// Registry holds the metrics.
func (a *App) Registry() *prometheus.Registry { return a.registry }

// Work reconciles and carries jobs through until ctx ends. Runners that are at
// work then go on by themselves.
func (a *App) Work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.reconciler.Run(ctx) })
	g.Go(func() error {
		return a.records.Work(ctx, a.o.Config.Jobs.Parallel, a.worker.Advance)
	})
	g.Go(func() error { return a.pulls.Run(ctx) })
	g.Go(func() error { return a.prune(ctx) })
	g.Go(func() error {
		// The first job need not wait until the engines have told their versions.
		// Without an engine there is nothing to remember, and jobs say so.
		_, _ = a.engines.all(ctx)
		return nil
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Ready tells whether the daemon does its work.
func (a *App) Ready(ctx context.Context) error {
	if _, err := a.records.List(ctx, store.JobQuery{Limit: 1}); err != nil {
		return err
	}
	return a.reconciler.Ready()
}

// Reload puts a new configuration in force for what starts from now on. What
// needs a restart has been refused before (config.Watch).
func (a *App) Reload(ctx context.Context, c config.Config) error {
	s, err := a.settings(ctx, c)
	if err != nil {
		return err
	}
	if err := a.refollow(*a.config.Load(), c); err != nil {
		return err
	}
	a.reconciler.SetSettings(s)
	a.engines.use(c.Engine)
	expiry := a.config.Swap(&c).Jobs.ApprovalExpiry
	if expiry == c.Jobs.ApprovalExpiry {
		return nil
	}
	return a.wakeWaiting(ctx)
}

// wakeWaiting has every job that waits for a person looked at: each has asked to be
// woken when it expires, by the expiry that was in force then.
func (a *App) wakeWaiting(ctx context.Context) error {
	q := store.JobQuery{States: []stackjob.State{stackjob.WaitingStart, stackjob.WaitingApply}, Limit: 500}
	for {
		jobs, err := a.records.List(ctx, q)
		if err != nil || len(jobs) == 0 {
			return err
		}
		for _, j := range jobs {
			if err := a.records.Wake(ctx, j.ID, time.Time{}); err != nil {
				return err
			}
		}
		q.Before = jobs[len(jobs)-1].ID
	}
}

// settings are the reconciler's part of the configuration.
func (a *App) settings(ctx context.Context, c config.Config) (reconciler.Settings, error) {
	env, secrets, err := jobEnvironment(c, a.o.Environ)
	if err != nil {
		return reconciler.Settings{}, err
	}
	s := reconciler.Settings{
		DefaultProvisioner: a.engines.preferred(ctx, c.Engine),
		Timeouts: map[stackjob.OperationKind]time.Duration{
			stackjob.OpInit: time.Duration(c.Jobs.Timeouts.Init), stackjob.OpPlan: time.Duration(c.Jobs.Timeouts.Plan),
			stackjob.OpApply: time.Duration(c.Jobs.Timeouts.Apply), stackjob.OpDestroy: time.Duration(c.Jobs.Timeouts.Apply),
		},
		Grace: time.Duration(c.Jobs.Grace), ApprovalExpiry: time.Duration(c.Jobs.ApprovalExpiry),
		Environ: unhurried(env, c.Jobs.Parallel, memory()), Secrets: secrets,
		Limits: engine.Limits{LogBytes: int64(c.Jobs.Limits.Log), OpenFiles: c.Jobs.Limits.OpenFiles, Processes: c.Jobs.Limits.Processes,
			MemoryBytes: uint64(c.Jobs.Limits.Memory), FileBytes: uint64(c.Jobs.Limits.FileSize)},
	}
	s.Brake.Count, s.Brake.Share = c.Brake.Count, float64(c.Brake.Share)
	if c.Engine.PluginCache {
		s.ProviderCache = filepath.Join(c.DataDir, "providers")
	}
	return s, nil
}

func newJobID() stackjob.JobID {
	return stackjob.JobID("sj_" + strings.ToLower(ulid.MustNew(ulid.Now(), ulidEntropy).String()))
}

// ulidEntropy makes ids of one millisecond grow, so that ids sort by creation.
var ulidEntropy = &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)}

// owner names the holder of leases. It is the data folder and not the process: only
// one process at a time has the folder, so a lease that its predecessor took is its
// own to go on with, at once. Lives are told apart by the fencing token.
func owner(dataDir string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + ":" + dataDir
}
