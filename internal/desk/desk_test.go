package desk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/desk"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// office is a desk on real records, with no repository read yet.
type office struct {
	*desk.Desk
	t     *testing.T
	store *sqlite.Store
	now   time.Time
	n     int
}

func open(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return o.now }
	s, err := sqlite.Open(t.Context(), sqlite.Options{Folder: t.TempDir(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	o.store = s
	r := reconciler.New(reconciler.Options{Records: s, Owner: "d", Now: clock, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		NewID: func() stackjob.JobID { return "sj_new" }})
	o.Desk = desk.New(desk.Options{Records: s, Watcher: s, Reconciler: r, Worker: reconciler.NewWorker(reconciler.WorkerOptions{Reconciler: r}),
		Layout: reconciler.Layout{Root: t.TempDir()}})
	return o
}

var (
	ada    = stackjob.Actor{Name: "ada", Via: "token"}
	digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)
	other  = "sha256:" + strings.Repeat("cd", 32)
	pause  = stackjob.PolicyChoice{Name: "acme/pause"}
)

func (o *office) move(id stackjob.JobID, m stackjob.Move) stackjob.Job {
	o.t.Helper()
	j, err := o.store.Move(o.t.Context(), id, m)
	if err != nil {
		o.t.Fatal(err)
	}
	return j
}

func leaseOf(j stackjob.Job) stackjob.Lease { return stackjob.Lease{Owner: j.Owner, Fence: j.Fence} }

// job makes a job of a stack of its own and takes it into a state, as the daemon would.
func (o *office) job(state stackjob.State) stackjob.Job {
	o.t.Helper()
	o.n++
	d := stackjob.Desired{Key: schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: fmt.Sprintf("n%d", o.n)},
		Repository: "config", Inputs: []byte(`{}`), Spec: []byte(`{}`)}
	j := stackjob.Job{ID: stackjob.JobID(fmt.Sprintf("sj_%02d", o.n)), Purpose: stackjob.Reconcile, Action: stackjob.Apply, Desired: d,
		DesiredDigest: d.Digest(), State: stackjob.Queued, Actor: stackjob.System, CreatedAt: o.now}
	if _, err := o.store.Enqueue(o.t.Context(), store.Enqueue{Jobs: []stackjob.Job{j}}); err != nil {
		o.t.Fatal(err)
	}
	verdict := func(d stackjob.Decision) stackjob.Verdict {
		return stackjob.Verdict{Decision: d, Gate: stackjob.GateApply, Reason: stackjob.Reason{Code: stackjob.ReasonNeedsApproval}, Policy: pause}
	}
	until := o.now.Add(time.Minute)
	plan := stackjob.Plan{Digest: digest, HasChanges: true, Counts: stackjob.Counts{Create: 1}, MadeAt: o.now}
	planned := func(d stackjob.Decision) stackjob.Job {
		j = o.move(j.ID, stackjob.StartPlan(o.now, "d", until, pause))
		return o.move(j.ID, stackjob.Planned(o.now, leaseOf(j), plan, verdict(d)))
	}
	applying := func() stackjob.Job {
		planned(stackjob.Proceed)
		return o.move(j.ID, stackjob.StartApply(o.now, "d", until, digest))
	}
	end := func(r stackjob.Result) stackjob.Job {
		j = applying()
		observed := &stackjob.Observed{Key: d.Key, Desired: d, JobID: j.ID, AppliedAt: o.now}
		return o.move(j.ID, stackjob.Applied(o.now, leaseOf(j), stackjob.Outcome{Result: r}, observed))
	}
	switch state {
	case stackjob.Queued:
		return j
	case stackjob.WaitingStart:
		return o.move(j.ID, stackjob.HoldStart(o.now, verdict(stackjob.Wait)))
	case stackjob.Planning:
		return o.move(j.ID, stackjob.StartPlan(o.now, "d", until, pause))
	case stackjob.WaitingApply:
		return planned(stackjob.Wait)
	case stackjob.Ready:
		return planned(stackjob.Proceed)
	case stackjob.Applying:
		return applying()
	case stackjob.Succeeded:
		return end(stackjob.ResultSucceeded)
	case stackjob.Failed:
		return end(stackjob.ResultFailed)
	case stackjob.Interrupted:
		return end(stackjob.ResultInterrupted)
	case stackjob.Cancelled:
		return o.move(j.ID, stackjob.Cancel(o.now, nil, ada))
	case stackjob.Rejected:
		return o.move(j.ID, stackjob.Reject(stackjob.Approval{Actor: ada, Gate: stackjob.GateStart, At: o.now}))
	case stackjob.Expired:
		planned(stackjob.Wait)
		return o.move(j.ID, stackjob.Expire(o.now))
	case stackjob.Superseded:
		return o.move(j.ID, stackjob.Supersede(o.now, nil, "sj_x"))
	}
	o.t.Fatalf("no way into %s", state)
	return j
}

