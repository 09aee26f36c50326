package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/gittest"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// rerun makes a new job for the stack of an old one.
func (w *world) rerun(j stackjob.Job) stackjob.Job {
	w.t.Helper()
	again, err := w.app.Backend().Rerun(context.Background(), api.Answer{Job: j.ID, Actor: ada})
	if err != nil {
		w.t.Fatal(err)
	}
	return again
}

func TestBadDocumentsAreToldAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"),
		"acme/broken/a.yaml", "kind: TerraformStack\nmetadata: {name: [\n",
		"acme/unknown/a.yaml", "apiVersion: stackreeve.dev/v1\nkind: TerraformStak\nmetadata: {name: a}\nspec: {}\n",
		"acme/nomodule/a.yaml", strings.ReplaceAll(w.stackDocument("n", "one"), "/modules/counter", "/modules/conter"),
		"acme/loop/a.yaml", w.consumer("x", "y"), "acme/loop/b.yaml", w.consumer("y", "z"), "acme/loop/c.yaml", w.consumer("z", "x"))
	w.commit("mistakes of every kind")
	w.start()
	w.await(devA, stackjob.Succeeded)
	w.quiet()
	report := w.look().Report
	for _, want := range []string{
		"acme/broken/a.yaml:",
		"acme/unknown/a.yaml:2:7: error: ", "TerraformStack", // did you mean
		"/modules/conter", "acme/nomodule/a.yaml:",
		"acme/loop/TerraformStack/x", "acme/loop/TerraformStack/y", "acme/loop/TerraformStack/z",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if n := strings.Count(report, "error:"); n != 4 {
		t.Errorf("%d errors, expected one for each cause", n)
	}
	if jobs := w.jobs(""); len(jobs) != 1 || w.effects("a") != 1 {
		t.Errorf("%d jobs, %d side effects: only dev is without errors", len(jobs), w.effects("a"))
	}
	if t.Failed() {
		t.Log(report)
	}
}

func TestAGitModuleWhoseServerIsGoneIsAskedAgainAndOthersGoOn(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	server := gittest.Serve(t)
	code := server.Repo(t, "counter")
	code.Commit("a module", map[string]string{"main.tf": counter})
	gone := func(rw http.ResponseWriter, _ *http.Request) bool {
		http.Error(rw, "down", http.StatusServiceUnavailable)
		return false
	}
	server.Before(gone)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/c.yaml", w.stackDocument("c", "one"),
		"acme/dev/a.yaml", strings.ReplaceAll(w.stackDocument("a", "one"), "{path: /modules/counter}", "{git: {url: "+code.URL+", ref: main}}"))
	w.commit("one module from elsewhere")
	w.start()
	w.await(devC, stackjob.Succeeded)
	if st := w.stack(devA).Resource; st.Status != "failed" || st.Reason.Code != stackjob.ReasonModule || !strings.Contains(st.Reason.Detail, "503") {
		t.Errorf("a is %s: %s", st.Status, st.Reason)
	} else if string(st.Engine) != w.engine.Name {
		t.Errorf("a, of which there is no job and which names no engine, is of the engine %q, expected %s", st.Engine, w.engine.Name)
	}
	if n := len(w.jobs(devA)); n != 0 {
		t.Errorf("%d jobs for a module that cannot be had", n)
	}

	server.Before(nil)
	w.look()
	w.await(devA, stackjob.Succeeded)

	// What was made stays as it is while the server is gone again.
	server.Before(gone)
	w.write("acme/dev/c.yaml", w.stackDocument("c", "two"))
	w.commit("another text")
	w.until("c is applied", func() bool { return w.effects("c") == 2 && w.newest(devC).State == stackjob.Succeeded })
	if st := w.stack(devA).Resource; st.Status != "applied" || len(w.jobs(devA)) != 1 {
		t.Errorf("a is %s (%s) with %d jobs", st.Status, st.Reason, len(w.jobs(devA)))
	}
}

// fakeEngine puts a script in front of the engine: it hangs in plan, with a child
// that heeds no interrupt, as long as the file "hang" exists.
func (w *world) fakeEngine() {
	w.t.Helper()
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = plan ] && [ -e %q ]; then\n  echo began >> %q\n  sleep 3600 &\n  exec sleep 3600\nfi\nexec %q \"$@\"\n",
		filepath.Join(w.root, "hang"), filepath.Join(w.root, "hung"), w.engine.Path)
	w.engine.Path = filepath.Join(w.root, "engine", filepath.Base(w.engine.Path))
	w.install(script)
}

