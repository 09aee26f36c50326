package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// laws runs random histories against the store and against a model of a few lines.
// After each step they must agree in everything that can be seen, and the laws must
// hold: one job of a stack runs, an end is an end, a repeated Enqueue writes
// nothing, the history has no gap, what holds a job holds the one in its place.
func laws(t *testing.T, newFixture func(tb testing.TB) Fixture) {
	rapid.Check(t, func(r *rapid.T) {
		s := &subject{t: t, f: newFixture(t), now: epoch}
		s.open()
		defer func() { _ = s.Close() }() // a failed step may have left it in any state
		m := &model{subject: s, ended: map[stackjob.JobID]stackjob.State{}, stacks: map[schema.ResourceKey]stackjob.Stack{}}
		r.Repeat(map[string]func(*rapid.T){
			"enqueue": m.enqueueSome,
			"move":    m.moveOne,
			"restart": func(*rapid.T) { s.reopen() },
			"crash":   func(*rapid.T) { m.crash() },
			"":        m.check,
		})
	})
}

// model is what the records should be: a list.
type model struct {
	*subject
	jobs   []stackjob.Job // in the order of their ids
	events int
	stacks map[schema.ResourceKey]stackjob.Stack
	ended  map[stackjob.JobID]stackjob.State
}

func (m *model) crash() {
	if m.f.Crash == nil {
		m.reopen()
		return
	}
	m.f.Crash(m.t, m.Records)
	m.open()
}

func (m *model) at(id stackjob.JobID) *stackjob.Job {
	for i := range m.jobs {
		if m.jobs[i].ID == id {
			return &m.jobs[i]
		}
	}
	return nil
}

// openOf are the open jobs of a stack, oldest first.
func (m *model) openOf(k schema.ResourceKey) []*stackjob.Job {
	var out []*stackjob.Job
	for i := range m.jobs {
		if m.jobs[i].Desired.Key == k && !m.jobs[i].State.IsFinal() {
			out = append(out, &m.jobs[i])
		}
	}
	return out
}

func (m *model) enqueueSome(r *rapid.T) {
	m.now = m.now.Add(time.Second)
	var jobs []stackjob.Job
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3, rapid.ID).Draw(r, "stacks") {
		var waits []stackjob.JobID
		candidates := ids(jobs)
		for _, j := range m.jobs {
			if !j.State.IsFinal() && j.Desired.Key.Name < name { // no circles from the start
				candidates = append(candidates, j.ID)
			}
		}
		if len(candidates) > 0 && rapid.Bool().Draw(r, "waits") {
			waits = append(waits, rapid.SampledFrom(candidates).Draw(r, "for"))
		}
		j := m.job(name, rapid.SampledFrom([]string{"1", "2"}).Draw(r, "inputs"), waits...)
		j.Action = rapid.SampledFrom([]stackjob.Action{stackjob.Apply, stackjob.Destroy}).Draw(r, "action")
		if code := rapid.SampledFrom([]stackjob.ReasonCode{"", "", stackjob.ReasonMassDeletion, stackjob.ReasonAfterInterrupt}).Draw(r, "hold"); code != "" {
			j.Hold = &stackjob.Reason{Code: code, Detail: string(j.ID)}
		}
		jobs = append(jobs, j)
	}
	want := m.expectEnqueue(jobs)
	got, err := m.Enqueue(context.Background(), store.Enqueue{Jobs: jobs})
	if err != nil {
		r.Fatalf("enqueue: %v", err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		r.Fatalf("written (-want +got):\n%s", d)
	}
	again := slices.Clone(jobs)
	for i := range again { // the same work under new ids
		m.ids++
		again[i].ID, again[i].WaitsFor = stackjob.JobID(fmt.Sprintf("sj_%026d", m.ids)), nil
	}
	if got, err = m.Enqueue(context.Background(), store.Enqueue{Jobs: again}); err != nil || len(got) != 0 {
		r.Fatalf("the same enqueue again wrote %v, %v", got, err)
	}
	for _, j := range m.jobs { // waits may have been dropped for a circle: take them, and check they are none
		m.at(j.ID).WaitsFor = m.get(j.ID).WaitsFor
	}
	m.noCircle(r)
}

