package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// explained waits until everything that is known of a resource holds a text.
func (w *pullWorld) explained(key, text string) {
	w.t.Helper()
	var last string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("explained:\n%s", last)
		}
	}()
	w.served.until(fmt.Sprintf("%s is explained with %q", key, text), func() bool {
		e, err := w.served.Explain(context.Background(), w.key(key))
		if err != nil {
			return false
		}
		last = strings.Join(e.Lines, "\n")
		return strings.Contains(last, text)
	})
}

// compares has the daemon look at the followed branch and waits until it has.
func (w *pullWorld) compares(commit string) {
	w.t.Helper()
	w.served.until("the branch is compared", func() bool {
		list, err := w.served.Repositories(context.Background())
		return err == nil && len(list) == 1 && list[0].Commit == commit
	})
}

// early is a policy for all of acme that applies before the merge.
func early(controls, rest string) map[string]string {
	return map[string]string{"acme/policies/only.yaml": policy(controls, "  applyBeforeMerge: true\n"+rest)}
}

func TestAnApprovedPlanIsAppliedBeforeTheMerge(t *testing.T) {
	t.Parallel()
	files := early("pauseBetweenPreviewAndUpdateOrDestroy: true", "")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")})
		w.sees(n, "reeve approve dev", "+2 ~0")
		w.status(head, "reeve/apply: dev", forge.Pending)

		// Nothing is applied that nobody approved.
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.sees(n, "`acme/dev/TerraformStack/a` is not approved yet")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.sees(n, "ready to apply", "reeve apply dev")

		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev/TerraformStack/a"), forge.ThumbsUp)
		if got := w.lines("a") + "|" + w.lines("b"); got != "one|" {
			t.Fatalf("applied: %s", got)
		}
		w.sees(n, "/outcome-", "1 of 2 applied")
		w.status(head, "reeve/apply: dev", forge.Pending)
		w.sees(n, "reeve:config/"+fmt.Sprint(n)+"/plan", "reeve unlock dev", "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply"), forge.ThumbsUp)
		w.status(head, "reeve/apply: dev", forge.Success)
		w.sees(n, "/outcome-", "All 2 applied")

		// The branch wants neither of them, and leaves both alone.
		other := w.site.Push(t, forgetest.Grace, "main", map[string]string{"readme.md": "moved\n"}, false)
		w.compares(other)
		w.explained("acme/dev/TerraformStack/a", fmt.Sprintf("config#%d", n))
		w.sees(n, "reeve:config/"+fmt.Sprint(n)+"/plan", other[:7])
		if got := w.lines("a") + "|" + w.lines("b"); got != "one|one" {
			t.Fatalf("after the branch moved: %s", got)
		}

		merged := w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "before its merge", "All 2 applied")
		w.compares(merged)
		for _, name := range []string{"a", "b"} {
			for _, j := range w.served.jobs("acme/dev/TerraformStack/" + name) {
				if j.Purpose == stackjob.Reconcile && j.Pull == "" {
					t.Errorf("the merge made job %s: %s (%s)", j.ID, j.State, j.Reason)
				}
			}
			if got := w.lines(name); got != "one" {
				t.Errorf("%s: %s", name, got)
			}
		}
		w.once(n)
	})
}