func (w *world) install(script string) {
	w.t.Helper()
	tooltest.WriteProgram(w.t, w.engine.Path+".new", script) // one that runs cannot be written
	if err := os.Rename(w.engine.Path+".new", w.engine.Path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) touch(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), nil, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// enginesAtWork lists the processes that run for a job of this world.
func (w *world) enginesAtWork() []string {
	w.t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", d.Name(), "environ"))
		if err != nil {
			continue // it ended
		}
		if bytes.Contains(env, []byte("REEVE_RUN=")) && bytes.Contains(env, []byte(w.root+"/")) {
			cmdline, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
			out = append(out, d.Name()+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return out
}

func TestAnEngineThatHangsIsStoppedWithItsChildren(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.fakeEngine()
	w.touch("hang")
	w.grace, w.yaml = "1s", "  timeouts: {plan: 10s}\n"
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.until("the engine hangs", func() bool { return w.effects("hung") == 1 })
	if len(w.enginesAtWork()) == 0 {
		t.Error("the hanging engine is not found by its mark: the check below would find nothing either")
	}
	j := w.await(devA, stackjob.Failed)
	if j.Reason.Code != stackjob.ReasonTimeout || !strings.Contains(j.Reason.Detail, "plan") || !strings.Contains(j.Reason.Detail, "10s") {
		t.Errorf("the reason is %s", j.Reason)
	}
	w.until("no process of the job is left", func() bool { return len(w.enginesAtWork()) == 0 })
	for _, op := range j.Operations {
		if op.Kind == stackjob.OpPlan && (op.Result != stackjob.ResultFailed || !op.Killed || op.Reason.Code != stackjob.ReasonTimeout) {
			t.Errorf("on record is %+v", op)
		}
	}

	if err := os.Remove(filepath.Join(w.root, "hang")); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.yaml = "" // one that does not hang takes as long as the machine does
	w.start()
	w.rerun(j)
	w.await(devA, stackjob.Succeeded)
	if w.effects("a") != 1 {
		t.Errorf("%d side effects", w.effects("a"))
	}
}

func TestAPlanThatHangsCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.grace = "1s"
	w.fakeEngine()
	w.touch("hang")
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.until("the engine hangs", func() bool { return w.effects("hung") == 1 })
	if _, err := w.app.Backend().Cancel(t.Context(), api.Answer{Job: w.newest(devA).ID, Actor: ada}); err != nil {
		t.Fatal(err)
	}
	j := w.await(devA, stackjob.Cancelled)
	if j.Reason.Code != stackjob.ReasonCancelled || !strings.Contains(j.Reason.Detail, "ada") {
		t.Errorf("the reason is %s", j.Reason)
	}
	if op := j.Operations[len(j.Operations)-1]; op.Kind != stackjob.OpPlan || op.Result != stackjob.ResultCancelled || !op.Killed {
		t.Errorf("on record is %+v", op)
	}
	w.until("no process of the job is left", func() bool { return len(w.enginesAtWork()) == 0 })
	w.quiet()
	if n := len(w.jobs(devA)); n != 1 || w.effects("a") != 0 {
		t.Errorf("%d jobs, %d side effects: a cancelled plan must not start again by itself", n, w.effects("a"))
	}
}

func TestAnApplyThatHadToBeKilledIsInterruptedWhoeverStoppedIt(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"a person", "the time limit"} {
		t.Run(strings.ReplaceAll(by, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := onOneEngine(t)
			w.grace = "1s"
			if by == "the time limit" {
				w.yaml = "  timeouts: {apply: 15s}\n" // by then it is started, and hangs
			}
			script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = apply ]; then\n  trap '' INT TERM\n  echo began >> %q\n  sleep 3600 &\n  wait\n  wait\n  sleep 3600\nfi\nexec %q \"$@\"\n",
				filepath.Join(w.root, "hung"), w.engine.Path)
			w.engine.Path = filepath.Join(w.root, "engine", filepath.Base(w.engine.Path))
			w.install(script)
			w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
			w.commit("one")
			w.start()
			w.until("the engine hangs", func() bool { return w.effects("hung") == 1 })
			first := w.jobs(devA)[len(w.jobs(devA))-1].ID
			if by == "a person" {
				if _, err := w.app.Backend().Cancel(t.Context(), api.Answer{Job: first, Actor: ada}); err != nil {
					t.Fatal(err)
				}
			}
			fresh := w.await(devA, stackjob.WaitingApply) // by another job
			j := w.job(first)
			want := map[string]stackjob.Reason{
				"a person":       {Code: stackjob.ReasonCancelled, Detail: "by ada; "},
				"the time limit": {Code: stackjob.ReasonTimeout, Detail: "15s"},
			}[by]
			if j.State != stackjob.Interrupted || j.Reason.Code != want.Code || !strings.Contains(j.Reason.Detail, want.Detail) {
				t.Errorf("it is %s: %s", j.State, j.Reason)
			}
			if op := j.Operations[len(j.Operations)-1]; op.Kind != stackjob.OpApply || op.Result != stackjob.ResultInterrupted || !op.Killed {
				t.Errorf("on record is %+v", op)
			}
			if fresh.ID == first || fresh.Hold == nil || fresh.Hold.Code != stackjob.ReasonAfterInterrupt || w.effects("hung") != 1 {
				t.Errorf("the fresh plan is not gated: hold %+v, applied %d times", fresh.Hold, w.effects("hung"))
			}
			w.until("no process of the job is left", func() bool { return len(w.enginesAtWork()) == 0 })
		})
	}
}

func TestAnEngineThatIsNotInstalledIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.fakeEngine()
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause)
	w.commit("nothing yet")
	w.start()
	remove := func() {
		t.Helper()
		if err := os.Rename(w.engine.Path, w.engine.Path+".away"); err != nil {
			t.Fatal(err)
		}
	}
	bringBack := func() {
		t.Helper()
		if err := os.Rename(w.engine.Path+".away", w.engine.Path); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	w.write("acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	missing := func(j stackjob.Job) {
		t.Helper()
		if j.Reason.Code != stackjob.ReasonEngineMissing || !strings.Contains(j.Reason.Detail, w.engine.Path) {
			t.Errorf("the reason is %s, expected that it names %s", j.Reason, w.engine.Path)
		}
	}
	j := w.await(devA, stackjob.Failed)
	missing(j)
	bringBack()
	w.rerun(j)
	planned := w.await(devA, stackjob.WaitingApply)

	// Gone between plan and apply: nothing is applied, and nothing of the approval
	// is carried over to another engine.
	remove()
	w.approve(planned)
	j = w.await(devA, stackjob.Failed)
	missing(j)
	if w.effects("a") != 0 || w.stack(devA).Observed != nil {
		t.Errorf("%d side effects, on record is %+v", w.effects("a"), w.stack(devA).Observed)
	}
	bringBack()
	w.rerun(j)
	w.approve(w.await(devA, stackjob.WaitingApply))
	w.await(devA, stackjob.Succeeded)
	if w.effects("a") != 1 {
		t.Errorf("%d side effects", w.effects("a"))
	}
}

func TestADeletedRepositoryChangesNothing(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/counter/main.tf", counter, "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.stackDocument("a", "one"))
	w.commit("one")
	w.start()
	w.await(devA, stackjob.Succeeded)
	before := w.look()
	if err := os.Rename(w.repo, w.repo+".away"); err != nil {
		t.Fatal(err)
	}
	s := w.look()
	if s.FetchError == "" || s.Commit != before.Commit || s.Resources != 1 {
		t.Errorf("the status is %+v", s)
	}
	if st := w.stack(devA).Resource; st.Status != "applied" || len(w.jobs("")) != 1 {
		t.Errorf("a is %s with %d jobs", st.Status, len(w.jobs("")))
	}
	// A folder that is there and empty is no repository that wants nothing.
	if err := os.Mkdir(w.repo, 0o755); err != nil {
		t.Fatal(err)
	}
	if s := w.look(); s.FetchError == "" || len(w.jobs("")) != 1 {
		t.Errorf("an empty folder in its place: %+v and %d jobs", s, len(w.jobs("")))
	}
	if err := errors.Join(os.Remove(w.repo), os.Rename(w.repo+".away", w.repo)); err != nil {
		t.Fatal(err)
	}
	w.write("acme/dev/a.yaml", w.stackDocument("a", "two"))
	w.commit("two")
	w.until("a is applied again", func() bool { return w.effects("a") == 2 && w.newest(devA).State == stackjob.Succeeded })
	if s := w.look(); s.FetchError != "" {
		t.Errorf("after it is back: %s", s.FetchError)
	}
}
