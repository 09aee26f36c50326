package telling

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// notes is a sink that keeps what it was given.
type notes struct {
	log    strings.Builder
	events []engine.Event
}

func (n *notes) Emit(e engine.Event) { n.events = append(n.events, e) }
func (n *notes) Log(p []byte)        { n.log.Write(p) }
func (n *notes) Hide([]string)       {}
func (n *notes) LogOffset() int64    { return int64(n.log.Len()) }

func newLog(secrets ...string) (*Log, *notes) {
	n, at := &notes{}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	killed := false
	return &Log{Attempt: 2, Sink: n, Mask: facts.NewMasker(secrets), Killed: func() bool { return killed },
		Now: func() time.Time { at = at.Add(time.Second); return at }}, n
}

func TestNothingSaysASecret(t *testing.T) {
	t.Parallel()
	l, n := newLog("canary-7f3a")
	l.Say("it was canary-7f3a")
	l.Warn("Warning: canary-7f3a")
	l.Warn("Warning: canary-7f3a")
	op := l.Begin(stackjob.OpPlan)
	err := Person(stackjob.ReasonEngine, "detail canary-7f3a", "text canary-7f3a")
	op.Fail(err)
	f, cancelled := l.Failure(fmt.Errorf("around: %w", err))
	if cancelled || f.Class != engine.ClassPerson {
		t.Errorf("%+v, cancelled %t", f, cancelled)
	}
	if all := fmt.Sprintf("%s %+v %+v %+v %q", n.log.String(), n.events, l.Operations, f, l.Warnings); strings.Contains(all, "canary") {
		t.Errorf("a secret was told: %s", all)
	}
	if len(l.Warnings) != 1 || !strings.Contains(n.log.String(), "it was ") {
		t.Errorf("warnings %q, log %q", l.Warnings, n.log.String())
	}
}

func TestAnOperationEndsOnce(t *testing.T) {
	t.Parallel()
	l, n := newLog()
	op := l.Begin(stackjob.OpApply)
	l.Say("words")
	op.End(stackjob.ResultSucceeded, stackjob.Reason{})
	op.Fail(errors.New("too late"))
	at := func(s int) time.Time { return time.Date(2026, 3, 1, 12, 0, s, 0, time.UTC) }
	want := []stackjob.Operation{{Kind: stackjob.OpApply, Attempt: 2, StartedAt: at(1), EndedAt: at(2), LogTo: 6, Result: stackjob.ResultSucceeded}}
	if diff := cmp.Diff(want, l.Operations); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if len(n.events) != 3 {
		t.Errorf("%+v", n.events)
	}
}

func TestHowAnOperationFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want stackjob.Result
		code stackjob.ReasonCode
	}{
		"author":     {Author(stackjob.ReasonEngine, "", ""), stackjob.ResultFailed, stackjob.ReasonEngine},
		"a table":    {Wait(stackjob.ReasonDatabaseLocked, "", ""), stackjob.ResultSkipped, stackjob.ReasonDatabaseLocked},
		"cancelled":  {context.Canceled, stackjob.ResultCancelled, stackjob.ReasonCancelled},
		"killed":     {&Problem{Cause: ErrKilled, Failure: engine.Failure{Reason: Reason(stackjob.ReasonEngine, "")}}, stackjob.ResultInterrupted, stackjob.ReasonEngine},
		"disk":       {fmt.Errorf("write: %w", syscall.EDQUOT), stackjob.ResultFailed, stackjob.ReasonDiskFull},
		"no space":   {syscall.ENOSPC, stackjob.ResultFailed, stackjob.ReasonDiskFull},
		"our own":    {errors.New("x"), stackjob.ResultFailed, stackjob.ReasonInternal},
		"permission": {os.ErrPermission, stackjob.ResultFailed, stackjob.ReasonInternal},
	} {
		l, _ := newLog()
		l.Begin(stackjob.OpPlan).Fail(c.err)
		if got := l.Operations[0]; got.Result != c.want || got.Reason.Code != c.code {
			t.Errorf("%s: %s %s, want %s %s", name, got.Result, got.Reason.Code, c.want, c.code)
		}
	}
}

