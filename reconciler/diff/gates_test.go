package diff_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestTheBrakeHoldsMassDeletion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		brake         diff.Brake
		all, removed  int
		wantHeld      bool
		wantDetail    string
		protectedMany bool
	}{
		{name: "ten of a hundred go", brake: diff.DefaultBrake, all: 100, removed: 10},
		{name: "eleven of a hundred wait", brake: diff.DefaultBrake, all: 100, removed: 11, wantHeld: true, wantDetail: "11 of the 100 recorded stacks of acme/dev"},
		{name: "three of ten go", brake: diff.DefaultBrake, all: 10, removed: 3},
		{name: "four of ten wait", brake: diff.DefaultBrake, all: 10, removed: 4, wantHeld: true, wantDetail: "4 of the 10 recorded stacks of acme/dev"},
		{name: "one of one goes", brake: diff.DefaultBrake, all: 1, removed: 1},
		{name: "two of two wait", brake: diff.DefaultBrake, all: 2, removed: 2, wantHeld: true, wantDetail: "2 of the 2 recorded stacks of acme/dev"},
		{name: "the zero brake holds all", all: 100, removed: 1, wantHeld: true, wantDetail: "1 of the 100 recorded stacks of acme/dev"},
		{name: "no brake", brake: diff.Brake{Count: -1, Share: -1}, all: 20, removed: 20},
		{name: "what is refused does not count", brake: diff.DefaultBrake, all: 10, removed: 6, protectedMany: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"acme/prod/other.yaml": stack("other", "net")}
			for i := range tt.all {
				files[fmt.Sprintf("acme/dev/s%03d.yaml", i)] = stack(fmt.Sprintf("s%03d", i), "net")
			}
			w := setup(t, files)
			w.converge(t)
			w.input.Brake = tt.brake
			for i := range tt.removed {
				delete(w.files, fmt.Sprintf("acme/dev/s%03d.yaml", i))
				if tt.protectedMany && i > 1 {
					w.change(key("dev", fmt.Sprintf("s%03d", i)), func(s *stackjob.Stack) { s.Observed.Desired.PreventDestroy = true })
				}
			}
			w.reload(t)
			res := w.compare()
			if len(res.Changes) != tt.removed {
				t.Fatalf("%d changes, want %d", len(res.Changes), tt.removed)
			}
			for _, c := range res.Changes {
				if c.Refused != nil {
					continue
				}
				if (c.Hold != nil) != tt.wantHeld {
					t.Fatalf("%s: hold %v", c.Key, c.Hold)
				}
				code := stackjob.ReasonMassDeletion
				if tt.removed > tt.brake.Count {
					code = stackjob.ReasonMassRemoval
				}
				if tt.wantHeld && *c.Hold != (stackjob.Reason{Code: code, Detail: tt.wantDetail}) {
					t.Fatalf("hold = %+v", *c.Hold)
				}
			}
		})
	}
}

func TestTheBrakeCountsAllEnvironmentsTogether(t *testing.T) {
	t.Parallel()
	for _, removed := range []int{10, 11} {
		t.Run(fmt.Sprint(removed), func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for i := range 12 {
				for _, name := range []string{"app", "db", "dns", "net"} {
					files[fmt.Sprintf("acme/e%02d/%s.yaml", i, name)] = stack(name, "net")
				}
			}
			w := setup(t, files)
			w.converge(t)
			w.input.Brake = diff.DefaultBrake
			for i := range removed {
				delete(w.files, fmt.Sprintf("acme/e%02d/app.yaml", i))
			}
			w.reload(t)
			res := w.compare()
			if len(res.Changes) != removed {
				t.Fatalf("%d changes, want %d", len(res.Changes), removed)
			}
			n, detail := holds(res)
			if removed <= diff.DefaultBrake.Count && n != 0 {
				t.Errorf("%d of %d removals are held: %s", n, removed, detail)
			}
			if want := "1 of the 4 recorded stacks of acme/e00, 11 in 11 environments"; removed > diff.DefaultBrake.Count &&
				(n != removed || *res.Changes[0].Hold != stackjob.Reason{Code: stackjob.ReasonMassRemoval, Detail: want}) {
				t.Errorf("%d of %d removals are held: %v", n, removed, res.Changes[0].Hold)
			}
		})
	}
}

