package app_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// settle approves what the followed branch wants, as an operator does, until it is made.
func (w *pullWorld) settle(keys ...string) {
	w.t.Helper()
	for _, key := range keys {
		j := w.served.await(key, stackjob.WaitingApply)
		if _, err := w.served.Approve(context.Background(), api.Answer{Job: j.ID, PlanDigest: j.Plan.Digest}); err != nil {
			w.t.Fatal(err)
		}
		w.served.await(key, stackjob.Succeeded)
	}
}

// plans counts the plan-only jobs there ever were, by state.
func (w *pullWorld) plans() map[stackjob.State]int {
	w.t.Helper()
	jobs, err := w.served.Jobs(context.Background(), store.JobQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[stackjob.State]int{}
	for _, j := range jobs {
		if j.Purpose == stackjob.PlanOnly {
			out[j.State]++
		}
	}
	return out
}

// living is the comment that is edited in place; "" when there is none.
func (w *pullWorld) living(number int) string {
	w.t.Helper()
	for _, body := range w.ours(number) {
		if strings.HasPrefix(body, fmt.Sprintf("<!-- reeve:config/%d/plan -->", number)) {
			return body
		}
	}
	return ""
}

// shows waits until the living comment holds all texts.
func (w *pullWorld) shows(number int, texts ...string) string {
	w.t.Helper()
	return w.sees(number, append([]string{fmt.Sprintf("<!-- reeve:config/%d/plan -->", number)}, texts...)...)
}

// yes has Grace approve everything, and waits until that is taken.
func (w *pullWorld) yes(number int) {
	w.t.Helper()
	w.reacts(number, w.says(forgetest.Grace, number, "reeve approve --all"), forge.ThumbsUp)
}

// dev are two stacks that are there before a story begins.
func dev(w *world) map[string]string {
	p := &pullWorld{world: w}
	return map[string]string{"acme/dev/a.yaml": p.document("a", "one"), "acme/dev/b.yaml": p.document("b", "one")}
}

func TestAMovedDocumentIsTheSameStackAndARemovedOneIsDestroyed(t *testing.T) {
	t.Parallel()
	onOneForgeWith(t, dev, func(t *testing.T, w *pullWorld) {
		w.start()
		w.settle(devA, devB)
		n, head := w.proposes("Move one, remove one", map[string]string{
			"acme/dev/a.yaml": "", "acme/dev/renamed.yaml": w.document("a", "one"), "acme/dev/b.yaml": ""})
		body := w.shows(n, "moved from `acme/dev/a.yaml`; it is the same stack", "[!CAUTION]", "destroy", devB, "reeve approve dev")
		danger, _, _ := strings.Cut(body, "\n| ")
		if strings.Contains(danger, devA) {
			t.Errorf("the danger block names the stack that only moved:\n%s", danger)
		}
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", devB)
		if j := w.served.await(devB, stackjob.Succeeded); j.Action != stackjob.Destroy {
			t.Errorf("the newest job of b is a %s", j.Action)
		}
		e, err := w.served.Explain(context.Background(), w.key(devA))
		if err != nil || e.Observed == nil || w.lines("a") != "one" {
			t.Errorf("a is %+v (%v) and was made %q: expected it to stand as it was", e.Observed, err, w.lines("a"))
		}
		w.status(head, "reeve/apply: dev", forge.Success)
		w.once(n)
	})
}

func TestANewResourceThatReadsANewOneIsPlannedWhenThatIsThere(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		reader := strings.Replace(w.document("b", "PLACE"), `"PLACE"`, "{valueFrom: {kind: TerraformStack, name: a, fieldPath: status.outputs.text}}", 1)
		n, _ := w.proposes("Add two that hang together", map[string]string{"acme/dev/a.yaml": w.document("a", "first"), "acme/dev/b.yaml": reader})
		w.shows(n, "⏸️ `"+devB+"` can be planned once `"+devA+"` is applied", "reeve approve dev")
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("a is applied", func() bool { return w.lines("a") == "first" })
		notice := w.sees(n, "/waits-", devB, "reeve approve dev")
		if w.lines("b") != "" {
			t.Fatal("b was applied although nobody has seen its plan")
		}
		if !strings.Contains(notice, "1 of 2") {
			t.Errorf("the notice does not say that one of two waits:\n%s", notice)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.served.until("b is applied", func() bool { return w.lines("b") == "first" })
		w.sees(n, "/outcome-", "All 2 applied")
		w.once(n)
	})
}

