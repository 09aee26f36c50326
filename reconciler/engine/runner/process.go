package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// The exit codes of a runner. Nobody needs them: what counts is in the folder.
const (
	exitEnded   = 0 // there is a result
	exitRefused = 2 // the folder is not to be run
	exitFailed  = 3 // no result could be written
)

// errInterrupted is the cause of a phase that was asked to stop.
var errInterrupted = errors.New("interrupted on request")

// errOverdue is the cause of a phase whose driver did not keep its own time limits.
var errOverdue = errors.New("all time limits together are over")

const (
	// defaultGrace is for a task that does not say: an engine that is killed may
	// lose its state, so zero cannot mean "at once".
	defaultGrace = 30 * time.Second
	// defaultSlack is what a driver may take on top of the grace time, to say
	// what happened.
	defaultSlack = 30 * time.Second
	// gcPercent is how far the heap may grow beyond what it holds: a runner holds a few
	// megabytes for a second or, for as long as its engine works, does nothing.
	gcPercent = 400
	// resultPatience is how long a result waits for room on the disk.
	resultPatience = 10 * time.Minute
)

// Main carries out the phase of a folder and returns the exit code. It is the whole
// life of a process: it changes the process's limits, signals and umask, and kills
// what is below it. In the place of the folder may stand that it is told later.
func Main(folder string, drivers map[schema.Provisioner]engine.Driver) int {
	debug.SetGCPercent(gcPercent)
	if folder == spareArgument {
		var err error
		folder, err = waitForFolder()
		if errors.Is(err, io.EOF) {
			return exitEnded // there is no work for it
		}
		if err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
			return exitRefused
		}
	}
	p := process{folder: folder, drivers: drivers, slack: defaultSlack, now: time.Now}
	return p.main()
}

// process is the runner.
type process struct {
	folder  string
	drivers map[schema.Provisioner]engine.Driver
	slack   time.Duration
	now     func() time.Time

	lock    *os.File
	holder  holder
	journal *journal
	sink    *sink
	signals chan os.Signal
	// ctx is the phase's; stop ends it, the first cause counts.
	ctx  context.Context
	stop context.CancelCauseFunc
}

func (p *process) main() int {
	unix.Umask(0o077)
	if err := p.take(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
		return exitRefused
	}
	defer p.lock.Close()
	r := p.phase()
	return p.finish(r)
}