// many is a world of n stacks of dev that are applied, s00 and on.
func many(t *testing.T, n int) *world {
	t.Helper()
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("acme/dev/s%02d.yaml", i)] = stack(fmt.Sprintf("s%02d", i), "net")
	}
	w := setup(t, files)
	w.converge(t)
	w.input.Brake = diff.DefaultBrake
	return w
}

// removed takes documents of dev away and compares.
func (w *world) removed(t *testing.T, from, to int) diff.Result {
	t.Helper()
	for i := from; i < to; i++ {
		delete(w.files, fmt.Sprintf("acme/dev/s%02d.yaml", i))
	}
	w.reload(t)
	return w.compare()
}

// opens records the changes of a result as open jobs in a state.
func (w *world) opens(res diff.Result, state stackjob.State) {
	for _, c := range res.Changes {
		w.change(c.Key, func(s *stackjob.Stack) {
			s.Open = &stackjob.Job{ID: "sj_open", Action: c.Action, Desired: c.Desired, DesiredDigest: c.Desired.Digest(), Hold: c.Hold, State: state}
		})
	}
}

// holds counts the changes that are held, and returns the text of one.
func holds(res diff.Result) (n int, detail string) {
	for _, c := range res.Changes {
		if c.Hold != nil {
			n, detail = n+1, c.Hold.Detail
		}
	}
	return n, detail
}

func TestRemovalsOfTwoCommitsAreCountedTogether(t *testing.T) {
	t.Parallel()
	w := many(t, 50)
	first := w.removed(t, 0, 5)
	if n, _ := holds(first); n != 0 {
		t.Fatalf("%d of five are held", n)
	}
	w.opens(first, stackjob.Queued)
	w.apply(first.Changes[0]) // one is gone by the time of the second commit
	second := w.removed(t, 5, 12)
	if n, detail := holds(second); n != 11 || detail != "11 of the 49 recorded stacks of acme/dev" {
		t.Errorf("%d are held: %s", n, detail)
	}
	// What failed, was rejected or expired is to be removed still, and counts.
	for _, c := range first.Changes[1:] {
		w.change(c.Key, func(s *stackjob.Stack) {
			s.Open, s.Last = nil, &stackjob.LastJob{ID: "sj_x", State: stackjob.Rejected, Action: stackjob.Destroy, DesiredDigest: c.Desired.Digest()}
		})
	}
	if n, detail := holds(w.compare()); n != 11 || detail != "11 of the 49 recorded stacks of acme/dev" {
		t.Errorf("%d are held: %s", n, detail)
	}
}

func TestThePulledBrakeStaysUntilAPersonAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state  stackjob.State
		pulled bool
	}{
		{stackjob.Queued, true}, {stackjob.WaitingStart, true}, {stackjob.Planning, true}, {stackjob.WaitingApply, true},
		{stackjob.Ready, false}, {stackjob.Applying, false},
	} {
		t.Run(string(tt.state), func(t *testing.T) {
			t.Parallel()
			w := many(t, 50)
			res := w.removed(t, 0, 12)
			w.opens(res, tt.state)
			// All but two come back, or were approved and are gone; then one more is removed.
			for i := 2; i < 12; i++ {
				name := fmt.Sprintf("s%02d", i)
				w.files["acme/dev/"+name+".yaml"] = stack(name, "net")
			}
			got := w.removed(t, 20, 21)
			if len(got.Changes) != 3 {
				t.Fatalf("changes %v", lines(got))
			}
			n, detail := holds(got)
			if want := map[bool]int{true: 3}[tt.pulled]; n != want {
				t.Errorf("%d are held (%s), want %d", n, detail, want)
			}
			if tt.pulled && detail != "3 of the 50 recorded stacks of acme/dev, in whose repository removals wait for a person already" {
				t.Errorf("the detail is %q", detail)
			}
			// When all of them are called off, the one goes by itself.
			for i := range 2 {
				name := fmt.Sprintf("s%02d", i)
				w.files["acme/dev/"+name+".yaml"] = stack(name, "net")
			}
			w.reload(t)
			if n, detail := holds(w.compare()); n != 0 {
				t.Errorf("held by what is no longer to be removed: %s", detail)
			}
		})
	}
}