func TestABaseThatMovesMakesARoundAndNoPlanTwice(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.document("a", "one"), "acme/dev/b.yaml": w.document("b", "one")}, false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add two", false)
		w.tell(n, "change")
		w.shows(n, "reeve approve dev")
		w.yes(n)
		before := w.plans()
		base := w.site.Push(t, forgetest.Grace, "main", map[string]string{"acme/dev/c.yaml": w.document("c", "one")}, false)
		w.shows(n, "into `"+base[:7]+"`", "round 2", "Approved: ready to merge")
		if after := w.plans(); !maps.Equal(before, after) {
			t.Errorf("plan-only jobs were %v and are %v: an engine ran for what was planned before", before, after)
		}
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("both are applied", func() bool { return w.lines("a") == "one" && w.lines("b") == "one" })
		w.once(n)
	})
}

func TestAClosedPullRequestIsLeftAloneUntilItIsReopened(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		// The plan reads a pipe into which nobody writes yet.
		pipe := w.pipe("pipe")
		w.site.Push(t, forgetest.Ada, "change", w.reading("a", pipe), false)
		n := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.tell(n, "change")
		w.served.until("it is planned", func() bool { return w.plans()[stackjob.Planning] == 1 })
		w.site.Close(t, forgetest.Ada, n)
		w.shows(n, "Closed without a merge")
		w.givenUp(pipe, "hello")
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsDown)
		w.sees(n, "the pull request is closed")
		w.site.Reopen(t, forgetest.Ada, n)
		w.shows(n, "reeve approve dev", devA)
		w.once(n)
	})
}

// pipe makes a named pipe in the world's folder.
func (w *pullWorld) pipe(name string) string {
	w.t.Helper()
	path := filepath.Join(w.root, name)
	mkfifo(w.t, path)
	return path
}

// regular makes a pipe the file that it stood for, and lets those go that read it.
func (w *pullWorld) regular(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// feeds makes a pipe the file that it stood for, and gives whoever reads it already what
// stands there.
func (w *pullWorld) feeds(path, text string) {
	w.t.Helper()
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // so that it waits for no reader
	if err != nil {
		w.t.Fatal(err)
	}
	w.regular(path, text)
	if _, err := pipe.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// givenUp waits until the plan that reads a pipe is given up; the pipe becomes a file. An
// engine that waits for a pipe cannot be interrupted, so it is fed once it should end.
func (w *pullWorld) givenUp(pipe, text string) {
	w.t.Helper()
	w.served.until("its plan is to be given up", func() bool {
		jobs, err := w.served.Jobs(context.Background(), store.JobQuery{Limit: 1000})
		return err == nil && slices.ContainsFunc(jobs, func(j stackjob.Job) bool {
			return j.Purpose == stackjob.PlanOnly && (j.CancelledBy != nil || j.State.IsFinal())
		})
	})
	w.feeds(pipe, text)
	w.served.until("its plan is given up", func() bool { return w.plans()[stackjob.Planning] == 0 })
}

// reading is a stack whose plan reads a file.
func (w *pullWorld) reading(name, file string) map[string]string {
	return map[string]string{
		"modules/reading/main.tf": "variable \"file\" { type = string }\nresource \"terraform_data\" \"this\" { input = file(var.file) }\n",
		"acme/dev/" + name + ".yaml": fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: %s}\nspec:\n  module: {path: /modules/reading}\n  variables: {file: %q}\n",
			name, file)}
}

func TestErrorsInOneFolderAreShownAndOtherFoldersPlanned(t *testing.T) {
	t.Parallel()
	onOneForge(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		n, head := w.proposes("One good, one bad", map[string]string{
			"acme/dev/a.yaml":    w.document("a", "one"),
			"acme/prod/bad.yaml": "apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: bad}\nspec: {modul: {path: /modules/counter}}\n"})
		w.shows(n, "acme/prod/bad.yaml", "modul", devA, "| 1 |")
		w.status(head, "reeve/plan", forge.Failure)
	})
}

