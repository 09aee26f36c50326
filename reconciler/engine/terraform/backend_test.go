package terraform_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// stateServer speaks the http backend's protocol.
type stateServer struct {
	*httptest.Server
	mu     sync.Mutex
	state  []byte
	lock   []byte
	refuse bool // to lock anything
	logins map[string]int
}

func newStateServer(t *testing.T) *stateServer {
	s := &stateServer{logins: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, password, _ := r.BasicAuth()
		s.logins[password]++
		switch r.Method {
		case "LOCK":
			if s.refuse {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			if s.lock != nil {
				w.WriteHeader(http.StatusLocked)
				w.Write(s.lock)
				return
			}
			s.lock = body
		case "UNLOCK":
			var held, named struct{ ID string }
			if s.lock == nil || json.Unmarshal(s.lock, &held) != nil || json.Unmarshal(body, &named) != nil || held.ID != named.ID {
				w.WriteHeader(http.StatusConflict)
				return
			}
			s.lock = nil
		case http.MethodGet:
			if s.state == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Write(s.state)
		case http.MethodPost:
			s.state = body
		}
	}))
	t.Cleanup(s.Close)
	return s
}

var annAt = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// hold takes the lock as another run would.
func (s *stateServer) hold(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lock = []byte(`{"ID":"` + id + `","Operation":"OperationTypeApply","Who":"ann@laptop","Version":"1.11.4","Created":"2026-11-21T08:00:00Z","Path":"p"}`)
}

func (s *stateServer) refuseLocks(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

func (s *stateServer) backend() schema.Backend {
	return schema.Backend{Type: "http", Config: map[string]string{
		"address": s.URL, "lock_address": s.URL, "unlock_address": s.URL, "username": "reeve", "retry_max": "0",
	}}
}

// The http backend is the one remote backend that runs anywhere; the others differ
// in what the engine does, not in what the driver does.
func TestRemoteBackendNeedsNoMoreProcessesThanItsSecretsCost(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		server := newStateServer(t)
		b.Module(map[string]string{"main.tf": `
			variable "s" { sensitive = true }
			resource "terraform_data" "a" { input = 1 }
			output "open" { value = 1.50 }
			output "closed" {
				value     = var.s
				sensitive = true
			}`})
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = server.backend(), "", ""
		b.Task.Env["TF_HTTP_PASSWORD"] = "canary-password"
		b.Inputs(map[string]any{"s": "canary-input"})
		processes := b.Counting()
		out := b.MustApply()
		lines := processes()
		if diff := cmp.Diff([]string{"init", "plan", "show", "apply", "output"}, words(lines)); diff != "" {
			t.Errorf("processes (-want +got):\n%s", diff)
		}
		if all := strings.Join(lines, "\n"); strings.Contains(all, "canary") || strings.Contains(all, server.URL) {
			t.Errorf("settings or secrets are on a command line:\n%s", all)
		}
		if server.logins["canary-password"] == 0 || len(server.logins) != 1 {
			t.Errorf("logins = %v", server.logins)
		}
		if len(out.Outputs) != 2 || string(out.Outputs[1].Value) != "1.5" || b.Opened(out.Outputs[0]) != `"canary-input"` || out.Outputs[0].Value != nil {
			t.Errorf("outputs = %+v", out.Outputs)
		}
		if server.lock != nil {
			t.Error("the lock is still held")
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(b.PlanFile), "engine")); !os.IsNotExist(err) {
			t.Errorf("the private folder is still there: %v", err)
		}
	})
}

