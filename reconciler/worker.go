package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/flowcontrol"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// lease is how long a claim lasts; it is renewed at a third of it.
const lease = time.Minute

// Sealer opens and seals what is secret at rest.
type Sealer interface {
	Hasher
	Open(sealed []byte) ([]byte, error)
	HashKey() []byte
	Recipient() string
	Identity() string
	// Passphrase is a secret for one use, derived from the key.
	Passphrase(use string) (string, error)
}

// WorkerOptions are what a Worker is made of.
type WorkerOptions struct {
	Reconciler *Reconciler
	Launcher   engine.Launcher
	Modules    gitsource.Modules
	Sealer     Sealer
	// Program finds the engine of a stack. The error is engine.ErrVersion when there are
	// only versions that the stack does not allow.
	Program func(ctx context.Context, w engine.Wanted) (engine.Program, error)
	Layout  Layout
	// States look after the states that engines keep in files of the data folder; an engine
	// without an entry keeps none there.
	States map[schema.Provisioner]engine.States
	// Exports look after the backups of states that backends keep, which an engine puts back
	// (engine.Restorer); one without an entry leaves them to the backend.
	Exports map[schema.Provisioner]engine.States
	// LockOwner is this account on this machine as engines write it into state
	// locks: "user@host".
	LockOwner string
	// IsThere tells whether the process of this machine that had a number at a time runs;
	// true when that cannot be told.
	IsThere func(pid int, at time.Time) bool
	// Cleanup removes from the folder of a phase what nobody needs once its job
	// has ended; log, journal and result stay.
	Cleanup func(folder string) error
}

// Worker carries Stack Jobs through. Each wake-up is one call of Advance, which
// takes the job as far as it can go without waiting for a person.
type Worker struct {
	o   WorkerOptions
	r   *Reconciler
	log *slog.Logger

	mu      sync.Mutex // guards running and restoring
	running map[stackjob.JobID]engine.Run
	// restoring are the restores that somebody waits for; see takeRestore.
	restoring map[stackjob.JobID]bool
}

// NewWorker returns a Worker.
func NewWorker(o WorkerOptions) *Worker {
	w := &Worker{o: o, r: o.Reconciler, log: o.Reconciler.o.Log, running: map[stackjob.JobID]engine.Run{},
		restoring: map[stackjob.JobID]bool{}}
	w.r.interrupt = w.Interrupt
	return w
}

