// Package storetest is the conformance suite of the store port: every database that
// claims to be a store runs it.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) storetest.Fixture { … })
//	}
//
// A fixture is one set of records that can be opened, closed and opened again. The
// suite waits on signals and conditions, never for a time.
package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// Records is a store with all its ports.
type Records interface {
	store.Jobs
	store.Stacks
	store.Revisions
	store.Wakeups
	store.Watcher
	store.Upkeep
	store.Pulls
	Close() error
}

// Fixture is one set of records.
type Fixture struct {
	// Open opens the records, with a clock. It is called again after Close.
	Open func(tb testing.TB, clock func() time.Time) Records
	// Crash, when not nil, ends the use of the records as kill -9 would, with
	// no orderly close.
	Crash func(tb testing.TB, r Records)
}

// Run runs the suite; newFixture makes empty records.
func Run(t *testing.T, newFixture func(tb testing.TB) Fixture) {
	t.Helper()
	for _, part := range []struct {
		name  string
		tests []namedTest
	}{
		{"Enqueue", enqueueTests},
		{"Move", moveTests},
		{"Stack", stackTests},
		{"Query", queryTests},
		{"Secret", secretTests},
		{"Upkeep", upkeepTests},
		{"Wakeup", wakeupTests},
		{"Pull", pullTests},
		{"Turn", turnTests},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range part.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, setup(t, newFixture(t)))
				})
			}
		})
	}
	t.Run("Laws", func(t *testing.T) {
		t.Parallel()
		laws(t, newFixture)
	})
}

type namedTest struct {
	name string
	run  func(t *testing.T, s *subject)
}

// epoch is when every test begins.
var epoch = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

// subject is an open store with what tests need to talk to it.
type subject struct {
	Records
	t   testing.TB
	f   Fixture
	now time.Time
	ids int
}

func setup(t testing.TB, f Fixture) *subject {
	t.Helper()
	s := &subject{t: t, f: f, now: epoch}
	s.open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func (s *subject) open() { s.Records = s.f.Open(s.t, func() time.Time { return s.now }) }

func (s *subject) reopen() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatalf("close: %v", err)
	}
	s.open()
}

// ctx is the context of a call.
func (s *subject) ctx() context.Context { return context.Background() }

// key is a stack of acme/dev.
func key(name string) schema.ResourceKey {
	return schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: name}
}

// job makes a new job for a stack whose inputs are the given text.
func (s *subject) job(name, inputs string, waitsFor ...stackjob.JobID) stackjob.Job {
	s.ids++
	d := stackjob.Desired{
		Key: key(name), Name: name, Repository: "config", Commit: "c0ffee", File: "acme/dev/" + name + ".yaml",
		Inputs: []byte(fmt.Sprintf(`{"v":%q}`, inputs)), Spec: []byte(`{}`), ModuleRevision: "m1",
	}
	return stackjob.Job{
		ID: stackjob.JobID(fmt.Sprintf("sj_%026d", s.ids)), Purpose: stackjob.Reconcile, Action: stackjob.Apply,
		Desired: d, DesiredDigest: d.Digest(), Because: []stackjob.Because{{Cause: stackjob.CauseSpec}},
		WaitsFor: waitsFor, State: stackjob.Queued, Actor: stackjob.System, CreatedAt: s.now,
	}
}

// enqueue writes jobs and returns the ids that were written.
func (s *subject) enqueue(jobs ...stackjob.Job) []stackjob.JobID {
	s.t.Helper()
	ids, err := s.Enqueue(s.ctx(), store.Enqueue{Jobs: jobs})
	if err != nil {
		s.t.Fatalf("enqueue: %v", err)
	}
	return ids
}

// enqueued writes one job and returns it.
func (s *subject) enqueued(name, inputs string, waitsFor ...stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j := s.job(name, inputs, waitsFor...)
	if ids := s.enqueue(j); len(ids) != 1 {
		s.t.Fatalf("enqueue %s: wrote %v", j.ID, ids)
	}
	return s.get(j.ID)
}

func (s *subject) get(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j, err := s.Job(s.ctx(), id)
	if err != nil {
		s.t.Fatalf("job: %v", err)
	}
	return j
}

func (s *subject) move(id stackjob.JobID, m stackjob.Move) stackjob.Job {
	s.t.Helper()
	j, err := s.Move(s.ctx(), id, m)
	if err != nil {
		s.t.Fatalf("move %s: %v", id, err)
	}
	return j
}

var builtIn = stackjob.PolicyChoice{Name: "built-in default"}

const owner = "daemon-1"