func TestPullRequestsThatApplyTheSameStackQueue(t *testing.T) {
	t.Parallel()
	files := early("", "")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.document("a", "zero")}, false)
		w.served.until("main is applied", func() bool { return w.lines("a") == "zero" })
		open := func(text string) int {
			head := w.site.Push(t, forgetest.Ada, text, map[string]string{"acme/dev/a.yaml": w.document("a", text)}, false)
			n := w.site.Open(t, forgetest.Ada, text, "To "+text, false)
			w.tell(n, head)
			w.sees(n, "Ready to apply: nobody needs to approve", "reeve apply dev")
			return n
		}
		one, two := open("one"), open("two")
		w.reacts(one, w.says(forgetest.Ada, one, "reeve apply"), forge.ThumbsUp)
		w.shows(two, "changes from `\"one\"` to `\"two\"`", "reeve apply dev") // planned anew: its stack is another
		waiting := w.says(forgetest.Ada, two, "reeve apply")
		w.reacts(two, waiting, forge.Rocket)
		w.sees(two, "place 1", fmt.Sprintf("config#%d", one))
		page := func(n int) string { return strings.TrimSuffix(w.page(""), "1") + fmt.Sprint(n) }
		w.explained(devA, fmt.Sprintf("It is held for pull request config#%d (%s)", one, page(one)))
		w.explained(devA, fmt.Sprintf("For its turn waits pull request config#%d (%s), at place 1", two, page(two)))
		w.explained(devA, fmt.Sprintf("The job is of pull request config#%d (%s)", one, page(one)))
		w.reacts(two, w.says(forgetest.Grace, two, "reeve explain dev"), forge.ThumbsUp)
		w.sees(two, "/answer-", "It is held for pull request config#", page(one))
		if got := w.lines("a"); got != "zero one" {
			t.Fatalf("applied: %s", got)
		}

		// Its turn comes when the other one is closed, and what was shown is applied.
		w.site.Close(t, forgetest.Ada, one)
		w.sees(one, "/closed-", "is not as main wants it")
		w.reacts(two, waiting, forge.ThumbsUp)
		w.served.until("what was seen is applied", func() bool { return w.lines("a") == "zero one two" })
		w.sees(two, "/outcome-", "Applied")

		// Given back, the stack is the branch's. What it takes back somebody has to approve,
		// though the policy asks nobody.
		w.says(forgetest.Grace, two, "reeve unlock")
		w.sees(two, "given back", "is not as main wants it", "waits for a person")
		back := w.takesBack("acme/dev/TerraformStack/a", two)
		if got := w.lines("a"); got != "zero one two" {
			t.Fatalf("what a pull request applied was taken back by itself: %s", got)
		}
		w.explained("acme/dev/TerraformStack/a", "it takes back what a pull request applied that is not merged")
		if _, err := w.served.Approve(context.Background(), api.Answer{Job: back.ID, PlanDigest: back.Plan.Digest}); err != nil {
			t.Fatal(err)
		}
		w.served.until("the branch takes it back", func() bool { return w.lines("a") == "zero one two zero" })
		// From then on it is the branch's, and nobody is asked.
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.document("a", "three")}, false)
		w.served.until("main is applied", func() bool { return w.lines("a") == "zero one two zero three" })
		w.reacts(two, w.says(forgetest.Grace, two, "reeve unlock"), forge.ThumbsDown)
		w.once(one)
		w.once(two)
	})
}

// takesBack waits for the branch's own job of a stack, planned and waiting because it takes
// back what a pull request applied.
func (w *pullWorld) takesBack(key string, number int) stackjob.Job {
	w.t.Helper()
	var out stackjob.Job
	w.served.until("the plan that takes it back waits", func() bool {
		for _, j := range w.served.jobs(key) {
			if j.Purpose == stackjob.Reconcile && j.Pull == "" && j.State == stackjob.WaitingApply && j.Plan != nil &&
				j.Reason.Code == stackjob.ReasonTakesBack && strings.Contains(j.Reason.Detail, fmt.Sprintf("config#%d", number)) {
				out = j
				return true
			}
		}
		return false
	})
	return out
}

