package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

var (
	inRunner     = [][]string{{"daemon"}, {"runner"}, {"engine"}, {"daemon", "engine", "runner"}}
	beforeEngine = [][]string{{"daemon"}, {"runner"}, {"daemon", "runner"}}
	inDaemon     = [][]string{{"daemon"}}
)

// steps are the recorded steps of a job that is applied at once, and who can be
// alive to be killed there.
func steps() map[string][][]string {
	return map[string][][]string{
		"move start-plan":            inDaemon,
		"operation-started init":     beforeEngine,
		"engine-started init":        inRunner,
		"operation-ended init":       beforeEngine,
		"move record init":           inDaemon,
		"operation-started plan":     beforeEngine,
		"engine-started plan":        inRunner,
		"operation-ended plan":       beforeEngine,
		"move record plan":           inDaemon,
		"move allow-apply":           inDaemon,
		"move start-apply":           inDaemon,
		"operation-started apply":    beforeEngine,
		"engine-started apply":       inRunner,
		"resource apply":             inRunner,
		"operation-ended apply":      beforeEngine,
		"move record apply":          inDaemon,
		"move succeed from applying": inDaemon,
	}
}

// stepsOfAnother are those where another engine can make a difference: while it is at work,
// whoever dies, with its plan told of as an operation; once it has ended and what it left
// is the runner's to read, seal and remove; and the two moves between which the daemon knows
// no more than that it wanted an apply. At the others there is no engine, and all that is
// there (store, runner, journal) was killed there already.
func stepsOfAnother(plan string) map[string][][]string {
	withRunner := [][]string{{"runner"}, {"daemon", "runner"}}
	return map[string][][]string{
		"engine-started init":    inRunner,
		"engine-started " + plan: inRunner,
		"operation-ended plan":   withRunner,
		"move start-apply":       inDaemon,
		"engine-started apply":   inRunner,
		"resource apply":         inRunner,
		"operation-ended apply":  withRunner,
		"move record apply":      inDaemon,
	}
}

// crashed is a job that is killed: the stack a of an engine's.
type crashed struct {
	engine tooltest.Engine
	stack  string
	steps  map[string][][]string
	// outputs is how many outputs the stack has; secret is in its inputs, "" for none.
	outputs int
	secret  string
	// write writes the stack into the repository. What is killed in the middle of an
	// apply is to hang there where it can.
	write   func(w *world, hangs bool)
	effects func(w *world) int
}

// crashedJobs are the jobs of the matrix, one for each engine.
func crashedJobs(t *testing.T) []crashed {
	t.Helper()
	var all []crashed
	for i, e := range tooltest.Engines(t) {
		at := steps()
		if i > 0 {
			at = stepsOfAnother("plan")
		}
		all = append(all, crashed{engine: e, stack: devA, steps: at, outputs: 1,
			write: func(w *world, _ bool) {
				w.write("modules/counter/main.tf", counter, "acme/dev/a.yaml", w.stackDocument("a", "one"))
			},
			effects: func(w *world) int { return w.effects("a") },
		})
	}
	const canary = "canary-Rk8-in-a-crash"
	e, plugins := tooltest.Pulumi(t)
	return append(all, crashed{engine: e, stack: "acme/dev/PulumiStack/a", steps: stepsOfAnother("refresh"), // its refresh and its plan are one process
		outputs: 2, secret: canary,
		write: func(w *world, hangs bool) {
			w.write("modules/lab/Pulumi.yaml", pulumiProgram(plugins), "acme/dev/a.yaml", w.pulumiDocument("a", "one", canary)+fmt.Sprintf("    hangs: %t\n", hangs))
		},
		effects: func(w *world) int { return w.created("a") },
	})
}

// TestCrashMatrix kills the daemon alone, the runner alone, the engine alone and all
// at once after every recorded step of a job with real engine runs, starts a new
// daemon, and checks that no side effect happened twice, that every job ended
// truthfully, and that nothing is left behind.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range crashedJobs(t) {
		for at, kills := range c.steps {
			for _, kill := range kills {
				t.Run(fmt.Sprintf("%s/%s/%s", c.engine.Name, strings.ReplaceAll(at, " ", "-"), strings.Join(kill, "+")), func(t *testing.T) {
					t.Parallel()
					c.crashAndRecover(t, at, kill)
				})
			}
		}
	}
}

