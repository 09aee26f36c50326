package terraform_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

const withProviders = `
terraform {
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

// steps are the three jobs of a stack's first day.
var steps = []struct {
	name string
	n    int
}{{"first", 2}, {"change", 3}, {"nochange", 3}}

// BenchmarkStackJobOverhead compares the driver with the bare commands that a
// person would type for the same jobs on the same module, in one run: a first
// apply, a change, a plan that changes nothing; one stack and eight at once.
//
// The bare commands are those of a job: init (once), plan -out, show -json of the
// plan, apply of the plan. overhead-% is over them. typed-overhead-% is over the
// same without show, for people who only look at the text.
func BenchmarkStackJobOverhead(b *testing.B) {
	for _, e := range tooltest.Engines(b) {
		program := engine.Program{Provisioner: schema.Provisioner(e.Name), Path: e.Path, Version: e.Version}
		for _, parallel := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/stacks=%d", e.Name, parallel), func(b *testing.B) {
				config := tooltest.CLIConfig(b)
				total := map[string]time.Duration{}
				for range b.N {
					for _, way := range []struct {
						name string
						run  func(stack int) func(step int)
					}{
						{"driver", func(int) func(int) { return driverStack(b, program, config) }},
						{"bare", func(int) func(int) { return bareStack(b, program, config, true) }},
						{"typed", func(int) func(int) { return bareStack(b, program, config, false) }},
					} {
						stacks := make([]func(int), parallel)
						for i := range stacks {
							stacks[i] = way.run(i)
						}
						for i, step := range steps {
							began := time.Now()
							var all sync.WaitGroup
							for _, run := range stacks {
								all.Go(func() { run(i) })
							}
							all.Wait()
							total[way.name+"-"+step.name] += time.Since(began)
							total[way.name] += time.Since(began)
						}
					}
				}
				perRun := func(name string) float64 { return float64(total[name].Milliseconds()) / float64(b.N) }
				b.ReportMetric(0, "ns/op")
				for _, name := range []string{"driver", "bare", "typed"} {
					b.ReportMetric(perRun(name), name+"-ms")
				}
				for _, step := range steps {
					b.ReportMetric(100*(perRun("driver-"+step.name)/perRun("bare-"+step.name)-1), step.name+"-overhead-%")
				}
				b.ReportMetric(100*(perRun("driver")/perRun("bare")-1), "overhead-%")
				b.ReportMetric(100*(perRun("driver")/perRun("typed")-1), "typed-overhead-%")
			})
		}
	}
}

// driverStack is a new stack of the driver; the function does one step.
func driverStack(tb testing.TB, program engine.Program, config string) func(step int) {
	b := newBench(tb, program)
	b.Task.Env["TF_CLI_CONFIG_FILE"] = config
	b.Module(map[string]string{"main.tf": withProviders})
	return func(step int) {
		b.Inputs(map[string]any{"n": steps[step].n, "file": filepath.Join(filepath.Dir(b.Task.Workspace), "note")})
		plan := b.MustPlan()
		if !plan.HasChanges {
			return
		}
		if r := b.Apply(context.Background(), plan); r.Failure != nil {
			tb.Error(r.Failure.Text)
		}
	}
}

// bareStack is a folder in which the commands are run.
func bareStack(tb testing.TB, program engine.Program, config string, show bool) func(step int) {
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(withProviders), 0o600); err != nil {
		tb.Fatal(err)
	}
	run := func(args ...string) {
		cmd := exec.Command(program.Path, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TF_CLI_CONFIG_FILE=" + config, "CHECKPOINT_DISABLE=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	return func(step int) {
		if step == 0 {
			run("init", "-no-color", "-input=false")
		}
		run("plan", "-no-color", "-input=false", "-out=plan", fmt.Sprintf("-var=n=%d", steps[step].n), "-var=file="+filepath.Join(dir, "note"))
		if show {
			run("show", "-json", "plan")
		}
		if steps[step].name != "nochange" {
			run("apply", "-no-color", "-input=false", "plan")
		}
	}
}