func TestWhatAClosedPullRequestAppliedIsTakenBackBySomebody(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, func(w *world) map[string]string {
		files := early("", "  prune: follow\n")
		files["acme/dev/b.yaml"] = (&pullWorld{world: w}).document("b", "zero")
		return files
	}, func(t *testing.T, w *pullWorld) {
		w.start()
		w.served.until("main is applied", func() bool { return w.lines("b") == "zero" })
		// It makes a, and destroys b.
		n, _ := w.proposes("Another one", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": ""})
		w.sees(n, "Ready to apply: nobody needs to approve", "reeve apply dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply"), forge.ThumbsUp)
		w.sees(n, "All 2 applied")

		w.site.Close(t, forgetest.Ada, n)
		w.sees(n, "/closed-", "is not as main wants it", "reeve approve JOB")
		a, b := w.takesBack("acme/dev/TerraformStack/a", n), w.takesBack("acme/dev/TerraformStack/b", n)
		if a.Action != stackjob.Destroy || b.Action != stackjob.Apply {
			t.Fatalf("it takes back with %s and %s", a.Action, b.Action)
		}
		if got := w.lines("b"); got != "zero" {
			t.Fatalf("what a pull request destroyed was made again by itself: %s", got)
		}

		// Reopened and merged, nothing is taken back and nobody is asked.
		w.site.Reopen(t, forgetest.Ada, n)
		w.sees(n, "reeve:config/"+fmt.Sprint(n)+"/plan", "No changes")
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("nothing waits", func() bool {
			for _, j := range append(w.served.jobs("acme/dev/TerraformStack/a"), w.served.jobs("acme/dev/TerraformStack/b")...) {
				if !j.State.IsFinal() {
					return false
				}
			}
			return true
		})
		for _, j := range append(w.served.jobs("acme/dev/TerraformStack/a"), w.served.jobs("acme/dev/TerraformStack/b")...) {
			if j.ID == a.ID && j.State == stackjob.Succeeded || j.ID == b.ID && j.State == stackjob.Succeeded {
				t.Errorf("%s took it back: %s", j.ID, j.Reason)
			}
		}
		if got := w.lines("a") + "|" + w.lines("b"); got != "one|zero" {
			t.Errorf("applied: %s", got)
		}
		w.rests()
		w.once(n)
	})
}

func TestWhoMayGoesPastTheApprovalsWithAReason(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 2, from: [gitea:grace, github:grace, gitlab:grace]}\n  override: {from: [gitea:grace, github:grace, gitlab:grace]}\n")
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "reeve approve dev", "0/2")
		w.reacts(n, w.says(forgetest.Ada, n, `reeve override dev --reason "we are down"`), forge.Confused)
		w.sees(n, "go past its approvals", "is not among them")
		w.reacts(n, w.says(forgetest.Grace, n, `reeve override dev --reason "the window is closed"`), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.sees(n, "reeve:config/"+fmt.Sprint(n)+"/plan", "goes past the approvals", "by grace: the window is closed")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve apply dev"), forge.ThumbsUp)
		j := w.served.jobs("acme/dev/TerraformStack/a")
		found := false
		for _, job := range j {
			for _, a := range job.Approvals {
				found = found || a.Override && a.Comment == "the window is closed" && a.Actor.Name == "grace"
			}
		}
		if !found || w.lines("a") != "one" {
			t.Errorf("recorded: %v, applied: %s", found, w.lines("a"))
		}
		w.rests()
		w.once(n)
	})
}

func TestAReviewApprovesThePlansThatStoodThere(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [gitea:grace, github:grace, gitlab:grace], byReview: true}\n")
	onForges(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.sees(n, "reeve approve dev", "0/1")
		w.later()
		if w.site.World().Kind() != forge.GitLab { // where who may only read may not approve
			w.site.Review(t, forgetest.Mallory, n, true, "me too")
		}
		w.site.Review(t, forgetest.Grace, n, true, "good")
		w.status(head, "reeve/approval", forge.Success)
		w.sees(n, "1/1", "grace")

		// Where a review can be dismissed, it no longer counts then.
		if d, ok := w.site.(interface {
			Dismiss(t testing.TB, as forgetest.Person, number int, of forgetest.Person)
		}); ok {
			d.Dismiss(t, forgetest.Ada, n, forgetest.Grace)
			w.status(head, "reeve/approval", forge.Pending)
			w.sees(n, "0/1")
		}

		// Of another commit with another plan it says nothing.
		head = w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		w.sees(n, head[:7], "0/1")
		w.status(head, "reeve/approval", forge.Pending)
		w.later()
		w.site.Review(t, forgetest.Grace, n, false, "not so")
		w.sees(n, "rejected")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply"), forge.ThumbsDown)
		w.later()
		w.site.Review(t, forgetest.Grace, n, true, "all right")
		w.status(head, "reeve/approval", forge.Success)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply"), forge.ThumbsUp)
		if got := w.lines("a"); got != "two" {
			t.Errorf("applied: %s", got)
		}
		w.rests()
		w.once(n)
	})
}