// TestTheBrakeStaysPulledWhereItWas: pulled by the count of all environments it holds
// everywhere until those are answered, pulled by the share of one it holds there.
func TestTheBrakeStaysPulledWhereItWas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		removed []string // at first; all but the last come back then
		state   stackjob.State
		held    map[string]stackjob.ReasonCode // of what is removed then, in both environments
		lost    bool
	}{
		{name: "by the count of all", removed: []string{"e00", "e01", "e02", "e03", "e04", "e05", "e06", "e07", "e08", "e09", "e10"}, state: stackjob.WaitingApply,
			held: map[string]stackjob.ReasonCode{"e10": stackjob.ReasonMassRemoval, "e11": stackjob.ReasonMassRemoval}},
		{name: "by the count of all, and answered", removed: []string{"e00", "e01", "e02", "e03", "e04", "e05", "e06", "e07", "e08", "e09", "e10"}, state: stackjob.Ready},
		{name: "by the count of all, and the plan was lost", removed: []string{"e00", "e01", "e02", "e03", "e04", "e05", "e06", "e07", "e08", "e09", "e10"}, lost: true,
			held: map[string]stackjob.ReasonCode{"e10": stackjob.ReasonMassRemoval, "e11": stackjob.ReasonMassRemoval}},
		{name: "by the share of one", removed: []string{"e10", "e10"}, state: stackjob.WaitingApply,
			held: map[string]stackjob.ReasonCode{"e10": stackjob.ReasonMassDeletion}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			names := []string{"app", "db", "dns", "net", "web"}
			files := map[string]string{}
			for i := range 12 {
				for _, name := range names {
					files[fmt.Sprintf("acme/e%02d/%s.yaml", i, name)] = stack(name, "net")
				}
			}
			w := setup(t, files)
			w.converge(t)
			w.input.Brake = diff.DefaultBrake
			paths := make([]string, len(tt.removed))
			for i, env := range tt.removed {
				paths[i] = "acme/" + env + "/" + names[0] + ".yaml"
				if i > 0 && tt.removed[i-1] == env {
					paths[i] = "acme/" + env + "/" + names[1] + ".yaml"
				}
				delete(w.files, paths[i])
			}
			w.reload(t)
			first := w.compare()
			if n, _ := holds(first); n != len(tt.removed) {
				t.Fatalf("%d of %d are held", n, len(tt.removed))
			}
			w.opens(first, tt.state)
			if tt.lost {
				for _, c := range first.Changes {
					w.change(c.Key, func(s *stackjob.Stack) {
						s.Open, s.Last = nil, &stackjob.LastJob{ID: "sj_lost", State: stackjob.Failed, Action: stackjob.Destroy,
							Reason: stackjob.Reason{Code: stackjob.ReasonStalePlan}, Hold: c.Hold, DesiredDigest: c.Desired.Digest()}
					})
				}
			}
			for _, path := range paths[:len(paths)-1] {
				w.files[path] = files[path]
			}
			delete(w.files, "acme/e10/web.yaml")
			delete(w.files, "acme/e11/web.yaml")
			// Two of five are too many for e10 by themselves.
			w.input.Brake.Share = 0.5
			w.reload(t)
			got := map[string]stackjob.ReasonCode{}
			for _, c := range w.compare().Changes {
				if c.Key.Name == "web" && c.Hold != nil {
					got[c.Key.Env] = c.Hold.Code
				}
			}
			if d := cmp.Diff(tt.held, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("what is held (-want +got):\n%s", d)
			}
		})
	}
}

