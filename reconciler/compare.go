package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// moduleLookups is how many module revisions are asked for at once.
const moduleLookups = 4

// Comparison is a tree compared with what is recorded, before anything is enqueued.
type Comparison struct {
	Tree   *schema.Tree
	Stacks map[schema.ResourceKey]stackjob.Stack
	Result diff.Result
}

// compareErr loads a snapshot, compares it with what is recorded and enqueues what
// differs. On error nothing has changed and the last view stays in force.
func (r *Reconciler) compareErr(ctx context.Context, repo *repository, rev gitsource.Revision, snap gitsource.Snapshot) error {
	repo.comparing.Lock()
	defer repo.comparing.Unlock()
	return r.compareLocked(ctx, repo, rev, snap)
}

// compareLocked is compareErr for a caller that holds repo.comparing.
func (r *Reconciler) compareLocked(ctx context.Context, repo *repository, rev gitsource.Revision, snap gitsource.Snapshot) error {
	started := time.Now()
	tree, modules, err := r.load(ctx, repo.loader, rev, snap)
	if err != nil {
		return err
	}
	old := repo.view.Load()
	view, enqueue, ids, err := r.enqueue(ctx, repo, rev, snap, tree, modules)
	if err != nil {
		return err
	}
	r.metrics.compareSeconds.Observe(time.Since(started).Seconds())
	r.metrics.commitAge.WithLabelValues(rev.Repository).Set(0) // seen from the first comparison on, not from the next count
	if old == nil || old.Revision.Commit != rev.Commit {
		r.o.Log.Info("compared", "repository", rev.Repository, "revision", rev.Short(), "resources", len(tree.Resources()),
			"changes", len(view.Result.Changes), "jobs", len(ids), "errors", enqueue.Revision.Errors)
	}
	if err := r.yield(ctx); err != nil {
		return err
	}
	return r.regate(ctx, repo, view, old)
}

// enqueue compares a tree with what is recorded and writes the jobs of what differs.
// Nothing is recorded in between: a job that ends after the stacks were read and
// before the new jobs are written would else be judged by what was true before it.
func (r *Reconciler) enqueue(ctx context.Context, repo *repository, rev gitsource.Revision, snap gitsource.Snapshot, tree *schema.Tree, m moduleAnswers) (*View, store.Enqueue, []stackjob.JobID, error) {
	r.recording.Lock()
	defer r.recording.Unlock()
	c, err := r.compare(ctx, rev, tree, m)
	if err != nil {
		return nil, store.Enqueue{}, nil, err
	}
	old := repo.view.Load()
	// The new policies are in force before its jobs can run.
	view := r.newView(rev, snap, c)
	repo.view.Store(view)
	e, err := r.enqueueOf(ctx, view, c)
	if err != nil {
		repo.view.Store(old)
		return nil, e, nil, err
	}
	ids, err := r.o.Records.Enqueue(ctx, e)
	if err != nil {
		repo.view.Store(old)
		return nil, e, nil, fmt.Errorf("enqueue %s: %w", rev.Short(), err)
	}
	repo.compared.Store(true)
	return view, e, ids, nil
}

// Compare loads a snapshot and compares it with what is recorded. It writes
// nothing.
func (r *Reconciler) Compare(ctx context.Context, loader *schema.Loader, rev gitsource.Revision, snap gitsource.Snapshot) (Comparison, error) {
	tree, modules, err := r.load(ctx, loader, rev, snap)
	if err != nil {
		return Comparison{}, err
	}
	return r.compare(ctx, rev, tree, modules)
}

// moduleAnswers are what was said of every module source of a tree.
type moduleAnswers struct {
	revisions, failures map[schema.ModuleSource]string
}

// load does what needs the disk and the network.
func (r *Reconciler) load(ctx context.Context, loader *schema.Loader, rev gitsource.Revision, snap gitsource.Snapshot) (*schema.Tree, moduleAnswers, error) {
	loadedFrom := time.Now()
	tree, err := loader.Load(ctx, snap)
	if err != nil {
		return nil, moduleAnswers{}, fmt.Errorf("load %s: %w", rev.Short(), err)
	}
	r.metrics.loadSeconds.Observe(time.Since(loadedFrom).Seconds())
	revisions, failures, err := r.moduleRevisions(ctx, tree, snap)
	return tree, moduleAnswers{revisions, failures}, err
}

