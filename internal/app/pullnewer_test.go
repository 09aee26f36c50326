package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// TestADeliveryThatADeadDaemonTookIsWorkedOn kills the daemon between the answer to a
// delivery and the work. Nothing but the delivery tells of the pull request: nobody polls,
// and the forge does not list what is open.
func TestADeliveryThatADeadDaemonTookIsWorkedOn(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		var mute atomic.Bool
		mute.Store(true)
		w.front.meet(func(r *http.Request) fate {
			if listsPulls(r) || mute.Load() && isPull(r) {
				return fate{status: http.StatusServiceUnavailable}
			}
			return fate{}
		})
		daemon := w.mortals()
		w.ready()
		l := w.keepsBack()
		if _, err := w.site.Repository(t).SetWebhook(t.Context(), "", l.URL, webhookSecret); err != nil {
			t.Fatal(err)
		}
		n, _ := w.proposes("Told of once", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.served.until("it was delivered", func() bool { return len(l.about("Told of once")) > 0 })
		if got, err := w.deliver(l.about("Told of once")[0]); err != nil || got != http.StatusAccepted {
			t.Fatalf("the delivery is answered %d (%v)", got, err)
		}
		daemon.kill()
		if all := w.ours(n); len(all) != 0 {
			t.Fatalf("the work was done before the daemon died:\n%s", all[0])
		}
		mute.Store(false)
		w.shows(n, "reeve approve dev", devA)
		w.once(n)
	})
}

// TestANewerHeadEndsTheWorkOnTheOlder pushes by force while the plan of the head before is
// being made, and does not let that plan end by itself.
func TestANewerHeadEndsTheWorkOnTheOlder(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		pipe, file := w.pipe("pipe"), filepath.Join(w.root, "file")
		if err := os.WriteFile(file, []byte("newer"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.site.Push(t, forgetest.Ada, "change", w.reading("a", pipe), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Read a file", false)
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		older := w.served.jobs(devA)[0].ID
		is := func() stackjob.Job {
			all := w.served.jobs(devA)
			return all[slices.IndexFunc(all, func(j stackjob.Job) bool { return j.ID == older })]
		}
		head := w.site.Push(t, forgetest.Ada, "change", w.reading("a", file), true)
		w.tell(n, head)
		w.served.until("the older plan is to be given up", func() bool { return is().CancelledBy != nil || is().State.IsFinal() })
		w.feeds(pipe, "older") // an engine that waits for a pipe cannot be interrupted
		body := w.shows(n, head[:7], "reeve approve dev", "+1 ~0")
		if !strings.Contains(body, `"newer"`) || strings.Contains(body, `"older"`) {
			t.Errorf("the plan is not that of the newer head:\n%s", body)
		}
		w.served.until("the older plan has ended", func() bool { return is().State.IsFinal() })
		if j := is(); j.State == stackjob.Succeeded || j.Plan != nil {
			t.Errorf("the plan of the older head went on: %s (%s)", j.State, j.Reason)
		}
		w.once(n)
	})
}

// TestAMergeWhosePlanIsAnotherSaysWhatMoved has the world change after the approval, so
// that the plan of the merged commit is not the one that was approved.
func TestAMergeWhosePlanIsAnotherSaysWhatMoved(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		file := filepath.Join(w.root, "file")
		if err := os.WriteFile(file, []byte("seen"), 0o600); err != nil {
			t.Fatal(err)
		}
		n, head := w.proposes("Read a file", w.reading("a", file))
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		w.regular(file, "unseen")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/waits-", "**What moved in `"+devA+"`**", "-   input: \"seen\"\n+   input: \"unseen\"", "reeve approve dev")
		if got := w.applies(devA); got != 0 {
			t.Fatalf("%d applies of a plan that nobody approved", got)
		}
		w.yes(n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		if got := w.applies(devA); got != 1 {
			t.Errorf("%d applies, expected one", got)
		}
		w.once(n)
	})
}

// TestACommandIsMarkedBeforeItHasEnded looks at the comment while the command is at work.
func TestACommandIsMarkedBeforeItHasEnded(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		pipe := w.pipe("pipe")
		n, _ := w.proposes("Read a pipe", w.reading("a", pipe))
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		id := w.says(forgetest.Grace, n, "reeve plan")
		w.reacts(n, id, forge.Rocket)
		got := w.site.Reactions(t, n, id)
		slices.Sort(got)
		if want := []forge.Reaction{forge.Eyes, forge.Rocket}; !slices.Equal(got, want) {
			t.Errorf("while it is at work %v stand on it, expected %v", got, want)
		}
		w.feeds(pipe, "hello")
		w.reacts(n, id, forge.ThumbsUp)
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.once(n)
	})
}

