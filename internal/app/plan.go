package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// PlanOptions are what a local plan is made of.
type PlanOptions struct {
	// Config is the daemon's: what it has recorded is what the plan starts from,
	// when there is any. Nothing of it is changed.
	Config config.Config
	// Folder is the config repository on disk, as it is.
	Folder string
	// Repository is the name under which a daemon follows it: its removals are
	// destroys.
	Repository string
	// Want selects what is planned.
	Want       func(schema.ResourceKey) bool
	Executable []string
	Environ    []string
	Version    string
	Log        *slog.Logger
	// Begin is called once before the first job runs, with where to watch them: the
	// events after this sequence number are the plan's own, those before it what a
	// daemon had recorded.
	Begin func(ctx context.Context, b api.Backend, after int64)
}

// PlannedResource is what a local plan says of one resource.
type PlannedResource struct {
	Key     schema.ResourceKey `json:"key"`
	Action  stackjob.Action    `json:"action"`
	Because []stackjob.Because `json:"because"`
	// Deferred is the producer that must be applied before it can be planned.
	Deferred *schema.ResourceKey `json:"deferred,omitempty"`
	// MovedFrom is the file that its document was in before, when it moved.
	MovedFrom string `json:"movedFrom,omitempty"`
	// Refused says that a rule forbids it; Hold that a person would be asked, whatever
	// the policy says.
	Refused *stackjob.Reason `json:"refused,omitempty"`
	Hold    *stackjob.Reason `json:"hold,omitempty"`
	Job     *stackjob.Job    `json:"job,omitempty"`
	// Problem is why there is no plan, and Log the end of what its engine said, which stays
	// nowhere else; "" where none ran.
	Problem *stackjob.Reason `json:"problem,omitempty"`
	Log     string           `json:"log,omitempty"`
}

// failed says of a job that made no plan why.
func (r *PlannedResource) failed(ctx context.Context, a *App) {
	if r.Job.State != stackjob.Succeeded {
		r.Problem, r.Log = &r.Job.Reason, a.logTail(ctx, r.Job.ID)
	}
}

// LocalPlan is the outcome of Plan.
type LocalPlan struct {
	Diagnostics diag.List         `json:"diagnostics,omitempty"`
	Resources   []PlannedResource `json:"resources"`
	Unchanged   int               `json:"unchanged"`
	// Frozen are the environments in which nothing is changed or planned.
	Frozen []FrozenFolder `json:"frozen,omitempty"`
	// Engines are those that are not there and that stacks ask for which were not planned.
	Engines []pull.EngineLack `json:"engines,omitempty"`
}

// FrozenFolder is an environment whose folder has errors.
type FrozenFolder struct {
	Org string        `json:"org"`
	Env string        `json:"env"`
	Pos diag.Position `json:"pos"`
}

