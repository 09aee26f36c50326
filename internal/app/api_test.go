package app_test

import (
	"bufio"
	stdcmp "cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// served is a daemon that answers on its listeners and watches its file.
type served struct {
	*api.Client // over the socket
	w           *world
	url         string
	file        string
}

// settings is reeve.yaml in parts, so that a story can change one.
type settings struct {
	Repositories, Jobs, Rest string
}

func (w *world) repository(name, path string) string {
	return fmt.Sprintf("  - {name: %s, path: %q, pollInterval: 1h}\n", name, path)
}

// writeSettings writes reeve.yaml as an editor does, by renaming.
func (s *served) writeSettings(o settings) {
	s.w.t.Helper()
	if o.Repositories == "" {
		o.Repositories = s.w.repository("config", s.w.repo)
	}
	cliConfig := s.w.cliConfig
	if cliConfig == "" {
		cliConfig = tooltest.EmptyCLIConfig(s.w.t)
	}
	text := fmt.Sprintf("dataDir: %q\nlisten: 127.0.0.1:0\nsocket: %q\nrepositories:\n%sengine:\n%s  pluginCache: false\n  cliConfig: %q\njobs:\n  grace: %s\n%s%s",
		filepath.Join(s.w.root, "data"), s.w.socket(), o.Repositories, s.w.programs(), cliConfig, stdcmp.Or(s.w.grace, "20s"), o.Jobs, o.Rest)
	s.writeFile(text)
}

func (s *served) writeFile(text string) {
	s.w.t.Helper()
	if err := os.WriteFile(s.file+".new", []byte(text), 0o600); err != nil {
		s.w.t.Fatal(err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		s.w.t.Fatal(err)
	}
}

// socket is a path that is short enough for one.
func (w *world) socket() string { return filepath.Join(w.root, "s") }

// serve starts a daemon with its listeners.
func (w *world) serve(o settings) *served {
	w.t.Helper()
	s := &served{w: w, file: filepath.Join(w.root, "reeve.yaml")}
	s.writeSettings(o)
	load := func() (config.Config, diag.List, error) {
		return config.Load(config.Options{Path: s.file, Environ: os.Environ()})
	}
	cfg, found, err := load()
	if err != nil || found.HasErrors() {
		w.t.Fatalf("configuration: %v\n%s", err, diag.Text(found, diag.TextOptions{}))
	}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- app.Serve(ctx, app.ServeOptions{Load: load, Ready: func(a string) { ready <- a },
			Options: app.Options{Config: cfg, Executable: []string{exe, "run-job"}, Environ: os.Environ(), Version: "test",
				Log: slog.New(slog.NewTextHandler(w.log, nil))}})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the daemon ended with %v", err)
		}
		if w.t.Failed() {
			w.t.Logf("the daemon's log:\n%s", w.log)
		}
	})
	select {
	case a := <-ready:
		s.url = "http://" + a
	case err := <-done:
		done <- err
		w.t.Fatalf("the daemon ended with %v", err)
	}
	s.Client = api.NewClient(api.Options{Socket: cfg.Socket})
	w.t.Cleanup(s.Close)
	return s
}

// until waits for a condition that no event may announce.
func (s *served) until(what string, ok func() bool) {
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			s.w.t.Fatalf("gave up waiting until %s", what)
		case <-tick.C:
		}
	}
}

func (s *served) jobs(key string) []stackjob.Job {
	s.w.t.Helper()
	k := s.w.key(key)
	jobs, err := s.Jobs(context.Background(), store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name})
	if err != nil {
		s.w.t.Fatal(err)
	}
	return jobs
}

// await waits until the newest job of a stack is in a state.
func (s *served) await(key string, state stackjob.State) stackjob.Job {
	s.w.t.Helper()
	var j stackjob.Job
	s.until(key+" "+string(state), func() bool {
		jobs := s.jobs(key)
		if len(jobs) == 0 {
			return false
		}
		j = jobs[0]
		if j.State.IsFinal() && j.State != state && state.IsFinal() {
			s.w.t.Fatalf("%s: %s (%s), expected %s", key, j.State, j.Reason, state)
		}
		return j.State == state
	})
	j, err := s.Job(context.Background(), j.ID)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return j
}

