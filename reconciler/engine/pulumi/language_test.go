package pulumi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// The program is in a folder of a Go module, beside a package that it uses.
const goProgram = `package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/demo/names"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		text, _ := ctx.GetConfig("demo:text")
		marked, _ := ctx.GetConfig("demo:marked")
		kept, err := pulumi.NewStash(ctx, names.Kept, &pulumi.StashArgs{Input: pulumi.String(text)})
		if err != nil {
			return err
		}
		held, err := pulumi.NewStash(ctx, "held", &pulumi.StashArgs{Input: pulumi.ToSecret(pulumi.String(marked))})
		if err != nil {
			return err
		}
		ctx.Export("text", kept.Output)
		ctx.Export("marked", held.Output)
		return nil
	})
}
`

// goModule are the files of a Go program. It is built from what this module is built
// from, so that nothing is fetched.
func goModule(t *testing.T) map[string]string {
	t.Helper()
	own, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	_, requirements, _ := strings.Cut(string(own), "\n")
	return map[string]string{
		"go.mod": "module example.com/demo\n" + requirements, "go.sum": string(sums), "names/names.go": "package names\n\nconst Kept = \"kept\"\n",
		"infra/Pulumi.yaml": "name: demo\nruntime: go\n", "infra/main.go": goProgram,
	}
}

// withHosts puts the language hosts of Go and Node.js on the job's PATH, and gives it
// Go's caches and nothing of the network.
func (b *bench) withHosts() {
	b.Helper()
	b.Task.Env["PATH"] = tooltest.PulumiHosts(b) + string(filepath.ListSeparator) + b.Task.Env["PATH"]
	for _, name := range []string{"GOMODCACHE", "GOCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			b.Fatal(err)
		}
		b.Task.Env[name] = strings.TrimSpace(string(out))
	}
	b.Task.Env["GOPROXY"], b.Task.Env["GOTOOLCHAIN"], b.Task.Env["CGO_ENABLED"] = "off", "local", "0"
	b.Task.Env["GOFLAGS"] = "-ldflags=-w" // a program is linked for each preview and each update
}

func TestAProgramInGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.withHosts()
	program := goModule(t)
	b.Module(program)
	b.Task.ModulePath = "infra"
	b.Task.Pulumi.SecretConfig = []string{"marked"}
	const secret = "canary-go-secret-4d1"
	b.Inputs(map[string]any{"text": "one", "marked": secret})
	before := files(t, b.Task.ModuleRoot)
	planned := func(installed stackjob.Result) *stackjob.Plan {
		t.Helper()
		r := b.Plan(t.Context())
		if r.Failure != nil {
			t.Fatal(r.Failure.Text)
		}
		if op := r.Operations[0]; op.Kind != stackjob.OpInit || op.Result != installed {
			t.Errorf("operation = %+v, want an init that is %s", op, installed)
		}
		return r.Plan
	}
	applied := func(plan *stackjob.Plan, want stackjob.Counts) *stackjob.Outcome {
		t.Helper()
		r := b.Apply(t.Context(), plan)
		if r.Failure != nil {
			t.Fatal(r.Failure.Text)
		}
		if r.Outcome.Counts != want {
			t.Errorf("counts = %+v, want %+v", r.Outcome.Counts, want)
		}
		return r.Outcome
	}
	out := applied(planned(stackjob.ResultSucceeded), stackjob.Counts{Create: 2})
	if o := out.Outputs; len(o) != 2 || !o[0].Sensitive || b.Opened(o[0]) != fmt.Sprintf("%q", secret) || o[1].Sensitive || string(o[1].Value) != `"one"` {
		t.Errorf("outputs = %+v", o)
	}
	if p := planned(stackjob.ResultSkipped); p.HasChanges {
		t.Errorf("plan = %+v", p)
	}
	if diff := cmp.Diff(before, files(t, b.Task.ModuleRoot)); diff != "" {
		t.Errorf("the checkout (-before +after):\n%s", diff)
	}
	// The go command may write these, so they are no links to the checkout.
	for _, name := range []string{"go.mod", "go.sum"} {
		if st, err := os.Lstat(filepath.Join(b.Task.Workspace, "root", name)); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s in the workspace: %v, %v", name, st, err)
		}
	}
	// Another text of the program and the same dependencies.
	program["names/names.go"] += "\nconst Unused = 1\n"
	b.Module(program)
	b.Inputs(map[string]any{"text": "two", "marked": secret})
	applied(planned(stackjob.ResultSkipped), stackjob.Counts{Update: 1})
	// A mistake, told by the compiler before the engine runs the program.
	program["go.mod"] += "\n// It moved.\n"
	program["infra/main.go"] += "\nvar mistake int = \"text\"\n"
	b.Module(program)
	if r := b.Plan(t.Context()); r.Failure == nil || r.Failure.Class != engine.ClassAuthor || !strings.Contains(r.Failure.Text, "./main.go:27:19: cannot use \"text\"") ||
		!strings.HasPrefix(r.Failure.Reason.Detail, "compiling the program: ./main.go:27:19: cannot use \"text\"") {
		t.Errorf("a mistake: %+v", r.Failure)
	}
	b.Task.Action = stackjob.Destroy // which needs no program
	applied(planned(stackjob.ResultSkipped), stackjob.Counts{Delete: 2})
	log, events := b.Sink.Told()
	if text := log + fmt.Sprint(events); strings.Contains(text, secret) || strings.Contains(text, "from $PATH") {
		t.Errorf("the log:\n%s", text)
	}
}