// answers are what a person can say to a job.
func (o *office) answers() map[string]func(context.Context, api.Answer) (stackjob.Job, error) {
	return map[string]func(context.Context, api.Answer) (stackjob.Job, error){
		"approve": o.Approve, "reject": o.Reject, "cancel": o.Cancel, "rerun": o.Rerun,
	}
}

func TestAnAnswerIsTakenInTheStatesThatWaitForIt(t *testing.T) {
	t.Parallel()
	ended := func(s stackjob.State, what string) string { return "a job that " + s.Sentence() + " cannot " + what }
	for _, tt := range []struct {
		state stackjob.State
		// what becomes of the job, or the end of the refusal's text
		approve, reject, cancel string
	}{
		{stackjob.Queued, "=a job that waits for its turn cannot allow-apply", "rejected", "cancelled"},
		{stackjob.WaitingStart, "queued", "rejected", "cancelled"},
		{stackjob.Planning, "=a job that is being planned cannot allow-apply", "=a job that is being planned cannot reject", "planning"},
		{stackjob.WaitingApply, "ready", "rejected", "cancelled"},
		{stackjob.Ready, "=a job that may be applied and waits for its turn cannot allow-apply", "rejected", "cancelled"},
		{stackjob.Applying, "=a job that is being applied cannot allow-apply", "=a job that is being applied cannot reject", "applying"},
		{stackjob.Succeeded, "", "", ""}, {stackjob.Failed, "", "", ""}, {stackjob.Cancelled, "", "", ""}, {stackjob.Rejected, "", "", ""},
		{stackjob.Expired, "", "", ""}, {stackjob.Superseded, "", "", ""}, {stackjob.Interrupted, "", "", ""},
	} {
		for name, want := range map[string]string{"approve": tt.approve, "reject": tt.reject, "cancel": tt.cancel} {
			t.Run(string(tt.state)+"/"+name, func(t *testing.T) {
				t.Parallel()
				o := open(t)
				before := o.job(tt.state)
				if want == "" { // nothing leaves a final state
					want = "=" + ended(tt.state, map[string]string{"approve": "allow-apply", "reject": "reject", "cancel": "cancel"}[name])
				}
				_, err := o.answers()[name](t.Context(), api.Answer{Job: before.ID, Actor: ada, PlanDigest: digest, Comment: "because"})
				after, readErr := o.Job(t.Context(), before.ID)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if text, refused := strings.CutPrefix(want, "="); refused {
					var illegal *stackjob.IllegalMove
					if !errors.As(err, &illegal) || illegal.State != tt.state || !strings.HasSuffix(err.Error(), text) || !strings.Contains(err.Error(), string(before.ID)) {
						t.Errorf("refused with %v, want … %s", err, text)
					}
					if after.State != before.State || len(after.Approvals) != len(before.Approvals) || after.CancelledBy != nil {
						t.Errorf("a refused answer left %s, %v, %v", after.State, after.Approvals, after.CancelledBy)
					}
					return
				}
				if err != nil || string(after.State) != want {
					t.Fatalf("it is %s (%v), want %s", after.State, err, want)
				}
				switch {
				case name == "cancel" && after.State.IsRunning():
					if after.CancelledBy == nil || *after.CancelledBy != ada {
						t.Errorf("nobody asked to stop it: %v", after.CancelledBy)
					}
				case name != "cancel":
					a := after.Approvals[len(after.Approvals)-1]
					if a.Actor != ada || a.Comment != "because" || a.Rejected != (name == "reject") || !a.At.Equal(o.now) {
						t.Errorf("on record is %+v", a)
					}
				}
			})
		}
	}
}

