package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// three is a module of three resources without a provider.
const three = `variable "text" { type = string }
resource "terraform_data" "a" { input = var.text }
resource "terraform_data" "b" { input = terraform_data.a.output }
resource "terraform_data" "c" { input = terraform_data.b.output }
output "text" { value = terraform_data.c.output }
`

// stacks is how many a pull request touches; together is how many plans are made at
// once, by the daemon and by the bare commands.
const (
	stacks   = 10
	together = 2
)

// BenchmarkPullRequest opens a pull request that touches ten stacks of three resources
// each, on a local Gitea. It measures from the arrival of the forge's webhook at the
// daemon's door: first-sign until the forge has taken the first comment, plans until it
// has taken the one in which all ten plans stand. The row "changed" is of stacks that
// have been applied before, as in the measurement of Atlantis that docs/benchmarks.md
// compares with; "added" is of stacks that nobody has seen before, which need an init.
//
// bare is what the engine alone needs for the same ten plans, as many at once as the
// daemon makes: plan and show -json, and init before them for stacks that are new.
//
// It does so in a repository with nothing else in it and in one with 10,000 other files,
// by turns with the bare commands, so that a busy machine is busy for all. The numbers
// are medians over the rounds.
func BenchmarkPullRequest(b *testing.B) {
	none, many := newTenStacks(b, 0), newTenStacks(b, 10000)
	bare := newBareTen(b, none.engine)
	round := 0
	for _, row := range []struct{ name, prefix string }{{"changed", "s"}, {"added", "new"}} {
		b.Run(row.name, func(b *testing.B) {
			seen := map[string][]float64{}
			note := func(unit string, value float64) { seen[unit] = append(seen[unit], value) }
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			ways := []func(){
				func() {
					r := none.round(round, row.prefix)
					note("first-sign-ms", ms(r.first))
					note("plans-ms", ms(r.all))
					note("writes", float64(r.writes))
					note("fetches", float64(r.fetches))
					note("processes/plan", float64(r.processes)/stacks)
				},
				func() {
					r := many.round(round, row.prefix)
					note("10k-first-sign-ms", ms(r.first))
					note("10k-plans-ms", ms(r.all))
				},
				func() { note("bare-ms", ms(bare.round(round, row.name == "added"))) },
			}
			for i := range b.N {
				round++
				for k := range ways {
					ways[(i+k)%len(ways)]()
				}
			}
			b.ReportMetric(0, "ns/op")
			for unit, values := range seen {
				b.ReportMetric(median(values), unit)
			}
			b.ReportMetric(median(seen["plans-ms"])/median(seen["bare-ms"]), "plans/bare")
			b.ReportMetric(median(seen["10k-plans-ms"])/median(seen["plans-ms"]), "10k/none")
		})
	}
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// tenStacks is a daemon whose every exchange is heard: with the forge, with its Git
// server, and the forge's deliveries.
type tenStacks struct {
	*pullWorld
	gits *front
	// exchanges are all, in the order in which they were answered.
	exchanges chan heard
}

// heard is an exchange and what it was with.
type heard struct {
	exchange
	with string
	// comments tells that it wrote a comment.
	comments bool
}

const (
	withAPI, withGit, withHook = "api", "git", "hook"
)

// changes tells whether it was to change something.
func (h heard) changes() bool { return h.method != http.MethodGet && h.method != http.MethodHead }

func (h heard) says(text string) bool { return strings.Contains(string(h.body), text) }

// stackFiles are the documents of ten stacks.
func stackFiles(prefix, text string) map[string]string {
	files := map[string]string{}
	for i := range stacks {
		name := fmt.Sprintf("%s-%d", prefix, i)
		files["acme/dev/"+name+".yaml"] = fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: %s}\nspec:\n  module: {path: /modules/three}\n  variables: {text: %q}\n", name, text)
	}
	return files
}

// newTenStacks starts a daemon on a repository with ten stacks and other files, and
// waits until the stacks are applied.
func newTenStacks(b *testing.B, others int) *tenStacks {
	b.Helper()
	files := stackFiles("s", "one")
	files["modules/three/main.tf"], files["acme/policies/flow.yaml"] = three, atOnce
	for i := range others {
		files[fmt.Sprintf("docs/%02d/page-%04d.md", i%100, i)] = fmt.Sprintf("# Page %d\n", i)
	}
	site := tea.New(b, tooltest.Gitea(b)).NewSite(b, files)
	w := &tenStacks{pullWorld: &pullWorld{world: newWorld(b, tooltest.Engines(b)[0]), site: site}, exchanges: make(chan heard, 10000)}
	hear := func(f *front, with string) *front {
		f.hear(func(x exchange) {
			w.exchanges <- heard{x, with, isComment(&http.Request{Method: x.method, URL: &url.URL{Path: x.path}})}
		})
		return f
	}
	clone, err := url.Parse(site.CloneURL(""))
	if err != nil {
		b.Fatal(err)
	}
	w.gits = hear(newFront(b, clone.Scheme+"://"+clone.Host), withGit)
	w.hooks = true // so that it does not poll
	w.front, w.clone = hear(newFront(b, site.APIURL()), withAPI), w.gits.url+clone.Path
	w.jobSettings = fmt.Sprintf("  parallel: %d\n", together)
	w.served = w.serve(w.settings())
	w.ready()
	door := hear(newFront(b, w.served.url), withHook)
	if _, err := site.Repository(b).SetWebhook(b.Context(), "", door.url+"/webhooks/config", webhookSecret); err != nil {
		b.Fatal(err)
	}
	for i := range stacks {
		w.served.await(fmt.Sprintf("acme/dev/TerraformStack/s-%d", i), stackjob.Succeeded)
	}
	return w
}

