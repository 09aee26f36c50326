package app_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// What a pull request does about a stack is told here of Pulumi's where the engine has a
// part in it. Each story is told on one forge: what differs between forges knows no engine.

const pulumiA = "acme/dev/PulumiStack/a"

// onForgeOfPulumi tells a story on one forge, with Pulumi at hand.
func onForgeOfPulumi(t *testing.T, name string, files func(w *world, plugins string) map[string]string, story func(t *testing.T, w *pullWorld, plugins string)) {
	t.Helper()
	e, plugins := tooltest.Pulumi(t)
	tellOn(t, []string{name}, func(w *world) map[string]string {
		w.engine = e
		return files(w, plugins)
	}, func(t *testing.T, w *pullWorld) {
		w.start()
		story(t, w, plugins)
	})
}

// nothingYet is a config repository in which there is no stack.
func nothingYet(*world, string) map[string]string { return nil }

// notesProgram is a program with files that somebody can change from outside, as notes is
// a module.
func notesProgram(plugins string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: notes\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\nconfig: {folder: {type: string}, text: {type: string}}\nresources:\n", plugins)
	for _, name := range []string{"changed", "gone", "kept"} {
		fmt.Fprintf(&b, "  %s: {type: \"lab:File\", properties: {path: \"${folder}/%s.txt\", content: \"as applied\\n\"}}\n", name, name)
	}
	return b.String() + "  this: {type: \"lab:Data\", properties: {value: \"${text}\"}}\n"
}

func (w *world) pulumiNoted(text string) string {
	return fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: a}\nspec:\n  program: /modules/notes\n  config: {folder: %q, text: %q}\n",
		filepath.Join(w.root, "notes"), text)
}