// later waits for the next second: forges tell no more of when something was said.
func (w *pullWorld) later() {
	w.t.Helper()
	began := time.Now().Unix()
	w.served.until("a second is over", func() bool { return time.Now().Unix() > began })
}

// TestAnOperatorGivesBackWhatAPullRequestCannotBeAskedFor takes the forge out of the
// configuration while a pull request holds a stack.
func TestAnOperatorGivesBackWhatAPullRequestCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	files := early("", "")
	files["modules/slowly/main.tf"] = slowModule
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.hooks = false
		w.start()
		ctx := t.Context()
		w.letsGo("a")
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/a.yaml": w.slowly("a", "zero")}, false)
		w.served.await(devA, stackjob.Succeeded)
		w.holds("a")
		n, _ := w.proposes("To one", map[string]string{"acme/dev/a.yaml": w.slowly("a", "one")})
		w.shows(n, "reeve apply dev")
		id := w.says(forgetest.Ada, n, "reeve apply dev")
		w.served.until("the apply began", func() bool { return w.lines("a") == "zero one" })
		unlock := func(reason string, selectors ...string) ([]pull.Release, error) {
			return w.served.Unlock(ctx, api.Unlock{Repository: "config", Number: n, Selectors: selectors, Reason: reason})
		}
		if _, err := unlock("now"); !errors.Is(err, store.ErrStackBusy) {
			t.Fatalf("given back in the middle of an apply: %v", err)
		}
		w.letsGo("a")
		w.reacts(n, id, forge.ThumbsUp)

		with := w.settings()
		without := with
		without.Repositories, _, _ = strings.Cut(with.Repositories, "    forge:\n")
		w.served.writeSettings(without)
		w.served.told(inForce, 1)
		turns, err := w.served.Turns(ctx, api.Filter{Org: "acme"})
		if err != nil || len(turns) != 1 || turns[0].Stack.String() != devA || turns[0].Number != n || turns[0].Place != 0 || !turns[0].Applied || turns[0].Followed {
			t.Fatalf("the turns are %+v, %v", turns, err)
		}
		w.explained(devA, fmt.Sprintf("config#%d", n))
		if _, err := unlock("none of it", "prod"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what was not chosen is given back: %v", err)
		}
		if _, err := unlock(" "); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("given back for no reason: %v", err)
		}
		ended, err := unlock("its forge is gone", "dev/*/a")
		if err != nil || len(ended) != 1 || !ended[0].Applied || ended[0].By.Name == "" {
			t.Fatalf("ended %+v, %v", ended, err)
		}

		// It is the branch's again, whose plan takes it back and waits for a person.
		back := w.takesBack(devA, n)
		w.explained(devA, fmt.Sprintf("It was held for pull request config#%d until %s ended that", n, ended[0].By.Name))
		w.explained(devA, `"its forge is gone"`)
		if got := w.lines("a"); got != "zero one" {
			t.Errorf("a was made %q", got)
		}

		// Followed again, the pull request is told, and holds nothing.
		w.served.writeSettings(with)
		w.served.told(inForce, 2)
		w.sees(n, "an operator of the daemon gave back", "its forge is gone", "waits for a person")
		if turns, err := w.served.Turns(ctx, api.Filter{}); err != nil || len(turns) != 0 {
			t.Errorf("the turns are %+v, %v", turns, err)
		}
		if j := w.served.jobs(devA)[0]; j.ID != back.ID && j.Purpose == stackjob.Reconcile {
			t.Errorf("job %s was made: %s", j.ID, j.Reason)
		}
		w.once(n)
	})
}