func TestWhereAPlanFailed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		skip bool
		do   func(*Planning)
		want []string
	}{
		"before it came to anything": {do: func(*Planning) {}, want: []string{"refresh skipped 0", "plan failed 3"}},
		"in the refresh":             {do: func(p *Planning) { p.Began = true }, want: []string{"refresh failed 3", "plan skipped 0"}},
		"in the plan":                {do: func(p *Planning) { p.Began = true; p.Planned(); p.Planned() }, want: []string{"refresh succeeded 0", "plan failed 3"}},
		"without a refresh":          {skip: true, do: (*Planning).Planned, want: []string{"refresh skipped 0", "plan failed 3"}},
	} {
		l, _ := newLog()
		p := l.Planning(c.skip)
		c.do(p)
		p.Fail(errors.New("x"), 3)
		var got []string
		for _, o := range l.Operations {
			got = append(got, fmt.Sprintf("%s %s %d", o.Kind, o.Result, o.EngineProcesses))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnOutcomeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	gone, first := errors.New("the outputs cannot be read"), errors.New("first")
	for name, c := range map[string]struct {
		failed  error
		damaged bool
		err     error
		want    stackjob.Result
	}{
		"a good apply":       {nil, false, gone, stackjob.ResultFailed},
		"a state in pieces":  {nil, true, gone, stackjob.ResultInterrupted},
		"what failed before": {first, true, first, stackjob.ResultCancelled},
	} {
		l, n := newLog()
		out := &stackjob.Outcome{Result: stackjob.ResultSucceeded}
		if c.failed != nil {
			out.Result = stackjob.ResultCancelled
		}
		if err := l.Unread(out, c.failed, gone, c.damaged); !errors.Is(err, c.err) || out.Result != c.want {
			t.Errorf("%s: %v, %s", name, err, out.Result)
		}
		if len(l.Warnings) != 1 || !strings.Contains(n.log.String(), "cannot be read") {
			t.Errorf("%s: it was not told: %q", name, l.Warnings)
		}
	}
}

// exited is how a process ended that the shell ran.
func exited(t *testing.T, script string) error {
	t.Helper()
	err := exec.CommandContext(t.Context(), "/bin/sh", "-c", script).Run()
	if err == nil {
		t.Fatal("it succeeded")
	}
	return err
}

func TestWhyAnEngineStopped(t *testing.T) {
	t.Parallel()
	late, cancel := WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-late.Done()
	asked, stop := WithTimeout(t.Context(), 0)
	stop()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want string
	}{
		"asked to":     {asked, exited(t, "exit 1"), "person cancelled-by-user true"},
		"too long":     {late, exited(t, "kill -9 $$"), "person timed-out false"},
		"killed":       {t.Context(), exited(t, "kill -9 $$"), "wait engine-failed false"},
		"not found":    {t.Context(), exec.ErrNotFound, "person engine-missing false"},
		"its own word": {t.Context(), exited(t, "exit 1"), ""},
		"something":    {t.Context(), errors.New("x"), ""},
	} {
		got := ""
		if pr := Stopped(c.ctx, c.err, "plan", "said"); pr != nil {
			got = fmt.Sprintf("%s %s %t", pr.Failure.Class, pr.Failure.Reason.Code, pr.Cancelled)
			if name == "killed" && (!errors.Is(pr, ErrKilled) || pr.Result(true) != stackjob.ResultInterrupted || pr.Failure.Reason.Detail != "killed by SIGKILL") {
				t.Errorf("%+v", pr)
			}
			if name == "too long" && (!errors.Is(pr, ErrTimeout) || pr.Failure.Reason.Detail != "plan, more than 1ns") {
				t.Errorf("%+v", pr)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAProgramThatCanBeRun(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "engine")
	if err := os.WriteFile(there, nil, 0o700); err != nil { //nolint:gosec // G306: a program
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, version, want string }{
		"good":      {there, "1.5.0", ""},
		"too old":   {there, "1.4.9", "terraform 1.4.9 is too old: reeve needs 1.5.0 or newer.\nInstall a newer one."},
		"gone":      {there + "x", "1.5.0", "There is no program at " + there + "x any more.\nInstall terraform 1.5.0 there, or set another path in the configuration."},
		"a folder":  {filepath.Dir(there), "1.5.0", "There is no program at " + filepath.Dir(there) + " any more.\nInstall terraform 1.5.0 there, or set another path in the configuration."},
		"no number": {there, "new", "malformed version: new"},
	} {
		_, err := CheckProgram(engine.Program{Provisioner: schema.Terraform, Path: c.path, Version: c.version}, "1.5.0")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(ProblemOf(err).Failure.Text, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoSetsUpADatabaseInTheSameMoment(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		`Error: pq: relation "global_states_id_seq" already exists`:                           true,
		"│ Error: pq: relation\n│ \"global_states_id_seq\" already\n│ exists":                 true,
		`pq: schema "reeve_acme" already exists`:                                              true,
		`pq: type "states" already exists (42710)`:                                            true,
		`pq: duplicate key value violates unique constraint "pg_class_relname_nsp_index"`:     true,
		`pq: doppelter Schlüsselwert verletzt Unique-Constraint »pg_namespace_nspname_index«`: true,
		`pq: Relation »global_states_id_seq« existiert bereits (42P07)`:                       true,
		"│ Error: pq: la relation « states » existe déjà\n│ (42P07)":                          true,
		`pq: Schema »reeve_acme« existiert bereits (42P06)`:                                   true,
		`pq: keine Berechtigung für Schema public (42501)`:                                    false,
		`pq: tuple concurrently updated`:                                                      true,
		`pq: duplicate key value violates unique constraint "states_name_key"`:                false,
		`pq: permission denied for schema public`:                                             false,
		`error: a stack named organization/web/dev already exists`:                            false,
		`Error: creating the bucket: bucket "acme" already exists`:                            false,
	} {
		if got := IsFirstUse(said); got != want {
			t.Errorf("%v: %q", got, said)
		}
	}
}

func TestLinesOfAStream(t *testing.T) {
	t.Parallel()
	var got []string
	l := Lines{Line: func(b []byte) { got = append(got, string(b)) }}
	w := Writer(l.Hear)
	for _, part := range []string{"one\ntw", "o\r\n", "\nthr", "ee"} {
		if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
	l.Flush()
	l.Flush()
	if diff := cmp.Diff([]string{"one", "two", "", "three"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
