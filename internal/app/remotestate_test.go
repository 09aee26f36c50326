package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// stateServer is a server of the http backend: a state and a lock for each path. It
// gives nothing away without the password, and releases no lock but the one that is
// named. It outlives the daemons of a test, as a real one does.
type stateServer struct {
	*httptest.Server
	password string
	// refusal is what a lock that is held is answered with: 423 or 409.
	refusal int

	mu       sync.Mutex
	states   map[string][]byte
	locks    map[string]lockDocument
	released []string // ids
	// stalled has whoever holds a lock wait for the state until it is closed.
	stalled chan struct{}
}

type lockDocument struct {
	ID, Operation, Info, Who, Version, Path string
	Created                                 time.Time
}

func newStateServer(t *testing.T, password string, refusal int) *stateServer {
	s := &stateServer{password: password, refusal: refusal, states: map[string][]byte{}, locks: map[string]lockDocument{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *stateServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, password, _ := r.BasicAuth(); password != s.password {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its client was killed
	}
	path := r.URL.Path
	held, isHeld := s.locks[path]
	switch r.Method {
	case http.MethodGet:
		if stalled := s.stalled; isHeld && stalled != nil {
			s.mu.Unlock()
			select {
			case <-stalled:
			case <-r.Context().Done():
			}
			s.mu.Lock()
		}
		if s.states[path] == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(s.states[path])
	case http.MethodPost:
		if isHeld && r.URL.Query().Get("ID") != held.ID {
			w.WriteHeader(http.StatusLocked)
			return
		}
		s.states[path] = body
	case "LOCK":
		if isHeld {
			w.WriteHeader(s.refusal)
			_ = json.NewEncoder(w).Encode(held)
			return
		}
		var l lockDocument
		if err := json.Unmarshal(body, &l); err != nil || l.ID == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.locks[path] = l
	case "UNLOCK":
		var l lockDocument
		if err := json.Unmarshal(body, &l); err != nil || !isHeld || l.ID != held.ID {
			w.WriteHeader(http.StatusConflict)
			return
		}
		delete(s.locks, path)
		s.released = append(s.released, l.ID)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// held is the lock of the state of stack a; its ID is "" when nobody holds it.
func (s *stateServer) held() lockDocument {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks["/a"]
}

// hold puts a lock in the place of whatever there was; nil releases it.
func (s *stateServer) hold(l *lockDocument) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locks, "/a")
	if l != nil {
		s.locks["/a"] = *l
	}
}

func (s *stateServer) wasReleased(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.released {
		if r == id {
			return true
		}
	}
	return false
}

// waiting is a module whose apply does not end before a file is there, so that who
// kills it surely kills it in the middle.
const waiting = `variable "file" { type = string }
variable "text" { type = string }
resource "terraform_data" "this" {
  input = var.text
  provisioner "local-exec" { command = "echo ${var.text} >> ${var.file}; until test -e ${var.file}.go; do sleep 0.05; done" }
}
output "text" { value = terraform_data.this.output }
`

// mayEnd lets applies of stack a end from now on.
func (w *world) mayEnd() {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, "a.go"), nil, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

const statePassword = "canary-of-the-state-server"

// onHTTPState has stack a keep its state on the server; the password comes from the
// configuration, as a file.
func (w *world) onHTTPState(s *stateServer) {
	w.t.Helper()
	password := filepath.Join(w.root, "password")
	if err := os.WriteFile(password, []byte(statePassword+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.yaml = fmt.Sprintf("  environment:\n    TF_HTTP_PASSWORD: {file: %q}\n", password)
	backend := fmt.Sprintf("spec:\n  backend: {type: http, config: {address: '%[1]s', lock_address: '%[1]s', unlock_address: '%[1]s', username: reeve, retry_max: '0'}}", s.URL+"/a")
	w.write("modules/counter/main.tf", waiting, "acme/policies/at-once.yaml", atOnce,
		"acme/dev/a.yaml", strings.Replace(w.stackDocument("a", "one"), "spec:", backend, 1))
	w.commit("state on a server")
}

// killedInApply starts a daemon and has all of kill die while the apply makes its
// first resource.
func (w *world) killedInApply(ctx context.Context, kill ...string) (cfg string, client api.Backend, end func()) {
	w.t.Helper()
	cfg = w.writeConfig()
	file := w.crashing(cfg, crash{At: "resource apply", Kill: kill})
	first := w.daemon(cfg, file)
	end = first.end
	for _, who := range kill {
		if who == "daemon" {
			first.awaitEnd(ctx)
			end = func() {}
		}
	}
	return cfg, api.NewClient(api.Options{Socket: filepath.Join(w.root, "data", "reeve.sock")}), end
}

// nothingTold fails for the secret in any file of the data folder and in the logs of
// the daemons.
func (w *world) nothingTold(secret string, daemons ...*process) {
	w.t.Helper()
	for _, file := range filesContaining(w.t.(*testing.T), filepath.Join(w.root, "data"), secret) {
		w.t.Errorf("%q is in clear in %s", secret, file)
	}
	for _, d := range daemons {
		if strings.Contains(d.out.String(), secret) {
			w.t.Errorf("%q is in a daemon's log", secret)
		}
	}
}

func logOf(t *testing.T, client api.Backend, id stackjob.JobID) string {
	t.Helper()
	r, err := client.Log(context.Background(), id, 0, api.FollowNo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// awaitJob waits until the newest job is what is wanted.
func awaitJob(ctx context.Context, t *testing.T, client api.Backend, want func(stackjob.Job) bool) stackjob.Job {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		jobs, err := client.Jobs(ctx, store.JobQuery{})
		if err == nil && len(jobs) > 0 && want(jobs[0]) {
			return jobs[0]
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the job that was waited for never came: %v %s", err, summary(jobs))
		case <-tick.C:
		}
	}
}

// TestTheLockOfAnOwnKilledApplyIsReleased is what happens to a lock on a server when
// the run that holds it is killed: the job is interrupted, its lock is recognised and
// released, and a fresh plan waits for a person.
func TestTheLockOfAnOwnKilledApplyIsReleased(t *testing.T) {
	t.Parallel()
	for kill, refusal := range map[string]int{"daemon engine runner": http.StatusLocked, "engine runner": http.StatusConflict, "engine": http.StatusLocked} {
		t.Run(strings.ReplaceAll(kill, " ", "+"), func(t *testing.T) {
			t.Parallel()
			onEveryEngine(t, func(t *testing.T, w *world) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				server := newStateServer(t, statePassword, refusal)
				w.onHTTPState(server)
				cfg, client, end := w.killedInApply(ctx, strings.Fields(kill)...)
				var second *process
				var left lockDocument
				if strings.Contains(kill, "daemon") {
					if left = server.held(); left.ID == "" || left.Operation != "OperationTypeApply" {
						t.Fatalf("the engine was killed in its apply and left the lock %+v", left)
					}
					second = w.daemon(cfg)
					end = second.end
				}
				jobs := awaitQuiet(ctx, t, client)
				interrupted, fresh := jobs[len(jobs)-1], jobs[0]
				if interrupted.State != stackjob.Interrupted || len(jobs) != 2 {
					t.Fatalf("jobs: %s", summary(jobs))
				}
				applied := interrupted.Operations[len(interrupted.Operations)-1]
				if applied.Kind != stackjob.OpApply || applied.Result != stackjob.ResultInterrupted || applied.EndedAt.IsZero() {
					t.Errorf("its last operation: %+v", applied)
				}
				if fresh.State != stackjob.WaitingApply || fresh.Hold == nil || fresh.Hold.Code != stackjob.ReasonAfterInterrupt {
					t.Errorf("the fresh plan is not gated: %s (%s), hold %+v", fresh.State, fresh.Reason, fresh.Hold)
				}
				log := logOf(t, client, fresh.ID)
				_, id, _ := strings.Cut(log, "Releasing the lock ")
				id, _, _ = strings.Cut(id, " ")
				if left.ID != "" && id != left.ID || !server.wasReleased(id) {
					t.Errorf("the lock %q was left and %q released; log:\n%s", left.ID, id, log)
				}
				if l := server.held(); l.ID != "" {
					t.Errorf("a lock is still held: %+v", l)
				}
				if n := w.effects("a"); n > 1 {
					t.Errorf("the side effect happened %d times", n)
				}
				w.mayEnd()
				full, err := client.Job(ctx, fresh.ID)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := client.Approve(ctx, api.Answer{Job: fresh.ID, Actor: ada, PlanDigest: full.Plan.Digest}); err != nil {
					t.Fatal(err)
				}
				awaitJob(ctx, t, client, func(j stackjob.Job) bool { return j.ID == fresh.ID && j.State == stackjob.Succeeded })
				end()
				if second != nil {
					w.nothingTold(statePassword, second)
				}
				w.nothingTold(statePassword)
			})
		})
	}
}

// runnerOf finds the runner of a world's job among all processes.
func (w *world) runnerOf() int {
	w.t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(b), "run-job\x00"+filepath.Join(w.root, "data")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			return pid
		}
	}
	w.t.Fatal("there is no runner")
	return 0
}

// TestTheLockOfAnOwnKilledPlanIsReleased kills a runner while its plan has the lock
// and waits for the state. A lost plan is made again by itself, and so is this one.
func TestTheLockOfAnOwnKilledPlanIsReleased(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, w *world) {
		server := newStateServer(t, statePassword, http.StatusLocked)
		server.stalled = make(chan struct{})
		w.onHTTPState(server)
		w.mayEnd()
		w.start()
		w.until("the plan has the lock", func() bool { return server.held().ID != "" })
		left, atWork := server.held(), w.enginesAtWork()
		if err := syscall.Kill(w.runnerOf(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// Else it would go on with the state, and release its lock itself.
		w.until("its engine died with it", func() bool {
			now := w.enginesAtWork()
			return !slices.ContainsFunc(atWork, func(p string) bool { return slices.Contains(now, p) })
		})
		close(server.stalled)
		j := w.await(devA, stackjob.Succeeded)
		if left.Operation != "OperationTypePlan" || !server.wasReleased(left.ID) || server.held().ID != "" {
			t.Errorf("the plan left %+v; held now: %+v", left, server.held())
		}
		if j.Attempt != 3 || w.effects("a") != 1 {
			t.Errorf("attempt %d with %d side effects, expected the plan that was lost, the one that met the lock and the one that released it", j.Attempt, w.effects("a"))
		}
	})
}

// TestALockOfSomebodyElseIsNeverReleased puts another lock in the place of the one
// that the killed apply left. The job fails and says whose lock it is and what to do;
// when the person has done it, a rerun plans afresh and waits.
func TestALockOfSomebodyElseIsNeverReleased(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*lockDocument){
		"another account":                     func(l *lockDocument) { l.Who = "ann@laptop" },
		"the same account, earlier":           func(l *lockDocument) { l.Created = l.Created.Add(-10 * time.Minute) },
		"the same account, after the crash":   func(l *lockDocument) { l.Created = l.Created.Add(10 * time.Minute) },
		"the same account, another operation": func(l *lockDocument) { l.Operation = "OperationTypePlan" },
		"a server that does not tell who":     func(l *lockDocument) { *l = lockDocument{ID: l.ID} },
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			onEveryEngine(t, func(t *testing.T, w *world) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				server := newStateServer(t, statePassword, http.StatusLocked)
				w.onHTTPState(server)
				cfg, client, _ := w.killedInApply(ctx, "daemon", "engine", "runner")
				other := server.held()
				other.ID = "0a0b0c0d-2222-3333-4444-555555555555"
				change(&other)
				server.hold(&other)
				second := w.daemon(cfg)
				defer second.end()

				jobs := awaitQuiet(ctx, t, client)
				failed := jobs[0]
				if jobs[len(jobs)-1].State != stackjob.Interrupted || failed.State != stackjob.Failed || failed.Reason.Code != stackjob.ReasonStateLocked ||
					!strings.Contains(failed.Reason.Detail, other.ID) || !strings.Contains(failed.Reason.Detail, other.Who) {
					t.Fatalf("jobs: %s", summary(jobs))
				}
				if l := server.held(); l.ID != other.ID {
					t.Errorf("the lock of somebody else was released; now held: %+v", l)
				}
				log := logOf(t, client, failed.ID)
				if !strings.Contains(log, "force-unlock "+other.ID) || !strings.Contains(log, "rerun the job") {
					t.Errorf("a person is not told what to do:\n%s", log)
				}

				server.hold(nil)
				rerun, err := client.Rerun(ctx, api.Answer{Job: failed.ID, Actor: ada})
				if err != nil {
					t.Fatal(err)
				}
				fresh := awaitJob(ctx, t, client, func(j stackjob.Job) bool { return j.ID == rerun.ID && (j.State.IsFinal() || j.State.IsWaiting()) })
				if fresh.State != stackjob.WaitingApply || fresh.Hold == nil {
					t.Errorf("after the person: %s", summary([]stackjob.Job{fresh}))
				}
			})
		})
	}
}