// TestWhatWasSettledIsANewWishAfterItWasTakenBack follows a removal and a change that a
// person rejected.
func TestWhatWasSettledIsANewWishAfterItWasTakenBack(t *testing.T) {
	t.Parallel()
	document := stack("net", "net", "size: 1")
	for name, wish := range map[string]string{"a removal": "", "a change": stack("net", "net", "size: 2")} {
		for _, state := range []stackjob.State{stackjob.Rejected, stackjob.Failed, stackjob.Cancelled, stackjob.Expired, stackjob.Interrupted, stackjob.Succeeded} {
			t.Run(name+" "+string(state), func(t *testing.T) {
				t.Parallel()
				w := setup(t, map[string]string{"acme/dev/net.yaml": document})
				w.converge(t)
				write := func(text string) diff.Result {
					w.files["acme/dev/net.yaml"] = text
					w.reload(t)
					return w.compare()
				}
				c := write(wish).Changes[0]
				w.change(c.Key, func(s *stackjob.Stack) {
					s.Last = &stackjob.LastJob{ID: "sj_last", State: state, Action: c.Action, DesiredDigest: c.Desired.Digest(), Reason: stackjob.Reason{Code: stackjob.ReasonRejected}}
				})
				vain := state != stackjob.Interrupted && state != stackjob.Succeeded
				res := w.compare()
				if settled := res.Changes[0].Settled != nil; settled != vain || res.Over != nil {
					t.Fatalf("settled: %v, over: %v", settled, res.Over)
				}
				want := []stackjob.JobID{"sj_last"}
				if !vain {
					want = nil
				}
				if d := cmp.Diff(want, write(document).Over); d != "" {
					t.Fatalf("over once it was taken back (-want +got):\n%s", d)
				}
				w.change(c.Key, func(s *stackjob.Stack) { s.Last.Over = vain })
				if over := w.compare().Over; over != nil {
					t.Errorf("told again: %v", over)
				}
				if res := write(wish); len(res.Changes) != 1 || !res.Changes[0].Starts() {
					t.Errorf("the new wish does not start: %v", lines(res))
				}
			})
		}
	}
	// With a module that cannot be asked nobody can tell whether a change is wanted still.
	w := setup(t, map[string]string{"acme/dev/net.yaml": document})
	w.converge(t)
	w.change(key("dev", "net"), last(stackjob.Rejected, stackjob.ReasonRejected, t0))
	w.input.ModuleErrors = map[schema.ModuleSource]string{{Path: "net"}: "connection refused"}
	if over := w.compare().Over; over != nil {
		t.Errorf("over: %v", over)
	}
}

func TestWhatHeldAJobThatCameToNothingHoldsTheNext(t *testing.T) {
	t.Parallel()
	mass := &stackjob.Reason{Code: stackjob.ReasonMassDeletion, Detail: "12 of the 50 recorded stacks of acme/dev"}
	for _, tt := range []struct {
		name    string
		last    stackjob.LastJob
		touched bool
		held    bool
	}{
		{"a stale plan", stackjob.LastJob{State: stackjob.Failed, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonStalePlan}, Hold: mass}, false, true},
		{"a daemon that stopped", stackjob.LastJob{State: stackjob.Cancelled, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonStopping}, Hold: mass}, false, true},
		{"a runner that never started", stackjob.LastJob{State: stackjob.Failed, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonRunnerNotStarted}, Hold: mass}, false, true},
		{"a rejection", stackjob.LastJob{State: stackjob.Rejected, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonRejected}, Hold: mass}, false, true},
		{"a destroy that failed in the middle", stackjob.LastJob{State: stackjob.Failed, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonEngine}, Hold: mass}, true, false},
		{"an apply that was held", stackjob.LastJob{State: stackjob.Failed, Action: stackjob.Apply, Reason: stackjob.Reason{Code: stackjob.ReasonEngine}, Hold: mass}, false, false},
		{"an end without a hold", stackjob.LastJob{State: stackjob.Failed, Action: stackjob.Destroy, Reason: stackjob.Reason{Code: stackjob.ReasonStalePlan}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := many(t, 50)
			w.change(key("dev", "s00"), func(s *stackjob.Stack) {
				l := tt.last
				l.ID, l.DesiredDigest = "sj_last", s.Observed.Desired.Digest()
				s.Last = &l
				if tt.touched {
					s.Observed.Complete, s.Observed.JobID = false, l.ID
				}
			})
			res := w.removed(t, 0, 1)
			if len(res.Changes) != 1 {
				t.Fatalf("changes %v", lines(res))
			}
			want := mass
			if !tt.held {
				want = nil
			}
			if d := cmp.Diff(want, res.Changes[0].Hold); d != "" {
				t.Errorf("the hold (-want +got):\n%s", d)
			}
		})
	}
}

func TestARepositoryThatBecameEmptyDestroysNothingByItself(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.files = map[string]string{}
	w.reload(t)
	res := w.compare()
	if len(res.Changes) != 3 {
		t.Fatalf("changes %v", lines(res))
	}
	for _, c := range res.Changes {
		if c.Hold == nil || c.Hold.Code != stackjob.ReasonMassDeletion {
			t.Errorf("%s: hold %v", c.Key, c.Hold)
		}
	}
}