// Interrupt asks the engine of a running job to stop. It does nothing when no
// engine of the job runs under this worker.
func (w *Worker) Interrupt(id stackjob.JobID) error {
	w.mu.Lock()
	run := w.running[id]
	w.mu.Unlock()
	if run == nil {
		return nil
	}
	if err := run.Interrupt(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil // it runs no more, and how it ended is about to be recorded
}

// Advance takes a job as far as it can go. An error means that the daemon could
// not do its own part (the store, the disk): it is called again later. What goes
// wrong with the job itself ends the job and is no error.
func (w *Worker) Advance(ctx context.Context, id stackjob.JobID) error {
	for ctx.Err() == nil {
		job, err := w.r.o.Records.Job(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		again, err := w.step(ctx, job)
		var illegal *stackjob.IllegalMove
		switch {
		case errors.As(err, &illegal), errors.Is(err, stackjob.ErrFenced), errors.Is(err, stackjob.ErrStaleApproval):
			// Somebody was quicker: look at the job as it now is.
			w.log.Debug("lost a race for a job", "job", id, "error", err)
			again, err = !errors.Is(err, stackjob.ErrFenced), nil
		}
		if err != nil {
			return fmt.Errorf("advance %s: %w", id, err)
		}
		if !again {
			return nil
		}
	}
	return nil
}

// step makes one move, or carries one phase through, and tells whether there may
// be another step at once.
func (w *Worker) step(ctx context.Context, job stackjob.Job) (again bool, err error) {
	if job.Purpose == stackjob.RestoreState && !job.State.IsFinal() {
		return false, w.resumeRestore(ctx, job)
	}
	switch job.State {
	case stackjob.Queued:
		return w.start(ctx, job)
	case stackjob.Planning:
		return w.attach(ctx, job, engine.PhasePlan)
	case stackjob.Applying:
		return w.attach(ctx, job, engine.PhaseApply)
	case stackjob.Ready:
		return w.apply(ctx, job)
	case stackjob.WaitingStart, stackjob.WaitingApply:
		return w.wait(ctx, job)
	}
	err = w.Clean(job)
	if errors.Is(err, engine.ErrAlive) {
		// It has told its result and ends in this moment.
		return false, w.r.o.Records.Wake(ctx, job.ID, w.r.o.Now().Add(time.Second))
	}
	return false, err
}

// Clean removes what an ended job no longer needs: its saved plans.
func (w *Worker) Clean(job stackjob.Job) error {
	if !job.State.IsFinal() {
		return nil
	}
	for attempt := 1; attempt <= job.Attempt; attempt++ {
		for _, phase := range []engine.Phase{engine.PhasePlan, engine.PhaseApply} {
			if err := w.o.Cleanup(w.o.Layout.Phase(job.ID, attempt, phase)); err != nil {
				return fmt.Errorf("clean up: %w", err)
			}
		}
	}
	for n := 1; job.Purpose == stackjob.RestoreState && n <= w.o.Layout.Restores(job.ID); n++ {
		if err := w.o.Cleanup(w.o.Layout.Phase(job.ID, n, engine.PhaseRestore)); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return nil
}

// move carries a move out and says so in the log and the metrics.
func (w *Worker) move(ctx context.Context, id stackjob.JobID, m stackjob.Move) (stackjob.Job, error) {
	job, err := w.r.move(ctx, id, m)
	if err != nil {
		return job, err
	}
	if m.Event() != stackjob.EvRecord && m.Event() != stackjob.EvRenew && m.Event() != stackjob.EvPostpone {
		said := []any{"job", id, "resource", job.Desired.Key.String()}
		if !job.Reason.IsZero() {
			said = append(said, "reason", job.Reason.String())
		}
		w.log.Info("job "+string(job.State), said...)
	}
	w.r.metrics.moved(job, m)
	return job, nil
}

// start takes a queued job through the start gate into its plan phase.
func (w *Worker) start(ctx context.Context, job stackjob.Job) (bool, error) {
	now := w.r.o.Now()
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		return false, nil // woken when the repository has been compared
	}
	key := job.Desired.Key
	if d, frozen := view.Tree.Frozen(key.Org, key.Env); frozen && !insists(job) && (job.Pull == "" || job.Purpose == stackjob.Reconcile) {
		return false, w.postpone(ctx, job, stackjob.Reason{Code: stackjob.ReasonFrozen, Detail: d.Pos.String()})
	}
	if why := unwanted(view, job); !why.IsZero() {
		_, err := w.move(ctx, job.ID, stackjob.Unneeded(now, nil, why))
		return false, err
	}
	if wait, err := w.unmetProducer(ctx, job); err != nil || !wait.IsZero() {
		if err != nil {
			return false, err
		}
		return false, w.postpone(ctx, job, wait)
	}
	choice := flowcontrol.Choose(view.Tree.Policies(), key)
	if why, err := w.r.turnOver(ctx, job, choice); err != nil || !why.IsZero() {
		if err == nil {
			_, err = w.move(ctx, job.ID, stackjob.Unneeded(now, nil, why))
		}
		return false, err
	}
	switch v := flowcontrol.AtStart(job, choice); v.Decision {
	case stackjob.Wait:
		_, err := w.move(ctx, job.ID, stackjob.HoldStart(now, v).Judging(len(job.Approvals)))
		return true, err
	case stackjob.Refuse:
		_, err := w.move(ctx, job.ID, stackjob.Refused(now, v))
		return false, err
	}
	if older, err := w.olderOpenJob(ctx, job); err != nil || older != nil {
		if err != nil {
			return false, err
		}
		if older.State.IsRunning() {
			return false, w.postpone(ctx, job, stackjob.Reason{Code: stackjob.ReasonStackBusy, Detail: string(older.ID)})
		}
		if _, err := w.move(ctx, older.ID, stackjob.Supersede(now, nil, job.ID)); err != nil {
			return false, err
		}
	}
	return w.plan(ctx, job, view, choice)
}

func (w *Worker) postpone(ctx context.Context, job stackjob.Job, why stackjob.Reason) error {
	if job.Reason == why {
		return nil
	}
	_, err := w.move(ctx, job.ID, stackjob.Postpone(w.r.o.Now(), why))
	return err
}

// unmetProducer tells what a job must still wait for, or what blocks it.
func (w *Worker) unmetProducer(ctx context.Context, job stackjob.Job) (stackjob.Reason, error) {
	for _, id := range job.WaitsFor {
		p, err := w.r.o.Records.Job(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue // pruned: long ended
		}
		if err != nil {
			return stackjob.Reason{}, err
		}
		name := p.Desired.Key.String()
		if !p.State.IsFinal() {
			return stackjob.Reason{Code: stackjob.ReasonWaitsForProducer, Detail: name}, nil
		}
		if p.State == stackjob.Succeeded {
			continue
		}
		st, err := w.r.o.Records.Stack(ctx, p.Desired.Key)
		if err != nil {
			return stackjob.Reason{}, err
		}
		if st.Open != nil && st.Open.ID != job.ID {
			return stackjob.Reason{Code: stackjob.ReasonWaitsForProducer, Detail: name}, nil
		}
		if st.Last != nil && st.Last.State != stackjob.Succeeded {
			return stackjob.Reason{Code: stackjob.ReasonBlocked, Detail: fmt.Sprintf("%s (%s)", name, st.Last.State)}, nil
		}
	}
	restored, err := w.restoredProducer(ctx, job)
	if err != nil || restored == "" {
		return stackjob.Reason{}, err
	}
	return stackjob.Reason{Code: stackjob.ReasonWaitsForProducer, Detail: restored}, nil
}

// olderOpenJob finds a job of the same stack that came before this one and has not
// ended.
func (w *Worker) olderOpenJob(ctx context.Context, job stackjob.Job) (*stackjob.Job, error) {
	return w.openJob(ctx, job, func(id stackjob.JobID) bool { return id < job.ID })
}

// newerOpenJob finds a job of the same stack that came after this one.
func (w *Worker) newerOpenJob(ctx context.Context, job stackjob.Job) (*stackjob.Job, error) {
	return w.openJob(ctx, job, func(id stackjob.JobID) bool { return id > job.ID })
}

// openJob finds the newest open job of the stack and purpose of job that want accepts.
func (w *Worker) openJob(ctx context.Context, job stackjob.Job, want func(stackjob.JobID) bool) (*stackjob.Job, error) {
	k := job.Desired.Key
	jobs, err := w.r.o.Records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Open: true})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if want(j.ID) && j.Purpose == job.Purpose && j.Pull == job.Pull {
			return &j, nil
		}
	}
	return nil, nil
}