func TestAPullRequestThatTouchesNothingOfOursIsLeftInPeace(t *testing.T) {
	t.Parallel()
	onForgesWith(t, dev, func(t *testing.T, w *pullWorld) {
		w.start()
		head := w.site.Push(t, forgetest.Ada, "words", map[string]string{"README.md": "# Words\n"}, false)
		n := w.site.Open(t, forgetest.Ada, "words", "Words", false)
		w.tell(n, head)
		// The next one is looked at after it, by the same loop.
		w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/c.yaml": w.document("c", "one")}, false)
		second := w.site.Open(t, forgetest.Ada, "change", "Add one", false)
		w.shows(second, "reeve approve dev")
		w.reacts(n, w.says(forgetest.Ada, n, "reeve approve dev"), forge.Confused)
		if body := w.living(n); body != "" {
			t.Errorf("it was commented on:\n%s", body)
		}
		// A team may require them, and then they must be there.
		w.status(head, "reeve/plan", forge.Success)
		w.status(head, "reeve/approval", forge.Success)
		if got := w.plans()[stackjob.Succeeded]; got != 1 {
			t.Errorf("%d plans were made, expected one", got)
		}
	})
}

// How many writes it takes is a matter of time, which is the engine's and the machine's, and
// not of how many resources there are.
func TestManyResourcesMakeOneCommentAndFewWrites(t *testing.T) {
	t.Parallel()
	for resources, on := range map[int]func(*testing.T, map[string]string, func(*testing.T, *pullWorld)){10: onForges, 50: onOneForge} {
		t.Run(fmt.Sprint(resources), func(t *testing.T) {
			t.Parallel()
			on(t, nil, func(t *testing.T, w *pullWorld) {
				w.jobSettings = "  parallel: 2\n"
				w.start()
				files := map[string]string{"modules/small/main.tf": "variable \"n\" { type = number }\nresource \"terraform_data\" \"this\" { input = var.n }\n"}
				for i := range resources {
					files[fmt.Sprintf("acme/dev/s%02d.yaml", i)] = fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s%02d}\nspec:\n  module: {path: /modules/small}\n  variables: {n: %d}\n", i, i)
				}
				before, from := w.front.wrote(), time.Now()
				head := w.site.Push(t, forgetest.Ada, "change", files, false)
				n := w.site.Open(t, forgetest.Ada, "change", "Add many", false)
				w.tell(n, head)
				body := w.shows(n, fmt.Sprintf("+%d ~0", resources), "reeve approve dev")
				w.status(head, "reeve/plan", forge.Success)
				w.status(head, "reeve/approval", forge.Pending)
				for i := range resources {
					if key := fmt.Sprintf("acme/dev/TerraformStack/s%02d`", i); !strings.Contains(body, key) {
						t.Errorf("the comment does not name %s", key)
					}
				}
				if all := w.ours(n); len(all) != 1 {
					t.Errorf("there are %d comments, expected one", len(all))
				}
				wrote, took := w.front.wrote()-before, time.Since(from)
				t.Logf("%d resources: %d writes in %v, %d reads", resources, wrote, took, w.front.asked()[http.MethodGet])
				// Beside the edits: the comment, its last edit, and three statuses.
				if most := 5 + editsIn(took); wrote > most {
					t.Errorf("%d writes to the forge in %v, expected at most %d", wrote, took, most)
				}
			})
		})
	}
}

func TestALongCommentIsCutToWhatTheForgeTakes(t *testing.T) {
	t.Parallel()
	onForges(t, nil, func(t *testing.T, w *pullWorld) {
		w.start()
		limit := w.site.Repository(t).Limits().CommentBytes
		// Many small resources in one plan, so that no single value is long: a fifth more of
		// difference than the forge takes, with some 120 bytes for each.
		const stacks = 4
		each := limit / 100 / stacks
		files := map[string]string{"modules/long/main.tf": fmt.Sprintf("variable \"text\" { type = string }\nresource \"terraform_data\" \"this\" {\n  count = %d\n  input = \"${var.text}-${count.index}\"\n}\n", each)}
		for i := range stacks {
			files[fmt.Sprintf("acme/dev/s%d.yaml", i)] = fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: s%d}\nspec:\n  module: {path: /modules/long}\n  variables: {text: %q}\n", i, strings.Repeat("lorem ", 12))
		}
		n, _ := w.proposes("Add much", files)
		body := w.shows(n, fmt.Sprintf("`+%d ~0", stacks*each), "reeve approve dev")
		if len(body) > limit {
			t.Errorf("the comment has %d bytes and the forge takes %d", len(body), limit)
		}
		if told := strings.Count(body, "@@ create "); told == 0 || told >= stacks*each {
			t.Errorf("%d differences of %d are told", told, stacks*each)
		}
		for i := range stacks {
			if row := fmt.Sprintf("`acme/dev/TerraformStack/s%d` |", i); !strings.Contains(body, row) {
				t.Errorf("the table lost %s", row)
			}
		}
		t.Logf("%d bytes of %d", len(body), limit)
	})
}
