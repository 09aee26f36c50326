package reconciler

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/pace"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestPauseGrowsWithFailuresAndHonoursTheServer(t *testing.T) {
	t.Parallel()
	const interval = 30 * time.Second
	wait := func(class gitsource.ErrorClass, after time.Duration) error {
		return &gitsource.FetchError{Repository: "r", Class: class, RetryAfter: after, Err: errors.New("no")}
	}
	for _, c := range []struct {
		name     string
		failures int
		err      error
		want     time.Duration
	}{
		{"nothing wrong", 0, nil, interval},
		{"first failure", 1, wait(gitsource.ClassWait, 0), interval},
		{"third failure", 3, wait(gitsource.ClassWait, 0), 4 * interval},
		{"for ever", 50, wait(gitsource.ClassWait, 0), pace.Longest},
		{"a person must act", 1, wait(gitsource.ClassPerson, 0), 5 * time.Minute},
		{"the server asks for more", 1, wait(gitsource.ClassWait, time.Hour), time.Hour},
	} {
		for range 20 { // there is jitter
			if got := pace.Pause(interval, c.failures, least(interval, c.err)); got < c.want || got > c.want+c.want/10 {
				t.Errorf("%s: %v, expected %v and up to a tenth more", c.name, got, c.want)
			}
		}
	}
}

func TestNoNameLeadsOutOfTheDataFolder(t *testing.T) {
	t.Parallel()
	l := Layout{Root: "/data"}
	seen := map[string]string{}
	for _, name := range []string{"a", "..", ".", "", "a/b", "../../etc", "-x", "ä", "%2e%2e", "a\x00b", "a\nb"} {
		dir := l.Stack(schema.ResourceKey{Org: name, Env: name, Kind: name, Name: name})
		rel, err := filepath.Rel("/data/stacks", dir)
		if err != nil || len(strings.Split(rel, "/")) != 4 || strings.HasPrefix(rel, "../") || strings.ContainsAny(rel, "\x00\n") {
			t.Errorf("%q leads to %q", name, dir)
		}
		if other, ok := seen[dir]; ok {
			t.Errorf("%q and %q share %q", name, other, dir)
		}
		seen[dir] = name
	}
	if got := l.Phase("sj_1", 2, engine.PhaseApply); got != "/data/jobs/sj_1/2-apply" {
		t.Errorf("phase folder %q", got)
	}
}

func TestEveryStringInASecretValueIsMasked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		`"hunter2"`:                       {"hunter2"},
		`{"b":["x",{"c":"y"}],"a":"z"}`:   {"z", "x", "y"},
		`12345`:                           {"12345"},
		`{"pin":98765432101234567,"n":5}`: {"98765432101234567"},
		`null`:                            nil,
		`true`:                            nil,
	} {
		if d := cmp.Diff(want, secretStrings(json.RawMessage(value))); d != "" {
			t.Errorf("%s (-want +got):\n%s", value, d)
		}
	}
}

