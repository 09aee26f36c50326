package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// ErrNotRestored is wrapped by what Worker.States and Worker.RestoreState refuse. Nothing
// was changed; the text says why and what to do.
var ErrNotRestored = errors.New("the state is not restored")

// notRestored is a refusal. Its text is for a person as it is.
type notRestored struct{ text string }

func (e *notRestored) Error() string        { return e.text }
func (e *notRestored) Is(target error) bool { return target == ErrNotRestored }

func refuseRestore(format string, args ...any) error {
	return &notRestored{text: fmt.Sprintf(format, args...)}
}

// RestoreRequest is what an operator asks for.
type RestoreRequest struct {
	Key schema.ResourceKey
	// Backup is the name of a backup, with or without its suffix.
	Backup string
	// Why is for those who read the history; it must not be empty.
	Why string
	By  stackjob.Actor
	// Lineage says what to do with a backup of another lineage than the state's.
	Lineage LineageCheck
}

// LineageCheck says whether a backup must be of the state that it takes the place of.
type LineageCheck string

// The answers.
const (
	SameLineage LineageCheck = "same"
	AnyLineage  LineageCheck = "any"
)

// StateList is a stack's state with its backups, and the engine that writes them.
type StateList struct {
	Provisioner schema.Provisioner
	// Backend is the kind of the backend that keeps the state, of which only backups are
	// known; "" for a file of the data folder.
	Backend string
	engine.StateList
}

// States lists the state of a stack and its backups. It fails with ErrNotRestored when the
// backups are not kept in the data folder, and with store.ErrNotFound.
func (w *Worker) States(ctx context.Context, key schema.ResourceKey) (StateList, error) {
	d, _, err := w.backedUpHere(ctx, key)
	if err != nil {
		return StateList{}, err
	}
	list, err := w.statesOf(d).List(w.o.Layout.StateFiles(d))
	return StateList{Provisioner: d.Provisioner, Backend: backendOf(d), StateList: list}, err
}

// statesOf looks after the state of a stack and its backups; nil when they are not kept here.
func (w *Worker) statesOf(d stackjob.Desired) engine.States {
	if backendOf(d) == "" {
		return w.o.States[d.Provisioner]
	}
	return w.o.Exports[d.Provisioner]
}

// backedUpHere returns what a stack was last made of, or is to be made of when nothing is
// recorded, if its state is backed up in the data folder.
func (w *Worker) backedUpHere(ctx context.Context, key schema.ResourceKey) (stackjob.Desired, stackjob.Stack, error) {
	st, err := w.r.o.Records.Stack(ctx, key)
	if err != nil {
		return stackjob.Desired{}, st, err
	}
	var d stackjob.Desired
	if st.Observed != nil {
		d = st.Observed.Desired
	} else if ch := w.r.changeOf(key); ch != nil {
		d = *ch
	} else {
		return d, st, fmt.Errorf("resource %s has no document, and nothing is recorded of its stack: put its document back first, or no plan would ever be made of the state: %w", key, store.ErrNotFound)
	}
	if w.statesOf(d) != nil {
		return d, st, nil
	}
	if backend := backendOf(d); backend != "" {
		return d, st, refuseRestore("the state of %s is kept by the backend %s, and so are its backups (%s); reeve puts back the states that it has backed up itself", key, backend, backupsOf(backend))
	}
	if w.o.States[d.Provisioner] == nil {
		return d, st, refuseRestore("reeve keeps no states of %s for %s in its data folder", d.Provisioner, key)
	}
	return d, st, nil
}

// backupsOf is where the backups of a remote state are looked for.
func backupsOf(backend string) string {
	switch backend {
	case "s3":
		return "versions of the bucket's object"
	case "gcs":
		return "generations of the bucket's object"
	case "azurerm":
		return "versions and snapshots of the container's blob"
	case "pg":
		return "backups of the database"
	case "module":
		return "wherever the module's own code puts the state"
	}
	return "what the service keeps of it"
}

// backendOf is the kind of the backend that keeps a state; "" for a file in the data folder.
func backendOf(d stackjob.Desired) string {
	if d.Pulumi != nil {
		// The scheme alone: the rest of a URL is nobody's business.
		kind, _, _ := strings.Cut(d.Pulumi.BackendURL, ":")
		return kind
	}
	if d.Backend.Type == "local" {
		return ""
	}
	return d.Backend.Type
}

// changeOf is what the newest trees want of a stack of which nothing is recorded; nil when
// they do not know it.
func (r *Reconciler) changeOf(key schema.ResourceKey) *stackjob.Desired {
	for _, repo := range r.Repositories() {
		if repo.View == nil {
			continue
		}
		if ch := repo.View.changes[key]; ch != nil && ch.Action == stackjob.Apply && ch.Error == nil {
			return &ch.Desired
		}
	}
	return nil
}