// TestDriftOfAPulumiStackIsToldApartAndARemovedOneIsDestroyed has files of a stack changed
// and deleted by somebody else, and then another resource of that stack changed by a pull
// request; and then the stack is taken away by another one.
func TestDriftOfAPulumiStackIsToldApartAndARemovedOneIsDestroyed(t *testing.T) {
	t.Parallel()
	files := func(w *world, plugins string) map[string]string {
		return map[string]string{"modules/notes/Pulumi.yaml": notesProgram(plugins), "acme/dev/a.yaml": w.pulumiNoted("one")}
	}
	onForgeOfPulumi(t, "gitea", files, func(t *testing.T, w *pullWorld, _ string) {
		in := func(name string) string { return filepath.Join(w.root, "notes", name+".txt") }
		if err := os.Mkdir(filepath.Dir(in("x")), 0o700); err != nil {
			t.Fatal(err)
		}
		w.settle(pulumiA)
		if err := errors.Join(os.WriteFile(in("changed"), []byte("by somebody else\n"), 0o600), os.Remove(in("gone"))); err != nil {
			t.Fatal(err)
		}
		n, head := w.proposes("Change the text", map[string]string{"acme/dev/a.yaml": w.pulumiNoted("two")})
		body := w.shows(n, "reeve approve dev", "**Drift:** 2 of these 3 changes are drift, not from this pull request.")
		drift, own := toldChanges(body)
		const urn = "urn:pulumi:dev.PulumiStack.a::notes::lab:index:"
		if want := []string{"@@ create " + urn + "File::gone", "@@ update " + urn + "File::changed"}; !slices.Equal(drift, want) {
			t.Errorf("told as drift: %q, expected %q", drift, want)
		}
		if want := []string{"@@ update " + urn + "Data::this @@"}; !slices.Equal(own, want) {
			t.Errorf("told as the change: %q, expected %q", own, want)
		}
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-")
		w.status(head, "reeve/apply: dev", forge.Success)
		for _, name := range []string{"changed", "gone", "kept"} {
			if b, err := os.ReadFile(in(name)); err != nil || string(b) != "as applied\n" {
				t.Errorf("%s holds %q (%v)", name, b, err)
			}
		}
		w.once(n)

		n, head = w.proposes("Take it away", map[string]string{"acme/dev/a.yaml": ""})
		w.shows(n, "[!CAUTION]", "the whole stack is destroyed", urn+"File::kept", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.site.Merge(t, forgetest.Ada, n) // nobody has approved it
		w.sees(n, "/waits-", "reeve approve dev")
		if _, err := os.Stat(in("kept")); err != nil {
			t.Fatalf("it was destroyed without a yes: %v", err)
		}
		w.reacts(n, w.says(forgetest.Grace, n, "reeve approve dev"), forge.ThumbsUp)
		w.sees(n, "/outcome-", pulumiA)
		if j := w.served.await(pulumiA, stackjob.Succeeded); j.Action != stackjob.Destroy {
			t.Errorf("the newest job is a %s", j.Action)
		}
		if _, err := os.Stat(in("kept")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("its file is still there: %v", err)
		}
		w.once(n)
	})
}

// TestAPulumiPlanIsAppliedAsApprovedOrAskedForAnew moves, one after the other, all that an
// approved plan was made of: its program, its state by hand, its configuration.
func TestAPulumiPlanIsAppliedAsApprovedOrAskedForAnew(t *testing.T) {
	t.Parallel()
	const canary = "canary-Vw3-before-the-merge"
	files := func(w *world, plugins string) map[string]string {
		all := early("pauseBetweenPreviewAndUpdateOrDestroy: true", "")
		all["modules/lab/Pulumi.yaml"], all["acme/dev/a.yaml"] = pulumiProgram(plugins), w.pulumiDocument("a", "one", canary)
		return all
	}
	onForgeOfPulumi(t, "github", files, func(t *testing.T, w *pullWorld, _ string) {
		w.settle(pulumiA)
		n, head := w.proposes("Change it", map[string]string{"acme/dev/a.yaml": w.pulumiDocument("a", "two", canary)})
		w.shows(n, "- value: \"one\"", "+ value: \"two\"", "reeve approve dev")
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)

		// Another file in the program's folder: another program may do something else.
		w.site.Push(t, forgetest.Grace, "main", map[string]string{"modules/lab/values.txt": "x"}, false)
		w.shows(n, "another than the one that was approved", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)

		// Somebody works on the state with Pulumi itself: nobody but the apply sees that.
		state := w.pulumiState(pulumiA)
		if err := os.WriteFile(state, []byte(strings.ReplaceAll(w.read(state), `"one"`, `"uno"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		w.says(forgetest.Ada, n, "reeve apply dev")
		w.shows(n, "- value: \"uno\"", "+ value: \"two\"", "reeve approve dev")
		if got := w.read(state); !strings.Contains(got, `"uno"`) || strings.Contains(got, `"two"`) {
			t.Errorf("the state was written by an apply of another plan:\n%s", got)
		}

		// Another configuration is another plan.
		head = w.site.Push(t, forgetest.Ada, "change", map[string]string{"acme/dev/a.yaml": w.pulumiDocument("a", "three", canary)}, false)
		w.shows(n, "- value: \"uno\"", "+ value: \"three\"", "reeve approve dev")
		w.status(head, "reeve/approval", forge.Pending)
		w.yes(n)
		w.status(head, "reeve/approval", forge.Success)
		dry, err := w.planPull(app.PlanPullOptions{Pull: fmt.Sprint(n), Fresh: true})
		if err != nil || len(dry.Resources) != 1 || dry.Resources[0].Job == nil || dry.Resources[0].Job.Plan == nil {
			t.Fatalf("a dry run: %v %+v", err, dry.Resources)
		}
		w.reacts(n, w.says(forgetest.Ada, n, "reeve apply dev"), forge.ThumbsUp)
		w.sees(n, "/outcome-", "pplied")
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", "before its merge")
		w.status(head, "reeve/apply: dev", forge.Success)
		var applied []string
		for _, j := range w.served.jobs(pulumiA) {
			if counts(j).Update > 0 {
				applied = append(applied, j.Plan.Digest)
			}
		}
		if want := []string{dry.Resources[0].Job.Plan.Digest}; !slices.Equal(applied, want) {
			t.Errorf("applied: %q, what a dry run planned: %q", applied, want)
		}
		if w.created("a") != 1 || !strings.Contains(w.read(state), `"three"`) {
			t.Errorf("made %d times, and the state is\n%s", w.created("a"), w.read(state))
		}
		for _, body := range w.ours(n) {
			if strings.Contains(body, canary) {
				t.Errorf("the secret is in a comment:\n%s", body)
			}
		}
		w.once(n)
	})
}

// counts is what the applies of a job changed.
func counts(j stackjob.Job) (sum stackjob.Counts) {
	for _, op := range j.Operations {
		if op.Kind == stackjob.OpApply {
			sum = sum.Plus(op.Counts)
		}
	}
	return sum
}

// pulumiState is the file of a stack's state in the data folder.
func (w *pullWorld) pulumiState(key string) string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(reconciler.Layout{Root: filepath.Join(w.root, "data")}.PulumiState(w.key(key)), ".pulumi", "stacks", "*", "*.json"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("states: %v, %v", found, err)
	}
	return found[0]
}

func (w *pullWorld) read(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// TestWhatIsWrongWithAPulumiProgramIsToldAndARunningApplyIsCancelled proposes a program with
// a mistake, then one whose resource never comes to be.
func TestWhatIsWrongWithAPulumiProgramIsToldAndARunningApplyIsCancelled(t *testing.T) {
	t.Parallel()
	const canary = "canary-Jk5-in-a-failure"
	files := func(w *world, _ string) map[string]string {
		w.grace = "5m" // what is cancelled ends by itself
		return nil
	}
	onForgeOfPulumi(t, "gitlab", files, func(t *testing.T, w *pullWorld, plugins string) {
		program := pulumiProgram(plugins)
		wrong := strings.Replace(program, "${text}", "${nothing.here}", 1)
		line := 1 + strings.Count(wrong[:strings.Index(wrong, "${nothing.here}")], "\n")
		n, head := w.proposes("Add one", map[string]string{"acme/dev/a.yaml": w.pulumiDocument("a", "one", canary), "modules/lab/Pulumi.yaml": wrong})
		body := w.shows(n, "❌ The plan failed", pulumiA, fmt.Sprintf("\"nothing\" not found on `Pulumi.yaml` line %d", line), fmt.Sprintf("on Pulumi.yaml line %d:\n%d:   kept:", line, line), "reeve rerun dev")
		w.status(head, "reeve/plan", forge.Failure)
		if strings.Contains(body, canary) {
			t.Errorf("the secret is in the comment:\n%s", body)
		}

		head = w.site.Push(t, forgetest.Ada, "change", map[string]string{"modules/lab/Pulumi.yaml": program, "acme/dev/a.yaml": w.pulumiDocument("a", "one", canary) + "    hangs: true\n"}, false)
		w.shows(n, "+2 ~0", "reeve approve dev")
		w.status(head, "reeve/plan", forge.Success)
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.served.until("it hangs", func() bool { return w.created("a") == 1 })
		w.reacts(n, w.says(forgetest.Grace, n, "reeve cancel dev"), forge.ThumbsUp)
		w.sees(n, "/outcome-", pulumiA)
		w.status(head, "reeve/apply: dev", forge.Failure)
		j := w.served.await(pulumiA, stackjob.Cancelled)
		if j.CancelledBy == nil || w.created("a") != 1 {
			t.Errorf("%s by %v, made %d times", j.Reason, j.CancelledBy, w.created("a"))
		}
		for _, body := range w.ours(n) {
			if strings.Contains(body, canary) {
				t.Errorf("the secret is in a comment:\n%s", body)
			}
		}
		w.once(n)
	})
}

// TestACommentHasRoomForALargePulumiStack proposes more than a comment can show.
func TestACommentHasRoomForALargePulumiStack(t *testing.T) {
	t.Parallel()
	const resources, canary = 48, "canary-Lp2-in-a-large-one"
	onForgeOfPulumi(t, "github", nothingYet, func(t *testing.T, w *pullWorld, plugins string) {
		text := strings.Repeat("a line of text that a reviewer could want to see\\n", 40)
		var b strings.Builder
		fmt.Fprintf(&b, "name: large\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\nconfig: {password: {type: string, secret: true}}\nresources:\n", plugins)
		for i := range resources {
			fmt.Fprintf(&b, "  r%02d: {type: \"lab:Data\", properties: {value: \"%02d\\n%s\"}}\n", i, i, text)
		}
		b.WriteString("  sealed: {type: \"lab:Data\", properties: {value: \"${password}\"}}\n")
		n, head := w.proposes("Add many", map[string]string{"modules/large/Pulumi.yaml": b.String(),
			"acme/dev/a.yaml": "apiVersion: stackreeve.dev/v1\nkind: PulumiStack\nmetadata: {name: a}\nspec: {program: /modules/large, config: {password: {secret: " + canary + "}}}\n"})
		body := w.shows(n, pulumiA, fmt.Sprintf("+%d ~0", resources+1), "Left out to stay within the length of a comment", "reeve approve dev")
		if len(body) > 65536 || strings.Contains(body, canary) {
			t.Errorf("%d bytes:\n%.2000s", len(body), body)
		}
		w.status(head, "reeve/plan", forge.Success)
		w.yes(n)
		w.site.Merge(t, forgetest.Ada, n)
		w.sees(n, "/outcome-", pulumiA)
		if j := w.served.await(pulumiA, stackjob.Succeeded); counts(j).Create != resources+1 {
			t.Errorf("applied: %+v", j.Operations)
		}
	})
}