func TestOnlyALockTakenByAnOwnRunThatWasKilledIsOurs(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	killed := func(kind stackjob.OperationKind, after, lasted time.Duration) stackjob.Operation {
		return stackjob.Operation{Kind: kind, Attempt: 1, Result: stackjob.ResultInterrupted, StartedAt: from.Add(after), EndedAt: from.Add(after + lasted)}
	}
	well := killed(stackjob.OpApply, 0, time.Minute)
	well.Result = stackjob.ResultSucceeded
	overdue := killed(stackjob.OpPlan, 0, time.Minute)
	overdue.Result, overdue.Killed = stackjob.ResultFailed, true
	stopped := killed(stackjob.OpPlan, 0, time.Minute)
	stopped.Result = stackjob.ResultCancelled // and ended by itself
	refreshed := killed(stackjob.OpRefresh, 0, time.Hour)
	refreshed.Result = stackjob.ResultSucceeded
	const apply, plan = "OperationTypeApply", "OperationTypePlan"
	for _, c := range []struct {
		name string
		ops  []stackjob.Operation
		lock engine.StateLock
		want bool
	}{
		{"as it began", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(time.Second)}, true},
		{"a clock that is a little off", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(-time.Second)}, true},
		{"a destroy", []stackjob.Operation{killed(stackjob.OpDestroy, 0, time.Minute)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(time.Second)}, true},
		{"a plan, before its refresh", []stackjob.Operation{refreshed, killed(stackjob.OpPlan, time.Hour, time.Second)}, engine.StateLock{Operation: plan, CreatedAt: from.Add(time.Second)}, true},
		{"a plan that was killed at its time limit", []stackjob.Operation{overdue}, engine.StateLock{Operation: plan, CreatedAt: from.Add(time.Second)}, true},
		{"a plan that was asked to stop and did", []stackjob.Operation{stopped}, engine.StateLock{Operation: plan, CreatedAt: from.Add(time.Second)}, false},
		{"before it", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(-time.Minute)}, false},
		{"by a person, before the daemon came back", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Hour)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(30 * time.Minute)}, false},
		{"after it was found dead", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Second)}, engine.StateLock{Operation: apply, CreatedAt: from.Add(5 * time.Second)}, false},
		{"by another kind of operation", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: plan, CreatedAt: from.Add(time.Second)}, false},
		{"by another version", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: apply, Version: "1.5.7", CreatedAt: from.Add(time.Second)}, false},
		{"an operation that ended well", []stackjob.Operation{well}, engine.StateLock{Operation: apply, CreatedAt: from.Add(time.Second)}, false},
		{"an init", []stackjob.Operation{killed(stackjob.OpInit, 0, time.Minute)}, engine.StateLock{CreatedAt: from.Add(time.Second)}, false},
		{"no time at all", []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, engine.StateLock{Operation: apply}, false},
	} {
		if c.lock.Version == "" {
			c.lock.Version = "1.11.4"
		}
		if got := tookLock(stackjob.Job{Operations: c.ops, Plan: &stackjob.Plan{Engine: "terraform 1.11.4"}}, c.lock, func(int, time.Time) bool { return true }); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	pulumis := stackjob.Job{Operations: []stackjob.Operation{killed(stackjob.OpApply, 0, time.Minute)}, Plan: &stackjob.Plan{Engine: "pulumi 3.230.0"}}
	for _, c := range []struct {
		name  string
		lock  engine.StateLock
		alive bool
		want  bool
	}{
		{"by a process that is gone", engine.StateLock{PID: 42, CreatedAt: from.Add(time.Second)}, false, true},
		{"by a process that is there", engine.StateLock{PID: 42, CreatedAt: from.Add(time.Second)}, true, false},
		{"by nobody knows which process", engine.StateLock{CreatedAt: from.Add(time.Second)}, false, false},
		{"before it", engine.StateLock{PID: 42, CreatedAt: from.Add(-time.Minute)}, false, false},
		{"of another engine", engine.StateLock{Operation: apply, Version: "3.230.0", CreatedAt: from.Add(time.Second)}, false, false},
	} {
		if got := tookLock(pulumis, c.lock, func(pid int, at time.Time) bool {
			if pid != c.lock.PID || !at.Equal(c.lock.CreatedAt) {
				t.Errorf("Pulumi, %s: asked for process %d at %s", c.name, pid, at)
			}
			return c.alive
		}); got != c.want {
			t.Errorf("Pulumi, %s: %v", c.name, got)
		}
	}
	if l := lockToRelease(stackjob.Job{Reason: stackjob.Reason{Code: stackjob.ReasonStaleLock, Detail: "id"}}); l == nil || l.ID != "id" {
		t.Errorf("lock to release: %+v", l)
	}
	if l := lockToRelease(stackjob.Job{Reason: stackjob.Reason{Code: stackjob.ReasonStateLocked, Detail: "id"}}); l != nil {
		t.Errorf("somebody's lock would be released: %+v", l)
	}
}

func TestAJobThatIsPutOffWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for _, attempt := range []int{0, 1, 2, 3, 6, 7, 8, 1 << 40} {
		got = append(got, putOffFor(attempt)/time.Second)
	}
	if d := cmp.Diff([]time.Duration{5, 5, 10, 20, 160, 300, 300, 300}, got); d != "" {
		t.Errorf("seconds (-want +got):\n%s", d)
	}
}