// RestoreState puts a backup in the place of a stack's state, as a job of its own: none of
// the stack may run meanwhile, and what waits of it ends, since it was planned for the state
// that is replaced. It is refused with store.ErrStackBusy while a job of the stack runs, and
// with ErrNotRestored when a rule forbids it. What is there is backed up first.
//
// After it nothing that is recorded of the stack is trusted: the next comparison plans it,
// and whatever that plan changes waits for a person.
func (w *Worker) RestoreState(ctx context.Context, q RestoreRequest) (stackjob.Job, error) {
	why := strings.TrimSpace(q.Why)
	if why == "" {
		return stackjob.Job{}, refuseRestore("say why the state of %s is restored, for those who read its history", q.Key)
	}
	d, _, err := w.backedUpHere(ctx, q.Key)
	if err != nil {
		return stackjob.Job{}, err
	}
	list, err := w.statesOf(d).List(w.o.Layout.StateFiles(d))
	if err != nil {
		return stackjob.Job{}, err
	}
	backup, err := findBackup(list, q.Key, q.Backup)
	if err != nil {
		return stackjob.Job{}, err
	}
	if backup.Current {
		return stackjob.Job{}, refuseRestore("the state of %s is what the backup %s holds already", q.Key, backup.Name)
	}
	r := stackjob.Restoration{Backup: backup.Name, Why: why, By: q.By, Forced: q.Lineage == AnyLineage,
		State: stackjob.StateVersion{Serial: backup.Serial, Lineage: backup.Lineage, Backup: backup.Name}}
	if err := mayReplace(list, r); err != nil {
		return stackjob.Job{}, err
	}
	id := w.r.o.NewID()
	r.Job = id
	job := stackjob.Job{ID: id, Purpose: stackjob.RestoreState, Action: stackjob.Restore, Desired: d, DesiredDigest: d.Digest(), State: stackjob.Queued, Actor: q.By,
		Because: []stackjob.Because{{Cause: stackjob.CauseRestored, Detail: fmt.Sprintf("%s by %s: %s", backup.Name, q.By.Name, why)}}, Restore: &r, CreatedAt: w.r.o.Now()}
	w.takeRestore(id)
	job, err = w.takePlace(ctx, job)
	if err != nil {
		w.leaveRestore(id)
		return job, err
	}
	// From here on it is carried through, whether or not somebody still waits for the answer.
	ctx = context.WithoutCancel(ctx)
	job, err = w.restore(ctx, job)
	w.leaveRestore(id)
	if err != nil {
		// The records could not be written: a job that is left is looked at again.
		return job, errors.Join(err, w.r.o.Records.Wake(ctx, id, time.Time{}))
	}
	if job.State == stackjob.Failed || job.State == stackjob.Interrupted {
		return job, refuseRestore("job %s: %s", job.ID, job.Reason)
	}
	return job, nil
}

// findBackup finds a backup by its name.
func findBackup(list engine.StateList, key schema.ResourceKey, name string) (engine.StateFile, error) {
	for _, b := range list.Backups {
		if b.Name != name && (name == "" || !strings.HasPrefix(b.Name, name+".")) {
			continue
		}
		if b.Damaged {
			return b, refuseRestore("the backup %s of %s cannot be read as a state", b.Name, key)
		}
		return b, nil
	}
	return engine.StateFile{}, fmt.Errorf("backup %q of %s: %w; `reeve state list %s` lists what there is", name, key, store.ErrNotFound, key)
}

