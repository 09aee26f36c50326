package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

var update = flag.Bool("update", false, "write what the scripts compare anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reeve": main})
}

// TestScripts runs the command line as people do: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	t.Parallel()
	engine := tooltest.OpenTofu(t)
	tooltest.Pulumi(t) // into the tool cache, for the demo
	cliConfig := tooltest.EmptyCLIConfig(t)
	forges := &sites{t: t, open: map[string]*tea.Site{}}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		UpdateScripts:       *update,
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
			e.Setenv("REEVE_TOOL_CACHE", filepath.Dir(filepath.Dir(engine.Path)))
			e.Setenv("OPENTOFU", filepath.Base(filepath.Dir(engine.Path))) // in the tool cache
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			// The folder of the program under test alone, for a PATH without engines.
			e.Setenv("PROGRAM_FOLDER", filepath.SplitList(e.Getenv("PATH"))[0])
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Ada")
				e.Setenv("GIT_"+who+"_EMAIL", "ada@example.com")
			}
			e.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":     await,
			"commented": forges.commented,
			"exits":     exits,
			"mirror":    mirror(t),
			"port":      port,
			"propose":   forges.propose,
			"site":      forges.site,
			"stable":    stable,
		},
	})
}

// exits runs a command that must end with one very exit code: "exits 2 reeve x".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var failed *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &failed):
		code = failed.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if code != want {
		ts.Fatalf("%s: exit code %d, expected %d", strings.Join(args[1:], " "), code, want)
	}
}

// port puts the number of a port that is free into $PORT; with "taken", one that is
// in use until the script ends.
func port(ts *testscript.TestScript, neg bool, args []string) {
	number, err := tooltest.FreePort()
	ts.Check(err)
	ts.Setenv("PORT", strconv.Itoa(number))
	if len(args) == 1 && args[0] == "taken" {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
		ts.Check(err)
		ts.Defer(func() { _ = ln.Close() })
	}
}

// What differs from run to run, and what stable puts in its place.
var unstable = []struct {
	is *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`sj_[0-9a-z]{26}`), "JOB"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\b\d+[smh]( ago)?\b`), "AGE"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "COMMIT"},
	{regexp.MustCompile(`\b([0-9a-f]{12}|[0-9a-f]{7})\b`), "HASH"},
	{regexp.MustCompile(`\b(tofu|terraform) 1\.[0-9.]+`), "ENGINE"},
	{regexp.MustCompile(`(?m) +$`), ""},
	{regexp.MustCompile(`(\S)  +`), "$1  "}, // columns are as wide as what was in them
}

// stable writes standard output without what differs from run to run to a file, to
// be compared: "stable FILE".
func stable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stable FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile("stdout"), ts.Getenv("WORK"), "WORK")
	for _, u := range unstable {
		text = u.is.ReplaceAllString(text, u.by)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// longest is how long something may take on a slow and busy machine.
const longest = 10 * time.Minute

// await waits for what a daemon does: "await up", "await existing FILE", "await said TEXT
// FILE", "await gone TEXT" for the processes with it in their command line, "await another
// RESOURCE" for its second job, or "await RESOURCE STATE", which also puts the job's id into
// $JOB.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await up | await existing FILE | await said TEXT FILE | await gone TEXT | await another RESOURCE | await RESOURCE STATE")
	}
	client := api.NewClient(api.Options{Socket: filepath.Join(ts.Getenv("REEVE_DATA_DIR"), "reeve.sock")})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			ts.Fatalf("gave up waiting for %s; last: %s", strings.Join(args, " "), last)
		case <-tick.C:
		}
		done := false
		switch args[0] {
		case "up":
			repos, err := client.Repositories(ctx)
			done = err == nil && len(repos) > 0 && repos[0].Commit != ""
		case "another":
			// A second job of the stack: a new desired state was noticed.
			k, err := schema.ParseResourceKey(args[1])
			ts.Check(err)
			jobs, err := client.Jobs(ctx, store.JobQuery{Org: k.Org, Env: k.Env, Kind: k.Kind, Name: k.Name})
			done = err == nil && len(jobs) > 1
		case "existing":
			_, err := os.Stat(ts.MkAbs(args[1]))
			done = err == nil
		case "said":
			b, err := os.ReadFile(ts.MkAbs(args[2]))
			done, last = err == nil && strings.Contains(string(b), args[1]), string(b)
		case "gone":
			var none *exec.ExitError
			out, err := exec.Command("pgrep", "-a", "-f", args[1]).Output()
			done, last = errors.As(err, &none) && none.ExitCode() == 1, string(out)
		default:
			done, last = awaited(ctx, ts, client, args[0], stackjob.State(args[1]))
		}
		if done {
			return
		}
	}
}

// awaited tells whether the newest job of a stack is in a state.
func awaited(ctx context.Context, ts *testscript.TestScript, client *api.Client, key string, state stackjob.State) (done bool, last string) {
	jobs, err := client.Jobs(ctx, store.JobQuery{})
	if err != nil {
		return false, err.Error()
	}
	for _, j := range jobs {
		if j.Desired.Key.String() != key {
			continue
		}
		if j.State == state {
			ts.Setenv("JOB", string(j.ID))
			return true, ""
		}
		return false, string(j.State) + " " + j.Reason.String() // the newest counts
	}
	return false, "no job"
}
