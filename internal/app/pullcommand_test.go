package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/hub"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/lab"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestCommandsAreAnswered(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add three", map[string]string{
			"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one"), "acme/prod/c.yaml": w.document("c", "one")})
		w.shows(n, "reeve approve dev", "+3 ~0")

		w.reacts(n, w.says(forgetest.Mallory, n, "reeve help"), forge.ThumbsUp)
		w.sees(n, "reeve rerun", "says yes to the plans that are shown")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve explain prod"), forge.ThumbsUp)
		w.sees(n, "/answer-", "acme/prod/TerraformStack/c", "policy")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve aprove dev"), forge.Confused)
		w.sees(n, "aprove", "`approve`")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve"), forge.Confused)
		w.sees(n, "several environments wait")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve staging"), forge.Confused)
		w.sees(n, "no resource of this pull request matches", "staging")
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve approve dev"), forge.Confused)
		w.sees(n, "needs the right to write")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve apply dev"), forge.ThumbsDown)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve unlock"), forge.ThumbsDown)

		// What is no command: quoted, fenced, said in passing, and edited into one.
		words := w.says(forgetest.Grace, n, "Looks good so far.")
		w.says(forgetest.Grace, n, "> reeve approve --all\n\nWho wants to?")
		w.says(forgetest.Grace, n, "```\nreeve approve --all\n```")
		w.says(forgetest.Grace, n, "I would reeve approve --all if I could.")
		w.site.EditComment(t, forgetest.Grace, n, words, "reeve approve --all")

		// Chosen by name: one of three, then one by kind. The comment after those above
		// is answered when they have been read.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev/TerraformStack/a"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Pending)
		if got := strings.Count(w.living(n), "✅ approved"); got > 1 {
			t.Fatalf("%d rows are approved, expected one:\n%s", got, w.living(n))
		}
		if got := w.site.Reactions(t, n, words); len(got) != 0 {
			t.Errorf("a comment that was edited into a command has %v", got)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve prod/TerraformStack/*\nreeve reject dev/TerraformStack/b"), forge.ThumbsUp)
		w.status(head, "reeve/plan", forge.Success)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("what was approved is applied", func() bool { return w.lines("a") == "one" && w.lines("c") == "one" })
		w.sees(n, "/outcome-")
		if w.lines("b") != "" {
			t.Error("what was rejected was applied")
		}
		w.once(n)
	})
}

// One reaction stands for all commands of a comment. What it hides is said in one reply.
func TestSeveralCommandsOfOneCommentAreAnsweredEach(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add two", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/prod/c.yaml": w.document("c", "one")})
		w.shows(n, "reeve approve dev", "+2 ~0")
		replies := func() (n int) {
			for _, body := range w.ours(1) {
				if strings.Contains(body, "/answer-") {
					n++
				}
			}
			return n
		}
		// All is well: a thumb is enough.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev\nreeve approve prod"), forge.ThumbsUp)
		w.status(head, "reeve/approval", forge.Success)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve help"), forge.ThumbsUp)
		w.sees(n, "/answer-", "reeve override")
		if got := replies(); got != 1 {
			t.Fatalf("%d replies, expected only the one to the call for help", got)
		}
		// The worst of them is what stands on the comment, wherever it is, and the rest is told.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve reject prod\nreeve aprove dev\nreeve unlock\nreeve explain dev"), forge.Confused)
		said := w.sees(n, "/answer-", "4 commands", "👍 `reeve reject prod` · `acme/prod/TerraformStack/c`", "😕 `reeve aprove dev`", "did you mean `approve`",
			"👎 `reeve unlock` · ", "👍 `reeve explain dev`", "policy")
		if got := replies(); got != 2 {
			t.Errorf("%d replies, expected one for the four commands:\n%s", got, said)
		}
		// One goes on for as long as it takes, and the others are told meanwhile.
		pipe := w.pipe("pipe")
		w.site.Push(t, forgetest.Ada, "slow", w.reading("s", pipe), false)
		slow := w.site.Open(t, forgetest.Ada, "slow", "Read a pipe", false)
		w.tell(slow, "slow")
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		id := w.says(forgetest.Grace, slow, "reeve plan\nreeve aprove dev")
		w.sees(slow, "/answer-", "🚀 `reeve plan`", "😕 `reeve aprove dev`")
		w.givenUp(pipe, "hello")
		w.reacts(slow, id, forge.Confused)
		w.sees(slow, "/answer-", "👍 `reeve plan`", "😕 `reeve aprove dev`")
		w.rests()
		w.once(n)
		w.once(slow)
	})
}

func TestWhatFailedIsRunAgainAndWhatWaitsIsCancelled(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		file := filepath.Join(w.root, "later")
		n, head := w.proposes("Read a file", w.reading("a", file))
		w.shows(n, "❌ The plan failed", "no file exists", "reeve rerun dev")
		w.status(head, "reeve/plan", forge.Failure)
		if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve rerun dev"), forge.ThumbsUp)
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.status(head, "reeve/plan", forge.Success)
		w.reacts(n, w.says(forgetest.Grace, n, "reeve rerun dev"), forge.ThumbsDown)

		w.site.Merge(t, forgetest.Ada, n) // approved by nobody
		w.sees(n, "/waits-", "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve cancel dev"), forge.ThumbsUp)
		w.sees(n, "/outcome-")
		w.served.until("nothing was applied", func() bool {
			e, err := w.served.Explain(context.Background(), w.key(devA))
			return err == nil && e.Observed == nil
		})
		w.served.until("the status says that nothing was applied", func() bool {
			state := w.site.Statuses(t, head)["reeve/apply: dev"].State
			return state == forge.Failure || state == forge.Error
		})
		w.once(n)
	})
}

func TestARunningPlanIsCancelled(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		pipe := w.pipe("pipe")
		w.site.Push(t, forgetest.Ada, "change", w.reading("a", pipe), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Read a pipe", false)
		w.tell(n, "change")
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		id := w.says(forgetest.Grace, n, "reeve cancel dev")
		w.givenUp(pipe, "hello")
		w.reacts(n, id, forge.ThumbsUp)
		w.shows(n, "reeve rerun dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve rerun --all"), forge.ThumbsUp)
		w.shows(n, "reeve approve dev", "+1 ~0")
		w.once(n)
	})
}

func TestABotGivesNoCommands(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		bot, has := map[forge.Kind]forgetest.Person{forge.GitHub: hub.Bot, forge.GitLab: lab.Bot}[w.site.World().Kind()]
		if !has {
			t.Skip("Gitea does not tell a bot from a person")
		}
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		id := w.says(bot, n, "reeve approve dev")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve help"), forge.ThumbsUp)
		if got := w.site.Reactions(t, n, id); len(got) != 0 {
			t.Errorf("a bot's comment has %v", got)
		}
		w.status(head, "reeve/approval", forge.Pending)
	})
}

func TestADraftIsPlannedAsWell(t *testing.T) {
	t.Parallel()
	// Where a title makes a draft.
	draft := map[forge.Kind]string{forge.Gitea: "WIP: ", forge.GitLab: "Draft: "}
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", draft[w.site.World().Kind()]+"Add one", false)
		if h, is := w.site.(*hub.Site); is {
			h.SetDraft(t, forgetest.Ada, n)
		}
		if is, err := w.site.Repository(t).PullRequest(t.Context(), n); err != nil || !is.Draft {
			t.Fatalf("it is no draft: %+v, %v", is, err)
		}
		head := w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		w.tell(n, head)
		w.shows(n, head[:7], "reeve approve dev")
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)
		w.once(n)
	})
}

// Whoever can comment can write commands as fast as a program does.
func TestAFloodOfCommandsByWhoHasNoSayIsNotAnswered(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.document("a", "one")})
		w.shows(n, "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		replies := func() (count int) {
			for _, body := range w.ours(n) {
				if strings.Contains(body, "/answer-") {
					count++
				}
			}
			return count
		}
		// The first few are answered, then a reaction says enough.
		for _, text := range []string{"reeve approve dev", "reeve help", "reeve aprove", "reeve explain dev", "reeve plan"} {
			id := w.says(forgetest.Mallory, n, text)
			want := forge.Confused
			if text == "reeve help" || text == "reeve explain dev" {
				want = forge.ThumbsUp
			}
			w.reacts(n, id, want)
		}
		w.sees(n, "/answer-", "did you mean `approve`", "further commands of yours get a reaction at most")
		if got := replies(); got != 3 {
			t.Errorf("%d replies to five commands of somebody without a say", got)
		}

		before := w.front.wrote()
		for range 40 {
			w.site.Comment(t, forgetest.Mallory, n, "reeve approve dev")
		}
		// Who has a say is answered as ever, after all of these.
		w.reacts(n, w.says(forgetest.Grace, n, "reeve aprove dev"), forge.Confused)
		w.sees(n, "/answer-", "`reeve aprove dev` · grace")
		// Each reaction is a call or two; that of Grace's command is two of them, beside its reply.
		if wrote := w.front.wrote() - before; wrote > 30 {
			t.Errorf("%d calls that write something after 40 commands by somebody without a say", wrote)
		}
		if got := replies(); got != 4 {
			t.Errorf("%d replies, expected one more, to Grace", got)
		}
		w.status(head, "reeve/approval", forge.Pending)

		// After a push there is something new to ask about.
		head = w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "two")}, false)
		w.shows(n, head[:7], "reeve approve dev")
		w.reacts(n, w.says(forgetest.Mallory, n, "reeve explain dev"), forge.ThumbsUp)
		w.sees(n, "`reeve explain dev` · mallory")
		w.rests()
		w.once(n)
	})
}