// mayReplace refuses a backup of another lineage: it is a state of other things, under which
// those of this stack would be forgotten and made a second time.
func mayReplace(list engine.StateList, r stackjob.Restoration) error {
	if s := list.State; s != nil && !s.Damaged && !r.Forced && s.Lineage != r.State.Lineage {
		return refuseRestore("the backup %s is of another state: its lineage is %s, and that of the state is %s. What the state knows now would be forgotten, and made again; --force restores it nevertheless",
			r.Backup, orNone(r.State.Lineage), orNone(s.Lineage))
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// takeRestore marks a restore as carried by this process's own call, so that a wake-up of its
// job leaves it alone; leaveRestore ends that.
func (w *Worker) takeRestore(id stackjob.JobID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restoring[id] = true
}

func (w *Worker) leaveRestore(id stackjob.JobID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.restoring, id)
}

func (w *Worker) isRestoring(id stackjob.JobID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.restoring[id]
}

// takePlace records and claims the job of a restore, if none of its stack runs. Nothing else
// is recorded meanwhile, so that none begins in between. What waits of the stack ends.
func (w *Worker) takePlace(ctx context.Context, job stackjob.Job) (stackjob.Job, error) {
	ended, claimed, err := w.placeOf(ctx, job)
	for _, e := range ended {
		w.r.metrics.moved(e.job, e.move)
		w.log.Info("job "+string(e.job.State), "job", e.job.ID, "resource", job.Desired.Key.String(), "reason", e.job.Reason.String())
	}
	if err != nil {
		if len(ended) > 0 {
			w.r.CompareAgain(job.Desired.Repository) // they are made anew
		}
		return job, err
	}
	w.log.Info("restoring a state", "job", job.ID, "resource", job.Desired.Key.String(), "backup", job.Restore.Backup, "by", job.Actor.Name, "via", job.Actor.Via)
	return claimed, nil
}

// moved is a job after a move.
type moved struct {
	job  stackjob.Job
	move stackjob.Move
}

func (w *Worker) placeOf(ctx context.Context, job stackjob.Job) (ended []moved, claimed stackjob.Job, err error) {
	w.r.recording.Lock()
	defer w.r.recording.Unlock()
	records, now, k := w.r.o.Records, w.r.o.Now(), job.Desired.Key
	open, err := records.List(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name, Open: true, Limit: 1000})
	if err != nil {
		return nil, job, err
	}
	for _, j := range open {
		if j.State.IsRunning() {
			return nil, job, fmt.Errorf("the state of %s is not restored: %w: job %s %s; wait for it, or `reeve cancel %s`", k, store.ErrStackBusy, j.ID, j.State.Sentence(), j.ID)
		}
	}
	for _, j := range open {
		if j.Purpose != stackjob.Reconcile {
			continue // a plan of a pull request that is yet to be made is made of the restored state
		}
		m := stackjob.Unneeded(now, nil, stackjob.Reason{Code: stackjob.ReasonStateRestored, Detail: string(job.ID)})
		after, err := records.Move(ctx, j.ID, m)
		if err != nil {
			return ended, job, err
		}
		ended = append(ended, moved{after, m})
	}
	if _, err := records.Enqueue(ctx, store.Enqueue{Jobs: []stackjob.Job{job}}); err != nil {
		return ended, job, fmt.Errorf("enqueue the restore of %s: %w", k, err)
	}
	claimed, err = records.Move(ctx, job.ID, stackjob.StartRestore(now, w.r.o.Owner, now.Add(lease)))
	if err != nil {
		end := stackjob.Fail(now, nil, stackjob.Reason{Code: stackjob.ReasonStateNotRestored})
		if _, e := records.Move(ctx, job.ID, end); e != nil {
			err = errors.Join(err, e) // it is ended by the next daemon
		}
	}
	return ended, claimed, err
}

// resumeRestore ends the restore of a daemon that died in the middle. Restoring twice is
// restoring once: no other job of the stack has run, and the file is the old state or the new.
func (w *Worker) resumeRestore(ctx context.Context, job stackjob.Job) error {
	if w.isRestoring(job.ID) {
		return nil
	}
	now := w.r.o.Now()
	if job.State == stackjob.Queued {
		// It was recorded and not claimed; whoever asked has had no answer.
		_, err := w.move(ctx, job.ID, stackjob.Fail(now, nil, stackjob.Reason{Code: stackjob.ReasonStateNotRestored, Detail: "the daemon stopped before it began"}))
		w.r.CompareAgain(job.Desired.Repository)
		return err
	}
	job, err := w.move(ctx, job.ID, stackjob.TakeOver(now, w.r.o.Owner, now.Add(lease)))
	if errors.Is(err, stackjob.ErrFenced) {
		return w.r.o.Records.Wake(ctx, job.ID, job.LeaseUntil.Add(time.Second))
	}
	if err != nil {
		return err
	}
	w.log.Info("going on with a restore that was cut off", "job", job.ID, "resource", job.Desired.Key.String(), "backup", job.Restore.Backup)
	_, err = w.restore(ctx, job)
	return err
}