func TestAnswersBearTheNameOfWhoGaveThem(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	token := filepath.Join(w.root, "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef-canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.write("modules/counter/main.tf", counter, "acme/policies/pause.yaml", pause,
		"acme/dev/a.yaml", w.stackDocument("a", "one"), "acme/dev/b.yaml", w.stackDocument("b", "one"))
	w.commit("two")
	s := w.serve(settings{Rest: fmt.Sprintf("tokens:\n  - {name: release-bot, role: write, valueFrom: {file: %q}}\n", token)})
	a, b := s.await(devA, stackjob.WaitingApply), s.await(devB, stackjob.WaitingApply)

	ctx := context.Background()
	stranger := api.NewClient(api.Options{URL: s.url})
	defer stranger.Close()
	if _, err := stranger.Approve(ctx, api.Answer{Job: a.ID, PlanDigest: a.Plan.Digest, Actor: ada}); err == nil {
		t.Error("somebody without a token approved")
	}
	bot := api.NewClient(api.Options{URL: s.url, Token: config.NewSecret("0123456789abcdef-canary")})
	defer bot.Close()
	if _, err := bot.Approve(ctx, api.Answer{Job: a.ID, PlanDigest: a.Plan.Digest, Actor: ada}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Approve(ctx, api.Answer{Job: b.ID, PlanDigest: b.Plan.Digest, Actor: ada}); err != nil {
		t.Fatal(err)
	}
	a, b = s.await(devA, stackjob.Succeeded), s.await(devB, stackjob.Succeeded)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		job  stackjob.Job
		want stackjob.Actor
	}{{a, stackjob.Actor{Name: "release-bot", Via: "token"}}, {b, stackjob.Actor{Name: me.Username, Via: "socket"}}} {
		if len(c.job.Approvals) != 1 || c.job.Approvals[0].Actor != c.want || c.job.Approvals[0].PlanDigest != c.job.Plan.Digest {
			t.Errorf("approvals of %s: %+v, expected one of %v", c.job.Desired.Key, c.job.Approvals, c.want)
		}
	}
	if strings.Contains(w.log.String(), "0123456789abcdef-canary") {
		t.Error("the token is in the daemon's log")
	}
}

func TestALogIsFollowedWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	w := onOneEngine(t)
	w.write("modules/slow/main.tf", strings.ReplaceAll(slow, "echo began", "echo said aloud; echo began"), "acme/policies/at-once.yaml", atOnce, "acme/dev/a.yaml", w.slowStack())
	w.commit("slow")
	s := w.serve(settings{})
	overTCP := api.NewClient(api.Options{URL: s.url})
	defer overTCP.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.until("the job is there", func() bool { return len(s.jobs(devA)) == 1 })
	id := s.jobs(devA)[0].ID
	moves := make(chan string, 1)
	go func() {
		var seen []string
		for e, err := range overTCP.FollowEvents(ctx, id, 0) {
			if err != nil {
				break
			}
			seen = append(seen, string(e.State))
			if e.State.IsFinal() {
				break
			}
		}
		moves <- strings.Join(seen, " ")
	}()
	for name, c := range map[string]*api.Client{"socket": s.Client, "tcp": overTCP} {
		r, err := c.Log(ctx, id, 0, api.FollowYes)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(r)
		for lines.Scan() && !strings.Contains(lines.Text(), "(local-exec): said aloud") {
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		j, err := s.Job(ctx, id)
		if err != nil || j.State != stackjob.Applying {
			t.Errorf("%s: the line came when the job was %s (%v), expected while it is applied", name, j.State, err)
		}
		if name == "tcp" { // the other one is hung up while the job runs
			defer func() {
				for lines.Scan() {
				}
				if err := lines.Err(); err != nil {
					t.Errorf("the end of the log: %v", err)
				}
				_ = r.Close()
			}()
			continue
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	// Who comes back while the apply runs goes on where the log broke: nothing twice.
	before, err := wholeLog(ctx, s, id)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := s.Log(ctx, id, int64(len(before)), api.FollowYes)
	if err != nil {
		t.Fatal(err)
	}
	w.letGo()
	after, err := io.ReadAll(rest)
	if err != nil {
		t.Fatal(err)
	}
	s.await(devA, stackjob.Succeeded)
	whole, err := wholeLog(ctx, s, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(whole), string(before)+string(after)); diff != "" {
		t.Errorf("a log that was followed from its middle (-whole +pieces):\n%s", diff)
	}
	if got := <-moves; !strings.HasPrefix(got, "queued planning ") || !strings.HasSuffix(got, "applying applying succeeded") {
		t.Errorf("the events told of %q", got)
	}
}

// wholeLog is a job's log as it is now.
func wholeLog(ctx context.Context, s *served, id stackjob.JobID) ([]byte, error) {
	r, err := s.Log(ctx, id, 0, api.FollowNo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}