func TestWithoutATreeNothingIsCompared(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.input.Tree = nil
	expect(t, w.compare())
}

func last(state stackjob.State, code stackjob.ReasonCode, at time.Time) func(*stackjob.Stack) {
	return func(s *stackjob.Stack) {
		s.Last = &stackjob.LastJob{ID: "sj_last", State: state, Action: stackjob.Apply, Reason: stackjob.Reason{Code: code}, EndedAt: at}
		if s.Observed != nil {
			s.Last.DesiredDigest = s.Observed.Desired.Digest()
		}
	}
}

func TestWhatWasTriedWithoutSuccessIsNotTriedAgainByItself(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state   stackjob.State
		code    stackjob.ReasonCode
		settled bool
	}{
		{stackjob.Failed, stackjob.ReasonEngine, true},
		{stackjob.Rejected, stackjob.ReasonRejected, true},
		{stackjob.Cancelled, stackjob.ReasonCancelled, true},
		{stackjob.Expired, stackjob.ReasonApprovalExpired, true},
		{stackjob.Cancelled, stackjob.ReasonStopping, false},
		{stackjob.Superseded, stackjob.ReasonNewerRevision, false},
		{stackjob.Succeeded, "", false},
	} {
		t.Run(string(tt.state)+" "+string(tt.code), func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net")})
			w.converge(t)
			k := key("dev", "net")
			w.change(k, func(s *stackjob.Stack) { s.Observed.Complete = false })
			w.change(k, last(tt.state, tt.code, t0))
			want := "apply dev/net [unfinished: sj_net]"
			if tt.settled {
				want += " SETTLED " + string(tt.state) + " sj_last"
			}
			expect(t, w.compare(), want)

			// Another desired state is tried.
			w.files["acme/dev/net.yaml"] = stack("net", "net", "size: 2")
			w.reload(t)
			expect(t, w.compare(), "apply dev/net [spec: size] [unfinished: sj_net]")
		})
	}
}

func TestAFailedConsumerIsTriedAgainWhenItsProducerWasApplied(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	k := key("dev", "data")
	w.change(k, func(s *stackjob.Stack) { s.Observed.Complete = false })
	w.change(k, last(stackjob.Failed, stackjob.ReasonMissingValue, t0.Add(time.Hour)))
	expect(t, w.compare(), "apply dev/data [unfinished: sj_data] SETTLED failed sj_last")
	w.change(key("dev", "net"), func(s *stackjob.Stack) { s.Observed.AppliedAt = t0.Add(2 * time.Hour) })
	expect(t, w.compare(), "apply dev/data [unfinished: sj_data]")
}

func TestAConsumerIsBlockedByTheRootOfTheTrouble(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	for _, name := range []string{"net", "data", "app"} {
		w.change(key("dev", name), func(s *stackjob.Stack) { s.Observed.Complete = false })
	}
	w.change(key("dev", "net"), last(stackjob.Failed, stackjob.ReasonEngine, t0))
	by := "acme/dev/TerraformStack/net (failed in sj_last)"
	expect(t, w.compare(), "apply dev/net [unfinished: sj_net] SETTLED failed sj_last",
		"apply dev/data [unfinished: sj_data] after dev/net REFUSED blocked-by ("+by+")",
		"apply dev/app [unfinished: sj_app] after dev/data REFUSED blocked-by ("+by+")")
}

func TestAfterAnInterruptedApplyAPersonMustLook(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net")})
	w.converge(t)
	k := key("dev", "net")
	w.change(k, func(s *stackjob.Stack) {
		s.Observed.Complete, s.Observed.Interrupted = false, true
		s.Last = &stackjob.LastJob{ID: "sj_net", State: stackjob.Interrupted, Action: stackjob.Apply, DesiredDigest: s.Observed.Desired.Digest()}
	})
	expect(t, w.compare(), "apply dev/net [unfinished: sj_net was interrupted] HOLD after-interrupt (sj_net)")

	// A job that ended before its apply takes nothing away from that.
	w.change(k, last(stackjob.Superseded, stackjob.ReasonNewerRevision, t0))
	w.files["acme/dev/net.yaml"] = stack("net", "net", "size: 2")
	w.reload(t)
	expect(t, w.compare(), "apply dev/net [spec: size] [unfinished: sj_net was interrupted] HOLD after-interrupt (sj_net)")

	// Its removal is looked at as well.
	w.files["acme/dev/net.yaml"] = ""
	w.reload(t)
	expect(t, w.compare(), "destroy dev/net [removed: acme/dev/net.yaml] [unfinished: sj_net was interrupted] HOLD after-interrupt (sj_net)")
}