// restore carries a claimed restore through and returns its job, which has then ended. An
// error means that the records could not be written.
func (w *Worker) restore(ctx context.Context, job stackjob.Job) (stackjob.Job, error) {
	defer w.r.CompareAgain(job.Desired.Repository)
	states := w.statesOf(job.Desired)
	if states == nil {
		return w.restoreFailed(ctx, job, fmt.Errorf("no states of %s are kept here", job.Desired.Provisioner))
	}
	at, done := w.o.Layout.StateFiles(job.Desired), *job.Restore
	list, err := states.List(at)
	if err == nil {
		err = mayReplace(list, done) // the state may have moved since it was asked for
	}
	if err != nil {
		return w.restoreFailed(ctx, job, err)
	}
	if backendOf(job.Desired) != "" {
		return w.restoreByEngine(ctx, job)
	}
	backup := stackjob.Operation{Kind: stackjob.OpBackup, StartedAt: w.r.o.Now()}
	if job, err = w.move(ctx, job.ID, stackjob.Record(backup.StartedAt, leaseOf(job), backup)); err != nil {
		return job, err
	}
	kept, err := states.Keep(at, job.ID)
	if err != nil {
		return w.restoreFailed(ctx, job, err)
	}
	if kept != nil {
		done.Replaced = &stackjob.StateVersion{Serial: kept.Serial, Lineage: kept.Lineage, Backup: kept.Name}
	}
	backup.Result, backup.EndedAt = stackjob.ResultSucceeded, w.r.o.Now()
	if job, err = w.move(ctx, job.ID, stackjob.Record(backup.EndedAt, leaseOf(job), backup)); err != nil {
		return job, err
	}
	put := stackjob.Operation{Kind: stackjob.OpRestore, StartedAt: w.r.o.Now()}
	if job, err = w.move(ctx, job.ID, stackjob.Record(put.StartedAt, leaseOf(job), put)); err != nil {
		return job, err
	}
	if err := states.Replace(at, done.Backup); err != nil {
		return w.restoreFailed(ctx, job, err)
	}
	put.Result, put.EndedAt = stackjob.ResultSucceeded, w.r.o.Now()
	return w.restored(ctx, job, put, done)
}

// restored ends a restore that is done: put is its last step.
func (w *Worker) restored(ctx context.Context, job stackjob.Job, put stackjob.Operation, done stackjob.Restoration) (stackjob.Job, error) {
	observed, err := w.afterRestore(ctx, job, put.EndedAt, &done)
	if err != nil {
		return job, err
	}
	return w.move(ctx, job.ID, stackjob.Restored(put.EndedAt, leaseOf(job), put, done, observed))
}

// afterRestore is what is known of a stack whose state a job put back, or may have put back,
// at a time, which it notes in done.
func (w *Worker) afterRestore(ctx context.Context, job stackjob.Job, at time.Time, done *stackjob.Restoration) (stackjob.Observed, error) {
	key := job.Desired.Key
	st, err := w.r.o.Records.Stack(ctx, key)
	if err != nil {
		return stackjob.Observed{}, err
	}
	observed := stackjob.Observed{Key: key, Desired: job.Desired, AppliedAt: at}
	if st.Observed != nil {
		observed, done.Applied = *st.Observed, st.Observed.JobID
		if r := st.Observed.Restored; r != nil { // restored again: JobID is that restore
			done.Applied = r.Applied
		}
	}
	observed.JobID, done.At = job.ID, at
	return observed, nil
}

// restoreFailed ends a restore that could not be done: the state is as it was.
func (w *Worker) restoreFailed(ctx context.Context, job stackjob.Job, cause error) (stackjob.Job, error) {
	now, l := w.r.o.Now(), leaseOf(job)
	for _, op := range job.Operations {
		if op.Result != stackjob.ResultNone {
			continue
		}
		op.Result, op.EndedAt = stackjob.ResultFailed, now
		after, err := w.move(ctx, job.ID, stackjob.Record(now, l, op))
		if err != nil {
			return after, err
		}
	}
	why := stackjob.Reason{Code: stackjob.ReasonStateNotRestored, Detail: cause.Error()}
	if errors.Is(cause, syscall.ENOSPC) {
		why.Code = stackjob.ReasonDiskFull
	}
	return w.move(ctx, job.ID, stackjob.Fail(now, &l, why))
}

// restoredProducer names a producer of a job whose state was restored and not planned since:
// its recorded outputs are those of the state that was replaced. "" when there is none.
func (w *Worker) restoredProducer(ctx context.Context, job stackjob.Job) (string, error) {
	if job.Purpose == stackjob.PlanOnly || job.Action != stackjob.Apply {
		return "", nil // a plan changes nothing; a destroy reads what it was applied with
	}
	for _, k := range job.Desired.Producers {
		st, err := w.r.o.Records.Stack(ctx, k)
		if err != nil {
			return "", err
		}
		if st.Observed != nil && st.Observed.Restored != nil {
			return k.String(), nil
		}
	}
	return "", nil
}

// wakeReaders has the jobs looked at that waited for a stack whose restored state has been
// planned and settled now.
func (w *Worker) wakeReaders(ctx context.Context, key schema.ResourceKey, before *stackjob.Observed) error {
	if before == nil || before.Restored == nil {
		return nil
	}
	open, err := w.r.openJobs(ctx)
	if err != nil {
		return err
	}
	var ids []stackjob.JobID
	for _, j := range open {
		if slices.Contains(j.Desired.Producers, key) {
			ids = append(ids, j.ID)
		}
	}
	return w.r.o.Records.WakeAll(ctx, ids)
}