func TestAnApprovalNamesThePlanThatWasSeen(t *testing.T) {
	t.Parallel()
	hex := strings.TrimPrefix(digest, "sha256:")
	for name, tt := range map[string]struct {
		digest string
		taken  bool
	}{
		"the whole digest": {digest, true}, "without the name of the hash": {hex, true}, "its short form": {hex[:12], true},
		"too short": {hex[:11], false}, "none": {"", false}, "of another plan": {other, false}, "its end": {hex[20:], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t)
			j := o.job(stackjob.WaitingApply)
			after, err := o.Approve(t.Context(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: tt.digest})
			if tt.taken {
				if err != nil || after.State != stackjob.Ready || after.Approvals[0].PlanDigest != digest {
					t.Errorf("%s with %+v, %v", after.State, after.Approvals, err)
				}
				return
			}
			if !errors.Is(err, stackjob.ErrStaleApproval) {
				t.Errorf("got %v", err)
			}
			// With the refusal comes the job as it is, so that the person sees its plan.
			if after.Plan == nil || after.Plan.Digest != digest || after.State != stackjob.WaitingApply {
				t.Errorf("the job that came with it is %s, %+v", after.State, after.Plan)
			}
		})
	}
	// A no needs no digest, but not that of another plan.
	o := open(t)
	j := o.job(stackjob.WaitingApply)
	if _, err := o.Reject(t.Context(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: other}); !errors.Is(err, stackjob.ErrStaleApproval) {
		t.Errorf("a no to another plan: %v", err)
	}
	if after, err := o.Reject(t.Context(), api.Answer{Job: j.ID, Actor: ada}); err != nil || after.State != stackjob.Rejected {
		t.Errorf("a no: %s, %v", after.State, err)
	}
}

func TestAnAnswerToAnUnknownJobIsNotFound(t *testing.T) {
	t.Parallel()
	o := open(t)
	for name, say := range o.answers() {
		if _, err := say(t.Context(), api.Answer{Job: "sj_nobody", Actor: ada, PlanDigest: digest}); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "sj_nobody") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.Log(t.Context(), "sj_nobody", 0, api.FollowNo); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its log: %v", err)
	}
}

func TestARerunNeedsTheRepositoryInAnyState(t *testing.T) {
	t.Parallel()
	o := open(t)
	for _, state := range stackjob.States() {
		j := o.job(state)
		_, err := o.Rerun(t.Context(), api.Answer{Job: j.ID, Actor: ada})
		if err == nil || err.Error() != "repository config was not read yet" {
			t.Errorf("of a job that %s: %v", state.Sentence(), err)
		}
	}
	if jobs, err := o.Jobs(t.Context(), store.JobQuery{}); err != nil || len(jobs) != len(stackjob.States()) {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

func TestWithoutATreeADeskTellsWhatIsRecorded(t *testing.T) {
	t.Parallel()
	o := open(t)
	status := map[string]string{}
	for _, s := range []stackjob.State{stackjob.Succeeded, stackjob.Failed, stackjob.Interrupted} {
		status[o.job(s).Desired.Key.Name] = string(s)
	}
	list, err := o.Resources(t.Context(), api.Filter{Org: "acme", Name: "n*"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range list {
		if len(r.Because) > 0 {
			t.Errorf("%s is said to be removed by a repository that nobody has read", r.Key)
		}
		got[status[r.Key.Name]] = r.Status
	}
	// The fixture records no stack as complete, so the one that succeeded counts as failed too.
	if d := cmp.Diff(map[string]string{"succeeded": "failed", "failed": "failed", "interrupted": "interrupted"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if list, err = o.Resources(t.Context(), api.Filter{Org: "zoo"}); err != nil || len(list) != 0 {
		t.Errorf("of another organization: %v, %v", list, err)
	}
	if _, err := o.Explain(t.Context(), schema.ResourceKey{Org: "acme", Env: "dev", Kind: "Network", Name: "nobody"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("explain: %v", err)
	}
	if _, err := o.Poll(t.Context(), "nobody", ada); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("poll: %v", err)
	}
	if _, err := o.Graph(t.Context(), api.Filter{Org: "acme"}, "dot"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("graph: %v", err)
	}
	if _, err := o.Graph(t.Context(), api.Filter{}, "svg"); err == nil || !strings.Contains(err.Error(), "expected mermaid, dot or json") {
		t.Errorf("graph: %v", err)
	}
}

// TestAFollowedLogEndsWhenNothingMoreWillBeWritten would hang until its deadline if a
// reader waited for a phase that does not come.
func TestAFollowedLogEndsWhenNothingMoreWillBeWritten(t *testing.T) {
	t.Parallel()
	for _, state := range []stackjob.State{stackjob.WaitingStart, stackjob.WaitingApply, stackjob.Cancelled, stackjob.Superseded, stackjob.Succeeded} {
		o := open(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		r, err := o.Log(ctx, o.job(state).ID, 0, api.FollowYes)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || len(b) != 0 {
			t.Errorf("of a job that %s: %q, %v", state.Sentence(), b, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}