func (c crashed) crashAndRecover(t *testing.T, at string, kill []string) {
	w := newWorld(t, c.engine)
	// When the daemon dies alone the apply goes on, and is to end.
	inApply := at == "resource apply" && !slices.Equal(kill, []string{"daemon"})
	w.write("acme/policies/at-once.yaml", atOnce)
	c.write(w, inApply)
	w.commit("one")
	cfg := w.writeConfig()
	file := w.crashing(cfg, crash{At: at, Kill: kill})

	daemons := []*process{w.daemon(cfg, file)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end := sync.OnceFunc(daemons[0].end)
	if slices.Contains(kill, "daemon") {
		daemons[0].awaitEnd(ctx)
		daemons = append(daemons, w.daemon(cfg))
		end = sync.OnceFunc(daemons[1].end)
	}
	defer end()
	client := api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")})
	jobs := awaitQuiet(ctx, t, client)
	if _, err := os.Stat(readCrash(file).Marker); err != nil {
		t.Fatalf("the step %q was never reached", at)
	}
	c.checkTruth(t, w, client, jobs)
	if c.engine.Name == tool.NamePulumi {
		checkCleared(t, w, client, jobs, inApply)
	}
	if last := jobs[0]; last.State == stackjob.Failed && !appliedOnce(last) {
		// What a killed plan left is in nobody's way.
		rerun, err := client.Rerun(ctx, api.Answer{Job: last.ID, Actor: ada})
		if err != nil {
			t.Fatal(err)
		}
		again := awaitJob(ctx, t, client, func(j stackjob.Job) bool { return j.ID == rerun.ID && (j.State.IsFinal() || j.State.IsWaiting()) })
		if again.State != stackjob.Succeeded || c.effects(w) != 1 {
			t.Errorf("a plan that failed was run again: %s (%s), with %d side effects\n%s", again.State, again.Reason, c.effects(w), logOf(t, client, again.ID))
		}
	}
	end()
	w.nobodyLeft(ctx)
	if c.secret != "" {
		w.nothingTold(c.secret, daemons...)
	}
}

// checkTruth checks what must hold after any crash.
func (c crashed) checkTruth(t *testing.T, w *world, client api.Backend, jobs []stackjob.Job) {
	t.Helper()
	effects := c.effects(w)
	if effects > 1 {
		t.Errorf("the side effect happened %d times", effects)
	}
	oldest := jobs[len(jobs)-1]
	key, err := schema.ParseResourceKey(c.stack)
	if err != nil {
		t.Fatal(err)
	}
	ex, err := client.Explain(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	switch oldest.State {
	case stackjob.Succeeded:
		if effects != 1 || ex.Observed == nil || !ex.Observed.Complete || len(jobs) != 1 {
			t.Errorf("succeeded, with %d side effects, %d jobs, recorded %+v", effects, len(jobs), ex.Observed)
		}
	case stackjob.Failed, stackjob.Interrupted:
		if oldest.State == stackjob.Failed && !appliedOnce(oldest) {
			// The engine died while it planned: nothing was made.
			if effects != 0 || ex.Observed != nil {
				t.Errorf("failed before any apply, with %d side effects, recorded %+v", effects, ex.Observed)
			}
			break
		}
		if !appliedOnce(oldest) {
			t.Errorf("%s (%s) and no apply was ever intended", oldest.State, oldest.Reason)
		}
		if oldest.Reason.Code == stackjob.ReasonRunnerNotStarted {
			// The daemon died between the intent and the runner: nothing ran, and what is
			// recorded of the stack is as true as before.
			if effects != 0 || ex.Observed != nil {
				t.Errorf("no engine was started, with %d side effects, recorded %+v", effects, ex.Observed)
			}
		} else if ex.Observed == nil || ex.Observed.Complete && len(jobs) == 1 {
			t.Errorf("%s, and recorded is %+v: expected an incomplete stack", oldest.State, ex.Observed)
		}
		if oldest.State == stackjob.Failed {
			break // the engine died and the runner lived to say so
		}
		if len(jobs) == 2 && jobs[0].State == stackjob.Succeeded && jobs[0].Reason.Code == stackjob.ReasonNoChanges {
			// All of it had been done: the fresh plan found nothing left to do.
			if effects != 1 || !ex.Observed.Complete || len(ex.Observed.Outputs) != c.outputs {
				t.Errorf("found as desired, with %d side effects and %d outputs on record", effects, len(ex.Observed.Outputs))
			}
			break
		}
		if len(jobs) != 2 || jobs[0].State != stackjob.WaitingApply || jobs[0].Hold == nil {
			t.Errorf("after an interruption a fresh plan waits for a person; jobs: %s", summary(jobs))
		}
	default:
		t.Errorf("the job is %s (%s)", oldest.State, oldest.Reason)
	}
	for _, op := range oldest.Operations {
		if op.Result == stackjob.ResultNone {
			t.Errorf("operation %s of attempt %d has no end", op.Kind, op.Attempt)
		}
	}
}

func appliedOnce(j stackjob.Job) bool { return j.Plan != nil && j.Plan.Consumed }

// checkCleared checks that nothing holds or burdens a stack of Pulumi's: the locks of killed
// updates are released and what they left pending is cleared. Where it was surely killed in
// the middle of its apply, the plan that follows says so.
func checkCleared(t *testing.T, w *world, client api.Backend, jobs []stackjob.Job, inApply bool) {
	t.Helper()
	if left := w.pulumiLocks(); len(left) > 0 {
		t.Errorf("locks are left: %v", left)
	}
	states, err := filepath.Glob(filepath.Join(w.root, "data", "stacks", "*", "*", "*", "*", "state", "pulumi", ".pulumi", "stacks", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range states {
		b, err := os.ReadFile(file)
		if err != nil || !json.Valid(b) || bytes.Contains(b, []byte(`"pending_operations"`)) {
			t.Errorf("the state is no whole one (%v): %s", err, b)
		}
	}
	if !inApply {
		return
	}
	if len(states) != 1 {
		t.Errorf("states: %q", states)
	}
	fresh, err := client.Job(t.Context(), jobs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if jobs[len(jobs)-1].State != stackjob.Interrupted || fresh.Plan == nil || fresh.State != stackjob.WaitingApply {
		t.Fatalf("it was killed while a resource was made: %s", summary(jobs))
	}
	refreshed := slices.ContainsFunc(fresh.Operations, func(op stackjob.Operation) bool {
		return op.Kind == stackjob.OpRefresh && op.Attempt == fresh.Attempt && op.Result == stackjob.ResultSucceeded
	})
	if log := logOf(t, client, fresh.ID); !refreshed || !strings.Contains(log, "Releasing the lock") || !strings.Contains(strings.Join(fresh.Plan.Warnings, "\n"), "lab:index:Data::") {
		t.Errorf("refreshed: %t, warnings %q, log:\n%s", refreshed, fresh.Plan.Warnings, log)
	}
}

// nobodyLeft waits until no process belongs to the world: a daemon, a runner, an engine or
// a plugin. Each has the world's folder in its command line or its environment.
func (w *world) nobodyLeft(ctx context.Context) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := w.processes()
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("processes are left: %q", left)
		case <-tick.C:
		}
	}
}

// processes are the command lines of the world's processes.
func (w *world) processes() []string {
	w.t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(folders) == 0 {
		w.t.Fatalf("no process can be seen: %v", err)
	}
	var out []string
	for _, dir := range folders {
		if filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if bytes.Contains(line, []byte(w.root)) || bytes.Contains(env, []byte(w.root)) {
			out = append(out, fmt.Sprintf("%s %s", filepath.Base(dir), bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return out
}
