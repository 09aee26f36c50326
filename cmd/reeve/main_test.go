package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reeve": main})
}

// TestScripts runs the command line as people do: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	t.Parallel()
	engine := tooltest.OpenTofu(t)
	cliConfig := tooltest.EmptyCLIConfig(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Unix sockets have short names, so the data folder is not deep.
			data, err := os.MkdirTemp("", "rv")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(data) })
			e.Setenv("REEVE_DATA_DIR", data)
			e.Setenv("REEVE_LISTEN", "127.0.0.1:0")
			e.Setenv("REEVE_ENGINE_TOFU", engine.Path)
			e.Setenv("REEVE_ENGINE_DEFAULT", "tofu")
			e.Setenv("REEVE_ENGINE_PLUGIN_CACHE", "false")
			e.Setenv("REEVE_ENGINE_CLI_CONFIG", cliConfig)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Ada")
				e.Setenv("GIT_"+who+"_EMAIL", "ada@example.com")
			}
			e.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await,
		},
	})
}

// await waits for a daemon's state: "await up", or "await RESOURCE STATE", which
// also puts the job's id into $JOB.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await up | await RESOURCE STATE")
	}
	client := api.NewClient(api.Options{Socket: filepath.Join(ts.Getenv("REEVE_DATA_DIR"), "reeve.sock")})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		select {
		case <-ctx.Done():
			ts.Fatalf("gave up waiting for %s; last: %s", strings.Join(args, " "), last)
		case <-tick.C:
		}
		if args[0] == "up" {
			repos, err := client.Repositories(ctx)
			if err == nil && len(repos) > 0 && repos[0].Commit != "" {
				return
			}
			continue
		}
		jobs, err := client.Jobs(ctx, store.JobQuery{})
		if err != nil {
			last = err.Error()
			continue
		}
		for _, j := range jobs {
			if j.Desired.Key.String() != args[0] {
				continue
			}
			last = string(j.State) + " " + j.Reason.String()
			if j.State == stackjob.State(args[1]) {
				ts.Setenv("JOB", string(j.ID))
				return
			}
			break // the newest counts
		}
	}
}