func TestLockedStateNamesTheHolderAndOnlyOurOwnLockIsReleased(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		server := newStateServer(t)
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = server.backend(), "", ""
		b.MustApply()
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "b" {}`})
		plan := b.MustPlan()

		// An apply that could not have the lock has no outcome: nothing was touched. Where
		// nobody may have it, nobody holds it.
		server.refuseLocks(true)
		r := b.Apply(t.Context(), plan)
		if r.Outcome != nil || r.Failure == nil || r.Failure.Class != engine.ClassPerson || r.Failure.Lock != nil || strings.Contains(r.Failure.Text, "force-unlock") ||
			r.Failure.Reason != (stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "Error acquiring the state lock"}) {
			t.Fatalf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
		}
		server.refuseLocks(false)

		server.hold("11111111-2222-3333-4444-555555555555")
		r = b.Apply(t.Context(), plan)
		if r.Outcome != nil || r.Failure == nil || r.Failure.Reason.Code != stackjob.ReasonStateLocked || r.Failure.Lock == nil || r.Failure.Lock.Who != "ann@laptop" {
			t.Fatalf("outcome = %+v, failure = %+v", r.Outcome, r.Failure)
		}
		if last := r.Operations[len(r.Operations)-1]; last.Kind != stackjob.OpApply || last.Result != stackjob.ResultFailed || last.EngineProcesses != 1 {
			t.Errorf("operation = %+v", last)
		}

		r = b.Plan(t.Context())
		if r.Failure == nil || r.Failure.Class != engine.ClassPerson || r.Failure.Reason.Code != stackjob.ReasonStateLocked || r.Failure.Lock == nil {
			t.Fatalf("failure = %+v", r.Failure)
		}
		if l := r.Failure.Lock; l.ID != "11111111-2222-3333-4444-555555555555" || l.Who != "ann@laptop" || !l.CreatedAt.Equal(annAt) || l.Operation != "OperationTypeApply" {
			t.Errorf("lock = %+v", l)
		}
		log, _ := b.Sink.Told()
		for _, want := range []string{"ann@laptop", "2026-11-21T08:00:00Z", "force-unlock 11111111-2222-3333-4444-555555555555", "rerun"} {
			if !strings.Contains(r.Failure.Text, want) || !strings.Contains(log, want) {
				t.Errorf("a person is not told %q:\n%s", want, r.Failure.Text)
			}
		}

		b.Task.ReleaseLock = &engine.StateLock{ID: "99999999-2222-3333-4444-555555555555"}
		if r = b.Plan(t.Context()); r.Failure == nil || server.lock == nil {
			t.Error("a lock of somebody else was released")
		}

		b.Task.ReleaseLock = r.Failure.Lock
		if r = b.Plan(t.Context()); r.Failure != nil {
			t.Errorf("our own lock was not released: %s", r.Failure.Text)
		}
		if server.lock != nil {
			t.Error("the lock is still held")
		}

		server.hold("11111111-2222-3333-4444-555555555555")
		lock := *b.Task.ReleaseLock
		if err := b.Driver.Unlock(t.Context(), b.Task, lock, b.Sink); err != nil || server.lock == nil {
			t.Errorf("a lock was released that no plan has met: %v", err)
		}
		b.Task.ReleaseLock = nil
		if err := b.Driver.Unlock(t.Context(), b.Task, lock, b.Sink); err != nil || server.lock != nil {
			t.Errorf("unlock: %v, lock %s", err, server.lock)
		}
	})
}

func TestBackendOfTheModuleGivesWayToTheTasks(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": `
			terraform {
				backend "s3" {
					bucket = "b"
					key    = "k"
					region = "eu-central-1"
				}
			}
			resource "terraform_data" "a" {}`})
		b.MustApply()
		st, err := os.Stat(b.Task.StateFile)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("the state's mode is %v", st.Mode())
		}
		if st, err = os.Stat(filepath.Dir(b.Task.StateFile)); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("the mode of the state's folder is %v, %v", st.Mode(), err)
		}
	})
}

func TestMovedBackendWaitsUntilTheStateIsThere(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		server := newStateServer(t)
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		b.MustApply()
		old := b.Task.StateFile
		b.Task.Backend, b.Task.StateFile = server.backend(), ""
		for range 2 { // it does not go away by itself
			r := b.Plan(t.Context())
			if r.Failure == nil || r.Failure.Class != engine.ClassPerson || !strings.Contains(r.Failure.Text, old) {
				t.Fatalf("failure = %+v", r.Failure)
			}
		}
		state, err := os.ReadFile(old)
		if err != nil {
			t.Fatal(err)
		}
		server.mu.Lock()
		server.state = state
		server.mu.Unlock()
		if p := b.MustPlan(); p.HasChanges {
			t.Errorf("after the move: %+v", p.Counts)
		}
	})
}

func TestBackendWithoutResourcesMayMove(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		server := newStateServer(t)
		b.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		b.MustPlan()
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = server.backend(), "", ""
		b.MustApply()
		if !json.Valid(server.state) {
			t.Errorf("no state in the new place: %q", server.state)
		}
	})
}

func TestModulesOwnBackendIsLeftAlone(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		own := filepath.Join(t.TempDir(), "own.tfstate")
		other := filepath.Join(t.TempDir(), "other.tfstate")
		text := func(path string) map[string]string {
			return map[string]string{"main.tf": `
				terraform {
					backend "local" {
						path = "` + path + `"
					}
				}
				resource "terraform_data" "a" {}`}
		}
		b.Module(text(own))
		b.Task.Backend, b.Task.StateFile, b.Task.StateBackups = schema.Backend{Type: "module"}, "", ""
		b.MustApply()
		if _, err := os.Stat(own); err != nil {
			t.Fatal(err)
		}
		// The module's block moves: nothing may be planned from an empty state.
		b.Module(text(other))
		if r := b.Plan(context.Background()); r.Failure == nil || r.Failure.Class != engine.ClassPerson {
			t.Fatalf("result = %+v", r)
		}
		if err := os.Rename(own, other); err != nil {
			t.Fatal(err)
		}
		if p := b.MustPlan(); p.HasChanges {
			t.Errorf("after the move: %+v", p.Counts)
		}
	})
}

func TestLocalStateInUseNamesTheHolder(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		note := filepath.Join(t.TempDir(), "note")
		b.Module(map[string]string{"main.tf": "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" { command = \"echo > '" + note + "' && exec sleep 600\" }\n}\n"})
		plan := b.MustPlan()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan engine.Result, 1)
		go func() { ended <- b.Apply(ctx, plan) }()
		b.Sink.Await(t, "the apply is at work", func(string, []engine.Event) bool {
			_, err := os.Stat(note)
			return err == nil
		})
		other := newBench(t, b.Task.Program)
		other.Module(map[string]string{"main.tf": `resource "terraform_data" "a" {}`})
		other.Task.StateFile, other.Task.StateBackups = b.Task.StateFile, t.TempDir()
		r := other.Plan(t.Context())
		if f := r.Failure; f == nil || f.Reason.Code != stackjob.ReasonStateLocked || f.Class != engine.ClassPerson ||
			f.Lock == nil || f.Lock.ID == "" || f.Lock.Operation != "OperationTypeApply" || f.Lock.CreatedAt.IsZero() {
			t.Errorf("failure = %+v", f)
		}
		cancel()
		if r := <-ended; !r.Cancelled {
			t.Errorf("the apply ended: %+v", r)
		}
	})
}
