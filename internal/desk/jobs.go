package desk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// history is how many earlier jobs an explanation shows.
const history = 10

// Jobs selects jobs.
func (d *Desk) Jobs(ctx context.Context, q store.JobQuery) ([]stackjob.Job, error) {
	return d.o.Records.List(ctx, q)
}

// Job returns one job with its plan.
func (d *Desk) Job(ctx context.Context, id stackjob.JobID) (stackjob.Job, error) {
	return d.o.Records.Job(ctx, id)
}

// Events returns what happened after a sequence number.
func (d *Desk) Events(ctx context.Context, job stackjob.JobID, after int64, limit int) ([]store.JobEvent, error) {
	return d.o.Records.Events(ctx, job, after, limit)
}

// NewestEvent is where the history ends.
func (d *Desk) NewestEvent(ctx context.Context) (int64, error) { return d.o.Records.NewestEvent(ctx) }

// Watch fires after events were written.
func (d *Desk) Watch(ctx context.Context) <-chan struct{} { return d.o.Watcher.Watch(ctx) }

// Approve says yes. Who proposed the change in a pull request is the same person here.
func (d *Desk) Approve(ctx context.Context, a api.Answer) (stackjob.Job, error) {
	yes := stackjob.Approval{Actor: a.Actor, PlanDigest: a.PlanDigest, Comment: a.Comment}
	if d.o.IsOwn != nil {
		job, err := d.o.Records.Job(ctx, a.Job)
		if err != nil {
			return job, err
		}
		if yes.OwnProposal, err = d.o.IsOwn(ctx, job, a.Actor); err != nil {
			return job, err
		}
	}
	return d.o.Reconciler.Accept(ctx, a.Job, yes)
}

// Reject says no.
func (d *Desk) Reject(ctx context.Context, a api.Answer) (stackjob.Job, error) {
	return d.o.Reconciler.Reject(ctx, a.Job, a.Actor, a.PlanDigest, a.Comment)
}

// Cancel stops a job.
func (d *Desk) Cancel(ctx context.Context, a api.Answer) (stackjob.Job, error) {
	return d.o.Reconciler.Cancel(ctx, a.Job, a.Actor, d.o.Worker.Interrupt)
}

// Rerun makes a new job for the same stack.
func (d *Desk) Rerun(ctx context.Context, a api.Answer) (stackjob.Job, error) {
	return d.o.Reconciler.Rerun(ctx, a.Job, a.Actor)
}

// RestoreState puts a backup in the place of a stack's state.
func (d *Desk) RestoreState(ctx context.Context, r api.StateRestore) (stackjob.Job, error) {
	q := reconciler.RestoreRequest{Key: r.Key, Backup: r.Backup, Why: r.Reason, By: r.Actor, Lineage: reconciler.SameLineage}
	if r.Force {
		q.Lineage = reconciler.AnyLineage
	}
	j, err := d.o.Worker.RestoreState(ctx, q)
	return j, restoreProblem(err)
}

// restoreProblem says a refusal in the API's words.
func restoreProblem(err error) error {
	if errors.Is(err, reconciler.ErrNotRestored) {
		return api.NewProblem(api.CodeNotRestored, err.Error())
	}
	return err
}

// States lists the state of a stack and its backups.
func (d *Desk) States(ctx context.Context, k schema.ResourceKey) (api.States, error) {
	list, err := d.o.Worker.States(ctx, k)
	if err != nil {
		return api.States{}, restoreProblem(err)
	}
	out := api.States{Key: k, Engine: list.Provisioner, Backend: list.Backend, Backups: []api.StateCopy{}}
	if list.State != nil {
		s := stateCopy(*list.State)
		out.State = &s
	}
	for _, b := range list.Backups {
		s := stateCopy(b)
		if s.Job != "" {
			j, err := d.o.Records.Job(ctx, s.Job)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return out, err
			}
			s.Action = j.Action // "" when the job is forgotten
		}
		out.Backups = append(out.Backups, s)
	}
	return out, nil
}

func stateCopy(f engine.StateFile) api.StateCopy {
	return api.StateCopy{Name: f.Name, At: f.At, Job: f.Job, Serial: f.Serial, Lineage: f.Lineage, Resources: f.Resources,
		Encrypted: f.Encrypted, Size: f.Size, Damaged: f.Damaged, Current: f.Current}
}