func lease(j stackjob.Job) stackjob.Lease { return stackjob.Lease{Owner: j.Owner, Fence: j.Fence} }

func leaseOf(j stackjob.Job) *stackjob.Lease {
	l := lease(j)
	return &l
}

// planning claims a queued job.
func (s *subject) planning(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	return s.move(id, stackjob.StartPlan(s.now, owner, s.now.Add(time.Minute), builtIn))
}

// plan is a plan with every large part filled.
func (s *subject) plan(digest string) stackjob.Plan {
	create := stackjob.ResourceChange{Address: "net.main", Type: "net", Name: "main", Action: stackjob.Create,
		Attributes: []stackjob.AttributeChange{{Path: "cidr", After: []byte(`"10.0.0.0/8"`)},
			{Path: "token", Before: []byte(`null`), After: []byte(`"hmac:aa"`), Sensitive: true}}}
	return stackjob.Plan{
		Digest: "sha256:" + strings.Repeat(digest, 64)[:64], FileDigest: "sha256:ff", HasChanges: true,
		Counts: stackjob.Counts{Create: 1}, Resources: []stackjob.ResourceChange{create},
		Outputs: []stackjob.OutputChange{{Name: "id", Action: stackjob.Create}},
		Drift:   []stackjob.ResourceChange{{Address: "net.old", Type: "net", Name: "old", Action: stackjob.Update}},
		Engine:  "terraform 1.11.4", InputDigest: "hmac:11", MadeAt: s.now, Text: "Plan: 1 to add", Warnings: []string{"old syntax"},
	}
}

func proceed() stackjob.Verdict {
	return stackjob.Verdict{Decision: stackjob.Proceed, Gate: stackjob.GateApply, Reason: stackjob.Reason{Code: stackjob.ReasonNoGate}, Policy: builtIn}
}

func wait() stackjob.Verdict {
	return stackjob.Verdict{Decision: stackjob.Wait, Gate: stackjob.GateApply, Reason: stackjob.Reason{Code: stackjob.ReasonNeedsApproval}, Policy: builtIn}
}

// ready takes a queued job to Ready, applying to Applying, succeeded to Succeeded.
func (s *subject) ready(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j := s.planning(id)
	return s.move(id, stackjob.Planned(s.now, lease(j), s.plan("a"), proceed()))
}

func (s *subject) applying(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j := s.ready(id)
	return s.move(id, stackjob.StartApply(s.now, owner, s.now.Add(time.Minute), j.Plan.Digest))
}

func (s *subject) succeeded(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j := s.applying(id)
	return s.move(id, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultSucceeded}, s.observed(j)))
}

func (s *subject) failed(id stackjob.JobID) stackjob.Job {
	s.t.Helper()
	j := s.planning(id)
	return s.move(id, stackjob.Fail(s.now, leaseOf(j), stackjob.Reason{Code: stackjob.ReasonEngine}))
}

// restoring is the claimed job of a restore.
func (s *subject) restoring(name string) stackjob.Job {
	s.t.Helper()
	j := s.job(name, "restore")
	by := stackjob.Actor{Name: "ada", Via: "socket"}
	j.Purpose, j.Action, j.Actor = stackjob.RestoreState, stackjob.Restore, by
	j.Restore = &stackjob.Restoration{Backup: "b.tfstate", Why: "the import went wrong", By: by, Job: j.ID, State: stackjob.StateVersion{Serial: 3, Lineage: "l", Backup: "b.tfstate"}}
	s.enqueue(j)
	return s.move(j.ID, stackjob.StartRestore(s.now, owner, s.now.Add(time.Minute)))
}

func (s *subject) observed(j stackjob.Job) *stackjob.Observed {
	return &stackjob.Observed{Key: j.Desired.Key, Desired: j.Desired, Complete: true, JobID: j.ID, Engine: "terraform 1.11.4",
		Outputs:   []stackjob.Output{{Name: "id", Value: []byte(`"net-1"`), Hash: "hmac:22"}, {Name: "key", Sensitive: true, Sealed: []byte("sealed"), Hash: "hmac:33"}},
		AppliedAt: s.now}
}

// events reads the whole history, or one job's.
func (s *subject) events(id stackjob.JobID) []store.JobEvent {
	s.t.Helper()
	var out []store.JobEvent
	for {
		var after int64
		if len(out) > 0 {
			after = out[len(out)-1].Seq
		}
		page, err := s.Events(s.ctx(), id, after, 7)
		if err != nil {
			s.t.Fatalf("events: %v", err)
		}
		if len(page) == 0 {
			return out
		}
		out = append(out, page...)
	}
}

func (s *subject) equal(what string, got, want any) {
	s.t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
