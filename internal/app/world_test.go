package app_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/tool"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// TestMain lets the test binary be the runner of its own daemons, and a daemon.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"run-job", "run-job-striking", "crash-daemon"}, os.Args[1]) {
		os.Exit(runProcess(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// patience is how long a condition may take on a slow and busy machine before a test fails:
// long enough for a dozen engines that it runs at once.
const patience = 10 * time.Minute

// world is a config repository and the daemon on it.
type world struct {
	t      testing.TB
	root   string
	repo   string
	engine tooltest.Engine
	// engines are further ones that are there.
	engines []tooltest.Engine
	// cliConfig is the engines' CLI configuration; "" for one without providers, and
	// then there is no cache of them either.
	cliConfig string
	// mirrored has the daemon poll a mirror of the repository, by look alone,
	// instead of watching the folder.
	mirrored bool
	// parallel is how many jobs run at once.
	parallel int
	// grace is jobs.grace; "" for 20s, which is enough for a story that does not ask whether an
	// engine ended by itself.
	grace string
	// yaml is appended to reeve.yaml.
	yaml    string
	records func(reconciler.Records) reconciler.Records

	app  *app.App
	log  *lockedBuffer
	stop func()
}

// newWorld makes an empty config repository. The daemon is started by start.
func newWorld(t testing.TB, e tooltest.Engine) *world {
	t.Helper()
	root := t.TempDir()
	w := &world{t: t, root: root, repo: filepath.Join(root, "repository"), engine: e, parallel: 4, stop: func() {}, log: &lockedBuffer{}}
	w.git("init", "--quiet", "--initial-branch=main", w.repo)
	t.Cleanup(func() {
		w.stop()
		awaitRunners(root)
	})
	return w
}

// awaitRunners waits until the runners that outlived their daemon have ended: they write
// into a folder that is about to be removed. What one hangs on its test has killed.
func awaitRunners(root string) {
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for runs(root) {
		select {
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

// runs tells whether a runner holds the lock of a job's folder.
func runs(root string) bool {
	locks, err := filepath.Glob(filepath.Join(root, "data", "jobs", "*", "*", "lock"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(locks, func(path string) bool {
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // what is being started has a copy of the file
		return errors.Is(err, syscall.EWOULDBLOCK)
	})
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	if args[0] != "init" {
		cmd.Dir = w.repo
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write writes files of the repository: path, text, path, text, …
func (w *world) write(files ...string) {
	w.t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(w.repo, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) remove(path string) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.repo, filepath.FromSlash(path))); err != nil {
		w.t.Fatal(err)
	}
}

// commit commits everything, and has a running daemon look at it.
func (w *world) commit(message string) string {
	w.t.Helper()
	w.git("add", "--all")
	w.git("commit", "--quiet", "--allow-empty", "-m", message)
	if w.app != nil {
		w.look()
	}
	return w.git("rev-parse", "HEAD")
}

// look has the daemon poll and returns when it has compared.
func (w *world) look() api.RepositoryStatus {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	s, err := w.app.Backend().Poll(ctx, "config", stackjob.System)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) config() config.Config {
	w.t.Helper()
	cfg, found, err := config.Load(config.Options{Path: "reeve.yaml", Bytes: []byte(w.configText()), Environ: os.Environ()})
	if err != nil || found.HasErrors() {
		w.t.Fatalf("configuration: %v\n%s", err, diag.Text(found, diag.TextOptions{}))
	}
	return cfg
}

// configText is the text of reeve.yaml.
func (w *world) configText() string {
	w.t.Helper()
	cliConfig := w.cliConfig
	if cliConfig == "" {
		cliConfig = tooltest.EmptyCLIConfig(w.t)
	}
	where := fmt.Sprintf("path: %q", w.repo)
	if w.mirrored {
		where = fmt.Sprintf("url: %q", "file://"+w.repo)
	}
	return fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nrepositories:\n  - name: config\n    %s\n    pollInterval: 1h\nengine:\n%s  pluginCache: %t\n  cliConfig: %q\njobs:\n  parallel: %d\n  grace: %s\n%s",
		filepath.Join(w.root, "data"), where, w.programs(), w.cliConfig != "", cliConfig, w.parallel, cmp.Or(w.grace, "20s"), w.yaml)
}

// programs are the lines of reeve.yaml that name the engines.
func (w *world) programs() string {
	var b strings.Builder
	if w.engine.Name != tool.NamePulumi { // whose stacks say so
		fmt.Fprintf(&b, "  default: %s\n", w.engine.Name)
	}
	for _, e := range append([]tooltest.Engine{w.engine}, w.engines...) {
		fmt.Fprintf(&b, "  %s: %q\n", e.Name, e.Path)
	}
	return b.String()
}

// start starts a daemon on the repository's data folder.
func (w *world) start() {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, app.Options{Config: w.config(), Executable: []string{exe, "run-job"}, Environ: os.Environ(), Version: "test",
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Records: w.records})
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	w.app = a
	done := make(chan error, 1)
	go func() { done <- a.Work(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the daemon ended with %v", err)
		}
		if err := a.Close(); err != nil {
			w.t.Errorf("close: %v", err)
		}
		w.app = nil
		if w.t.Failed() {
			w.t.Logf("the daemon's log:\n%s", w.log)
		}
	})
	w.until("the repository is compared", func() bool { return a.Ready(ctx) == nil })
}

// until waits for a condition; the store's events are looked at as they come.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	events := w.app.Backend().Watch(ctx)
	for !ok() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("gave up waiting until %s\njobs: %s", what, w.describe())
		case <-events:
		case <-time.After(50 * time.Millisecond): // what makes no event
		}
	}
}

func (w *world) describe() string {
	var b strings.Builder
	jobs, err := w.app.Backend().Jobs(context.Background(), store.JobQuery{})
	if err != nil {
		return err.Error()
	}
	for _, j := range jobs {
		fmt.Fprintf(&b, "\n  %s %s %s: %s", j.ID, j.Desired.Key, j.State, j.Reason)
	}
	return b.String()
}

// jobs lists the jobs of a stack, newest first; "" means of all.
func (w *world) jobs(key string) []stackjob.Job {
	w.t.Helper()
	q := store.JobQuery{Limit: 1000}
	if key != "" {
		k := w.key(key)
		q.Org, q.Env, q.Kind, q.Name = k.Org, k.Env, k.Kind, k.Name
	}
	jobs, err := w.app.Backend().Jobs(context.Background(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return jobs
}

func (w *world) key(s string) schema.ResourceKey {
	w.t.Helper()
	k, err := schema.ParseResourceKey(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// newest is the newest job of a stack.
func (w *world) newest(key string) stackjob.Job {
	w.t.Helper()
	jobs := w.jobs(key)
	if len(jobs) == 0 {
		w.t.Fatalf("%s has no job", key)
	}
	return jobs[0]
}

// job is a job with its plan.
func (w *world) job(id stackjob.JobID) stackjob.Job {
	w.t.Helper()
	j, err := w.app.Backend().Job(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// await waits until the newest job of a stack is in a state and returns it.
func (w *world) await(key string, state stackjob.State) stackjob.Job {
	w.t.Helper()
	var j stackjob.Job
	w.until(key+" "+string(state), func() bool {
		jobs := w.jobs(key)
		if len(jobs) == 0 {
			return false
		}
		j = jobs[0]
		if j.State.IsFinal() && j.State != state && state.IsFinal() {
			w.t.Fatalf("%s: %s (%s), expected %s\nlog:\n%s", key, j.State, j.Reason, state, w.jobLog(j.ID))
		}
		return j.State == state
	})
	return w.job(j.ID)
}

// quiet waits until no job is open but those that wait for a person.
func (w *world) quiet() {
	w.t.Helper()
	w.until("nothing moves", func() bool {
		jobs, err := w.app.Backend().Jobs(context.Background(), store.JobQuery{Open: true, Limit: 1000})
		if err != nil {
			return false
		}
		for _, j := range jobs {
			if !j.State.IsWaiting() && j.Reason.Code != stackjob.ReasonBlocked && j.Reason.Code != stackjob.ReasonWaitsForProducer {
				return false
			}
		}
		return true
	})
}

func (w *world) jobLog(id stackjob.JobID) string {
	r, err := w.app.Backend().Log(context.Background(), id, 0, api.FollowNo)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return b.String() + "\n" + err.Error()
	}
	return b.String()
}

var ada = stackjob.Actor{Name: "ada", Via: "socket"}

func (w *world) approve(j stackjob.Job) stackjob.Job {
	w.t.Helper()
	digest := ""
	if j.Plan != nil {
		digest = j.Plan.Digest
	}
	j, err := w.app.Backend().Approve(context.Background(), api.Answer{Job: j.ID, Actor: ada, PlanDigest: digest})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) stack(key string) api.Explanation {
	w.t.Helper()
	e, err := w.app.Backend().Explain(context.Background(), w.key(key))
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// effects counts how often the side effect of a stack happened: lines that its
// local-exec wrote.
func (w *world) effects(name string) int {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, name))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The documents that stories are told with.

// atOnce is a policy under which an environment's changes are applied without a
// person.
const atOnce = `apiVersion: stackreeve.dev/v1
kind: FlowControlPolicy
metadata: {name: at-once}
spec:
  selector: {kind: organization, id: acme}
  flowControl: {previewBeforeUpdateOrDestroy: true, pauseBetweenPreviewAndUpdateOrDestroy: false}
`

// pause is a policy under which every plan waits for an approval.
const pause = `apiVersion: stackreeve.dev/v1
kind: FlowControlPolicy
metadata: {name: pause}
spec:
  selector: {kind: organization, id: acme}
  flowControl: {previewBeforeUpdateOrDestroy: true, pauseBetweenPreviewAndUpdateOrDestroy: true}
`

// counter is a module whose apply has a side effect that can be counted.
const counter = `variable "file" { type = string }
variable "text" {
  type    = string
  default = "one"
}
resource "terraform_data" "this" {
  input = var.text
  triggers_replace = var.text
  provisioner "local-exec" { command = "echo ${var.text} >> ${var.file}" }
}
output "text" { value = terraform_data.this.output }
`

// stackDocument is a TerraformStack with that module.
func (w *world) stackDocument(name, text string) string {
	return fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: TerraformStack
metadata: {name: %s}
spec:
  module: {path: /modules/counter}
  variables: {file: %q, text: %q}
`, name, filepath.Join(w.root, name), text)
}