// wait judges a job that waits for a person by the newest tree. That may have come after the
// one by which the job was judged and before it waited, when all jobs that wait were judged
// again without it.
func (w *Worker) wait(ctx context.Context, job stackjob.Job) (bool, error) {
	view := w.r.View(job.Desired.Repository)
	if view == nil {
		return false, w.expire(ctx, job)
	}
	if err := w.r.regateJob(ctx, view, job); err != nil {
		return false, err
	}
	now, err := w.r.o.Records.Job(ctx, job.ID)
	if err != nil || now.State != job.State {
		return err == nil, err
	}
	return false, w.expire(ctx, job)
}

// expire ends a job that nobody answered in time, or asks to be woken then.
func (w *Worker) expire(ctx context.Context, job stackjob.Job) error {
	expiry := w.r.Settings().ApprovalExpiry
	if expiry == 0 {
		return nil
	}
	at := job.WaitingSince.Add(expiry)
	if w.r.o.Now().Before(at) {
		return w.r.o.Records.Wake(ctx, job.ID, at)
	}
	_, err := w.move(ctx, job.ID, stackjob.Expire(w.r.o.Now()))
	return err
}

// values resolves the inputs of a job with what its producers have now.
func (w *Worker) values(ctx context.Context, job stackjob.Job, tree *schema.Tree) (resolved, stackjob.Reason, error) {
	out := resolved{references: map[string]string{}}
	var why stackjob.Reason
	var broken error
	stacks := map[schema.ResourceKey]stackjob.Stack{}
	// sensitive tells that what was resolved last holds a value that nobody may see.
	sensitive := false
	get := func(ref schema.Reference) (jsonValue, error) {
		ref.To.Org = job.Desired.Key.Org // references stay inside the organization
		st, ok := stacks[ref.To]
		if !ok {
			var err error
			if st, err = w.r.o.Records.Stack(ctx, ref.To); err != nil {
				broken = err
				return nil, err
			}
			stacks[ref.To] = st
		}
		v, missing := diff.ResolveValue(ref, st, tree)
		if missing != nil {
			why = *missing
			return nil, errMissingValue
		}
		out.references[diff.ReferenceName(ref)] = v.Hash
		if !v.Sensitive {
			if v.Hash == "" {
				out.references[diff.ReferenceName(ref)] = w.o.Sealer.Hash(v.JSON)
			}
			return v.JSON, nil
		}
		clear, err := w.o.Sealer.Open(v.Sealed)
		if err != nil {
			broken = fmt.Errorf("open the sealed output %s: %w", diff.ReferenceName(ref), err)
			return nil, broken
		}
		value, err := diff.Pick(clear, v.Path)
		if err != nil {
			why = stackjob.Reason{Code: stackjob.ReasonMissingValue, Detail: diff.ReferenceName(ref)}
			return nil, errMissingValue
		}
		out.secrets = append(out.secrets, secretStrings(value)...)
		sensitive = true
		return value, nil
	}
	var err error
	if p := job.Desired.Pulumi; p == nil || p.StackInput {
		err = w.variables(job.Desired, &out, func(ref schema.Reference) (jsonValue, bool, error) {
			sensitive = false
			v, err := get(ref)
			return v, sensitive, err
		})
	} else {
		err = w.configuration(job.Desired, &out, func(value jsonValue) (jsonValue, bool, error) {
			sensitive = false
			v, err := schema.Resolve(value, get)
			return v, sensitive, err
		})
	}
	switch {
	case broken != nil:
		return out, why, broken
	case errors.Is(err, errMissingValue):
		return out, why, nil
	case err != nil:
		return out, why, err
	}
	return out, stackjob.Reason{}, nil
}