// fakeNPM puts programs in the place of npm and node: the language host is real, and a
// network is not.
func (b *bench) fakeNPM(script string) {
	b.Helper()
	b.withHosts()
	bin := b.TempDir()
	enginetest.WriteScript(b, filepath.Join(bin, "npm"), "#!/bin/sh\n"+script)
	enginetest.WriteScript(b, filepath.Join(bin, "node"), "#!/bin/sh\nexit 1\n")
	b.Task.Env["PATH"] = bin + string(filepath.ListSeparator) + b.Task.Env["PATH"]
}

// What a package brings runs while it is installed, as the job's user. It is to find no
// credential in its environment or in those of the processes above it, nor in the files
// of the phase.
func TestAnInstallSeesNoCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	note := filepath.Join(t.TempDir(), "seen")
	b.fakeNPM(`exec >> '` + note + `' 2>/dev/null
echo "installing $*"
env
p=$PPID
while [ "$p" -gt 1 ] && [ "$p" != ` + strconv.Itoa(os.Getpid()) + ` ]; do
	tr '\0' '\n' < /proc/$p/environ
	tr '\0' ' ' < /proc/$p/cmdline
	p=$(cut -d ' ' -f 4 /proc/$p/stat)
done
cat '` + filepath.Dir(b.PlanFile) + `'/engine/* '` + filepath.Dir(b.PlanFile) + `'/engine/*/*
mkdir -p node_modules; echo installed
`)
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "PULUMI_ACCESS_TOKEN", "PGPASSWORD", "APP_DATABASE_URL"} {
		b.Task.Env[name] = "canary-of-the-stack"
	}
	b.Task.Env["NPM_TOKEN"] = "token-of-a-registry"
	b.Task.Pulumi.Passphrase = "canary-of-the-stack"
	b.Task.Pulumi.StackInput = true
	b.Inputs(map[string]any{"password": "canary-of-the-stack"})
	b.Module(map[string]string{"Pulumi.yaml": "name: demo\nruntime: nodejs\n", "package.json": "{}", "index.js": "1"})
	if r := b.Plan(t.Context()); r.Failure == nil || r.Operations[0].Result != stackjob.ResultSucceeded {
		t.Errorf("operations %+v, failure %+v", r.Operations, r.Failure)
	}
	_, events := b.Sink.Told()
	if i := slices.IndexFunc(events, func(e engine.Event) bool { return e.Type == engine.EngineStarted }); i < 0 || !slices.Contains(events[i].Command, "install") {
		t.Errorf("something came before the install: %+v", events)
	}
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	seen := string(text)
	for _, part := range []string{"installing install", "NPM_TOKEN=token-of-a-registry", "HOME=" + b.Task.Env["HOME"], "\ninstalled\n"} {
		if !strings.Contains(seen, part) {
			t.Errorf("it did not see %q:\n%s", part, seen)
		}
	}
	if _, err := os.Stat("/proc/self/environ"); err == nil && !strings.Contains(seen, "--non-interactive install") {
		t.Errorf("it did not see the engine above it:\n%s", seen)
	}
	if strings.Contains(seen, "canary-of-the-stack") {
		t.Errorf("it saw a credential:\n%s", seen)
	}
}

func TestAnInstallThatWasCancelledIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := t.TempDir()
	note, hang := filepath.Join(dir, "note"), filepath.Join(dir, "hang")
	b.fakeNPM("echo $$ >> '" + note + "'\nmkdir -p node_modules; [ -e '" + hang + "' ] || exit 0\necho $$ > '" + hang + "'\nexec tail -f /dev/null\n")
	b.Task.Grace = time.Second
	module := func(name string) {
		b.Module(map[string]string{"Pulumi.yaml": "name: demo\nruntime: nodejs\n", "package.json": `{"name": "` + name + `"}`, "index.js": "1"})
	}
	installs := func(want int, result stackjob.Result) {
		t.Helper()
		r := b.Plan(t.Context())
		text, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "\n"); got != want || r.Operations[0].Result != result {
			t.Errorf("%d installs and %s, want %d and %s", got, r.Operations[0].Result, want, result)
		}
	}
	module("one")
	installs(1, stackjob.ResultSucceeded)
	installs(1, stackjob.ResultSkipped)

	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	module("two")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan engine.Result, 1)
	go func() { ended <- b.Plan(ctx) }()
	var pid int
	b.Sink.Await(t, "an install that hangs", func(string, []engine.Event) bool {
		text, err := os.ReadFile(hang)
		if err != nil {
			return false
		}
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	cancel(errors.New("somebody asked"))
	r := <-ended
	if !r.Cancelled || len(r.Operations) != 1 || r.Operations[0].Kind != stackjob.OpInit || r.Operations[0].Result != stackjob.ResultCancelled {
		t.Errorf("operations %+v, failure %+v", r.Operations, r.Failure)
	}
	enginetest.AwaitDeath(t, []int{pid})
	if err := os.Remove(hang); err != nil {
		t.Fatal(err)
	}
	// What was installed for the first is there no more as it was.
	module("one")
	installs(3, stackjob.ResultSucceeded)
	installs(3, stackjob.ResultSkipped)
}