func TestOutcomeOfAPhaseIsNeverInvented(t *testing.T) {
	t.Parallel()
	by := stackjob.Actor{Name: "ada"}
	for _, c := range []struct {
		name string
		job  stackjob.Job
		res  engine.Result
		want stackjob.Outcome
	}{
		{"its own", stackjob.Job{}, engine.Result{Outcome: &stackjob.Outcome{Result: stackjob.ResultSucceeded}}, stackjob.Outcome{Result: stackjob.ResultSucceeded}},
		{"a failure alone", stackjob.Job{}, engine.Result{Failure: &engine.Failure{Reason: stackjob.Reason{Code: stackjob.ReasonTimeout}}},
			stackjob.Outcome{Result: stackjob.ResultFailed, Reason: stackjob.Reason{Code: stackjob.ReasonTimeout}}},
		{"cancelled by a person", stackjob.Job{CancelledBy: &by}, engine.Result{Outcome: &stackjob.Outcome{Result: stackjob.ResultCancelled}},
			stackjob.Outcome{Result: stackjob.ResultCancelled, Reason: stackjob.Reason{Code: stackjob.ReasonCancelled, Detail: "by ada"}}},
		{"stopped from outside", stackjob.Job{}, engine.Result{Outcome: &stackjob.Outcome{Result: stackjob.ResultCancelled}},
			stackjob.Outcome{Result: stackjob.ResultCancelled, Reason: stackjob.Reason{Code: stackjob.ReasonStopping}}},
		{"cancelled, and killed at the end of its grace time", stackjob.Job{CancelledBy: &by},
			engine.Result{Cancelled: true, Outcome: &stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: stackjob.Reason{Code: stackjob.ReasonCancelled}}},
			stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: stackjob.Reason{Code: stackjob.ReasonCancelled, Detail: "by ada; " + killedInApply}}},
		{"stopped from outside, and killed", stackjob.Job{}, engine.Result{Cancelled: true, Outcome: &stackjob.Outcome{Result: stackjob.ResultInterrupted}},
			stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: stackjob.Reason{Code: stackjob.ReasonStopping, Detail: killedInApply}}},
		{"killed by somebody else", stackjob.Job{CancelledBy: &by}, engine.Result{Outcome: &stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "killed"}}},
			stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "killed"}}},
		{"cancelled while it would have been put off", stackjob.Job{CancelledBy: &by}, engine.Result{Failure: &engine.Failure{Reason: stackjob.Reason{Code: stackjob.ReasonDatabaseLocked}}},
			stackjob.Outcome{Result: stackjob.ResultCancelled, Reason: stackjob.Reason{Code: stackjob.ReasonCancelled, Detail: "by ada"}}},
		{"nothing", stackjob.Job{}, engine.Result{},
			stackjob.Outcome{Result: stackjob.ResultFailed, Reason: stackjob.Reason{Code: stackjob.ReasonInternal, Detail: "the apply phase left no outcome"}}},
	} {
		if d := cmp.Diff(c.want, outcomeOf(c.job, c.res)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestMetricsCountEndsOnceAndHaveAllTheirSeriesFromTheStart(t *testing.T) {
	t.Parallel()
	m := newMetrics(prometheus.NewRegistry())
	if n := testutil.CollectAndCount(m.open); n != 6 {
		t.Errorf("%d series of open jobs at the start, expected one for each state that is not final", n)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	job := stackjob.Job{State: stackjob.Failed, Reason: stackjob.Reason{Code: stackjob.ReasonEngine}, StartedAt: at, EndedAt: at.Add(time.Second)}
	m.moved(job, stackjob.Fail(at, nil, job.Reason))
	if got := testutil.ToFloat64(m.jobs.WithLabelValues("failed", "engine-failed")); got != 1 {
		t.Errorf("failed jobs: %v", got)
	}
	job.State = stackjob.Planning
	m.moved(job, stackjob.Postpone(at, stackjob.Reason{}))
	if got := testutil.ToFloat64(m.jobs.WithLabelValues("failed", "engine-failed")); got != 1 {
		t.Errorf("a move that ends nothing was counted: %v", got)
	}
}