// TestAForgeThatIsBehindItselfIsWaitedFor has GitHub not find a pull request that it has
// just told of, and GitLab know a head only after it has been looked at for a while. Nobody
// polls: what a delivery tells of is looked for until it is there.
func TestAForgeThatIsBehindItselfIsWaitedFor(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		behind, is := w.site.World().(interface{ Lag(looks int) })
		if !is {
			t.Skip("a real server is behind itself when it likes")
		}
		behind.Lag(3)
		w.start()
		n, first := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, first[:7], "reeve approve dev")
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, true)
		w.tell(n, head)
		w.shows(n, head[:7], "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		if got := w.lines("a"); got != "two" {
			t.Errorf("a was made %q", got)
		}
		w.once(n)
	})
}

// TestAPullRequestDoesNotLoosenItsOwnPolicy has the head ask nobody for what the followed
// branch asks auditors for.
func TestAPullRequestDoesNotLoosenItsOwnPolicy(t *testing.T) {
	t.Parallel()
	files := early("", "  approvals: {required: 1, from: [team/auditors]}\n")
	files["acme/teams/crew.yaml"] = account(forgetest.Mallory, "") + "---\napiVersion: stackreeve.dev/v1\nkind: Team\nmetadata: {name: auditors}\nspec: {members: [mallory]}\n"
	onOneForge(t, files, func(t *testing.T, w *pullWorld) {
		w.start()
		loose := early("", "  approvals: {required: 1, from: [\"gitea:ada\", \"github:ada\", \"gitlab:ada\"], authorMayApprove: true}\n  override: {from: [\"gitea:ada\", \"github:ada\", \"gitlab:ada\"]}\n")
		loose["acme/dev/a.yaml"] = w.document("a", "one")
		n, head := w.proposes("Ask nobody", loose)
		w.shows(n, "This changes who must approve what", "acme/policies/only.yaml", "0/1", "team/auditors")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve approve dev"), forge.Confused)
		w.reacts(n, w.says(forgetest.Ada, n, `reeve override dev --reason "it is mine"`), forge.Confused)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsDown)
		w.status(head, "reeve/approval", forge.Pending)
		if got := w.lines("a"); got != "" {
			t.Fatalf("a was made %q: nobody whom the followed branch names has approved it", got)
		}
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		if got := w.lines("a"); got != "one" {
			t.Errorf("a was made %q", got)
		}
		w.rests()
		w.once(n)
	})
}

// TestMoreFilesThanAForgeListsAreNoMatter changes more files than GitHub tells of, with a
// stack behind all of them, and asks no forge for a list of files.
func TestMoreFilesThanAForgeListsAreNoMatter(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		var asked atomic.Int32
		w.front.meet(func(r *http.Request) fate {
			for _, list := range []string{"/files", "/changes", "/diffs", "/compare"} {
				if strings.Contains(r.URL.Path, list) {
					asked.Add(1)
				}
			}
			return fate{}
		})
		w.start()
		files := map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/prod/z.yaml": w.document("z", "one")}
		for i := range 3100 {
			files[fmt.Sprintf("aaa/page-%04d.md", i)] = fmt.Sprintf("# Page %d\n", i)
		}
		n, head := w.proposes("Add many pages", files)
		w.shows(n, "acme/dev/TerraformStack/a", "acme/prod/TerraformStack/z", "+2 ~0")
		w.status(head, "reeve/plan", forge.Success)
		if got := asked.Load(); got != 0 {
			t.Errorf("the forge was asked %d times which files are changed", got)
		}
		w.once(n)
	})
}

// TestAMarkThatWasNotMadeIsMadeLater kills the daemon when it marks a command as carried
// out. Then the forge takes no marks at all, which holds up nothing else.
func TestAMarkThatWasNotMadeIsMadeLater(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.polls = true
		daemon := w.mortals()
		w.ready()
		w.connect()
		n, _ := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		var once sync.Once
		w.front.meet(func(r *http.Request) (f fate) {
			if marks(r) && (sends(r, "+1") || sends(r, "thumbsup")) {
				once.Do(func() { f = fate{before: daemon.kill} })
			}
			return f
		})
		w.yes(n)
		w.shows(n, "Approved: ready to merge")
		w.front.meet(func(r *http.Request) fate {
			if marks(r) {
				return fate{status: http.StatusForbidden, body: `{"message":"the conversation is locked"}`}
			}
			return fate{}
		})
		w.says(forgetest.Grace, n, "reeve reject dev")
		w.shows(n, "rejected") // which no reaction holds up
		w.once(n)
	})
}