// configuration resolves the configuration of a Pulumi stack, of which each value is a
// secret or is not: what is marked so, and what a sensitive output was put into.
func (w *Worker) configuration(d stackjob.Desired, out *resolved, resolve func(jsonValue) (_ jsonValue, sensitive bool, _ error)) error {
	var values map[string]jsonValue
	if err := json.Unmarshal(d.Inputs, &values); err != nil {
		return errors.New("the recorded configuration is no map")
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		kept, secret := d.Secrets[key]
		if secret {
			clear, err := w.o.Sealer.Open(kept.Sealed)
			if err != nil {
				return fmt.Errorf("open the secret configuration %s: %w", key, err)
			}
			values[key] = clear
		}
		v, sensitive, err := resolve(values[key])
		if err != nil {
			return err
		}
		values[key] = v
		if secret {
			out.secrets = append(out.secrets, secretStrings(v)...)
		}
		if secret || sensitive {
			out.secretKeys = append(out.secretKeys, key)
		}
	}
	var err error
	out.inputs, err = json.Marshal(values)
	return err
}

// variables resolves the variables of a module, or the stack input of a program. Secret in
// them is what the schema of the kind says is, and what is a sensitive output.
func (w *Worker) variables(d stackjob.Desired, out *resolved, get func(schema.Reference) (_ jsonValue, sensitive bool, _ error)) error {
	inputs, places := d.Inputs, slices.Sorted(maps.Keys(d.Secrets))
	for _, place := range places {
		clear, err := w.o.Sealer.Open(d.Secrets[place].Sealed)
		if err != nil {
			return fmt.Errorf("open the secret input %s: %w", schema.PointerPath(place), err)
		}
		inputs, err = schema.ReplaceAt(inputs, place, func(jsonValue) (jsonValue, error) { return clear, nil })
		if err != nil {
			return err
		}
	}
	out.secretParts = places
	var err error
	out.inputs, err = schema.ResolveAt(inputs, func(ref schema.Reference, at string) (jsonValue, error) {
		v, sensitive, err := get(ref)
		if sensitive {
			out.secretParts = append(out.secretParts, at)
		}
		return v, err
	})
	if err != nil {
		return err
	}
	for _, place := range places {
		part, err := schema.At(out.inputs, place)
		if err != nil {
			return err
		}
		if part != nil {
			out.secrets = append(out.secrets, secretStrings(part)...)
		}
	}
	slices.Sort(out.secretParts)
	out.secretParts = slices.Compact(out.secretParts)
	return nil
}

var errMissingValue = errors.New("a reference has no value")