func (r *Reconciler) compare(ctx context.Context, rev gitsource.Revision, tree *schema.Tree, m moduleAnswers) (Comparison, error) {
	stacks, err := r.o.Records.Stacks(ctx, "")
	if err != nil {
		return Comparison{}, fmt.Errorf("read the recorded stacks: %w", err)
	}
	held, err := r.heldByPulls(ctx)
	if err != nil {
		return Comparison{}, err
	}
	s := r.Settings()
	return Comparison{Tree: tree, Stacks: stacks, Result: diff.Compare(diff.Input{
		Tree: tree, Repository: rev.Repository, Commit: rev.Commit,
		Revisions: m.revisions, ModuleErrors: m.failures, Stacks: stacks, Held: held,
		DefaultProvisioner: s.DefaultProvisioner, Brake: s.Brake, Hash: r.o.Hasher.Hash, Seal: r.o.Hasher.Seal,
	})}, nil
}

// move carries a move out, but not while a comparison is being written.
func (r *Reconciler) move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	r.recording.RLock()
	defer r.recording.RUnlock()
	return r.o.Records.Move(ctx, id, m)
}

// moduleRevisions asks what every module of the tree is now. A module that cannot
// be had is a value (failures), not an error: the others go on.
func (r *Reconciler) moduleRevisions(ctx context.Context, tree *schema.Tree, snap gitsource.Snapshot) (revisions, failures map[schema.ModuleSource]string, err error) {
	revisions, failures = map[schema.ModuleSource]string{}, map[schema.ModuleSource]string{}
	sources := map[schema.ModuleSource]bool{}
	for _, res := range tree.Resources() {
		sources[res.Module] = true
	}
	var mu sync.Mutex // guards revisions and failures
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moduleLookups)
	for src := range sources {
		g.Go(func() error {
			rev, err := r.o.Modules.Revision(gctx, snap, src)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures[src] = err.Error()
				return nil
			}
			revisions[src] = rev
			return nil
		})
	}
	return revisions, failures, g.Wait()
}

// enqueueOf makes the jobs of a comparison. A change that waits for one that does
// not start is left out with it: it is compared again when that one has succeeded.
func (r *Reconciler) enqueueOf(ctx context.Context, v *View, c Comparison) (store.Enqueue, error) {
	diags := v.Tree.Diagnostics()
	rec := store.RevisionRecord{
		Repository: v.Revision.Repository, Commit: v.Revision.Commit, Subject: v.Revision.Subject,
		TreeHash: v.Tree.TreeHash(), Changes: len(c.Result.Changes),
		CommittedAt: v.Revision.CommittedAt, ComparedAt: v.ComparedAt,
	}
	rec.Errors, rec.Warnings, rec.Report = Count(diags)
	e := store.Enqueue{Revision: rec, Over: c.Result.Over}
	ids := map[schema.ResourceKey]stackjob.JobID{}
	for _, ch := range c.Result.Changes {
		if !starts(v.Tree, ch) || !allStarted(ch, ids) {
			continue
		}
		job := r.newJob(ch)
		ids[ch.Key] = job.ID
		for _, k := range ch.After {
			job.WaitsFor = append(job.WaitsFor, ids[k])
		}
		e.Jobs = append(e.Jobs, job)
	}
	// An open job whose stack is as desired again, or no longer wants this, has lost
	// its purpose.
	for _, key := range slices.SortedFunc(maps.Keys(c.Stacks), schema.ResourceKey.Compare) {
		st := c.Stacks[key]
		if st.Open == nil || st.Open.Desired.Repository != v.Revision.Repository || st.Open.State.IsRunning() {
			continue
		}
		if why := unwanted(v, *st.Open); why.Code == stackjob.ReasonNothingToDo {
			e.Supersede = append(e.Supersede, st.Open.ID)
		}
	}
	return e, ctx.Err()
}