// Plan plans a folder with the same engine, rules and code as the daemon, in a
// scratch data folder that starts as a copy of what the daemon recorded. It
// applies nothing and leaves nothing behind.
func Plan(ctx context.Context, o PlanOptions) (_ LocalPlan, err error) {
	a, leave, err := beside(ctx, Options{Config: o.Config, Executable: o.Executable, Environ: o.Environ, Version: o.Version, Log: o.Log},
		config.Repository{Name: o.Repository, Path: o.Folder, Mode: config.Worktree})
	if err != nil {
		return LocalPlan{}, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	src := a.sources[o.Repository]
	rev, _, err := src.Poll(ctx)
	if err != nil {
		return LocalPlan{}, err
	}
	snap, err := src.Snapshot(ctx, rev)
	if err != nil {
		return LocalPlan{}, err
	}
	preview, err := a.reconciler.PreviewRevision(ctx, rev, snap, o.Want)
	if err != nil {
		return LocalPlan{}, err
	}
	for _, ch := range preview.Result.Changes {
		if err := copyState(ctx, o.Config.DataDir, a.layout.Root, ch.Key); err != nil {
			return LocalPlan{}, err
		}
	}
	if err := a.workUntilPlanned(ctx, preview, o.Begin); err != nil {
		return LocalPlan{}, err
	}
	return a.localPlan(ctx, preview, o.Want)
}

// beside opens a daemon that follows one repository, in a scratch data folder that starts as
// a copy of what the daemon of a configuration recorded, and with its engines. leave closes it
// and removes the folder.
func beside(ctx context.Context, o Options, r config.Repository) (_ *App, leave func() error, err error) {
	from := o.Config.DataDir
	scratch, err := os.MkdirTemp("", "reeve-plan-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.RemoveAll(scratch) }
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	if err := copyRecords(ctx, from, scratch); err != nil {
		return nil, nil, err
	}
	if err := lendEngines(from, scratch); err != nil {
		return nil, nil, err
	}
	o.Engines, o.Config.DataDir, o.Config.Repositories = from, scratch, []config.Repository{r}
	a, err := New(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return a, func() error { return errors.Join(a.Close(), remove()) }, nil
}

// copyRecords makes the scratch data folder a copy of the daemon's records, with
// no open job: those are the daemon's to carry on.
func copyRecords(ctx context.Context, from, to string) error {
	if _, err := os.Stat(filepath.Join(from, keyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil // no daemon has ever run here
	}
	if err := copyFile(filepath.Join(from, keyFile), filepath.Join(to, keyFile)); err != nil {
		return fmt.Errorf("read what the daemon recorded: %w", err)
	}
	if err := sqlite.CopyRecords(ctx, from, to); err != nil {
		return fmt.Errorf("read what the daemon recorded: %w", err)
	}
	return nil
}

// lendEngines has a plan in a scratch data folder find what there is of engines.
func lendEngines(from, to string) error {
	// Versions of programs that are known need not be asked for. Without them they are.
	_ = copyFile(filepath.Join(from, versionsFile), filepath.Join(to, versionsFile))
	if err := linkPlugins(from, to); err != nil {
		return fmt.Errorf("show Pulumi's plugins to the plan: %w", err)
	}
	return nil
}

// linkPlugins shows Pulumi's plugins of the daemon in the scratch data folder, so that they
// need not be got again. Folders are made, since Pulumi takes no links for them, and files
// are linked: what a plan gets besides goes with the scratch folder.
func linkPlugins(from, to string) error {
	src := filepath.Join(reconciler.Layout{Root: from}.PulumiHome(), "plugins")
	dst := filepath.Join(reconciler.Layout{Root: to}.PulumiHome(), "plugins")
	plugins, err := os.ReadDir(src)
	if err != nil {
		return nil // there are none, or none that may be read
	}
	for _, plugin := range plugins {
		// In this order: the mark is there before the folder and goes when all is in it.
		_, partial := os.Stat(filepath.Join(src, plugin.Name()+".partial"))
		files, err := os.ReadDir(filepath.Join(src, plugin.Name()))
		if err != nil || partial == nil { // it is no folder, or is just being got
			continue
		}
		if err := os.MkdirAll(filepath.Join(dst, plugin.Name()), 0o700); err != nil {
			return err
		}
		for _, f := range files {
			if err := os.Symlink(filepath.Join(src, plugin.Name(), f.Name()), filepath.Join(dst, plugin.Name(), f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// workUntilPlanned carries the preview's jobs to their end.
func (a *App) workUntilPlanned(ctx context.Context, p reconciler.Preview, begin func(context.Context, api.Backend, int64)) error {
	first, err := a.firstEvent(ctx, p)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events := a.store.Watch(ctx)
	g, gctx := errgroup.WithContext(ctx)
	if begin != nil && first > 0 {
		g.Go(func() error { begin(gctx, a.desk, first-1); return nil })
	}
	g.Go(func() error { return a.records.Work(gctx, a.o.Config.Jobs.Parallel, a.worker.Advance) })
	g.Go(func() error {
		for {
			open, err := a.records.List(gctx, store.JobQuery{Open: true, Limit: 1})
			if err != nil {
				return err
			}
			if len(open) == 0 {
				stop()
				return nil
			}
			select {
			case <-gctx.Done():
				return a.interruptAll(p)
			case <-events:
			}
		}
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil { // all is planned, or somebody stopped it: the caller looks
		return nil
	}
	return err
}

// firstEvent is the sequence number of the first event of the preview's jobs, 0 when
// there are none. All before it came with the copy of a daemon's records.
func (a *App) firstEvent(ctx context.Context, p reconciler.Preview) (int64, error) {
	first := int64(0)
	for _, id := range p.Jobs {
		found, err := a.records.Events(ctx, id, 0, 1)
		if err != nil {
			return 0, err
		}
		if len(found) > 0 && (first == 0 || found[0].Seq < first) {
			first = found[0].Seq
		}
	}
	return first, nil
}

// interruptAll stops the engines of a local plan: nobody will attach to them.
func (a *App) interruptAll(p reconciler.Preview) error {
	for _, id := range p.Jobs {
		j, err := a.records.Job(context.Background(), id)
		if err == nil && j.State.IsRunning() {
			err = a.interruptRunner(context.Background(), j)
		}
		if err != nil {
			return err
		}
	}
	return context.Canceled
}

// localPlan gathers what the jobs found.
func (a *App) localPlan(ctx context.Context, p reconciler.Preview, want func(schema.ResourceKey) bool) (LocalPlan, error) {
	if ctx.Err() != nil {
		return LocalPlan{}, ctx.Err()
	}
	out := LocalPlan{Diagnostics: p.Tree.Diagnostics(), Unchanged: p.Result.Unchanged, Resources: []PlannedResource{}, Engines: p.Engines}
	for _, ch := range p.Result.Changes {
		if !want(ch.Key) {
			continue
		}
		r := PlannedResource{Key: ch.Key, Action: ch.Action, Because: ch.Because, Refused: ch.Refused, Hold: ch.Hold, Problem: ch.Error}
		if producer, ok := p.Deferred[ch.Key]; ok {
			r.Deferred = &producer
		}
		if id, ok := p.Jobs[ch.Key]; ok {
			j, err := a.records.Job(ctx, id)
			if err != nil {
				return out, err
			}
			r.Job = &j
			r.failed(ctx, a)
		}
		out.Resources = append(out.Resources, r)
	}
	for _, f := range p.Result.Frozen {
		if want(schema.ResourceKey{Org: f.Org, Env: f.Env}) {
			out.Frozen = append(out.Frozen, FrozenFolder{Org: f.Org, Env: f.Env, Pos: f.Diagnostic.Pos})
		}
	}
	slices.SortFunc(out.Resources, func(a, b PlannedResource) int { return a.Key.Compare(b.Key) })
	return out, nil
}