// next waits for the next exchange.
func (w *tenStacks) next(waited string) heard {
	select {
	case x := <-w.exchanges:
		return x
	case <-time.After(patience):
		w.t.Fatalf("gave up waiting until %s", waited)
		return heard{}
	}
}

// tenPlans is how a pull request of ten stacks went.
type tenPlans struct {
	first, all                 time.Duration
	writes, fetches, processes int
}

// round opens one pull request and closes it when it has been planned.
func (w *tenStacks) round(number int, prefix string) tenPlans {
	w.t.Helper()
	counts := fmt.Sprintf("+0 ~%d", 3*stacks)
	if prefix != "s" {
		prefix, counts = fmt.Sprintf("%s-%d", prefix, number), fmt.Sprintf("+%d ~0", 3*stacks)
	}
	for len(w.exchanges) > 0 {
		<-w.exchanges // of what was before
	}
	branch := fmt.Sprintf("change-%d", number)
	w.site.Push(w.t, forgetest.Ada, branch, stackFiles(prefix, branch), false)
	n := w.site.Open(w.t, forgetest.Ada, branch, "Ten", false)
	r, hook := tenPlans{}, time.Time{}
	for done := false; !done; {
		x := w.next("all plans stand in the pull request")
		switch {
		case x.with == withHook && x.header.Get("X-Gitea-Event") == "pull_request" && hook.IsZero():
			hook = x.came
		case x.with == withGit && x.method == http.MethodPost:
			r.fetches++
		case x.with == withAPI && x.changes():
			r.writes++
			if x.comments && r.first == 0 {
				r.first = x.went.Sub(hook)
			}
			if x.comments && x.says(counts) {
				r.all = x.went.Sub(hook)
			}
			done = r.all > 0 && x.says(`"reeve/plan"`)
		}
	}
	jobs, err := w.served.Jobs(context.Background(), store.JobQuery{Name: prefix + "-*", Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range jobs {
		if j.Pull != fmt.Sprintf("config#%d", n) {
			continue
		}
		if j, err = w.served.Job(context.Background(), j.ID); err != nil {
			w.t.Fatal(err)
		}
		for _, op := range j.Operations {
			r.processes += op.EngineProcesses
		}
	}
	w.site.Close(w.t, forgetest.Ada, n)
	for x := w.next("it is told that the pull request is closed"); !x.says("Closed without a merge"); {
		x = w.next("it is told that the pull request is closed")
	}
	return r
}

// bareTen are ten folders in which a person would run the commands.
type bareTen struct {
	tb      testing.TB
	folders []bareStack
}

// newBareTen makes the folders; what is in them has been applied.
func newBareTen(b *testing.B, e tooltest.Engine) *bareTen {
	b.Helper()
	t := &bareTen{tb: b}
	for range stacks {
		s := bareStack{tb: b, program: e.Path, dir: b.TempDir(), cli: tooltest.EmptyCLIConfig(b)}
		t.folders = append(t.folders, s)
		s.threeFiles()
		s.run("init", "-no-color", "-input=false")
		s.run("apply", "-no-color", "-input=false", "-auto-approve", "-var=text=one")
	}
	return t
}

func (s bareStack) threeFiles() {
	if err := os.WriteFile(filepath.Join(s.dir, "main.tf"), []byte(three), 0o600); err != nil {
		s.tb.Fatal(err)
	}
}

// round makes ten plans, in new folders when fresh.
func (t *bareTen) round(number int, fresh bool) time.Duration {
	queue := make(chan bareStack, stacks)
	for _, s := range t.folders {
		if fresh {
			s.dir = t.tb.TempDir()
			s.threeFiles()
		}
		queue <- s
	}
	close(queue)
	began := time.Now()
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			for s := range queue {
				if fresh {
					s.run("init", "-no-color", "-input=false")
				}
				s.run("plan", "-no-color", "-input=false", "-out=plan", fmt.Sprintf("-var=text=change-%d", number))
				s.run("show", "-json", "plan")
			}
		})
	}
	all.Wait()
	return time.Since(began)
}