// expectEnqueue does to the model what Enqueue should do, but for waits.
func (m *model) expectEnqueue(jobs []stackjob.Job) (written []stackjob.JobID) {
	for _, j := range jobs {
		open := m.openOf(j.Desired.Key)
		if n := len(open); n > 0 && open[n-1].DesiredDigest == j.DesiredDigest && open[n-1].Action == j.Action && (j.Hold == nil || open[n-1].Hold != nil) {
			continue
		}
		for _, old := range open {
			if h := old.Hold; j.Hold == nil && h != nil && (old.Action == j.Action || h.Code == stackjob.ReasonAfterInterrupt) {
				j.Hold = h
			}
			if !old.State.IsRunning() {
				after, err := stackjob.Supersede(m.now, nil, j.ID).Apply(*old)
				if err != nil {
					m.t.Fatal(err)
				}
				*old = after
				m.events++
			}
		}
		m.jobs = append(m.jobs, j)
		m.events++
		written = append(written, j.ID)
	}
	return written
}

func (m *model) noCircle(r *rapid.T) {
	var visit func(id stackjob.JobID, path []stackjob.JobID)
	visit = func(id stackjob.JobID, path []stackjob.JobID) {
		if slices.Contains(path, id) {
			r.Fatalf("jobs wait for each other: %v", append(path, id))
		}
		if j := m.at(id); j != nil && !j.State.IsFinal() {
			for _, w := range j.WaitsFor {
				visit(w, append(path, id))
			}
		}
	}
	for _, j := range m.jobs {
		visit(j.ID, nil)
	}
}

func (m *model) moveOne(r *rapid.T) {
	if len(m.jobs) == 0 {
		r.Skip("no jobs yet")
	}
	m.now = m.now.Add(time.Second)
	j := m.at(rapid.SampledFrom(ids(m.jobs)).Draw(r, "job"))
	move := m.anyMove(r, *j)
	after, wantErr := move.Apply(*j)
	if wantErr == nil && after.State.IsRunning() && slices.ContainsFunc(m.openOf(j.Desired.Key), func(o *stackjob.Job) bool {
		return o.ID != j.ID && o.State.IsRunning()
	}) {
		wantErr = store.ErrStackBusy
	}
	_, err := m.Move(context.Background(), j.ID, move)
	if (err == nil) != (wantErr == nil) || wantErr != nil && !sameClass(err, wantErr) {
		r.Fatalf("%s of a %s job: got %v, want %v", move.Event(), j.State, err, wantErr)
	}
	if err != nil {
		return
	}
	*j = after
	if move.Event() != stackjob.EvRenew {
		m.events++
	}
	st := m.stacks[j.Desired.Key]
	if o := move.Observed(); o != nil {
		st.Observed = o
	}
	if move.Forgets() {
		st.Observed = nil
	}
	if j.State.IsFinal() && j.State != stackjob.Superseded {
		st.Last = &stackjob.LastJob{ID: j.ID, State: j.State, Reason: j.Reason, Action: j.Action,
			DesiredDigest: j.DesiredDigest, EngineVersion: j.Desired.EngineVersion.Constraint, Hold: j.Hold, Commit: j.Desired.Commit, EndedAt: j.EndedAt}
	}
	m.stacks[j.Desired.Key] = st
}

// anyMove draws a move, legal or not, with a lease that may be an old one.
func (m *model) anyMove(r *rapid.T, j stackjob.Job) stackjob.Move {
	l := stackjob.Lease{Owner: owner, Fence: j.Fence}
	if rapid.IntRange(0, 5).Draw(r, "stale") == 0 {
		l.Fence--
	}
	until := m.now.Add(time.Minute)
	o := &stackjob.Observed{Key: j.Desired.Key, Desired: j.Desired, JobID: j.ID, AppliedAt: m.now}
	digest := "none"
	if j.Plan != nil {
		digest = j.Plan.Digest
	}
	plan := m.plan(rapid.SampledFrom([]string{"a", "b"}).Draw(r, "plan"))
	why := stackjob.Reason{Code: stackjob.ReasonEngine}
	ada := stackjob.Actor{Name: "ada", Via: "token"}
	moves := []stackjob.Move{
		stackjob.StartPlan(m.now, owner, until, builtIn), stackjob.StartPlan(m.now, owner, until, builtIn),
		stackjob.Planned(m.now, l, plan, proceed()), stackjob.Planned(m.now, l, plan, wait()),
		stackjob.StartApply(m.now, owner, until, digest), stackjob.StartApply(m.now, owner, until, digest),
		stackjob.Applied(m.now, l, stackjob.Outcome{Result: stackjob.ResultSucceeded}, o),
		stackjob.Applied(m.now, l, stackjob.Outcome{Result: stackjob.ResultSucceeded}, nil),
		stackjob.Applied(m.now, l, stackjob.Outcome{Result: stackjob.ResultInterrupted, Reason: why}, o),
		stackjob.Approve(stackjob.Approval{Actor: ada, Gate: stackjob.GateApply, PlanDigest: digest, At: m.now}),
		stackjob.Reject(stackjob.Approval{Actor: ada, Gate: stackjob.GateApply, At: m.now}),
		stackjob.HoldStart(m.now, wait()), stackjob.Approve(stackjob.Approval{Actor: ada, Gate: stackjob.GateStart, At: m.now}),
		stackjob.Postpone(m.now, stackjob.Reason{Code: stackjob.ReasonStackBusy}), stackjob.Renew(m.now, l, until),
		stackjob.TakeOver(m.now, "daemon-2", until), stackjob.Record(m.now, l, stackjob.Operation{Kind: stackjob.OpPlan, Attempt: j.Attempt, StartedAt: m.now}),
		stackjob.ReplanLost(m.now, l, why), stackjob.PutBack(m.now, l, why), stackjob.Replan(m.now, why), stackjob.PlannedNothing(m.now, l, plan, o),
		stackjob.Fail(m.now, &l, why), stackjob.Cancel(m.now, nil, ada), stackjob.Expire(m.now),
	}
	return moves[rapid.IntRange(0, len(moves)-1).Draw(r, "move")]
}

