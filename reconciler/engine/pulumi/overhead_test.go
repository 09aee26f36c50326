package pulumi_test

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
)

const measured = `
config: {text: {type: string}, word: {type: string, secret: true}}
resources:
  kept: {type: "lab:Data", properties: {value: "${text}"}}
  secret: {type: "lab:Data", properties: {value: "${word}"}}
  file: {type: "lab:File", properties: {path: "${pulumi.cwd}/note", content: "${kept.output}"}}
outputs: {text: "${kept.output}", word: "${secret.output}"}
`

// steps are the jobs of a stack's first day.
var steps = []struct{ name, text string }{{"first", "one"}, {"change", "two"}, {"nochange", "two"}}

// BenchmarkStackJobOverhead compares the driver with the bare commands that a person
// would type for the same jobs of the same program, in one run: a first apply, a change,
// a plan that changes nothing; one stack and eight at once.
//
// The bare commands are those of a job: `stack init` and `config set --secret` (once), `config
// set`, `preview --refresh --save-plan` and `up --refresh --plan`. overhead-% is over all of
// them. strict-overhead-% is over preview and up alone of the change, which is the job of
// every day: in that comparison the bare side sets no config.
func BenchmarkStackJobOverhead(b *testing.B) {
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("stacks=%d", parallel), func(b *testing.B) {
			total := map[string]time.Duration{}
			for range b.N {
				for _, way := range []struct {
					name string
					make func() func(step int)
				}{
					{"driver", func() func(int) { return driverStack(b) }},
					{"bare", func() func(int) { return bareStack(b, true) }},
					{"strict", func() func(int) { return bareStack(b, false) }},
				} {
					stacks := make([]func(int), parallel)
					for i := range stacks {
						stacks[i] = way.make()
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
			for _, name := range []string{"driver", "bare", "strict"} {
				b.ReportMetric(perRun(name+"-change"), name+"-change-ms")
			}
			for _, step := range steps {
				b.ReportMetric(100*(perRun("driver-"+step.name)/perRun("bare-"+step.name)-1), step.name+"-overhead-%")
			}
			b.ReportMetric(100*(perRun("driver")/perRun("bare")-1), "overhead-%")
			b.ReportMetric(100*(perRun("driver-change")/perRun("strict-change")-1), "strict-overhead-%")
		})
	}
}

// driverStack is a new stack of the driver; the function does one step.
func driverStack(tb testing.TB) func(step int) {
	b := newBench(tb)
	b.program(measured)
	b.Task.Pulumi.SecretConfig = []string{"word"}
	return func(step int) {
		b.Inputs(map[string]any{"text": steps[step].text, "word": "a secret"})
		plan := b.MustPlan()
		if !plan.HasChanges {
			return
		}
		if r := b.Apply(context.Background(), plan); r.Failure != nil {
			tb.Error(r.Failure.Text)
		}
	}
}

// bareStack is a folder in which the commands are run. Without counted the config is set
// by writing the file, which costs nothing.
func bareStack(tb testing.TB, counted bool) func(step int) {
	e, plugins := tooltest.Pulumi(tb)
	dir := tb.TempDir()
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		tb.Fatal(err)
	}
	text := fmt.Sprintf("name: demo\nruntime: yaml\nplugins: {providers: [{name: lab, path: %q}]}\n", plugins) + measured
	if err := os.WriteFile(filepath.Join(project, "Pulumi.yaml"), []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	run := func(args ...string) {
		cmd := exec.Command(e.Path, append([]string{"--non-interactive"}, args...)...)
		cmd.Dir = project
		cmd.Env = []string{"PATH=" + filepath.Dir(e.Path) + ":" + os.Getenv("PATH"), "HOME=" + dir, "PULUMI_HOME=" + dir + "/home", "PULUMI_BACKEND_URL=file://" + dir,
			"PULUMI_CONFIG_PASSPHRASE=correct horse battery", "PULUMI_SKIP_UPDATE_CHECK=true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true"}
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	settings := filepath.Join(project, "Pulumi.dev.yaml")
	set := func(step int) {
		if counted {
			run("config", "set", "text", steps[step].text)
			return
		}
		old, err := os.ReadFile(settings)
		if err != nil {
			tb.Error(err)
		}
		if err := os.WriteFile(settings, append(old, fmt.Sprintf("  demo:text: %s\n", steps[step].text)...), 0o600); err != nil {
			tb.Error(err)
		}
	}
	var before []byte
	return func(step int) {
		if step == 0 {
			run("stack", "init", "dev")
			run("config", "set", "--secret", "word", "a secret")
			var err error
			if before, err = os.ReadFile(settings); err != nil {
				tb.Error(err)
			}
		}
		if !counted {
			if err := os.WriteFile(settings, before, 0o600); err != nil {
				tb.Error(err)
			}
		}
		set(step)
		run("preview", "--refresh", "--save-plan=plan.json")
		if steps[step].name != "nochange" {
			run("up", "--yes", "--skip-preview", "--refresh", "--plan=plan.json")
		}
	}
}