// take makes the folder this process's own, or tells why it is not to be run.
func (p *process) take() error {
	if !filepath.IsAbs(p.folder) {
		return fmt.Errorf("%s is not an absolute path", p.folder)
	}
	var err error
	if p.lock, err = adoptLock(p.folder); err != nil {
		return fmt.Errorf("lock %s: %w", p.folder, err)
	}
	if err := closeInherited(int(p.lock.Fd())); err != nil {
		return fmt.Errorf("close inherited files: %w", err)
	}
	for _, name := range []string{abandonedFile, resultFile} {
		if there, err := exists(p.folder, name); there || err != nil {
			return errors.Join(fmt.Errorf("%s is not to be run: there is %q", p.folder, name), err)
		}
	}
	// A phase runs once: what another runner of this folder began is not begun again.
	if was, err := began(p.folder); was || err != nil {
		return errors.Join(fmt.Errorf("%s is not to be run: it was begun before", p.folder), err)
	}
	// The leader of a process group cannot lead a session; then it was not started
	// by a launcher, and its group is its own already.
	if sid, err := unix.Getsid(0); err == nil && sid != os.Getpid() {
		_, _ = unix.Setsid()
	}
	if err := sweep.Adopt(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	// Caught and not ignored: what is ignored would be ignored by engines too.
	p.signals = make(chan os.Signal, 16)
	signal.Notify(p.signals, unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGXFSZ, unix.SIGPIPE)
	p.holder = readHolder(p.folder)
	p.holder.PID = os.Getpid()
	if id := os.Getenv(sweep.Variable); p.holder.Run == "" {
		p.holder.Run = id
	}
	if err := writeHolder(p.lock, p.holder); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	return nil
}

// adoptLock takes the lock over from the launcher, or takes it.
func adoptLock(folder string) (*os.File, error) {
	var there, inherited unix.Stat_t
	if err := unix.Stat(filepath.Join(folder, lockFile), &there); err != nil {
		return nil, err
	}
	if err := unix.Fstat(inheritedLock, &inherited); err == nil && inherited.Dev == there.Dev && inherited.Ino == there.Ino {
		unix.CloseOnExec(inheritedLock)
		f := os.NewFile(inheritedLock, lockFile)
		if err := takeOpen(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	return takeLock(folder)
}

// phase does the work. It returns whatever happens.
func (p *process) phase() engine.Result {
	t, err := readTask(p.folder)
	if err != nil {
		return engine.Result{Failure: trouble("read the task", err)}
	}
	fail := func(f *engine.Failure) engine.Result { return engine.Result{Phase: t.Phase, Failure: f} }
	p.ctx, p.stop = context.WithCancelCause(context.Background())
	if err := p.reserve(); err != nil {
		return fail(trouble("reserve room for the result", err))
	}
	if p.journal, err = openJournal(p.folder, p.now); err != nil {
		return fail(trouble("open the journal", err))
	}
	if p.sink, err = openSink(p.folder, t, p.journal, p.stop); err != nil {
		return fail(trouble("open the log", err))
	}
	if err := p.journal.write(engine.Event{Type: engine.RunnerStarted, PID: os.Getpid()}); err != nil {
		return fail(trouble("write the journal", err))
	}
	if err := syncFolder(p.folder); err != nil {
		return fail(trouble("write the journal", err))
	}
	if text := tooSmall(t.Limits); text != "" {
		return fail(failure(engine.ClassPerson, stackjob.ReasonInternal, text, ""))
	}
	if err := limit(t.Limits); err != nil {
		return fail(trouble("set limits", err))
	}
	driver, ok := p.drivers[t.Program.Provisioner]
	if !ok {
		return fail(failure(engine.ClassPerson, stackjob.ReasonEngineMissing, "this program cannot drive "+string(t.Program.Provisioner), ""))
	}
	// The driver gives the engine this environment and nothing else.
	t.Env = maps.Clone(t.Env)
	if t.Env == nil {
		t.Env = map[string]string{}
	}
	t.Env[sweep.Variable] = p.holder.Run
	return p.supervise(t, driver)
}

// reserve keeps room for the result.
func (p *process) reserve() error {
	f, err := os.OpenFile(filepath.Join(p.folder, reserveFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(takeRoom(f, reserveSize), f.Close())
}

// supervise runs the driver and does not wait for it for ever.
func (p *process) supervise(t engine.Task, d engine.Driver) engine.Result {
	done := make(chan engine.Result, 1) // a driver that is given up ends with the process
	go func() { done <- p.drive(t, d) }()
	if there, err := exists(p.folder, interruptFile); there || err != nil {
		p.stop(errInterrupted)
	}
	grace := t.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	var overdue, hopeless <-chan time.Time
	if all := allTime(t); all > 0 {
		overdue = time.After(all + grace + p.slack)
	}
	stopped := p.ctx.Done()
	for {
		select {
		case r := <-done:
			return p.explain(r)
		case s := <-p.signals:
			if s == unix.SIGINT || s == unix.SIGTERM || s == unix.SIGQUIT {
				p.stop(errInterrupted) // a second one changes nothing: the grace time runs
			}
		case <-overdue:
			p.stop(errOverdue)
		case <-stopped:
			stopped = nil
			hopeless = time.After(grace + p.slack)
		case <-hopeless:
			return p.giveUp(t)
		}
	}
}

// allTime is all that the phase's operations may take; 0 when one of them may take
// for ever.
func allTime(t engine.Task) time.Duration {
	kinds := []stackjob.OperationKind{stackjob.OpInit, stackjob.OpPlan}
	if t.Phase == engine.PhaseApply {
		kinds = []stackjob.OperationKind{stackjob.OpApply}
		if t.Action == stackjob.Destroy {
			kinds = []stackjob.OperationKind{stackjob.OpDestroy}
		}
	}
	all := t.Timeouts[stackjob.OpRefresh]
	for _, k := range kinds {
		if t.Timeouts[k] <= 0 {
			return 0
		}
		all += t.Timeouts[k]
	}
	if t.ReleaseLock != nil {
		all += t.Timeouts[stackjob.OpInit]
	}
	return all
}

// drive calls the driver. Its panic is a failure like others.
func (p *process) drive(t engine.Task, d engine.Driver) (r engine.Result) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		p.sink.Log([]byte(fmt.Sprintf("\nreeve: the driver of %s panicked: %v\n%s", t.Program, v, debug.Stack())))
		r = engine.Result{Phase: t.Phase, Failure: bug("the driver of " + t.Program.String() + " panicked; the log has its stack")}
		p.unknown(t, &r)
	}()
	private := filepath.Join(p.folder, privateFolder)
	if err := os.Mkdir(private, 0o700); err != nil {
		return engine.Result{Phase: t.Phase, Failure: trouble("make the private folder", err)}
	}
	path := filepath.Join(private, planFile)
	switch t.Phase {
	case engine.PhaseApply:
		return p.apply(t, d, path)
	case engine.PhaseRestore:
		if r, ok := d.(engine.Restorer); ok && t.Restore != nil {
			return r.Restore(p.ctx, t, path, p.sink)
		}
		return engine.Result{Phase: t.Phase, Failure: bug("no backup is named, or the driver of " + t.Program.String() + " puts none back")}
	}
	return p.plan(t, d, path)
}

func (p *process) plan(t engine.Task, d engine.Driver, path string) engine.Result {
	if lock := t.ReleaseLock; lock != nil {
		if err := d.Unlock(p.ctx, t, *lock, p.sink); err != nil {
			f := failure(engine.ClassPerson, stackjob.ReasonStateLocked, lock.ID, "The lock that an earlier run of ours left behind cannot be released: "+err.Error())
			f.Lock = lock
			return engine.Result{Phase: t.Phase, Failure: f, Cancelled: errors.Is(context.Cause(p.ctx), errInterrupted)}
		}
	}
	r := d.Plan(p.ctx, t, path, p.sink)
	if r.Plan == nil {
		return r
	}
	digest, err := sealPlan(path, p.folder, t.Recipient)
	switch {
	case err != nil:
		r.Plan, r.Failure = nil, trouble("seal the plan", err)
	case digest != r.Plan.FileDigest:
		r.Plan, r.Failure = nil, bug("the saved plan changed while it was sealed")
	}
	return r
}

func (p *process) apply(t engine.Task, d engine.Driver, path string) engine.Result {
	digest, err := unsealPlan(t.PlanFile, path, t.Identity)
	switch {
	case isFull(err):
		return engine.Result{Phase: t.Phase, Failure: full("open the sealed plan")}
	case err != nil:
		return engine.Result{Phase: t.Phase, Failure: notTheSame(err.Error())}
	case digest != t.PlanFileDigest:
		return engine.Result{Phase: t.Phase, Failure: notTheSame(fmt.Sprintf("its digest is %s, expected %s",
			stackjob.ShortDigest(digest), stackjob.ShortDigest(t.PlanFileDigest)))}
	}
	t.Identity = "" // nothing that is left to do needs it
	return d.Apply(p.ctx, t, path, p.sink)
}

// explain tells a driver's result what the driver cannot know.
func (p *process) explain(r engine.Result) engine.Result {
	cause := context.Cause(p.ctx)
	if errors.Is(cause, errJournal) && r.Failure != nil {
		r.Cancelled = false
		r.Failure = trouble("write down that the engine starts", cause)
	}
	if errors.Is(cause, errOverdue) && r.Failure != nil {
		r.Cancelled = false
		r.Failure.Reason = stackjob.Reason{Code: stackjob.ReasonTimeout, Detail: errOverdue.Error()}
	}
	return r
}

// giveUp is the result of a driver that does not come back.
func (p *process) giveUp(t engine.Task) engine.Result {
	cause := context.Cause(p.ctx)
	f := failure(engine.ClassBug, stackjob.ReasonInternal, "the driver of "+t.Program.String()+" did not end; it was given up", "")
	if errors.Is(cause, errOverdue) {
		f.Reason = stackjob.Reason{Code: stackjob.ReasonTimeout, Detail: "the driver of " + t.Program.String() + " did not end"}
	}
	p.sink.Log([]byte("\nreeve: " + f.Reason.String() + "\n"))
	r := engine.Result{Phase: t.Phase, Failure: f, Cancelled: errors.Is(cause, errInterrupted)}
	p.unknown(t, &r)
	return r
}

// unknown says of an apply that began and whose driver cannot tell its outcome
// that it was interrupted.
func (p *process) unknown(t engine.Task, r *engine.Result) {
	if t.Phase == engine.PhaseApply && p.sink.hasStarted() {
		r.Outcome = &stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: r.Failure.Reason}
	}
}

// finish puts the result on the disk, first of all; then it leaves nothing behind.
func (p *process) finish(r engine.Result) int {
	code := exitEnded
	if p.sink != nil {
		r = p.sink.maskResult(r)
		p.sink.endLog(r.Failure)
	}
	liftFileSize()
	w := resultWriter{folder: p.folder, write: replace, pause: time.Sleep, patience: resultPatience}
	if err := w.put(r); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
		code = exitFailed
	}
	ctx := context.Background()
	if err := sweep.KillDescendants(ctx); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
	}
	if err := tidy(p.folder); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
	}
	if p.journal != nil && code == exitEnded {
		// Without this line the free lock says the same, a little later.
		_ = p.journal.write(engine.Event{Type: engine.RunnerEnded})
	}
	if p.sink != nil {
		// Nobody waits for this any more: the result is on the disk.
		if err := errors.Join(p.journal.close(), p.sink.log.Sync()); err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "reeve run-job: %v\n", err)
		}
	}
	return code
}