func TestAnInterruptedFirstApplyIsHeldEvenWhenNothingWasRecorded(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net")})
	w.stacks[key("dev", "net")] = stackjob.Stack{Key: key("dev", "net"), Last: &stackjob.LastJob{ID: "sj_9", State: stackjob.Interrupted}}
	expect(t, w.compare(), "apply dev/net [new] [unfinished: sj_9 was interrupted] HOLD after-interrupt (sj_9)")
}

func TestWithoutItsModuleAChangeCannotBePlannedAndTheRestStays(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{"acme/dev/net.yaml": stack("net", "net"), "acme/dev/app.yaml": stack("app", "net")})
	w.converge(t)
	w.input.ModuleErrors = map[schema.ModuleSource]string{{Path: "net"}: "connection refused"}
	expect(t, w.compare(), "unverified dev/app module-unavailable", "unverified dev/net module-unavailable")
	w.files["acme/dev/app.yaml"] = stack("app", "net", "size: 2")
	w.reload(t)
	expect(t, w.compare(), "apply dev/app [spec: size] ERROR module-unavailable (net: connection refused)", "unverified dev/net module-unavailable")
}

func TestAnOutputThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	w := setup(t, threeTier())
	w.converge(t)
	w.change(key("dev", "net"), func(s *stackjob.Stack) { s.Observed.Outputs = nil })
	expect(t, w.compare(), "apply dev/data [output: acme/dev/TerraformStack/net status.outputs.id is gone]")
}

func TestASpecThatIsReadMovesItsConsumersWhenItWasApplied(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]string{
		"acme/dev/net.yaml": stack("net", "net", "cidr: a"),
		"acme/dev/app.yaml": stack("app", "app", "cidr: {valueFrom: {kind: TerraformStack, name: net, fieldPath: spec.variables.cidr}}"),
	})
	w.converge(t)
	w.files["acme/dev/net.yaml"] = stack("net", "net", "cidr: b")
	w.reload(t)
	res := w.compare()
	expect(t, res, "apply dev/net [spec: cidr]")
	w.apply(res.Changes...)
	expect(t, w.compare(), "apply dev/app [output: acme/dev/TerraformStack/net spec.variables.cidr]")
	w.converge(t)
}

// TestAStackThatWasGivenAnotherNameIsNotDestroyedFromUnderIt: the place of its state is
// named by the document that took its place.
func TestAStackThatWasGivenAnotherNameIsNotDestroyedFromUnderIt(t *testing.T) {
	t.Parallel()
	on := func(name, backend string) string {
		return strings.Replace(stack(name, "net"), "spec:", "spec:\n  backend: "+backend, 1)
	}
	for _, tt := range []struct{ before, after, want string }{
		{"{type: http, config: {address: 'https://state.example/a'}}", "{type: http, config: {address: 'https://state.example/a'}}",
			"destroy dev/old [removed: acme/dev/net.yaml] REFUSED state-in-use (acme/dev/TerraformStack/new)"},
		{"{type: http, config: {address: 'https://state.example/a'}}", "{type: http, config: {address: 'https://state.example/b'}}",
			"destroy dev/old [removed: acme/dev/net.yaml]"},
		{"{type: pg}", "{type: pg}", "destroy dev/old [removed: acme/dev/net.yaml]"}, // a schema for each
		{"{type: local}", "{type: local}", "destroy dev/old [removed: acme/dev/net.yaml]"},
	} {
		w := setup(t, map[string]string{"acme/dev/net.yaml": on("old", tt.before)})
		w.converge(t)
		w.files["acme/dev/net.yaml"] = on("new", tt.after)
		w.reload(t)
		expect(t, w.compare(), "apply dev/new [new]", tt.want)
	}
}