func sameClass(got, want error) bool {
	var a, b *stackjob.IllegalMove
	if errors.As(want, &b) {
		return errors.As(got, &a) && *a == *b
	}
	for _, known := range []error{store.ErrStackBusy, stackjob.ErrFenced, stackjob.ErrStaleApproval} {
		if errors.Is(want, known) {
			return errors.Is(got, known)
		}
	}
	return false
}

// check compares everything that can be seen.
func (m *model) check(r *rapid.T) {
	running := map[schema.ResourceKey]stackjob.JobID{}
	want := map[schema.ResourceKey]stackjob.Stack{}
	for k, st := range m.stacks {
		if st.Observed != nil || st.Last != nil {
			st.Key = k
			want[k] = st
		}
	}
	for _, j := range m.jobs {
		got := m.get(j.ID)
		if d := cmp.Diff(j, got, cmpopts.EquateEmpty()); d != "" {
			r.Fatalf("job %s (-want +got):\n%s", j.ID, d)
		}
		if by := m.at(stackjob.JobID(got.Reason.Detail)); got.State == stackjob.Superseded && by != nil && got.Hold != nil && got.Action == by.Action && by.Hold == nil {
			r.Fatalf("the held job %s was replaced by %s, which nothing holds", j.ID, by.ID)
		}
		if was, ok := m.ended[j.ID]; ok && got.State != was {
			r.Fatalf("job %s was %s and is %s", j.ID, was, got.State)
		}
		if got.State.IsFinal() {
			m.ended[j.ID] = got.State
			continue
		}
		k := j.Desired.Key
		if got.State.IsRunning() {
			if other, ok := running[k]; ok {
				r.Fatalf("%s and %s run on one stack", other, j.ID)
			}
			running[k] = j.ID
		}
		st := want[k]
		open := slim(j)
		st.Key, st.Open = k, &open
		want[k] = st
	}
	got, err := m.Stacks(context.Background(), "")
	if err != nil {
		r.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		r.Fatalf("stacks (-want +got):\n%s", d)
	}
	m.checkEvents(r)
}

func (m *model) checkEvents(r *rapid.T) {
	events, err := m.Events(context.Background(), "", 0, 10_000)
	if err != nil {
		r.Fatal(err)
	}
	if len(events) != m.events {
		r.Fatalf("%d events, want %d", len(events), m.events)
	}
	if newest, err := m.NewestEvent(context.Background()); err != nil || newest != int64(len(events)) {
		r.Fatalf("the newest of %d events is %d, %v", len(events), newest, err)
	}
	state := map[stackjob.JobID]stackjob.State{}
	for i, ev := range events {
		if ev.Seq != int64(i)+1 {
			r.Fatalf("event %d has number %d", i+1, ev.Seq)
		}
		if was := state[ev.Job]; was.IsFinal() {
			r.Fatalf("event %d: %s after the job %s", ev.Seq, ev.Event, was)
		}
		state[ev.Job] = ev.State
	}
	for _, j := range m.jobs {
		if state[j.ID] != j.State {
			r.Fatalf("the history of %s ends with %s, it is %s", j.ID, state[j.ID], j.State)
		}
	}
}

func ids(jobs []stackjob.Job) []stackjob.JobID {
	out := make([]stackjob.JobID, len(jobs))
	for i, j := range jobs {
		out[i] = j.ID
	}
	return out
}
