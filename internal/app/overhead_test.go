package app_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// pet is a module with the random and local providers.
const pet = `terraform {
  required_providers {
    random = { source = "hashicorp/random" }
    local  = { source = "hashicorp/local" }
  }
}
variable "n" { type = number }
variable "file" { type = string }
resource "random_pet" "name" { length = var.n }
resource "local_file" "note" {
  filename = var.file
  content  = "hello ${random_pet.name.id}\n"
}
output "name" { value = random_pet.name.id }
`

// days are the three jobs of a stack's first day, with the value of n.
var days = []struct {
	name string
	n    int
}{{"first", 2}, {"change", 3}, {"nochange", 3}}

// BenchmarkDaemonOverhead compares the whole daemon (look at the repository, load,
// compare, queue, store, runner, engine, record) with the bare commands that a
// person would run for the same jobs on the same module, in one run: a first
// apply, a change, a run that finds nothing to change.
//
// The bare commands are init (once), plan -out, show -json of the plan, without
// which there is no knowing what a plan does, and apply of the plan: as many stacks
// at once as the daemon has slots. typed is the same without show; strict is show
// for the plans that change something, and none for the one that does not. All ways
// take turns step by step, so that a busy machine is busy for all.
func BenchmarkDaemonOverhead(b *testing.B) {
	for _, e := range tooltest.Engines(b) {
		for _, parallel := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/stacks=%d", e.Name, parallel), func(b *testing.B) {
				total := map[string]time.Duration{}
				for i := range b.N {
					firstDay(b, e, parallel, i, total)
				}
				perRun := func(name string) float64 { return float64(total[name].Milliseconds()) / float64(b.N) }
				b.ReportMetric(0, "ns/op")
				for _, way := range []string{"daemon", "bare", "typed"} {
					b.ReportMetric(perRun(way), way+"-ms")
				}
				for _, day := range days {
					b.ReportMetric(100*(perRun("daemon "+day.name)/perRun("bare "+day.name)-1), day.name+"-overhead-%")
				}
				b.ReportMetric(100*(perRun("daemon")/perRun("bare")-1), "overhead-%")
				strict := perRun("bare first") + perRun("bare change") + perRun("typed nochange")
				b.ReportMetric(100*(perRun("daemon")/strict-1), "strict-overhead-%")
				b.ReportMetric(100*(perRun("daemon")/perRun("typed")-1), "typed-overhead-%")
			})
		}
	}
}

// firstDay lives one day of new stacks in every way, and adds up how long each took.
func firstDay(b *testing.B, e tooltest.Engine, parallel, turn int, total map[string]time.Duration) {
	b.Helper()
	w := newWorld(b, e)
	w.cliConfig, w.parallel, w.mirrored = tooltest.CLIConfig(b), parallel, true
	w.write("acme/policies/flow.yaml", atOnce, "modules/pet/main.tf", pet)
	w.commit("policy and module")
	w.start()
	defer func() { w.stop() }()
	typed, bare := make([]bareStack, parallel), make([]bareStack, parallel)
	for i := range parallel {
		bare[i] = newBareStack(b, e, w.cliConfig, "show")
		typed[i] = newBareStack(b, e, w.cliConfig, "")
	}
	ways := []struct {
		name string
		do   func(day int)
	}{
		{"daemon", func(day int) { w.day(parallel, day) }},
		{"bare", func(day int) { allAtOnce(bare, func(s bareStack) { s.day(day) }) }},
		{"typed", func(day int) { allAtOnce(typed, func(s bareStack) { s.day(day) }) }},
	}
	for day := range days {
		w.prepare(parallel, day)
		for i := range ways {
			way := ways[(i+turn+day)%len(ways)]
			began := time.Now()
			way.do(day)
			took := time.Since(began)
			total[way.name] += took
			total[way.name+" "+days[day].name] += took
		}
	}
}

func allAtOnce(stacks []bareStack, do func(bareStack)) {
	var all sync.WaitGroup
	for _, s := range stacks {
		all.Go(func() { do(s) })
	}
	all.Wait()
}

// prepare commits what a day is about; the daemon has not looked yet.
func (w *world) prepare(parallel, day int) {
	w.t.Helper()
	for i := range parallel {
		w.write(fmt.Sprintf("acme/dev/pet-%d.yaml", i), fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: TerraformStack
metadata: {name: pet-%d}
spec:
  module: {path: /modules/pet}
  variables: {n: %d, file: %q}
`, i, days[day].n, filepath.Join(w.root, fmt.Sprintf("note-%d", i))))
	}
	w.git("add", "--all")
	w.git("commit", "--quiet", "--allow-empty", "-m", days[day].name)
}

// day has the daemon look and waits until it has carried everything through.
func (w *world) day(parallel, day int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	events := w.app.Backend().Watch(ctx)
	if days[day].name == "nochange" {
		for _, j := range w.jobs("")[:parallel] {
			if _, err := w.app.Backend().Rerun(ctx, api.Answer{Job: j.ID, Actor: ada}); err != nil {
				w.t.Fatal(err)
			}
		}
	} else {
		w.look()
	}
	for {
		jobs, err := w.app.Backend().Jobs(ctx, store.JobQuery{Limit: (day + 1) * parallel})
		if err != nil {
			w.t.Fatal(err)
		}
		ended := 0
		for _, j := range jobs {
			if j.State == stackjob.Succeeded {
				ended++
			} else if j.State.IsFinal() {
				w.t.Fatalf("%s: %s (%s)\n%s", j.Desired.Key, j.State, j.Reason, w.jobLog(j.ID))
			}
		}
		if ended == (day+1)*parallel {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("gave up waiting for the jobs: %s", w.describe())
		case <-events:
		}
	}
}

// bareStack is a folder in which the commands are run.
type bareStack struct {
	tb                testing.TB
	program, dir, cli string
	show              bool
}

func newBareStack(tb testing.TB, e tooltest.Engine, cli, show string) bareStack {
	s := bareStack{tb: tb, program: e.Path, dir: tb.TempDir(), cli: cli, show: show != ""}
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(pet), 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s bareStack) run(args ...string) {
	cmd := exec.Command(s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TF_CLI_CONFIG_FILE=" + s.cli, "CHECKPOINT_DISABLE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.tb.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (s bareStack) day(day int) {
	if day == 0 {
		s.run("init", "-no-color", "-input=false")
	}
	s.run("plan", "-no-color", "-input=false", "-out=plan", fmt.Sprintf("-var=n=%d", days[day].n), "-var=file="+filepath.Join(s.dir, "note"))
	if s.show {
		s.run("show", "-json", "plan")
	}
	if days[day].name != "nochange" {
		s.run("apply", "-no-color", "-input=false", "plan")
	}
}
