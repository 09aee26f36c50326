package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// memory is a Backend whose answers a test chooses, and that remembers what it was asked.
type memory struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	asked    []any
	fail     error
	events   []store.JobEvent
	logs     map[stackjob.JobID]*logged
	watchers int
}

type logged struct {
	text  []byte
	ended bool
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var vpc = schema.ResourceKey{Org: "acme", Env: "dev", Kind: "AwsVpc", Name: "main"}

func newMemory() *memory {
	return &memory{changed: make(chan struct{}), logs: map[stackjob.JobID]*logged{}}
}

func (m *memory) update(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// until waits for a condition, and tells whether it came true before ctx ended.
func (m *memory) until(ctx context.Context, cond func() bool) bool {
	for {
		m.mu.Lock()
		ok, next := cond(), m.changed
		m.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-next:
		case <-ctx.Done():
			return false
		}
	}
}

func (m *memory) note(v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, v)
	return m.fail
}

func (m *memory) lastAsked() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.asked) == 0 {
		return nil
	}
	return m.asked[len(m.asked)-1]
}

func (m *memory) askedCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

func (m *memory) failWith(err error) { m.update(func() { m.fail = err }) }

func (m *memory) emit(n int) {
	m.update(func() {
		for range n {
			m.events = append(m.events, store.JobEvent{Seq: int64(len(m.events) + 1), Job: "sj_1", At: day, Event: stackjob.EvRecord,
				State: stackjob.Planning, Actor: stackjob.System, Operation: stackjob.OpPlan})
		}
	})
}

func (m *memory) write(id stackjob.JobID, text string) {
	m.update(func() {
		if m.logs[id] == nil {
			m.logs[id] = &logged{}
		}
		m.logs[id].text = append(m.logs[id].text, text...)
	})
}

func (m *memory) endLog(id stackjob.JobID) { m.update(func() { m.logs[id].ended = true }) }

var resources = []api.ResourceStatus{{Key: vpc, Name: "Main ünïcode", Status: "waiting", Reason: stackjob.Reason{Code: stackjob.ReasonNeedsApproval},
	Because: []stackjob.Because{{Cause: stackjob.CauseSpec}}, Job: "sj_1", Module: "modules/vpc", Engine: schema.Terraform, File: "acme/dev/vpc.yaml", Line: 3, AppliedAt: day}}

var job = stackjob.Job{ID: "sj_1", Purpose: stackjob.Reconcile, Action: stackjob.Apply, State: stackjob.WaitingApply, CreatedAt: day,
	Desired: stackjob.Desired{Key: vpc, Inputs: []byte(`{"spec":{"cidr":"10.0.0.0/16"}}`), Spec: []byte(`{"cidr":"10.0.0.0/16"}`)},
	Because: []stackjob.Because{{Cause: stackjob.CauseNew}}, Actor: stackjob.System,
	Plan: &stackjob.Plan{Digest: "sha256:0123456789abcdef", Counts: stackjob.Counts{Create: 2}, HasChanges: true, MadeAt: day,
		Resources: []stackjob.ResourceChange{{Address: "aws_vpc.this", Action: stackjob.Create, Attributes: []stackjob.AttributeChange{{Path: "cidr", After: []byte(`"10.0.0.0/16"`)}}}}}}

func (m *memory) Resources(_ context.Context, f api.Filter) ([]api.ResourceStatus, error) {
	return resources, m.note(f)
}

func (m *memory) Environments(_ context.Context, f api.Filter) ([]api.EnvironmentStatus, error) {
	return []api.EnvironmentStatus{{Org: "acme", Name: "dev", Resources: 1, ByStatus: map[string]int{"waiting": 1}}}, m.note(f)
}

func (m *memory) Policies(_ context.Context, f api.Filter) ([]api.PolicyStatus, error) {
	return []api.PolicyStatus{{Name: "prod", Folder: "acme", Selector: schema.Selector{Level: schema.SelectEnvironment, ID: "prod"},
		Controls: schema.Controls{PauseBetweenPreviewAndUpdateOrDestroy: true}, Prune: schema.PruneApprove, File: "acme/policies/prod.yaml", Line: 1, Resources: 4}}, m.note(f)
}

func (m *memory) Repositories(context.Context) ([]api.RepositoryStatus, error) {
	return []api.RepositoryStatus{{Name: "config", URL: "https://example.com/config.git", Commit: "abc", PolledAt: day}}, m.note("repositories")
}

var turn = api.TurnStatus{Stack: vpc, Repository: "config", Number: 7, Place: 1, By: stackjob.Actor{Name: "ada", Via: "gitea"}, At: day, Followed: true}

func (m *memory) Turns(_ context.Context, f api.Filter) ([]api.TurnStatus, error) {
	return []api.TurnStatus{turn}, m.note(f)
}

func (m *memory) Changes(_ context.Context, f api.Filter) ([]api.Change, error) {
	return []api.Change{{Key: vpc, Action: stackjob.Apply, Because: []stackjob.Because{{Cause: stackjob.CauseNew}}, Job: "sj_1"}}, m.note(f)
}

func (m *memory) Pulls(_ context.Context, f api.PullFilter) ([]api.PullStatus, error) {
	return []api.PullStatus{{Repository: "config", Number: 7, Title: "Wider <network>", URL: "https://example.com/acme/config/pulls/7", Author: "ada", State: "waiting",
		Head: "abc", Base: "def", Resources: 2, Changes: stackjob.Counts{Create: 2, Replace: 1}, WaitsFor: []api.PullBlock{{What: "needs an approval", Who: "team network"}}, UpdatedAt: day}}, m.note(f)
}