// unwanted says why an open job is not to be carried on, judged by the newest view; the
// zero Reason says that it is. A job that runs when its document comes back, or when
// its environment becomes protected, is left alone by the comparison and must find
// out by itself before it applies anything.
func unwanted(v *View, j stackjob.Job) stackjob.Reason {
	k := j.Desired.Key
	if _, frozen := v.Tree.Frozen(k.Org, k.Env); frozen || j.Purpose != stackjob.Reconcile || j.Pull != "" {
		return stackjob.Reason{}
	}
	ch := v.changes[k]
	switch {
	case ch != nil && ch.Action == j.Action:
		if ch.Refused != nil && (ch.Refused.Code != stackjob.ReasonBlocked || ch.ReadsUnmerged) { // a blocked one waits
			return *ch.Refused
		}
		return stackjob.Reason{}
	case insists(j) && ch == nil:
		return stackjob.Reason{}
	case ch == nil && slices.ContainsFunc(v.Result.Unverified, func(u diff.Unverified) bool { return u.Key == k }):
		return stackjob.Reason{} // nobody can tell
	}
	return stackjob.Reason{Code: stackjob.ReasonNothingToDo}
}

// insists tells that a person asked for an apply of what is there already. A removal
// that a person asked for again is still one that the repository must want.
func insists(j stackjob.Job) bool { return j.Action == stackjob.Apply && isRerun(j) }

func isRerun(j stackjob.Job) bool {
	return slices.ContainsFunc(j.Because, func(b stackjob.Because) bool { return b.Cause == stackjob.CauseRerun })
}

// starts tells whether a change becomes a job by itself. A refusal by a policy is
// judged again: the policy may have changed, and it is no part of the desired state.
func starts(tree *schema.Tree, c diff.Change) bool {
	if c.Settled != nil && c.Settled.Reason.Code == stackjob.ReasonPruneForbidden {
		return flowcontrol.Choose(tree.Policies(), c.Key).Prune != schema.PruneForbid
	}
	return c.Starts()
}

func allStarted(c diff.Change, ids map[schema.ResourceKey]stackjob.JobID) bool {
	return !slices.ContainsFunc(c.After, func(k schema.ResourceKey) bool { return ids[k] == "" })
}

func hasErrors(changes []diff.Change) bool {
	return slices.ContainsFunc(changes, func(c diff.Change) bool { return c.Error != nil })
}

func (r *Reconciler) newJob(c diff.Change) stackjob.Job {
	return stackjob.Job{
		ID: r.o.NewID(), Purpose: stackjob.Reconcile, Action: c.Action, Desired: c.Desired, DesiredDigest: c.Desired.Digest(),
		Because: c.Because, Hold: c.Hold, State: stackjob.Queued, Actor: stackjob.System, CreatedAt: r.o.Now(),
	}
}

// regate judges again every job that waits for a person, when the tree that judges
// has changed: a policy may now ask for more, or for less.
func (r *Reconciler) regate(ctx context.Context, repo *repository, v, old *View) error {
	if old != nil && old.Tree == v.Tree {
		return nil
	}
	open, err := r.openJobs(ctx)
	if err != nil {
		return fmt.Errorf("judge waiting jobs again: %w", err)
	}
	var wake []stackjob.JobID
	for _, j := range open {
		if j.Desired.Repository != repo.o.Source.Name() {
			continue
		}
		// Until the first view there was no tree to judge by, and every look was put
		// off. What is queued may start under another policy.
		if old == nil || j.State == stackjob.Queued {
			wake = append(wake, j.ID)
		}
		if err := r.regateJob(ctx, v, j); err != nil {
			r.o.Log.Warn("judging a waiting job again failed", "job", j.ID, "error", err)
		}
	}
	if err := r.o.Records.WakeAll(ctx, wake); err != nil {
		return fmt.Errorf("judge waiting jobs again: %w", err)
	}
	return nil
}

func (r *Reconciler) openJobs(ctx context.Context) ([]stackjob.Job, error) {
	var out []stackjob.Job
	q := store.JobQuery{Open: true, Limit: 500}
	for {
		page, err := r.o.Records.List(ctx, q)
		if err != nil || len(page) == 0 {
			return out, err
		}
		out = append(out, page...)
		q.Before = page[len(page)-1].ID
	}
}