// Explain says all that is known of one resource, in sentences.
func (d *Desk) Explain(ctx context.Context, k schema.ResourceKey) (api.Explanation, error) {
	all, err := d.Resources(ctx, api.Filter{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name})
	if err != nil {
		return api.Explanation{}, err
	}
	if len(all) == 0 {
		return api.Explanation{}, fmt.Errorf("resource %s: %w", k, store.ErrNotFound)
	}
	e := api.Explanation{Resource: all[0]}
	for _, repo := range d.o.Reconciler.Repositories() {
		if repo.View == nil {
			continue
		}
		if _, ok := repo.View.Tree.Environment(k.Org, k.Env); !ok {
			continue
		}
		e.Policy = flowcontrol.Choose(repo.View.Tree.Policies(), k)
		g := repo.View.Tree.Graph(k.Org)
		e.Producers, e.Consumers = g.Producers(k), g.Consumers(k)
	}
	st, err := d.o.Records.Stack(ctx, k)
	if err != nil {
		return e, err
	}
	e.Observed = st.Observed
	if id := e.Resource.Job; id != "" {
		j, err := d.o.Records.Job(ctx, id)
		if err != nil {
			return e, err
		}
		e.Job = &j
	}
	if e.History, err = d.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Limit: history}); err != nil {
		return e, err
	}
	if e.Released, err = d.o.Records.Releases(ctx, k, history); err != nil {
		return e, err
	}
	var pulls []report.PullOf
	if d.o.Concerning != nil {
		if pulls, err = d.o.Concerning(ctx, k, e.Job); err != nil {
			return e, err
		}
	}
	noEngine, err := d.noEngine(ctx, k)
	if err != nil {
		return e, err
	}
	e.Lines = report.Explain(report.Subject{Pulls: pulls, NoEngine: noEngine, Key: k, Status: e.Resource.Status, Reason: e.Resource.Reason, Because: e.Resource.Because,
		Policy: e.Policy, Producers: e.Producers, Consumers: e.Consumers, Observed: e.Observed, Job: e.Job, Released: e.Released})
	if e.Job != nil {
		e.Next = report.Next(*e.Job)
	}
	return e, nil
}

// Log is the log of all phases of a job one after another. Following ends with the
// job's last phase that has begun.
func (d *Desk) Log(ctx context.Context, id stackjob.JobID, from int64, follow api.Follow) (io.ReadCloser, error) {
	j, err := d.o.Records.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	phases := []engine.Phase{engine.PhasePlan, engine.PhaseApply}
	if j.Purpose == stackjob.RestoreState {
		phases = []engine.Phase{engine.PhaseRestore}
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(d.copyLog(ctx, w, id, phases, from, follow)) }()
	return r, nil
}

func (d *Desk) copyLog(ctx context.Context, w io.Writer, id stackjob.JobID, phases []engine.Phase, from int64, follow api.Follow) error {
	for attempt := 1; ; attempt++ {
		any := false
		for _, phase := range phases {
			folder := d.o.Layout.Phase(id, attempt, phase)
			if follow == api.FollowYes {
				if err := d.awaitPhase(ctx, id, attempt, phase, folder); err != nil {
					return err
				}
			}
			size, ok := logSize(folder)
			if !ok {
				continue
			}
			any = true
			if from >= size && (follow == api.FollowNo || !d.isRunning(ctx, id)) {
				from -= size
				continue
			}
			if err := d.copyPhase(ctx, w, folder, from, follow); err != nil {
				return err
			}
			// What was asked for may begin after this phase, of which nothing was read then.
			if size, ok = logSize(folder); ok {
				from = max(0, from-size)
			}
		}
		if !any {
			return nil
		}
	}
}

func (d *Desk) copyPhase(ctx context.Context, w io.Writer, folder string, from int64, follow api.Follow) error {
	r, err := d.o.OpenLog(ctx, folder, from, follow)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	_, err = io.Copy(w, r)
	return err
}

func logSize(folder string) (int64, bool) {
	fi, err := os.Stat(filepath.Join(folder, "log"))
	if err != nil {
		return 0, false
	}
	return fi.Size(), true
}

func (d *Desk) isRunning(ctx context.Context, id stackjob.JobID) bool {
	j, err := d.o.Records.Job(ctx, id)
	return err == nil && j.State.IsRunning()
}

// awaitPhase waits until a phase's folder exists or it is clear that the phase will
// not run: the job ended, or waits for a person.
func (d *Desk) awaitPhase(ctx context.Context, id stackjob.JobID, attempt int, phase engine.Phase, folder string) error {
	events := d.o.Watcher.Watch(ctx)
	for {
		if _, ok := logSize(folder); ok {
			return nil
		}
		j, err := d.o.Records.Job(ctx, id)
		if err != nil {
			return err
		}
		if j.State.IsFinal() || j.State.IsWaiting() || j.Attempt > attempt || phase == engine.PhasePlan && j.Attempt < attempt && j.State != stackjob.Queued {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-events:
		case <-time.After(200 * time.Millisecond): // the log appears without an event
		}
	}
}