func (m *memory) Explain(_ context.Context, k schema.ResourceKey) (api.Explanation, error) {
	return api.Explanation{Resource: resources[0], Policy: stackjob.PolicyChoice{Name: "acme/prod"}, Producers: []schema.ResourceKey{vpc},
		Lines: []string{"it waits"}, Next: []string{"reeve approve sj_1"}}, m.note(k)
}

func (m *memory) Engine(_ context.Context, k schema.ResourceKey) (api.EngineChoice, error) {
	return api.EngineChoice{Key: k, Engine: schema.OpenTofu, EngineFrom: "documents", Constraint: "~> 1.9", ConstraintAt: "acme/organization.yaml:4:18",
		Version: "1.9.8", Path: "/opt/tofu", Origin: "folder"}, m.note(k)
}

func (m *memory) States(_ context.Context, k schema.ResourceKey) (api.States, error) {
	lineage := "5b2f8c1e-0000-4000-8000-000000000000"
	return api.States{Key: k, Engine: schema.OpenTofu, State: &api.StateCopy{Name: "terraform.tfstate", At: day, Serial: 7, Lineage: lineage, Resources: 3, Size: 4096},
		Backups: []api.StateCopy{{Name: "b.tfstate", At: day, Job: "sj_1", Action: stackjob.Apply, Serial: 6, Lineage: lineage, Resources: 2, Size: 2048},
			{Name: "cut.tfstate", Size: 7, Damaged: true}}}, m.note(k)
}

func (m *memory) RestoreState(_ context.Context, r api.StateRestore) (stackjob.Job, error) {
	return job, m.note(r)
}

func (m *memory) Graph(_ context.Context, f api.Filter, format string) (string, error) {
	return "graph of " + f.Org + "/" + f.Env + " as " + format, m.note(f)
}

func (m *memory) Jobs(_ context.Context, q store.JobQuery) ([]stackjob.Job, error) {
	j := job
	j.Plan = nil
	return []stackjob.Job{j}, m.note(q)
}

func (m *memory) Job(_ context.Context, id stackjob.JobID) (stackjob.Job, error) {
	if id != job.ID {
		return stackjob.Job{}, fmt.Errorf("job %s: %w", id, store.ErrNotFound)
	}
	return job, nil
}

func (m *memory) Events(_ context.Context, id stackjob.JobID, after int64, limit int) ([]store.JobEvent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.JobEvent
	for _, e := range m.events {
		if e.Seq > after && (id == "" || e.Job == id) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) NewestEvent(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == 0 {
		return 0, m.fail
	}
	return m.events[len(m.events)-1].Seq, m.fail
}

func (m *memory) Watch(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	m.update(func() { m.watchers++ })
	m.mu.Lock()
	next := m.changed
	m.mu.Unlock()
	go func() {
		defer m.update(func() { m.watchers-- })
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case <-next:
			}
			m.mu.Lock()
			next = m.changed
			m.mu.Unlock()
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

func (m *memory) Log(ctx context.Context, id stackjob.JobID, from int64, follow api.Follow) (io.ReadCloser, error) {
	m.mu.Lock()
	l := m.logs[id]
	m.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("log of job %s: %w", id, store.ErrNotFound)
	}
	if follow == api.FollowNo {
		m.mu.Lock()
		defer m.mu.Unlock()
		return io.NopCloser(bytes.NewReader(slices.Clone(l.text[min(from, int64(len(l.text))):]))), nil
	}
	return &tail{m: m, l: l, at: from, ctx: ctx}, nil
}

type tail struct {
	m   *memory
	l   *logged
	at  int64
	ctx context.Context //nolint:containedctx // a reader has no other way to get one
}

func (t *tail) Read(p []byte) (int, error) {
	if !t.m.until(t.ctx, func() bool { return int64(len(t.l.text)) > t.at || t.l.ended }) {
		return 0, t.ctx.Err()
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	n := copy(p, t.l.text[t.at:])
	t.at += int64(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (t *tail) Close() error { return nil }

// verb is an act with what it was told.
type verb struct {
	Verb   string
	Answer api.Answer
}

func (m *memory) act(v string, a api.Answer) (stackjob.Job, error) {
	err := m.note(verb{v, a})
	return job, err
}

func (m *memory) Approve(_ context.Context, a api.Answer) (stackjob.Job, error) {
	return m.act("approve", a)
}
func (m *memory) Reject(_ context.Context, a api.Answer) (stackjob.Job, error) {
	return m.act("reject", a)
}
func (m *memory) Cancel(_ context.Context, a api.Answer) (stackjob.Job, error) {
	return m.act("cancel", a)
}
func (m *memory) Rerun(_ context.Context, a api.Answer) (stackjob.Job, error) {
	return m.act("rerun", a)
}
func (m *memory) Unlock(_ context.Context, u api.Unlock) ([]pull.Release, error) {
	return []pull.Release{{Stack: vpc, Pull: pull.Key{Repository: u.Repository, Number: u.Number}, By: u.Actor, At: day, Reason: u.Reason}}, m.note(u)
}
func (m *memory) Poll(_ context.Context, repository string, by stackjob.Actor) (api.RepositoryStatus, error) {
	return api.RepositoryStatus{Name: repository}, m.note(verb{"poll " + repository, api.Answer{Actor: by}})
}