func (r *Reconciler) regateJob(ctx context.Context, v *View, j stackjob.Job) error {
	if why := unwanted(v, j); !why.IsZero() && !j.State.IsRunning() {
		_, err := r.move(ctx, j.ID, stackjob.Unneeded(r.o.Now(), nil, why))
		return err
	}
	choice := flowcontrol.Choose(v.Tree.Policies(), j.Desired.Key)
	if j.Policy != nil && j.Policy.Same(choice) && !j.State.IsRunning() && j.State != stackjob.Queued {
		return nil
	}
	switch j.State {
	case stackjob.WaitingStart:
		full, err := r.o.Records.Job(ctx, j.ID)
		if err != nil {
			return err
		}
		verdict := flowcontrol.AtStart(full, choice)
		if verdict.Decision == stackjob.Wait {
			_, err := r.move(ctx, j.ID, stackjob.HoldStart(r.o.Now(), verdict).Judging(len(full.Approvals)))
			return lostRace(err)
		}
		_, err = r.move(ctx, j.ID, stackjob.ReleaseStart(r.o.Now(), verdict))
		return lostRace(err)
	case stackjob.WaitingApply, stackjob.Ready:
		full, err := r.o.Records.Job(ctx, j.ID)
		if err != nil || full.Plan == nil {
			return err
		}
		if full, err = r.held(ctx, full, *full.Plan); err != nil {
			return err
		}
		_, err = r.move(ctx, j.ID, stackjob.Regate(r.o.Now(), flowcontrol.AtApply(full, *full.Plan, choice)).Judging(len(full.Approvals)))
		return lostRace(err)
	}
	return nil
}

// lostRace forgets an error that says that somebody moved the job first: whoever that
// was woke the worker, which judges by the newest tree.
func lostRace(err error) error {
	var moved *stackjob.IllegalMove
	if errors.As(err, &moved) {
		return nil
	}
	return err
}

// held returns the job with the hold that an interrupted apply of its stack puts on
// it, whatever was known when the job was made; or that its plan is another than the one
// that stood in the pull request from which it is applied; or that it takes back what
// a pull request applied that was then not merged; or that it is made of a state that
// somebody put back from a backup.
func (r *Reconciler) held(ctx context.Context, j stackjob.Job, plan stackjob.Plan) (stackjob.Job, error) {
	st, err := r.o.Records.Stack(ctx, j.Desired.Key)
	if err != nil {
		return j, err
	}
	if j.Hold == nil && st.Observed != nil && st.Observed.Interrupted {
		j.Hold = &stackjob.Reason{Code: stackjob.ReasonAfterInterrupt, Detail: string(st.Observed.JobID)}
	}
	if j.Hold == nil && st.Observed != nil && st.Observed.Restored != nil {
		back := *st.Observed.Restored
		detail := back.Backup + " by " + back.By.Name
		if back.Unknown {
			detail += "; whether that was done is not known"
		}
		j.Hold = &stackjob.Reason{Code: stackjob.ReasonStateRestored, Detail: detail}
	}
	if j.Hold == nil && j.Shown != "" && j.Shown != plan.Digest {
		j.Hold = &stackjob.Reason{Code: stackjob.ReasonPlanChanged, Detail: stackjob.ShortDigest(j.Shown) + " stood in the pull request, it is now " + plan.ShortDigest()}
	}
	if j.Hold == nil && j.Purpose == stackjob.Reconcile && j.Pull == "" {
		from, err := r.takesBack(ctx, j.Desired.Key, st.Observed)
		if err != nil {
			return j, err
		}
		if from != "" {
			j.Hold = &stackjob.Reason{Code: stackjob.ReasonTakesBack, Detail: from}
		}
	}
	return j, nil
}

// Count counts the errors and warnings among diagnostics and renders all as text.
func Count(l diag.List) (errors, warnings int, report string) {
	for _, d := range l {
		switch d.Severity {
		case diag.Error:
			errors++
		case diag.Warning:
			warnings++
		}
	}
	return errors, warnings, diag.Text(l, diag.TextOptions{})
}
